//! Where requests go: the endpoints of an upstream, kept fresh off the request's way.
//!
//! A name is resolved in the background and its last good answer is kept, so that no request waits
//! for DNS and an outage of DNS is not an outage of the service. The picking itself is in
//! [`weir_policy::Balancer`].

mod authorities;
mod endpoint;
mod gone;
mod health;
mod resolve;
mod succession;
mod why;

use std::{
    io,
    os::unix::net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora::protocols::l4::socket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use weir_config::{Objection, Protocol, Tls};
use weir_policy::{Endpoints, Outcome, Standing, Time, View};

pub(crate) use self::{endpoint::Endpoint, resolve::first_looked_up};
use self::{endpoint::Identity, gone::Gone};
use crate::clock;

/// A service with its endpoints.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<Tls>,
    pub(crate) keepalive: Duration,
    pub(crate) dns_refresh: Duration,
    pub(crate) configured: Vec<weir_config::Endpoint>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Which of them are used.
    rules: Endpoints,
    /// Woken when there are others.
    endpoints_changed: Notify,
    /// Those that were there, and may be again.
    gone: Arc<Gone>,
    names: Mutex<Vec<Name>>,
    /// Whether each of its names has been looked up once, whatever came of it.
    looked_up: AtomicBool,
    /// Connections opened since the start.
    pub(crate) connections_opened: Arc<AtomicU64>,
    /// Failed look-ups since the start.
    pub(crate) resolve_failures: Arc<AtomicU64>,
    /// What it was made of.
    settings: weir_config::Upstream,
    authorities: Option<u64>,
    /// There was another one of that name before.
    follows: bool,
    /// No plan has it any more: whoever looks after it ends.
    pub(crate) retired: CancellationToken,
}

/// A name among the endpoints, and what it was last resolved to.
#[derive(Clone, Debug)]
struct Name {
    host: String,
    port: u16,
    addresses: Vec<std::net::SocketAddr>,
}

/// An upstream that cannot be used as it is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("upstream {upstream}: {path:?} cannot be a socket's path")]
    Path { upstream: String, path: PathBuf, source: io::Error },
    #[error("upstream {upstream}: cannot use the authorities in {path}: {why}")]
    Authorities { upstream: String, path: PathBuf, why: String },
}

impl Unusable {
    /// What is wrong, with its place in the configuration.
    pub(crate) fn objection(&self) -> Objection {
        let (upstream, key, help) = match self {
            Self::Path { upstream, .. } => (upstream, "endpoints", "write a shorter path"),
            Self::Authorities { upstream, .. } => {
                (upstream, "tls.ca", "name a PEM file of certificates that the sidecar can read")
            }
        };
        let path = format!("upstreams.{upstream}.{key}");
        Objection { path, what: self.to_string(), help: help.to_owned() }
    }
}

/// Looks after these upstreams on the current runtime, until no plan has them: their names, and where
/// that is set the health of their endpoints.
pub(crate) fn look_after(upstreams: &[Arc<Upstream>]) {
    resolve::start(upstreams);
    health::start(upstreams);
}

impl Upstream {
    /// # Errors
    /// When the path of a Unix socket is longer than the system takes, or there are no authorities to
    /// be had from their file.
    pub(crate) fn new(settings: &weir_config::Upstream) -> Result<Self, Unusable> {
        let name = |endpoint: &weir_config::Endpoint| match endpoint {
            weir_config::Endpoint::Name { host, port } => {
                Some(Name { host: host.clone(), port: *port, addresses: Vec::new() })
            }
            _ => None,
        };
        let upstream = Self {
            name: settings.name.clone(),
            protocol: settings.protocol,
            tls: settings.tls.clone(),
            keepalive: settings.keepalive,
            dns_refresh: settings.dns_refresh,
            configured: settings.endpoints.clone(),
            endpoints: ArcSwap::from_pointee(Vec::new()),
            rules: Endpoints::new(settings),
            endpoints_changed: Notify::new(),
            gone: Arc::default(),
            names: Mutex::new(settings.endpoints.iter().filter_map(name).collect()),
            looked_up: AtomicBool::new(false),
            connections_opened: Arc::default(),
            resolve_failures: Arc::default(),
            settings: settings.clone(),
            authorities: authorities::of(settings)?,
            follows: false,
            retired: CancellationToken::new(),
        };
        let mut known = Vec::new();
        for endpoint in &settings.endpoints {
            let address = match endpoint {
                weir_config::Endpoint::Address(address) => socket::SocketAddr::Inet(*address),
                weir_config::Endpoint::Unix(path) => match SocketAddr::from_pathname(path) {
                    Ok(address) => socket::SocketAddr::Unix(address),
                    Err(source) => {
                        return Err(Unusable::Path {
                            upstream: settings.name.clone(),
                            path: path.clone(),
                            source,
                        });
                    }
                },
                weir_config::Endpoint::Name { .. } => continue,
            };
            let first = Identity::new(Standing::first(clock::now()));
            known.push(Arc::new(Endpoint::new(first, endpoint.to_string(), address, settings)));
        }
        upstream.endpoints.store(Arc::new(known));
        Ok(upstream)
    }

    /// What the name at this place among its names was resolved to.
    fn learn(&self, name: usize, addresses: Vec<std::net::SocketAddr>) {
        self.names()[name].addresses = addresses;
        self.set_resolved(&self.addresses());
    }

    fn names(&self) -> MutexGuard<'_, Vec<Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every address that its names were last resolved to.
    fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.names().iter().flat_map(|name| &name.addresses).copied().collect()
    }

    /// Replaces the endpoints that came from names; those that stay keep what is known of them.
    pub(crate) fn set_resolved(&self, resolved: &[std::net::SocketAddr]) {
        let (before, now) = (self.endpoints.load(), clock::now());
        let written = |endpoint: &&Arc<Endpoint>| {
            self.configured.iter().any(|one| one.to_string() == endpoint.name)
        };
        let mut after: Vec<_> = before.iter().filter(written).cloned().collect();
        for address in resolved {
            let name = address.to_string();
            if after.iter().any(|endpoint| endpoint.name == name) {
                continue;
            }
            let known = before.iter().find(|endpoint| endpoint.name == name).cloned();
            after.push(known.unwrap_or_else(|| {
                let identity = self.gone.take(&name, now).unwrap_or_else(|| self.newcomer(now));
                let address = socket::SocketAddr::Inet(*address);
                Arc::new(Endpoint::new(identity, name, address, &self.settings))
            }));
        }
        self.remember_those_missing(&before, &after, now);
        self.endpoints.store(Arc::new(after));
        self.endpoints_changed.notify_one();
    }

    /// One that was never here: the first ones are used as they are found, others join them.
    fn newcomer(&self, now: Time) -> Identity {
        let begins = !self.follows && !self.looked_up.load(Relaxed);
        let is_first = begins || self.endpoints.load().is_empty();
        Identity::new(match is_first {
            true => Standing::first(now),
            false => Standing::joining(self.settings.health_check.is_some(), now),
        })
    }

    fn remember_those_missing(&self, before: &[Arc<Endpoint>], after: &[Arc<Endpoint>], now: Time) {
        let is_missing = |one: &&Arc<Endpoint>| !after.iter().any(|other| other.name == one.name);
        for endpoint in before.iter().filter(is_missing) {
            self.gone.put(&endpoint.name, endpoint.identity(), now);
        }
    }

    /// The endpoints at this moment.
    pub(crate) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Chooses an endpoint with none of these [ids](Endpoint::id): that have been tried, or may not be
    /// asked. `None` when no other one would be used. `random` is 64 even random bits.
    pub(crate) fn pick(&self, without: &[u64], random: u64) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints.load();
        let excluded = |place: usize| without.contains(&endpoints[place].id);
        let picked = self.rules.pick(standings(&endpoints), excluded, clock::now(), random)?;
        Some(Arc::clone(&endpoints[picked.place]))
    }

    /// What came of a request that an endpoint was handed then. Only what the upstream did.
    pub(crate) fn on_outcome(&self, one: &Endpoint, outcome: Outcome, began: Time, now: Time) {
        let endpoints = self.endpoints.load();
        // What was judged is seen by whoever looks at the endpoint.
        let _judged =
            self.rules.on_outcome(&one.standing, outcome, began, now, standings(&endpoints));
    }

    /// What is known of an endpoint.
    pub(crate) fn view(&self, endpoint: &Endpoint, now: Time) -> View {
        self.rules.view(&endpoint.standing, now)
    }

    /// Whether no endpoint would be used, so that all are.
    pub(crate) fn is_in_panic(&self, now: Time) -> bool {
        let endpoints = self.endpoints.load();
        !endpoints.is_empty() && !standings(&endpoints).any(|one| self.rules.is_used(one, now))
    }

    /// Requests that went to any endpoint because none would be used, since the start.
    pub(crate) fn panicked(&self) -> u64 {
        self.rules.panicked()
    }

    /// How its endpoints are checked, where they are.
    pub(crate) fn health_check(&self) -> Option<&weir_config::HealthCheck> {
        self.settings.health_check.as_ref()
    }

    /// When one that fails where others do not is passed over; `None` where there is only one.
    pub(crate) fn outlier(&self) -> Option<&weir_config::Outlier> {
        self.settings.outlier.as_ref()
    }
}

fn standings(endpoints: &[Arc<Endpoint>]) -> impl Iterator<Item = &Standing> + Clone {
    endpoints.iter().map(|endpoint| &*endpoint.standing)
}
