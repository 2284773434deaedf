//! The operator's listener.

pub(crate) mod yaml;

use std::{fmt, net::SocketAddr};

/// The admin listener and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where the admin endpoints are served; `127.0.0.1:9901` by default.
    pub address: SocketAddr,
    /// A second address that serves `/live`, `/ready` and `/metrics` alone, without a token.
    pub health_address: Option<SocketAddr>,
    /// What callers send as `Authorization: Bearer`; always set when `address` is not loopback.
    pub token: Option<Secret>,
}

/// A value from the environment that is never printed.
///
/// It remembers the `${VAR}` it was written as, which is what errors and dumps show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub(crate) value: String,
    pub(crate) written: String,
}

impl Secret {
    /// The secret itself; for comparing, never for printing.
    pub fn expose(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
