//! A request head of HTTP/1, read with strict eyes before anyone else reads it.
//!
//! Pingora parses the head as well, and is kinder than a proxy may be: it percent-encodes what it
//! finds in a target, drops Content-Length beside Transfer-Encoding, collapses equal lengths, ends
//! lines at a bare LF. Request smuggling lives in such kindness: two readers of one connection
//! disagree where a request ends. We cannot know how the service behind reads, so a head is handed
//! on only when there is one way to read it (RFC 9112), and nothing is repaired: a repaired head is
//! a third reading.
//!
//! Three deliberate choices. One empty line before the request line is let pass (section 2.2:
//! some clients send a CRLF after a body). Names of hosts are held to letters, digits and `-._~`:
//! the generic syntax of URIs allows more, no name in use needs it, and a comma or a percent sign
//! in a host is read differently from place to place. A target may hold any visible ASCII but `#`:
//! `|`, `{` and the like are not URIs, but browsers send them and they end nothing.

use weir_config::ListenerLimits;

pub(super) use self::{
    authority::{Authority, decimal},
    end::HeadEnd,
};
use self::{field::Field, framing::Framing, line::RequestLine};

mod authority;
pub(super) mod class;
mod end;
mod field;
mod framing;
pub(super) mod h2;
mod line;
#[cfg(test)]
pub(super) mod tests;

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

/// How the body that follows a head is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// None, or as many bytes as Content-Length says.
    Plain,
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Accepts a complete head, from the request line to the empty line, that has one reading only.
///
/// # Errors
/// The first [`Fault`] found. The target's length counts before the head's, so that one endless
/// target is a 414; what takes the whole head to tell comes last.
pub(super) fn check(head: &[u8], limits: &ListenerLimits) -> Result<Body, Fault> {
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

fn bad<T>(what: &'static str) -> Result<T, Fault> {
    Err(Fault::BadRequest(what))
}
