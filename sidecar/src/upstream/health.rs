//! Checks of endpoints, off the request's way.
//!
//! Each endpoint is asked over and over by a task of its own, on a connection that is made for the check
//! and closed after it: a pooled one would tell of the past. Checks of all endpoints spread by themselves,
//! since each pauses for its interval give or take a tenth, and no more than [`AT_ONCE`] run at a time in
//! the whole process.

mod grpc;
mod probe;

use std::{collections::HashMap, sync::Arc};

use tokio::{
    select,
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time,
};
use weir_config::HealthCheck;

use self::probe::Prober;
use super::{Endpoint, Upstream};
use crate::clock;

/// How many checks run at once; others wait, and the wait is not part of their time.
static AT_ONCE: Semaphore = Semaphore::const_new(64);

/// How much sooner or later than its interval a check comes, as a share of it.
const JITTER: f64 = 0.1;

/// Looks after the endpoints of these upstreams, on the current runtime.
pub(super) fn start(upstreams: &[Arc<Upstream>]) {
    for upstream in upstreams {
        match upstream.health_check() {
            Some(check) => drop(tokio::spawn(look_after(Arc::clone(upstream), check.clone()))),
            // There may have been checks before a reload.
            None => {
                upstream.endpoints().iter().for_each(|one| one.standing.unchecked(clock::now()))
            }
        }
    }
}

/// Checks the endpoints that there are until no plan has the upstream.
async fn look_after(upstream: Arc<Upstream>, check: HealthCheck) {
    let retired = upstream.retired.clone();
    let pause = check.interval;
    let prober = Arc::new(Prober::new(&upstream, check));
    let checking = async {
        // Dropped with this task, and so are the checks in it.
        let mut tasks = JoinSet::new();
        let mut known: HashMap<u64, AbortHandle> = HashMap::new();
        loop {
            let endpoints = upstream.endpoints();
            known.retain(|id, task| {
                let stays = endpoints.iter().any(|endpoint| endpoint.id == *id);
                if !stays {
                    task.abort();
                }
                stays && !task.is_finished()
            });
            for endpoint in endpoints.iter() {
                known.entry(endpoint.id).or_insert_with(|| {
                    tasks.spawn(check_over_and_over(Arc::clone(endpoint), Arc::clone(&prober)))
                });
            }
            select! {
                () = upstream.endpoints_changed.notified() => {}
                // One ends when its endpoint has gone. One that panics is not begun again at once.
                Some(ended) = tasks.join_next() => if ended.is_err_and(|error| error.is_panic()) {
                    time::sleep(pause).await;
                },
            }
        }
    };
    select! {
        () = retired.cancelled() => {}
        () = checking => {}
    }
}

async fn check_over_and_over(endpoint: Arc<Endpoint>, prober: Arc<Prober>) {
    loop {
        let found = match AT_ONCE.acquire().await {
            Ok(_running) => prober.check(&endpoint).await,
            // Nobody closes it.
            Err(_) => return,
        };
        let (went_well, now) = (found.is_ok(), clock::now());
        endpoint.checked.set(found, now);
        endpoint.standing.on_check(went_well, &prober.settings, now);
        let spread = 1.0 + JITTER * (2.0 * fastrand::f64() - 1.0);
        time::sleep(prober.settings.interval.mul_f64(spread)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn upstream(interval: &str) -> (TcpListener, Arc<Upstream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let yaml = format!(
            "version: 1\nlisteners: [{{ address: 127.0.0.1:0, upstream: app }}]\nupstreams:\n  app:\n    \
             endpoints: [\"{}\"]\n    health_check: {{ tcp: true, interval: {interval}, timeout: {interval} }}\n",
            listener.local_addr().unwrap()
        );
        let config = weir_config::load(&yaml, "weir.yaml", &|_| None).unwrap();
        (listener, Arc::new(Upstream::new(&config.upstreams[0]).unwrap()))
    }

    fn looking(upstream: &Arc<Upstream>) -> tokio::task::JoinHandle<()> {
        let check = upstream.health_check().cloned().unwrap();
        tokio::spawn(look_after(Arc::clone(upstream), check))
    }

    #[tokio::test]
    async fn endpoints_are_checked_until_no_plan_has_the_upstream() {
        let (listener, upstream) = upstream("10ms").await;
        let looking = looking(&upstream);
        for _ in 0..3 {
            time::timeout(PATIENCE, listener.accept()).await.expect("it is checked").unwrap();
        }
        upstream.retire();
        time::timeout(PATIENCE, looking).await.expect("it ends at once").unwrap();
        // What had connected before.
        while time::timeout(Duration::ZERO, listener.accept()).await.is_ok() {}
        let late = time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(late.is_err(), "nobody checks any more");
    }

    #[tokio::test]
    async fn one_that_comes_is_checked_at_once_and_one_that_goes_no_more() {
        let (first, upstream) = upstream("1h").await;
        let looking = looking(&upstream);
        time::timeout(PATIENCE, first.accept()).await.expect("it is checked").unwrap();
        let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = second.local_addr().unwrap();
        upstream.set_resolved(&[address]);
        time::timeout(PATIENCE, second.accept()).await.expect("so is one that comes").unwrap();
        upstream.set_resolved(&[]);
        // Whoever looks after it has its turn, and sees that the endpoint has gone.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        upstream.set_resolved(&[address]);
        // Its checks have ended in between, or the next would come in an hour.
        time::timeout(PATIENCE, second.accept()).await.expect("it is checked anew").unwrap();
        upstream.retire();
        time::timeout(PATIENCE, looking).await.expect("it ends").unwrap();
    }
}
