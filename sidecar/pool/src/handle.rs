use std::{
    pin::Pin,
    sync::Weak,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use crate::ledger::JobId;

/// The submitter's end of an accepted job: a future of its result.
///
/// Dropping the handle lets the job go on unobserved; [`cancel`](Self::cancel) stops it.
#[must_use = "the job goes on without its handle, but nobody will learn how it ended"]
pub struct JobHandle<R> {
    pub(crate) id: JobId,
    pub(crate) answer: oneshot::Receiver<Result<R, Failure>>,
    pub(crate) pool: Weak<dyn Cancel>,
}

/// How an accepted job ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The handler panicked with this message; the worker lives on.
    #[error("the job panicked: {0}")]
    Panicked(String),
    /// The job was cancelled by its handle, or with the whole pool.
    #[error("the job was cancelled before it finished")]
    Cancelled,
}

/// The pool as its handles see it, whatever its type of jobs.
pub(crate) trait Cancel: Send + Sync {
    fn cancel(&self, id: JobId);
}

impl<R> JobHandle<R> {
    /// The job's number.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Stops the job: a queued one never begins and frees its place at once, a running one ends
    /// at its next `await`. A job that has ended is left alone.
    pub fn cancel(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.cancel(self.id);
        }
    }
}

impl<R> Future for JobHandle<R> {
    type Output = Result<R, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // A sender that vanished went down with its runtime: the job will never finish.
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(Failure::Cancelled)))
    }
}

impl<R> std::fmt::Debug for JobHandle<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobHandle").field("id", &self.id).finish_non_exhaustive()
    }
}
