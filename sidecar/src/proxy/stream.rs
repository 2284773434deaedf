//! The client's socket, as Pingora's sessions see it.
//!
//! Small writes are gathered: a header and a short body leave in one packet. What is gathered leaves
//! when someone flushes, when it is more than a packet or two, or when whoever listens to this socket
//! has to wait: a proxy that has nothing more to read has nothing more to say for now, so a stream that
//! trickles is passed on piece by piece without a flush of its own. What the socket does not take is a
//! [`Backlog`], and no write waits for it. Nothing is held while the connection is idle.
//!
//! While a chunked body comes in, its bytes are held to the grammar before the session sees them: a
//! violation is a read that fails with [`Malformed`], so it is neither taken for a client that has
//! left nor for a body that has ended.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::AsRawFd,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use pingora::protocols::{UniqueID, UniqueIDType};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::{
    backlog::{BACKLOG_MAX, Backlog, Taken},
    bare::bare_stream,
    chunks::{Chunks, Malformed},
};

/// Up to how many bytes wait for more before they are sent.
const GATHER: usize = 4096;

/// An accepted socket.
#[derive(Debug)]
pub(crate) struct ClientStream {
    socket: Socket,
    /// Bytes read before the protocol was known; read again first.
    replay: Bytes,
    /// Gathered, or left by the socket. Nobody ever waits for the lock: it lets [`Self::left`] send
    /// while Pingora's session holds the stream.
    taken: Mutex<Taken>,
    backlog: Backlog,
    /// Above this a write waits for the socket.
    backlog_max: usize,
    /// The chunked body that is coming in.
    chunks: Option<Chunks>,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl ClientStream {
    /// Once dropped, the connection is reset and not ended in order.
    pub(super) fn resets(&self) {
        if let Socket::Tcp(socket) = &self.socket {
            // A socket that is gone already needs no reset.
            SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap_or_default();
        }
    }

    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            replay: Bytes::new(),
            taken: Mutex::default(),
            backlog: Backlog::default(),
            backlog_max: BACKLOG_MAX,
            chunks: None,
        }
    }

    /// For a session whose writes and reads do not wait for each other: it has buffers and bounds of its
    /// own, so a write waits until the one before it has been sent.
    pub(super) fn without_backlog(mut self) -> Self {
        self.backlog_max = 0;
        self
    }

    /// Gives bytes back that the next reader must see first.
    pub(crate) fn replay(&mut self, bytes: Bytes) {
        self.replay = bytes;
    }

    /// Holds what follows to the grammar of chunks, up to the body's end; `read` has been read of it
    /// already.
    ///
    /// # Errors
    /// When `read` violates it.
    pub(super) fn expect_chunks(&mut self, read: &[u8]) -> Result<(), Malformed> {
        self.chunks = Some(Chunks::default());
        self.watch(read)
    }

    fn watch(&mut self, read: &[u8]) -> Result<(), Malformed> {
        let Some(chunks) = &mut self.chunks else { return Ok(()) };
        let verdict = chunks.read(read);
        // Behind its end is another request, and behind a violation there is nothing to hold on to.
        if !matches!(verdict, Ok(None)) {
            self.chunks = None;
        }
        verdict.map(|_| ())
    }

    /// Waits for bytes or the end of the stream without holding a buffer.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(socket) => socket.readable().await,
            Socket::Unix(socket) => socket.readable().await,
        }
    }

    /// [`Self::readable`] for a socket that was just accepted: tokio takes such a one for readable until
    /// it has been asked.
    pub(super) async fn begun(&self) -> io::Result<()> {
        loop {
            self.readable().await?;
            let mut byte = [MaybeUninit::uninit()];
            let peeked = match &self.socket {
                Socket::Tcp(socket) => {
                    socket.try_io(Interest::READABLE, || SockRef::from(socket).peek(&mut byte))
                }
                Socket::Unix(socket) => {
                    socket.try_io(Interest::READABLE, || SockRef::from(socket).peek(&mut byte))
                }
            };
            match peeked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked.map(drop),
            }
        }
    }

    /// What the socket has not taken.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    /// Waits until the client has left, and sends meanwhile. One that has closed its sending half has
    /// left, as everywhere in this trade; what it sent before may still be unread.
    pub(super) async fn left(&self) {
        let mut closed = None;
        poll_fn(|cx| {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            // What is pending now is sent when the socket wakes this task.
            if let Poll::Ready(Err(_)) = poll_send(&self.socket, &mut taken, &self.backlog, cx) {
                return Poll::Ready(());
            }
            // Mostly there is nothing to read and no end, which costs less to wait for than the end alone.
            if closed.is_none() {
                ready!(self.socket.poll_read_ready(cx));
            }
            closed.get_or_insert_with(|| Box::pin(self.socket.closed())).as_mut().poll(cx)
        })
        .await;
    }

    /// Waits until the client has been sent everything.
    pub(super) async fn sent(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
            poll_send(&self.socket, &mut taken, &self.backlog, cx)
        })
        .await
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let taken = self.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        poll_send(&self.socket, taken, &self.backlog, cx)
    }
}

/// Sends what is taken; what the socket does not take is its backlog.
fn poll_send(
    socket: &Socket,
    taken: &mut Taken,
    backlog: &Backlog,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if taken.unsent() == 0 {
        return Poll::Ready(Ok(()));
    }
    let sent = taken.poll_send(|bytes| {
        let sent = socket.poll_send(&[IoSlice::new(bytes)], cx);
        if let Poll::Ready(Ok(sent)) = &sent {
            backlog.count(*sent);
        }
        sent
    });
    backlog.set(taken.unsent());
    sent
}

impl Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }

    /// Sends what the socket takes now.
    fn poll_send(&self, slices: &[IoSlice<'_>], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let sent = match self {
                Self::Tcp(socket) => socket.try_write_vectored(slices),
                Self::Unix(socket) => socket.try_write_vectored(slices),
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
            ready!(match self {
                Self::Tcp(socket) => socket.poll_write_ready(cx),
                Self::Unix(socket) => socket.poll_write_ready(cx),
            })?;
        }
    }

    /// Ready when there is something to read, or an end.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(cx),
            Self::Unix(socket) => socket.poll_read_ready(cx),
        }
        .map(|_| ())
    }

    /// Waits until the other side sends no more, whatever there still is to read.
    async fn closed(&self) {
        // Of what the system tells of a socket, tokio counts its end to PRIORITY, and nothing else
        // that our registration asks for. A failed wait is an end too.
        match self {
            Self::Tcp(socket) => socket.ready(Interest::PRIORITY).await.map(drop),
            Self::Unix(socket) => socket.ready(Interest::PRIORITY).await.map(drop),
        }
        .unwrap_or_default();
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.replay.is_empty() {
            let now = this.replay.len().min(buf.remaining());
            buf.put_slice(&this.replay[..now]);
            this.replay.advance(now);
            return Poll::Ready(Ok(()));
        }
        // Pending is fine: the socket wakes this task when it takes bytes again.
        if let Poll::Ready(Err(error)) = this.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        let before = buf.filled().len();
        ready!(this.socket.poll_read(cx, buf))?;
        let watched = this.watch(&buf.filled()[before..]);
        Poll::Ready(watched.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault)))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = this.taken.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !this.backlog.is_empty() && taken.unsent() + bytes.len() > this.backlog_max {
            ready!(poll_send(&this.socket, taken, &this.backlog, cx))?;
        }
        if this.backlog.is_empty() {
            if taken.unsent() + bytes.len() <= GATHER {
                taken.push(bytes);
                return Poll::Ready(Ok(bytes.len()));
            }
            let slices = [IoSlice::new(taken.rest()), IoSlice::new(bytes)];
            let sent = match this.socket.poll_send(&slices, cx) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => 0,
            };
            this.backlog.count(sent);
            let of_bytes = taken.advance(sent);
            taken.push(&bytes[of_bytes..]);
        } else {
            taken.push(bytes);
        }
        this.backlog.set(taken.unsent());
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends what can be sent; the rest is the backlog.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().poll_send(cx) {
            Poll::Ready(sent) => Poll::Ready(sent),
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Who has said the last word may read on so that it arrives, but takes nothing for a request.
        this.chunks = None;
        ready!(this.poll_send(cx))?;
        match &mut this.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

bare_stream!(ClientStream);

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (ClientStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ClientStream::new(Socket::Unix(ours)), theirs)
    }

    #[tokio::test]
    async fn small_writes_leave_together_when_the_reader_waits() {
        let (mut ours, mut theirs) = pair();
        ours.write_all(b"header ").await.unwrap();
        ours.write_all(b"body").await.unwrap();
        let mut seen = [0; 64];
        assert!(theirs.try_read(&mut seen).is_err(), "nothing has left yet");
        let (read, ()) = tokio::join!(theirs.read(&mut seen), async {
            let mut nothing = [0; 1];
            tokio::select! {
                biased;
                _ = ours.read(&mut nothing) => unreachable!("the peer says nothing"),
                () = tokio::task::yield_now() => {}
            }
        });
        assert_eq!(&seen[..read.unwrap()], b"header body");
    }

    #[tokio::test]
    async fn a_large_write_keeps_its_order() {
        let (mut ours, mut theirs) = pair();
        let large = vec![b'x'; 3 * GATHER];
        let writer = async {
            ours.write_all(b"first ").await.unwrap();
            ours.write_all(&large).await.unwrap();
            AsyncWriteExt::shutdown(&mut ours).await.unwrap();
        };
        let mut seen = Vec::new();
        let (read, ()) = tokio::join!(theirs.read_to_end(&mut seen), writer);
        assert_eq!(read.unwrap(), 6 + large.len());
        assert!(seen.starts_with(b"first xxx"));
    }

    #[tokio::test]
    async fn without_a_backlog_a_write_waits_for_the_one_before() {
        let (ours, mut theirs) = pair();
        let mut ours = ours.without_backlog();
        let piece = [b'x'; 2 * GATHER];
        let mut taken = 0;
        while let Some(written) = ours.write(&piece).now_or_never() {
            taken += written.unwrap();
        }
        assert!(ours.backlog().len() <= piece.len());
        let mut seen = vec![0; taken];
        let (read, written) = tokio::join!(theirs.read_exact(&mut seen), ours.write(&piece));
        assert_eq!((read.unwrap(), written.unwrap()), (taken, piece.len()));
    }

    #[tokio::test]
    async fn replayed_bytes_come_first() {
        let (mut ours, mut theirs) = pair();
        theirs.write_all(b" world").await.unwrap();
        ours.replay(Bytes::from_static(b"hello"));
        let mut seen = [0; 11];
        ours.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"hello world");
    }

    #[tokio::test]
    async fn chunks_are_watched_up_to_their_end() {
        let (mut ours, mut theirs) = pair();
        ours.expect_chunks(b"5\r\nhe").unwrap();
        theirs.write_all(b"llo\r\n0\r\n\r\nGET  not a chunk").await.unwrap();
        let mut seen = [0; 26];
        ours.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"llo\r\n0\r\n\r\nGET  not a chunk");
    }

    #[tokio::test]
    async fn a_malformed_chunk_is_an_error_of_its_own_and_the_rest_can_be_read() {
        let (mut ours, mut theirs) = pair();
        ours.expect_chunks(b"5\r\nhello\r\n").unwrap();
        theirs.write_all(b"\r\n\r\n").await.unwrap();
        let mut seen = [0; 4];
        let error = ours.read(&mut seen).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        assert_eq!(cause, Some(&Malformed("an empty chunk size")));
        theirs.write_all(b"more").await.unwrap();
        assert_eq!(ours.read(&mut seen).await.unwrap(), 4);
    }

    #[tokio::test]
    async fn nothing_is_watched_after_the_last_word() {
        let (mut ours, mut theirs) = pair();
        ours.expect_chunks(b"").unwrap();
        AsyncWriteExt::shutdown(&mut ours).await.unwrap();
        theirs.write_all(b"no chunk").await.unwrap();
        let mut seen = [0; 8];
        ours.read_exact(&mut seen).await.unwrap();
    }
}
