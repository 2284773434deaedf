//! A line in the log when a breaker's state has changed.
//!
//! They are looked at from outside, a few times a second, and say nothing themselves: no request pays
//! for it, a breaker that flutters writes a bounded number of lines, and one that becomes half-open
//! because its time is up is seen although nobody has come. What it does between two looks is not.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::sleep;
use weir_policy::{Snapshot, State, Time};

use super::words::{NONE, configured};
use crate::{
    clock,
    plan::{Plan, Route},
    shared::Shared,
};

/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Logs changes until the process ends.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut watch = Watch::default();
    loop {
        for change in watch.look(&shared.plan(), clock::now()) {
            change.log();
        }
        sleep(LOOK).await;
    }
}

/// The word for the state of each breaker, by policy and endpoint, when it was last looked at; closed
/// before that.
#[derive(Debug, Default)]
struct Watch {
    last: HashMap<(String, Option<String>), &'static str>,
}

/// A breaker that does something else than before.
struct Change<'a> {
    route: &'a Route,
    endpoint: Option<String>,
    was: &'static str,
    now: Snapshot,
}

impl Watch {
    fn look<'a>(&mut self, plan: &'a Plan, now: Time) -> Vec<Change<'a>> {
        let mut changes = Vec::new();
        // Rebuilt each time, so that endpoints that have gone are forgotten.
        let mut seen = HashMap::new();
        for route in &plan.routes {
            for (endpoint, breaker) in route.breaker.all() {
                let key = (route.breaker.settings.name.clone(), endpoint);
                let snapshot = breaker.snapshot(now);
                let is = snapshot.state.word();
                let was = self.last.get(&key).copied().unwrap_or(State::Closed.word());
                if is != was {
                    let endpoint = key.1.clone();
                    changes.push(Change { route, endpoint, was, now: snapshot });
                }
                seen.insert(key, is);
            }
        }
        self.last = seen;
        changes
    }
}

impl Change<'_> {
    fn log(&self) {
        let settings = &self.route.breaker.settings;
        tracing::warn!(
            route = self.route.name,
            policy = settings.name,
            endpoint = self.endpoint.as_deref().unwrap_or(NONE),
            mode = configured(&settings.mode),
            was = self.was,
            state = self.now.state.word(),
            requests = self.now.requests,
            failures = self.now.failures,
            slow = self.now.slow,
            refused = self.now.refused,
            consecutive_failures = self.now.consecutive_failures,
            refused_share = self.now.state.refused_share(),
            "a breaker has changed"
        );
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::Outcome;

    use super::*;
    use crate::observe::ledger::Ledger;

    #[test]
    fn each_change_is_told_once() {
        let yaml = "version: 1\n\
                    listeners:\n  - address: 127.0.0.1:8080\n    \
                    routes: [{ upstream: app, breaker: { consecutive: 1, open_for: 5s, probes: 1 } }]\n\
                    upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\n";
        let config = weir_config::load(yaml, "weir.yaml", &|_| None).unwrap();
        let plan = Plan::compile(config, None, &Ledger::new(1, 1)).unwrap();
        let (_, breaker) = plan.routes[0].breaker.all().remove(0);
        let at = |seconds| Time::default() + Duration::from_secs(seconds);
        let ends = |outcome, now| {
            let ticket = breaker.admit(now, 0).unwrap();
            breaker.on_outcome(ticket, outcome, now, 0);
        };
        let mut watch = Watch::default();
        let mut told = |now| {
            let words = |change: Change<'_>| (change.was, change.now.state.word());
            watch.look(&plan, now).into_iter().map(words).collect::<Vec<_>>()
        };
        assert_eq!(told(at(1)), []);
        ends(Outcome::Failure, at(1));
        assert_eq!(told(at(2)), [("closed", "open")]);
        assert_eq!(told(at(3)), []);
        assert_eq!(told(at(10)), [("open", "half_open")]);
        ends(Outcome::Success { latency: None }, at(10));
        assert_eq!(told(at(11)), [("half_open", "closed")]);
    }
}
