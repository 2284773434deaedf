//! Uploads that are refused: the answer is read, and a connection is kept where that costs little.

use super::{
    clinic::{Serving, behind},
    curl::{curl, curl_to_its_end},
    process::tool,
    wire::Wire,
};
use crate::weir::{Weir, until};

const LARGE: usize = 20 << 20;

/// Takes one request in a long while, and no body above a megabyte.
fn strict() -> (Serving, Weir) {
    behind("rate_limit: { qps: 0.001, burst: 1, per: { header: x-key } }, limits: { body: 1MiB }")
}

fn head(length: usize, more: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nhost: clinic\r\ncontent-length: {length}\r\n{more}\r\n")
}

#[test]
fn a_small_rest_is_read_and_the_connection_kept() {
    let (_clinic, weir) = strict();
    let small = 10 << 10;
    let mut client = Wire::connect(weir.address());
    client.say(head(2, "") + "ok");
    assert_eq!(client.message().status(), 200);
    for _ in 0..3 {
        client.say(head(small, ""));
        assert_eq!(client.message().verdict(), (429, "rate_limited".to_owned()));
        client.say(vec![b'x'; small]);
    }
    client.say(head(2, "x-key: another\r\n") + "ok");
    assert_eq!(client.message().json()["body"], "ok", "on the same connection");
}

#[test]
fn a_client_that_sends_it_all_reads_its_answer() {
    let (_clinic, weir) = strict();
    spend(&weir);
    for (key, verdict) in VERDICTS {
        for framing in [format!("content-length: {LARGE}"), "transfer-encoding: chunked".to_owned()]
        {
            let mut client = Wire::connect(weir.address());
            client.say(format!(
                "POST /upload HTTP/1.1\r\nhost: clinic\r\n{key}\r\n{framing}\r\n\r\n"
            ));
            // With its length told, the chunks' frames are just bytes of the body.
            let chunk = [&b"ffff8\r\n"[..], &[b'x'; 0xFFFF8], b"\r\n"].concat();
            for _ in 0..LARGE >> 20 {
                client.say_what_is_taken(&chunk);
            }
            let answer = client.message();
            assert_eq!(answer.verdict(), (verdict.0, verdict.1.to_owned()), "{key}, {framing}");
            assert_eq!(client.rest(), Ok(Vec::new()), "closed in order, not reset");
        }
    }
}

#[test]
fn curl_reads_the_answer_to_an_upload_that_nobody_takes() {
    let (_clinic, weir) = strict();
    spend(&weir);
    let (_folder, file) = large_file();
    let (data, url) = (format!("@{file}"), weir.url("/upload"));
    for (key, verdict) in VERDICTS {
        for expect in ["expect:", "expect: 100-continue"] {
            for framing in ["x-framing: length", "transfer-encoding: chunked"] {
                // A body without a length is found too large only on its way up: its token is spent.
                let key = &key.replace("fresh", &format!("fresh {expect} {framing}"));
                let asked = ["-H", expect, "-H", framing, "-H", key, "--data-binary", &data, &url];
                assert_told(&[&["--http1.1"][..], &asked].concat(), verdict);
            }
        }
        // h2 has its own frames for a body, and no `Expect`.
        let asked = ["--http2-prior-knowledge", "-H", key, "--data-binary", &data, &url];
        assert_told(&asked, verdict);
    }
    until("nothing is left behind", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
}

fn assert_told(asked: &[&str], verdict: (u16, &str)) {
    let (code, answer, said) = curl_to_its_end(asked);
    assert_eq!(code, 0, "{asked:?}: {said}");
    let (status, reason) = answer.verdict();
    assert_eq!((status, reason.as_str()), verdict, "{asked:?}: {said}");
}

/// RFC 9113 (section 8.1) has a server say so when it needs no more of a request.
#[test]
fn an_h2_client_reads_its_answer_and_is_told_to_stop() {
    let (_clinic, weir) = strict();
    spend(&weir);
    let (_folder, file) = large_file();
    for (key, (status, reason)) in VERDICTS {
        let ran = tool("nghttp")
            .args(["--verbose", "--timeout=30", "--header", key, "--data", &file])
            .arg(weir.url("/upload"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(said.contains(&format!(":status: {status}")), "{said}");
        assert!(said.contains(&format!("details=\"{reason}\"")), "{said}");
        let resets = said.matches("RST_STREAM").count();
        assert_eq!(
            (resets, said.matches("(error_code=NO_ERROR(0x00))").count() >= 1),
            (1, true),
            "{said}"
        );
    }
}

/// Otherwise a caller would reach the service without limit, one malformed body at a time.
#[test]
fn a_request_that_has_gone_up_has_spent_its_token() {
    let (_clinic, weir) = strict();
    let begun = "POST /upload HTTP/1.1\r\nhost: clinic\r\nx-key: one\r\n\
                 transfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
    let mut client = Wire::connect(weir.address());
    client.say(begun);
    until("it has gone up", || weir.metric("weir_upstream_in_flight", &[]) == 1.0);
    client.say("zz\r\n");
    assert_eq!(client.message().verdict(), (400, "bad_request".to_owned()));
    let mut client = Wire::connect(weir.address());
    client.say(begun);
    assert_eq!(client.message().verdict(), (429, "rate_limited".to_owned()));
}

fn large_file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large");
    std::fs::write(&file, vec![b'x'; LARGE]).unwrap();
    (folder, file.display().to_string())
}

/// What a large upload is told: a refusal before it goes up gives the token back, so a key lasts.
const VERDICTS: [(&str, (u16, &str)); 2] =
    [("x-key: fresh", (413, "body_too_large")), ("x-key: spent", (429, "rate_limited"))];

fn spend(weir: &Weir) {
    assert_eq!(curl(&["-H", "x-key: spent", &weir.url("/healthz")]).status(), 200);
}
