//! A request head of HTTP/1, read once more with strict eyes.
//!
//! Pingora has parsed the head by now, and is kinder than a proxy may be: it drops Content-Length
//! beside Transfer-Encoding, collapses equal lengths, ends lines at a bare LF. Request smuggling
//! lives in such kindness: two readers of one connection disagree where a request ends. We cannot
//! know how the service behind reads, so a head passes only when there is one way to read it
//! (RFC 9112), and nothing is repaired: a repaired head is a third reading.
//!
//! Three deliberate choices. One empty line before the request line is let pass (section 2.2:
//! some clients send a CRLF after a body). Names of hosts are held to letters, digits and `-._~`:
//! the generic syntax of URIs allows more, no name in use needs it, and a comma or a percent sign
//! in a host is read differently from place to place. A target may hold any visible ASCII but `#`:
//! `|`, `{` and the like are not URIs, but browsers send them and they end nothing.

use std::net::Ipv6Addr;

use weir_config::ListenerLimits;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Malformed or ambiguous: 400. The words complete "the request has ...".
    BadRequest(&'static str),
    /// The target is longer than `limits.uri_bytes`: 414.
    UriTooLong,
    /// More fields than `limits.headers`: 431.
    TooManyHeaders,
    /// The head is longer than `limits.header_bytes`: 431.
    HeaderTooLarge,
}

/// Accepts a complete head, from the request line to the empty line, that has one reading only.
///
/// # Errors
/// The first [`Fault`] found. The target's length counts before the head's, so that one endless
/// target is a 414; what takes the whole head to tell comes last.
pub(super) fn check(head: &[u8], limits: &ListenerLimits) -> Result<(), Fault> {
    let (line, mut rest) = RequestLine::read(head.strip_prefix(b"\r\n").unwrap_or(head))?;
    if line.target.len() as u64 > limits.uri_bytes.get() {
        return Err(Fault::UriTooLong);
    }
    if head.len() as u64 > limits.header_bytes.get() {
        return Err(Fault::HeaderTooLarge);
    }
    let mut framing = Framing::default();
    let mut count = 0;
    while !rest.starts_with(b"\r\n") {
        let (field, after) = Field::read(rest)?;
        count += 1;
        if count > limits.headers.get() {
            return Err(Fault::TooManyHeaders);
        }
        framing.note(&field)?;
        rest = after;
    }
    if rest.len() > 2 {
        return bad("bytes after its header");
    }
    framing.agree(&line)
}

/// The first line, in parts that hold only the bytes they may hold.
struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    is_http_1_0: bool,
}

impl<'a> RequestLine<'a> {
    /// Reads the line at the start of `head`; gives it back with what follows.
    fn read(head: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let (method, rest) = head.split_at(span(head, TOKEN));
        let rest = match rest.strip_prefix(b" ") {
            Some(rest) if !method.is_empty() => rest,
            _ => return bad("an invalid method"),
        };
        let (target, rest) = rest.split_at(span(rest, TARGET));
        let rest = match rest.first() {
            Some(b' ') if !target.is_empty() => &rest[1..],
            Some(b' ') => {
                return bad("more than one space in its request line, or an empty target");
            }
            Some(b'#') => return bad("a fragment in its target"),
            Some(0x80..) => return bad("a byte in its target that is not ASCII"),
            Some(b'\r' | b'\n') | None => return bad("no version in its request line"),
            Some(_) => return bad("a control character in its target"),
        };
        let is_http_1_0 = rest.starts_with(b"HTTP/1.0");
        if !is_http_1_0 && !rest.starts_with(b"HTTP/1.1") {
            return bad("a version other than HTTP/1.0 and HTTP/1.1");
        }
        let Some(rest) = rest[8..].strip_prefix(b"\r\n") else {
            return bad("a request line that does not end in CRLF after the version");
        };
        Ok((Self { method, target, is_http_1_0 }, rest))
    }

    /// The authority of the target, where its form has one (RFC 9112, section 3.2).
    fn authority(&self) -> Result<Option<&'a [u8]>, Fault> {
        if self.method == b"CONNECT" {
            return match Authority::parse(self.target) {
                Some(Authority { has_port: true }) => Ok(None),
                _ => bad("a CONNECT target that is not host:port"),
            };
        }
        if self.target.starts_with(b"/") || (self.target == b"*" && self.method == b"OPTIONS") {
            return Ok(None);
        }
        let Some(rest) = strip_scheme(self.target, b"http://")
            .or_else(|| strip_scheme(self.target, b"https://"))
        else {
            return bad("a target that is neither a path nor an http or https URL");
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        match Authority::parse(&rest[..end]) {
            Some(_) => Ok(Some(&rest[..end])),
            None => bad("an invalid host in its target"),
        }
    }
}

/// One field line; the white space around its value is taken off.
struct Field<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Reads the line at the start of `head`; gives it back with what follows.
    fn read(head: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
        let (name, rest) = head.split_at(span(head, TOKEN));
        match rest.first() {
            Some(b':') if !name.is_empty() => {}
            Some(b':') => return bad("an empty field name"),
            Some(b' ' | b'\t') if name.is_empty() => return bad("a folded field line"),
            Some(b' ' | b'\t') => return bad("white space in or after a field name"),
            Some(b'\r' | b'\n') if !name.is_empty() => return bad("a field line without a colon"),
            Some(b'\r') => return bad("a CR without LF"),
            Some(b'\n') => return bad("an LF without CR"),
            Some(_) => return bad("an invalid character in a field name"),
            None => return bad("no empty line at its end"),
        }
        let rest = &rest[1..];
        let (value, rest) = rest.split_at(span(rest, VALUE));
        match rest {
            [b'\r', b'\n', rest @ ..] => Ok((Self { name, value: trim(value) }, rest)),
            [b'\r', ..] => bad("a CR without LF"),
            [b'\n', ..] => bad("an LF without CR"),
            [_, ..] => bad("a control character in a field value"),
            [] => bad("no empty line at its end"),
        }
    }
}

/// What the fields say of where the request goes and where it ends.
#[derive(Default)]
struct Framing<'a> {
    host: Option<&'a [u8]>,
    has_length: bool,
    is_chunked: bool,
}

impl<'a> Framing<'a> {
    /// Takes note of one field; all but four are none of our business.
    fn note(&mut self, &Field { name, value }: &Field<'a>) -> Result<(), Fault> {
        if name.eq_ignore_ascii_case(b"host") {
            if self.host.replace(value).is_some() {
                return bad("two Host fields");
            }
            if Authority::parse(value).is_none() {
                return bad("an invalid Host");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if std::mem::replace(&mut self.has_length, true) {
                return bad("two Content-Length fields");
            }
            if decimal(value).is_none() {
                return bad("a Content-Length that is not one decimal number below 2^64");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if std::mem::replace(&mut self.is_chunked, true) {
                return bad("two Transfer-Encoding fields");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return bad("a Transfer-Encoding other than chunked");
            }
        } else if name.eq_ignore_ascii_case(b"connection") && nominates_framing(value) {
            return bad(
                "a Connection field that would remove Host, Content-Length or Transfer-Encoding",
            );
        }
        Ok(())
    }

    /// What only the whole head can tell.
    fn agree(&self, line: &RequestLine<'_>) -> Result<(), Fault> {
        let in_target = line.authority()?;
        if self.has_length && self.is_chunked {
            return bad("both Content-Length and Transfer-Encoding");
        }
        if self.is_chunked && line.is_http_1_0 {
            return bad("Transfer-Encoding in HTTP/1.0");
        }
        match (in_target, self.host) {
            (_, None) if !line.is_http_1_0 => bad("no Host"),
            (Some(in_target), Some(host)) if in_target != host => {
                bad("a Host that differs from its target's")
            }
            _ => Ok(()),
        }
    }
}

/// A host, with or without a port, and nothing else.
struct Authority {
    has_port: bool,
}

impl Authority {
    /// Reads `host [":" port]`; takes no userinfo, no empty host, no empty port.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let host = match bytes.strip_prefix(b"[") {
            Some(rest) => {
                let end = rest.iter().position(|&byte| byte == b']')?;
                str::from_utf8(&rest[..end]).ok()?.parse::<Ipv6Addr>().ok()?;
                &bytes[..end + 2]
            }
            None => &bytes[..span(bytes, HOST)],
        };
        match &bytes[host.len()..] {
            _ if host.is_empty() => None,
            [] => Some(Self { has_port: false }),
            [b':', port @ ..] => {
                let is_port = decimal(port).is_some_and(|port| port <= u64::from(u16::MAX));
                is_port.then_some(Self { has_port: true })
            }
            _ => None,
        }
    }
}

/// `1*DIGIT` that fits; `str::parse` would take a plus sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, &digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Whether a hop would drop a field that others rely on (RFC 9110, section 7.6.1).
fn nominates_framing(connection: &[u8]) -> bool {
    connection.split(|&byte| byte == b',').map(trim).any(|name| {
        [&b"host"[..], b"content-length", b"transfer-encoding"]
            .iter()
            .any(|kept| name.eq_ignore_ascii_case(kept))
    })
}

fn strip_scheme<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Takes optional white space off: SP and HTAB only, where `trim_ascii` would take more.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn bad<T>(what: &'static str) -> Result<T, Fault> {
    Err(Fault::BadRequest(what))
}

/// How many bytes at the start belong to `class`.
fn span(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| CLASS[usize::from(byte)] & class == 0).unwrap_or(bytes.len())
}

/// `tchar` (RFC 9110, section 5.6.2).
const TOKEN: u8 = 1;
/// What a target may hold.
const TARGET: u8 = 2;
/// What a field value may hold: all but controls; HTAB and the bytes above ASCII are fine (section 5.5).
const VALUE: u8 = 4;
/// What the name of a host, or an IPv4 address, may hold.
const HOST: u8 = 8;

/// Which classes each byte belongs to.
const CLASS: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        let mut class = 0;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            class |= TOKEN | HOST;
        }
        if matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'^' | b'`' | b'|'
        ) {
            class |= TOKEN;
        }
        if byte.is_ascii_graphic() && byte != b'#' {
            class |= TARGET;
        }
        if byte == b'\t' || !byte.is_ascii_control() {
            class |= VALUE;
        }
        classes[byte as usize] = class;
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::{collection::vec, prelude::*};
    use weir_config::ByteSize;

    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    fn limits() -> ListenerLimits {
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
        check(head.as_bytes(), &limits())
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
        all_pass([
            "GET / HTTP/1.0\r\n\r\n".to_owned(),
            "GET http://a/ HTTP/1.0\r\n\r\n".to_owned(),
        ]);
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
        let target =
            |length: usize| with_line(&format!("GET /{} HTTP/1.1", "a".repeat(length - 1)));
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
        fn valid_head()(
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
}
