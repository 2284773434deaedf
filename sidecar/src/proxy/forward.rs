//! What of a header is passed on, and what is added.
//!
//! Hop-by-hop fields end here, in both directions (RFC 9110, section 7.6.1); only WebSocket upgrades
//! go through. Forwarding fields of a peer that is not trusted are replaced, not appended to.
//! `traceparent`, `tracestate` and `baggage` are never touched.

use std::{io::Write, net::IpAddr};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};
use pingora::http::{RequestHeader, ResponseHeader};
use weir_config::Protocol;

use super::{exchange::Exchange, faults, head::decimal, refuse::Refusal, worker::Worker};
use crate::{clock, plan::Route, reason::Reason};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_WEIR_FAULT: HeaderName = HeaderName::from_static("x-weir-fault");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Fields that we may add to a request.
const ADDED: usize = 8;

/// What the upstream is sent for a client's request.
///
/// # Errors
/// A refusal when the request names no host where one is needed.
pub(super) fn request(
    exchange: &Exchange,
    from: &RequestHeader,
    has_body: bool,
    protocol: Protocol,
) -> Result<Box<RequestHeader>, Refusal> {
    let authority = authority(from);
    let mut headers = HeaderMap::with_capacity(from.headers.len() + ADDED);
    let nominated = nominated(&from.headers);
    for (name, value) in &from.headers {
        let ends = ends_here(name)
            || *name == header::HOST
            || nominated.contains(name)
            || exchange.route.as_ref().is_some_and(|route| faults::asks(route, name));
        if !ends && (exchange.trusted || !counts_only_from_trusted(exchange, name)) {
            headers.append(name, value.clone());
        }
    }
    add_forwarding(exchange, from, &authority, &mut headers);
    let path = from.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let (uri, version) = match protocol {
        Protocol::H1 => {
            frame_h1(from, has_body, &mut headers);
            join_cookies(&mut headers);
            headers.insert(header::HOST, authority);
            (Uri::from(path), Version::HTTP_11)
        }
        Protocol::H2 => {
            if from.version == Version::HTTP_2 && has_token(&from.headers, &header::TE, b"trailers")
            {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
            let tls = exchange.route.as_ref().is_some_and(|route| route.upstream.tls.is_some());
            (absolute(path, &authority, tls)?, Version::HTTP_2)
        }
    };
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = from.method.clone();
    parts.uri = uri;
    parts.version = version;
    parts.headers = headers;
    Ok(Box::new(RequestHeader::from(parts)))
}

/// Says how much time is left as this try begins, where the caller said how much it had. Of a stream that
/// is the caller's time alone: the route's own ends at the answer's header.
pub(super) fn hand_on_deadline(exchange: &Exchange, route: &Route, header: &mut RequestHeader) {
    let until = match route.stream {
        true => exchange.asked.of_stream(),
        false => Some(exchange.deadline.at),
    };
    if let Some(until) = until {
        exchange.asked.hand_on(header, until, clock::now());
    }
}

/// The length or the chunks of a body, and the one upgrade that passes.
fn frame_h1(from: &RequestHeader, has_body: bool, headers: &mut HeaderMap) {
    if is_websocket(from) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    if has_body && !headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// h2 clients send each cookie in a line of its own; h1 has one line (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for line in [second].into_iter().chain(lines) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(line.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(header::COOKIE, joined);
    }
}

fn add_forwarding(
    exchange: &Exchange,
    from: &RequestHeader,
    authority: &HeaderValue,
    headers: &mut HeaderMap,
) {
    if let Some(peer) = exchange.peer {
        let hops = hops(headers, peer);
        headers.insert(X_FORWARDED_FOR, hops);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if !authority.is_empty() {
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| authority.clone());
    }
    headers.entry(X_REQUEST_ID).or_insert_with(|| request_id(&exchange.worker));
    headers.append(header::VIA, via(from.version));
}

/// Those who forwarded the request, and `peer` as the last of them.
fn hops(headers: &HeaderMap, peer: IpAddr) -> HeaderValue {
    let mut hops = Vec::with_capacity(40);
    for line in headers.get_all(&X_FORWARDED_FOR) {
        hops.extend_from_slice(line.as_bytes());
        hops.extend_from_slice(b", ");
    }
    // A Vec takes every write; an address and what was a value before are a value.
    write!(hops, "{}", peer.to_canonical()).unwrap_or_default();
    HeaderValue::from_maybe_shared(Bytes::from(hops)).unwrap_or(HeaderValue::from_static("unknown"))
}

/// 128 random bits in hexadecimal.
fn request_id(worker: &Worker) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = u128::from(worker.random()) << 64 | u128::from(worker.random());
    let digits: [u8; 32] = std::array::from_fn(|place| DIGITS[(bits >> (4 * place)) as usize & 15]);
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("none"))
}

/// What the client is sent for an upstream's response header; whether it can tell where the message ends
/// without the connection's end.
///
/// `bodiless` is set when the message has no body by its nature.
pub(super) fn response(
    response: &mut ResponseHeader,
    request: &RequestHeader,
    bodiless: bool,
) -> bool {
    let via = via(response.version);
    let upgraded = response.status == StatusCode::SWITCHING_PROTOCOLS;
    for name in nominated(&response.headers) {
        response.remove_header(&name);
    }
    let chunked = response.headers.contains_key(header::TRANSFER_ENCODING);
    for name in [KEEP_ALIVE, PROXY_CONNECTION, header::CONNECTION, header::TRANSFER_ENCODING] {
        response.remove_header(&name);
    }
    if upgraded {
        put(response, header::CONNECTION, HeaderValue::from_static("Upgrade"));
    } else {
        response.remove_header(&header::UPGRADE);
    }
    if response.status.is_informational() {
        return true;
    }
    response.set_version(Version::HTTP_11);
    // RFC 9110, section 8.6, and RFC 9112, section 6.1: a 204 has neither.
    let unframed = response.status == StatusCode::NO_CONTENT;
    if unframed {
        response.remove_header(&header::CONTENT_LENGTH);
    }
    keep_one_length(response);
    let framed = response.headers.contains_key(header::CONTENT_LENGTH);
    // A HEAD is answered with the fields that a GET would have had.
    let framing = !unframed && (chunked || (!framed && !bodiless));
    if framing && request.version == Version::HTTP_11 {
        put(response, header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    // Values of fields that exist are valid; the answer goes out without `Via` were this one not.
    response.append_header(header::VIA, via).unwrap_or_default();
    framed || bodiless || request.version != Version::HTTP_10
}

/// Whoever says the same length twice is not asked to be believed twice.
fn keep_one_length(response: &mut ResponseHeader) {
    let mut lengths = tokens(&response.headers, &header::CONTENT_LENGTH);
    let Some(first) = lengths.next().and_then(decimal) else { return };
    if lengths.next().is_some() {
        drop(lengths);
        put(response, header::CONTENT_LENGTH, HeaderValue::from(first));
    }
}

/// Whether there is one way to tell where an upstream's answer ends. It has no transfer coding but
/// `chunked`, once: any other would have to be undone, since it ends here and the client would take what
/// it coded for the answer. And its lengths, should there be several, are the same.
pub(super) fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = tokens(headers, &header::TRANSFER_ENCODING);
    let mut lengths = tokens(headers, &header::CONTENT_LENGTH);
    let first = lengths.next();
    codings.next().is_none_or(|first| first.eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
        && first.is_none_or(|first| decimal(first).is_some() && lengths.all(|other| other == first))
}

/// The code that a gRPC upstream ends with, in a header block or in trailers.
pub(super) fn grpc_status(headers: &HeaderMap) -> Option<u16> {
    headers.get(&GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// Whether this asks for the one upgrade that is passed on.
pub(super) fn is_websocket(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11
        && request.method == Method::GET
        && request
            .headers
            .get(header::UPGRADE)
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && has_token(&request.headers, &header::CONNECTION, b"upgrade")
}

fn ends_here(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HTTP2_SETTINGS,
    ]
    .contains(name)
}

fn counts_only_from_trusted(exchange: &Exchange, name: &HeaderName) -> bool {
    let priority = || exchange.route.as_ref()?.priority.header.as_deref();
    [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, FORWARDED, X_WEIR_FAULT].contains(name)
        || priority() == Some(name.as_str())
}

/// Fields that `Connection` says end here too; most messages name none.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for token in tokens(headers, &header::CONNECTION) {
        let known = [&b"close"[..], b"keep-alive", b"upgrade"];
        if known.iter().any(|known| token.eq_ignore_ascii_case(known)) {
            continue;
        }
        names.extend(HeaderName::from_bytes(token));
    }
    names
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &[u8]) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

/// Host and port as they were asked for; empty where a request names none (HTTP/1.0).
fn authority(from: &RequestHeader) -> HeaderValue {
    let of_target =
        from.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    of_target
        .or_else(|| from.headers.get(header::HOST).cloned())
        .unwrap_or(HeaderValue::from_static(""))
}

fn absolute(path: PathAndQuery, authority: &HeaderValue, tls: bool) -> Result<Uri, Refusal> {
    let authority = Authority::try_from(authority.as_bytes()).map_err(|_| {
        Refusal::new(Reason::BadRequest, "the request names no host, which an h2 upstream needs")
    })?;
    let mut parts = Parts::default();
    parts.scheme = Some(if tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    parts.path_and_query = Some(if path == "*" { PathAndQuery::from_static("/") } else { path });
    Uri::from_parts(parts).map_err(|error| {
        Refusal::new(
            Reason::BadRequest,
            format!("the request target cannot be sent over h2: {error}"),
        )
    })
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 weir",
        Version::HTTP_10 => "1.0 weir",
        _ => "1.1 weir",
    })
}

fn put(response: &mut ResponseHeader, name: HeaderName, value: HeaderValue) {
    // Known names with static values cannot be refused.
    response.insert_header(name, value).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/a?b=c", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    #[test]
    fn only_a_complete_websocket_handshake_is_an_upgrade() {
        for (fields, expected) in [
            (&[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")][..], true),
            (&[("upgrade", "WebSocket"), ("connection", "upgrade")], true),
            (&[("upgrade", "websocket")], false),
            (&[("upgrade", "h2c"), ("connection", "upgrade")], false),
        ] {
            assert_eq!(is_websocket(&get(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn connection_names_what_ends_here() {
        let request =
            get(&[("connection", "close, X-Secret, keep-alive"), ("connection", "x-other")]);
        assert_eq!(nominated(&request.headers), ["x-secret", "x-other"]);
    }

    #[test]
    fn a_response_is_framed_for_its_client() {
        let check =
            |version, fields: &[(&'static str, &'static str)], bodiless, framing: Option<&str>| {
                let mut request = get(&[]);
                request.set_version(version);
                let mut head = ResponseHeader::build(200, None).unwrap();
                for (name, value) in fields {
                    head.append_header(*name, *value).unwrap();
                }
                response(&mut head, &request, bodiless);
                let sent =
                    head.headers.get("transfer-encoding").map(|value| value.to_str().unwrap());
                assert_eq!(sent, framing, "{version:?} {fields:?}");
                assert!(head.headers.get("keep-alive").is_none());
                assert_eq!(head.headers["via"], "1.1 weir");
            };
        check(
            Version::HTTP_11,
            &[("transfer-encoding", "chunked"), ("keep-alive", "timeout=5")],
            false,
            Some("chunked"),
        );
        check(Version::HTTP_11, &[("content-length", "3")], false, None);
        check(Version::HTTP_11, &[], false, Some("chunked"));
        check(Version::HTTP_11, &[], true, None);
        check(Version::HTTP_10, &[("transfer-encoding", "chunked")], false, None);
    }

    #[test]
    fn a_204_is_sent_without_any_framing() {
        for (name, value) in [("content-length", "3"), ("transfer-encoding", "chunked")] {
            let mut head = ResponseHeader::build(204, None).unwrap();
            head.append_header(name, value).unwrap();
            response(&mut head, &get(&[]), true);
            assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["via"], "{name}");
        }
    }

    #[test]
    fn an_answer_ends_in_one_way() {
        for (fields, expected) in [
            (&[][..], true),
            (&[("transfer-encoding", "chunked")], true),
            (&[("transfer-encoding", "Chunked ")], true),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")], false),
            (&[("transfer-encoding", "chunked, chunked")], false),
            (&[("transfer-encoding", "identity")], false),
            (&[("transfer-encoding", "")], false),
            (&[("content-length", "2")], true),
            (&[("content-length", "2, 2")], true),
            (&[("content-length", "2"), ("content-length", "2")], true),
            (&[("content-length", "2"), ("content-length", "3")], false),
            (&[("content-length", "2,")], false),
            (&[("content-length", "+2")], false),
            (&[("content-length", "")], false),
        ] {
            assert_eq!(is_plainly_framed(&get(fields).headers), expected, "{fields:?}");
        }
    }

    #[test]
    fn an_h2_target_needs_a_host() {
        let path = || PathAndQuery::from_static("/a?b=c");
        let uri = absolute(path(), &HeaderValue::from_static("app:80"), false).unwrap();
        assert_eq!(uri.to_string(), "http://app:80/a?b=c");
        assert!(absolute(path(), &HeaderValue::from_static(""), false).is_err());
    }
}
