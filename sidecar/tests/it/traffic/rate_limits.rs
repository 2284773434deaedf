//! Rate limits, as callers meet them.
//!
//! The rates are so low that nothing refills while a test runs.

use serde_json::json;

use super::{
    clinic::{before, behind},
    curl::curl,
    message::Message,
    wire::{Service, Wire},
};
use crate::weir::Weir;

fn ask(weir: &Weir, path: &str, more: &[&str]) -> Message {
    curl(&[&[weir.url(path).as_str()][..], more].concat())
}

#[test]
fn each_kind_of_key_has_buckets_of_its_own() {
    for (per, one, other) in [
        ("{ header: x-api-key }", ["-H", "x-api-key: one"], ["-H", "x-api-key: two"]),
        ("{ cookie: session }", ["-b", "a=b; session=one"], ["-b", "session=two"]),
        ("{ query: study }", ["--url-query", "study=one"], ["--url-query", "study=two"]),
    ] {
        let (_clinic, weir) = behind(&format!("rate_limit: {{ qps: 0.01, burst: 2, per: {per} }}"));
        let statuses = |more: &[&str]| [(); 3].map(|()| ask(&weir, "/healthz", more).status());
        assert_eq!(statuses(&one), [200, 200, 429], "{per}");
        assert_eq!(statuses(&other), [200, 200, 429], "{per}");
        assert_eq!(statuses(&[]), [200, 200, 429], "{per}: those without a key share one");
    }
}

/// There are services that read each of the first as the key `one`.
#[test]
fn a_key_in_another_form_has_the_same_bucket() {
    let five = ["1", "2", "3", "4", "one"];
    for (per, head, same, other, with_five) in [
        (
            "{ query: study }",
            "GET /healthz?_ HTTP/1.1\r\nhost: app\r\n\r\n",
            &["study=one", "%73tudy=%6Fne", "Study=one", "a;study=one", "study=x&study=one"][..],
            "study=one+&a=one",
            five.map(|value| format!("study={value}")).join("&"),
        ),
        (
            "{ cookie: session }",
            "GET /healthz HTTP/1.1\r\nhost: app\r\ncookie: _\r\n\r\n",
            &[
                "session=one",
                r#"session="\157ne""#,
                "a; session = %6Fne ;b",
                "session=one;session=y",
            ],
            "session=ones; sessions=one",
            five.map(|value| format!("session={value}")).join(";"),
        ),
        (
            "{ header: x-api-key }",
            "GET /healthz HTTP/1.1\r\nhost: app\r\nx-api-key: _\r\n\r\n",
            &["one", "one\r\nX-Api-Key: y", "x\r\nx-api-key: one", "one\r\nx-api-key: one"],
            "One",
            five.join("\r\nx-api-key: "),
        ),
    ] {
        let (_clinic, weir) = behind(&format!("rate_limit: {{ qps: 0.01, burst: 1, per: {per} }}"));
        let mut client = Wire::connect(weir.address());
        let mut status = |sent: &str| {
            client.say(head.replace('_', sent));
            client.message().status()
        };
        assert_eq!(status(same[0]), 200, "{per}");
        for same in same {
            assert_eq!(status(same), 429, "{per}: {same}");
        }
        assert_eq!(status(other), 200, "{per}: {other}");
        assert_eq!(status(&with_five), 200, "{per}: more than are told apart");
        assert_eq!(ask(&weir, "/healthz", &[]).status(), 429, "{per}: counts as one without");
    }
}

#[test]
fn a_client_is_told_by_its_address() {
    let clinic = super::clinic::Serving::clinic();
    let weir = Weir::start(&format!(
        "trusted: [127.0.0.1]\nlisteners:\n  - address: 127.0.0.1:0\n    routes:\n\
         \x20     - {{ upstream: app, rate_limit: {{ qps: 0.01, burst: 1, per: client }} }}\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        clinic.address
    ));
    for (forwarded_for, status) in [
        ("203.0.113.1", 200),
        ("203.0.113.1", 429),
        ("203.0.113.2", 200),
        ("203.0.113.9, 203.0.113.2", 429),
        ("2001:db8:0:1::1", 200),
        ("2001:db8:0:1::2", 429),
        ("2001:db8:0:2::1", 200),
    ] {
        let field = format!("x-forwarded-for: {forwarded_for}");
        assert_eq!(ask(&weir, "/healthz", &["-H", &field]).status(), status, "{forwarded_for}");
    }
}

#[test]
fn answers_say_what_is_left_and_refusals_when_to_come_back() {
    let (_clinic, weir) = behind("rate_limit: { qps: 0.01, burst: 2, per: { header: x-api-key } }");
    let [first, second, third] = [(); 3].map(|()| ask(&weir, "/healthz", &["-H", "x-api-key: a"]));
    for answer in [&first, &second, &third] {
        assert_eq!(answer.field("ratelimit-policy"), Some("\"all\";q=1;w=100"));
    }
    let left =
        |answer: &Message| answer.field("ratelimit").unwrap().split(';').nth(1).map(str::to_owned);
    assert_eq!(left(&first).as_deref(), Some("r=1"));
    assert_eq!(left(&second).as_deref(), Some("r=0"));
    assert_eq!(left(&third).as_deref(), Some("r=0"));
    assert_eq!((first.field("retry-after"), second.field("retry-after")), (None, None));
    let wait: u64 = third.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=100).contains(&wait), "{wait}");
    assert_eq!(third.verdict(), (429, "rate_limited".to_owned()));
    assert_eq!(
        third.field("proxy-status"),
        Some("weir; error=http_request_denied; details=\"rate_limited\"")
    );
    assert_eq!(third.json()["policy"], "all");
    let id = third.json()["id"].as_str().unwrap().to_owned();
    let told = weir.explained(&id);
    assert_eq!(told["reason"], "rate_limited");
    assert_eq!(told["threshold"], json!({ "qps": 0.01, "burst": 2 }));
}

#[test]
fn an_explanation_names_the_key_and_hides_its_value() {
    let keys = "[{ header: x-api-key }, { cookie: session }]";
    let (_clinic, weir) = behind(&format!("rate_limit: {{ qps: 0.01, burst: 1, per: {keys} }}"));
    let inputs = |fields: &[&str]| {
        let answer = ask(&weir, "/healthz", fields);
        assert_eq!(answer.status(), 429, "{fields:?}");
        weir.explained(answer.json()["id"].as_str().unwrap())["inputs"].clone()
    };
    let alice = ["-H", "x-api-key: alice", "-b", "session=1"];
    assert_eq!(ask(&weir, "/healthz", &alice).status(), 200);
    let told = inputs(&alice);
    let hash = told["key_hash"].as_str().unwrap();
    assert!(hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{told}");
    assert_eq!(
        told,
        json!({ "key": "header:x-api-key", "key_hash": hash, "shared_bucket": false })
    );
    assert_eq!(inputs(&["-H", "x-api-key: alice", "-b", "session=2"])["key_hash"], hash);
    let told = inputs(&["-H", "x-api-key: bob", "-b", "session=1"]);
    assert_eq!(told["key"], "cookie:session");
    assert_ne!(told["key_hash"], hash);

    assert_eq!(ask(&weir, "/healthz", &[]).status(), 200);
    assert_eq!(inputs(&[])["key_hash"], "-", "those without the key have none");
}

#[test]
fn shadow_passes_and_counts() {
    let (_clinic, weir) = behind("rate_limit: { qps: 0.01, burst: 1, mode: shadow }");
    for _ in 0..5 {
        let answer = ask(&weir, "/healthz", &[]);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.field("ratelimit"), None, "it holds for nobody");
    }
    assert_eq!(weir.metric("weir_shadow_refusals_total", &["reason=\"rate_limited\""]), 4.0);
    assert_eq!(weir.metric("weir_requests_total", &["reason=\"rate_limited\""]), 0.0);
}

#[test]
fn a_token_taken_in_shadow_comes_back_too() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "rate_limit: { qps: 0.001, burst: 2, mode: shadow }, \
         concurrency: { limit: 1, queue: { length: 0 } }",
    );
    let mut first = Wire::connect(weir.address());
    first.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    let mut upstream = service.accept();
    upstream.head();
    for _ in 0..3 {
        assert_eq!(ask(&weir, "/", &[]).verdict(), (503, "overloaded".to_owned()));
    }
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(first.message().status(), 200);
    assert_eq!(weir.metric("weir_shadow_refusals_total", &[]), 0.0);
}

/// With one permit and one request that holds it, the second is refused after its token was taken.
#[test]
fn a_token_comes_back_when_a_later_stage_refuses() {
    for (charge, then) in [(false, 200), (true, 429)] {
        let service = Service::listen();
        let weir = before(
            &service.address.to_string(),
            &format!(
                "rate_limit: {{ qps: 0.001, burst: 2, charge_on_reject: {charge} }}, \
                 concurrency: {{ limit: 1, queue: {{ length: 0 }} }}"
            ),
        );
        let get = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";
        let mut first = Wire::connect(weir.address());
        first.say(get);
        let mut upstream = service.accept();
        upstream.head();
        assert_eq!(ask(&weir, "/", &[]).verdict(), (503, "overloaded".to_owned()));
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        upstream.say(ok);
        assert_eq!(first.message().status(), 200);
        first.say(get);
        if then == 200 {
            upstream.head();
            upstream.say(ok);
        }
        assert_eq!(first.message().status(), then, "charge_on_reject: {charge}");
    }
}
