//! What the sidecar knows of itself: the ledger, the explanations, the metrics.

pub(crate) mod explain;
pub(crate) mod histogram;
pub(crate) mod ledger;
pub(crate) mod metrics;
