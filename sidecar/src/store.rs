//! Stores: where limits are kept that several sidecars share.
//!
//! What a sidecar holds of a shared limit decides where it can ([`weir_policy::Leases`]); else one
//! request has the store asked for all who wait, in a task of its own, and nobody waits longer than
//! `timeout`. A store that does not answer is asked no more, except by its own task, until it answers
//! again: what decides in the meantime is the policy's `on_store_loss`.
//!
//! The client is `redis`, by its multiplexed connection alone: it is the one that Redis itself keeps, and
//! reconnecting by its manager would hide when the line is down, which is what decisions hang on here.

mod bucket;
mod latency;
mod limit;
mod link;
mod watch;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) use self::{
    limit::{By, Decision, Limit},
    link::{Link, Trouble},
};

/// A store, for as long as a plan or a request has it; its task ends with it.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) link: Arc<Link>,
    started: AtomicBool,
    end: CancellationToken,
    _ends: DropGuard,
}

impl Store {
    /// One that nobody looks after yet.
    pub(crate) fn new(shared: &weir_config::Shared) -> Self {
        let end = CancellationToken::new();
        let link = Arc::new(Link::new(shared));
        Self { link, started: AtomicBool::new(false), _ends: end.clone().drop_guard(), end }
    }

    /// Whether it is the store that is written there.
    pub(crate) fn is_for(&self, shared: &weir_config::Shared) -> bool {
        self.link.is_for(shared)
    }

    /// What it is found by over a reload.
    pub(crate) fn key(shared: &weir_config::Shared) -> String {
        let user = shared.store.user.as_deref().unwrap_or_default();
        format!("{user}@{} {:?}", shared.store, shared.timeout)
    }
}

/// Looks after these stores, on the current runtime; those that are looked after already go on. Waits
/// until each has been tried once, or not much longer than any answers.
pub(crate) async fn start(stores: &[Arc<Store>]) {
    for store in stores {
        if !store.started.swap(true, Relaxed) {
            tokio::spawn(watch::watch(Arc::clone(&store.link), store.end.clone()));
        }
    }
    let tried = async {
        while stores.iter().any(|store| !store.link.tried.load(Relaxed)) {
            sleep(LOOK).await;
        }
    };
    // A store that cannot be reached is no reason to wait any longer.
    timeout(FIRST_TRY, tried).await.unwrap_or_default();
}

/// How long the first try is waited for; without it, what decides is `on_store_loss`.
const FIRST_TRY: Duration = Duration::from_secs(1);

/// How often it is looked whether a first try is over.
const LOOK: Duration = Duration::from_millis(5);
