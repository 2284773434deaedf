//! The ways for a request to end, and the sidecar and the service that end it so.

use std::net::SocketAddr;

use crate::faults::{
    backend::{Backend, Step, answer},
    client::{Ask, Upload},
};

/// A way for a request to end.
#[derive(Clone)]
pub(super) struct Kind {
    /// Its share among all.
    pub(super) weight: usize,
    pub(super) reason: &'static str,
    /// Zero where a cut may overtake the header.
    pub(super) status: u16,
    pub(super) how: How,
}

#[derive(Clone)]
pub(super) enum How {
    Ask(Ask),
    /// Asks, and leaves when the answer has begun.
    Leave(Ask),
    /// Bytes that no client would send (h1 only).
    Raw(String),
}

pub(super) fn script(path: &str) -> Vec<Step> {
    match path.rsplit('/').next().unwrap_or_default() {
        "stuck" => vec![Step::Read, Step::Silence],
        "half" => vec![Step::Read, Step::Head(200, 100), Step::Body(10), Step::Silence],
        "reset" => vec![Step::Read, Step::Reset],
        "reset-in-body" => vec![Step::Read, Step::Head(200, 100), Step::Body(10), Step::Reset],
        "500" => answer(500, 10),
        "429" => answer(429, 10),
        _ => answer(200, 100),
    }
}

pub(super) fn kinds() -> Vec<Kind> {
    let kind = |weight, reason, status, how| Kind { weight, reason, status, how };
    let get = |path: &str| How::Ask(Ask::get(path));
    let mut kinds = vec![
        kind(40, "no_route", 404, get("/nowhere")),
        kind(40, "rate_limited", 429, get("/limited/")),
        kind(40, "overloaded", 503, get("/full/")),
        kind(40, "breaker_open", 503, get("/open/")),
        kind(40, "upstream_connect", 502, get("/gone/")),
        kind(10, "upstream_total_timeout", 504, get("/late/stuck")),
        kind(20, "bad_request", 400, raw("GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n")),
        kind(20, "bad_request", 400, raw("GET / HTTP/1.1\r\nhost a\r\n\r\n")),
        kind(20, "uri_too_long", 414, get(&format!("/{}", "a".repeat(9_000)))),
        kind(
            20,
            "header_too_large",
            431,
            raw(&format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(100))),
        ),
        kind(20, "method_not_allowed", 405, raw("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n")),
    ];
    for upstream in ["/h1", "/h2"] {
        let path = |end: &str| format!("{upstream}/{end}");
        let post = |end, upload| How::Ask(Ask::post(path(end), upload));
        let hurried = Ask::get(path("stuck")).field("grpc-timeout", "50m");
        kinds.extend([
            kind(300, "ok", 200, get(&path("ok"))),
            kind(100, "ok", 200, post("ok", Upload::Bytes(500))),
            kind(40, "upstream_error", 500, get(&path("500"))),
            kind(20, "upstream_pushback", 429, get(&path("429"))),
            kind(20, "upstream_reset", 502, post("reset", Upload::Bytes(5))),
            kind(20, "upstream_reset", 0, post("reset-in-body", Upload::Bytes(5))),
            kind(40, "body_too_large", 413, post("ok", Upload::Bytes(2_000))),
            kind(10, "body_too_large", 413, post("ok", Upload::Endless)),
            kind(10, "deadline", 504, How::Ask(hurried)),
            kind(60, "client_cancel", 200, How::Leave(Ask::get(path("half")))),
        ]);
    }
    kinds
}

fn raw(bytes: &str) -> How {
    How::Raw(bytes.to_owned())
}

pub(super) fn yaml(h1: &Backend, h2: &Backend, gone: SocketAddr) -> String {
    let route = |prefix: &str, upstream: &str, more: &str| {
        let off = if more.contains("breaker") { "" } else { "breaker: { mode: disabled }, " };
        format!(
            "      - {{ match: {{ path_prefix: /{prefix}/ }}, upstream: {upstream}, limits: {{ body: 1KiB }}, {off}{more} }}\n"
        )
    };
    let routes = [
        route("h1", "h1", "timeout: { total: 100s }"),
        route("h2", "h2", "timeout: { total: 100s }"),
        route("late", "h1", "timeout: { total: 100ms }"),
        route("gone", "gone", ""),
        route("limited", "h1", "rate_limit: { qps: 0.00001, burst: 1 }"),
        route("open", "h1", "breaker: { consecutive: 1, open_for: 1000s, open_max: 1000s }"),
        route(
            "full",
            "h1",
            "concurrency: { limit: 1, queue: { length: 0 } }, timeout: { total: 1000s, first_byte: 1000s }",
        ),
    ];
    format!(
        "trusted: [127.0.0.1]\nlisteners:\n  - address: 127.0.0.1:0\n    \
         limits: {{ requests_per_connection: 1000000, connections: 100000 }}\n    routes:\n{}\
         upstreams:\n  h1: {{ endpoints: [\"{}\"], concurrency: {{ mode: disabled }} }}\n  \
         h2: {{ endpoints: [\"{}\"], protocol: h2, concurrency: {{ mode: disabled }} }}\n  gone: {{ endpoints: [\"{gone}\"] }}\n",
        routes.concat(),
        h1.address,
        h2.address
    )
}
