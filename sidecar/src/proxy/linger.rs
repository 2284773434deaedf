//! What is left of a request whose answer is out already.
//!
//! A client that is still sending when its answer comes would meet a reset, and lose the answer with
//! it, if the socket were closed with bytes unread. So a small rest is read and the connection goes
//! on; a large one is read for a moment after our half has been closed, and then let go.

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
        // An h2 stream ends by itself and leaves its connection alone.
        let ServerSession::H1(h1) = session else { return Self::None };
        if h1.is_body_done() {
            return Self::None;
        }
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

/// Closes our half, and reads on for a moment so that the answer is not lost to a reset.
pub(super) async fn linger(mut stream: Stream) {
    let read_on = async {
        stream.shutdown().await?;
        let mut unwanted = vec![0; 16 * 1024];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut unwanted).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    if let Ok(Err(error)) = timeout(LINGER_TIMEOUT, read_on).await {
        tracing::debug!(%error, "client left while its rest was read");
    }
}
