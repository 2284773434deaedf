//! The requests of an HTTP/1 connection, one after the other.
//!
//! The head is read here and not by Pingora's session, which would repair some heads before anyone
//! else can see them and waits for an end that a head of bare LFs never has. The session is given a
//! head that has been found good, with whatever came after it, and must agree where it ends.

use std::sync::Arc;

use bytes::BytesMut;
use http::Method;
use pingora::protocols::http::{ServerSession, v1::server::HttpSession};
use tokio::{io::AsyncReadExt, time::timeout};
use weir_config::ListenerLimits;
use weir_policy::Time;

use super::{
    super::{
        chunks::Malformed,
        client,
        exchange::Exchange,
        head::{self, Body, Fault, HeadEnd},
        linger::linger,
        refuse::{self, Refusal},
        stream::ClientStream,
        way::{self, Reusable},
    },
    Connection, FIRST_READ, refusal,
};
use crate::{clock, plan::Listener, reason::Reason};

impl Connection {
    /// `read` is what has been read of the first request already, and is not empty.
    pub(super) async fn serve_h1(&self, client: ClientStream, mut read: BytesMut, mut until: Time) {
        let mut client = Box::new(client);
        for request in 1_u32.. {
            let listener = self.listener();
            let last = request >= listener.limits.requests_per_connection.get();
            let started = clock::now();
            if request > 1 {
                until = started + listener.timeout.request_header;
            }
            drop(listener);
            // On the heap for as long as it lasts, so that an idle connection is small.
            let request = Box::pin(self.request_h1(client, read, started, until, last));
            let Some(next) = request.await.filter(|_| !last) else { return };
            let Ok(stream) = next.stream.into_any().downcast() else { return };
            (client, read) = (stream, next.prefix);
            if read.is_empty() {
                let Some(begun) = self.wait_for_request(&mut client).await else { return };
                read = begun;
            }
        }
    }

    /// Waits for the first bytes of the next request; `None` when the connection ends instead.
    async fn wait_for_request(&self, client: &mut ClientStream) -> Option<BytesMut> {
        let keepalive = self.listener().timeout.keepalive;
        tokio::select! {
            biased;
            ready = timeout(keepalive, client.readable()) => ready.ok()?.ok()?,
            () = self.worker.closing.cancelled() => return None,
        }
        let mut read = BytesMut::with_capacity(FIRST_READ);
        let more = timeout(keepalive, client.read_buf(&mut read)).await;
        (more.ok()?.ok()? > 0).then_some(read)
    }

    /// One request; returns the connection when it can take another.
    async fn request_h1(
        &self,
        mut client: Box<ClientStream>,
        mut read: BytesMut,
        started: Time,
        until: Time,
        last: bool,
    ) -> Option<Reusable> {
        let mut exchange = self.begin(started);
        let listener = Arc::clone(&exchange.listener);
        let limits = &listener.limits;
        let head = match clock::by(until, read_head(&mut client, &mut read, limits)).await {
            Some(head) => head?,
            None => return self.too_slow(exchange, client).await,
        };
        let length = match head.and_then(|length| judge(&mut client, &read, length, limits)) {
            Ok(length) => length,
            Err(fault) => {
                return refuse(exchange, session(client, &listener), refusal(fault, limits)).await;
            }
        };
        let mut session = session(client, &listener);
        session.set_pipelined_prefix(read);
        session.set_pipelining_enabled(true);
        match clock::by(until, session.read_request()).await {
            Some(Ok(Some(parsed))) if parsed == length => {}
            _ => {
                let detail = "the request header can be read in two ways";
                return refuse(exchange, session, Refusal::new(Reason::BadRequest, detail)).await;
            }
        }
        exchange.parsed = true;
        // What follows a CONNECT is meant for a tunnel, and is no request to us.
        let last = last || session.req_header().method == Method::CONNECT;
        let mut session = ServerSession::H1(session);
        if last {
            session.set_keepalive(None);
        }
        way::walk(exchange, session).await
    }

    /// Answers a client that has begun a request and not gone on.
    pub(super) async fn too_late(&self, client: ClientStream, started: Time) {
        self.too_slow(self.begin(started), Box::new(client)).await;
    }

    async fn too_slow(&self, exchange: Exchange, client: Box<ClientStream>) -> Option<Reusable> {
        let listener = Arc::clone(&exchange.listener);
        let limit = listener.timeout.request_header;
        let detail = format!("the request header was not complete within {limit:?}");
        let refusal = Refusal::new(Reason::RequestTimeout, detail)
            .threshold("request_header_seconds", limit.as_secs_f64())
            .would_pass("a higher timeout.request_header, or a faster client".to_owned());
        refuse(exchange, session(client, &listener), refusal).await
    }
}

/// The deadlines are ours: one for the header here, the others in the pump.
fn session(client: Box<ClientStream>, listener: &Listener) -> HttpSession {
    let mut session = HttpSession::new(client);
    session.set_read_timeout(None);
    session.set_write_timeout(Some(listener.timeout.write));
    session
}

/// Says why and closes: what follows a head that cannot be trusted cannot be either.
async fn refuse(
    mut exchange: Exchange,
    session: HttpSession,
    refusal: Refusal,
) -> Option<Reusable> {
    exchange.ends(refusal.reason);
    let mut session = ServerSession::H1(session);
    session.set_keepalive(None);
    refuse::answer(&mut exchange, &mut session, refusal).await.ok()?;
    client::sent(&mut session, exchange.listener.timeout.write).await?;
    // The client is told and counted; what it still sends is nobody's request.
    drop(exchange);
    linger(session).await;
    None
}

/// Reads until a head is whole, and tells its length or what is wrong with it so far; `None` when
/// the client leaves before. `read` grows to `limits.header_bytes` and a byte, which tells that it
/// is too much.
async fn read_head(
    client: &mut ClientStream,
    read: &mut BytesMut,
    limits: &ListenerLimits,
) -> Option<Result<usize, Fault>> {
    let mut end = HeadEnd::default();
    loop {
        match end.find(read, limits) {
            Ok(None) => {}
            Ok(Some(length)) => return Some(Ok(length)),
            Err(fault) => return Some(Err(fault)),
        }
        // At least 1: a head that had passed the limit would have been refused just now.
        let room = (limits.header_bytes.get() + 1).saturating_sub(read.len() as u64);
        if (&mut *client).take(room).read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Judges a head and what has been read of its body; gives its length back.
fn judge(
    client: &mut ClientStream,
    read: &[u8],
    length: usize,
    limits: &ListenerLimits,
) -> Result<usize, Fault> {
    let (head, rest) = read.split_at(length);
    if head::check(head, limits)? == Body::Chunked {
        client.expect_chunks(rest).map_err(|Malformed(what)| Fault::BadRequest(what))?;
    }
    Ok(length)
}
