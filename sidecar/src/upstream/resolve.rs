//! Names into endpoints, off the request's way.

use std::{net::SocketAddr, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::{select, time};

use super::{Name, Upstream};

/// How long a look-up may take before it counts as failed.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How many addresses of a name become endpoints: each has its series among the metrics, and its checks.
const ADDRESSES_MAX: usize = 256;

/// How often it is looked whether a first look-up is over.
const LOOK: Duration = Duration::from_millis(10);

/// Looks after the names of these upstreams, on the current runtime.
pub(super) fn start(upstreams: &[Arc<Upstream>]) {
    for upstream in upstreams.iter().filter(|upstream| !upstream.names().is_empty()) {
        tokio::spawn(keep_fresh(Arc::clone(upstream)));
    }
}

/// Waits until each name of these upstreams has an address or has been looked up in vain.
pub(crate) async fn first_looked_up(upstreams: &[Arc<Upstream>]) {
    let is_missing = |upstream: &Arc<Upstream>| {
        let is_unknown = |name: &Name| name.addresses.is_empty();
        !upstream.looked_up.load(Relaxed) && upstream.names().iter().any(is_unknown)
    };
    while upstreams.iter().any(is_missing) {
        time::sleep(LOOK).await;
    }
}

/// Looks the names of an upstream up until no plan has it; the last good answer of each stays until a
/// better one.
async fn keep_fresh(upstream: Arc<Upstream>) {
    let retired = upstream.retired.clone();
    let looking = async {
        loop {
            look_up_all(&upstream).await;
            upstream.looked_up.store(true, Relaxed);
            time::sleep(upstream.dns_refresh).await;
        }
    };
    select! {
        () = retired.cancelled() => {}
        () = looking => {}
    }
}

async fn look_up_all(upstream: &Upstream) {
    let names = upstream.names().clone();
    for (place, name) in names.iter().enumerate() {
        match look_up(&name.host, name.port).await {
            Ok(found) => upstream.learn(place, found),
            Err(error) => {
                upstream.resolve_failures.fetch_add(1, Relaxed);
                tracing::warn!(
                    upstream = upstream.name,
                    host = name.host,
                    error,
                    kept = name.addresses.len(),
                    "look-up failed"
                );
            }
        }
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
    found.truncate(ADDRESSES_MAX);
    if found.is_empty() { Err("the name has no address".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_until_no_plan_has_the_upstream() {
        let yaml = "version: 1\nlisteners: [{ address: 127.0.0.1:0, upstream: app }]\n\
                    upstreams: { app: { endpoints: [\"localhost:80\"], dns_refresh: 24h } }\n";
        let config = weir_config::load(yaml, "weir.yaml", &|_| None).unwrap();
        let upstream = Arc::new(Upstream::new(&config.upstreams[0]).unwrap());
        let looking = tokio::spawn(keep_fresh(Arc::clone(&upstream)));
        first_looked_up(&[Arc::clone(&upstream)]).await;
        assert!(!upstream.endpoints().is_empty());
        assert!(!looking.is_finished(), "it waits for the next time");
        upstream.retire();
        time::timeout(LOOKUP_TIMEOUT, looking).await.expect("it ends at once").unwrap();
    }
}
