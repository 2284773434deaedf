//! A stream to an upstream whose writes do not wait; see [`Backlog`].

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::backlog::{BACKLOG_MAX, Backlog, Taken};

/// A stream with what it has taken and not sent.
#[derive(Debug)]
pub(super) struct WriteBehind {
    /// Nobody ever waits for the lock: it lets [`Self::send`] send while Pingora's session holds this.
    inner: Mutex<Inner>,
    backlog: Backlog,
    id: UniqueIDType,
}

#[derive(Debug)]
struct Inner {
    stream: Stream,
    taken: Taken,
}

impl WriteBehind {
    pub(super) fn new(stream: Stream) -> Self {
        let id = stream.id();
        let inner = Mutex::new(Inner { stream, taken: Taken::default() });
        Self { inner, backlog: Backlog::default(), id }
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Sends what there is, for ever: what an upstream is owed while nobody listens to it.
    pub(super) async fn send(&self) {
        poll_fn(|cx| {
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.send_or_forget(&self.backlog, cx);
            Poll::Pending
        })
        .await
    }

    fn parts(&mut self) -> (&mut Inner, &Backlog) {
        (self.inner.get_mut().unwrap_or_else(PoisonError::into_inner), &self.backlog)
    }
}

impl Inner {
    fn poll_send(&mut self, backlog: &Backlog, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, taken } = self;
        let sent = taken.poll_send(|bytes| Pin::new(&mut *stream).poll_write(cx, bytes));
        backlog.set(taken.unsent());
        ready!(sent)?;
        Pin::new(stream).poll_flush(cx)
    }

    /// An upstream that takes no more may still have answered: its answer tells what happened.
    fn send_or_forget(&mut self, backlog: &Backlog, cx: &mut Context<'_>) {
        if self.taken.unsent() > 0 && matches!(self.poll_send(backlog, cx), Poll::Ready(Err(_))) {
            self.taken = Taken::default();
            backlog.set(0);
        }
    }
}

impl AsyncRead for WriteBehind {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (inner, backlog) = self.get_mut().parts();
        inner.send_or_forget(backlog, cx);
        Pin::new(&mut inner.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WriteBehind {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (inner, backlog) = self.get_mut().parts();
        if inner.taken.unsent() == 0 {
            // What the socket takes now need not be copied.
            if let Poll::Ready(sent) = Pin::new(&mut inner.stream).poll_write(cx, bytes) {
                return Poll::Ready(sent);
            }
        } else if inner.taken.unsent() + bytes.len() > BACKLOG_MAX {
            ready!(inner.poll_send(backlog, cx))?;
        }
        inner.taken.push(bytes);
        backlog.set(inner.taken.unsent());
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends what can be sent; the rest is the backlog.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (inner, backlog) = self.get_mut().parts();
        match inner.poll_send(backlog, cx) {
            Poll::Ready(sent) => Poll::Ready(sent),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (inner, backlog) = self.get_mut().parts();
        ready!(inner.poll_send(backlog, cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
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
        self.id
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
        assert!(ours.parts().0.taken.unsent() <= BACKLOG_MAX);
    }
}
