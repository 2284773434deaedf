//! A listening socket's half of the plan.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use weir_config::{Address, ListenerLimits, ListenerTimeout};

use super::router::Router;
use crate::observe::ledger::Row;

/// A listener with its routes.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its place in [`Plan::listeners`](super::Plan::listeners) and in the ledger, the same in every plan.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) limits: ListenerLimits,
    pub(crate) timeout: ListenerTimeout,
    pub(crate) router: Router,
    /// The ledger's row for requests that never had a route.
    pub(crate) unrouted: Arc<Row>,
    pub(crate) doors: Arc<Doors>,
}

/// Who comes in by a listener, whatever the plan.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// Connections open now.
    pub(crate) open: AtomicU32,
    /// Connections refused because `limits.connections` were open.
    pub(crate) refused: AtomicU64,
}

impl Listener {
    /// Connections open now.
    pub(crate) fn connections(&self) -> u32 {
        self.doors.open.load(Relaxed)
    }
}
