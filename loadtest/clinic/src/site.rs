use std::time::Duration;

use http::HeaderMap;
use tokio::time::{Instant, sleep};

use crate::{
    deadline::Deadline,
    faults::Faults,
    problem::{Problem, Reason},
    route::Route,
    service_time::ServiceTimes,
    tasks::Tasks,
};

/// What every route has at hand; clones are the same site.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) faults: Faults,
    pub(crate) tasks: Tasks,
    pub(crate) times: ServiceTimes,
}

impl Site {
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        Self { faults, tasks: Tasks::default(), times: ServiceTimes::new(seed) }
    }

    /// A request's first step on any route: its deadline, then the two faults that need nothing
    /// of the route, `slow` and `error_ratio`.
    pub(crate) async fn enter(
        &self,
        route: Route,
        headers: &HeaderMap,
        patience: Duration,
    ) -> Result<Deadline, Problem> {
        let deadline = Deadline::of(headers, patience, Instant::now())?;
        let fault = self.faults.get(route);
        if !fault.slow.is_zero() {
            deadline.within(sleep(fault.slow)).await?;
        }
        if self.times.coin(route.name(), fault.error_ratio) {
            let detail =
                format!("the error_ratio switch of `{}` is {}", route.name(), fault.error_ratio);
            return Err(Problem::new(Reason::Injected, detail));
        }
        Ok(deadline)
    }

    /// Does a piece of work that takes about `median`, unless the deadline comes first.
    pub(crate) async fn work(
        &self,
        work: &'static str,
        median: Duration,
        deadline: Deadline,
    ) -> Result<(), Problem> {
        deadline.within(sleep(self.times.next(work, median))).await
    }

    /// The `stall` of a route with a lock: a task `holder` keeps `lock` while the switch is on.
    pub(crate) fn hold(&self, lock: impl Send + 'static, holder: &'static str, route: Route) {
        let faults = self.faults.clone();
        drop(self.tasks.background(holder, async move {
            faults.stall(route).await;
            drop(lock);
        }));
    }
}
