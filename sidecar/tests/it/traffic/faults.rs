//! Faults on purpose: what a client sees of them, that they hold what a slow service would, and that the
//! service is not blamed.

use std::{io::ErrorKind, time::Duration};

use serde_json::json;

use super::{
    curl::{curl, curl_to_its_end},
    grpc,
    message::Message,
    wire::{Service, Wire},
};
use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::{Backend, Step, answer},
        client::{Answer, Ask},
        ended, settled,
    },
    weir::{Weir, until},
};

const HEADER: &str = "x-weir-fault";

fn script(path: &str) -> Vec<Step> {
    match path {
        "/long" => answer(200, 40),
        "/slow" => vec![Step::Read, Step::Silence],
        _ => answer(200, 2),
    }
}

/// A service, and a sidecar that believes its callers, with these settings for its one route.
fn behind(route: &str) -> (Backend, Weir) {
    let backend = Backend::start(Speaks::H1, script);
    let weir = Weir::start(&trusting(backend.address, route));
    (backend, weir)
}

fn trusting(endpoint: impl std::fmt::Display, route: &str) -> String {
    format!(
        "reload: {{ watch: false }}\ntrusted: [127.0.0.1]\n\
         listeners: [{{ name: in, address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}\n"
    )
}

/// Asks for a fault, with curl.
fn with(weir: &Weir, fault: &str) -> Message {
    curl(&["--header".to_owned(), format!("{HEADER}: {fault}"), weir.url("/")])
}

fn ask(weir: &Weir, speaks: Speaks, path: &str, fault: &str) -> Answer {
    RUNTIME.block_on(Ask::get(path).field(HEADER, fault).of(weir.address(), speaks))
}

fn injected(weir: &Weir, kind: &str) -> f64 {
    weir.metric("weir_faults_injected_total", &[&format!("kind=\"{kind}\"")])
}

const ANY: &str = "header: { delay_max: 1h, abort: true, drip_min: 1B }";

#[test]
fn a_delay_holds_the_permit_and_ends_when_its_client_leaves() {
    let (backend, weir) = behind(
        "faults: { delay: { for: 1h } }, timeout: { total: 2h, first_byte: 1h }, \
         concurrency: { limit: 1, queue: { length: 0 } }",
    );
    let mut client = Wire::connect(weir.address());
    client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    until("it is delayed", || injected(&weir, "delay") == 1.0);
    assert_eq!(curl(&[weir.url("/")]).verdict(), (503, "overloaded".to_owned()));
    drop(client);
    settled(&weir, &[&backend]);
    assert_eq!((ended(&weir, "client_cancel"), backend.begun()), (1, 0));
    assert_eq!(weir.metric("weir_concurrency_in_flight", &[]), 0.0);
}

#[test]
fn a_deadline_ends_a_delay_and_the_service_never_hears_of_it() {
    let (backend, weir) = behind("faults: { delay: { for: 1h } }, timeout: { total: 2h }");
    let answer = curl(&["--header", "x-envoy-expected-rq-timeout-ms: 100", &weir.url("/")]);
    assert_eq!(answer.verdict(), (504, "deadline".to_owned()));
    let told = weir.last_explained();
    assert_eq!((&told["stage"], &told["policy"]), (&json!("fault"), &json!("-")));
    assert_eq!(told["inputs"], json!({ "injected": "delay=3600000ms", "injected_by": "route" }));
    assert_eq!(told["threshold"], json!({ "deadline_seconds": 0.1 }));
    assert_eq!(backend.begun(), 0);
}

#[test]
fn a_delay_is_added_and_nobody_takes_it_for_the_services() {
    let (_backend, weir) = behind(&format!(
        "faults: {{ {ANY} }}, breaker: {{ slow_ratio: 1%, slow_after: 300ms, min_requests: 1 }}"
    ));
    for speaks in Speaks::BOTH {
        let answer = ask(&weir, speaks, "/", "delay=500ms");
        assert_eq!(answer.status, 200);
        assert!(answer.took >= Duration::from_millis(500), "{answer:?}");
    }
    until("both are judged", || weir.metric("weir_breaker_requests", &[]) == 2.0);
    assert_eq!(weir.metric("weir_breaker_slow", &[]), 0.0);
    assert_eq!(injected(&weir, "delay"), 2.0);
}

#[test]
fn a_delay_that_takes_the_services_time_is_no_fault_of_it() {
    let (backend, weir) = behind(&format!(
        "faults: {{ {ANY} }}, timeout: {{ total: 1s }}, breaker: {{ consecutive: 1, open_for: 1h, open_max: 1h }}"
    ));
    let answer = ask(&weir, Speaks::H1, "/slow", "delay=700ms");
    assert_eq!((answer.status, answer.reason.as_str()), (504, "deadline"));
    let told = weir.last_explained();
    assert_eq!(
        (&told["stage"], &told["inputs"]["injected"]),
        (&json!("try"), &json!("delay=700ms"))
    );
    assert_eq!(ask(&weir, Speaks::H1, "/", "none").status, 200, "the breaker has not heard of it");
    settled(&weir, &[&backend]);
}

#[test]
fn an_abort_is_a_refusal_of_ours() {
    let (backend, weir) = behind(
        "faults: { abort: { status: 418 }, header: { abort: true } }, \
         breaker: { consecutive: 1, open_for: 1h, open_max: 1h }, rate_limit: { qps: 0.001, burst: 1 }",
    );
    for _ in 0..3 {
        let answer = curl(&[weir.url("/")]);
        assert_eq!(answer.verdict(), (418, "fault_injected".to_owned()));
        assert_eq!(
            answer.field("proxy-status").unwrap().split("details=").nth(1),
            Some("\"fault_injected\"")
        );
        let told = weir.explained(answer.json()["id"].as_str().unwrap());
        assert_eq!((&told["status"], &told["stage"]), (&json!(418), &json!("fault")));
        assert_eq!(told["inputs"], json!({ "injected": "abort=418", "injected_by": "route" }));
        assert_eq!(told["threshold"], json!({ "ratio": 1.0 }));
        assert!(told["would_pass"].as_str().unwrap().contains("faults.abort"), "{told}");
    }
    assert_eq!(with(&weir, "abort=502").verdict(), (502, "fault_injected".to_owned()));
    // Neither the breaker has heard of it, nor has a token been spent.
    assert_eq!(with(&weir, "none").status(), 200);
    assert_eq!((backend.begun(), ended(&weir, "fault_injected")), (1, 4));
    assert_eq!(injected(&weir, "abort"), 4.0);
}

#[test]
fn a_reset_is_no_answer_at_all() {
    let (backend, weir) = behind("faults: { abort: { reset: true } }");
    let mut client = Wire::connect(weir.address());
    client.say("GET /report HTTP/1.1\r\nhost: app\r\n\r\n");
    assert_eq!(client.rest(), Err(ErrorKind::ConnectionReset));
    let told = weir.last_explained();
    assert_eq!((&told["reason"], &told["path"]), (&json!("fault_injected"), &json!("/report")));
    assert_eq!((&told["status"], &told["cut"]), (&json!(null), &json!(false)));
    assert_eq!(told["inputs"]["injected"], "abort=reset");
    let (code, answer, said) = curl_to_its_end(&[weir.url("/")]);
    assert!(code == 52 || code == 56, "{code}: {said}");
    assert!(answer.body.is_empty());
    let answer = RUNTIME.block_on(Ask::get("/").of(weir.address(), Speaks::H2));
    assert_eq!((answer.status, answer.whole), (0, false));
    settled(&weir, &[&backend]);
    assert_eq!((ended(&weir, "fault_injected"), backend.begun()), (3, 0));
}

#[test]
fn a_body_drips_and_is_whole_in_the_end() {
    let (backend, weir) = behind(&format!("faults: {{ {ANY} }}, timeout: {{ idle: 50ms }}"));
    for speaks in Speaks::BOTH {
        let answer = ask(&weir, speaks, "/long", "drip=40B");
        assert_eq!((answer.status, answer.body, answer.whole), (200, 40, true), "{answer:?}");
        // Ten pieces, the first of which is due at once.
        assert!(answer.took >= Duration::from_millis(900), "{answer:?}");
    }
    settled(&weir, &[&backend]);
    assert_eq!((ended(&weir, "ok"), injected(&weir, "drip")), (2, 2.0));
}

#[test]
fn what_drips_is_given_while_the_service_still_speaks() {
    let service = Service::listen();
    let weir = Weir::start(&trusting(
        service.address,
        &format!("stream: true, faults: {{ {ANY} }}, breaker: {{ consecutive: 1 }}"),
    ));
    let mut client = Wire::connect(weir.address());
    client.say(format!("GET / HTTP/1.1\r\nhost: app\r\n{HEADER}: drip=1KiB\r\n\r\n"));
    let mut upstream = service.accept();
    assert_eq!(upstream.head().field(HEADER), None, "it is for us");
    upstream.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    client.head();
    assert_eq!(client.chunk().unwrap(), b"first");
    upstream.say("c8\r\n");
    upstream.say("x".repeat(200));
    upstream.say("\r\n0\r\n\r\n");
    let mut rest = Vec::new();
    while let Some(chunk) = client.chunk() {
        assert!(chunk.len() <= 102, "a tenth of a second's worth: {}", chunk.len());
        rest.extend(chunk);
    }
    assert_eq!(rest, [b'x'; 200]);
}

#[test]
fn a_drip_that_outlasts_the_total_is_cut_and_nobodys_fault() {
    let (backend, weir) = behind(&format!(
        "faults: {{ {ANY} }}, timeout: {{ total: 1s }}, breaker: {{ consecutive: 1, open_for: 1h, open_max: 1h }}"
    ));
    for speaks in Speaks::BOTH {
        let answer = ask(&weir, speaks, "/long", "drip=1B");
        assert_eq!((answer.status, answer.whole), (200, false), "{answer:?}");
        assert!(answer.body < 40, "{answer:?}");
        let told = weir.last_explained();
        assert_eq!((&told["reason"], &told["cut"]), (&json!("deadline"), &json!(true)));
        assert_eq!(told["inputs"]["injected"], "drip=1B");
        assert_eq!(told["inputs"]["injected_by"], "caller");
    }
    assert_eq!(ask(&weir, Speaks::H1, "/", "none").status, 200);
    settled(&weir, &[&backend]);
}

#[test]
fn only_what_is_allowed_can_be_asked_for_and_only_by_those_who_are_trusted() {
    let service = Service::listen();
    let route = "faults: { header: { name: x-chaos, delay_max: 1s } }";
    let yaml = trusting(service.address, route);
    let weir = Weir::start(&yaml);
    for (fault, part) in
        [("delay=2s", "above 1s"), ("abort=503", "may not be asked for"), ("slow", "delay=200ms")]
    {
        let answer = curl(&["--header".to_owned(), format!("x-chaos: {fault}"), weir.url("/")]);
        assert_eq!(answer.verdict(), (400, "bad_request".to_owned()));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("x-chaos: ") && detail.contains(part), "{detail}");
        assert_eq!(weir.last_explained()["stage"], "fault");
    }
    let seen = |weir: &Weir| {
        let mut client = Wire::connect(weir.address());
        client.say(format!(
            "GET / HTTP/1.1\r\nhost: app\r\nx-chaos: abort=503\r\n{HEADER}: delay=1h\r\n\r\n"
        ));
        let mut upstream = service.accept();
        let head = upstream.head();
        upstream.say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(client.message().status(), 200);
        ["x-chaos", HEADER].map(|name| head.field(name).map(str::to_owned))
    };
    // A stranger asks in vain, and what it says goes no further.
    let stranger = yaml.replace("trusted: [127.0.0.1]", "trusted: [127.0.0.2]");
    weir.reconfigure(&stranger);
    assert_eq!(seen(&weir), [None, None]);
    // On a route without faults it is for whoever comes next.
    weir.reconfigure(&yaml.replace(route, "stream: false"));
    assert_eq!(seen(&weir), [Some("abort=503".to_owned()), Some("delay=1h".to_owned())]);
    assert_eq!(weir.metric("weir_faults_injected_total", &[]), 0.0);
}

#[test]
fn faults_fall_by_lot_and_end_with_a_reload() {
    let (backend, weir) = behind("faults: { abort: { ratio: 50% } }");
    let answers: Vec<_> = (0..100)
        .map(|_| RUNTIME.block_on(Ask::get("/").of(weir.address(), Speaks::H1)).status)
        .collect();
    let aborted = answers.iter().filter(|status| **status == 503).count();
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 100 - aborted);
    // 8 deviations either way.
    assert!((10..=90).contains(&aborted), "{aborted}");
    weir.reconfigure(&trusting(backend.address, "stream: false"));
    assert_eq!(injected(&weir, "abort"), aborted as f64, "and the count stays");
    assert!((0..20).all(|_| curl(&[weir.url("/")]).status() == 200));
}

#[test]
fn grpc_callers_get_a_status_of_theirs() {
    let (_server, weir) =
        grpc::behind_trusting("faults: { header: { abort: true, delay_max: 1h } }");
    grpc::client(&weir, "fault");
}
