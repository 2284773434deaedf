//! Breakers: the state of each as a set of states, and the numbers in its window.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use weir_policy::{Snapshot, State};

use super::family::{Labels, gauges};
use crate::{clock, shared::Shared};

/// The endpoint of a breaker that holds for all of them.
const ALL_ENDPOINTS: &str = "-";

/// Every state by its word; at any time a breaker is in one of them.
const STATES: [&str; 4] = ["closed", "open", "half_open", "throttling"];

/// The word for a state.
pub(crate) const fn word(state: State) -> &'static str {
    match state {
        State::Closed => STATES[0],
        State::Open { .. } => STATES[1],
        State::HalfOpen { .. } => STATES[2],
        State::Throttling { .. } => STATES[3],
    }
}

#[derive(Debug)]
pub(super) struct Breakers(pub(super) Arc<Shared>);

/// One breaker at the moment of a scrape.
struct Seen<'a> {
    route: &'a str,
    endpoint: String,
    snapshot: Snapshot,
}

impl Collector for Breakers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = clock::now();
        let seen: Vec<_> = self
            .0
            .plan
            .routes
            .iter()
            .flat_map(|route| {
                route.breaker.all().into_iter().map(|(endpoint, breaker)| Seen {
                    route: &route.name,
                    endpoint: endpoint.unwrap_or_else(|| ALL_ENDPOINTS.to_owned()),
                    snapshot: breaker.snapshot(now),
                })
            })
            .collect();
        states(&mut encoder, &seen)?;
        numbers(&mut encoder, &seen)
    }
}

fn states(encoder: &mut DescriptorEncoder<'_>, seen: &[Seen<'_>]) -> fmt::Result {
    gauges(
        encoder,
        "weir_breaker_state",
        "1 for the state that a breaker is in, 0 for the others.",
        seen.iter().flat_map(|one| {
            STATES.iter().map(|state| {
                let is = u32::from(*state == word(one.snapshot.state));
                ((one.labels(), [("state", *state)]), is)
            })
        }),
    )
}

fn numbers(encoder: &mut DescriptorEncoder<'_>, seen: &[Seen<'_>]) -> fmt::Result {
    let mut family = |name: &str, help: &str, value: fn(&Snapshot) -> u32| {
        gauges(encoder, name, help, seen.iter().map(|one| (one.labels(), value(&one.snapshot))))
    };
    family("weir_breaker_requests", "Requests in the window of a breaker.", |seen| seen.total)?;
    family("weir_breaker_failures", "Failures in the window of a breaker.", |seen| seen.failures)
}

impl Seen<'_> {
    fn labels(&self) -> Labels<'_, 2> {
        [("route", self.route), ("endpoint", &self.endpoint)]
    }
}
