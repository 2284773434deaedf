//! Callers say how long they wait: it is handed on with the elapsed time taken off, and what cannot make
//! it any more is refused before anybody works for it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{
    curl::curl,
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
    weir::{PATIENCE, Weir, until},
};

const ENVOY: &str = "x-envoy-expected-rq-timeout-ms";

/// A configuration that believes its callers, with these settings for its one route.
fn trusting(endpoint: impl std::fmt::Display, route: &str) -> String {
    format!(
        "reload: {{ watch: false }}\ntrusted: [127.0.0.1]\n\
         listeners: [{{ name: in, address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}\n"
    )
}

fn ask(weir: &Weir, fields: &[(&str, &str)]) -> Wire {
    let fields: String =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut client = Wire::connect(weir.address());
    client.say(format!("GET / HTTP/1.1\r\nhost: app\r\n{fields}\r\n"));
    client
}

/// The end that the service writes, after which its connection is not used again.
const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

fn wasted(weir: &Weir, reason: &str) -> f64 {
    weir.metric("weir_upstream_wasted_seconds_total", &[&format!("reason=\"{reason}\"")])
}

fn unix(later: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{:.3}", (now + later).as_secs_f64())
}

/// Whole microseconds of a `grpc-timeout` that is written so.
fn micros(head: &Message) -> u64 {
    let written = head.field("grpc-timeout").expect("it is handed on");
    written.strip_suffix('u').expect("microseconds").parse().unwrap()
}

#[test]
fn what_is_left_is_handed_on_in_the_same_header() {
    let service = Service::listen();
    let weir = Weir::start(&trusting(service.address, "timeout: { total: 60s }"));
    let absolute = unix(Duration::from_secs(3600));
    let fields =
        [("grpc-timeout", "50S"), (ENVOY, "40000"), ("x-request-deadline", absolute.as_str())];
    let mut client = ask(&weir, &fields);
    let mut upstream = service.accept();
    let head = upstream.head();
    // The nearest of all is what both durations say, less what has gone.
    let left = micros(&head);
    assert!((1..40_000_000).contains(&left), "{left}");
    let left = head.field(ENVOY).unwrap().parse::<u64>().unwrap();
    assert!((1..40_000).contains(&left), "{left}");
    assert_eq!(head.field("x-request-deadline"), Some(absolute.as_str()), "a point in time");
    upstream.say(OK);
    assert_eq!(client.message().status(), 200);

    // The route's own time is shorter than the caller's.
    let mut client = ask(&weir, &[("grpc-timeout", "1H")]);
    let mut upstream = service.accept();
    let left = micros(&upstream.head());
    assert!((1..60_000_000).contains(&left), "{left}");
    upstream.say(OK);
    assert_eq!(client.message().status(), 200);

    // Who said nothing of it is not spoken for.
    let mut client = ask(&weir, &[]);
    let mut upstream = service.accept();
    let head = upstream.head();
    for name in ["grpc-timeout", ENVOY, "x-request-deadline"] {
        assert_eq!(head.field(name), None);
    }
    upstream.say(OK);
    assert_eq!(client.message().status(), 200);
}

#[test]
fn the_time_in_the_queue_is_taken_off() {
    let service = Service::listen();
    let route = "concurrency: { limit: 1, queue: { length: 1, timeout: 1h } }, timeout: { total: 2h, first_byte: 1h }";
    let weir = Weir::start(&trusting(service.address, route));
    let mut first = ask(&weir, &[]);
    let mut working = service.accept();
    working.head();
    let mut second = ask(&weir, &[("grpc-timeout", "50S")]);
    until("it waits", || weir.metric("weir_concurrency_queued", &[]) == 1.0);
    let waits = Instant::now();
    std::thread::park_timeout(Duration::from_millis(100));
    let waited = waits.elapsed();
    working.say(OK);
    let mut upstream = service.accept();
    let left = Duration::from_micros(micros(&upstream.head()));
    assert!(left + waited <= Duration::from_secs(50), "{left:?} are left after {waited:?}");
    upstream.say(OK);
    for client in [&mut first, &mut second] {
        assert_eq!(client.message().status(), 200);
    }
}

#[test]
fn a_strangers_deadline_is_passed_on_as_it_came() {
    let service = Service::listen();
    let weir = Weir::start(
        &trusting(service.address, "").replace("trusted: [127.0.0.1]", "trusted: [127.0.0.2]"),
    );
    let past = unix(Duration::ZERO);
    let fields = [("grpc-timeout", "1n"), (ENVOY, "1"), ("x-request-deadline", past.as_str())];
    let mut client = ask(&weir, &fields);
    let mut upstream = service.accept();
    let head = upstream.head();
    for (name, value) in fields {
        assert_eq!(head.field(name), Some(value));
    }
    upstream.say(OK);
    assert_eq!(client.message().status(), 200);
}

#[test]
fn a_point_in_time_holds_unless_a_clock_is_a_day_off() {
    const DAY: Duration = Duration::from_secs(86_400);
    let backend = Backend::start(Speaks::H1, |_| answer(200, 2));
    let weir = Weir::start(&trusting(backend.address, ""));
    let status = |deadline: &str| {
        curl(&["--header".to_owned(), format!("x-request-deadline: {deadline}"), weir.url("/")])
            .status()
    };
    assert_eq!(status(&unix(Duration::ZERO)), 504, "it has just passed");
    assert_eq!(weir.last_explained()["stage"], "deadline");
    assert_eq!(status(&unix(PATIENCE)), 200);
    assert_eq!(status(&unix(DAY)), 200);
    let ignored =
        || weir.metric("weir_deadlines_ignored_total", &["header=\"x-request-deadline\""]);
    assert_eq!(ignored(), 0.0);
    let yesterday = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - DAY;
    assert_eq!(status(&yesterday.as_secs().to_string()), 200, "nobody has waited for a day");
    assert_eq!(status("tomorrow"), 200, "what is no time bounds nothing");
    assert_eq!(ignored(), 2.0);
    assert_eq!(backend.begun(), 4);
}

fn slow_or_fast(path: &str) -> Vec<Step> {
    let slow = [vec![Step::Wait(Duration::from_millis(150))], answer(200, 2)].concat();
    match path {
        "/slow" => slow,
        "/silence" => vec![Step::Read, Step::Silence],
        _ => answer(200, 2),
    }
}

/// As many answers as it takes to know what the route needs.
fn teach(weir: &Weir) {
    let ask = Ask::get("/slow").field(ENVOY, "20000");
    for _ in 0..25 {
        assert_eq!(RUNTIME.block_on(ask.of(weir.address(), Speaks::H1)).status, 200);
    }
}

/// Asks with a tenth of a second.
fn in_a_hurry(weir: &Weir, path: &str) -> Answer {
    let ask = Ask::get(path).field(ENVOY, "100");
    RUNTIME.block_on(ask.of(weir.address(), Speaks::H1))
}

/// Asks until one is refused on arrival. Now and then one passes, to find out.
fn refused_on_arrival(weir: &Weir) {
    until("one that cannot make it is refused on arrival", || {
        let answer = in_a_hurry(weir, "/slow");
        assert_eq!((answer.status, answer.reason.as_str()), (504, "deadline"));
        let told = weir.last_explained();
        told["stage"] == "deadline" && told["threshold"]["needed_seconds"].is_number()
    });
}

#[test]
fn what_cannot_make_it_is_refused_on_arrival_until_it_can() {
    let backend = Backend::start(Speaks::H1, slow_or_fast);
    let yaml = trusting(backend.address, "breaker: { consecutive: 1 }");
    let weir = Weir::start(&yaml);
    teach(&weir);
    refused_on_arrival(&weir);
    let told = weir.last_explained();
    let number = |of: &str, name: &str| told[of][name].as_f64().unwrap();
    assert!(number("inputs", "remaining_seconds") <= 0.1, "{told}");
    assert_eq!(told["inputs"]["forecast_seconds"], 0.0);
    assert!(number("threshold", "needed_seconds") >= 0.15, "{told}");
    assert_eq!(told["threshold"]["deadline_seconds"], 0.1);
    assert!(told["would_pass"].as_str().unwrap().contains("longer by"), "{told}");
    assert!(told["retry_after_seconds"].as_f64().unwrap() > 0.0, "{told}");
    // Who has the time still passes, and what was learned outlives a reload.
    assert_eq!(RUNTIME.block_on(Ask::get("/slow").of(weir.address(), Speaks::H1)).status, 200);
    weir.reconfigure(&yaml.replace("consecutive: 1", "consecutive: 2"));
    refused_on_arrival(&weir);
    // One that passes and is answered in time shows that all can again.
    until("one makes it", || in_a_hurry(&weir, "/").status == 200);
    until("and all after it", || (0..5).all(|_| in_a_hurry(&weir, "/").status == 200));
    settled(&weir, &[&backend]);
}

#[test]
fn in_shadow_it_is_only_counted() {
    let backend = Backend::start(Speaks::H1, slow_or_fast);
    let weir = Weir::start(&trusting(backend.address, "deadline: { mode: shadow }"));
    teach(&weir);
    let counted = || weir.metric("weir_shadow_refusals_total", &["reason=\"deadline\""]);
    until("one would have been refused", || {
        assert_eq!(in_a_hurry(&weir, "/slow").status, 504);
        assert_eq!(weir.last_explained()["stage"], "try", "it passes all the same");
        counted() > 0.0
    });
}

#[test]
fn the_upstreams_time_for_nobody_is_counted() {
    let backend = Backend::start(Speaks::H1, slow_or_fast);
    let weir = Weir::start(&trusting(backend.address, "stream: false"));
    assert_eq!(RUNTIME.block_on(Ask::get("/").of(weir.address(), Speaks::H1)).status, 200);
    settled(&weir, &[&backend]);
    assert_eq!(weir.metric("weir_upstream_wasted_seconds_total", &[]), 0.0, "somebody had it");
    let answer = in_a_hurry(&weir, "/silence");
    assert_eq!(answer.status, 504);
    until("it is counted", || wasted(&weir, "deadline") > 0.0);
    let seconds = wasted(&weir, "deadline");
    assert!(seconds <= answer.took.as_secs_f64(), "{seconds}");
    let begun = backend.begun();
    let mut client = Wire::connect(weir.address());
    client.say("GET /silence HTTP/1.1\r\nhost: app\r\n\r\n");
    until("it is there", || backend.begun() > begun);
    drop(client);
    until("it is counted", || wasted(&weir, "client_cancel") > 0.0);
    assert_eq!(wasted(&weir, "deadline"), seconds);
}

#[test]
fn who_leaves_a_stream_wastes_nothing_and_a_callers_deadline_ends_it() {
    let service = Service::listen();
    let weir = Weir::start(&trusting(service.address, "stream: true, timeout: { idle: 1h }"));
    let begin = |fields: &[(&str, &str)]| {
        let mut client = ask(&weir, fields);
        let mut upstream = service.accept();
        let head = upstream.head();
        upstream.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        client.hear("first");
        (client, upstream, head)
    };
    let (client, upstream, _) = begin(&[]);
    drop(client);
    until("it has ended", || ended(&weir, "client_cancel") == 1);
    assert_eq!(wasted(&weir, "client_cancel"), 0.0);
    drop(upstream);

    let (client, _upstream, head) = begin(&[("grpc-timeout", "90S")]);
    let left = micros(&head) / 1_000_000;
    assert!((30..90).contains(&left), "the total is over with the header: {left}");
    client.half_close();
    until("it has ended", || ended(&weir, "client_cancel") == 2);
    let (mut client, _upstream, _) = begin(&[("grpc-timeout", "300m")]);
    let rest = client.rest();
    assert!(rest.is_ok_and(|rest| rest == b"\r\n"), "it is cut");
    let told = weir.last_explained();
    assert_eq!((&told["reason"], &told["cut"]), (&json!("deadline"), &json!(true)));
    assert_eq!(told["threshold"], json!({ "deadline_seconds": 0.3 }));
}

#[test]
fn grpc_is_told_what_is_left_and_that_it_is_too_late() {
    let (_server, weir) = grpc::behind_trusting("timeout: { total: 60s, first_byte: 60s }");
    grpc::client(&weir, "time_remaining");
    grpc::client(&weir, "too_late");
}
