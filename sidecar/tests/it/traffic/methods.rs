//! curl over both protocols: each method, each kind of body, each kind of answer without one.

use super::{
    clinic::{Serving, behind},
    curl::{curl, curl_to_its_end, statuses},
    wire::Wire,
};
use crate::weir::{Weir, until};

/// How curl is told to speak.
const PROTOCOLS: [(&str, &str); 2] =
    [("--http1.1", "HTTP/1.1"), ("--http2-prior-knowledge", "HTTP/2")];

fn check_each(check: impl Fn(&Weir, &str, &str)) {
    let (_clinic, weir) = behind("timeout: { total: 20s }");
    for (flag, version) in PROTOCOLS {
        check(&weir, flag, version);
    }
}

#[test]
fn a_get_comes_back_with_what_was_asked() {
    check_each(|weir, flag, version| {
        let answer = curl(&[flag, &weir.url("/echo?a=b&c")]);
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.first_line.split(' ').next(), Some(version));
        let seen = answer.json();
        assert_eq!((&seen["method"], &seen["target"]), (&"GET".into(), &"/echo?a=b&c".into()));
        assert_eq!(seen["body_bytes"], 0);
    });
}

#[test]
fn every_method_goes_through_with_its_body() {
    check_each(|weir, flag, _| {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            let answer = curl(&[flag, "-X", method, "--data", "a report", &weir.url("/echo")]);
            let seen = answer.json();
            assert_eq!((&seen["method"], &seen["body"]), (&method.into(), &"a report".into()));
        }
    });
}

#[test]
fn a_head_is_answered_with_fields_alone() {
    check_each(|weir, flag, _| {
        let get = curl(&[flag, &weir.url("/healthz")]);
        let head = curl(&[flag, "--head", &weir.url("/healthz")]);
        // `--head` prints the head to where bodies go, too.
        assert_eq!(head.status(), 200);
        assert_eq!(head.field("content-length"), get.field("content-length"));
        // The connection can still be used: the next answer is not taken for a body.
        let url = weir.url("/healthz");
        if flag == "--http1.1" {
            let (code, _, said) = curl_to_its_end(&[flag, "--head", &url, &url, &url]);
            assert_eq!((code, said.matches("HTTP/1.1 200 OK").count()), (0, 3), "{said}");
        }
    });
}

/// A client would be right to reset a stream that has DATA in an answer to HEAD, however empty.
#[test]
fn a_head_that_is_refused_over_h2_is_answered_by_a_header_that_ends_the_stream() {
    const PREFACE_AND_SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // `:method: HEAD`, `:scheme: http`, `:path: /healthz`, `:authority: a` on stream 1, which it ends.
    const HEAD: &[u8] = b"\0\0\x14\x01\x05\0\0\0\x01\x02\x04HEAD\x86\x04\x08/healthz\x01\x01a";
    const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0barrier!";
    const HEADERS_THAT_END: (u8, u8) = (0x1, 0x1);
    let (_clinic, weir) = behind("rate_limit: { qps: 0.01, burst: 1 }");
    assert_eq!(curl(&[weir.url("/healthz")]).status(), 200);
    let mut client = Wire::connect(weir.address());
    client.say([PREFACE_AND_SETTINGS, HEAD].concat());
    let mut answer = Vec::new();
    while answer.last() != Some(&HEADERS_THAT_END) {
        let (head, _) = frame(&mut client);
        answer.extend((head[8] == 1).then_some((head[3], head[4] & 0x1)));
    }
    assert_eq!(answer, [HEADERS_THAT_END]);
    client.say(PING);
    loop {
        let (head, payload) = frame(&mut client);
        assert_ne!(head[8], 1, "after its end");
        if payload == b"barrier!" {
            break;
        }
    }
    let refused = ["reason=\"rate_limited\""];
    until("it is counted", || weir.metric("weir_requests_total", &refused) == 1.0);
}

/// The head and the payload of the next h2 frame.
fn frame(client: &mut Wire) -> (Vec<u8>, Vec<u8>) {
    let head = client.hear_bytes(9);
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    (head, client.hear_bytes(length as usize))
}

#[test]
fn a_body_of_unknown_length_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report");
    std::fs::write(&file, "line\n".repeat(2000)).unwrap();
    let data = format!("@{}", file.display());
    check_each(|weir, flag, _| {
        let chunked = ["-H", "transfer-encoding: chunked", "--data-binary", &data];
        let url = weir.url("/echo");
        let answer = curl(&[&[flag][..], &chunked, &[&url]].concat());
        assert_eq!(answer.json()["body"], "line\n".repeat(2000));
    });
}

#[test]
fn answers_without_a_body_leave_the_connection_usable() {
    check_each(|weir, flag, _| {
        let urls = ["/status/204", "/status/304", "/status/200"].map(|path| weir.url(path));
        let [none, unchanged, empty] = &urls;
        assert_eq!(statuses(flag, &[none, unchanged, empty, none]), [204, 304, 200, 204]);
        let answer = curl(&[flag, none]);
        assert_eq!(answer.field("content-length"), None);
        assert_eq!(answer.field("transfer-encoding"), None);
    });
}

#[test]
fn one_connection_serves_request_after_request() {
    let (_clinic, weir) = behind("");
    let url = weir.url("/healthz");
    let mut asked = vec!["--http1.1", "--write-out", "%{stderr}connects %{num_connects}\\n"];
    asked.extend([url.as_str(); 20]);
    let (code, _, said) = curl_to_its_end(&asked);
    assert_eq!(code, 0, "{said}");
    let connects = |count: &str| said.matches(&format!("connects {count}\n")).count();
    assert_eq!((connects("1"), connects("0")), (1, 19), "{said}");
}

#[test]
fn the_ledger_has_every_request_once() {
    let clinic = Serving::clinic();
    let weir = super::clinic::before(&clinic.address.to_string(), "match: { path: /healthz }");
    for (flag, _) in PROTOCOLS {
        let (answered, refused) = (weir.url("/healthz"), weir.url("/echo"));
        assert_eq!(statuses(flag, &[&answered, &answered]), [200, 200]);
        assert_eq!(curl(&[flag, &refused]).verdict().1, "no_route");
    }
    let ended = |class: &str| weir.metric("weir_requests_total", &[&format!("class=\"{class}\"")]);
    until("every request has ended", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
    assert_eq!(weir.metric("weir_requests_received_total", &[]), 6.0);
    assert_eq!((ended("forwarded"), ended("rejected"), ended("cancelled")), (4.0, 2.0, 0.0));
}
