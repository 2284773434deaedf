//! What goes wrong between a client, the sidecar and the service behind, and what comes of it.
//!
//! A scripted service fails in every way a service can ([`backend`]), clients that keep their own
//! count ask for it over both protocols ([`client`]), and each test states the outcome: the status,
//! whether the answer was whole, the reason in the ledger, and that nothing is left behind.

pub(crate) mod backend;
mod both_ways;
pub(crate) mod client;
mod deadlines;
mod floods;
mod leaving;
mod measure;
mod upstream;
mod waits;

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use self::backend::Backend;
use crate::weir::{Weir, until};

/// Runs services and clients; tests block on it from threads of their own.
pub(crate) static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

/// Either protocol, on either side of the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    H1,
    H2,
}

impl Speaks {
    pub(crate) const BOTH: [Self; 2] = [Self::H1, Self::H2];

    /// As `protocol` of an upstream says it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
        }
    }
}

/// How many requests ended for this reason.
pub(crate) fn ended(weir: &Weir, reason: &str) -> u64 {
    weir.metric("weir_requests_total", &[&format!("reason=\"{reason}\"")]) as u64
}

/// Waits until no request is in flight, in the sidecar and behind it.
pub(crate) fn settled(weir: &Weir, backends: &[&Backend]) {
    until("nothing is in flight in the sidecar", || {
        weir.metric("weir_requests_in_flight", &[]) == 0.0
    });
    until("nothing is in flight behind it", || {
        backends.iter().all(|backend| backend.in_flight() == 0)
    });
}
