//! One worker: takes the oldest job, runs it to its end, takes the next.
//!
//! Each job runs as a task of its own under the worker that awaits it. That is what makes a panic
//! harmless (the runtime catches it at the task's border, from the handler or from what it drops)
//! and a cancellation complete: the worker goes on only when the job's future is gone.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::task::{JoinError, JoinHandle};

use crate::{
    Failure,
    ledger::{Entry, JobId, Ticket},
    pool::Shared,
};

/// Works until the pool is closed and its queue empty.
pub(crate) async fn work<J, R, H, F>(shared: Arc<Shared<J, R>>, handler: Arc<H>)
where
    J: Send + 'static,
    R: Send + 'static,
    H: Fn(J) -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
{
    loop {
        // A closed signal is an error at once, even with signals left: the queue itself then
        // tells when the work is done.
        let closed = match shared.ready.acquire().await {
            Ok(signal) => {
                signal.forget();
                false
            }
            Err(_closed) => true,
        };
        let begun = shared.ledger().begin(|entry| begin(entry, &handler));
        match begun {
            Some(begun) => finish(&shared, begun).await,
            None if closed => return,
            // The job behind this signal was cancelled in the queue.
            None => {}
        }
    }
}

struct Begun<R> {
    id: JobId,
    ticket: Ticket<R>,
    task: JoinHandle<R>,
}

fn begin<J, R, H, F>(entry: Entry<J, R>, handler: &Arc<H>) -> (tokio::task::AbortHandle, Begun<R>)
where
    J: Send + 'static,
    R: Send + 'static,
    H: Fn(J) -> F + Send + Sync + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let Entry { id, job, ticket } = entry;
    let handler = Arc::clone(handler);
    let task = tokio::spawn(async move { handler(job).await });
    (task.abort_handle(), Begun { id, ticket, task })
}

/// Counts first, frees the place second, answers last: whoever holds the answer finds the
/// counters right and the place free.
async fn finish<J, R>(shared: &Shared<J, R>, begun: Begun<R>) {
    let Begun { id, ticket: Ticket { place, answer }, task } = begun;
    let outcome = task.await.map_err(failure);
    shared.ledger().end(id, &outcome);
    drop(place);
    if let Err(unwanted) = answer.send(outcome) {
        // The submitter dropped its handle, so the result's destructor runs here, and a worker
        // must survive that, too.
        drop(catch_unwind(AssertUnwindSafe(|| drop(unwanted))));
    }
}

fn failure(error: JoinError) -> Failure {
    match error.try_into_panic() {
        Ok(payload) => Failure::Panicked(message(payload.as_ref())),
        Err(_cancelled) => Failure::Cancelled,
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}
