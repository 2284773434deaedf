//! Shared rate limits: who decides, and how their stores are.

use std::{collections::BTreeMap, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::family::{counters, gauges};
use crate::{
    plan::Plan,
    shared::Shared,
    store::{By, Store, Trouble},
};

#[derive(Debug)]
pub(super) struct Stores(pub(super) Arc<Shared>);

/// The lines to one store: more than one where policies differ in who asks, or in how long they wait.
type ByName = BTreeMap<String, Vec<Arc<Store>>>;

impl Collector for Stores {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let plan = self.0.plan();
        let mut stores = ByName::new();
        for store in plan.stores() {
            stores.entry(store.link.name()).or_default().push(store);
        }
        decisions(&mut encoder, &plan)?;
        gauges(
            &mut encoder,
            "weir_store_up",
            "1 while the store of shared limits is asked, 0 while it is lost.",
            stores.iter().map(|(name, lines)| {
                (labels(name), u32::from(lines.iter().all(|line| line.link.is_up())))
            }),
        )?;
        counters(
            &mut encoder,
            "weir_store_errors",
            "Asks and tries that the store of shared limits did not answer, by why.",
            stores.iter().flat_map(|(name, lines)| {
                Trouble::ALL.iter().map(move |trouble| {
                    let count: u64 = lines.iter().map(|line| line.link.errors(*trouble)).sum();
                    (([("store", name.as_str())], [("error", trouble.word())]), count)
                })
            }),
        )?;
        latencies(&mut encoder, &stores)
    }
}

fn decisions(encoder: &mut DescriptorEncoder<'_>, plan: &Plan) -> fmt::Result {
    let of_each = plan.routes.iter().flat_map(|route| {
        route.rates.iter().flat_map(move |rate| {
            let labels = [("route", route.name.as_str()), ("policy", &rate.settings.name)];
            rate.shared.iter().flat_map(move |limit| {
                let by = By::ALL.iter();
                by.map(move |by| ((labels, [("by", by.word())]), limit.decided(*by)))
            })
        })
    });
    counters(
        encoder,
        "weir_rate_limit_decisions",
        "Requests that a shared limit was asked for, by who decided.",
        of_each,
    )
}

fn latencies(encoder: &mut DescriptorEncoder<'_>, stores: &ByName) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "weir_store_ask_duration_seconds",
        "How long the store of shared limits took to answer, in seconds.",
        None,
        MetricType::Histogram,
    )?;
    for (name, lines) in stores {
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for line in lines {
            let of_line = line.link.latency.buckets();
            match buckets.is_empty() {
                true => buckets = of_line,
                false => buckets.iter_mut().zip(of_line).for_each(|(all, one)| all.1 += one.1),
            }
        }
        let sum: f64 = lines.iter().map(|line| line.link.latency.sum_seconds()).sum();
        let count = buckets.iter().map(|(_, count)| count).sum();
        family
            .encode_family(&labels(name))?
            .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}

fn labels(name: &str) -> [(&'static str, &str); 1] {
    [("store", name)]
}
