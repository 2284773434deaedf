use std::{net::SocketAddr, time::Duration};

use axum::Router;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use weir_clinic::{Clinic, Ended, Faults, Settings};

/// A clinic on a socket, with a client of either protocol.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) faults: Faults,
    /// The same clinic, called without sockets: a client of its own would be counted.
    pub(crate) router: Router,
    pub(crate) stop: CancellationToken,
    pub(crate) ended: JoinHandle<Ended>,
}

impl Served {
    pub(crate) async fn new(grace: Duration) -> Self {
        Self::with(Settings::default(), grace).await
    }

    pub(crate) async fn with(settings: Settings, grace: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let clinic = Clinic::new(settings);
        let (faults, router) = (clinic.faults().clone(), clinic.router());
        let stop = CancellationToken::new();
        let ended = tokio::spawn(clinic.serve(listener, stop.clone().cancelled_owned(), grace));
        Self { address, faults, router, stop, ended }
    }

    /// Waits until so many requests are in flight and none of `group`'s tasks is left, or fails.
    pub(crate) async fn until_in_flight(&self, requests: u64, group: &str) {
        for _ in 0..6_000 {
            let shown = in_flight(&self.router).await;
            let alive = shown["tasks"][group].as_u64().unwrap_or(0);
            if shown["requests"] == requests && alive == 0 {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("never {requests} in flight: {}", in_flight(&self.router).await);
    }

    pub(crate) async fn get(&self, client: &TestClient, path: &str) -> (StatusCode, Bytes) {
        let request = Request::get(format!("http://{}{path}", self.address));
        fetch(client, request.body(Full::default()).expect("a request")).await
    }
}

pub(crate) type TestClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn http1() -> TestClient {
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) fn http2() -> TestClient {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

pub(crate) async fn fetch(
    client: &TestClient,
    request: Request<Full<Bytes>>,
) -> (StatusCode, Bytes) {
    let answer = client.request(request).await.expect("an answer");
    let (head, body) = answer.into_parts();
    (head.status, body.collect().await.expect("a whole body").to_bytes())
}

pub(crate) async fn in_flight(router: &Router) -> Value {
    let request = Request::get("/in-flight").body(axum::body::Body::empty()).expect("a request");
    let answer = tower::ServiceExt::oneshot(router.clone(), request).await.expect("infallible");
    let body = answer.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}
