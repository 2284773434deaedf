//! A stream to an upstream whose writes do not wait.
//!
//! Pingora's h1 session borrows its stream whole for a write, so that while a write waits for the
//! upstream nothing can be read from it. An upstream that answers while it reads, and waits for us to
//! take the answer, would then wait for ever, and so would we. Here a write is taken at once and sent
//! in the background of reads: whoever polls for the answer also sends. The pump takes no more from
//! the client until the [`Backlog`] is gone, which bounds it to a piece of a body.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Above this a write waits after all; a piece of a body is at most 64 KiB, and its framing little.
const BACKLOG_MAX: usize = 256 * 1024;

/// A stream with what it has taken and not sent.
#[derive(Debug)]
pub(super) struct WriteBehind {
    stream: Stream,
    taken: Vec<u8>,
    /// How much of `taken` has been sent.
    sent: usize,
    backlog: Backlog,
}

/// Bytes taken and not sent yet, for who does not hold the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Backlog(Arc<AtomicUsize>);

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    /// Ready when all has been sent, for a task that also reads from the stream: the socket wakes
    /// it, and its read sends.
    pub(super) async fn sent(&self) {
        poll_fn(|_| if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl WriteBehind {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, taken: Vec::new(), sent: 0, backlog: Backlog::default() }
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    fn unsent(&self) -> usize {
        self.taken.len() - self.sent
    }

    fn forget(&mut self) {
        (self.taken, self.sent) = (Vec::new(), 0);
        self.backlog.0.store(0, Relaxed);
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.taken[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.forget();
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

impl AsyncRead for WriteBehind {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An upstream that takes no more may still have answered: its answer tells what happened.
        if this.unsent() > 0 && matches!(this.poll_send(cx), Poll::Ready(Err(_))) {
            this.forget();
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WriteBehind {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.unsent() == 0 {
            // What the socket takes now need not be copied.
            if let Poll::Ready(sent) = Pin::new(&mut this.stream).poll_write(cx, bytes) {
                return Poll::Ready(sent);
            }
        } else if this.unsent() + bytes.len() > BACKLOG_MAX {
            ready!(this.poll_send(cx))?;
        }
        this.taken.extend_from_slice(bytes);
        this.backlog.0.store(this.unsent(), Relaxed);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends what can be sent; the rest goes with the reads.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().poll_send(cx) {
            Poll::Ready(sent) => Poll::Ready(sent),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for WriteBehind {
    async fn shutdown(&mut self) {
        // The peer may be gone already; then there is nothing left to close.
        AsyncWriteExt::shutdown(self).await.unwrap_or_default();
    }
}

impl UniqueID for WriteBehind {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for WriteBehind {}

impl Peek for WriteBehind {}

impl GetTimingDigest for WriteBehind {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for WriteBehind {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for WriteBehind {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, duplex},
        net::UnixStream,
    };

    use super::*;
    use crate::proxy::stream::{ClientStream, Socket};

    fn pair() -> (WriteBehind, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (WriteBehind::new(Box::new(ClientStream::new(Socket::Unix(ours)))), theirs)
    }

    #[tokio::test]
    async fn a_write_does_not_wait_for_the_other_side() {
        let (mut ours, mut theirs) = pair();
        let piece = vec![7; 64 * 1024];
        let mut written = 0;
        while ours.backlog().is_empty() {
            ours.write_all(&piece).await.unwrap();
            ours.flush().await.unwrap();
            written += piece.len();
        }
        theirs.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        ours.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        // Whoever waits for more of the answer sends the rest.
        let mut seen = vec![0; written];
        tokio::select! {
            more = ours.read(&mut answer) => panic!("nobody said more: {more:?}"),
            read = theirs.read_exact(&mut seen) => assert_eq!(read.unwrap(), written),
        }
        assert!(ours.backlog().is_empty());
    }

    #[tokio::test]
    async fn what_is_taken_is_bounded() {
        let (mut ours, _theirs) = pair();
        let (mut never, _kept) = duplex(1);
        let piece = vec![7; 64 * 1024];
        tokio::select! {
            biased;
            () = async { loop { ours.write_all(&piece).await.unwrap() } } => {}
            _ = never.read_u8() => {}
            () = tokio::task::yield_now() => {}
        }
        assert!(ours.unsent() <= BACKLOG_MAX);
    }
}
