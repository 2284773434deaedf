//! A client's connection: which protocol it speaks, and its requests one after the other.
//!
//! The protocol is told by the first bytes, with a time limit. Every wait between requests is
//! bounded as well; while a connection is idle it holds no buffer.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::BytesMut;
use pingora::protocols::{
    Digest, Stream,
    http::{
        ServerSession,
        v1::server::HttpSession as H1Session,
        v2::server::{self as h2_server, H2Accept, HttpSession as H2Session},
    },
};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, sleep, timeout, timeout_at},
};
use weir_policy::Time;

use super::{
    exchange::Exchange,
    fields,
    head::{self, Fault},
    linger::linger,
    refuse::{self, Refusal},
    stream::ClientStream,
    way::{self, Reusable},
    worker::Worker,
};
use crate::{clock, plan::Listener, reason::Reason};

/// RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read at first; a usual head fits.
const FIRST_READ: usize = 4096;
/// Windows of an h2 connection and its streams; a sidecar holds this much per stream at most.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Malformed h2 requests on one connection before it is closed.
const MALFORMED_MAX: u32 = 32;

/// A client and the listener it came to.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) worker: Arc<Worker>,
    pub(super) listener: Arc<Listener>,
    /// `None` on a Unix socket.
    pub(super) peer: Option<IpAddr>,
}

impl Connection {
    /// Serves the connection until it ends.
    pub(super) async fn serve(self, mut client: ClientStream) {
        let until = clock::instant(clock::now() + self.listener.timeout.request_header);
        let mut first = BytesMut::new();
        match timeout_at(until, sniff(&mut client, &mut first)).await {
            // Nobody there, or nothing but the beginning of a preface.
            Err(_) if first.is_empty() => {}
            Err(_) | Ok(Some(Protocol::H1)) => self.serve_h1(client, first, until).await,
            Ok(Some(Protocol::H2)) => {
                client.replay(first.freeze());
                self.serve_h2(client).await;
            }
            Ok(None) => {}
        }
    }

    async fn serve_h1(&self, client: ClientStream, first: BytesMut, first_until: Instant) {
        let mut next = Reusable { stream: Box::new(client), prefix: first };
        let mut until = first_until;
        for request in 1..=self.listener.limits.requests_per_connection.get() {
            let last = request == self.listener.limits.requests_per_connection.get();
            let started = clock::now();
            if request > 1 {
                until = clock::instant(started + self.listener.timeout.request_header);
            }
            let Some(reusable) = self.request_h1(next, started, until, last).await else { return };
            next = reusable;
            if next.prefix.is_empty() {
                let Some(waited) = self.wait_for_request(next).await else { return };
                next = waited;
            }
        }
    }

    /// Waits for the first byte of the next request; `None` when the connection ends instead.
    async fn wait_for_request(&self, idle: Reusable) -> Option<Reusable> {
        let mut client = idle.stream.into_any().downcast::<ClientStream>().ok()?;
        tokio::select! {
            biased;
            ready = timeout(self.listener.timeout.keepalive, client.readable()) => ready.ok()?.ok()?,
            () = self.worker.closing.cancelled() => return None,
        }
        let mut prefix = BytesMut::with_capacity(FIRST_READ);
        let read = timeout(self.listener.timeout.keepalive, client.read_buf(&mut prefix)).await;
        (read.ok()?.ok()? > 0).then_some(Reusable { stream: client, prefix })
    }

    /// One request; returns the connection when it can take another.
    async fn request_h1(
        &self,
        next: Reusable,
        started: Time,
        until: Instant,
        last: bool,
    ) -> Option<Reusable> {
        let mut exchange = Exchange::begin(&self.worker, &self.listener, self.peer, started);
        let mut session = H1Session::new(next.stream);
        session.set_pipelined_prefix(next.prefix);
        session.set_pipelining_enabled(true);
        // The deadlines are ours: one for the header here, the others in the pump.
        session.set_read_timeout(None);
        session.set_write_timeout(Some(self.listener.timeout.write));
        let fault = match timeout_at(until, session.read_request()).await {
            Err(_) => Some(Refusal::new(Reason::RequestTimeout, self.header_too_slow())),
            Ok(Ok(Some(_))) => {
                exchange.parsed = true;
                head::check(&session.get_headers_raw_bytes(), &self.listener.limits)
                    .err()
                    .map(refusal)
            }
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => Some(malformed(&error)?),
        };
        if let Some(refusal) = fault {
            exchange.ends(refusal.reason);
            return refuse_h1(exchange, session, refusal).await;
        }
        let mut session = ServerSession::H1(session);
        if last {
            session.set_keepalive(None);
        }
        way::walk(exchange, session).await
    }

    fn header_too_slow(&self) -> String {
        format!(
            "the request header was not complete within {:?}",
            self.listener.timeout.request_header
        )
    }

    async fn serve_h2(&self, client: ClientStream) {
        let stream: Stream = Box::new(client);
        let digest = Arc::new(Digest::default());
        let handshake = h2_server::handshake(stream, Some(self.h2_options()));
        let Ok(Ok(mut connection)) = timeout(self.listener.timeout.request_header, handshake).await
        else {
            return;
        };
        let open = Arc::new(AtomicU32::new(0));
        let (mut requests, mut malformed, mut leaving) = (0, 0, false);
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.worker.closing.cancelled(), if !leaving => {
                    leaving = true;
                    connection.graceful_shutdown();
                    continue;
                }
                accepted = H2Session::from_h2_conn(&mut connection, Arc::clone(&digest)) => accepted,
                () = sleep(self.listener.timeout.keepalive) => {
                    if open.load(Relaxed) == 0 {
                        return;
                    }
                    continue;
                }
            };
            match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    requests += 1;
                    if requests == self.listener.limits.requests_per_connection.get() && !leaving {
                        leaving = true;
                        connection.graceful_shutdown();
                    }
                    self.request_h2(session, &open);
                }
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    if malformed == MALFORMED_MAX {
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// One request, in a task of its own.
    fn request_h2(&self, mut session: H2Session, open: &Arc<AtomicU32>) {
        let mut exchange = Exchange::begin(&self.worker, &self.listener, self.peer, clock::now());
        exchange.parsed = true;
        session.set_write_timeout(Some(self.listener.timeout.write));
        let open = Open::one_more(open);
        let limits = self.listener.limits.clone();
        tokio::spawn(async move {
            let mut session = ServerSession::H2(session);
            if let Err(fault) = fields::check(session.req_header(), &limits) {
                let refusal = refusal(fault);
                exchange.ends(refusal.reason);
                // A client that has left cannot be told.
                refuse::answer(&mut exchange, &mut session, refusal).await.unwrap_or_default();
            } else {
                way::walk(exchange, session).await;
            }
            drop(open);
        });
    }

    fn h2_options(&self) -> h2_server::H2Options {
        let limits = &self.listener.limits;
        let mut options = h2_server::default_h2_options();
        options
            .max_concurrent_streams(limits.streams_per_connection.get())
            // Twice the limit, so that what is a little too large can be answered 431.
            .max_header_list_size(
                u32::try_from(limits.header_bytes.get()).unwrap_or(u32::MAX).saturating_mul(2),
            )
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        options
    }
}

/// Counts a stream for as long as it is open.
struct Open(Arc<AtomicU32>);

impl Open {
    fn one_more(open: &Arc<AtomicU32>) -> Self {
        open.fetch_add(1, Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    H1,
    H2,
}

/// Reads until the first bytes tell the protocol; `None` when the client leaves before.
async fn sniff(client: &mut ClientStream, first: &mut BytesMut) -> Option<Protocol> {
    client.readable().await.ok()?;
    first.reserve(FIRST_READ);
    loop {
        if client.read_buf(first).await.ok()? == 0 {
            return (!first.is_empty()).then_some(Protocol::H1);
        }
        let common = first.len().min(PREFACE.len());
        if first[..common] != PREFACE[..common] {
            return Some(Protocol::H1);
        }
        if common == PREFACE.len() {
            return Some(Protocol::H2);
        }
    }
}

/// A head that Pingora's parser refused; `None` when the client merely left.
fn malformed(error: &pingora::Error) -> Option<Refusal> {
    use pingora::ErrorType::InvalidHTTPHeader;
    if *error.etype() != InvalidHTTPHeader {
        return None;
    }
    let said = error.to_string();
    if said.contains("TooManyHeaders") || said.contains("TooLarge") || said.contains("larger than")
    {
        return Some(Refusal::new(Reason::HeaderTooLarge, "the request header is too large"));
    }
    Some(Refusal::new(Reason::BadRequest, "the request header is not valid HTTP"))
}

fn refusal(fault: Fault) -> Refusal {
    match fault {
        Fault::BadRequest(what) => Refusal::new(Reason::BadRequest, what),
        Fault::UriTooLong => {
            Refusal::new(Reason::UriTooLong, "the request target is above limits.uri_bytes")
        }
        Fault::TooManyHeaders => {
            Refusal::new(Reason::HeaderTooLarge, "more fields than limits.headers")
        }
        Fault::HeaderTooLarge => {
            Refusal::new(Reason::HeaderTooLarge, "the header is above limits.header_bytes")
        }
    }
}

/// Says why and closes: what follows a head that cannot be trusted cannot be either.
async fn refuse_h1(
    mut exchange: Exchange,
    session: H1Session,
    refusal: Refusal,
) -> Option<Reusable> {
    let mut session = ServerSession::H1(session);
    session.set_keepalive(None);
    if refuse::answer(&mut exchange, &mut session, refusal).await.is_ok() {
        // The client is told and counted; what it still sends is nobody's request.
        drop(exchange);
        if let ServerSession::H1(session) = session {
            linger(session.into_inner()).await;
        }
    }
    None
}
