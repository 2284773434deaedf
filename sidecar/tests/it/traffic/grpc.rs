//! gRPC: grpcio on both sides, HTTP/2 all the way.

use super::process::{Server, check, python};
use crate::weir::{Weir, until};

/// grpcio's server, and a sidecar before it with these settings for its one route.
fn behind(route: &str) -> (Server, Weir) {
    started("", route)
}

fn started(top: &str, route: &str) -> (Server, Weir) {
    let server = Server::start(&mut python("grpc_server.py"));
    let weir = Weir::start(&format!(
        "{top}listeners:\n  - address: 127.0.0.1:0\n    routes: [{{ name: all, upstream: app, {route} }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: h2 }} }}\n",
        server.address()
    ));
    (server, weir)
}

/// The same, where callers are believed.
pub(super) fn behind_trusting(route: &str) -> (Server, Weir) {
    started("trusted: [127.0.0.1]\n", route)
}

pub(super) fn client(weir: &Weir, case: &str) {
    check(python("grpc_client.py").args([&weir.address().to_string(), case]));
}

#[test]
fn calls_of_every_kind_go_through() {
    let (_server, weir) = behind("limits: { body: 20MiB }");
    for case in
        ["unary", "server_stream", "client_stream", "bidi_stream", "metadata", "failure", "large"]
    {
        client(&weir, case);
    }
    until("all have ended", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
    assert_eq!(weir.metric("weir_requests_total", &["class=\"rejected\""]), 0.0);
}

#[test]
fn a_deadline_and_a_cancel_reach_the_service() {
    let (_server, weir) = behind("timeout: { total: 60s, first_byte: 60s }");
    client(&weir, "deadline");
    client(&weir, "cancel");
    until("all have ended", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
}

#[test]
fn a_rate_limit_says_resource_exhausted() {
    let (_server, weir) = behind("rate_limit: { qps: 0.001, burst: 1 }");
    client(&weir, "bidi_stream");
    client(&weir, "resource_exhausted");
}

#[test]
fn an_open_breaker_says_unavailable() {
    let (_server, weir) = behind("breaker: { consecutive: 1, open_for: 1h, open_max: 1h }");
    client(&weir, "failure");
    client(&weir, "breaker_open");
}

#[test]
fn a_full_house_says_unavailable() {
    let (_server, weir) = behind("concurrency: { limit: 1, queue: { length: 0 } }");
    client(&weir, "overloaded");
}

#[test]
fn the_routes_total_says_deadline_exceeded() {
    let (_server, weir) = behind("timeout: { connect: 1s, first_byte: 1s, total: 1s }");
    client(&weir, "total");
}
