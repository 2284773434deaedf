//! WebSockets: Python's websockets on one side, the clinic's on the other.

use super::{
    clinic::{before, behind},
    process::{check, python},
    wire::{Service, Wire},
};
use crate::weir::{Weir, until};

fn client(weir: &Weir, case: &str) {
    let url = format!("ws://{}/ws", weir.address());
    check(python("websocket_client.py").args([&url, case]));
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let (_clinic, weir) = behind("");
    for case in ["text", "binary", "ping", "close"] {
        client(&weir, case);
    }
    until("all have closed", || weir.metric("weir_streams_open", &[]) == 0.0);
    assert_eq!(weir.metric("weir_requests_total", &["reason=\"ok\""]), 4.0);
}

#[test]
fn a_websocket_outlives_the_total_and_the_limit_for_bodies() {
    let (_clinic, weir) =
        behind("timeout: { connect: 1s, first_byte: 1s, total: 1s }, limits: { body: 1KiB }");
    client(&weir, "long");
    client(&weir, "binary");
}

#[test]
fn one_more_than_the_limit_is_refused_until_another_closes() {
    let (_clinic, weir) = behind("limits: { streams: 2 }");
    client(&weir, "limit");
    assert_eq!(weir.metric("weir_requests_total", &["reason=\"stream_limit\""]), 1.0);
}

/// What comes after a 101 is the two sides' own: no word of ours gets among it.
#[test]
fn a_websocket_that_is_cut_ends_without_a_word() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "timeout: { idle: 300ms }");
    let (mut client, mut upstream) = upgraded(&weir, &service);
    upstream.say(b"\x81\x02hi");
    assert_eq!(client.rest().unwrap_or_default(), b"\x81\x02hi");
    let ended = ["reason=\"upstream_idle_timeout\""];
    until("it is counted", || weir.metric("weir_requests_total", &ended) == 1.0);
}

/// Its place among the streams is not held until it reads, which may be never.
#[test]
fn a_client_that_hangs_up_without_reading_is_not_waited_for() {
    let service = Service::listen();
    let weir = before(&service.address.to_string(), "");
    let (client, mut upstream) = upgraded(&weir, &service);
    assert!(upstream.fill(&[b'x'; 0x10000]) > 0, "until neither takes more");
    client.half_close();
    until("its place is free", || weir.metric("weir_streams_open", &[]) == 0.0);
    assert_eq!(weir.metric("weir_requests_total", &["reason=\"client_cancel\""]), 1.0);
}

fn upgraded(weir: &Weir, service: &Service) -> (Wire, Wire) {
    let mut client = Wire::connect(weir.address());
    client.say(
        "GET / HTTP/1.1\r\nhost: app\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let mut upstream = service.accept();
    upstream.head();
    upstream.say(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    );
    assert_eq!(client.head().status(), 101);
    (client, upstream)
}
