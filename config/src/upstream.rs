//! `upstreams:` where requests go.

pub(crate) mod yaml;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use crate::{Concurrency, HealthCheck, Outlier};

/// A service with one or more endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name, the key in the file.
    pub name: String,
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// How one is chosen.
    pub balance: Balance,
    /// The limit that routes without one of their own share; adaptive by default.
    pub concurrency: Concurrency,
    /// How endpoints are asked whether they are well; not at all when `None`.
    pub health_check: Option<HealthCheck>,
    /// When one is ejected; `None` where there is and stays only one, which never is.
    pub outlier: Option<Outlier>,
    /// How long the share of an endpoint grows that is new, or is used again; zero gives it its whole
    /// share at once. 30 s by default.
    pub slow_start: Duration,
    /// What is spoken: HTTP/1.1 by default.
    pub protocol: Protocol,
    /// How TLS is spoken; `None` is cleartext.
    pub tls: Option<Tls>,
    /// How long an idle connection is kept; 3 s by default, below the 5 s at which Node and uvicorn close theirs.
    pub keepalive: Duration,
    /// How often DNS names are resolved again; 10 s by default.
    pub dns_refresh: Duration,
    /// Where Go's profiles are served, such as `http://127.0.0.1:6060/debug/pprof/`.
    pub go_pprof: Option<String>,
}

/// One place an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address that needs no resolver.
    Address(SocketAddr),
    /// A DNS name, resolved off the request's way; every address it has becomes an endpoint.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/run/app.sock`
    Unix(PathBuf),
}

impl Upstream {
    /// Whether these endpoints are one address, now and later.
    pub(crate) fn is_single(endpoints: &[Endpoint]) -> bool {
        matches!(endpoints, [Endpoint::Address(_) | Endpoint::Unix(_)])
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight; ties in turn.
    LeastRequests,
    /// Of two at random, the one whose answers take less time, as it was lately and counting those in
    /// flight; a slow answer is felt at once and forgotten slowly.
    PeakEwma,
}

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2: by ALPN over TLS, with prior knowledge in cleartext.
    H2,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name asked for and verified.
    pub sni: String,
    /// A PEM file of the authorities that are believed; the system's when `None`.
    pub ca: Option<PathBuf>,
}
