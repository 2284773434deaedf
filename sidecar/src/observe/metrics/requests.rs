//! Requests: the ledger, as one scrape sees it.
//!
//! All families here come from one reading of the ledger, so that
//! `received = forwarded + rejected + cancelled + in flight` holds among the numbers of one answer. They
//! are labelled by the ledger's rows and not by the plan, which may be another by now: a route that a
//! reload has removed keeps its counters.

use std::{collections::HashMap, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::family::{Labels, counters, gauges};
use crate::{
    observe::{
        ledger::{self, DeadlineHeader, FaultKind, RouteTotals, Totals},
        words::NONE,
    },
    plan::Plan,
    reason::Reason,
    shared::Shared,
};

/// Statuses by their hundreds, in the order of [`RouteTotals::statuses`].
const STATUSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Debug)]
pub(super) struct Requests(pub(super) Arc<Shared>);

/// A row of the ledger and whose it is.
struct Row<'a> {
    listener: &'a str,
    route: &'a str,
    routed: bool,
    /// Whether requests may come to it.
    current: bool,
    /// Whether faults are injected into them.
    faulty: bool,
    totals: &'a RouteTotals,
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.0.ledger.totals();
        let plan = self.0.plan();
        let rows = rows(&plan, &totals);
        listeners(&mut encoder, &plan, &totals)?;
        ended(&mut encoder, &rows)?;
        answered(&mut encoder, &rows)?;
        shadowed(&mut encoder, &rows)?;
        wasted(&mut encoder, &rows)?;
        ignored(&mut encoder, &rows)?;
        injected(&mut encoder, &rows)?;
        durations(&mut encoder, &rows)
    }
}

fn rows<'a>(plan: &Plan, totals: &'a Totals) -> Vec<Row<'a>> {
    let current: HashMap<&str, bool> =
        plan.routes.iter().map(|route| (route.name.as_str(), route.faults.is_some())).collect();
    let of_row = |(row, totals): &'a (Arc<ledger::Row>, RouteTotals)| Row {
        listener: &row.listener,
        route: row.route.as_deref().unwrap_or(NONE),
        routed: row.route.is_some(),
        current: row.route.as_deref().is_none_or(|route| current.contains_key(route)),
        faulty: row.route.as_deref().is_some_and(|route| current.get(route) == Some(&true)),
        totals,
    };
    totals.routes.iter().map(of_row).collect()
}

fn listeners(encoder: &mut DescriptorEncoder<'_>, plan: &Plan, totals: &Totals) -> fmt::Result {
    let of_each = || {
        plan.listeners.iter().map(|listener| {
            ([("listener", listener.name.as_str())], &totals.listeners[listener.index])
        })
    };
    counters(
        encoder,
        "weir_requests_received",
        "Requests that have begun: the first byte over HTTP/1.1, a stream over HTTP/2.",
        of_each().map(|(labels, totals)| (labels, totals.received)),
    )?;
    gauges(
        encoder,
        "weir_requests_in_flight",
        "Requests that have begun and not ended.",
        of_each().map(|(labels, totals)| (labels, totals.in_flight)),
    )
}

fn ended(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    counters(
        encoder,
        "weir_requests",
        "Requests that have ended, by how and why.",
        rows.iter().flat_map(|row| {
            Reason::ALL.iter().filter(|reason| row.shows(**reason)).map(|reason| {
                let why = [("class", reason.class().word()), ("reason", reason.word())];
                ((row.labels(), why), row.totals.ended[reason.index()])
            })
        }),
    )
}

fn answered(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    counters(
        encoder,
        "weir_responses",
        "Answers sent, by the hundreds of their status.",
        rows.iter().flat_map(|row| {
            STATUSES
                .iter()
                .zip(row.totals.statuses)
                .map(|(status, count)| ((row.labels(), [("status", *status)]), count))
        }),
    )
}

fn shadowed(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    counters(
        encoder,
        "weir_shadow_refusals",
        "Requests that a policy in shadow mode would have refused.",
        rows.iter().flat_map(|row| {
            let counted = |reason: &&Reason| {
                let policy = matches!(
                    reason,
                    Reason::Deadline
                        | Reason::RateLimited
                        | Reason::BreakerOpen
                        | Reason::Overloaded
                );
                policy && row.routed && row.current || row.totals.shadowed[reason.index()] > 0
            };
            Reason::ALL.iter().filter(counted).map(|reason| {
                ((row.labels(), [("reason", reason.word())]), row.totals.shadowed[reason.index()])
            })
        }),
    )
}

fn wasted(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    counters(
        encoder,
        "weir_upstream_wasted_seconds",
        "Time that upstreams have spent on requests whose answer nobody had in time.",
        rows.iter().flat_map(|row| {
            let asides = &row.totals.asides;
            let shown = |reason: &&Reason| {
                reason.wastes() && row.routed && row.current
                    || asides.wasted_seconds(**reason) > 0.0
            };
            Reason::ALL.iter().filter(shown).map(|reason| {
                ((row.labels(), [("reason", reason.word())]), asides.wasted_seconds(*reason))
            })
        }),
    )
}

fn ignored(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    counters(
        encoder,
        "weir_deadlines_ignored",
        "Values of trusted callers' deadline headers that say no time, or none that can be believed.",
        rows.iter().flat_map(|row| {
            let count = |header| row.totals.asides.deadlines_ignored(header);
            let shown =
                move |header: &DeadlineHeader| row.routed && row.current || count(*header) > 0;
            DeadlineHeader::ALL
                .into_iter()
                .filter(shown)
                .map(move |header| ((row.labels(), [("header", header.word())]), count(header)))
        }),
    )
}

fn injected(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    counters(
        encoder,
        "weir_faults_injected",
        "Faults injected into requests, because of the configuration or a caller that was let.",
        rows.iter().flat_map(|row| {
            let count = |kind| row.totals.asides.faults(kind);
            let shown = move |kind: &FaultKind| row.faulty || count(*kind) > 0;
            FaultKind::ALL
                .into_iter()
                .filter(shown)
                .map(move |kind| ((row.labels(), [("kind", kind.word())]), count(kind)))
        }),
    )
}

fn durations(encoder: &mut DescriptorEncoder<'_>, rows: &[Row<'_>]) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "http_server_request_duration_seconds",
        "From a request's first byte to its end, in seconds.",
        None,
        MetricType::Histogram,
    )?;
    for row in rows {
        let durations = &row.totals.durations;
        let buckets: Vec<_> = durations.buckets().collect();
        // Whoever reads it by its name in OpenTelemetry looks for the label of that name too.
        let labels = [("listener", row.listener), ("http_route", row.route)];
        family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
            durations.sum_seconds(),
            durations.count(),
            &buckets,
            None,
        )?;
    }
    Ok(())
}

impl Row<'_> {
    fn labels(&self) -> Labels<'_, 2> {
        [("listener", self.listener), ("route", self.route)]
    }

    /// A zero is shown where the reason can come up, so that a rate starts with its first event; a
    /// count is shown wherever it stands, so that the sum is whole.
    fn shows(&self, reason: Reason) -> bool {
        let can_come_up = self.current
            && match reason {
                Reason::BadRequest
                | Reason::RequestTimeout
                | Reason::Internal
                | Reason::ClientCancel
                | Reason::ClientSlow => true,
                Reason::MethodNotAllowed
                | Reason::UriTooLong
                | Reason::HeaderTooLarge
                | Reason::NoRoute => !self.routed,
                Reason::FaultInjected => self.faulty,
                _ => self.routed,
            };
        can_come_up || self.totals.ended[reason.index()] > 0
    }
}
