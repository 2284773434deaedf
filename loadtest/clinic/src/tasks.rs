//! Every task of the clinic, by name, with an owner.
//!
//! Work that belongs to a request lives in the request's own future or in a `JoinSet` inside it,
//! and dies with it. Work that outlives its request belongs to the clinic, which awaits or cuts it
//! when it closes. Both are counted by name, so that a leak has a name too.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// The clinic's task groups; clones are the same groups.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    alive: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    background: TaskTracker,
    /// The end of every background task.
    cut: CancellationToken,
    /// A word in advance, and part of the cut.
    closing: CancellationToken,
}

impl Default for Tasks {
    fn default() -> Self {
        let cut = CancellationToken::new();
        let closing = cut.child_token();
        Self { alive: Arc::default(), background: TaskTracker::new(), cut, closing }
    }
}

impl Tasks {
    /// `work`, counted in the group `name` from now until it ends or is dropped.
    pub(crate) fn named<F>(
        &self,
        name: &'static str,
        work: F,
    ) -> impl Future<Output = F::Output> + use<F>
    where
        F: Future,
    {
        *self.lock().entry(name).or_default() += 1;
        let alive = Alive { tasks: self.clone(), name };
        async move {
            let _alive = alive;
            work.await
        }
    }

    /// Spawns `work` as the clinic's own: no request's end stops it, the clinic's does.
    ///
    /// Its result is lost to who asks after the clinic cut it.
    pub(crate) fn background<F>(&self, name: &'static str, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let cut = self.cut.clone();
        let work = self.named(name, work);
        self.background.spawn(async move { cut.run_until_cancelled(work).await })
    }

    /// Tasks alive in each group that ever had one.
    pub(crate) fn alive(&self) -> BTreeMap<&'static str, usize> {
        self.lock().clone()
    }

    /// Cancelled when the clinic begins to close: for work that has no end of its own.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Cuts all background tasks when dropped.
    pub(crate) fn cut_on_drop(&self) -> DropGuard {
        self.cut.clone().drop_guard()
    }

    /// Waits for background tasks until `deadline`, cuts the others, and tells how many.
    pub(crate) async fn close(&self, deadline: Instant) -> usize {
        self.background.close();
        let ended = timeout_at(deadline, self.background.wait()).await;
        let cut = if ended.is_ok() { 0 } else { self.background.len() };
        self.cut.cancel();
        self.background.wait().await;
        cut
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One living member of a group.
struct Alive {
    tasks: Tasks,
    name: &'static str,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(alive) = self.tasks.lock().get_mut(self.name) {
            *alive -= 1;
        }
    }
}
