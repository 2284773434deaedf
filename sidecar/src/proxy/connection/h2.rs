//! The requests of an HTTP/2 connection, each in a task of its own.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use http::header::CONTENT_LENGTH;
use pingora::protocols::{
    Digest, Stream,
    http::{
        ServerSession,
        v2::server::{self, H2Accept, HttpSession},
    },
};
use tokio::time::{sleep, timeout};
use weir_config::ListenerLimits;
use weir_policy::Time;

use super::{
    super::{
        backlog::Backlog,
        head::{self, Fault},
        refuse,
        stream::ClientStream,
        way,
    },
    Connection, refusal,
};
use crate::clock;

/// What is held of an upload that is not read, as while its request waits in a queue.
const STREAM_WINDOW: u32 = 64 * 1024;
/// RFC 9113, section 6.9.1.
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// How long a connection without requests may take for its end when the listeners have closed.
const CLOSING: Duration = Duration::from_secs(1);
/// Malformed requests on one connection before it is closed; well-formed ones do not make up for them.
const MALFORMED_MAX: u32 = 32;

impl Connection {
    pub(super) async fn serve_h2(&self, client: ClientStream) {
        let mut owed = Owed { backlog: client.backlog().clone(), sent: 0, at: clock::now() };
        let stream: Stream = Box::new(client.without_backlog());
        let digest = Arc::new(Digest::default());
        let listener = self.listener();
        let handshake = server::handshake(stream, Some(h2_options(&listener.limits)));
        let Ok(Ok(mut connection)) = timeout(listener.timeout.request_header, handshake).await
        else {
            return;
        };
        let open = Arc::new(AtomicU32::new(0));
        let (mut requests, mut malformed, mut leaving, mut closing) = (0, 0, false, false);
        drop(listener);
        loop {
            let listener = self.listener();
            let patience = if closing { CLOSING } else { listener.timeout.keepalive };
            let accepted = tokio::select! {
                biased;
                () = self.told_to_go(requests), if !leaving => {
                    leaving = true;
                    connection.graceful_shutdown();
                    continue;
                }
                // From here on nobody is waited for as long.
                () = self.worker.closing.cancelled(), if !closing => {
                    closing = true;
                    continue;
                }
                accepted = HttpSession::from_h2_conn(&mut connection, Arc::clone(&digest)) => accepted,
                () = sleep(patience) => {
                    if open.load(Relaxed) > 0 || owed.is_being_taken(listener.timeout.write) {
                        continue;
                    }
                    if leaving {
                        return;
                    }
                    // A request that is on its way already is still served.
                    leaving = true;
                    connection.graceful_shutdown();
                    continue;
                }
            };
            let is_malformed = match accepted {
                Ok(Some(H2Accept::Session(session))) => {
                    requests += 1;
                    if requests >= listener.limits.requests_per_connection.get() && !leaving {
                        leaving = true;
                        connection.graceful_shutdown();
                    }
                    self.request_h2(session, &open)
                }
                Ok(Some(H2Accept::Rejected)) => true,
                Ok(None) | Err(_) => return,
            };
            malformed += u32::from(is_malformed);
            if is_malformed && malformed == MALFORMED_MAX {
                connection.abrupt_shutdown(h2::Reason::ENHANCE_YOUR_CALM);
            }
        }
    }

    /// Waits until the client should go elsewhere. One that has just come is let ask once while others
    /// are draining: it would hear of it before it could have known.
    async fn told_to_go(&self, requests: u32) {
        if requests == 0 {
            self.worker.closing.cancelled().await;
        } else {
            self.worker.draining.cancelled().await;
        }
    }

    /// Starts a request; whether it is malformed.
    fn request_h2(&self, mut session: HttpSession, open: &Arc<AtomicU32>) -> bool {
        let mut exchange = self.begin(clock::now());
        exchange.parsed = true;
        session.set_write_timeout(Some(exchange.listener.timeout.write));
        await_end_of_empty_body(&mut session);
        let verdict = head::h2::check(session.req_header(), &exchange.listener.limits);
        let open = Open::one_more(open);
        tokio::spawn(async move {
            let mut session = ServerSession::H2(session);
            if let Err(fault) = verdict {
                let refusal = refusal(fault, &exchange.listener.limits);
                exchange.ends(refusal.reason);
                // A client that has left cannot be told.
                refuse::answer(&mut exchange, &mut session, refusal).await.unwrap_or_default();
            } else {
                way::walk(exchange, session).await;
            }
            drop(open);
        });
        matches!(verdict, Err(Fault::BadRequest(_)))
    }
}

fn h2_options(limits: &ListenerLimits) -> server::H2Options {
    let streams = limits.streams_per_connection.get();
    let mut options = server::default_h2_options();
    options
        .max_concurrent_streams(streams)
        // Twice the limit, so that what is a little too large can be answered 431.
        .max_header_list_size(
            u32::try_from(limits.header_bytes.get()).unwrap_or(u32::MAX).saturating_mul(2),
        )
        .initial_window_size(STREAM_WINDOW)
        // Room for every stream's, so that uploads which wait hold up no other.
        .initial_connection_window_size(streams.saturating_mul(STREAM_WINDOW).min(WINDOW_MAX))
        .max_send_buffer_size(STREAM_WINDOW as usize);
    options
}

/// Pingora takes `content-length: 0` for the end of a request, whatever DATA follows. Only END_STREAM
/// is its end, so a length that promises one which has not come is left out.
fn await_end_of_empty_body(session: &mut HttpSession) {
    let request = session.req_header_mut();
    if request.headers.get(CONTENT_LENGTH).is_none_or(|length| length != "0") {
        return;
    }
    let length = request.remove_header(&CONTENT_LENGTH);
    if let (Some(length), true) = (length, session.is_body_done()) {
        // It was there a moment ago, so there is room for it.
        session.req_header_mut().insert_header(CONTENT_LENGTH, length).unwrap_or_default();
    }
}

/// What a connection's client has not taken: an answer that has ended for us may still be on its way.
struct Owed {
    backlog: Backlog,
    /// Bytes that it had taken when it was last looked at, and when there was a change.
    sent: u64,
    at: Time,
}

impl Owed {
    /// Whether there is something, of which some was taken lately.
    fn is_being_taken(&mut self, within: Duration) -> bool {
        let now = clock::now();
        if mem::replace(&mut self.sent, self.backlog.total()) != self.backlog.total() {
            self.at = now;
        }
        !self.backlog.is_empty() && now.since(self.at) < within
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
