//! The plan: a configuration compiled into what a request needs.
//!
//! Listeners with their routers, routes with their policies already bound, upstreams. It never
//! changes once it is built, and a request holds the plan that it started with. A reload builds the
//! next one and swaps it whole; what has a state is in both, see [`carried`].

mod breaker;
mod carried;
mod concurrency;
mod listener;
mod path;
mod retry;
mod route;
pub(crate) mod router;

use std::{collections::HashMap, sync::Arc};

use weir_config::Config;
use weir_policy::Time;

use self::{carried::Carried, router::Router};
pub(crate) use self::{
    concurrency::{Concurrency, Turn, Waker},
    listener::{Doors, Listener},
    retry::{Cause, Withheld},
    route::{Rate, Route},
};
use crate::{
    observe::ledger::Ledger,
    store::Store,
    upstream::{Unusable, Upstream},
};

/// Everything that serves traffic.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Which one it is: 1 at the start, and one more with each that took another's place.
    pub(crate) generation: u64,
    /// What it was compiled from.
    pub(crate) config: Config,
    /// In the order of the plan that the process started with.
    pub(crate) listeners: Vec<Arc<Listener>>,
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
    /// Every concurrency limit that a route has, each once.
    pub(crate) limits: Vec<Arc<Concurrency>>,
    carried: Carried,
}

impl Plan {
    /// Compiles a configuration. Of what `before` has under the same names the state lives on; nothing
    /// of it changes until [`Plan::set`].
    ///
    /// # Errors
    /// When an upstream cannot be used.
    pub(crate) fn compile(
        config: Config,
        before: Option<&Self>,
        ledger: &Ledger,
    ) -> Result<Self, Unusable> {
        let mut carried = before.map(|plan| plan.carried.handed_on()).unwrap_or_default();
        let mut upstreams = Vec::new();
        for settings in &config.upstreams {
            let known = carried.upstreams.get(&settings.name);
            let upstream = Upstream::following(known, settings)?;
            upstreams.push(carried.upstreams.put(&settings.name, upstream));
        }
        let by_name: HashMap<&str, (usize, &Arc<Upstream>)> = upstreams
            .iter()
            .enumerate()
            .map(|(index, upstream)| (upstream.name.as_str(), (index, upstream)))
            .collect();
        let mut limits = Limits::default();
        let mut routes: Vec<Arc<Route>> = Vec::new();
        let mut listeners = Vec::new();
        for (index, listener) in in_order(&config, before).enumerate() {
            let mut entries = Vec::new();
            for route in &listener.routes {
                // The configuration has checked that every upstream named exists.
                let Some(&(index, upstream)) = by_name.get(route.upstream.as_str()) else {
                    continue;
                };
                let row = ledger.row(&listener.name, Some(&route.name));
                let upstream = (index, Arc::clone(upstream));
                let concurrency = limits.of(route, &config.upstreams[index], &mut carried);
                let compiled = Route::new(route, upstream, concurrency, row, &mut carried);
                let compiled = Arc::new(compiled);
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
                unrouted: ledger.row(&listener.name, None),
                doors: carried.doors.take(&listener.name, |_| true, Default::default),
            }));
        }
        let generation = before.map_or(1, |plan| plan.generation + 1);
        let limits = limits.all;
        Ok(Self { generation, config, listeners, routes, upstreams, limits, carried })
    }

    /// Sets every policy as this plan has it: from here on also for requests that hold an older plan.
    pub(crate) fn set(&self, now: Time) {
        for route in &self.routes {
            route.set(now);
        }
        for limit in &self.limits {
            limit.set(now);
        }
    }

    /// The stores of its shared limits, each once.
    pub(crate) fn stores(&self) -> Vec<Arc<Store>> {
        let mut stores: Vec<Arc<Store>> = Vec::new();
        let limits = self.routes.iter().flat_map(|route| &route.rates);
        for limit in limits.filter_map(|rate| rate.shared.as_ref()) {
            if !stores.iter().any(|store| Arc::ptr_eq(store, limit.store())) {
                stores.push(Arc::clone(limit.store()));
            }
        }
        stores
    }

    /// Whether a peer's forwarding, priority, deadline and fault headers are believed.
    pub(crate) fn trusts(&self, peer: Option<std::net::IpAddr>) -> bool {
        peer.is_some_and(|peer| {
            let peer = peer.to_canonical();
            self.config.trusted.iter().any(|net| net.contains(&peer))
        })
    }
}

/// The concurrency limits of the routes, as they are found.
#[derive(Debug, Default)]
struct Limits {
    all: Vec<Arc<Concurrency>>,
    /// Those that routes share, by the upstream.
    shared: HashMap<String, Arc<Concurrency>>,
}

impl Limits {
    /// The limit of a route: its own, or that of its upstream.
    fn of(
        &mut self,
        route: &weir_config::Route,
        upstream: &weir_config::Upstream,
        carried: &mut Carried,
    ) -> Arc<Concurrency> {
        if let Some(own) = &route.concurrency {
            let own = Concurrency::new(own, Some(&route.name), &mut carried.concurrency);
            return self.put(own);
        }
        if let Some(shared) = self.shared.get(&upstream.name) {
            return Arc::clone(shared);
        }
        let known = &mut carried.shared_concurrency;
        let shared = self.put(Concurrency::new(&upstream.concurrency, None, known));
        self.shared.insert(upstream.name.clone(), Arc::clone(&shared));
        shared
    }

    fn put(&mut self, limit: Concurrency) -> Arc<Concurrency> {
        let limit = Arc::new(limit);
        self.all.push(Arc::clone(&limit));
        limit
    }
}

/// The listeners in the order of the plan before: that of the sockets and of the ledger. Which ones
/// there are does not change while the process runs.
fn in_order<'a>(
    config: &'a Config,
    before: Option<&Plan>,
) -> impl Iterator<Item = &'a weir_config::Listener> {
    let mut listeners: Vec<_> = config.listeners.iter().collect();
    if let Some(before) = before {
        let place = |name: &str| before.listeners.iter().position(|known| known.name == name);
        listeners.sort_by_key(|listener| place(&listener.name));
    }
    listeners.into_iter()
}
