//! The pool: who may enter, who works, how it ends.
//!
//! Two semaphores carry the whole protocol. `places` has one permit for each worker and each
//! position in the queue; an accepted job holds one until it ends, so the bound is exact and
//! waiting submitters are served first come, first served. `ready` counts jobs that wait for a
//! worker. Closing the first refuses new work; closing the second tells workers to stop once the
//! queue is empty.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch},
    time::{Instant, timeout_at},
};

use crate::{
    Counts, Failure, JobHandle, Refused,
    handle::Cancel,
    ledger::{Entry, JobId, Ledger, Ticket},
    worker,
};

/// How much work a pool holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Jobs run at the same time, never more.
    pub workers: NonZeroUsize,
    /// Jobs that wait while all workers are busy; zero takes a job only when a worker is free.
    pub queue: usize,
}

/// Fixed workers over a bounded queue, all running one handler.
///
/// Jobs begin in the order they were accepted. A job that panics is reported to its submitter and
/// costs no worker. Dropping the pool cancels everything, as [`close_now`](Self::close_now) does.
pub struct Pool<J, R>
where
    J: Send + 'static,
    R: Send + 'static,
{
    shared: Arc<Shared<J, R>>,
    /// Each worker holds a receiver; when all are gone the workers have stopped.
    workers: watch::Sender<()>,
}

/// What a drain left undone.
#[derive(Debug, PartialEq, Eq)]
pub struct Unfinished<J> {
    /// Jobs that no worker had begun, oldest first.
    pub queued: Vec<J>,
    /// How many jobs were cancelled while running.
    pub running: usize,
}

impl<J> Unfinished<J> {
    /// Whether every accepted job came to its end.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.running == 0
    }
}

impl<J, R> Pool<J, R>
where
    J: Send + 'static,
    R: Send + 'static,
{
    /// Starts `size.workers` tasks that run `handler` over the jobs to come.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn new<H, F>(size: Size, handler: H) -> Self
    where
        H: Fn(J) -> F + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let places = size.workers.get().saturating_add(size.queue).min(Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            places: Arc::new(Semaphore::new(places)),
            ready: Semaphore::new(0),
            ledger: Mutex::new(Ledger::new()),
        });
        let (workers, alive) = watch::channel(());
        let handler = Arc::new(handler);
        for _ in 0..size.workers.get() {
            let work = worker::work(Arc::clone(&shared), Arc::clone(&handler));
            let alive = alive.clone();
            tokio::spawn(async move {
                work.await;
                drop(alive);
            });
        }
        Self { shared, workers }
    }

    /// Takes the job if there is room now.
    ///
    /// # Errors
    ///
    /// [`Refused`] hands the job back when the queue is full or the pool closed.
    pub fn try_submit(&self, job: J) -> Result<JobHandle<R>, Refused<J>> {
        match Arc::clone(&self.shared.places).try_acquire_owned() {
            Ok(place) => self.accept(job, place),
            Err(TryAcquireError::NoPermits) => Err(self.reject(Refused::Full(job))),
            Err(TryAcquireError::Closed) => Err(self.reject(Refused::Closed(job))),
        }
    }

    /// Takes the job as soon as there is room, in the order of the calls.
    ///
    /// # Errors
    ///
    /// [`Refused`] hands the job back when there was no room before `deadline`, or when the pool
    /// is closed or closes meanwhile.
    pub async fn submit(&self, job: J, deadline: Instant) -> Result<JobHandle<R>, Refused<J>> {
        let place = Arc::clone(&self.shared.places).acquire_owned();
        match timeout_at(deadline, place).await {
            Ok(Ok(place)) => self.accept(job, place),
            Ok(Err(_closed)) => Err(self.reject(Refused::Closed(job))),
            Err(_elapsed) => Err(self.reject(Refused::Full(job))),
        }
    }

    /// Refuses new work, finishes what was accepted in its order, and stops.
    ///
    /// What has not finished by `deadline` is cancelled and reported.
    pub async fn drain(&self, deadline: Instant) -> Unfinished<J> {
        self.shared.close();
        match timeout_at(deadline, self.workers.closed()).await {
            Ok(()) => Unfinished { queued: Vec::new(), running: 0 },
            Err(_elapsed) => self.close_now(),
        }
    }

    /// Refuses new work and cancels everything: queued jobs never begin, running ones end at
    /// their next `await`.
    pub fn close_now(&self) -> Unfinished<J> {
        self.shared.close();
        let (queued, running) = self.shared.ledger().cancel_all();
        Unfinished { queued: queued.into_iter().map(Entry::cancel).collect(), running }
    }

    /// The counters, all of the same instant.
    pub fn counts(&self) -> Counts {
        self.shared.ledger().counts()
    }

    fn accept(&self, job: J, place: OwnedSemaphorePermit) -> Result<JobHandle<R>, Refused<J>> {
        let (answer, receiver) = oneshot::channel();
        let pushed = self.shared.ledger().push(job, Ticket { place, answer });
        match pushed {
            Ok(id) => {
                self.shared.ready.add_permits(1);
                let shared = Arc::downgrade(&self.shared);
                Ok(JobHandle { id, answer: receiver, pool: shared as Weak<dyn Cancel> })
            }
            Err((job, _ticket)) => Err(self.reject(Refused::Closed(job))),
        }
    }

    fn reject(&self, refused: Refused<J>) -> Refused<J> {
        self.shared.ledger().reject();
        refused
    }
}

impl<J, R> Drop for Pool<J, R>
where
    J: Send + 'static,
    R: Send + 'static,
{
    fn drop(&mut self) {
        self.close_now();
    }
}

impl<J, R> std::fmt::Debug for Pool<J, R>
where
    J: Send + 'static,
    R: Send + 'static,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// What the pool, its workers and its handles share.
pub(crate) struct Shared<J, R> {
    places: Arc<Semaphore>,
    pub(crate) ready: Semaphore,
    ledger: Mutex<Ledger<J, R>>,
}

impl<J, R> Shared<J, R> {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger<J, R>> {
        // Nothing panics under this lock; if it ever did, the counters would still be readable.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.ledger().close();
        self.places.close();
        self.ready.close();
    }
}

impl<J: Send, R: Send> Cancel for Shared<J, R> {
    fn cancel(&self, id: JobId) {
        let queued = self.ledger().cancel(id);
        drop(queued.map(Entry::cancel));
    }
}

impl<J, R> Entry<J, R> {
    /// Frees the place, tells the submitter, and gives the job back.
    fn cancel(self) -> J {
        let Ticket { place, answer } = self.ticket;
        drop(place);
        drop(answer.send(Err(Failure::Cancelled)));
        self.job
    }
}
