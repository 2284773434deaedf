//! The request line: method, target, version, one space between them (RFC 9112, section 3).

use super::{
    Fault,
    authority::Authority,
    bad,
    class::{TARGET, TOKEN, span},
};

/// The first line, in parts that hold only the bytes they may hold.
pub(super) struct RequestLine<'a> {
    method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) is_http_1_0: bool,
}

impl<'a> RequestLine<'a> {
    /// Reads the line at the start of `head`; gives it back with what follows.
    pub(super) fn read(head: &'a [u8]) -> Result<(Self, &'a [u8]), Fault> {
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
    pub(super) fn authority(&self) -> Result<Option<&'a [u8]>, Fault> {
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

fn strip_scheme<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
