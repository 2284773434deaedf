//! The configuration: which one runs, and whether it is what the file says.

use std::{fmt, sync::Arc};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::family::{counters, gauge};
use crate::shared::Shared;

#[derive(Debug)]
pub(super) struct Reload(pub(super) Arc<Shared>);

impl Collector for Reload {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let reloads = &self.0.reloads;
        gauge(
            encoder,
            "weir_config_generation",
            "Which configuration runs: 1 from the start, and one more with each that was applied.",
            self.0.plan().generation,
        )?;
        counters(
            encoder,
            "weir_config_reloads",
            "How often the configuration was read again, by what came of it.",
            reloads.counts().map(|(result, count)| ([("result", result)], count)),
        )?;
        gauge(
            encoder,
            "weir_config_last_reload_success",
            "1 when what runs is what the file said when it was last read, 0 when that was refused.",
            u32::from(reloads.last().outcome.is_success()),
        )?;
        gauge(
            encoder,
            "weir_config_last_reload_success_timestamp_seconds",
            "When what runs was last found to be what the file says, in seconds since 1970.",
            reloads.success_seconds(),
        )
    }
}
