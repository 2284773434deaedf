//! The plan: a configuration compiled into what a request needs.
//!
//! Listeners with their routers, routes with their policies already bound, upstreams. It never
//! changes once it is built, and a request holds the plan that it started with.

mod breaker;
mod path;
pub(crate) mod router;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

use http::HeaderValue;
use weir_config::{
    Address, Config, ListenerLimits, ListenerTimeout, Mode, RateLimit, RouteLimits, Timeout,
};
use weir_policy::{InFlight, RateLimiter};

use self::{breaker::RouteBreaker, router::Router};
use crate::upstream::{BadPath, Upstream};

/// Wakes the request that waits for a permit.
pub(crate) type Waker = tokio::sync::oneshot::Sender<()>;

/// Everything that serves traffic.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) trusted: Vec<ipnet::IpNet>,
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// By [`Route::index`].
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
}

/// A listening socket's half of the plan.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its place in [`Plan::listeners`] and in the ledger.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) address: Address,
    pub(crate) limits: ListenerLimits,
    pub(crate) timeout: ListenerTimeout,
    pub(crate) router: Router,
    /// The ledger's row for requests that never had a route.
    pub(crate) unrouted: usize,
    /// Connections open now.
    pub(crate) connections: AtomicU32,
    /// Connections refused because `limits.connections` were open.
    pub(crate) connections_refused: AtomicU64,
}

/// A route with its policies.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its place in [`Plan::routes`] and in the ledger.
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) listener: String,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) stream: bool,
    pub(crate) rates: Vec<Rate>,
    pub(crate) breaker: RouteBreaker,
    pub(crate) concurrency: Concurrency,
    pub(crate) timeout: Timeout,
    pub(crate) limits: RouteLimits,
    /// Streams open now.
    pub(crate) streams: AtomicU32,
}

/// A rate limit and what its answers say of it.
#[derive(Debug)]
pub(crate) struct Rate {
    pub(crate) settings: RateLimit,
    pub(crate) limiter: RateLimiter,
    /// `RateLimit-Policy`, which never changes.
    pub(crate) policy_header: HeaderValue,
}

/// The concurrency limit of a route.
#[derive(Debug)]
pub(crate) struct Concurrency {
    pub(crate) settings: weir_config::Concurrency,
    pub(crate) in_flight: InFlight<Waker>,
}

impl Plan {
    /// Compiles a configuration.
    ///
    /// # Errors
    /// When the path of a Unix socket is longer than the system takes.
    pub(crate) fn compile(config: &Config) -> Result<Self, BadPath> {
        let upstreams = config.upstreams.iter().enumerate();
        let upstreams =
            upstreams.map(|(index, upstream)| Upstream::new(index, upstream).map(Arc::new));
        let upstreams: Vec<_> = upstreams.collect::<Result<_, _>>()?;
        let by_name: HashMap<&str, &Arc<Upstream>> =
            upstreams.iter().map(|upstream| (upstream.name.as_str(), upstream)).collect();
        let mut routes: Vec<Arc<Route>> = Vec::new();
        let mut listeners = Vec::new();
        let routed: usize = config.listeners.iter().map(|listener| listener.routes.len()).sum();
        for (index, listener) in config.listeners.iter().enumerate() {
            let mut entries = Vec::new();
            for route in &listener.routes {
                // The configuration has checked that every upstream named exists.
                let Some(upstream) = by_name.get(route.upstream.as_str()) else { continue };
                let compiled =
                    Arc::new(Route::new(routes.len(), listener, route, Arc::clone(upstream)));
                routes.push(Arc::clone(&compiled));
                entries.push((route.matches.clone(), compiled));
            }
            listeners.push(Arc::new(Listener {
                index,
                name: listener.name.clone(),
                address: listener.address.clone(),
                limits: listener.limits.clone(),
                timeout: listener.timeout.clone(),
                router: Router::new(entries),
                unrouted: routed + index,
                connections: AtomicU32::new(0),
                connections_refused: AtomicU64::new(0),
            }));
        }
        Ok(Self { trusted: config.trusted.clone(), listeners, routes, upstreams })
    }

    /// Whether a peer's forwarding, priority and deadline headers are believed.
    pub(crate) fn trusts(&self, peer: Option<std::net::IpAddr>) -> bool {
        peer.is_some_and(|peer| {
            let peer = peer.to_canonical();
            self.trusted.iter().any(|net| net.contains(&peer))
        })
    }
}

impl Route {
    fn new(
        index: usize,
        listener: &weir_config::Listener,
        route: &weir_config::Route,
        upstream: Arc<Upstream>,
    ) -> Self {
        Self {
            index,
            name: route.name.clone(),
            listener: listener.name.clone(),
            upstream,
            stream: route.stream,
            rates: route
                .rate_limits
                .iter()
                .filter(|rate| rate.mode != Mode::Disabled)
                .map(Rate::new)
                .collect(),
            breaker: RouteBreaker::new(&route.breaker),
            concurrency: Concurrency {
                settings: route.concurrency.clone(),
                in_flight: InFlight::new(&route.concurrency),
            },
            timeout: route.timeout.clone(),
            limits: route.limits.clone(),
            streams: AtomicU32::new(0),
        }
    }

    /// Takes a place among the open streams; `false` when `limits.streams` are open.
    pub(crate) fn open_stream(&self) -> bool {
        let limit = self.limits.streams.get();
        self.streams
            .fetch_update(Relaxed, Relaxed, |open| (open < limit).then_some(open + 1))
            .is_ok()
    }
}

impl Rate {
    fn new(settings: &RateLimit) -> Self {
        let name: String = settings
            .name
            .chars()
            .filter(|letter| letter.is_ascii_graphic() && *letter != '"')
            .collect();
        // The window in which the quota is whole: a second, or the time that one request takes below 1/s.
        let window = (1.0 / settings.qps).ceil().max(1.0);
        let quota = (settings.qps * window).round();
        let header = format!("\"{name}\";q={quota};w={window}");
        Self {
            settings: settings.clone(),
            limiter: RateLimiter::new(settings),
            policy_header: HeaderValue::from_str(&header)
                .unwrap_or(HeaderValue::from_static("\"rate_limit\"")),
        }
    }
}
