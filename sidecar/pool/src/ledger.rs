//! Where every job stands, under one lock.
//!
//! Queue, running jobs and counters change together, so that a reader never sees a job twice or
//! not at all: `submitted = queued + running + completed + panicked + cancelled` at every instant.
//! The lock is held for a few pointer moves, and no handler or submitter is run or woken under it.

use std::collections::{BTreeMap, VecDeque};

use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    task::AbortHandle,
};

use crate::Failure;

/// A job's number within its pool; numbers rise in the order of acceptance.
pub type JobId = u64;

/// The pool's counters at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jobs accepted since the start.
    pub submitted: u64,
    /// Jobs handed back because the queue was full or the pool closed.
    pub rejected: u64,
    /// Jobs whose handler returned.
    pub completed: u64,
    /// Jobs whose handler panicked.
    pub panicked: u64,
    /// Jobs cancelled while queued or running.
    pub cancelled: u64,
    /// Jobs accepted that no worker has begun.
    pub queued: usize,
    /// Jobs in a worker's hands; never more than there are workers.
    pub running: usize,
}

/// An accepted job that no worker has begun.
pub(crate) struct Entry<J, R> {
    pub(crate) id: JobId,
    pub(crate) job: J,
    pub(crate) ticket: Ticket<R>,
}

/// What an accepted job holds until it ends: its place in the pool and its way to the submitter.
pub(crate) struct Ticket<R> {
    pub(crate) place: OwnedSemaphorePermit,
    pub(crate) answer: oneshot::Sender<Result<R, Failure>>,
}

pub(crate) struct Ledger<J, R> {
    queued: VecDeque<Entry<J, R>>,
    running: BTreeMap<JobId, AbortHandle>,
    ended: Counts,
    next_id: JobId,
    closed: bool,
}

impl<J, R> Ledger<J, R> {
    pub(crate) fn new() -> Self {
        Self {
            queued: VecDeque::new(),
            running: BTreeMap::new(),
            ended: Counts::default(),
            next_id: 0,
            closed: false,
        }
    }

    /// Appends a job, or hands all back when the pool has closed meanwhile.
    pub(crate) fn push(&mut self, job: J, ticket: Ticket<R>) -> Result<JobId, (J, Ticket<R>)> {
        if self.closed {
            return Err((job, ticket));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.ended.submitted += 1;
        self.queued.push_back(Entry { id, job, ticket });
        Ok(id)
    }

    /// Takes the oldest job out and registers what `begin` spawned for it, in one step: between
    /// the two a cancellation would find the job nowhere.
    pub(crate) fn begin<T>(
        &mut self,
        begin: impl FnOnce(Entry<J, R>) -> (AbortHandle, T),
    ) -> Option<T> {
        let entry = self.queued.pop_front()?;
        let id = entry.id;
        let (abort, begun) = begin(entry);
        self.running.insert(id, abort);
        Some(begun)
    }

    pub(crate) fn end<T>(&mut self, id: JobId, outcome: &Result<T, Failure>) {
        self.running.remove(&id);
        match outcome {
            Ok(_) => self.ended.completed += 1,
            Err(Failure::Panicked(_)) => self.ended.panicked += 1,
            Err(Failure::Cancelled) => self.ended.cancelled += 1,
        }
    }

    pub(crate) fn reject(&mut self) {
        self.ended.rejected += 1;
    }

    /// Aborts a running job, or returns the queued one that the caller must end.
    pub(crate) fn cancel(&mut self, id: JobId) -> Option<Entry<J, R>> {
        if let Some(abort) = self.running.get(&id) {
            abort.abort();
            return None;
        }
        let at = self.queued.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.ended.cancelled += 1;
        self.queued.remove(at)
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Aborts what runs; returns what was queued, oldest first, and how many jobs were running.
    pub(crate) fn cancel_all(&mut self) -> (VecDeque<Entry<J, R>>, usize) {
        let queued = std::mem::take(&mut self.queued);
        self.ended.cancelled += queued.len() as u64;
        self.running.values().for_each(AbortHandle::abort);
        (queued, self.running.len())
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts { queued: self.queued.len(), running: self.running.len(), ..self.ended }
    }
}
