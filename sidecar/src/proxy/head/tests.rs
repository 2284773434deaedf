use std::num::NonZeroU32;

use proptest::{collection::vec, prelude::*};
use weir_config::ByteSize;

use super::*;

const ONE: NonZeroU32 = NonZeroU32::MIN;

pub(in crate::proxy) fn limits() -> ListenerLimits {
    ListenerLimits {
        connections: ONE,
        requests_per_connection: ONE,
        streams_per_connection: ONE,
        header_bytes: ByteSize(2048),
        headers: NonZeroU32::new(20).unwrap(),
        uri_bytes: ByteSize(64),
    }
}

fn verdict(head: &str) -> Result<(), Fault> {
    check(head.as_bytes(), &limits()).map(|_| ())
}

/// A request whose line and Host are good, and these fields.
fn with_fields(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")
}

/// A request with this line, and a Host where 1.1 wants one.
fn with_line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

fn all_pass(heads: impl IntoIterator<Item = String>) {
    for head in heads {
        assert_eq!(verdict(&head), Ok(()), "{head:?}");
    }
}

fn all_fail(rows: &[(&str, &str)], head_of: fn(&str) -> String) {
    for (what, detail) in rows {
        let head = head_of(what);
        let Err(Fault::BadRequest(said)) = verdict(&head) else {
            panic!("{head:?} is let pass");
        };
        assert!(said.contains(detail), "{head:?}: {said:?} says nothing of {detail:?}");
    }
}

#[test]
fn what_clients_send_passes() {
    let fields = [
        "Accept: */*",
        "Content-Length: 0",
        "content-length:\t18446744073709551615 ",
        "Transfer-Encoding: Chunked",
        "TRANSFER-ENCODING:chunked\t",
        "X-Empty:",
        "X-Colon: a:b: c",
        "X-Inner:  a \t b  ",
        "X-Text: na\u{ef}ve",
        "Connection: close, x-hosting",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "!#$%&'*+-.^_`|~: token",
        "Expect: something-else",
    ];
    all_pass(fields.map(with_fields));
    let lines = [
        "GET / HTTP/1.1",
        "get /lower HTTP/1.1",
        "\r\nGET /after-an-empty-line HTTP/1.1",
        "M-SEARCH /?q={|}^\"<> HTTP/1.1",
        "GET //a//b HTTP/1.0",
        "OPTIONS * HTTP/1.1",
        "GET http://a HTTP/1.1",
        "GET HTTPS://a?q HTTP/1.1",
        "CONNECT a:443 HTTP/1.1",
        "CONNECT [::1]:443 HTTP/1.1",
    ];
    all_pass(lines.map(with_line));
    let hosts = [
        "a",
        "A.example",
        "a.example.:80",
        "under_score",
        "10.0.0.1:65535",
        "[::1]",
        "[2001:DB8::1]:8080",
    ];
    all_pass(hosts.map(|host| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    all_pass(["GET / HTTP/1.0\r\n\r\n".to_owned(), "GET http://a/ HTTP/1.0\r\n\r\n".to_owned()]);
}

#[test]
fn a_body_has_one_length() {
    let rows = [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "both"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "both"),
        ("Content-Length: 5\r\ncontent-length: 5", "two Content-Length"),
        ("Content-Length: 5, 5", "one decimal number"),
        ("Content-Length: +5", "one decimal number"),
        ("Content-Length: -5", "one decimal number"),
        ("Content-Length: 0x5", "one decimal number"),
        ("Content-Length: 1 0", "one decimal number"),
        ("Content-Length: 5.0", "one decimal number"),
        ("Content-Length:", "one decimal number"),
        ("Content-Length: 18446744073709551616", "one decimal number"),
        ("Transfer-Encoding: xchunked", "other than chunked"),
        ("Transfer-Encoding: gzip, chunked", "other than chunked"),
        ("Transfer-Encoding: chunked, identity", "other than chunked"),
        ("Transfer-Encoding: chunked;q=1", "other than chunked"),
        ("Transfer-Encoding: \"chunked\"", "other than chunked"),
        ("Transfer-Encoding:", "other than chunked"),
        ("Transfer-Encoding: chunked\u{a0}", "other than chunked"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "two Transfer-Encoding"),
        ("Connection: close, Content-Length", "Connection"),
        ("Connection: transfer-encoding", "Connection"),
        ("Connection: ,\tHOST ,", "Connection"),
    ];
    all_fail(&rows, with_fields);
    all_fail(&[("Transfer-Encoding: chunked", "HTTP/1.0")], |field| {
        format!("POST / HTTP/1.0\r\nHost: a\r\n{field}\r\n\r\n")
    });
}

#[test]
fn a_field_line_has_one_shape() {
    let rows = [
        ("Transfer-Encoding : chunked", "white space"),
        ("Transfer-Encoding\t: chunked", "white space"),
        ("Two words: x", "white space"),
        ("Transfer-Encoding:\x0bchunked", "control"),
        ("Transfer-Encoding\r\n : chunked", "without a colon"),
        ("NoColon", "without a colon"),
        (": nameless", "empty field name"),
        ("(paren): x", "invalid character"),
        ("na\u{ef}ve: x", "invalid character"),
        ("X: a\r\n folded", "folded"),
        ("X: a\r\n\tfolded", "folded"),
        ("X: a\rb", "CR without LF"),
        ("X: a\nY: b", "LF without CR"),
        ("X: a\r\n\nY: b", "LF without CR"),
        ("X: a\0", "control"),
        ("X: a\x7f", "control"),
        ("X: a\r\n\r\nY: b", "bytes after"),
    ];
    all_fail(&rows, with_fields);
    all_fail(
        &[
            ("GET / HTTP/1.1\r\nHost: a", "no empty line"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX", "no empty line"),
        ],
        str::to_owned,
    );
    all_fail(&[(" X: before any field", "folded")], |field| {
        format!("GET / HTTP/1.1\r\n{field}\r\nHost: a\r\n\r\n")
    });
}

#[test]
fn a_request_line_has_one_shape() {
    let rows = [
        ("\r\n\r\nGET / HTTP/1.1", "method"),
        ("\nGET / HTTP/1.1", "method"),
        (" GET / HTTP/1.1", "method"),
        ("G@T / HTTP/1.1", "method"),
        ("GET\t/ HTTP/1.1", "method"),
        ("GET", "method"),
        ("GET  / HTTP/1.1", "more than one space"),
        ("GET  HTTP/1.1", "more than one space"),
        ("GET /  HTTP/1.1", "version"),
        ("GET /a b HTTP/1.1", "version"),
        ("GET / HTTP/1.1 ", "end in CRLF"),
        ("GET / HTTP/1.10", "end in CRLF"),
        ("GET / HTTP/1.1\n", "end in CRLF"),
        ("GET /", "no version"),
        ("GET / HTTP/2.0", "version"),
        ("GET / HTTP/1.2", "version"),
        ("GET / http/1.1", "version"),
        ("PRI * HTTP/2.0", "version"),
        ("GET /#top HTTP/1.1", "fragment"),
        ("GET /\t HTTP/1.1", "control"),
        ("GET /\0 HTTP/1.1", "control"),
        ("GET /\u{ef} HTTP/1.1", "ASCII"),
        ("GET * HTTP/1.1", "neither a path"),
        ("GET a HTTP/1.1", "neither a path"),
        ("GET a:80 HTTP/1.1", "neither a path"),
        ("GET ftp://a/ HTTP/1.1", "neither a path"),
        ("GET http:/a HTTP/1.1", "neither a path"),
        ("GET http:///a HTTP/1.1", "host in its target"),
        ("GET http://u@a/ HTTP/1.1", "host in its target"),
        ("GET http://a\\b/ HTTP/1.1", "host in its target"),
        ("CONNECT a HTTP/1.1", "CONNECT"),
        ("CONNECT / HTTP/1.1", "CONNECT"),
        ("CONNECT http://a:80/ HTTP/1.1", "CONNECT"),
    ];
    all_fail(&rows, with_line);
    all_fail(&[("", "method"), ("\r\n", "method")], str::to_owned);
}

#[test]
fn a_request_has_one_host() {
    let rows = [
        ("X: y", "no Host"),
        ("Host: a\r\nhost: a", "two Host"),
        ("Host:", "invalid Host"),
        ("Host: a b", "invalid Host"),
        ("Host: a,b", "invalid Host"),
        ("Host: a/b", "invalid Host"),
        ("Host: u@a", "invalid Host"),
        ("Host: a%2e", "invalid Host"),
        ("Host: a:", "invalid Host"),
        ("Host: a:+80", "invalid Host"),
        ("Host: a:65536", "invalid Host"),
        ("Host: a:80:80", "invalid Host"),
        ("Host: :80", "invalid Host"),
        ("Host: ::1", "invalid Host"),
        ("Host: [::1", "invalid Host"),
        ("Host: [::1]a", "invalid Host"),
        ("Host: [a]", "invalid Host"),
        ("Host: b", "differs"),
        ("Host: a:80", "differs"),
    ];
    all_fail(&rows, |field| format!("GET http://a/ HTTP/1.1\r\n{field}\r\n\r\n"));
}

#[test]
fn each_limit_is_the_last_that_passes() {
    let target = |length: usize| with_line(&format!("GET /{} HTTP/1.1", "a".repeat(length - 1)));
    assert_eq!(verdict(&target(64)), Ok(()));
    assert_eq!(verdict(&target(65)), Err(Fault::UriTooLong));
    assert_eq!(
        verdict(&target(4096)),
        Err(Fault::UriTooLong),
        "also where the head is too large for it"
    );

    let fields = |count: usize| with_fields(&vec!["X: y"; count - 1].join("\r\n"));
    assert_eq!(verdict(&fields(20)), Ok(()));
    assert_eq!(verdict(&fields(21)), Err(Fault::TooManyHeaders));

    let bytes = |length: usize| {
        with_fields(&format!("X: {}", "y".repeat(length - with_fields("X: ").len())))
    };
    assert_eq!(verdict(&bytes(2048)), Ok(()));
    assert_eq!(verdict(&bytes(2049)), Err(Fault::HeaderTooLarge));
}

prop_compose! {
    /// A head of the grammar we accept.
    pub(super) fn valid_head()(
        method in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}x",
        path in "/[!-\"$-~]{0,60}",
        host in r"[a-zA-Z0-9._~-]{1,20}(:[0-9]{1,4})?|\[::[0-9a-f]{1,4}\]",
        form in 0..3,
        framing in prop_oneof![
            Just(String::new()),
            "[Cc]ontent-[Ll]ength:[ \t]{0,2}[0-9]{1,19}[ \t]{0,2}\r\n",
            "[Tt]ransfer-[Ee]ncoding:[ \t]{0,2}[Cc]hunked[ \t]{0,2}\r\n",
        ],
        others in vec("x[!#$%&'*+.^_`|~0-9A-Za-z-]{0,9}:[ \t]?[\t -~\u{80}-\u{ff}]{0,30}\r\n", 0..9),
        place in any::<prop::sample::Index>(),
    ) -> String {
        let target = match form {
            0 if path.len() + host.len() < 50 => format!("http://{host}{path}"),
            _ => path,
        };
        let mut fields = others;
        fields.insert(place.index(fields.len() + 1), format!("hOSt: {host}\r\n"));
        fields.insert(place.index(fields.len() + 1), framing);
        format!("{method} {target} HTTP/1.1\r\n{}\r\n", fields.concat())
    }
}

proptest! {
    #[test]
    fn every_valid_head_passes(head in valid_head()) {
        prop_assert_eq!(verdict(&head), Ok(()));
    }

    #[test]
    fn a_stray_control_byte_anywhere_is_refused(
        head in valid_head(),
        stray in prop::sample::select(&b"\0\x0b\r\n\x1f\x7f"[..]),
        place in any::<prop::sample::Index>(),
    ) {
        let mut head = head.into_bytes();
        head.insert(place.index(head.len() + 1), stray);
        prop_assert!(matches!(check(&head, &limits()), Err(Fault::BadRequest(_))), "{}", head.escape_ascii());
    }

    #[test]
    fn a_head_that_is_cut_short_is_refused(head in valid_head(), place in any::<prop::sample::Index>()) {
        let cut = &head.as_bytes()[..place.index(head.len())];
        prop_assert!(matches!(check(cut, &limits()), Err(Fault::BadRequest(_))), "{}", cut.escape_ascii());
    }

    #[test]
    fn no_bytes_make_it_panic(head in vec(any::<u8>(), 0..200), after_a_line in any::<bool>()) {
        let head = if after_a_line { [b"GET / HTTP/1.1\r\n", &head[..]].concat() } else { head };
        // Most such heads are refused; what matters is that the call comes back.
        let _verdict = check(&head, &limits());
    }
}
