//! Names into endpoints, off the request's way.

use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time;
use weir_config::Endpoint;

use super::Upstream;

/// How long a look-up may take before it counts as failed.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether an upstream has names that must be looked up.
pub(crate) fn has_names(upstream: &Upstream) -> bool {
    upstream.configured.iter().any(|endpoint| matches!(endpoint, Endpoint::Name { .. }))
}

/// Looks the names of an upstream up for ever; the last good answer of each stays until a better one.
pub(crate) async fn keep_fresh(upstream: Arc<Upstream>) {
    let mut known: Vec<(String, u16, Vec<SocketAddr>)> = upstream
        .configured
        .iter()
        .filter_map(|endpoint| match endpoint {
            Endpoint::Name { host, port } => Some((host.clone(), *port, Vec::new())),
            _ => None,
        })
        .collect();
    loop {
        for (host, port, addresses) in &mut known {
            match look_up(host, *port).await {
                Ok(found) => *addresses = found,
                Err(error) => {
                    upstream.resolve_failures.fetch_add(1, Relaxed);
                    tracing::warn!(
                        upstream = upstream.name,
                        host,
                        error,
                        kept = addresses.len(),
                        "look-up failed"
                    );
                }
            }
        }
        let all: Vec<_> =
            known.iter().flat_map(|(_, _, addresses)| addresses.iter().copied()).collect();
        upstream.set_resolved(&all);
        time::sleep(upstream.dns_refresh).await;
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = match time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host((host, port))).await {
        Err(_) => return Err(format!("no answer within {LOOKUP_TIMEOUT:?}")),
        Ok(Err(error)) => return Err(error.to_string()),
        Ok(Ok(found)) => found,
    };
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Err("the name has no address".to_owned()) } else { Ok(found) }
}
