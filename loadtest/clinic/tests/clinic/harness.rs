use std::time::Duration;

use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::{task::JoinHandle, time::sleep};
use tower::ServiceExt;
use weir_clinic::{Clinic, Settings};

/// A clinic that is called without sockets.
pub(crate) struct Visited {
    pub(crate) clinic: Clinic,
    pub(crate) router: Router,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Null when the body is not JSON.
    pub(crate) json: Value,
}

impl Visited {
    pub(crate) fn new() -> Self {
        let clinic = Clinic::new(Settings::default());
        let router = clinic.router();
        Self { clinic, router }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        call(&self.router, request(Method::GET, path, "")).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        call(&self.router, request(Method::POST, path, body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &str) -> Answer {
        call(&self.router, request(Method::PATCH, path, body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Answer {
        call(&self.router, request(Method::PUT, path, body)).await
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        call(&self.router, request).await
    }

    /// The same request from a client that may leave: aborting the task is leaving.
    pub(crate) fn visit(&self, path: &str) -> JoinHandle<Answer> {
        let router = self.router.clone();
        let request = request(Method::GET, path, "");
        tokio::spawn(async move { call(&router, request).await })
    }

    /// Turns switches, as `{"route": {"switch": value}}`.
    pub(crate) async fn break_it(&self, faults: &str) {
        let answer = self.post("/faults", faults).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// Tasks alive in the group.
    pub(crate) async fn alive(&self, group: &str) -> u64 {
        self.get("/in-flight").await.json["tasks"][group].as_u64().unwrap_or(0)
    }

    pub(crate) async fn requests(&self) -> u64 {
        self.get("/in-flight").await.json["requests"].as_u64().expect("a number of requests")
    }

    /// Asks for a status until it is no longer one of the passing ones.
    pub(crate) async fn settled(&self, path: &str) -> Value {
        for _ in 0..100_000 {
            let status = self.get(path).await.json;
            let passing = ["accepted", "queued", "running"];
            if !passing.iter().any(|passing| status["progress"] == *passing) {
                return status;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("{path} never settled");
    }
}

pub(crate) fn request(method: Method, path: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    request.body(Body::from(body.to_owned())).expect("a request")
}

pub(crate) async fn call(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("the router does not fail");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Answer { status: head.status, headers: head.headers, json }
}
