//! What an error of the admin API says: a problem body (RFC 9457), as refusals of the proxy have.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::reload::Report;

/// An error with its explanation.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    field: Option<(HeaderName, HeaderValue)>,
    reload: Option<Arc<Report>>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(flatten)]
    reload: Option<&'a Report>,
}

impl Problem {
    /// `detail` is one sentence: what is wrong and what to do.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), field: None, reload: None }
    }

    /// With all that is known of a reload that changed nothing.
    pub(super) fn of_reload(self, report: Arc<Report>) -> Self {
        Self { reload: Some(report), ..self }
    }

    /// With a header field that the status asks for.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.field = Some((name, HeaderValue::from_static(value)));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            reload: self.reload.as_deref(),
        };
        // Strings and numbers always serialize.
        let mut body = serde_json::to_vec_pretty(&body).unwrap_or_default();
        body.push(b'\n');
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let mut response = (self.status, headers, body).into_response();
        response.headers_mut().extend(self.field);
        response
    }
}

/// Answers a path that nothing is served at. The path is not repeated: it may hold anything.
pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "nothing is served here; see / on the admin address")
}

/// Answers a method that a path does not take. The router adds `Allow`.
pub(super) async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} takes the methods in Allow, and this is none", request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use crate::admin::fixture::{Fixture, ask};

    #[tokio::test]
    async fn errors_are_problems() {
        let fixture = Fixture::new();
        for (request, status, title) in [
            (Request::get("/nothing"), 404, "Not Found"),
            (Request::get("/explain/nothing"), 404, "Not Found"),
            (Request::get("/drain"), 405, "Method Not Allowed"),
            (Request::post("/metrics"), 405, "Method Not Allowed"),
            (Request::get("/explain?count=many"), 400, "Bad Request"),
            (Request::get("/").header("host", "evil.example"), 403, "Forbidden"),
        ] {
            let answer = ask(fixture.app(), request).await;
            assert_eq!(answer.status, status, "{answer:?}");
            assert_eq!(answer.header("content-type"), "application/problem+json");
            let problem = answer.json();
            assert_eq!(problem["type"], "about:blank");
            assert_eq!(problem["title"], title);
            assert_eq!(problem["status"], status);
            assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        }
    }

    #[tokio::test]
    async fn a_wrong_method_is_told_the_right_ones() {
        let fixture = Fixture::new();
        assert_eq!(fixture.get("/drain").await.header("allow"), "POST");
        let answer = ask(fixture.app(), Request::delete("/ready")).await;
        assert_eq!(answer.header("allow"), "GET,HEAD");
    }
}
