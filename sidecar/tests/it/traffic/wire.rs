//! A socket in the test's own hands: it says each byte itself, on either side of the sidecar.
//!
//! What must be seen before what is then an order of lines in the test, and depends on no clock.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use tokio::net::TcpSocket;

use super::message::Message;
use crate::{
    faults::RUNTIME,
    weir::{PATIENCE, until},
};

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    unread: Vec<u8>,
}

/// A service whose every answer the test writes.
#[derive(Debug)]
pub(crate) struct Service {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Service {
    pub(crate) fn listen() -> Self {
        Self::listen_at(([127, 0, 0, 1], 0).into()).unwrap()
    }

    /// `Err` when somebody else has the address.
    pub(crate) fn listen_at(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Wire {
        let mut accepted = None;
        until("the sidecar connects", || {
            accepted = self.try_accept();
            accepted.is_some()
        });
        accepted.unwrap()
    }

    /// A connection, if one has come.
    pub(crate) fn try_accept(&self) -> Option<Wire> {
        let (socket, _) = self.listener.accept().ok()?;
        socket.set_nonblocking(false).unwrap();
        Some(Wire::new(socket))
    }
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    /// A client that holds only some kilobytes of what it has not read.
    pub(crate) fn connect_narrow(address: SocketAddr) -> Self {
        let socket = RUNTIME.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(2048).unwrap();
            socket.connect(address).await.unwrap().into_std().unwrap()
        });
        socket.set_nonblocking(false).unwrap();
        Self::new(socket)
    }

    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, unread: Vec::new() }
    }

    /// Sends bytes as they stand.
    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the other side still takes; it may have answered and closed.
    pub(crate) fn say_what_is_taken(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    /// Sends `bytes` over and over until the other side takes no more for a while; how many it took.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        self.socket.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while let Ok(more) = self.socket.write(&bytes[sent % bytes.len()..]) {
            sent += more;
        }
        self.socket.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// Says that nothing more comes, and goes on listening.
    pub(crate) fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Everything up to and with `end`.
    pub(crate) fn hear(&mut self, end: &str) -> String {
        let end = end.as_bytes();
        let mut searched = 0;
        loop {
            let from = searched;
            searched = self.unread.len().saturating_sub(end.len() - 1);
            let at = self.unread[from..].windows(end.len()).position(|window| window == end);
            if let Some(at) = at {
                let heard = self.take(from + at + end.len());
                return String::from_utf8_lossy(&heard).into_owned();
            }
            self.more();
        }
    }

    /// So many bytes.
    pub(crate) fn hear_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            self.more();
        }
        self.take(count)
    }

    /// A head without its body.
    pub(crate) fn head(&mut self) -> Message {
        Message::of_head(&self.hear("\r\n\r\n"))
    }

    /// A message with its body, however it is framed.
    pub(crate) fn message(&mut self) -> Message {
        let mut message = self.head();
        message.body = self.body_of(&message);
        message
    }

    /// The body that follows a head.
    pub(crate) fn body_of(&mut self, head: &Message) -> Vec<u8> {
        let length = head.field("content-length").map(|length| length.parse().unwrap());
        match length {
            Some(length) => self.hear_bytes(length),
            None if head.field("transfer-encoding") == Some("chunked") => {
                let mut body = Vec::new();
                while let Some(chunk) = self.chunk() {
                    body.extend(chunk);
                }
                body
            }
            None => Vec::new(),
        }
    }

    /// The next chunk of a chunked body; `None` at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.hear("\r\n");
        let length = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's length");
        let chunk = self.hear_bytes(length);
        assert_eq!(self.hear("\r\n"), "\r\n", "after a chunk");
        (length > 0).then_some(chunk)
    }

    /// Whether the other side closes in order, without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.rest().is_ok_and(|rest| rest.is_empty())
    }

    /// Everything until the other side closes in order; `Err` says how else it ended.
    pub(crate) fn rest(&mut self) -> Result<Vec<u8>, ErrorKind> {
        let mut rest = std::mem::take(&mut self.unread);
        self.socket.read_to_end(&mut rest).map_err(|error| error.kind())?;
        Ok(rest)
    }

    fn more(&mut self) {
        let mut piece = vec![0; 64 * 1024];
        let read = self.socket.read(&mut piece).unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&self.unread));
        self.unread.extend_from_slice(&piece[..read]);
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.unread.split_off(count);
        std::mem::replace(&mut self.unread, rest)
    }
}
