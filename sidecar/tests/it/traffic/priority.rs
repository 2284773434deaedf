//! Who goes first where there is one permit: classes by header, client and route, and clients of a
//! class that do not starve each other.

use serde_json::json;

use super::{
    message::Message,
    wire::{Service, Wire},
};
use crate::weir::{Weir, until};

/// Each request comes over a connection of its own, whichever worker it was given to.
const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

/// A sidecar in front of one permit and a queue of so many.
fn before(service: &Service, top: &str, queue: u32, policies: &str) -> Weir {
    Weir::start(&format!(
        "{top}\nlisteners: [{{ address: 127.0.0.1:0, routes: [\
         {{ name: urgent, match: {{ path: /urgent }}, upstream: app, priority: high, {TIMES} }}, \
         {{ name: all, upstream: app, {policies}, {TIMES} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], \
         concurrency: {{ limit: 1, queue: {{ length: {queue}, timeout: 1h }}, \
         fair_per: {{ header: x-tenant }} }} }} }}\n",
        service.address
    ))
}

const TIMES: &str = "timeout: { total: 2h, first_byte: 1h }";

fn ask(weir: &Weir, path: &str, fields: &str) -> Wire {
    let mut client = Wire::connect(weir.address());
    client.say(format!("GET {path} HTTP/1.1\r\nhost: app\r\n{fields}\r\n"));
    client
}

/// Asks and waits until the request is in the queue.
fn queue(weir: &Weir, path: &str, fields: &str) -> Wire {
    let queued = || weir.metric("weir_concurrency_queued", &[]);
    let before = queued();
    let client = ask(weir, path, fields);
    until("it waits", || queued() == before + 1.0);
    client
}

/// Answers the requests one by one; the paths in the order in which they came.
fn serve(service: &Service, first: Wire, count: usize) -> Vec<String> {
    let mut paths = Vec::new();
    let mut upstream = first;
    for served in 0..count {
        let head = upstream.head();
        paths.push(head.first_line.split(' ').nth(1).unwrap().to_owned());
        upstream.say(OK);
        if served + 1 < count {
            upstream = service.accept();
        }
    }
    paths
}

fn explained(weir: &Weir, answer: &Message) -> serde_json::Value {
    weir.explained(answer.json()["id"].as_str().unwrap())
}

#[test]
fn the_header_of_a_trusted_peer_says_who_goes_first() {
    let service = Service::listen();
    let weir = before(
        &service,
        "trusted: [127.0.0.1/32]",
        9,
        "priority: { default: low, header: x-priority }",
    );
    let _first = ask(&weir, "/first", "");
    let first = service.accept();
    let waiting = [
        queue(&weir, "/low", ""),
        queue(&weir, "/unknown", "x-priority: urgent\r\n"),
        queue(&weir, "/normal", "x-priority: normal\r\n"),
        queue(&weir, "/high", "x-priority: high\r\n"),
        queue(&weir, "/urgent", ""),
    ];
    let paths = serve(&service, first, 6);
    assert_eq!(paths, ["/first", "/high", "/urgent", "/normal", "/low", "/unknown"]);
    for mut client in waiting {
        assert_eq!(client.message().status(), 200);
    }
}

#[test]
fn the_header_of_anybody_else_says_nothing() {
    let service = Service::listen();
    let weir = before(&service, "", 9, "priority: { header: x-priority }");
    let _first = ask(&weir, "/first", "");
    let first = service.accept();
    let _waiting = [queue(&weir, "/1", ""), queue(&weir, "/2", "x-priority: high\r\n")];
    assert_eq!(serve(&service, first, 3), ["/first", "/1", "/2"]);
}

#[test]
fn a_client_has_the_class_of_its_network() {
    let service = Service::listen();
    let weir = before(
        &service,
        "trusted: [127.0.0.1/32]",
        9,
        "priority: { clients: { high: [10.1.0.0/16], low: [10.0.0.0/8, \"fd00::/8\"] } }",
    );
    let _first = ask(&weir, "/first", "");
    let first = service.accept();
    let from = |address| format!("x-forwarded-for: {address}\r\n");
    let _waiting = [
        queue(&weir, "/low", &from("10.2.0.1")),
        queue(&weir, "/low6", &from("fd00::1")),
        queue(&weir, "/normal", &from("192.0.2.1")),
        queue(&weir, "/high", &from("10.1.0.1")),
    ];
    assert_eq!(serve(&service, first, 5), ["/first", "/high", "/normal", "/low", "/low6"]);
}

#[test]
fn a_place_goes_to_a_better_claim_and_the_one_that_had_it_is_told_why() {
    let service = Service::listen();
    let weir = before(&service, "", 1, "priority: low");
    let _first = ask(&weir, "/first", "");
    let first = service.accept();
    let mut low = queue(&weir, "/low", "");
    let refused = ask(&weir, "/low", "").message();
    assert_eq!(refused.verdict(), (503, "overloaded".to_owned()));
    let told = explained(&weir, &refused);
    assert_eq!(told["inputs"], json!({ "in_flight": 1, "queued": 1, "priority": "low" }), "{told}");
    assert_eq!(told["threshold"], json!({ "limit": 1, "queue_length": 1 }));
    assert!(told["would_pass"].as_str().unwrap().ends_with("or priority normal"), "{told}");

    let _urgent = ask(&weir, "/urgent", "");
    let pushed_out = low.message();
    assert_eq!(pushed_out.verdict(), (503, "overloaded".to_owned()));
    assert!(pushed_out.text().contains("went to a better claim"), "{}", pushed_out.text());
    let told = explained(&weir, &pushed_out);
    assert_eq!(
        (&told["policy"], &told["inputs"]["priority"]),
        (&json!("app"), &json!("low")),
        "{told}"
    );
    assert!(told["inputs"]["waited_seconds"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(serve(&service, first, 2), ["/first", "/urgent"]);
    let refused = |class: &str| {
        weir.metric("weir_concurrency_refused_total", &["route=\"-\"", "policy=\"app\"", class])
    };
    assert_eq!([refused("priority=\"low\""), refused("priority=\"high\"")], [2.0, 0.0]);
    until("all permits are back", || weir.metric("weir_concurrency_in_flight", &[]) == 0.0);
}

#[test]
fn a_client_that_had_most_places_gives_one_to_another() {
    let service = Service::listen();
    let weir = before(&service, "", 1, "priority: normal");
    let _first = ask(&weir, "/first", "");
    let mut upstream = service.accept();
    // The noisy one has had a place often enough that it is no chance.
    let mut served = Vec::new();
    for _ in 0..10 {
        served.push(queue(&weir, "/noisy", "x-tenant: noisy\r\n"));
        upstream.head();
        upstream.say(OK);
        upstream = service.accept();
    }
    let mut noisy = queue(&weir, "/noisy", "x-tenant: noisy\r\n");
    let refused = ask(&weir, "/noisy", "x-tenant: noisy\r\n").message();
    assert_eq!(refused.verdict(), (503, "overloaded".to_owned()));
    let _quiet = ask(&weir, "/quiet", "x-tenant: quiet\r\n");
    let pushed_out = noisy.message();
    assert!(pushed_out.text().contains("went to a better claim"), "{}", pushed_out.text());
    upstream.head();
    upstream.say(OK);
    assert!(service.accept().head().first_line.starts_with("GET /quiet"));
}
