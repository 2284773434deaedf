//! A head that arrived as fields (HTTP/2).
//!
//! The h2 crate and Pingora refuse most of what RFC 9113 forbids before a stream is handed over.
//! The rest is refused here, by the same classes of bytes as a head of HTTP/1, since it may become
//! one on its way to the service behind; and how much of it is taken is ours to say.
//!
//! What nobody here can see is a fragment in `:path`: the h2 crate has cut it off by then.

use http::{HeaderValue, Method, header};
use pingora::http::RequestHeader;
use weir_config::ListenerLimits;

use super::{
    Authority, Fault,
    class::{self, TARGET},
};

/// What RFC 9113 (section 10.5.1) counts for each field beyond its name and value.
const FIELD_OVERHEAD: usize = 32;

/// Accepts a head that is within the limits and has one reading only.
///
/// # Errors
/// The first [`Fault`] found; limits come first.
pub(in crate::proxy) fn check(
    request: &RequestHeader,
    limits: &ListenerLimits,
) -> Result<(), Fault> {
    let target = request.uri.path_and_query().map_or("", |target| target.as_str());
    check_size(request, target, limits)?;
    // CONNECT has no path, and is answered for what it is.
    if request.method != Method::CONNECT {
        check_target(request, target)?;
    }
    check_authority(request)?;
    if request.headers.values().any(has_outer_white_space) {
        return Err(Fault::BadRequest("white space around a field value"));
    }
    Ok(())
}

fn check_size(request: &RequestHeader, target: &str, limits: &ListenerLimits) -> Result<(), Fault> {
    if target.len() as u64 > limits.uri_bytes.get() {
        return Err(Fault::UriTooLong);
    }
    if request.headers.len() > limits.headers.get() as usize {
        return Err(Fault::TooManyHeaders);
    }
    let fields = request.headers.iter();
    let bytes: usize =
        fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD).sum();
    if (bytes + target.len()) as u64 > limits.header_bytes.get() {
        return Err(Fault::HeaderTooLarge);
    }
    Ok(())
}

/// A path, or the asterisk of OPTIONS (RFC 9113, section 8.3.1).
fn check_target(request: &RequestHeader, target: &str) -> Result<(), Fault> {
    if !target.starts_with('/') && (target != "*" || request.method != Method::OPTIONS) {
        return Err(Fault::BadRequest("a :path that is not a path"));
    }
    if !target.bytes().all(|byte| class::is(byte, TARGET)) {
        return Err(Fault::BadRequest("a byte in its :path that no target may hold"));
    }
    Ok(())
}

/// Pingora has seen to it that there is one, and that `:authority` and Host agree.
fn check_authority(request: &RequestHeader) -> Result<(), Fault> {
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = request.headers.get(header::HOST).map(HeaderValue::as_bytes);
    if [authority, host].into_iter().flatten().any(|host| Authority::parse(host).is_none()) {
        return Err(Fault::BadRequest("an invalid :authority or Host"));
    }
    Ok(())
}

/// RFC 9113, section 8.2.1.
fn has_outer_white_space(value: &HeaderValue) -> bool {
    matches!(value.as_bytes(), [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

#[cfg(test)]
mod tests {
    use super::{super::tests::limits, *};

    fn request(method: &str, uri: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        RequestHeader::from(request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn what_clients_send_passes() {
        for request in [
            request("GET", "http://a/", &[]),
            request(
                "GET",
                "http://[::1]:80/a?b=c|d",
                &[("host", "[::1]:80"), ("x", "a  b"), ("y", "")],
            ),
            request("OPTIONS", "*", &[("host", "a")]),
            request("CONNECT", "a:443", &[]),
        ] {
            assert_eq!(check(&request, &limits()), Ok(()), "{request:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (request, said) in [
            (request("GET", "*", &[("host", "a")]), "not a path"),
            (request("GET", "http://a/\u{e9}", &[]), "no target may hold"),
            (request("GET", "http://a,b/", &[]), "invalid :authority"),
            (request("GET", "/", &[("host", "a,b")]), "invalid :authority"),
            (request("CONNECT", "a,b:443", &[]), "invalid :authority"),
            (request("GET", "http://a/", &[("x", " y")]), "white space"),
            (request("GET", "http://a/", &[("x", "y\t")]), "white space"),
            (request("GET", "http://a/", &[("x", " ")]), "white space"),
        ] {
            let Err(Fault::BadRequest(what)) = check(&request, &limits()) else {
                panic!("{request:?} is let pass");
            };
            assert!(what.contains(said), "{request:?}: {what:?} says nothing of {said:?}");
        }
    }

    #[test]
    fn each_limit_is_the_last_that_passes() {
        let target = |length: usize| request("GET", &format!("/{}", "a".repeat(length - 1)), &[]);
        assert_eq!(check(&target(64), &limits()), Ok(()));
        assert_eq!(check(&target(65), &limits()), Err(Fault::UriTooLong));

        let fields = |count: usize| request("GET", "http://a/", &vec![("x", "y"); count]);
        assert_eq!(check(&fields(20), &limits()), Ok(()));
        assert_eq!(check(&fields(21), &limits()), Err(Fault::TooManyHeaders));

        let bytes = |length: usize| {
            let value = "y".repeat(length - FIELD_OVERHEAD - "/x".len());
            request("GET", "http://a/", &[("x", &value)])
        };
        assert_eq!(check(&bytes(2048), &limits()), Ok(()));
        assert_eq!(check(&bytes(2049), &limits()), Err(Fault::HeaderTooLarge));
    }
}
