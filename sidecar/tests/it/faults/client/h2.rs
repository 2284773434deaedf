//! A client of HTTP/2, on the `h2` crate.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::Request;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::{Answer, Ask, Upload, reason};

/// A connection, shared by its clones; it is cut when the last of them is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    requests: SendRequest<Bytes>,
    ended: CancellationToken,
    _connection: Arc<CutOnDrop>,
}

#[derive(Debug)]
struct CutOnDrop(JoinHandle<()>);

/// A request whose answer has not been read.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) response: ResponseFuture,
    pub(crate) upload: SendStream<Bytes>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let (requests, connection) =
            h2::client::handshake(socket).await.map_err(io::Error::other)?;
        // Its end shows in every stream.
        let ended = CancellationToken::new();
        let told = ended.clone();
        let connection = tokio::spawn(async move {
            drop(connection.await);
            told.cancel();
        });
        Ok(Self { requests, ended, _connection: Arc::new(CutOnDrop(connection)) })
    }

    /// Asks and reads the answer to its end.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        let Asked { response, mut upload } = self.send_head(ask).await?;
        let mut answer = Answer { keeps: true, ..Answer::default() };
        let mut reads = Box::pin(read(response, &mut answer));
        tokio::select! {
            () = &mut reads => {}
            () = send(&mut upload, ask.upload) => reads.as_mut().await,
        }
        drop(reads);
        Ok(answer)
    }

    /// Asks and reads nothing of the answer before all is sent.
    pub(crate) async fn ask_first(&mut self, ask: &Ask) -> io::Result<Answer> {
        let Asked { response, mut upload } = self.send_head(ask).await?;
        let mut answer = Answer { keeps: true, ..Answer::default() };
        send(&mut upload, ask.upload).await;
        read(response, &mut answer).await;
        Ok(answer)
    }

    /// Waits until the other side has ended the connection.
    pub(crate) async fn closed(&self) {
        self.ended.cancelled().await;
    }

    pub(crate) async fn send_head(&mut self, ask: &Ask) -> io::Result<Asked> {
        let mut request =
            Request::builder().method(ask.method).uri(format!("http://a{}", ask.path));
        for (name, value) in &ask.fields {
            request = request.header(*name, value);
        }
        if let Upload::Bytes(length) | Upload::Short(length) = ask.upload {
            request = request.header("content-length", length);
        }
        let request = request.body(()).map_err(io::Error::other)?;
        let end = ask.upload == Upload::None;
        poll_fn(|cx| self.requests.poll_ready(cx)).await.map_err(io::Error::other)?;
        let sent = self.requests.send_request(request, end).map_err(io::Error::other)?;
        Ok(Asked { response: sent.0, upload: sent.1 })
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn read(response: ResponseFuture, answer: &mut Answer) {
    let Ok(response) = response.await else { return };
    answer.status = response.status().as_u16();
    let proxy_status = response.headers().get("proxy-status").and_then(|value| value.to_str().ok());
    answer.reason = proxy_status.map(reason).unwrap_or_default();
    answer.whole = read_body(response.into_body(), &mut answer.body).await.is_ok();
}

async fn read_body(mut body: RecvStream, length: &mut usize) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        *length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    body.trailers().await.map(drop)
}

/// Sends what there is to send.
async fn send(stream: &mut SendStream<Bytes>, upload: Upload) {
    let (mut left, ends) = match upload {
        Upload::None => (0, false),
        Upload::Bytes(length) => (length, true),
        Upload::Short(length) => (length - 1, false),
        Upload::Endless => (usize::MAX, false),
    };
    while left > 0 {
        stream.reserve_capacity(left.min(0x4000));
        let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { break };
        let now = room.min(left);
        left -= now;
        // A stream that takes no more shows in what is read.
        if stream.send_data(Bytes::from(vec![b'x'; now]), ends && left == 0).is_err() {
            break;
        }
    }
}
