//! Who asks for what, and until when.

use std::net::IpAddr;

use http::{HeaderMap, Method, header};
use ipnet::IpNet;
use pingora::http::RequestHeader;
use weir_config::{Priorities, Priority};

use super::{
    deadline::Asked,
    exchange::Exchange,
    refuse::{Refusal, shortened},
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
        return Err(no_route(exchange, request, path));
    };
    if exchange.trusted {
        let ignored = |header| exchange.worker.page().ignore_deadline(&route.row, header);
        exchange.asked = Asked::read(&request.headers, exchange.started, ignored);
    }
    exchange.deadline = exchange.asked.deadline(exchange.started, route.timeout.total);
    exchange.priority = priority(exchange, &route.priority, &request.headers);
    exchange.route = Some(route);
    Ok(())
}

/// Which route would have been the nearest, and what of the request is not as that one has it.
fn no_route(exchange: &Exchange, request: &RequestHeader, path: &str) -> Refusal {
    let host = host(request);
    let refusal = Refusal::new(Reason::NoRoute, "no route of this listener takes the request")
        .input("host", shortened(host, NAME_BYTES));
    let router = &exchange.listener.router;
    match router.nearest(&request.method, host, path, &request.headers) {
        Some(nearest) => refusal.would_pass(nearest),
        None => refusal,
    }
}

/// The longest that a host has to be.
const NAME_BYTES: usize = 253;

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

/// The class that a trusted peer names, or else that of the client, or else the route's.
fn priority(exchange: &Exchange, by: &Priorities, headers: &HeaderMap) -> Priority {
    let named = || {
        let header = by.header.as_ref().filter(|_| exchange.trusted)?;
        Priority::from_word(&headers.get(header)?.to_str().ok()?.trim().to_ascii_lowercase())
    };
    let of_client = || {
        let client = exchange.client?.to_canonical();
        let holds = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&client));
        by.clients.iter().find(|(_, nets)| holds(nets)).map(|(class, _)| *class)
    };
    named().or_else(of_client).unwrap_or(by.default)
}

#[cfg(test)]
mod tests {
    use super::*;

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
