//! An admin API over a plan and a ledger, without sockets: for the tests of its endpoints.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, request},
};
use serde_json::Value;
use tower::ServiceExt;

use super::{Admin, everything, guard::Guard, probing};
use crate::{
    lifecycle::Readiness,
    observe::{explain::Explain, ledger::Ledger, metrics::Metrics},
    plan::Plan,
    reload::Reloads,
    shared::Shared,
};

/// How many workers there are.
pub(super) const WORKERS: usize = 2;

/// Two routes, every policy, and names that a text format has to escape.
pub(super) const YAML: &str = r#"
version: 1
admin: { address: 127.0.0.1:9901 }
listeners:
  - name: ingress
    address: 127.0.0.1:8080
    routes:
      - name: 'partner "api" \ {v=1}'
        match: { path_prefix: /partner/ }
        upstream: clinic
        rate_limit: { qps: 0.5, burst: 20, per: { header: x-api-key }, shared: redis://127.0.0.1:6379/0 }
        breaker: { error_ratio: 29%, min_requests: 1, per: endpoint }
        concurrency: { limit: 64, mode: shadow }
        retry: { attempts: 1 }
      - name: everything
        match: { path_prefix: / }
        upstream: clinic
        breaker: { mode: disabled }
        concurrency: { mode: disabled }
        faults: { abort: { ratio: 1% } }
upstreams:
  clinic: { endpoints: ["127.0.0.1:3000"], health_check: { path: /healthz } }
"#;

/// An admin API and what it speaks of.
pub(super) struct Fixture {
    pub(super) admin: Arc<Admin>,
    address: SocketAddr,
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::of(YAML)
    }

    pub(super) fn of(yaml: &str) -> Self {
        let token = |name: &str| (name == "TOKEN").then(|| "s3cret-token".to_owned());
        let config = weir_config::load(yaml, "weir.yaml", &token).unwrap();
        let ledger = Ledger::new(WORKERS, config.listeners.len());
        let address = config.admin.address;
        let plan = Plan::compile(config, None, &ledger).unwrap();
        let (reloads, _nobody) = Reloads::new(1.0);
        let shared = Arc::new(Shared::new(plan, ledger, Explain::new(WORKERS, 7), reloads));
        let readiness = Arc::new(Readiness::default());
        readiness.started();
        let metrics = Metrics::new(&shared, &readiness);
        Self { admin: Arc::new(Admin { metrics, shared, readiness }), address }
    }

    /// What the admin address serves.
    pub(super) fn app(&self) -> Router {
        let guard = Guard::new(self.address, Arc::clone(&self.admin.shared));
        everything(Arc::clone(&self.admin), guard)
    }

    /// What the health address serves.
    pub(super) fn health(&self) -> Router {
        probing(Arc::clone(&self.admin))
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        ask(self.app(), Request::get(path)).await
    }
}

/// Sends a request without a body.
pub(super) async fn ask(app: Router, request: request::Builder) -> Answer {
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// Fails for a field that `docs/admin.md` does not name.
pub(super) fn check_documented(shown: &Value) {
    const PAGE: &str = include_str!("../../../docs/admin.md");
    match shown {
        Value::Object(fields) => {
            for (name, value) in fields {
                assert!(PAGE.contains(&format!("`{name}`")), "{name}");
                check_documented(value);
            }
        }
        Value::Array(all) => all.iter().for_each(check_documented),
        _ => {}
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}
