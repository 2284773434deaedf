//! What the workers, the admin API and the life cycle share.

use std::hash::RandomState;

use tokio_util::sync::CancellationToken;

use crate::{
    observe::{complaints::Complaints, explain::Explain, ledger::Ledger},
    plan::Plan,
};

/// One for the process; a request reaches it through its worker.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    pub(crate) ledger: Ledger,
    pub(crate) explain: Explain,
    pub(crate) complaints: Complaints,
    /// Hashes client keys; its own in every process, so that a hash says nothing outside of it.
    pub(crate) keys: RandomState,
    /// Answers say `Connection: close` from here on.
    pub(crate) draining: CancellationToken,
    /// No new connections, and idle ones are closed.
    pub(crate) closing: CancellationToken,
    /// Everything is done, or out of time.
    pub(crate) ended: CancellationToken,
}
