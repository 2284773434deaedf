//! Fifty thousand jobs on real threads: never more at once than there are workers.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::Barrier, task::JoinSet, time::Instant};
use weir_pool::{Counts, Pool, Size};

const WORKERS: usize = 7;
const JOBS: u64 = 50_000;
const SUBMITTERS: u64 = 10;

/// How many jobs are inside now and the most there ever were, as the jobs themselves count.
struct Gauge {
    inside: AtomicUsize,
    highest: AtomicUsize,
    /// Where the first jobs meet, one for each worker.
    all_busy: Barrier,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrency_never_exceeds_the_workers() {
    let gauge = Arc::new(Gauge {
        inside: AtomicUsize::new(0),
        highest: AtomicUsize::new(0),
        all_busy: Barrier::new(WORKERS),
    });
    let seen = gauge.clone();
    let size = Size { workers: NonZeroUsize::new(WORKERS).expect("seven"), queue: 64 };
    let pool = Arc::new(Pool::new(size, move |job: u64| {
        let gauge = seen.clone();
        async move {
            let inside = gauge.inside.fetch_add(1, SeqCst) + 1;
            gauge.highest.fetch_max(inside, SeqCst);
            if job < WORKERS as u64 {
                gauge.all_busy.wait().await;
            }
            for _ in 0..job % 4 {
                tokio::task::yield_now().await;
            }
            gauge.inside.fetch_sub(1, SeqCst);
            if job.is_multiple_of(1000) {
                std::panic::resume_unwind(Box::new("every thousandth job panics"));
            }
        }
    }));

    let mut submitters = JoinSet::new();
    for first in 0..SUBMITTERS {
        let pool = pool.clone();
        submitters.spawn(async move {
            let generous = Instant::now() + Duration::from_secs(300);
            for job in (first..JOBS).step_by(SUBMITTERS as usize) {
                drop(pool.submit(job, generous).await.expect("room within the deadline"));
            }
        });
    }
    submitters.join_all().await;
    assert!(pool.drain(Instant::now() + Duration::from_secs(300)).await.is_empty());

    let panicked = JOBS / 1000;
    let ended =
        Counts { submitted: JOBS, completed: JOBS - panicked, panicked, ..Counts::default() };
    assert_eq!(pool.counts(), ended);
    assert_eq!(gauge.inside.load(SeqCst), 0);
    assert_eq!(gauge.highest.load(SeqCst), WORKERS, "all workers were busy at once, never more");
}
