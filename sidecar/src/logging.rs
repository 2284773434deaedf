//! Diagnostics on stderr; stdout is for data.

use std::{
    io::{self, IsTerminal},
    panic,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tracing_subscriber::EnvFilter;

/// Panics since the start. Each cost one task, never the process.
pub(crate) static PANICS: AtomicU64 = AtomicU64::new(0);

/// What a sidecar logs. Pingora reports each client that leaves.
pub(crate) const DEFAULT: &str = "info,pingora_core=off,pingora_pool=off,h2=off";

/// Starts logging, and counts panics; `filter` holds where `WEIR_LOG` says nothing.
pub(crate) fn start(filter: &str) {
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logging =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colour);
    // Only a second start could fail, and the first one stands.
    logging.try_init().unwrap_or_default();
    panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Relaxed);
        tracing::error!(%info, "panic");
    }));
}
