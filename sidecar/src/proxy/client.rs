//! What is heard of a client whose request is not being read, and when it has been told.

use std::{future::pending, time::Duration};

use pingora::protocols::http::{ServerSession, v1::server::HttpSession};

use super::{backlog::Backlog, stream::ClientStream};
use crate::clock;

/// Waits until the client has left; what it was sent before leaves meanwhile.
///
/// Of an h2 stream whose answer has begun, only who sends on it hears (`pump::outlet`).
pub(super) async fn left(session: &mut ServerSession) {
    match session {
        ServerSession::H1(session) => match stream_of(session) {
            Some(stream) => stream.left().await,
            None => pending().await,
        },
        ServerSession::H2(session) if session.response_written().is_none() => {
            // A stream that fails while it is watched is one without a client too.
            session.idle().await.map(drop).unwrap_or_default();
        }
        _ => pending().await,
    }
}

/// Sends an h1 client the rest of its answer, which h2 sees to by itself; `None` when it has left, or
/// takes it for longer than any slow client may.
///
/// Who waits for the next request does not send, and who closes has no limit of time; so what was said
/// leaves here.
pub(super) async fn sent(session: &mut ServerSession, within: Duration) -> Option<()> {
    let ServerSession::H1(session) = session else { return Some(()) };
    let send = async {
        session.finish_body().await.ok()?;
        stream_of(session)?.sent().await.ok()
    };
    clock::by(clock::now() + within, send).await?
}

/// Ends a request without an answer: over h2 its stream is reset, over h1 the connection.
pub(super) fn reset(session: ServerSession) {
    match session {
        ServerSession::H2(mut session) => session.shutdown(),
        ServerSession::H1(session) => {
            if let Some(stream) = stream_of(&session) {
                stream.resets();
            }
        }
        _ => {}
    }
}

/// What the client of an h1 session has not taken yet.
pub(super) fn backlog(session: &HttpSession) -> Backlog {
    stream_of(session).map_or_else(Backlog::default, |stream| stream.backlog().clone())
}

fn stream_of(session: &HttpSession) -> Option<&ClientStream> {
    (**session.stream()).as_any().downcast_ref()
}
