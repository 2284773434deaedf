//! Where requests go: the endpoints of an upstream, kept fresh off the request's way.
//!
//! A name is resolved in the background and its last good answer is kept, so that no request waits
//! for DNS and an outage of DNS is not an outage of the service. The picking itself is in
//! [`weir_policy::Balancer`].

mod authorities;
pub(crate) mod resolve;
mod succession;

use std::{
    io,
    net::Ipv4Addr,
    os::unix::net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use pingora::{protocols::l4::socket, upstreams::peer::HttpPeer};
use tokio_util::sync::CancellationToken;
use weir_config::{Objection, Protocol, Tls};
use weir_policy::Balancer;

/// How many streams may share a connection of an h2 upstream; the peer's own setting still holds.
const H2_STREAMS_PER_CONNECTION: usize = 1_000;
/// What is held of an answer that its client does not take.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// Room for the window of every stream at once, so that a client that does not read its answer holds up
/// its own stream and no other.
const H2_CONNECTION_WINDOW: u32 = H2_STREAMS_PER_CONNECTION as u32 * H2_STREAM_WINDOW;

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
    balancer: Balancer,
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

/// One address of an upstream.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Its own in this process.
    pub(crate) id: u64,
    /// The address, or `unix:` and the path.
    pub(crate) name: String,
    /// What Pingora's connector needs to know.
    pub(crate) peer: HttpPeer,
    /// Requests it is working on.
    pub(crate) in_flight: Arc<AtomicU32>,
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
            balancer: Balancer::new(settings.balance),
            names: Mutex::new(settings.endpoints.iter().filter_map(name).collect()),
            looked_up: AtomicBool::new(false),
            connections_opened: Arc::default(),
            resolve_failures: Arc::default(),
            settings: settings.clone(),
            authorities: authorities::of(settings)?,
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
            known.push(Arc::new(upstream.endpoint(endpoint.to_string(), address)));
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

    /// Replaces the endpoints that came from names; those that stay keep what they count.
    pub(crate) fn set_resolved(&self, resolved: &[std::net::SocketAddr]) {
        let before = self.endpoints.load();
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
                Arc::new(self.endpoint(name, socket::SocketAddr::Inet(*address)))
            }));
        }
        self.endpoints.store(Arc::new(after));
    }

    /// The endpoints at this moment.
    pub(crate) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Chooses an endpoint among those that `usable` takes; `None` when there is none.
    pub(crate) fn pick(&self, usable: impl Fn(&Endpoint) -> bool) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints.load();
        let in_flight = |place: usize| endpoints[place].in_flight.load(Relaxed);
        let place =
            self.balancer.pick(endpoints.len(), in_flight, |place| usable(&endpoints[place]))?;
        Some(Arc::clone(&endpoints[place]))
    }

    fn endpoint(&self, name: String, address: socket::SocketAddr) -> Endpoint {
        let sni = self.tls.as_ref().map_or_else(String::new, |tls| tls.sni.clone());
        let mut peer = HttpPeer::new(PLACEHOLDER, self.tls.is_some(), sni);
        peer._address = address;
        match self.protocol {
            Protocol::H1 => peer.options.set_http_version(1, 1),
            Protocol::H2 => peer.options.set_http_version(2, 2),
        }
        peer.options.max_h2_streams = H2_STREAMS_PER_CONNECTION;
        peer.options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
        peer.options.h2_stream_window_size = Some(H2_STREAM_WINDOW);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Endpoint { id: NEXT.fetch_add(1, Relaxed), name, peer, in_flight: Arc::default() }
    }
}

/// Pingora's constructor takes only what it can look up; the address is set right after.
const PLACEHOLDER: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 0);
