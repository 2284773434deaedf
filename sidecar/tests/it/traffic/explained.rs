//! What `/explain` tells of a time that ran out, of a limit, and of an answer that was cut: where it
//! was, what was seen, and what it was held against.

use serde_json::{Value, json};

use super::{
    clinic::{before, behind},
    curl::curl,
    message::Message,
    wire::{Service, Wire},
};
use crate::{
    faults::{ended, settled},
    weir::Weir,
};

fn explained(weir: &Weir, answer: &Message) -> Value {
    weir.explained(answer.json()["id"].as_str().unwrap())
}

#[test]
fn a_deadline_is_explained_where_it_passed() {
    let service = Service::listen();
    let weir = Weir::start(&format!(
        "trusted: [127.0.0.1/32]\n\
         listeners: [{{ address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, \
         concurrency: {{ name: few, limit: 1, queue: {{ length: 1, timeout: 1h }} }}, \
         timeout: {{ total: 2h, first_byte: 1h }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        service.address
    ));
    let within = |ms: u32| {
        format!("GET / HTTP/1.1\r\nhost: app\r\nx-envoy-expected-rq-timeout-ms: {ms}\r\n\r\n")
    };
    let ask = |request: &str| {
        let mut client = Wire::connect(weir.address());
        client.say(request);
        client
    };
    let told = explained(&weir, &ask(&within(50)).message());
    assert_eq!((&told["reason"], &told["stage"]), (&json!("deadline"), &json!("try")));
    assert_eq!(
        (&told["policy"], &told["threshold"]),
        (&json!("-"), &json!({ "deadline_seconds": 0.05 }))
    );
    assert_eq!(told["inputs"]["endpoint"], json!(service.address.to_string()));
    assert!(told["inputs"]["elapsed_seconds"].as_f64().unwrap() >= 0.05, "{told}");
    assert!(told["would_pass"].as_str().unwrap().contains("deadline of the caller"), "{told}");

    service.accept();
    let _working = ask("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    let _upstream = service.accept();
    let told = explained(&weir, &ask(&within(500)).message());
    assert_eq!((&told["reason"], &told["stage"]), (&json!("deadline"), &json!("admit")));
    assert_eq!(told["policy"], "few");
    assert_eq!(told["inputs"], json!({ "in_flight": 1, "queued": 1 }));
    assert_eq!(told["threshold"], json!({ "limit": 1, "deadline_seconds": 0.5 }));

    // The first one held the permit for its 50 ms: who has less has no use for a place in the queue.
    let told = explained(&weir, &ask(&within(20)).message());
    assert_eq!((&told["reason"], &told["stage"]), (&json!("deadline"), &json!("deadline")));
    assert!(told["inputs"]["forecast_seconds"].as_f64().unwrap() >= 0.05, "{told}");
}

#[test]
fn what_no_route_takes_is_held_against_the_nearest() {
    let weir = Weir::start(
        "listeners: [{ address: 127.0.0.1:0, limits: { uri_bytes: 64B, headers: 3 }, routes: [\
         { name: orders, match: { path_prefix: /orders/, methods: [POST, PUT] }, upstream: app }, \
         { name: keyed, match: { path: /keyed, headers: { x-key: s3cret } }, upstream: app }] }]\n\
         upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\n",
    );
    let ask = |request: &str| {
        let mut client = Wire::connect(weir.address());
        client.say(request);
        explained(&weir, &client.message())
    };
    for (line, nearest) in [
        ("GET /orders/5", "the method POST or PUT, as route orders takes it"),
        ("POST /order", "a path below /orders/, as route orders takes it"),
        ("GET /keyed", "the value of x-key that the route has, as route keyed takes it"),
    ] {
        let told = ask(&format!("{line} HTTP/1.1\r\nhost: shop.test:80\r\n\r\n"));
        assert_eq!((&told["reason"], &told["would_pass"]), (&json!("no_route"), &json!(nearest)));
        assert_eq!(told["inputs"], json!({ "host": "shop.test" }));
    }
    let told = ask(&format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(70)));
    assert_eq!(
        (&told["reason"], &told["threshold"]),
        (&json!("uri_too_long"), &json!({ "uri_bytes": 64 }))
    );
    assert_eq!(told["would_pass"], "a shorter target, or limits.uri_bytes above 64");
    let told = ask("GET / HTTP/1.1\r\nhost: a\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n");
    assert_eq!(
        (&told["reason"], &told["threshold"]),
        (&json!("header_too_large"), &json!({ "headers": 3 }))
    );
}

#[test]
fn an_upstream_that_says_nothing_is_held_against_the_routes_own_times() {
    let service = Service::listen();
    for (timeout, reason, held_against) in [
        ("total: 100ms", "upstream_total_timeout", json!({ "total_seconds": 0.1 })),
        (
            "total: 100s, first_byte: 50ms",
            "upstream_first_byte_timeout",
            json!({ "first_byte_seconds": 0.05 }),
        ),
    ] {
        let weir = before(&service.address.to_string(), &format!("timeout: {{ {timeout} }}"));
        let mut client = Wire::connect(weir.address());
        client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
        let answer = client.message();
        assert_eq!(answer.status(), 504);
        let told = explained(&weir, &answer);
        assert_eq!((&told["reason"], &told["cut"]), (&json!(reason), &json!(false)));
        assert_eq!((&told["stage"], &told["policy"]), (&json!("try"), &json!("-")));
        assert_eq!(told["threshold"], held_against, "{told}");
        assert!(told["would_pass"].as_str().unwrap().contains("a higher timeout."), "{told}");
    }
}

#[test]
fn an_answer_that_was_cut_is_explained_as_it_is_counted() {
    for (timeout, reason, held_against) in [
        ("total: 1s", "upstream_total_timeout", json!({ "total_seconds": 1.0 })),
        ("idle: 100ms", "upstream_idle_timeout", json!({ "idle_seconds": 0.1 })),
        ("total: 1h", "upstream_reset", json!({})),
    ] {
        let service = Service::listen();
        let weir = before(&service.address.to_string(), &format!("timeout: {{ {timeout} }}"));
        let mut client = Wire::connect(weir.address());
        client.say("GET /report?of=alice HTTP/1.1\r\nhost: app\r\n\r\n");
        let mut upstream = service.accept();
        upstream.head();
        upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
        assert_eq!(client.head().status(), 200);
        if reason == "upstream_reset" {
            drop(upstream);
        }
        let heard = client.rest();
        assert!(heard.as_ref().is_ok_and(|rest| rest == b"half"), "{reason}: {heard:?}");

        let told = weir.last_explained();
        assert_eq!(
            (&told["reason"], &told["status"], &told["cut"]),
            (&json!(reason), &json!(200), &json!(true))
        );
        assert_eq!((&told["stage"], &told["path"]), (&json!("try"), &json!("/report")));
        assert_eq!(told["threshold"], held_against, "{told}");
        let [first_byte, at_upstream, elapsed] =
            ["first_byte_seconds", "at_upstream_seconds", "elapsed_seconds"]
                .map(|name| told["inputs"][name].as_f64().unwrap());
        assert!(0.0 < first_byte && first_byte <= at_upstream && at_upstream <= elapsed, "{told}");
        settled(&weir, &[]);
        assert_eq!(ended(&weir, reason), 1);
        weir.wait_for_log(&format!("suppressed=0 id={}", told["id"].as_str().unwrap()));
    }
}

#[test]
fn a_breaker_shows_its_numbers_by_the_names_that_metrics_have() {
    let (_clinic, weir) = behind("breaker: { consecutive: 2, open_for: 1h, open_max: 1h }");
    for _ in 0..2 {
        assert_eq!(curl(&[weir.url("/status/500")]).status(), 500);
    }
    let told = explained(&weir, &curl(&[weir.url("/status/200")]));
    let numbers = ["requests", "failures", "slow", "refused", "consecutive_failures"];
    for name in numbers {
        assert_eq!(
            told["inputs"][name].as_f64().unwrap(),
            weir.metric(&format!("weir_breaker_{name}"), &["policy=\"all\"", "endpoint=\"-\""]),
            "{name}"
        );
    }
    assert_eq!(
        (&told["inputs"]["endpoint"], &told["inputs"]["state"]),
        (&"-".into(), &"open".into())
    );
    assert_eq!(told["threshold"], json!({ "consecutive": 2, "min_requests": 20 }));
}

/// Pingora's error quotes the header that it could not read.
#[test]
fn an_answer_that_is_not_http_is_not_quoted() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut client = Wire::connect(weir.address());
    client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    let mut upstream = service.accept();
    upstream.head();
    upstream.say("HTTP/1.1 200 OK\r\nset-cookie: s3cret\r\nx y: z\r\n\r\n");
    let answer = client.message();
    assert_eq!(answer.verdict(), (502, "upstream_protocol".to_owned()));
    let error = explained(&weir, &answer)["inputs"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("invalid header") && !error.contains("s3cret"), "{error}");
}
