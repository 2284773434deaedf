//! The client's socket, as Pingora's sessions see it.
//!
//! Small writes are gathered: a header and a short body leave in one packet. What is gathered leaves
//! when someone flushes, when it is more than a packet or two, or when the reader of this socket has
//! to wait: a proxy that has nothing more to read has nothing more to say for now, so a stream that
//! trickles is passed on piece by piece without a flush of its own. Nothing is allocated while the
//! connection is idle.
//!
//! While a chunked body comes in, its bytes are held to the grammar before the session sees them: a
//! violation is a read that fails with [`Malformed`], so it is neither taken for a client that has
//! left nor for a body that has ended.

use std::{
    io::{self, IoSlice},
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
};

use super::chunks::{Chunks, Malformed};

/// Up to how many bytes wait for more before they are sent.
const GATHER: usize = 4096;

/// An accepted socket.
#[derive(Debug)]
pub(crate) struct ClientStream {
    socket: Socket,
    /// Bytes read before the protocol was known; read again first.
    replay: Bytes,
    gathered: Vec<u8>,
    /// The chunked body that is coming in.
    chunks: Option<Chunks>,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl ClientStream {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, replay: Bytes::new(), gathered: Vec::new(), chunks: None }
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

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let sent = ready!(self.socket.poll_write(cx, &self.gathered))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.drain(..sent);
        }
        self.gathered = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Unix(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
        }
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
        if this.gathered.len() + bytes.len() <= GATHER {
            this.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        loop {
            if this.gathered.is_empty() {
                return this.socket.poll_write(cx, bytes);
            }
            let slices = [IoSlice::new(&this.gathered), IoSlice::new(bytes)];
            let sent = ready!(this.socket.poll_write_vectored(cx, &slices))?;
            match sent.checked_sub(this.gathered.len()) {
                None | Some(0) if sent == 0 => {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                None => {
                    this.gathered.drain(..sent);
                }
                Some(of_bytes) => {
                    this.gathered = Vec::new();
                    if of_bytes > 0 {
                        return Poll::Ready(Ok(of_bytes));
                    }
                }
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
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

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // The peer may be gone already; then there is nothing left to close.
        AsyncWriteExt::shutdown(self).await.unwrap_or_default();
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        match &self.socket {
            Socket::Tcp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

impl Ssl for ClientStream {}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

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
