//! A line in the log when what becomes of requests to an endpoint has changed.
//!
//! Endpoints are looked at from outside, as [breakers](super::breakers) are and for the same reasons; one
//! that is ejected and used again between two looks has no line, and is counted all the same.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::sleep;
use weir_policy::{EndpointState, Time, View};

use super::words::{NONE, configured};
use crate::{
    clock,
    plan::Plan,
    shared::Shared,
    upstream::{Endpoint, Upstream},
};

/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Logs changes until the process ends.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut watch = Watch::default();
    loop {
        let plan = shared.plan();
        let now = clock::now();
        watch.look(&plan, now, |change| change.log(now));
        sleep(LOOK).await;
    }
}

/// The word for the state of each endpoint, by its number, and of each upstream whether none of its
/// endpoints would be used, when they were last looked at.
#[derive(Debug, Default)]
struct Watch {
    endpoints: HashMap<u64, &'static str>,
    panics: HashMap<String, bool>,
}

/// What is otherwise than before.
enum Change<'a> {
    Endpoint { upstream: &'a Upstream, endpoint: &'a Endpoint, was: &'static str, is: View },
    Panic { upstream: &'a Upstream, is: bool },
}

impl Watch {
    fn look(&mut self, plan: &Plan, now: Time, mut tell: impl FnMut(Change<'_>)) {
        // Rebuilt each time, so that what has gone is forgotten.
        let (mut endpoints, mut panics) = (HashMap::new(), HashMap::new());
        for upstream in &plan.upstreams {
            for endpoint in upstream.endpoints().iter() {
                let is = upstream.view(endpoint, now);
                let was = self.endpoints.get(&endpoint.id).copied();
                let unseen = was.is_none() && is.state == EndpointState::Healthy;
                if was != Some(is.state.word()) && !unseen {
                    let was = was.unwrap_or(NONE);
                    tell(Change::Endpoint { upstream, endpoint, was, is });
                }
                endpoints.insert(endpoint.id, is.state.word());
            }
            let is = upstream.is_in_panic(now);
            if self.panics.get(&upstream.name).copied().unwrap_or(false) != is {
                tell(Change::Panic { upstream, is });
            }
            panics.insert(upstream.name.clone(), is);
        }
        *self = Self { endpoints, panics };
    }
}

impl Change<'_> {
    fn log(&self, now: Time) {
        match self {
            Self::Endpoint { upstream, endpoint, was, is } => {
                let why = upstream.why(endpoint, is);
                let returns = is.until.filter(|_| is.state == EndpointState::Ejected);
                let returns = returns.map(|until| until.since(now).as_secs_f64());
                macro_rules! tell {
                    ($level:ident) => {
                        tracing::$level!(
                            upstream = upstream.name,
                            endpoint = endpoint.name,
                            mode = upstream.outlier().map(|outlier| configured(&outlier.mode)),
                            was,
                            state = is.state.word(),
                            why,
                            returns_in_seconds = returns,
                            times_ejected = is.ejections.iter().sum::<u64>(),
                            "an endpoint has changed"
                        )
                    };
                }
                match is.state {
                    EndpointState::Ejected | EndpointState::Unhealthy => tell!(warn),
                    _ => tell!(info),
                }
            }
            Self::Panic { upstream, is: true } => {
                tracing::warn!(upstream = upstream.name, "no endpoint would be used, so all are")
            }
            Self::Panic { upstream, is: false } => tracing::info!(
                upstream = upstream.name,
                "some endpoints are used again, and no others"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::Outcome;

    use super::*;
    use crate::observe::ledger::Ledger;

    #[test]
    fn each_change_is_told_once() {
        let yaml = "version: 1\nlisteners: [{ address: 127.0.0.1:8080, upstream: app }]\nupstreams:\n  app:\n    \
                    endpoints: [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n    slow_start: 10s\n    \
                    health_check: { tcp: true, unhealthy_after: 1 }\n    outlier: { consecutive: 1 }\n";
        let config = weir_config::load(yaml, "weir.yaml", &|_| None).unwrap();
        let plan = Plan::compile(config, None, &Ledger::new(1, 1)).unwrap();
        let upstream = &plan.upstreams[0];
        let endpoints = upstream.endpoints();
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::default();
        let mut told = |now| {
            let mut told = Vec::new();
            watch.look(&plan, now, |change| {
                told.push(match change {
                    Change::Endpoint { endpoint, was, is, .. } => {
                        format!("{} {was} {}", endpoint.name, is.state.word())
                    }
                    Change::Panic { is, .. } => format!("panic {is}"),
                });
            });
            told
        };
        assert!(told(at(1)).is_empty());
        upstream.on_outcome(&endpoints[0], Outcome::Failure, at(1), at(1));
        assert_eq!(told(at(2)), ["127.0.0.1:1 healthy ejected"]);
        assert!(told(at(3)).is_empty());
        let check = upstream.health_check().unwrap();
        endpoints[1].standing.on_check(false, check, at(3));
        assert_eq!(told(at(4)), ["127.0.0.1:2 healthy unhealthy", "panic true"]);
        assert_eq!(told(at(31)), ["127.0.0.1:1 ejected slow_start", "panic false"]);
        assert_eq!(told(at(41)), ["127.0.0.1:1 slow_start healthy"]);
    }
}
