//! The client's socket, as Pingora's sessions see it.
//!
//! Small writes are gathered: a header and a short body leave in one packet. What is gathered leaves
//! when someone flushes, when it is more than a packet or two, or when the reader of this socket has
//! to wait: a proxy that has nothing more to read has nothing more to say for now, so a stream that
//! trickles is passed on piece by piece without a flush of its own. Nothing is allocated while the
//! connection is idle.

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

/// Up to how many bytes wait for more before they are sent.
const GATHER: usize = 4096;

/// An accepted socket.
#[derive(Debug)]
pub(crate) struct ClientStream {
    socket: Socket,
    /// Bytes read before the protocol was known; read again first.
    replay: Bytes,
    gathered: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl ClientStream {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, replay: Bytes::new(), gathered: Vec::new() }
    }

    /// Gives bytes back that the next reader must see first.
    pub(crate) fn replay(&mut self, bytes: Bytes) {
        self.replay = bytes;
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
        match &mut this.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
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
            ours.shutdown().await.unwrap();
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
}
