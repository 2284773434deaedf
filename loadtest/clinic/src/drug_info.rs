//! What the drug-info service knows about a drug: a call to a dependency.
//!
//! The dependency's address is configuration, so that the call can go through a sidecar's egress
//! listener. Connections are kept and used again; what is left of the deadline goes with the call.

use std::{error::Error, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::get,
};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    deadline::{self, Deadline},
    problem::{Problem, Reason},
    site::Site,
};

#[derive(Clone)]
struct DrugInfo {
    site: Site,
    base: Uri,
    client: Client<HttpConnector, Empty<Bytes>>,
}

/// The route, calling the service at `base`.
pub(crate) fn routes(site: Site, base: Uri) -> Router {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(64)
        .build_http();
    Router::new().route("/drug-info/{code}", get(drug_info)).with_state(DrugInfo {
        site,
        base,
        client,
    })
}

async fn drug_info(
    State(state): State<DrugInfo>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    // The switches of this route belong to the dependency: it is the one that fails.
    let deadline = Deadline::of(&headers, PATIENCE, Instant::now())?;
    if !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let detail = format!("{code:?} is not a drug's code; N02BE01 is one");
        return Err(Problem::new(Reason::Invalid, detail));
    }
    let call = state.site.tasks.named("drug-info.call", state.call(&code, deadline));
    deadline.within(call).await?.map(Json)
}

impl DrugInfo {
    async fn call(&self, code: &str, deadline: Deadline) -> Result<Value, Problem> {
        let base = self.base.to_string();
        let mut request = Request::get(format!("{}/drug-info/{code}", base.trim_end_matches('/')));
        let left_ms = deadline.left(Instant::now()).as_millis().to_string();
        for name in deadline::HEADERS {
            request = request.header(name, &left_ms);
        }
        let request = request.body(Empty::new()).map_err(|error| self.failed(&error))?;
        let answer = self.client.request(request).await.map_err(|error| self.failed(&error))?;
        let answer = judge(answer)?;
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| self.failed(&*error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| self.failed(&error))
    }

    /// The attempt and every cause below it.
    fn failed(&self, error: &(dyn Error + 'static)) -> Problem {
        let mut detail = format!("drug-info at {}", self.base);
        let mut cause = Some(error);
        while let Some(error) = cause {
            detail = format!("{detail}: {error}");
            cause = error.source();
        }
        Problem::new(Reason::Dependency, detail)
    }
}

/// An answer worth reading, or what its refusal means to our own caller.
fn judge(answer: Response<Incoming>) -> Result<Response<Incoming>, Problem> {
    let status = answer.status();
    let reason = match status {
        StatusCode::OK => return Ok(answer),
        StatusCode::NOT_FOUND => Reason::NotFound,
        // Pushback: the next hop may shed, so may we.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Reason::Full,
        StatusCode::GATEWAY_TIMEOUT => Reason::Deadline,
        _ => Reason::Dependency,
    };
    Err(Problem::new(reason, format!("drug-info answered {status}")))
}

const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
