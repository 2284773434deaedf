//! Streams: each piece goes on when it comes, both ways, for as long as the route says.
//!
//! The order is the proof: a piece is awaited on the far side before the next one is sent.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use super::{
    clinic::{before, behind},
    process::tool,
    wire::{Service, Wire},
};
use crate::weir::{PATIENCE, until};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn a_chunk_is_with_the_client_before_the_next_is_sent() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut client = Wire::connect(weir.address());
    client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    let mut upstream = service.accept();
    upstream.head();
    upstream.say(CHUNKED);
    assert_eq!(client.head().status(), 200, "the header does not wait for a body");
    for piece in ["first", "second", "third"] {
        upstream.say(format!("{:x}\r\n{piece}\r\n", piece.len()));
        assert_eq!(client.chunk(), Some(piece.into()));
    }
    upstream.say("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
}

#[test]
fn a_piece_of_a_request_is_with_the_service_before_the_next_is_sent() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut client = Wire::connect(weir.address());
    client.say("POST / HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut upstream = service.accept();
    assert_eq!(upstream.head().field("transfer-encoding"), Some("chunked"));
    for piece in ["first", "second", "third"] {
        client.say(format!("{:x}\r\n{piece}\r\n", piece.len()));
        assert_eq!(upstream.chunk(), Some(piece.into()));
    }
    client.say("0\r\n\r\n");
    assert_eq!(upstream.chunk(), None);
    upstream.say("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.head().status(), 204);
}

#[test]
fn an_h2_client_sees_each_line_as_it_is_sent() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let mut curl = tool("curl")
        .args(["--silent", "--no-buffer", "--max-time", "30", "--http2-prior-knowledge"])
        .arg(weir.url("/"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let mut upstream = service.accept();
    upstream.head();
    upstream.say(CHUNKED);
    for piece in ["first", "second"] {
        upstream.say(format!("{:x}\r\n{piece}\n\r\n", piece.len() + 1));
        assert_eq!(lines.next().unwrap().unwrap(), piece);
    }
    upstream.say("0\r\n\r\n");
    assert!(curl.wait().unwrap().success());
}

/// The stream is followed until the route's total has been over for a while.
const TOTAL: Duration = Duration::from_secs(1);

#[test]
fn events_of_a_streaming_route_outlive_the_total() {
    let (_clinic, weir) =
        behind("stream: true, timeout: { connect: 1s, first_byte: 1s, total: 1s }");
    let mut client = Wire::connect(weir.address());
    let started = Instant::now();
    client.say("GET /sse?chunks=1000000&interval_ms=50 HTTP/1.1\r\nhost: clinic\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status(), head.field("content-type")), (200, Some("text/event-stream")));
    let mut seen = 0;
    while started.elapsed() < TOTAL * 2 {
        assert!(started.elapsed() < PATIENCE);
        client.hear(&format!("data: event {seen}\n"));
        seen += 1;
    }
    drop(client);
    until("the stream has ended", || weir.metric("weir_streams_open", &[]) == 0.0);
    until("it is counted", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
    let timed = weir.metric("http_server_request_duration_seconds_count", &[]);
    assert_eq!(timed, 0.0, "the life of a stream is no latency");
}

#[test]
fn a_request_to_a_streaming_route_outlives_the_total() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "stream: true, timeout: { connect: 1s, first_byte: 1s, total: 1s }",
    );
    let mut client = Wire::connect(weir.address());
    let started = Instant::now();
    client.say("POST / HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut upstream = service.accept();
    upstream.head();
    upstream.say(CHUNKED);
    assert_eq!(client.head().status(), 200, "the answer flows before the request has ended");
    while started.elapsed() < TOTAL * 2 {
        client.say("4\r\nping\r\n");
        assert_eq!(upstream.chunk(), Some(b"ping".to_vec()));
        upstream.say("4\r\npong\r\n");
        assert_eq!(client.chunk(), Some(b"pong".to_vec()));
    }
    client.say("0\r\n\r\n");
    assert_eq!(upstream.chunk(), None);
    upstream.say("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
}

#[test]
fn a_request_to_a_streaming_route_may_be_of_any_length() {
    /// What other routes take where nothing is written.
    const LIMIT: usize = 10 << 20;
    let piece = vec![b'x'; 64 << 10];
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "stream: true");
    let mut client = Wire::connect(weir.address());
    let length = LIMIT + piece.len();
    client.say(format!("POST / HTTP/1.1\r\nhost: app\r\ncontent-length: {length}\r\n\r\n"));
    let mut upstream = service.accept();
    upstream.head();
    for _ in 0..length / piece.len() {
        client.say(&piece);
        assert_eq!(upstream.hear_bytes(piece.len()), piece);
    }
    upstream.say("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.head().status(), 204);
}

#[test]
fn a_stream_holds_its_permit_until_the_upstream_ends_it() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "stream: true, concurrency: { limit: 1, queue: { length: 0 } }",
    );
    let ask = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";
    let mut client = Wire::connect(weir.address());
    client.say(ask);
    let mut upstream = service.accept();
    upstream.head();
    // The next request comes over a connection of its own, whichever worker it was given to.
    upstream.say("HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    upstream.say("4\r\nping\r\n");
    assert_eq!((client.head().status(), client.chunk()), (200, Some(b"ping".to_vec())));
    let mut second = Wire::connect(weir.address());
    second.say(ask);
    assert_eq!(second.message().verdict(), (503, "overloaded".to_owned()));
    upstream.say("0\r\n\r\n");
    assert_eq!(client.chunk(), None);
    second.say(ask);
    let mut upstream = service.accept();
    upstream.head();
    upstream.say("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(second.head().status(), 204);
}

/// Ten idle WebSockets would otherwise be all that a small service is asked for.
#[test]
fn a_stream_does_not_count_against_a_limit_that_is_learned() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "stream: true, concurrency: { limit: adaptive, max: 1, queue: { length: 0 } }",
    );
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Wire::connect(weir.address());
        client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
        let mut upstream = service.accept();
        upstream.head();
        upstream.say(CHUNKED);
        assert_eq!(client.head().status(), 200);
        open.push((client, upstream));
    }
    assert_eq!(weir.metric("weir_concurrency_in_flight", &[]), 0.0);
    assert_eq!(weir.metric("weir_streams_open", &[]), 3.0);
}

#[test]
fn an_answer_of_any_other_route_is_cut_at_the_total() {
    let service = Service::listen();
    let weir =
        before(&service.address.to_string(), "timeout: { connect: 1s, first_byte: 1s, total: 1s }");
    let mut client = Wire::connect(weir.address());
    client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    let mut upstream = service.accept();
    upstream.head();
    upstream.say([CHUNKED, "4\r\nping\r\n"].concat());
    client.head();
    assert_eq!(client.chunk(), Some(b"ping".to_vec()));
    let rest = client.rest();
    assert!(rest.as_ref().map_or(true, Vec::is_empty), "without an end of the body: {rest:?}");
    let timed_out = ["reason=\"upstream_total_timeout\""];
    until("it is counted", || weir.metric("weir_requests_total", &timed_out) == 1.0);
}
