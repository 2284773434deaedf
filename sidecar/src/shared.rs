//! What the workers, the admin API and the life cycle share.

use std::{hash::RandomState, sync::Arc};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::{
    observe::{explain::Explain, ledger::Ledger},
    plan::Plan,
    reload::Reloads,
};

/// One for the process; a request reaches it through its worker.
#[derive(Debug)]
pub(crate) struct Shared {
    plan: ArcSwap<Plan>,
    pub(crate) ledger: Ledger,
    pub(crate) explain: Explain,
    pub(crate) reloads: Reloads,
    /// Hashes client keys; its own in every process, so that a hash says nothing outside of it.
    pub(crate) keys: RandomState,
    /// Answers say `Connection: close` from here on.
    pub(crate) draining: CancellationToken,
    /// No new connections, and idle ones are closed.
    pub(crate) closing: CancellationToken,
    /// Everything is done, or out of time.
    pub(crate) ended: CancellationToken,
}

impl Shared {
    /// For a process that begins with `plan`.
    pub(crate) fn new(plan: Plan, ledger: Ledger, explain: Explain, reloads: Reloads) -> Self {
        Self {
            plan: ArcSwap::from_pointee(plan),
            ledger,
            explain,
            reloads,
            keys: RandomState::new(),
            draining: CancellationToken::new(),
            closing: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// The plan at this moment. Requests have theirs from their worker.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Puts a plan in the place of the one before, which is given back.
    pub(crate) fn swap(&self, plan: Arc<Plan>) -> Arc<Plan> {
        self.plan.swap(plan)
    }
}
