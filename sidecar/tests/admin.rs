//! The admin API of the built binary, with traffic behind it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "it/weir.rs"]
#[expect(dead_code, reason = "this test needs a part of what the other one needs")]
mod weir;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
};

use serde_json::Value;

use crate::weir::{Weir, raw, until};

/// A service that answers everything with 200 until the test ends.
fn service() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut seen = Vec::new();
            let mut byte = [0];
            while !seen.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|read| read == 1)
            {
                seen.push(byte[0]);
            }
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nhi\n";
            // Whoever has left does not need it.
            socket.write_all(answer.as_bytes()).unwrap_or_default();
        }
    });
    address
}

/// A sidecar that lets one request of each key pass, and then none for a long time.
fn limited() -> Weir {
    Weir::start(&format!(
        "
listeners:
  - name: ingress
    address: 127.0.0.1:0
    routes:
      - name: partner
        match: {{ path_prefix: /partner/ }}
        upstream: service
        rate_limit: {{ qps: 0.001, burst: 1, per: [{{ header: x-api-key }}, {{ cookie: session }}, {{ query: key }}] }}
upstreams:
  service: {{ endpoints: [\"{}\"] }}
",
        service()
    ))
}

fn send(weir: &Weir, target: &str, fields: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{fields}\r\n");
    raw(weir.address(), request.as_bytes())
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn a_refusal_is_found_by_the_id_in_its_answer() {
    let weir = limited();
    assert!(send(&weir, "/partner/trials", "").starts_with("HTTP/1.1 200"));
    let refused = send(&weir, "/partner/trials", "");
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let refused: Value = serde_json::from_str(body(&refused)).unwrap();
    let id = refused["id"].as_str().unwrap();

    let (status, explained) = weir.admin_get(&format!("/explain/{id}"));
    assert_eq!(status, 200, "{explained}");
    let explained: Value = serde_json::from_str(&explained).unwrap();
    for field in ["id", "reason", "policy", "detail", "status"] {
        assert_eq!(explained[field], refused[field], "{field}");
    }
    assert_eq!(explained["stage"], "rate");
    assert_eq!(explained["route"], "partner");
    assert_eq!(explained["threshold"]["burst"], 1);
    assert!(!explained["would_pass"].as_str().unwrap().is_empty());
}

#[test]
fn no_endpoint_tells_what_a_client_sent_to_be_known_by() {
    let weir = limited();
    let fields = "x-api-key: s3cret-header\r\ncookie: session=s3cret-cookie\r\n";
    for _ in 0..2 {
        send(&weir, "/partner/trials?key=s3cret-query", fields);
    }
    // A client may have its answer before the ledger has its end.
    let refused = || weir.metric("weir_requests_total", &["reason=\"rate_limited\""]);
    until("the second is refused", || refused() == 1.0);
    for path in ["/metrics", "/config", "/upstreams", "/explain"] {
        let (status, text) = weir.admin_get(path);
        assert_eq!(status, 200, "{path}");
        assert!(!text.contains("s3cret"), "{path}: {text}");
    }
}

#[test]
fn every_request_is_counted_once() {
    let weir = limited();
    let sent = 3 + 4 + 2;
    for key in 0..3 {
        send(&weir, "/partner/trials", &format!("x-api-key: {key}\r\ncookie: session={key}\r\n"));
    }
    for _ in 0..4 {
        send(&weir, "/nowhere", "");
    }
    for _ in 0..2 {
        raw(weir.address(), b"NOT HTTP\r\n\r\n");
    }
    until("all have ended", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
    let count = |labels: &[&str]| weir.metric("weir_requests_total", labels);
    assert_eq!(weir.metric("weir_requests_received_total", &[]), f64::from(sent));
    assert_eq!(count(&[]), f64::from(sent));
    assert_eq!(count(&["route=\"-\"", "reason=\"no_route\""]), 4.0);
    assert_eq!(count(&["route=\"-\"", "reason=\"bad_request\""]), 2.0);
    assert_eq!(
        count(&["class=\"forwarded\""]) + count(&["reason=\"rate_limited\""]),
        3.0,
        "keys that are absent share a bucket"
    );
}

#[test]
fn draining_fails_readiness_and_goes_on_serving() {
    let weir = limited();
    let request =
        format!("POST /drain HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", weir.admin);
    for _ in 0..2 {
        let answer = raw(weir.admin, request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer: Value = serde_json::from_str(body(&answer)).unwrap();
        assert_eq!(answer["draining"], true);
    }
    assert_eq!(weir.admin_get("/ready"), (503, "draining\n".to_owned()));
    assert_eq!(weir.admin_get("/live").0, 200);
    assert_eq!(weir.metric("weir_ready", &[]), 0.0);
    // Without asking for it: the sidecar closes by itself, or this would wait in vain.
    let answer = raw(weir.address(), b"GET /partner/trials HTTP/1.1\r\nhost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
}
