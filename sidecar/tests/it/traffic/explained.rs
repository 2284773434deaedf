//! What `/explain` tells of a time that ran out: where it did, and what it was held against.

use serde_json::{Value, json};

use super::{
    clinic::before,
    wire::{Service, Wire},
};
use crate::weir::Weir;

fn explained(weir: &Weir, answer: &super::message::Message) -> Value {
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    serde_json::from_str(&weir.admin_get(&format!("/explain/{id}")).1).unwrap()
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
    let hasty = "GET / HTTP/1.1\r\nhost: app\r\nx-envoy-expected-rq-timeout-ms: 50\r\n\r\n";
    let ask = |request: &str| {
        let mut client = Wire::connect(weir.address());
        client.say(request);
        client
    };
    let told = explained(&weir, &ask(hasty).message());
    assert_eq!((&told["reason"], &told["stage"]), (&json!("deadline"), &json!("try")));
    assert_eq!(
        (&told["policy"], &told["threshold"]),
        (&json!(""), &json!({ "timeout_seconds": "0.05" }))
    );
    assert_eq!(told["inputs"]["endpoint"], json!(service.address.to_string()));
    let elapsed: f64 = told["inputs"]["elapsed_seconds"].as_str().unwrap().parse().unwrap();
    assert!(elapsed >= 0.05, "{told}");
    assert!(told["would_pass"].as_str().unwrap().contains("deadline of the caller"), "{told}");

    service.accept();
    let _working = ask("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    let _upstream = service.accept();
    let told = explained(&weir, &ask(hasty).message());
    assert_eq!((&told["reason"], &told["stage"]), (&json!("deadline"), &json!("admit")));
    assert_eq!((&told["policy"], &told["inputs"]["waiting"]), (&json!("few"), &json!("1")));
}

#[test]
fn an_upstream_that_says_nothing_is_held_against_the_routes_own_times() {
    let service = Service::listen();
    for (timeout, reason, seconds) in [
        ("total: 100ms, first_byte: 100ms", "", "0.1"),
        ("total: 100s, first_byte: 50ms", "upstream_first_byte_timeout", "0.05"),
    ] {
        let weir = before(&service.address.to_string(), &format!("timeout: {{ {timeout} }}"));
        let mut client = Wire::connect(weir.address());
        client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
        let answer = client.message();
        assert_eq!(answer.status(), 504);
        let told = explained(&weir, &answer);
        assert!(told["reason"].as_str().unwrap().contains(reason), "{told}");
        assert_eq!((&told["stage"], &told["policy"]), (&json!("try"), &json!("")));
        assert_eq!(told["threshold"]["timeout_seconds"], json!(seconds), "{told}");
        assert!(told["would_pass"].as_str().unwrap().contains("a higher timeout."), "{told}");
    }
}
