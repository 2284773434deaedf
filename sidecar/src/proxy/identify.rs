//! Who asks for what, and until when.

use std::{net::IpAddr, time::Duration};

use http::{HeaderMap, Method, header};
use pingora::http::RequestHeader;

use super::{
    exchange::{Deadline, Exchange},
    refuse::Refusal,
};
use crate::{plan::Plan, reason::Reason};

/// Finds the route, the client and the deadline.
pub(super) fn identify(exchange: &mut Exchange, request: &RequestHeader) -> Result<(), Refusal> {
    if request.method == Method::CONNECT {
        return Err(Refusal::new(
            Reason::MethodNotAllowed,
            "CONNECT opens tunnels, which are not offered here",
        ));
    }
    if exchange.trusted {
        exchange.client = forwarded_for(&exchange.view.plan, &request.headers).or(exchange.peer);
    }
    let path = match request.uri.path() {
        "" | "*" => "/",
        path => path,
    };
    let route =
        exchange.listener.router.route(&request.method, host(request), path, &request.headers);
    let Some(route) = route.cloned() else {
        return Err(Refusal::new(Reason::NoRoute, "no route of this listener takes the request"));
    };
    exchange.deadline = deadline(exchange, route.timeout.total, &request.headers);
    exchange.route = Some(route);
    Ok(())
}

/// The host that was asked for, without its port.
pub(super) fn host(request: &RequestHeader) -> &str {
    let authority = request.uri.authority().map(|authority| authority.as_str());
    let host =
        authority.or_else(|| request.headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// The nearest address in `X-Forwarded-For` that is not itself a trusted proxy.
fn forwarded_for(plan: &Plan, headers: &HeaderMap) -> Option<IpAddr> {
    let mut nearest = None;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        for hop in line.to_str().ok()?.rsplit(',') {
            let address: IpAddr = hop.trim().parse().ok()?;
            nearest = Some(address);
            if !plan.trusts(nearest) {
                return nearest;
            }
        }
    }
    nearest
}

/// The route's total, or less where a trusted caller says so.
fn deadline(exchange: &Exchange, total: Duration, headers: &HeaderMap) -> Deadline {
    let own = Deadline { at: exchange.started + total, callers: false };
    let callers = if exchange.trusted { callers_timeout(headers) } else { None };
    match callers {
        Some(timeout) if timeout < total => {
            Deadline { at: exchange.started + timeout, callers: true }
        }
        _ => own,
    }
}

/// The shortest of what the caller's headers allow.
fn callers_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let grpc = text("grpc-timeout").and_then(grpc_timeout);
    let envoy = text("x-envoy-expected-rq-timeout-ms")
        .and_then(|ms| ms.parse().ok())
        .map(Duration::from_millis);
    [grpc, envoy].into_iter().flatten().min()
}

/// `1S`, `250m`: at most eight digits and a unit (gRPC over HTTP/2, section Requests).
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_as_the_protocol_writes_them() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("2H", Some(Duration::from_secs(7200))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("100000000n", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(grpc_timeout(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_host_loses_its_port_and_keeps_its_brackets() {
        for (written, expected) in
            [("a.b", "a.b"), ("a.b:80", "a.b"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), ("", "")]
        {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            request.insert_header("host", written).unwrap();
            assert_eq!(host(&request), expected);
        }
    }
}
