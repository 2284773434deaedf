//! Where an upstream listens.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong, address::unix, http::is_domain};
use crate::Endpoint;

const HELP: &str =
    "write a host and a port, such as `127.0.0.1:3000`, \"[::1]:3000\" or `app.internal:443`";

impl Leaf for Endpoint {
    const EXPECTED: &'static str = "an endpoint such as 127.0.0.1:3000";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let text = text.text.as_str();
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map(Self::Unix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(Wrong::new("has port 0, where nothing listens", HELP)),
                _ => Ok(Self::Address(address)),
            };
        }
        match split(text) {
            Some((host, port)) if is_domain(host) && !looks_like_ipv4(host) => {
                Ok(Self::Name { host: host.to_ascii_lowercase(), port })
            }
            _ => Err(why_not(text)),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "`host:port` or `unix:/path`", "type": "string", "pattern": r"^(([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}|unix:/.+)$" })
    }
}

/// Host and port; `None` without a port above zero.
fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((host, port.parse().ok().filter(|port| *port > 0)?))
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Four numbers are an address that is wrong, not a name to resolve.
fn looks_like_ipv4(host: &str) -> bool {
    host.split('.').count() == 4
        && host.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn why_not(text: &str) -> Wrong {
    if let Some((scheme, rest)) = text.split_once("://") {
        // Without a user and password before the host.
        let authority =
            rest.split('/').next().and_then(|part| part.rsplit('@').next()).unwrap_or_default();
        let (port, tls) =
            if scheme == "https" { (443, ", and `tls: {}` beside `endpoints`") } else { (80, "") };
        let wrong = Wrong::new("is a URL, not an endpoint", HELP);
        return match (authority.is_empty(), split(authority)) {
            (true, _) => wrong,
            (_, Some(_)) => wrong.fix(format!("write `{authority}`{tls}")).instead(authority),
            (_, None) => {
                let endpoint = format!("{authority}:{port}");
                wrong.fix(format!("write `{endpoint}`{tls}")).instead(endpoint)
            }
        };
    }
    if let Some((_, endpoint)) = text.rsplit_once('@') {
        let wrong = Wrong::new(
            "names a user, and an endpoint takes no credentials",
            "leave out the `@` and what stands before it",
        );
        return if split(endpoint).is_some() { wrong.instead(endpoint) } else { wrong };
    }
    let bare = Wrong::new("has no port", HELP);
    if text.matches(':').count() > 1 {
        let help = "IPv6 addresses stand in brackets and quotes: \"[::1]:3000\"";
        Wrong::new("is not an IPv6 address with a port", help)
    } else if text.parse::<Ipv4Addr>().is_ok() {
        bare.instead(format!("{text}:3000"))
    } else if is_domain(text) && !looks_like_ipv4(text) && text.parse::<u64>().is_err() {
        bare.instead(format!("{text}:80"))
    } else if let Some(port) = text.strip_prefix(':').or(Some(text)).filter(|port| is_port(port)) {
        Wrong::new("is a port without a host", HELP).instead(format!("127.0.0.1:{port}"))
    } else {
        Wrong::new("is not a host and a port", HELP)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
