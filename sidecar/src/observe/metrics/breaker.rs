//! Breakers: the state of each as a set of states, and its numbers.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use weir_policy::{Snapshot, State};

use super::family::{Labels, gauges};
use crate::{
    clock,
    observe::words::{BREAKER_NUMBERS, NONE},
    shared::Shared,
};

#[derive(Debug)]
pub(super) struct Breakers(pub(super) Arc<Shared>);

/// One breaker at the moment of a scrape.
struct Seen<'a> {
    route: &'a str,
    policy: &'a str,
    endpoint: String,
    snapshot: Snapshot,
}

impl Collector for Breakers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = clock::now();
        let plan = self.0.plan();
        let of_each = plan.routes.iter().flat_map(|route| {
            route.breaker.all().into_iter().map(|(endpoint, breaker)| Seen {
                route: &route.name,
                policy: &route.breaker.settings.name,
                endpoint: endpoint.unwrap_or_else(|| NONE.to_owned()),
                snapshot: breaker.snapshot(now),
            })
        });
        let seen: Vec<_> = of_each.collect();
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
            State::WORDS.iter().map(|state| {
                let is = u32::from(*state == one.snapshot.state.word());
                ((one.labels(), [("state", *state)]), is)
            })
        }),
    )
}

fn numbers(encoder: &mut DescriptorEncoder<'_>, seen: &[Seen<'_>]) -> fmt::Result {
    for (name, help, value) in BREAKER_NUMBERS {
        let samples = seen.iter().map(|one| (one.labels(), value(&one.snapshot)));
        gauges(encoder, &format!("weir_breaker_{name}"), help, samples)?;
    }
    gauges(
        encoder,
        "weir_breaker_refused_share",
        "The chance of the next request to be refused by a breaker, 0 to 1.",
        seen.iter().map(|one| (one.labels(), one.snapshot.state.refused_share())),
    )
}

impl Seen<'_> {
    fn labels(&self) -> Labels<'_, 3> {
        [("route", self.route), ("policy", self.policy), ("endpoint", &self.endpoint)]
    }
}
