//! `rate_limit.shared:` a limit that several sidecars keep together.

pub(crate) mod yaml;

use std::{fmt, time::Duration};

use crate::{Endpoint, Secret};

/// Where a limit is kept for all sidecars that share it, and what holds without that place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Where the buckets are.
    pub store: Store,
    /// The longest that a request waits for the store; 1 ms to 1 s, 20 ms by default.
    pub timeout: Duration,
    /// What decides while the store does not.
    pub on_store_loss: OnStoreLoss,
}

/// A database of a Redis or Valkey server, and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Store {
    /// Where the server listens; never a Unix socket.
    pub endpoint: Endpoint,
    /// Which of its databases.
    pub database: u16,
    /// Who asks; the server's default user when `None`.
    pub user: Option<String>,
    /// What lets the user in.
    pub password: Option<Secret>,
}

/// What decides while the store of a shared limit does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreLoss {
    /// Each sidecar by itself, with the whole rate and burst.
    #[default]
    Local,
    /// Nobody: everything passes.
    Open,
    /// Nobody: everything is refused.
    Closed,
}

/// Without who asks, and so fit for logs.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis://{}/{}", self.endpoint, self.database)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
