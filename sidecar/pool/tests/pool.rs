//! The pool's promises, one by one, on paused time.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, advance, sleep, timeout},
};
use weir_pool::{Counts, Failure, Pool, Refused, Size, Unfinished};

fn size(workers: usize, queue: usize) -> Size {
    Size { workers: NonZeroUsize::new(workers).expect("at least one worker"), queue }
}

/// A pool whose jobs last as long as they say and answer with it.
fn sleepers(workers: usize, queue: usize) -> Pool<Duration, Duration> {
    Pool::new(size(workers, queue), |duration| async move {
        sleep(duration).await;
        duration
    })
}

fn at(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_job_answers_its_submitter() {
    let pool = sleepers(1, 0);
    let job = pool.try_submit(SECOND).expect("a free worker");
    assert_eq!(job.await, Ok(SECOND));
    assert_eq!(pool.counts(), Counts { submitted: 1, completed: 1, ..Counts::default() });
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_hands_the_job_back_at_once() {
    let pool = sleepers(2, 1);
    let kept: Vec<_> = (0..3).map(|_| pool.try_submit(SECOND).expect("room for three")).collect();
    assert_eq!(pool.try_submit(7 * SECOND).expect_err("full"), Refused::Full(7 * SECOND));
    for job in kept {
        assert_eq!(job.await, Ok(SECOND));
    }
    let job = pool.try_submit(SECOND).expect("whoever holds the answer finds the place free");
    assert_eq!(job.await, Ok(SECOND));
    assert_eq!(
        pool.counts(),
        Counts { submitted: 4, rejected: 1, completed: 4, ..Counts::default() }
    );
}

#[tokio::test(start_paused = true)]
async fn submit_waits_for_room_until_its_deadline() {
    let pool = sleepers(1, 0);
    let first = pool.try_submit(3 * SECOND).expect("a free worker");
    let refused = pool.submit(SECOND, at(2)).await.expect_err("busy for three seconds");
    assert_eq!(refused, Refused::Full(SECOND));
    let second = pool.submit(SECOND, at(2)).await.expect("room after one more second");
    assert_eq!((first.await, second.await), (Ok(3 * SECOND), Ok(SECOND)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_reported_and_costs_no_worker() {
    let pool = Pool::new(size(1, 8), |job: u32| async move {
        assert!(job.is_multiple_of(2), "odd job {job}");
        job
    });
    let jobs: Vec<_> = (0..4).map(|job| pool.try_submit(job).expect("room")).collect();
    let mut ends = Vec::new();
    for job in jobs {
        ends.push(job.await);
    }
    let odd = |job: u32| Err(Failure::Panicked(format!("odd job {job}")));
    assert_eq!(ends, [Ok(0), odd(1), Ok(2), odd(3)]);
    assert_eq!(
        pool.counts(),
        Counts { submitted: 4, completed: 2, panicked: 2, ..Counts::default() }
    );
}

/// Panics when nobody wanted it.
struct Spiteful;

impl Drop for Spiteful {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("unwanted"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_unwanted_result_that_panics_costs_no_worker() {
    let pool = Pool::new(size(1, 1), |spite: bool| async move { spite.then(|| Spiteful) });
    drop(pool.try_submit(true).expect("a free worker"));
    let next = pool.try_submit(false).expect("room in the queue");
    let next = timeout(SECOND, next).await.expect("the worker lives on");
    assert!(next.expect("no panic").is_none());
    assert_eq!(pool.counts().completed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_queued_job_that_is_cancelled_never_begins_and_frees_its_place() {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let pool = Pool::new(size(1, 1), move |job: u32| {
        begun.send(job).expect("the test listens");
        sleep(SECOND)
    });
    let first = pool.try_submit(1).expect("a free worker");
    let second = pool.try_submit(2).expect("room in the queue");
    second.cancel();
    assert_eq!(second.await, Err(Failure::Cancelled));
    let third = pool.try_submit(3).expect("the place of the second");
    assert_eq!((first.await, third.await), (Ok(()), Ok(())));
    assert_eq!((begins.recv().await, begins.recv().await), (Some(1), Some(3)));
    assert_eq!(pool.counts().cancelled, 1);
}

/// Says when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A pool of one whose jobs never end, the signal that one began, the signal that one is gone.
fn endless(queue: usize) -> (Pool<u32, ()>, Arc<Notify>, Arc<Notify>) {
    let (begun, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (on_begin, on_drop) = (begun.clone(), gone.clone());
    let pool = Pool::new(size(1, queue), move |_job| {
        let held = Dropped(on_drop.clone());
        on_begin.notify_one();
        async move {
            let _held = held;
            std::future::pending().await
        }
    });
    (pool, begun, gone)
}

#[tokio::test(start_paused = true)]
async fn a_running_job_that_is_cancelled_is_dropped_and_its_worker_goes_on() {
    let (pool, begun, gone) = endless(1);
    let first = pool.try_submit(1).expect("a free worker");
    begun.notified().await;
    let second = pool.try_submit(2).expect("room in the queue");
    first.cancel();
    assert_eq!(first.await, Err(Failure::Cancelled));
    gone.notified().await;
    begun.notified().await;
    assert_eq!((pool.counts().running, pool.counts().cancelled), (1, 1));
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn cancelling_an_ended_job_changes_nothing() {
    let pool = sleepers(1, 0);
    let mut job = pool.try_submit(SECOND).expect("a free worker");
    assert_eq!((&mut job).await, Ok(SECOND));
    job.cancel();
    assert_eq!((pool.counts().completed, pool.counts().cancelled), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_what_is_queued_in_order_and_refuses_new_work() {
    let (done, mut order) = mpsc::unbounded_channel();
    let pool = Arc::new(Pool::new(size(1, 8), move |job: u32| {
        let done = done.clone();
        async move {
            sleep(SECOND).await;
            done.send(job).expect("the test listens");
        }
    }));
    for job in 0..5 {
        drop(pool.try_submit(job).expect("room"));
    }
    let draining = tokio::spawn({
        let pool = pool.clone();
        async move { pool.drain(at(60)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(pool.try_submit(9).expect_err("draining"), Refused::Closed(9));
    assert!(draining.await.expect("no panic").is_empty());
    let order: Vec<_> = std::iter::from_fn(|| order.try_recv().ok()).collect();
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_turns_away_those_who_wait_for_room_at_once() {
    let pool = Arc::new(sleepers(1, 0));
    let _running = pool.try_submit(10 * SECOND).expect("a free worker");
    let before = Instant::now();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { (pool.submit(SECOND, at(3600)).await.map(drop), Instant::now()) }
    });
    tokio::task::yield_now().await;
    assert!(pool.drain(at(60)).await.is_empty());
    assert_eq!(waiting.await.expect("no panic"), (Err(Refused::Closed(SECOND)), before));
}

#[tokio::test(start_paused = true)]
async fn a_drain_out_of_time_reports_what_did_not_finish() {
    let pool = sleepers(1, 8);
    let long = 10 * SECOND;
    let jobs: Vec<_> =
        [SECOND, long, 2 * SECOND].map(|job| pool.try_submit(job).expect("room")).into();
    let unfinished = pool.drain(at(5)).await;
    assert_eq!(unfinished, Unfinished { queued: vec![2 * SECOND], running: 1 });
    let mut ends = Vec::new();
    for job in jobs {
        ends.push(job.await);
    }
    assert_eq!(ends, [Ok(SECOND), Err(Failure::Cancelled), Err(Failure::Cancelled)]);
}

#[tokio::test(start_paused = true)]
async fn closing_wakes_those_who_wait_for_room() {
    let (pool, begun, _gone) = endless(0);
    let pool = Arc::new(pool);
    let _running = pool.try_submit(1).expect("a free worker");
    begun.notified().await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.submit(2, at(3600)).await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert_eq!(pool.close_now(), Unfinished { queued: vec![], running: 1 });
    assert_eq!(waiting.await.expect("no panic"), Err(Refused::Closed(2)));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_cancels_everything() {
    let (pool, begun, gone) = endless(1);
    let running = pool.try_submit(1).expect("a free worker");
    begun.notified().await;
    let queued = pool.try_submit(2).expect("room in the queue");
    drop(pool);
    assert_eq!(queued.await, Err(Failure::Cancelled));
    assert_eq!(running.await, Err(Failure::Cancelled));
    gone.notified().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_leaves_its_job_alone() {
    let pool = sleepers(1, 0);
    drop(pool.try_submit(SECOND).expect("a free worker"));
    tokio::task::yield_now().await;
    advance(2 * SECOND).await;
    assert!(pool.drain(at(1)).await.is_empty());
    assert_eq!(pool.counts().completed, 1);
}
