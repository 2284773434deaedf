//! What tells one caller from another, for the rate limits.
//!
//! A caller must not come by a fresh bucket by sending the same key in another form. Which forms are
//! the same is for the service behind to say, and services differ: so the reading here takes more
//! forms for one than any of them does. Two honest callers whose keys differ only in that are not to
//! be expected, and would share a bucket.
//!
//! Services also differ in which value they read when a key is sent more than once, so each value is
//! debited. One hash of them all would be a fresh bucket for each companion that a caller invents;
//! the first alone, or the last, would be one for whoever stands before a service that reads the other.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, header};
use percent_encoding::percent_decode;
use pingora::http::RequestHeader;
use smallvec::{SmallVec, smallvec};
use weir_config::Key;
use weir_policy::LeaseKey;

use super::{exchange::Exchange, worker::Worker};
use crate::{observe::words::NONE, plan::Rate, store::Limit};

/// Values of one key that a request may have. One with more counts as one without the key: it must
/// not fill the table of buckets, and the bucket of those without is one.
const VALUES: usize = 4;

/// The keyed hashes of the values of one key.
type Hashes<H> = SmallVec<[H; VALUES]>;

/// The keyed hash of each value of each key, with the place of the key in `per`.
pub(super) fn values(
    exchange: &Exchange,
    per: &[Key],
    request: &RequestHeader,
) -> impl Iterator<Item = (usize, u64)> {
    let hash = |kind, value: &[u8]| exchange.worker.hash(kind, value);
    per.iter().enumerate().flat_map(move |(place, key)| {
        hashes(exchange, key, request, hash).into_iter().map(move |hash| (place, hash))
    })
}

/// The same for a limit that is shared, each with the hash that other sidecars have for it too.
pub(super) fn shared(
    exchange: &Exchange,
    rate: &Rate,
    limit: &Limit,
    request: &RequestHeader,
) -> SmallVec<[LeaseKey; 2]> {
    let mut keys = SmallVec::new();
    for (index, key) in rate.settings.per.iter().enumerate() {
        let locals =
            hashes(exchange, key, request, |kind, value| exchange.worker.hash(kind, value));
        let stores = hashes(exchange, key, request, |kind, value| limit.hash(index, kind, value));
        let pairs = locals.into_iter().zip(stores);
        keys.extend(pairs.map(|(local, store)| LeaseKey { index, local, store }));
    }
    keys
}

fn hashes<H: Copy + PartialEq>(
    exchange: &Exchange,
    key: &Key,
    request: &RequestHeader,
    hash: impl Fn(u8, &[u8]) -> H,
) -> Hashes<H> {
    let headers = &request.headers;
    let hashes = match key {
        Key::Route => None,
        Key::Client { v6_prefix } => {
            exchange.client.map(|address| smallvec![hash(CLIENT, &client_key(address, *v6_prefix))])
        }
        Key::Header(name) => {
            let values = headers.get_all(name).iter();
            different(values.map(|value| hash(HEADER, value.as_bytes())))
        }
        Key::Cookie(name) => different(cookies(headers, name).map(|value| hash(COOKIE, &value))),
        Key::Query(name) => {
            let query = request.uri.query().unwrap_or_default();
            different(parameters(query, name).map(|value| hash(QUERY, &value)))
        }
    };
    hashes.unwrap_or_else(|| smallvec![hash(WITHOUT, b"")])
}

/// The keyed hash of one value of a key, for what wants to tell callers apart and has no use for more.
pub(super) fn first(exchange: &Exchange, key: &Key, request: &RequestHeader) -> u64 {
    hashes(exchange, key, request, |kind, value| exchange.worker.hash(kind, value))[0]
}

/// Kinds of values, so that the same bytes of two kinds have two hashes. Sidecars of other versions may
/// share a limit with this one: they stay what they are.
const WITHOUT: u8 = 0;
const CLIENT: u8 = 1;
const HEADER: u8 = 2;
const COOKIE: u8 = 3;
const QUERY: u8 = 4;

/// The hash that stands for requests without the key.
fn without(worker: &Worker) -> u64 {
    worker.hash(WITHOUT, b"")
}

/// A key as `/explain` names it, such as `header:x-api-key`.
pub(super) fn key_name(key: &Key) -> String {
    match key {
        Key::Route => "route".to_owned(),
        Key::Client { .. } => "client".to_owned(),
        Key::Header(name) => format!("header:{name}"),
        Key::Cookie(name) => format!("cookie:{name}"),
        Key::Query(name) => format!("query:{name}"),
    }
}

/// A hash as `/explain` shows it, which tells callers apart and nobody who they are.
pub(super) fn shown(worker: &Worker, hash: u64) -> String {
    if hash == without(worker) { NONE.to_owned() } else { format!("{hash:016x}") }
}

/// Each hash once; `None` when there is none, or too many.
fn different<H: Copy + PartialEq>(hashes: impl Iterator<Item = H>) -> Option<Hashes<H>> {
    let mut different = Hashes::new();
    for hash in hashes {
        if different.contains(&hash) {
            continue;
        }
        if different.len() == VALUES {
            return None;
        }
        different.push(hash);
    }
    (!different.is_empty()).then_some(different)
}

/// The values of a query parameter. `;` parts parameters as well: Rack 2 and older Pythons read so.
fn parameters<'a>(query: &'a str, name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let parameters = query.as_bytes().split(|byte| matches!(byte, b'&' | b';'));
    parameters.filter_map(move |parameter| {
        let (called, value) = halves(parameter);
        is(called, name).then(|| decoded(value))
    })
}

/// The values of a cookie.
fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).filter_map(move |cookie| {
        let (called, value) = halves(cookie);
        let value = value.trim_ascii();
        let quoted = || value.strip_prefix(b"\"")?.strip_suffix(b"\"");
        is(called, name).then(|| match quoted() {
            Some(quoted) if quoted.contains(&b'\\') => {
                decoded(&unescaped(quoted)).into_owned().into()
            }
            Some(quoted) => decoded(quoted),
            None => decoded(value),
        })
    })
}

/// Name and value.
fn halves(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

/// Whether something goes by a name; ASP.NET takes it in any case.
fn is(called: &[u8], name: &str) -> bool {
    decoded(called).trim_ascii().eq_ignore_ascii_case(name.as_bytes())
}

/// Without percent signs, and with `+` as the space that it is in forms.
fn decoded(written: &[u8]) -> Cow<'_, [u8]> {
    if !written.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return written.into();
    }
    let spaced = written.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte });
    percent_decode(&spaced.collect::<Vec<_>>()).collect::<Vec<_>>().into()
}

/// Without the backslashes that Python writes, and reads, between quotes: `\"`, and `\054` in octal.
fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    loop {
        rest = match rest {
            [b'\\', high @ b'0'..=b'3', middle @ b'0'..=b'7', low @ b'0'..=b'7', rest @ ..] => {
                bytes.push((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'));
                rest
            }
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
            [] => return bytes,
        }
    }
}

/// The address that stands for a client in a rate limit: IPv6 cut to its prefix.
fn client_key(address: IpAddr, v6_prefix: u8) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => {
            let cut = u128::MAX.checked_shl(128 - u32::from(v6_prefix)).unwrap_or(0);
            (u128::from(v6) & cut).to_be_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: impl Iterator<Item = impl AsRef<[u8]>>, expected: &[&str], written: &str) {
        let found: Vec<_> =
            found.map(|value| String::from_utf8_lossy(value.as_ref()).into_owned()).collect();
        assert_eq!(found, expected, "{written}");
    }

    #[test]
    fn parameters_are_found_in_every_form() {
        for (query, expected) in [
            ("", &[][..]),
            ("a=1&key=v1", &["v1"]),
            ("akey=1&keys=2", &[]),
            ("key=%761&%6bey=v%31&%4B%65%59=v1&KEY=v1", &["v1", "v1", "v1", "v1"]),
            ("key=a+b&key=a%20b&key=a%2Bb", &["a b", "a b", "a+b"]),
            ("key&key=", &["", ""]),
            ("key=1;key=2", &["1", "2"]),
            ("key=a=b&key=%3D", &["a=b", "="]),
            ("key=%zz%4&key=%", &["%zz%4", "%"]),
            ("key=%2561", &["%61"]),
        ] {
            check(parameters(query, "key"), expected, query);
        }
    }

    #[test]
    fn cookies_are_found_in_every_form() {
        for (lines, expected) in [
            (&["a=1; session=abc; b=2"][..], &["abc"][..]),
            (&["sess=abc; sessions=abc"], &[]),
            (&["a=1", "session=abc;session=def"], &["abc", "def"]),
            (&["session = abc ;SESSION=abc; session=\"abc\""], &["abc", "abc", "abc"]),
            (&["session=%61b%63; session=a+b; session=a%20b"], &["abc", "a b", "a b"]),
            (
                &[r#"session="\141\b\"c"; session="ab%22c"; session=ab"c"#],
                &["ab\"c", "ab\"c", "ab\"c"],
            ),
            (&[r#"session="a\"; session="; session=a\b"#], &["a\\", "\"", "a\\b"]),
            (&["session"], &[""]),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            check(cookies(&headers, "session"), expected, &lines.join(" | "));
        }
    }

    #[test]
    fn a_value_counts_once_and_too_many_not_at_all() {
        let sent = |hashes: &[u64]| different(hashes.iter().copied()).map(SmallVec::into_vec);
        assert_eq!(sent(&[]), None);
        assert_eq!(sent(&[7, 7, 8, 7]), Some(vec![7, 8]));
        assert_eq!(sent(&[1, 2, 3, 4, 4]), Some(vec![1, 2, 3, 4]));
        assert_eq!(sent(&[1, 2, 3, 4, 5]), None);
    }

    #[test]
    fn a_v6_client_is_its_prefix_and_a_mapped_v4_is_a_v4() {
        let key = |text: &str| client_key(text.parse().unwrap(), 64);
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
