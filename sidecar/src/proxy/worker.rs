//! A worker: one thread, one runtime, its own connections to the upstreams, its own page of the ledger.
//!
//! Requests never move between workers, so nothing on their way is shared but the policies, which
//! are one for the whole process and made of atomics. The plan is shared too, but each worker has a
//! [`View`] of its own on it: a request takes that one, and no counter that other workers write.

use std::{fmt, hash::BuildHasher, sync::Arc};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::connections::{Connections, Outward};
use crate::{observe::ledger::Page, plan::Plan, shared::Shared};

/// One thread's share of the work.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    view: ArcSwap<View>,
    outward: Outward,
    /// Children of the shared tokens: waiting on them takes no lock that two workers share.
    pub(crate) draining: CancellationToken,
    pub(crate) closing: CancellationToken,
}

/// A plan as one worker walks it. A request holds the one that it started with.
pub(crate) struct View {
    pub(crate) plan: Arc<Plan>,
    /// By [`Route::upstream_index`](crate::plan::Route::upstream_index).
    pub(super) connections: Vec<Arc<Connections>>,
}

impl Worker {
    /// On the worker's own runtime, where its connections are looked after.
    pub(crate) fn new(index: usize, shared: Arc<Shared>) -> Self {
        let outward = Outward::new(Handle::current());
        let plan = shared.plan();
        let connections = outward.to(&plan.upstreams, &[]);
        Self {
            index,
            view: ArcSwap::from_pointee(View { plan, connections }),
            outward,
            draining: shared.draining.child_token(),
            closing: shared.closing.child_token(),
            shared,
        }
    }

    /// The plan that a request which begins now is walked by.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// What it takes to walk another plan, from any thread. Connections to an upstream that both plans
    /// have stay.
    pub(crate) fn prepare(&self, plan: &Arc<Plan>) -> View {
        let connections = self.outward.to(&plan.upstreams, &self.view.load().connections);
        View { plan: Arc::clone(plan), connections }
    }

    /// Walks the requests that begin from here on by another plan.
    pub(crate) fn follow(&self, view: View) {
        self.view.store(Arc::new(view));
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

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("generation", &self.plan.generation).finish_non_exhaustive()
    }
}
