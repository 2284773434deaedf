//! What HTTP/1 alone can say: old versions, pipelines, other forms of target, `Expect`.

use super::{
    clinic::{Serving, before, behind},
    wire::{Service, Wire},
};
use crate::{
    faults::ended,
    weir::{Weir, until},
};

const GET: &str = "GET /echo HTTP/1.1\r\nhost: clinic\r\n\r\n";

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (_clinic, weir) = behind("");
    let mut client = Wire::connect(weir.address());
    let posts = (0..5).map(|number| {
        format!("POST /echo?{number} HTTP/1.1\r\nhost: clinic\r\ncontent-length: 1\r\n\r\n{number}")
    });
    let gets = (5..10).map(|number| format!("GET /echo?{number} HTTP/1.1\r\nhost: clinic\r\n\r\n"));
    client.say(posts.chain(gets).collect::<String>());
    for number in 0..10 {
        let seen = client.message().json();
        assert_eq!(seen["target"], format!("/echo?{number}"));
        assert_eq!(seen["body"], if number < 5 { number.to_string() } else { String::new() });
    }
}

/// What a client has not taken when there is nothing more to read from it is not forgotten. How much
/// the sockets hold is the system's to say, so there are as many refusals as reach beyond in one case.
#[test]
fn refusals_that_are_read_late_are_all_there() {
    let service = Service::listen();
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, limits: {{ requests_per_connection: 1000000 }}, \
         routes: [{{ upstream: app, match: {{ path: /only }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        service.address
    ));
    let mut received = 0.0;
    for count in (1..=20).map(|step| 500 * step) {
        let mut client = Wire::connect_narrow(weir.address());
        client.say(GET.repeat(count));
        received += count as f64;
        until("all are read, or none is any more", || {
            let before = weir.metric("weir_requests_received_total", &[]);
            std::thread::park_timeout(std::time::Duration::from_millis(50));
            let now = weir.metric("weir_requests_received_total", &[]);
            now == received || now == before
        });
        for number in 0..count {
            assert_eq!(client.message().status(), 404, "{number} of {count}");
        }
    }
}

/// A socket that is closed with bytes unread is reset, and what it had still to send is lost.
#[test]
fn an_answer_that_closes_arrives_whatever_else_the_client_says() {
    const LENGTH: usize = 100_000;
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let closing =
        "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab";
    for (answered, (more, later)) in (1..).zip([(GET, ""), ("\r\n", ""), ("", "\r\n")]) {
        let mut client = Wire::connect_narrow(weir.address());
        client.say(format!("{closing}{more}"));
        let mut upstream = service.accept();
        upstream.message();
        upstream.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n"));
        upstream.say("x".repeat(LENGTH));
        until("it is answered", || ended(&weir, "ok") == answered);
        client.say(later);
        let answer = client.head();
        assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
        assert_eq!(client.rest().unwrap().len(), LENGTH, "{more:?}, then {later:?}");
    }
}

#[test]
fn what_was_asked_before_a_drain_is_answered_with_a_close() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut client = Wire::connect(weir.address());
    client.say(GET);
    let mut upstream = service.accept();
    upstream.message();
    weir.drain();
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.message().field("connection"), Some("close"));
    assert!(client.rest().unwrap().is_empty());
}

#[test]
fn http_1_0_gets_a_body_that_ends_with_the_connection() {
    let (_clinic, weir) = behind("");
    for (request, body) in [
        ("GET /stream?chunks=3&bytes=2 HTTP/1.0\r\n\r\n", "aabbcc"),
        ("GET /stream?chunks=3&bytes=2 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", "aabbcc"),
        ("GET /slow?ms=0 HTTP/1.0\r\nhost: clinic\r\n\r\n", "0 ms\n"),
    ] {
        let mut client = Wire::connect(weir.address());
        client.say(request);
        let answer = client.head();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.field("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(String::from_utf8(client.rest().unwrap()).unwrap(), body);
    }
}

#[test]
fn http_1_0_keeps_its_connection_when_it_asks_to() {
    let (_clinic, weir) = behind("");
    let mut client = Wire::connect(weir.address());
    for _ in 0..3 {
        client.say("GET /slow?ms=0 HTTP/1.0\r\nhost: clinic\r\nconnection: keep-alive\r\n\r\n");
        let answer = client.message();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "0 ms\n"));
        assert_eq!(
            answer.field("connection").map(str::to_lowercase).as_deref(),
            Some("keep-alive")
        );
    }
}

#[test]
fn connection_close_is_heeded() {
    let (_clinic, weir) = behind("");
    let mut client = Wire::connect(weir.address());
    client.say("GET /slow?ms=0 HTTP/1.1\r\nhost: clinic\r\nconnection: close\r\n\r\n");
    let answer = client.message();
    assert_eq!((answer.status(), answer.field("connection")), (200, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn an_absolute_target_names_the_host_and_reaches_the_service_as_a_path() {
    let (_clinic, weir) = behind("");
    let mut client = Wire::connect(weir.address());
    client.say("GET http://the-host/echo?a HTTP/1.1\r\nhost: the-host\r\n\r\n");
    let answer = client.message();
    assert_eq!(answer.json()["target"], "/echo?a");
    assert_eq!(super::message::echoed(&answer, "host"), ["the-host"]);
}

#[test]
fn a_204_loses_its_framing_and_the_connection_goes_on() {
    for framing in ["content-length: 3", "content-length: 0", "transfer-encoding: chunked"] {
        let service = Service::listen();
        let weir = before(&service.address.to_string(), "");
        let mut client = Wire::connect(weir.address());
        for _ in 0..2 {
            client.say(GET);
            let mut upstream = service.accept();
            upstream.head();
            upstream
                .say(format!("HTTP/1.1 204 No Content\r\n{framing}\r\nconnection: close\r\n\r\n"));
            let answer = client.head();
            assert_eq!(answer.status(), 204);
            assert_eq!(answer.field("content-length"), None, "{framing}");
            assert_eq!(answer.field("transfer-encoding"), None, "{framing}");
        }
    }
}

#[test]
fn an_answer_in_another_coding_is_not_taken_for_plain() {
    for coding in ["gzip, chunked", "gzip", "identity"] {
        let service = Service::listen();
        let weir = before(&service.address.to_string(), "");
        let mut client = Wire::connect(weir.address());
        client.say(GET);
        let mut upstream = service.accept();
        upstream.head();
        upstream.say(format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        ));
        assert_eq!(client.message().verdict(), (502, "upstream_protocol".to_owned()), "{coding}");
    }
}

#[test]
fn a_bad_request_is_told_in_a_sentence() {
    let (_clinic, weir) = behind("");
    let mut client = Wire::connect(weir.address());
    client.say("GET / HTTP/1.1\r\n\r\n");
    let answer = client.message();
    assert_eq!(answer.verdict(), (400, "bad_request".to_owned()));
    assert_eq!(answer.json()["detail"], "the request has no Host");
}

#[test]
fn options_of_the_whole_server_stays_so() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut client = Wire::connect(weir.address());
    client.say("OPTIONS * HTTP/1.1\r\nhost: clinic\r\n\r\n");
    let mut upstream = service.accept();
    assert_eq!(upstream.head().first_line, "OPTIONS * HTTP/1.1");
    upstream.say("HTTP/1.1 200 OK\r\nallow: GET\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(client.message().field("allow"), Some("GET"));
}

#[test]
fn a_client_that_expects_100_sees_one_before_it_sends() {
    let (_clinic, weir) = behind("");
    let mut client = Wire::connect(weir.address());
    client.say(
        "POST /echo HTTP/1.1\r\nhost: clinic\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
    );
    assert_eq!(client.head().first_line.split(' ').nth(1), Some("100"));
    client.say("ok");
    let answer = client.message();
    assert_eq!(answer.json()["body"], "ok");
    // Whether the connection goes on is as the answer says.
    if answer.field("connection") == Some("close") {
        assert!(client.is_closed());
    } else {
        client.say(GET);
        assert_eq!(client.message().status(), 200);
    }
}

#[test]
fn a_client_that_expects_100_sees_one_before_an_h2_service_too() {
    let clinic = Serving::clinic();
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], protocol: h2 }} }}\n",
        clinic.address
    ));
    let mut client = Wire::connect(weir.address());
    client.say(
        "POST /echo HTTP/1.1\r\nhost: clinic\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
    );
    assert_eq!(client.head().first_line.split(' ').nth(1), Some("100"));
    client.say("ok");
    let answer = client.message().json();
    assert_eq!((&answer["body"], &answer["version"]), (&"ok".into(), &"HTTP/2.0".into()));
}

#[test]
fn a_client_that_expects_100_and_is_refused_never_sends() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "limits: { body: 1KiB }");
    let mut client = Wire::connect(weir.address());
    client.say("POST /echo HTTP/1.1\r\nhost: clinic\r\nexpect: 100-continue\r\ncontent-length: 2000\r\n\r\n");
    let answer = client.message();
    assert_eq!(answer.verdict(), (413, "body_too_large".to_owned()));
    // Whether the body follows is not known any more, so nothing else can.
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(client.is_closed());
    assert!(service.try_accept().is_none(), "the service has heard nothing");
}

#[test]
fn early_hints_come_before_the_answer() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut client = Wire::connect(weir.address());
    client.say(GET);
    let mut upstream = service.accept();
    upstream.head();
    upstream.say("HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n");
    let hint = client.head();
    assert_eq!((hint.status(), hint.field("link")), (103, Some("</style.css>")));
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    assert_eq!(client.message().text(), "ok");
}
