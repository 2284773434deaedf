//! What was tried again, and what was not.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::family::{counters, gauges};
use crate::{clock, shared::Shared};

#[derive(Debug)]
pub(super) struct TriesAgain(pub(super) Arc<Shared>);

impl Collector for TriesAgain {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plan = self.0.plan();
        let made = plan.routes.iter().flat_map(|route| {
            let label = |cause| [("route", route.name.as_str()), ("cause", cause)];
            route.retry.made().map(move |(cause, count)| (label(cause.word()), count))
        });
        counters(
            &mut encoder,
            "weir_retries",
            "Tries at the upstream beyond a request's first.",
            made,
        )?;
        // What is not tried again anyway is not withheld.
        let on = || plan.routes.iter().filter(|route| route.retry.is_on());
        let withheld = on().flat_map(|route| {
            let label = |why| [("route", route.name.as_str()), ("why", why)];
            route.retry.withheld().map(move |(why, count)| (label(why.word()), count))
        });
        counters(
            &mut encoder,
            "weir_retries_withheld",
            "Failures that would have been tried again, but for this.",
            withheld,
        )?;
        let now = clock::now();
        gauges(
            &mut encoder,
            "weir_retry_tokens",
            "Tries again that the budget would pay for now.",
            on().map(|route| ([("route", route.name.as_str())], route.retry.tokens(now))),
        )
    }
}
