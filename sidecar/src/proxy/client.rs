//! What is heard of a client whose request is not being read, and when it has been told.

use std::future::pending;

use pingora::{
    ErrorType::WriteError,
    OrErr,
    protocols::http::{ServerSession, v1::server::HttpSession},
};

use super::{backlog::Backlog, stream::ClientStream};

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

/// Waits until an h1 client has been sent all of its answer; h2 sees to that by itself.
pub(super) async fn sent(session: &mut ServerSession) -> pingora::Result<()> {
    let ServerSession::H1(session) = session else { return Ok(()) };
    session.finish_body().await?;
    match stream_of(session) {
        Some(stream) => stream.sent().await.or_err(WriteError, "sending what is gathered"),
        None => Ok(()),
    }
}

/// What the client of an h1 session has not taken yet.
pub(super) fn backlog(session: &HttpSession) -> Backlog {
    stream_of(session).map_or_else(Backlog::default, |stream| stream.backlog().clone())
}

fn stream_of(session: &HttpSession) -> Option<&ClientStream> {
    (**session.stream()).as_any().downcast_ref()
}
