//! Addresses that are listened on, and ranges of peers.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};
use crate::Address;

/// An IP address with a port.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Bind(pub(crate) SocketAddr);

/// `10.0.0.0/8`, or one address.
#[derive(Clone, Copy)]
pub(crate) struct Cidr(pub(crate) IpNet);

const HELP: &str = "write an IP address and a port, such as `0.0.0.0:8080` or \"[::]:8080\"";

impl Leaf for Bind {
    const EXPECTED: &'static str = "an address such as 127.0.0.1:9901";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let text = text.text.as_str();
        text.parse().map(Self).map_err(|_| why_not(text))
    }

    fn describe() -> Schema {
        json_schema!({ "title": "IP address and port", "type": "string", "pattern": r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$" })
    }
}

impl Leaf for Address {
    const EXPECTED: &'static str = "an address such as 0.0.0.0:8080";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        match text.text.strip_prefix("unix:") {
            Some(path) => unix(path).map(Self::Unix),
            None => Bind::parse(text).map(|bind| Self::Tcp(bind.0)),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "IP address and port, or `unix:/path`", "type": "string", "pattern": r"^(([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}|unix:/.+)$" })
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The path of a Unix socket.
pub(super) fn unix(path: &str) -> Result<PathBuf, Wrong> {
    /// What `sockaddr_un` holds on the smallest of our systems.
    const LONGEST: usize = 103;
    let help = "write the socket's whole path, such as `unix:/run/app.sock`";
    match path.starts_with('/') && !path.contains('\0') {
        false => Err(Wrong::new("does not hold a whole path", help)),
        true if path.len() > LONGEST => Err(Wrong::new(
            format!("holds a path above {LONGEST} bytes, which no system takes"),
            "choose a shorter path",
        )),
        true => Ok(PathBuf::from(path)),
    }
}

/// Which of the usual slips an address has.
fn why_not(text: &str) -> Wrong {
    let wrong = |what: &str| Wrong::new(what, HELP);
    if let Some((_, rest)) = text.split_once("://") {
        let wrong = wrong("is a URL, not an address");
        match rest.trim_end_matches('/') {
            address if address.parse::<SocketAddr>().is_ok() => wrong.instead(address),
            _ => wrong,
        }
    } else if let Ok(ip) = text.parse::<Ipv4Addr>() {
        wrong("has no port").instead(format!("{ip}:8080"))
    } else if let Some(port) = text.strip_prefix(':').filter(|port| is_port(port)) {
        on_port(wrong("has no IP address"), port)
    } else if let Some(port) = text.strip_prefix("*:").filter(|port| is_port(port)) {
        wrong("has no IP address").instead(format!("0.0.0.0:{port}"))
    } else if let Some(port) = text.strip_prefix("localhost:") {
        wrong("is a name, not an IP address").instead(format!("127.0.0.1:{port}"))
    } else if is_port(text) {
        on_port(wrong("is a port without an IP address"), text)
    } else if text.matches(':').count() > 1 {
        Wrong::new(
            "is not an IPv6 address with a port",
            "IPv6 addresses stand in brackets and quotes: \"[::1]:8080\"",
        )
    } else {
        wrong("is not an IP address and a port")
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

fn on_port(wrong: Wrong, port: &str) -> Wrong {
    let fix = format!(
        "write `0.0.0.0:{port}` for every interface, `127.0.0.1:{port}` for this machine alone"
    );
    wrong.fix(fix).instead(format!("127.0.0.1:{port}"))
}

impl Leaf for Cidr {
    const EXPECTED: &'static str = "an address range such as 10.0.0.0/8";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let help = "write an address or a range, such as `10.0.0.0/8` or \"fd00::/8\"";
        let text = text.text.as_str();
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net = net.map_err(|_| Wrong::new("is not an address range", help))?;
        match net.trunc() == net {
            true => Ok(Self(net)),
            false => {
                Err(Wrong::new("has bits set after its prefix", help)
                    .instead(net.trunc().to_string()))
            }
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "IP address or range", "type": "string", "pattern": "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$" })
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
