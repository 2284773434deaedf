//! A stream to an upstream whose writes do not wait; see [`Backlog`].

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use pingora::protocols::{Stream, UniqueID, UniqueIDType, http::v1::client::HttpSession};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    backlog::{BACKLOG_MAX, Backlog, Taken},
    bare::bare_stream,
};

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
    /// The stream may hold bytes of its own that it has not sent, as TLS does.
    unflushed: bool,
}

/// What the stream of an h1 session has taken and not sent.
pub(super) fn backlog(session: &HttpSession) -> Backlog {
    stream_of(session).map_or_else(Backlog::default, |stream| stream.backlog().clone())
}

pub(super) fn stream_of(session: &HttpSession) -> Option<&WriteBehind> {
    (**session.stream()).as_any().downcast_ref()
}

impl WriteBehind {
    pub(super) fn new(stream: Stream) -> Self {
        let id = stream.id();
        let inner = Mutex::new(Inner { stream, taken: Taken::default(), unflushed: false });
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
        let Self { stream, taken, unflushed } = self;
        let sent = taken.poll_send(|bytes| {
            *unflushed = true;
            Pin::new(&mut *stream).poll_write(cx, bytes)
        });
        backlog.set(taken.unsent());
        ready!(sent)?;
        let flushed = Pin::new(stream).poll_flush(cx);
        *unflushed = flushed.is_pending();
        // How much the stream holds is its own; that it does keeps the next piece back.
        backlog.set(usize::from(*unflushed));
        flushed
    }

    /// An upstream that takes no more may still have answered: its answer tells what happened.
    fn send_or_forget(&mut self, backlog: &Backlog, cx: &mut Context<'_>) {
        let owes = self.taken.unsent() > 0 || self.unflushed;
        if owes && matches!(self.poll_send(backlog, cx), Poll::Ready(Err(_))) {
            (self.taken, self.unflushed) = (Taken::default(), false);
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
            inner.unflushed = true;
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

bare_stream!(WriteBehind);

impl UniqueID for WriteBehind {
    fn id(&self) -> UniqueIDType {
        self.id
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        net::UnixStream,
    };

    use super::*;
    use crate::proxy::stream::{ClientStream, Socket};

    fn pair() -> (WriteBehind, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (WriteBehind::new(Box::new(ClientStream::new(Socket::Unix(ours)))), theirs)
    }

    /// As TLS: its first flush is pending, although it has taken everything.
    #[derive(Debug)]
    struct Holding {
        inner: ClientStream,
        flushes: u32,
    }

    bare_stream!(Holding);

    impl UniqueID for Holding {
        fn id(&self) -> UniqueIDType {
            self.inner.id()
        }
    }

    impl AsyncRead for Holding {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            // It sends nothing of itself, so its own stream must have nothing gathered.
            if self.flushes < 2 {
                return Poll::Pending;
            }
            Pin::new(&mut self.inner).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Holding {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.inner).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.flushes == 1 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
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

    /// TLS takes what the socket does not, and sends it when it is flushed again.
    #[tokio::test]
    async fn what_the_stream_holds_itself_is_sent_too() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let held = ClientStream::new(Socket::Unix(ours));
        let mut ours = WriteBehind::new(Box::new(Holding { inner: held, flushes: 0 }));
        ours.write_all(b"last piece").await.unwrap();
        ours.flush().await.unwrap();
        assert!(!ours.backlog().is_empty(), "the flush is pending");
        let (mut answer, mut seen) = ([0; 1], [0; 10]);
        tokio::select! {
            more = ours.read(&mut answer) => panic!("nobody said more: {more:?}"),
            read = theirs.read_exact(&mut seen) => assert_eq!(read.unwrap(), 10),
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
