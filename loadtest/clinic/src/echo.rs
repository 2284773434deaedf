//! Routes for whoever tests a proxy: they do what they are told and show what they got.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{
        DefaultBodyLimit, Path, Query, Request, State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{any, get},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    problem::{Problem, Reason},
    tasks::Tasks,
};

pub(crate) fn routes(tasks: Tasks) -> Router {
    Router::new()
        .route("/echo", any(echo))
        .route("/upload", any(upload))
        .route("/stream", get(chunks))
        .route("/sse", get(events))
        .route("/ws", any(socket))
        .route("/status/{code}", any(status))
        .route("/slow", any(slow))
        .layer(DefaultBodyLimit::disable())
        .with_state(tasks)
}

/// Method, target, version, headers and body, as they arrived.
///
/// Headers are `[name, value]` pairs in their order of arrival, except that a repeated name's
/// values stand together; names are in lower case, as HTTP/2 sends them.
async fn echo(request: Request) -> Result<Json<Value>, Problem> {
    let (head, body) = request.into_parts();
    let headers: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| [name.as_str().into(), String::from_utf8_lossy(value.as_bytes())])
        .collect();
    let received = Received::read(body, ECHOED_BYTES_MAX).await?;
    Ok(Json(json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body": received.text(),
        "body_bytes": received.bytes,
        "body_sha256": received.sha256,
        "trailers": received.trailers,
    })))
}

/// How much arrived, and its digest; the body itself is let go as it comes.
async fn upload(body: Body) -> Result<Json<Value>, Problem> {
    let received = Received::read(body, 0).await?;
    Ok(Json(json!({ "body_bytes": received.bytes, "body_sha256": received.sha256 })))
}

/// A body read to its end.
struct Received {
    bytes: u64,
    sha256: String,
    trailers: Vec<[String; 2]>,
    /// All of it, if it is no longer than asked for.
    kept: Option<Vec<u8>>,
}

impl Received {
    async fn read(mut body: Body, keep_bytes_max: usize) -> Result<Self, Problem> {
        let (mut bytes, mut digest, mut kept) = (0, Sha256::new(), Some(Vec::new()));
        let mut trailers = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                Problem::new(Reason::Invalid, format!("the body broke off: {error}"))
            })?;
            match frame.into_data() {
                Ok(data) => {
                    bytes += data.len() as u64;
                    digest.update(&data);
                    kept = kept.filter(|kept| kept.len() + data.len() <= keep_bytes_max);
                    if let Some(kept) = &mut kept {
                        kept.extend_from_slice(&data);
                    }
                }
                Err(frame) => {
                    trailers.extend(frame.into_trailers().iter().flatten().map(|(name, value)| {
                        [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()]
                    }))
                }
            }
        }
        Ok(Self { bytes, sha256: format!("{:x}", digest.finalize()), trailers, kept })
    }

    /// The body, when all of it was kept and is text.
    fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.kept.as_deref()?).ok()
    }
}

/// What `/stream` and `/sse` send.
#[derive(Clone, Copy, Deserialize)]
#[serde(default)]
struct Pace {
    /// Chunks or events; zero ends at once.
    chunks: u32,
    /// The pause before each but the first; zero sends as fast as the client reads.
    interval_ms: u64,
    /// Length of each chunk of `/stream`, up to a mebibyte.
    bytes: usize,
    /// Whether `/stream` ends with the trailer `x-chunks`.
    trailers: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { chunks: 10, interval_ms: 0, bytes: 16, trailers: false }
    }
}

impl Pace {
    /// The numbers of the chunks, each when it is due.
    fn numbers(self) -> impl Stream<Item = u32> + Send + 'static {
        stream::unfold(0, move |number| async move {
            if number > 0 && number < self.chunks {
                sleep(Duration::from_millis(self.interval_ms)).await;
            }
            (number < self.chunks).then_some((number, number + 1))
        })
    }
}

async fn chunks(Query(pace): Query<Pace>) -> Response {
    let bytes = pace.bytes.min(CHUNK_BYTES_MAX);
    let data = pace.numbers().map(move |number| {
        let letter = b'a' + u8::try_from(number % 26).unwrap_or_default();
        Frame::data(Bytes::from(vec![letter; bytes]))
    });
    let trailers = pace.trailers.then(|| {
        let trailers = HeaderMap::from_iter([(
            header::HeaderName::from_static("x-chunks"),
            HeaderValue::from(pace.chunks),
        )]);
        Frame::trailers(trailers)
    });
    let frames = data.chain(stream::iter(trailers)).map(Ok::<_, Infallible>);
    let mut response = Body::new(StreamBody::new(frames)).into_response();
    if pace.trailers {
        response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-chunks"));
    }
    response
}

async fn events(
    Query(pace): Query<Pace>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>> + Send + 'static> {
    let events = pace.numbers().map(|number| {
        Ok(Event::default().id(number.to_string()).event("tick").data(format!("event {number}")))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn socket(State(tasks): State<Tasks>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |socket| {
        let closing = tasks.closing().clone();
        drop(tasks.background("ws", echo_messages(socket, closing)));
    })
}

/// Sends each message back until the client closes or breaks off, or the clinic closes.
async fn echo_messages(mut socket: WebSocket, closing: CancellationToken) {
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = closing.cancelled() => {
                let goodbye = CloseFrame { code: close_code::AWAY, reason: "closing".into() };
                // It may have left by itself meanwhile.
                drop(socket.send(Message::Close(Some(goodbye))).await);
                return;
            }
        };
        let Some(Ok(message)) = message else { return };
        let echoed = matches!(message, Message::Text(_) | Message::Binary(_));
        if echoed && socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn status(Path(code): Path<u16>) -> Result<Response, Problem> {
    // 1xx are not final answers; a server that sends one as such breaks the connection.
    match StatusCode::from_u16(code) {
        Ok(status) if !status.is_informational() => Ok(status.into_response()),
        _ => Err(Problem::new(Reason::Invalid, format!("{code} is not a status from 200 to 999"))),
    }
}

/// How long `/slow` takes.
#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

async fn slow(Query(Slow { ms }): Query<Slow>) -> String {
    sleep(Duration::from_millis(ms)).await;
    format!("{ms} ms\n")
}

/// Longer bodies are echoed by their digest alone.
const ECHOED_BYTES_MAX: usize = 64 * 1024;
const CHUNK_BYTES_MAX: usize = 1024 * 1024;
