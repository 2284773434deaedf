//! The script over HTTP/1.

use std::{io, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use super::{InFlight, Script, Seen, Step};

/// Serves a connection until a script or the other side ends it.
pub(super) async fn serve(socket: TcpStream, script: Script, seen: Arc<Seen>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut wire = Wire { socket, unread: BytesMut::new() };
    loop {
        let head = wire.head().await?;
        let request = InFlight::begin(&seen);
        let path = head.split(' ').nth(1).unwrap_or_default();
        for step in script(path) {
            match step {
                Step::Read => request.whole(wire.body(&head).await?),
                Step::Both(length) => request.whole(wire.both(&head, length).await?),
                Step::Echo => wire.echo(&head).await?,
                Step::Reset => return wire.socket.set_zero_linger(),
                Step::Close => {
                    wire.socket.shutdown().await?;
                    return wire.left().await;
                }
                step => wire.take(step).await?,
            }
        }
    }
}

/// A socket and what was read of it too early.
struct Wire {
    socket: TcpStream,
    unread: BytesMut,
}

impl Wire {
    async fn take(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Wait(time) => self.unless_left(time).await,
            Step::Head(status, length) => {
                let head =
                    format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n\r\n");
                self.socket.write_all(head.as_bytes()).await
            }
            Step::Body(length) => self.socket.write_all(&vec![b'x'; length]).await,
            Step::Raw(bytes) => self.socket.write_all(&bytes).await,
            Step::Drip(pause) => self.drip(b"x", pause).await,
            Step::DripHeader(pause) => {
                self.socket.write_all(b"HTTP/1.1 200 OK\r\nx-").await?;
                self.drip(b".", pause).await
            }
            Step::Freeze => std::future::pending().await,
            Step::Silence | Step::Read | Step::Both(_) | Step::Echo | Step::Reset | Step::Close => {
                self.left().await
            }
        }
    }

    async fn drip(&mut self, byte: &[u8], pause: Duration) -> io::Result<()> {
        loop {
            self.socket.write_all(byte).await?;
            self.unless_left(pause).await?;
        }
    }

    /// Waits; an error when the other side leaves meanwhile.
    async fn unless_left(&mut self, time: Duration) -> io::Result<()> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            left = self.left() => left,
        }
    }

    /// Reads until the other side leaves; always an error.
    async fn left(&mut self) -> io::Result<()> {
        loop {
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.socket.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Up to and with the next `end`.
    async fn until(&mut self, end: &[u8]) -> io::Result<BytesMut> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Ok(self.unread.split_to(at + end.len()));
            }
            self.fill().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<BytesMut> {
        while self.unread.len() < length {
            self.fill().await?;
        }
        Ok(self.unread.split_to(length))
    }

    async fn head(&mut self) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.until(b"\r\n\r\n").await?).into_owned())
    }

    /// Writes so much and reads a body whose length is told, at the same time.
    async fn both(&mut self, head: &str, length: usize) -> io::Result<Vec<u8>> {
        let wanted = field(head, "content-length").and_then(|length| length.parse().ok());
        let wanted: usize = wanted.ok_or(io::ErrorKind::InvalidData)?;
        let (mut read, mut write) = self.socket.split();
        let unread = &mut self.unread;
        let reads = async {
            while unread.len() < wanted && read.read_buf(unread).await? > 0 {}
            Ok(unread.split_to(wanted.min(unread.len())).to_vec())
        };
        let answer = vec![b'x'; length];
        tokio::try_join!(reads, write.write_all(&answer)).map(|(body, ())| body)
    }

    /// Writes each piece of the body before it reads the next.
    async fn echo(&mut self, head: &str) -> io::Result<()> {
        if let Some(length) = field(head, "content-length") {
            return self.echo_piece(length.parse().map_err(io::Error::other)?).await;
        }
        loop {
            let size = self.chunk_size().await?;
            if size == 0 {
                while self.until(b"\r\n").await?.len() > 2 {}
                return Ok(());
            }
            self.echo_piece(size).await?;
            self.exactly(2).await?.advance(2);
        }
    }

    async fn echo_piece(&mut self, mut left: usize) -> io::Result<()> {
        while left > 0 {
            if self.unread.is_empty() {
                self.fill().await?;
            }
            let piece = self.unread.split_to(left.min(self.unread.len()));
            self.socket.write_all(&piece).await?;
            left -= piece.len();
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> io::Result<usize> {
        let line = self.until(b"\r\n").await?;
        let size = String::from_utf8_lossy(&line);
        let size = size.trim_end().split(';').next().unwrap_or_default();
        usize::from_str_radix(size, 16).map_err(io::Error::other)
    }

    async fn body(&mut self, head: &str) -> io::Result<Vec<u8>> {
        if let Some(length) = field(head, "content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            return Ok(self.exactly(length).await?.to_vec());
        }
        let mut body = Vec::new();
        while field(head, "transfer-encoding").is_some() {
            let size = self.chunk_size().await?;
            if size == 0 {
                while self.until(b"\r\n").await?.len() > 2 {}
                break;
            }
            body.extend_from_slice(&self.exactly(size).await?);
            self.exactly(2).await?.advance(2);
        }
        Ok(body)
    }
}

/// The value of a field, whose name is in small letters.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
