//! A host, with or without a port, and nothing else.

use std::net::Ipv6Addr;

use super::class::{HOST, span};

/// What was read of `host [":" port]`.
pub(in crate::proxy) struct Authority {
    pub(super) has_port: bool,
}

impl Authority {
    /// Reads `host [":" port]`; takes no userinfo, no empty host, no empty port.
    pub(in crate::proxy) fn parse(bytes: &[u8]) -> Option<Self> {
        let host = match bytes.strip_prefix(b"[") {
            Some(rest) => {
                let end = rest.iter().position(|&byte| byte == b']')?;
                str::from_utf8(&rest[..end]).ok()?.parse::<Ipv6Addr>().ok()?;
                &bytes[..end + 2]
            }
            None => &bytes[..span(bytes, HOST)],
        };
        match &bytes[host.len()..] {
            _ if host.is_empty() => None,
            [] => Some(Self { has_port: false }),
            [b':', port @ ..] => {
                let is_port = decimal(port).is_some_and(|port| port <= u64::from(u16::MAX));
                is_port.then_some(Self { has_port: true })
            }
            _ => None,
        }
    }
}

/// `1*DIGIT` that fits; `str::parse` would take a plus sign.
pub(in crate::proxy) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, &digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}
