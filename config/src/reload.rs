//! `reload:` when the file is read again.

pub(crate) mod yaml;

use std::time::Duration;

/// When a running process reads its configuration anew without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Whether the file is looked at; without that, only a signal or the admin API make it read again.
    pub watch: bool,
    /// How often it is looked at; 1 s by default.
    pub interval: Duration,
}
