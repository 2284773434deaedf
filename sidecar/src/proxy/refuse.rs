//! No, in a form that a program, a person and a log read alike.
//!
//! Every answer that Weir writes itself comes from here: a problem body (RFC 9457) with the reason,
//! the policy and an id for `/explain`; `Proxy-Status` (RFC 9209); `Retry-After` and `RateLimit`
//! where they are known; gRPC callers get the same as a Trailers-Only response.

mod refusal;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::{
    http::{RequestHeader, ResponseHeader},
    protocols::http::ServerSession,
};
use serde::Serialize;

pub(super) use self::refusal::{Refusal, shortened};
use super::exchange::Exchange;
use crate::{
    clock,
    observe::explain::{Explanation, Id},
};

/// `RateLimit` (draft-ietf-httpapi-ratelimit-headers): what is left, and in how many seconds there is more.
pub(super) fn rate_limit(policy: &HeaderValue, remaining: u32, reset: Duration) -> HeaderValue {
    let name = policy
        .to_str()
        .ok()
        .and_then(|policy| policy.split(';').next())
        .unwrap_or("\"rate_limit\"");
    let text = format!("{name};r={remaining};t={}", whole_seconds(reset));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"rate_limit\";r=0"))
}

/// Rounded up, so that nobody comes back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Writes the answer and keeps why. `Err` when the client could not be told.
pub(super) async fn answer(
    exchange: &mut Exchange,
    session: &mut ServerSession,
    refusal: Refusal,
) -> pingora::Result<()> {
    let id = next_id(exchange);
    // Pingora panics when asked for a header that it could not parse.
    let request = exchange.parsed.then(|| session.req_header());
    let grpc = session.is_http2() && request.is_some_and(is_grpc);
    let (response, body) = if grpc { trailers_only(&refusal, id) } else { problem(&refusal, id) };
    let status = response.status.as_u16();
    let why = Explanation { status: Some(status), ..refusal.explanation(exchange, request) };
    exchange.explain(id, why);
    exchange.answered(status);
    // Whoever does not read is not waited for longer than any other slow client.
    let until = clock::now() + exchange.listener.timeout.write;
    match clock::by(until, write(session, response, body)).await {
        Some(written) => written,
        None => pingora::Error::e_explain(pingora::ErrorType::WriteTimedout, "writing a refusal"),
    }
}

/// Keeps why a client that cannot be told gets no more: of an answer that has begun with this status, or
/// not at all.
pub(super) fn explain_cut(
    exchange: &mut Exchange,
    request: &RequestHeader,
    status: Option<u16>,
    refusal: Refusal,
) {
    let why = refusal.explanation(exchange, Some(request));
    let cut = status.is_some();
    exchange.explain(next_id(exchange), Explanation { status, cut, ..why });
}

fn next_id(exchange: &Exchange) -> Id {
    exchange.worker.shared.explain.id(exchange.worker.index)
}

/// Writes a whole response; without a body, an h2 one ends with its header.
async fn write(
    session: &mut ServerSession,
    response: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    match session {
        // Pingora leaves the body of an answer to HEAD out over h1 alone.
        ServerSession::H2(session)
            if body.is_empty() || session.req_header().method == Method::HEAD =>
        {
            session.write_response_header(Box::new(response), true)
        }
        session => {
            session.write_response_header(Box::new(response)).await?;
            session.write_response_body(body, true).await
        }
    }
}

/// The body of RFC 9457, with our own members.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    policy: &'a str,
    id: String,
    detail: &'a str,
}

fn problem(refusal: &Refusal, id: Id) -> (ResponseHeader, Bytes) {
    let status = refusal.status();
    let problem = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        reason: refusal.reason.word(),
        policy: &refusal.advice.policy,
        id: id.to_string(),
        detail: &refusal.advice.detail,
    };
    // Strings and a number always serialize.
    let mut body = serde_json::to_vec(&problem).unwrap_or_default();
    body.push(b'\n');
    let body = Bytes::from(body);
    let mut response = header_for(status);
    put(&mut response, header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    put(&mut response, header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        put(
            &mut response,
            header::ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    advise(&mut response, refusal);
    (response, body)
}

/// The status travels in the header block, which is also the trailer (gRPC over HTTP/2, Responses).
fn trailers_only(refusal: &Refusal, id: Id) -> (ResponseHeader, Bytes) {
    let mut response = header_for(StatusCode::OK);
    put(&mut response, header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    put(
        &mut response,
        HeaderName::from_static("grpc-status"),
        HeaderValue::from(u16::from(refusal.grpc_code())),
    );
    let message = format!("{}: {} ({id})", refusal.reason.word(), refusal.advice.detail);
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&message)) {
        put(&mut response, HeaderName::from_static("grpc-message"), message);
    }
    if let Some(after) = refusal.advice.retry_after {
        let millis = HeaderValue::from(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        put(&mut response, HeaderName::from_static("grpc-retry-pushback-ms"), millis);
    }
    advise(&mut response, refusal);
    (response, Bytes::new())
}

fn advise(response: &mut ResponseHeader, refusal: &Refusal) {
    if let Some(after) = refusal.advice.retry_after {
        put(response, header::RETRY_AFTER, HeaderValue::from(whole_seconds(after).max(1)));
    }
    if let Some((policy, left)) = &refusal.advice.rate {
        put(response, HeaderName::from_static("ratelimit-policy"), policy.clone());
        put(response, HeaderName::from_static("ratelimit"), left.clone());
    }
    let status = format!(
        "weir; error={}; details=\"{}\"",
        refusal.reason.proxy_error(),
        refusal.reason.word()
    );
    if let Ok(status) = HeaderValue::from_str(&status) {
        put(response, HeaderName::from_static("proxy-status"), status);
    }
}

/// RFC 9457 bodies are not to be kept by caches.
fn header_for(status: StatusCode) -> ResponseHeader {
    // Only an impossible status could fail here, and ours come from a table.
    let mut response = ResponseHeader::build(status, Some(8))
        .unwrap_or_else(|_| ResponseHeader::from(http::Response::new(()).into_parts().0));
    put(&mut response, header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn put(response: &mut ResponseHeader, name: HeaderName, value: HeaderValue) {
    // A known name with a valid value cannot be refused; were it, the answer goes out without it.
    response.insert_header(name, value).unwrap_or_default();
}

/// Whether the caller speaks gRPC.
pub(super) fn is_grpc(request: &RequestHeader) -> bool {
    request.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
        let rest = kind.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'))
    })
}

/// The percent-encoding of `grpc-message`: all but printable ASCII, and the percent sign.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{observe::explain::Explain, reason::Reason};

    #[test]
    fn a_refusal_reads_as_the_design_shows_it() {
        let id = Explain::new(1, 7).id(0);
        let policy = HeaderValue::from_static("\"partner-api\";q=100;w=1");
        let refusal =
            Refusal::new(Reason::RateLimited, "100 requests a second; the next one fits in 8 ms")
                .policy("partner-api")
                .retry_after(Duration::from_millis(8))
                .rate(&policy, 0, Duration::from_millis(8));
        let (response, body) = problem(&refusal, id);
        let header = |name: &str| response.headers[name].to_str().unwrap().to_owned();
        assert_eq!(response.status, 429);
        assert_eq!(header("content-type"), "application/problem+json");
        assert_eq!(header("retry-after"), "1");
        assert_eq!(header("ratelimit-policy"), "\"partner-api\";q=100;w=1");
        assert_eq!(header("ratelimit"), "\"partner-api\";r=0;t=1");
        assert_eq!(
            header("proxy-status"),
            "weir; error=http_request_denied; details=\"rate_limited\""
        );
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["reason"], "rate_limited");
        assert_eq!(body["policy"], "partner-api");
        assert_eq!(body["id"], id.to_string());
    }

    #[test]
    fn a_grpc_refusal_is_all_header() {
        let id = Explain::new(1, 7).id(0);
        let refusal = Refusal::new(Reason::Overloaded, "full – 100 %")
            .retry_after(Duration::from_millis(1500));
        let (response, body) = trailers_only(&refusal, id);
        assert!(body.is_empty());
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["grpc-status"], "14");
        assert_eq!(
            response.headers["grpc-message"],
            format!("overloaded: full %E2%80%93 100 %25 ({id})")
        );
        assert_eq!(response.headers["grpc-retry-pushback-ms"], "1500");
        assert_eq!(response.headers["retry-after"], "2");
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (kind, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let mut request = RequestHeader::build("POST", b"/", None).unwrap();
            request.insert_header("content-type", kind).unwrap();
            assert_eq!(is_grpc(&request), expected, "{kind}");
        }
    }
}
