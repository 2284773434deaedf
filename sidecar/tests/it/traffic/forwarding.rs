//! Fields that are added, replaced, stripped, or left alone.

use super::{
    clinic::{Serving, before, behind},
    curl::curl,
    message::{Message, echoed},
    wire::{Service, Wire},
};
use crate::{
    faults::{RUNTIME, Speaks, client::Ask},
    weir::Weir,
};

const CLIENTS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// What `/echo` saw of a request with these fields.
fn asked(weir: &Weir, client: &str, fields: &[&str]) -> Message {
    let url = weir.url("/echo");
    let fields = fields.iter().flat_map(|field| ["-H", *field]);
    let words: Vec<&str> = [client, url.as_str()].into_iter().chain(fields).collect();
    curl(&words)
}

const FORWARDED: [&str; 5] = [
    "x-forwarded-for: 203.0.113.7",
    "x-forwarded-proto: https",
    "x-forwarded-host: public.test",
    "forwarded: for=203.0.113.7",
    "x-priority: high",
];

#[test]
fn what_a_stranger_says_of_others_is_replaced() {
    let (_clinic, weir) = behind("priority: { header: x-priority }");
    for client in CLIENTS {
        let seen = asked(&weir, client, &FORWARDED);
        assert_eq!(echoed(&seen, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(echoed(&seen, "x-forwarded-proto"), ["http"]);
        assert_eq!(echoed(&seen, "x-forwarded-host"), [weir.address().to_string()]);
        assert_eq!(echoed(&seen, "forwarded"), [""; 0]);
        assert_eq!(echoed(&seen, "x-priority"), [""; 0]);
    }
}

#[test]
fn what_a_trusted_peer_says_is_kept_and_added_to() {
    let clinic = Serving::clinic();
    let weir = Weir::start(&format!(
        "trusted: [127.0.0.0/8]\nlisteners: [{{ address: 127.0.0.1:0, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        clinic.address
    ));
    for client in CLIENTS {
        let seen = asked(&weir, client, &FORWARDED);
        assert_eq!(echoed(&seen, "x-forwarded-for"), ["203.0.113.7, 127.0.0.1"]);
        assert_eq!(echoed(&seen, "x-forwarded-proto"), ["https"]);
        assert_eq!(echoed(&seen, "x-forwarded-host"), ["public.test"]);
    }
}

#[test]
fn via_names_the_version_of_each_side() {
    let (_clinic, weir) = behind("");
    for (client, via) in [(CLIENTS[0], "1.1 weir"), (CLIENTS[1], "2 weir")] {
        let seen = asked(&weir, client, &["via: 1.0 elsewhere"]);
        assert_eq!(echoed(&seen, "via"), ["1.0 elsewhere", via]);
        assert_eq!(seen.field("via"), Some("1.1 weir"), "the clinic answered over HTTP/1.1");
    }
}

#[test]
fn a_request_without_an_id_gets_one_and_one_with_an_id_keeps_it() {
    let (_clinic, weir) = behind("");
    for client in CLIENTS {
        let ids = [(); 2].map(|()| echoed(&asked(&weir, client, &[]), "x-request-id").concat());
        assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
        assert_ne!(ids[0], ids[1]);
        assert_eq!(
            echoed(&asked(&weir, client, &["x-request-id: mine"]), "x-request-id"),
            ["mine"]
        );
    }
}

#[test]
fn traces_pass_untouched() {
    let (_clinic, weir) = behind("");
    let fields = [
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "baggage: userId=alice,region=eu%2Dwest",
    ];
    for client in CLIENTS {
        let seen = asked(&weir, client, &fields);
        for field in fields {
            let (name, value) = field.split_once(": ").unwrap();
            assert_eq!(echoed(&seen, name), [value]);
        }
    }
}

#[test]
fn fields_of_one_hop_end_here_in_both_directions() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut client = Wire::connect(weir.address());
    client.say(
        "GET / HTTP/1.1\r\nhost: app\r\nconnection: x-hop, keep-alive\r\nx-hop: a\r\nx-end: b\r\n\
         keep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: trailers\r\nupgrade: h2c\r\n\
         proxy-authorization: Basic eDp5\r\n\r\n",
    );
    let mut upstream = service.accept();
    let request = upstream.head();
    assert_eq!(request.field("x-end"), Some("b"));
    let ended = ["x-hop", "keep-alive", "proxy-connection", "te", "upgrade", "proxy-authorization"];
    for name in ended {
        assert_eq!(request.field(name), None, "{name} to the service");
    }
    upstream.say(
        "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: a\r\nx-end: b\r\nkeep-alive: timeout=5\r\n\
         proxy-connection: keep-alive\r\nupgrade: h2c\r\ncontent-length: 0\r\n\r\n",
    );
    let answer = client.message();
    assert_eq!(answer.field("x-end"), Some("b"));
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.field(name), None, "{name} to the client");
    }
    assert_ne!(answer.field("connection"), Some("x-hop"));
}

/// RFC 9113, section 8.2.3: h2 may send each cookie in a field of its own, h1 has one field.
#[test]
fn cookies_that_came_apart_over_h2_are_one_field_over_h1() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let ask = Ask::get("/").field("cookie", "a=1").field("x-a", "b").field("cookie", "b=2; c=3");
    let (address, ask) = (weir.address(), ask.field("cookie", "d=4"));
    let asked = RUNTIME.spawn(async move { ask.of(address, Speaks::H2).await });
    let mut upstream = service.accept();
    assert_eq!(upstream.head().field("cookie"), Some("a=1; b=2; c=3; d=4"));
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(RUNTIME.block_on(asked).unwrap().status, 200);
}
