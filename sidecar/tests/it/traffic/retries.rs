//! Tries again: what is, what is not, and how many there are at most.

use serde_json::json;

use super::{
    message::Message,
    wire::{Service, Wire},
};
use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::{Backend, Step, answer},
        client::{Ask, Upload},
        settled,
    },
    weir::{Weir, until},
};

/// Each answer ends its connection, so that each try is one that the test accepts.
fn says(status: u16, fields: &str) -> String {
    format!(
        "HTTP/1.1 {status} As Asked\r\nconnection: close\r\ncontent-length: 2\r\n{fields}\r\nok"
    )
}

/// Breakers and ejection would take the endpoints out that fail here. What a second brings is saved up:
/// a process that has just started has none.
fn before(endpoints: &[String], route: &str) -> Weir {
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, \
         breaker: {{ mode: disabled }}, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: {endpoints:?}, outlier: {{ mode: disabled }} }} }}\n"
    ));
    saved_up(&weir);
    weir
}

fn saved_up(weir: &Weir) {
    until("there is a budget", || weir.metric("weir_retry_tokens", &["route=\"all\""]) >= 10.0);
}

fn one(service: &Service, route: &str) -> Weir {
    before(&[service.address.to_string()], route)
}

fn ask(weir: &Weir, request: &str) -> Wire {
    let mut client = Wire::connect(weir.address());
    client.say(request);
    client
}

const GET: &str = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";

/// Hears a request and answers it.
fn serve(service: &Service, status: u16, fields: &str) -> Message {
    let mut upstream = service.accept();
    let message = upstream.message();
    upstream.say(says(status, fields));
    message
}

fn made(weir: &Weir, cause: &str) -> f64 {
    weir.metric("weir_retries_total", &["route=\"all\"", &format!("cause={cause:?}")])
}

fn withheld(weir: &Weir, why: &str) -> f64 {
    weir.metric("weir_retries_withheld_total", &["route=\"all\"", &format!("why={why:?}")])
}

#[test]
fn an_endpoint_that_nobody_listens_on_costs_no_request_not_even_one_with_a_body() {
    let gone = Service::listen().address;
    let good = Backend::start(Speaks::H1, |_| answer(200, 2));
    let weir = before(&[gone.to_string(), good.address.to_string()], "retry: { attempts: 1 }");
    for _ in 0..10 {
        let post = Ask { method: "POST", upload: Upload::Bytes(4), ..Ask::get("/") };
        assert_eq!(RUNTIME.block_on(post.of(weir.address(), Speaks::H1)).status, 200);
    }
    assert_eq!(good.seen.bodies.lock().unwrap().len(), 10);
    assert!(made(&weir, "connect") > 0.0);
}

#[test]
fn a_connection_that_ends_without_an_answer_is_tried_again_elsewhere() {
    let services = [Service::listen(), Service::listen()];
    let addresses = services.each_ref().map(|service| service.address.to_string());
    let weir = before(&addresses, "retry: { attempts: 1 }");
    let mut client = ask(&weir, GET);
    let mut first = None;
    until("it has come", || {
        first = services.iter().position(|service| match service.try_accept() {
            Some(mut upstream) => {
                upstream.head();
                true
            }
            None => false,
        });
        first.is_some()
    });
    serve(&services[1 - first.unwrap()], 200, "");
    assert_eq!(client.message().status(), 200);
    assert_eq!(made(&weir, "reset"), 1.0);
}

#[test]
fn a_body_goes_up_again_whole_also_when_it_was_only_half_there() {
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 2 }");
    let mut client = Wire::connect(weir.address());
    client.say("PUT / HTTP/1.1\r\nhost: app\r\ncontent-length: 9\r\n\r\nhalf");
    for _ in 0..2 {
        let mut upstream = service.accept();
        upstream.head();
        assert_eq!(upstream.hear_bytes(4), b"half");
        upstream.say(says(503, ""));
    }
    let mut upstream = service.accept();
    upstream.head();
    assert_eq!(upstream.hear_bytes(4), b"half");
    client.say(" body");
    assert_eq!(upstream.hear_bytes(5), b" body");
    upstream.say(says(200, ""));
    assert_eq!(client.message().status(), 200);
    assert_eq!(made(&weir, "status"), 2.0);
}

#[test]
fn chunks_go_up_again_with_their_end() {
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 1 }");
    for body in ["4\r\nfour\r\n0\r\n\r\n", "0\r\n\r\n"] {
        let request = "PUT / HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut client = ask(&weir, &format!("{request}{body}"));
        let first = serve(&service, 503, "");
        let second = serve(&service, 200, "");
        assert_eq!(first.body, second.body);
        assert_eq!(client.message().status(), 200);
    }
}

#[test]
fn a_body_above_what_is_kept_is_not_sent_again() {
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 2 }");
    let length = 65 << 10;
    let mut client = Wire::connect(weir.address());
    client.say(format!("PUT / HTTP/1.1\r\nhost: app\r\ncontent-length: {length}\r\n\r\n"));
    client.say(vec![b'x'; length]);
    assert_eq!(serve(&service, 503, "").body.len(), length);
    assert_eq!(client.message().status(), 503);
    assert_eq!((withheld(&weir, "body"), made(&weir, "status")), (1.0, 0.0));
}

#[test]
fn what_the_service_may_have_done_is_done_again_only_where_the_route_says_so() {
    let post = "POST / HTTP/1.1\r\nhost: app\r\ncontent-length: 4\r\n\r\nonce";
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 2 }");
    let mut client = ask(&weir, post);
    serve(&service, 503, "");
    assert_eq!(client.message().status(), 503);

    let weir = one(&service, "retry: { attempts: 2, methods: [POST] }");
    let mut client = ask(&weir, post);
    assert_eq!(serve(&service, 503, "").text(), "once");
    assert_eq!(serve(&service, 200, "").text(), "once");
    assert_eq!(client.message().status(), 200);
}

#[test]
fn a_service_that_says_when_to_come_back_is_believed() {
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 2 }");
    for field in ["retry-after: 120\r\n", "grpc-retry-pushback-ms: -1\r\n"] {
        let mut client = ask(&weir, GET);
        serve(&service, 503, field);
        assert_eq!(client.message().status(), 503);
    }
    assert_eq!((withheld(&weir, "pushback"), made(&weir, "status")), (2.0, 0.0));
    let mut client = ask(&weir, GET);
    serve(&service, 503, "grpc-retry-pushback-ms: 20\r\n");
    serve(&service, 200, "");
    assert_eq!(client.message().status(), 200);
}

#[test]
fn a_status_that_is_not_listed_is_the_answer() {
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 2, on: [reset, 500] }");
    let mut client = ask(&weir, GET);
    serve(&service, 503, "");
    assert_eq!(client.message().status(), 503);
    let mut client = ask(&weir, GET);
    serve(&service, 500, "");
    serve(&service, 500, "");
    serve(&service, 500, "");
    assert_eq!(client.message().status(), 500, "the last one");
    assert!(service.try_accept().is_none());
}

#[test]
fn an_answer_that_has_begun_is_never_followed_by_another() {
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 2 }");
    let mut client = ask(&weir, GET);
    let mut upstream = service.accept();
    upstream.head();
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    assert_eq!(client.head().status(), 200);
    drop(upstream);
    assert_eq!(client.rest().unwrap_or_default(), b"half");
    settled(&weir, &[]);
    assert_eq!(made(&weir, "reset"), 0.0);
}

#[test]
fn tries_end_with_the_deadline() {
    let service = Service::listen();
    let weir = one(
        &service,
        "retry: { attempts: 10, on: [first_byte], backoff: 1ms }, \
         timeout: { total: 1s, first_byte: 150ms, connect: 100ms }",
    );
    let mut client = ask(&weir, GET);
    let answer = client.message();
    assert_eq!(answer.status(), 504);
    let told = weir.explained(answer.json()["id"].as_str().unwrap());
    let tries = told["inputs"]["tried"].as_array().unwrap().len();
    assert!((2..=7).contains(&tries), "{told}");
    assert!(told["inputs"]["elapsed_seconds"].as_f64().unwrap() >= 0.15, "{told}");
}

#[test]
fn a_client_that_leaves_between_two_tries_is_heard() {
    let service = Service::listen();
    let weir = one(
        &service,
        "retry: { attempts: 2, backoff: 1h }, timeout: { total: 3h, first_byte: 2h }",
    );
    let client = ask(&weir, GET);
    serve(&service, 503, "");
    until("it is to be tried again", || made(&weir, "status") == 1.0);
    drop(client);
    settled(&weir, &[]);
    assert_eq!(weir.metric("weir_requests_total", &["reason=\"client_cancel\""]), 1.0);
}

#[test]
fn a_service_that_fails_everything_hears_no_more_than_the_budget_allows() {
    const REQUESTS: u32 = 200;
    for speaks in [Speaks::H1, Speaks::H2] {
        let protocol = if speaks == Speaks::H2 { "h2" } else { "h1" };
        let failing = Backend::start(speaks, |_| answer(503, 2));
        let weir = Weir::start(&format!(
            "listeners: [{{ address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, \
             breaker: {{ mode: disabled }}, retry: {{ attempts: 2, backoff: 1ms, \
             budget: {{ ratio: 20%, per_second: 0 }} }} }}] }}]\n\
             upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: {protocol} }} }}\n",
            failing.address
        ));
        for _ in 0..REQUESTS {
            let answer = RUNTIME.block_on(Ask::get("/").of(weir.address(), Speaks::H1));
            assert_eq!(answer.status, 503);
        }
        settled(&weir, &[&failing]);
        let again = made(&weir, "status");
        let share = again / f64::from(REQUESTS);
        assert!(share <= 0.2, "{again} of {REQUESTS}");
        assert!(again > 0.0, "the budget has some");
        let heard = failing.seen.begun.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(f64::from(heard), f64::from(REQUESTS) + again);
        assert!(withheld(&weir, "budget") > 0.0);
    }
}

#[test]
fn what_was_tried_is_explained() {
    let service = Service::listen();
    let weir = one(&service, "retry: { attempts: 1 }");
    let mut client = ask(&weir, GET);
    for _ in 0..2 {
        drop(service.accept().head());
    }
    let answer = client.message();
    assert_eq!(answer.verdict(), (502, "upstream_reset".to_owned()));
    let told = weir.explained(answer.json()["id"].as_str().unwrap());
    let address = service.address.to_string();
    assert_eq!(told["inputs"]["tried"], json!([address, address]), "{told}");
    assert_eq!(told["inputs"]["retry_withheld"], "-");
}

/// A refusal of ours says nothing of the upstream, whose state it protects.
#[test]
fn our_own_refusals_are_not_tried_again() {
    let service = Service::listen();
    let weir = one(
        &service,
        "retry: { attempts: 2, on: [503, 429, connect, reset] }, rate_limit: { qps: 0.001, burst: 1 }",
    );
    let mut client = ask(&weir, GET);
    serve(&service, 200, "");
    assert_eq!(client.message().status(), 200);
    assert_eq!(ask(&weir, GET).message().verdict(), (429, "rate_limited".to_owned()));
    assert!(service.try_accept().is_none());
    assert_eq!(weir.metric("weir_retries_total", &[]), 0.0);
}

/// One reset is a stream's, and the connection goes on; both protocols come to the same.
#[test]
fn a_stream_that_is_reset_is_tried_again() {
    static ASKED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let flaky = Backend::start(Speaks::H2, |_| {
        match ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 {
            0 => vec![Step::Read, Step::Reset],
            _ => answer(200, 2),
        }
    });
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, \
         breaker: {{ mode: disabled }}, retry: {{ attempts: 1 }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: h2 }} }}\n",
        flaky.address
    ));
    saved_up(&weir);
    for speaks in [Speaks::H1, Speaks::H2] {
        let put = Ask { method: "PUT", upload: Upload::Bytes(70), ..Ask::get("/") };
        assert_eq!(RUNTIME.block_on(put.of(weir.address(), speaks)).status, 200);
    }
    assert_eq!(made(&weir, "reset"), 2.0);
    let bodies = flaky.seen.bodies.lock().unwrap();
    assert!(bodies.len() == 4 && bodies.iter().all(|body| body == &bodies[0]), "{bodies:?}");
    assert_eq!(bodies[0].len(), 70);
}
