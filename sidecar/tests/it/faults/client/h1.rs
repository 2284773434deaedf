//! A client of HTTP/1 that can be wrong on purpose.

use std::{io, net::SocketAddr, pin::pin};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Answer, Ask, Upload, reason};
use crate::faults::backend::field;

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    unread: BytesMut,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, unread: BytesMut::new() })
    }

    /// Asks and reads the answer to its end.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        self.send_head(ask).await?;
        let (mut read, mut write) = self.socket.split();
        let mut answer = pin!(answer(&mut read, &mut self.unread, ask.method == "HEAD"));
        tokio::select! {
            // An answer that came first leaves the body half sent, and the connection of no more use.
            answer = &mut answer => answer.map(|answer| {
                Answer { keeps: answer.keeps && ask.upload == Upload::None, ..answer }
            }),
            () = upload(&mut write, ask.upload) => answer.await,
        }
    }

    /// Asks and reads nothing of the answer before all is sent.
    pub(crate) async fn ask_first(&mut self, ask: &Ask) -> io::Result<Answer> {
        self.send_head(ask).await?;
        upload(&mut self.socket, ask.upload).await;
        self.answer().await
    }

    pub(crate) async fn send_head(&mut self, ask: &Ask) -> io::Result<()> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: a\r\n", ask.method, ask.path);
        for (name, value) in &ask.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match ask.upload {
            Upload::None => {}
            Upload::Bytes(length) | Upload::Short(length) => {
                head.push_str(&format!("content-length: {length}\r\n"));
            }
            Upload::Endless => head.push_str("transfer-encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        self.socket.write_all(head.as_bytes()).await
    }

    /// Sends bytes as they stand, and reads one answer.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> io::Result<Answer> {
        // The other side may answer and close before it has read everything.
        let _ = self.socket.write_all(bytes).await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        answer(&mut self.socket, &mut self.unread, false).await
    }

    /// Whether the other side closes without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        self.unread.is_empty() && !matches!(self.socket.read(&mut byte).await, Ok(1..))
    }

    /// Closes with a reset.
    pub(crate) fn reset(self) {
        self.socket.set_zero_linger().expect("a socket");
    }
}

/// Reads one answer from a socket that was read by nobody yet.
pub(crate) async fn read(socket: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Answer> {
    answer(socket, &mut BytesMut::new(), false).await
}

/// Sends what there is to send.
async fn upload(socket: &mut (impl AsyncWriteExt + Unpin), upload: Upload) {
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    // A socket that takes no more shows in what is read.
    let _ = match upload {
        Upload::None => Ok(()),
        Upload::Bytes(length) => socket.write_all(&vec![b'x'; length]).await,
        Upload::Short(length) => socket.write_all(&vec![b'x'; length - 1]).await,
        Upload::Endless => {
            async {
                loop {
                    socket.write_all(&chunk).await?
                }
            }
            .await
        }
    };
}

async fn answer(
    socket: &mut (impl AsyncReadExt + Unpin),
    unread: &mut BytesMut,
    bodiless: bool,
) -> io::Result<Answer> {
    let mut answer = Answer::default();
    let head = loop {
        let end = unread.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&unread.split_to(end + 4)).into_owned();
            if !head.starts_with("HTTP/1.1 1") {
                break head;
            }
        } else if !matches!(socket.read_buf(unread).await, Ok(1..)) {
            return Ok(answer);
        }
    };
    answer.status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    answer.reason = field(&head, "proxy-status").map(reason).unwrap_or_default();
    answer.keeps = field(&head, "connection") != Some("close");
    let length = field(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
    let chunked = field(&head, "transfer-encoding").is_some();
    if bodiless || matches!(answer.status, 204 | 304) {
        answer.whole = true;
        return Ok(answer);
    }
    loop {
        let end = match length {
            Some(length) => (unread.len() >= length).then_some(length),
            None if chunked => {
                let last = b"0\r\n\r\n";
                unread.windows(5).position(|window| window == last).map(|at| at + 5)
            }
            None => None,
        };
        if let Some(end) = end {
            unread.advance(end);
            answer.body = end;
            answer.whole = true;
            return Ok(answer);
        }
        if !matches!(socket.read_buf(unread).await, Ok(1..)) {
            answer.body = unread.len();
            answer.whole = length.is_none() && !chunked;
            return Ok(Answer { keeps: false, ..answer });
        }
    }
}
