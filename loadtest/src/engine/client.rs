//! HTTP/1.1 over kept-alive connections.
//!
//! One request at a time on each connection. The one used last is used first, so that few stay busy and
//! what a burst has opened falls idle.

use std::{net::SocketAddr, sync::Mutex, sync::PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::outcome::{Outcome, reason};

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Client {
    to: SocketAddr,
    host: HeaderValue,
    path: Uri,
    idle: Mutex<Vec<Connection>>,
}

type Connection = SendRequest<Empty<Bytes>>;

impl Client {
    pub(super) fn new(to: SocketAddr, host: HeaderValue, path: Uri) -> Self {
        Self { to, host, path, idle: Mutex::default() }
    }

    /// Asks and reads the answer to its end; the connection is there as long as another request may
    /// follow on it.
    pub(super) async fn ask(&self, headers: &HeaderMap) -> (Outcome, Option<Connection>) {
        let connection = match self.idle() {
            Some(connection) => Some(connection),
            None => self.connected().await,
        };
        let Some(mut connection) = connection else { return (Outcome::Unconnected, None) };
        match answer(&mut connection, self.request(headers)).await {
            Ok(outcome) => (outcome, Some(connection)),
            Err(_cut) => (Outcome::Cut, None),
        }
    }

    /// Has a connection back, once it is ready for another request.
    pub(super) async fn keep(&self, mut connection: Connection) {
        if connection.ready().await.is_ok() {
            self.locked().push(connection);
        }
    }

    fn request(&self, headers: &HeaderMap) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(header::HOST, self.host.clone());
        request.headers_mut().extend(headers.clone());
        request
    }

    fn idle(&self) -> Option<Connection> {
        let mut idle = self.locked();
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.is_closed())
    }

    async fn connected(&self) -> Option<Connection> {
        let stream = TcpStream::connect(self.to).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (connection, driven) = handshake(TokioIo::new(stream)).await.ok()?;
        // How it ends, its last request hears.
        tokio::spawn(async move { drop(driven.await) });
        Some(connection)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(
    connection: &mut Connection,
    request: Request<Empty<Bytes>>,
) -> hyper::Result<Outcome> {
    let mut response = connection.send_request(request).await?;
    while let Some(frame) = response.frame().await {
        frame?;
    }
    let field = response.headers().get("proxy-status").and_then(|field| field.to_str().ok());
    Ok(Outcome::Answered { status: response.status().as_u16(), reason: field.and_then(reason) })
}
