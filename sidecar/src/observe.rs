//! What the sidecar knows of itself: the ledger, the explanations, the metrics, the log.

pub(crate) mod breakers;
pub(crate) mod complaints;
pub(crate) mod endpoints;
pub(crate) mod explain;
pub(crate) mod histogram;
pub(crate) mod ledger;
pub(crate) mod metrics;
pub(crate) mod words;
