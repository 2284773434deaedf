use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// A refusal or failure, as RFC 9457 problem details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: Reason,
    pub(crate) detail: String,
}

/// Why a request got no answer of its own; decides the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The request is malformed.
    Invalid,
    /// The API key is missing or unknown.
    Unauthorized,
    /// There is no such thing.
    NotFound,
    /// The body is longer than the route takes.
    TooLarge,
    /// The route's `error_ratio` switch struck.
    Injected,
    /// Our own code failed.
    Internal,
    /// The dependency failed.
    Dependency,
    /// The queue is full.
    Full,
    /// The deadline passed.
    Deadline,
}

impl Reason {
    fn status_and_name(self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Injected => (StatusCode::INTERNAL_SERVER_ERROR, "injected"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Dependency => (StatusCode::BAD_GATEWAY, "dependency"),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
            Self::Deadline => (StatusCode::GATEWAY_TIMEOUT, "deadline"),
        }
    }
}

impl Problem {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, reason) = self.reason.status_and_name();
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "reason": reason,
            "detail": self.detail,
        });
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.reason == Reason::Full {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
