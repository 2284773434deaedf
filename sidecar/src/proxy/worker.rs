//! A worker: one thread, one runtime, its own connections to the upstreams, its own page of the ledger.
//!
//! Requests never move between workers, so nothing on their way is shared but the policies, which
//! are one for the whole process and made of atomics.

use std::{fmt, hash::BuildHasher, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::connections::Connections;
use crate::{observe::ledger::Page, plan::Plan, shared::Shared};

/// One thread's share of the work.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    /// By [`crate::upstream::Upstream::index`].
    pub(super) connections: Vec<Arc<Connections>>,
    /// Children of the shared tokens: waiting on them takes no lock that two workers share.
    pub(crate) draining: CancellationToken,
    pub(crate) closing: CancellationToken,
}

impl Worker {
    /// On the worker's own runtime, where its connections are looked after.
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        let connections = Connections::of(&shared.plan.upstreams);
        for connections in &connections {
            tokio::spawn(Arc::clone(connections).sweep());
        }
        Self {
            index,
            connections,
            draining: shared.draining.child_token(),
            closing: shared.closing.child_token(),
            shared,
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    pub(crate) fn page(&self) -> &Page {
        self.shared.ledger.page(self.index)
    }

    /// The keyed hash of a client key.
    pub(crate) fn hash(&self, kind: u8, key: &[u8]) -> u64 {
        self.shared.keys.hash_one((kind, key))
    }

    /// Bits for the policies that draw lots.
    pub(crate) fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("index", &self.index).finish_non_exhaustive()
    }
}
