//! Several endpoints of an upstream: how requests are shared, and what a dead one costs.

use super::{
    clinic::Serving,
    curl::curl,
    process::{Server, python},
    wire::{Service, Wire},
};
use crate::weir::{Weir, until};

const GET: &str = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn before(endpoints: &[String], upstream: &str, route: &str) -> Weir {
    Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: {endpoints:?}, {upstream} }} }}\n"
    ))
}

/// Where nobody listens.
fn dead_address() -> String {
    Service::listen().address.to_string()
}

#[test]
fn round_robin_shares_evenly() {
    let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let servers = [0, 1, 2].map(|number| {
        std::fs::write(folders[number].path().join("who"), number.to_string()).unwrap();
        Server::start(python("store.py").arg(folders[number].path()))
    });
    let weir = before(&servers.each_ref().map(Server::address), "balance: round_robin", "");
    let all = curl(&[weir.url("/who?[1-30]")]).text();
    for who in ['0', '1', '2'] {
        assert_eq!(all.matches(who).count(), 10, "{all}");
    }
}

#[test]
fn least_requests_avoids_the_busy_one() {
    let (busy, idle) = (Service::listen(), Service::listen());
    let endpoints = [busy.address.to_string(), idle.address.to_string()];
    let weir = before(&endpoints, "balance: least_requests", "");
    let mut waiting = Wire::connect(weir.address());
    waiting.say(GET);
    let mut held = None;
    until("one of them has it", || {
        held = busy
            .try_accept()
            .map(|wire| (wire, &idle))
            .or_else(|| idle.try_accept().map(|wire| (wire, &busy)));
        held.is_some()
    });
    let (mut held, other) = held.unwrap();
    held.head();
    let mut client = Wire::connect(weir.address());
    let mut upstream = None;
    for _ in 0..10 {
        client.say(GET);
        let upstream = upstream.get_or_insert_with(|| other.accept());
        upstream.head();
        upstream.say(OK);
        assert_eq!(client.message().status(), 200);
    }
    held.say(OK);
    assert_eq!(waiting.message().status(), 200);
}

#[test]
fn a_dead_endpoint_costs_its_share() {
    let clinic = Serving::clinic();
    let endpoints = [clinic.address.to_string(), dead_address()];
    let weir = before(&endpoints, "balance: round_robin", "breaker: { mode: disabled }");
    let verdicts: Vec<_> = (0..10).map(|_| curl(&[weir.url("/healthz")]).verdict()).collect();
    let lost = (502, "upstream_connect".to_owned());
    assert_eq!(verdicts.iter().filter(|verdict| verdict.0 == 200).count(), 5, "{verdicts:?}");
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == lost).count(), 5, "{verdicts:?}");
}

#[test]
fn a_breaker_per_endpoint_passes_the_bad_one_over() {
    let clinic = Serving::clinic();
    let endpoints = [clinic.address.to_string(), dead_address()];
    let breaker = "breaker: { consecutive: 2, open_for: 1h, open_max: 1h, per: endpoint }";
    let weir = before(&endpoints, "balance: round_robin", breaker);
    let statuses: Vec<_> = (0..20).map(|_| curl(&[weir.url("/healthz")]).status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 18, "{statuses:?}");
}
