//! Where a request goes and where it ends: the fields that two readers must not read differently
//! (RFC 9112, sections 3.2 and 6).

use super::{
    Body, Fault,
    authority::{Authority, decimal},
    bad,
    class::trim,
    field::Field,
    line::RequestLine,
};

/// What the fields say so far.
#[derive(Default)]
pub(super) struct Framing<'a> {
    host: Option<&'a [u8]>,
    has_length: bool,
    is_chunked: bool,
}

impl<'a> Framing<'a> {
    /// Takes note of one field; all but four are none of our business.
    pub(super) fn note(&mut self, &Field { name, value }: &Field<'a>) -> Result<(), Fault> {
        // The length of a name tells nearly all fields from the four.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.note_host(value),
            10 if name.eq_ignore_ascii_case(b"connection") => note_connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.note_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.note_coding(value),
            _ => Ok(()),
        }
    }

    fn note_host(&mut self, value: &'a [u8]) -> Result<(), Fault> {
        if self.host.replace(value).is_some() {
            return bad("two Host fields");
        }
        if Authority::parse(value).is_none() {
            return bad("an invalid Host");
        }
        Ok(())
    }

    fn note_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if std::mem::replace(&mut self.has_length, true) {
            return bad("two Content-Length fields");
        }
        if decimal(value).is_none() {
            return bad("a Content-Length that is not one decimal number below 2^64");
        }
        Ok(())
    }

    fn note_coding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if std::mem::replace(&mut self.is_chunked, true) {
            return bad("two Transfer-Encoding fields");
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return bad("a Transfer-Encoding other than chunked");
        }
        Ok(())
    }

    /// What only the whole head can tell.
    pub(super) fn agree(&self, line: &RequestLine<'_>) -> Result<Body, Fault> {
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
            _ if self.is_chunked => Ok(Body::Chunked),
            _ => Ok(Body::Plain),
        }
    }
}

/// A hop drops the fields that `Connection` names (RFC 9110, section 7.6.1); others rely on these.
fn note_connection(value: &[u8]) -> Result<(), Fault> {
    let nominates_framing = value.split(|&byte| byte == b',').map(trim).any(|name| {
        [&b"host"[..], b"content-length", b"transfer-encoding"]
            .iter()
            .any(|kept| name.eq_ignore_ascii_case(kept))
    });
    if nominates_framing {
        return bad(
            "a Connection field that would remove Host, Content-Length or Transfer-Encoding",
        );
    }
    Ok(())
}
