//! Whether this process is well, and which one it is.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use super::family::{counter, gauge};
use crate::{lifecycle::Readiness, logging, shared::Shared};

#[derive(Debug)]
pub(super) struct Health {
    pub(super) shared: Arc<Shared>,
    pub(super) readiness: Arc<Readiness>,
}

impl Collector for Health {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        gauge(
            &mut encoder,
            "weir_ready",
            "1 when requests should be sent here, 0 while it starts or drains.",
            u32::from(self.readiness.missing(&self.shared).is_none()),
        )?;
        counter(
            &mut encoder,
            "weir_panics",
            "Panics; each cost one task, never the process.",
            logging::PANICS.load(Relaxed),
        )?;
        encoder
            .encode_descriptor("weir_build", "The build that runs.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
    }
}
