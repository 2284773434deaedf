//! The task of a store: it makes the line, makes it anew, and hands back what is not used.
//!
//! A line that has gone down is made anew after a pause that grows each time, so that a store which
//! comes and goes writes a bounded number of lines into the log.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;

use super::link::{Driver, Link, Trouble};
use crate::clock;

/// Looks after a store until nobody has it any more.
pub(super) async fn watch(link: Arc<Link>, end: CancellationToken) {
    select! {
        () = end.cancelled() => link.take_down(None, Trouble::Connection),
        () = keep_up(&link) => {}
        () = sweep(&link) => {}
    }
}

async fn keep_up(link: &Link) {
    let mut pause = PAUSE_MIN;
    let mut told = None;
    loop {
        let made = link.connect().await;
        link.tried.store(true, Relaxed);
        let trouble = match made {
            Ok(driver) => {
                tracing::info!(store = link.name(), "the store of shared limits answers");
                told = None;
                let up = clock::now();
                let trouble = stand(link, driver).await;
                if clock::now().since(up) > STEADY {
                    pause = PAUSE_MIN;
                }
                trouble
            }
            Err(trouble) => {
                link.count(trouble);
                trouble
            }
        };
        if told != Some(trouble) {
            tracing::warn!(
                store = link.name(),
                error = trouble.word(),
                "the store of shared limits is lost"
            );
            told = Some(trouble);
        }
        // Not all sidecars at once.
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits while the line stands; says why it does not.
async fn stand(link: &Link, mut driver: Driver) -> Trouble {
    select! {
        trouble = link.is_down() => trouble,
        _ = driver.join_next() => {
            link.count(Trouble::Connection);
            link.take_down(None, Trouble::Connection);
            Trouble::Connection
        }
    }
}

async fn sweep(link: &Link) {
    loop {
        sleep(SWEEP).await;
        for limit in link.limits() {
            limit.sweep().await;
        }
    }
}

/// Between two tries to reach a store that is lost.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A store that answers for so long is not one that comes and goes.
const STEADY: Duration = Duration::from_secs(10);

/// How often it is looked for leases that nobody uses.
const SWEEP: Duration = Duration::from_millis(100);
