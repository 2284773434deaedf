//! What is left of a request whose answer is out already.
//!
//! A client that sends anything more, a rest, another request or a stray CRLF, would meet a reset, and
//! lose the answer with it, if the socket were closed with bytes unread. So a small rest is read and the
//! connection goes on; of every connection that ends, our half is closed first, and what still comes is
//! read for a moment.

use std::time::Duration;

use http::header;
use pingora::protocols::{
    Stream,
    http::{ServerSession, server::ReusableHttpStream},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

/// Up to here a rest is worth reading for the sake of the connection.
const SMALL: u64 = 64 * 1024;
/// How long the reading of a small rest may take.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long and how much a closed half is still read.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How much of a request has not been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    None,
    Small,
    /// Large, of unknown length, or perhaps never sent (`Expect: 100-continue`).
    Unbounded,
}

impl Rest {
    pub(super) fn of(session: &mut ServerSession) -> Self {
        if session.is_body_done() {
            return Self::None;
        }
        let ServerSession::H1(h1) = session else { return Self::Unbounded };
        let headers = &h1.req_header().headers;
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let rest = length.map(|length| length.saturating_sub(h1.body_bytes_read() as u64));
        match rest {
            Some(rest) if rest <= SMALL && !headers.contains_key(header::EXPECT) => Self::Small,
            _ => Self::Unbounded,
        }
    }
}

/// Reads a small rest; `None` when it did not come in time, or the connection ends anyway.
pub(super) async fn drain(mut session: ServerSession) -> Option<ReusableHttpStream> {
    session.set_total_drain_timeout(Some(DRAIN_TIMEOUT));
    session.finish().await.ok().flatten()
}

/// Reads on for a moment after the answer, so that it is not lost to a reset.
///
/// On h1 our half is closed first. On h2 the answer has ended the stream; some clients (curl 7.88)
/// forget an answer whose stream is reset while they are still sending, although RFC 9113 (section
/// 8.1) lets a server do that.
pub(super) async fn linger(session: ServerSession) {
    let read_on = async {
        match session {
            ServerSession::H1(session) => read_on_h1(session.into_inner()).await,
            session => read_on_h2(session).await,
        }
    };
    if timeout(LINGER_TIMEOUT, read_on).await.is_err() {
        tracing::debug!("a client went on sending what nobody reads");
    }
}

async fn read_on_h1(mut stream: Stream) {
    stream.shutdown().await.unwrap_or_default();
    let mut unwanted = vec![0; 16 * 1024];
    let mut left = LINGER_BYTES;
    // An end and an error are the same here: nobody sends any more.
    while left > 0
        && let Ok(read @ 1..) = stream.read(&mut unwanted).await
    {
        left = left.saturating_sub(read);
    }
}

async fn read_on_h2(mut session: ServerSession) {
    let mut left = LINGER_BYTES;
    while left > 0
        && let Ok(Some(unwanted)) = session.read_request_body().await
    {
        left = left.saturating_sub(unwanted.len());
    }
}
