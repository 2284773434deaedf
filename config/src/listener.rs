//! `listeners:` where requests come in.

pub(crate) mod yaml;

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use crate::{ListenerLimits, Route};

/// A listening socket and the routes behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Its name, unique in the file.
    pub name: String,
    /// Where it listens. HTTP/1.1 and HTTP/2 with prior knowledge are told apart by the first bytes.
    pub address: Address,
    /// Limits that hold before a route is known.
    pub limits: ListenerLimits,
    /// Times that hold before a route is known.
    pub timeout: ListenerTimeout,
    /// The first that matches, in file order, takes the request; at least one.
    pub routes: Vec<Route>,
}

/// The times of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTimeout {
    /// From a request's first byte (on a new connection, from accept) to the end of its header; 10 s by default.
    pub request_header: Duration,
    /// How long a connection may idle between two requests; 60 s by default.
    pub keepalive: Duration,
    /// How long a client may take no byte of a response, noticed in steps of 64 KiB; 30 s by default.
    pub write: Duration,
}

/// A TCP or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `127.0.0.1:8080`, `"[::1]:8080"`; port 0 asks the system for one, which is reported.
    Tcp(SocketAddr),
    /// `unix:/run/weir/ingress.sock`
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
