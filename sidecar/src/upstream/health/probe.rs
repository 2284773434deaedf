//! One check of one endpoint, over a connection of its own.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use pingora::{
    ErrorType::TLSHandshakeFailure,
    connectors::{ConnectorOptions, TransportConnector},
    http::RequestHeader,
    protocols::{
        Stream,
        http::{HttpTask, v1::client::HttpSession},
    },
};
use tokio::{select, time::timeout};
use weir_config::{HealthCheck, Probe, Protocol, Statuses};

use super::{super::Upstream, Endpoint, grpc};

/// How many 1xx answers may come before the answer.
const INFORMATIONAL_MAX: u32 = 16;
/// What is read of a gRPC answer.
const MESSAGE_MAX: usize = 4096;
/// What is kept of what went wrong.
const WRONG_BYTES: usize = 512;

/// Who asks.
const USER_AGENT: &str = "weir-health-check";

/// Checks endpoints of one upstream.
pub(super) struct Prober {
    pub(super) settings: HealthCheck,
    protocol: Protocol,
    /// The name in their certificates, where TLS is spoken.
    sni: Option<String>,
    connector: TransportConnector,
}

impl Prober {
    pub(super) fn new(upstream: &Upstream, settings: HealthCheck) -> Self {
        let tls = upstream.tls.as_ref();
        let mut options = ConnectorOptions::new(1);
        options.ca_file = tls.and_then(|tls| Some(tls.ca.as_ref()?.display().to_string()));
        Self {
            settings,
            protocol: upstream.protocol,
            sni: tls.map(|tls| tls.sni.clone()),
            connector: TransportConnector::new(Some(options)),
        }
    }

    /// Asks once; what is wrong, in words.
    pub(super) async fn check(&self, endpoint: &Endpoint) -> Result<(), String> {
        let limit = self.settings.timeout;
        let found = match timeout(limit, self.ask(endpoint)).await {
            Ok(found) => found,
            Err(_) => Err(format!("no answer within {} s", limit.as_secs_f64())),
        };
        found.map_err(|mut wrong| {
            while wrong.len() > WRONG_BYTES {
                wrong.pop();
            }
            wrong
        })
    }

    async fn ask(&self, endpoint: &Endpoint) -> Result<(), String> {
        let stream = self.connector.new_stream(&endpoint.peer).await;
        let stream = stream.map_err(|error| no_connection(&error))?;
        match &self.settings.probe {
            Probe::Tcp => Ok(()),
            Probe::Http { path, host, statuses } => {
                let host = self.host(host.as_deref(), endpoint);
                let status = match self.protocol {
                    Protocol::H1 => ask_h1(stream, path, host).await?,
                    Protocol::H2 => {
                        let request = self.request(Method::GET, path, host)?;
                        let (sender, connection) = h2(stream).await?;
                        driven(connection, status_of(sender, request)).await?
                    }
                };
                expect(status, statuses)
            }
            Probe::Grpc { service, host } => {
                let host = self.host(host.as_deref(), endpoint);
                let mut request = self.request(Method::POST, grpc::PATH, host)?;
                let headers = request.headers_mut();
                headers.insert(
                    header::CONTENT_TYPE,
                    header::HeaderValue::from_static("application/grpc"),
                );
                headers.insert(header::TE, header::HeaderValue::from_static("trailers"));
                headers.insert("grpc-timeout", grpc_timeout(self.settings.timeout));
                let question = grpc::question(service);
                let (sender, connection) = h2(stream).await?;
                driven(connection, ask_grpc(sender, request, question)).await
            }
        }
    }

    /// What the question names as its host.
    fn host<'a>(&'a self, set: Option<&'a str>, endpoint: &'a Endpoint) -> &'a str {
        let own = || if endpoint.name.starts_with("unix:") { "localhost" } else { &endpoint.name };
        set.or(self.sni.as_deref()).unwrap_or_else(own)
    }

    fn request(&self, method: Method, path: &str, host: &str) -> Result<Request<()>, String> {
        let scheme = if self.sni.is_some() { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(path).build();
        let request = uri.map(|uri| Request::builder().method(method).uri(uri));
        let request =
            request.and_then(|request| request.header(header::USER_AGENT, USER_AGENT).body(()));
        request.map_err(|error| format!("it cannot be asked for {path}: {error}"))
    }
}

fn no_connection(error: &pingora::Error) -> String {
    match error.etype() {
        // What is at its root may be no more than an address.
        TLSHandshakeFailure => format!("no connection: {}", error.to_string().trim()),
        kind => format!("no connection: {}: {}", kind.as_str(), error.root_cause()),
    }
}

async fn ask_h1(stream: Stream, path: &str, host: &str) -> Result<StatusCode, String> {
    let asked = async {
        let mut request = RequestHeader::build(Method::GET, path.as_bytes(), Some(4))?;
        request.insert_header(header::HOST, host)?;
        request.insert_header(header::USER_AGENT, USER_AGENT)?;
        request.insert_header(header::ACCEPT, "*/*")?;
        request.insert_header(header::CONNECTION, "close")?;
        let mut session = HttpSession::new(stream);
        session.write_request_header(Box::new(request)).await?;
        for _ in 0..=INFORMATIONAL_MAX {
            match session.read_response_task().await? {
                HttpTask::Header(header, _) if header.status.is_informational() => {}
                HttpTask::Header(header, _) => return Ok(Some(header.status)),
                _ => break,
            }
        }
        Ok(None)
    };
    let answered: pingora::Result<_> = asked.await;
    // What stands between its first and its last cause may be the whole answer.
    let answered = answered.map_err(|error| format!("no answer: {}", error.etype().as_str()))?;
    answered.ok_or_else(|| "it does not come to an answer".to_owned())
}

type Connection = h2::client::Connection<Stream, Bytes>;

async fn h2(stream: Stream) -> Result<(SendRequest<Bytes>, Connection), String> {
    let made = h2::client::Builder::new().max_header_list_size(64 * 1024).handshake(stream).await;
    made.map_err(|error| format!("no HTTP/2: {error}"))
}

/// Moves a connection for as long as it takes to ask.
async fn driven<T>(
    connection: Connection,
    asking: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    select! {
        biased;
        answer = asking => answer,
        ended = connection => Err(match ended {
            Ok(()) => "it closed the connection".to_owned(),
            Err(error) => in_words(error),
        }),
    }
}

async fn status_of(sender: SendRequest<Bytes>, request: Request<()>) -> Result<StatusCode, String> {
    let (answer, _sender) = send(sender, request, None).await?;
    Ok(answer.await.map_err(in_words)?.status())
}

async fn ask_grpc(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    question: Bytes,
) -> Result<(), String> {
    let (answer, _sender) = send(sender, request, Some(question)).await?;
    let (head, mut body) = answer.await.map_err(in_words)?.into_parts();
    expect(head.status, &[Statuses { first: 200, last: 200 }])?;
    expect_grpc_ok(&head.headers)?;
    let mut message = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(in_words)?;
        body.flow_control().release_capacity(piece.len()).map_err(in_words)?;
        if message.len() + piece.len() > MESSAGE_MAX {
            return Err(format!("its message is longer than {MESSAGE_MAX} bytes"));
        }
        message.extend_from_slice(&piece);
    }
    let trailers = body.trailers().await.map_err(in_words)?;
    expect_grpc_ok(&trailers.unwrap_or_default())?;
    grpc::judge(&message)
}

/// Sends a request with its body, if it has one; holds on to the sender, for the last one that goes
/// closes the connection.
async fn send(
    sender: SendRequest<Bytes>,
    request: Request<()>,
    body: Option<Bytes>,
) -> Result<(ResponseFuture, SendRequest<Bytes>), String> {
    let mut sender = sender.ready().await.map_err(in_words)?;
    let (answer, mut stream) = sender.send_request(request, body.is_none()).map_err(in_words)?;
    if let Some(body) = body {
        // The least window there is holds it.
        stream.send_data(body, true).map_err(in_words)?;
    }
    Ok((answer, sender))
}

fn expect(status: StatusCode, well: &[Statuses]) -> Result<(), String> {
    match well.iter().any(|range| range.contains(status.as_u16())) {
        true => Ok(()),
        false => Err(format!("it answered with status {}", status.as_u16())),
    }
}

/// A `grpc-status`, where there is one.
fn expect_grpc_ok(headers: &HeaderMap) -> Result<(), String> {
    match headers.get("grpc-status").map(|status| status.to_str().unwrap_or_default()) {
        None | Some("0") => Ok(()),
        Some("5") => Err("it does not know the service (grpc-status 5)".to_owned()),
        Some("12") => Err("it has no health service (grpc-status 12)".to_owned()),
        Some(other) => Err(format!("it answered with grpc-status {other}")),
    }
}

/// In milliseconds; the longest that can be set has 8 digits of them, as many as may be.
fn grpc_timeout(limit: Duration) -> header::HeaderValue {
    header::HeaderValue::from_str(&format!("{}m", limit.as_millis()))
        .unwrap_or(header::HeaderValue::from_static("1S"))
}

fn in_words(error: h2::Error) -> String {
    format!("no answer: {error}")
}
