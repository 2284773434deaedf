//! The breaker of a route: one for all, or one for each endpoint.
//!
//! Which endpoints there are changes with DNS, and every request asks for its breaker. So the known
//! ones are a map that never changes, and a new endpoint replaces it whole: a request takes no lock
//! that another one could hold. They outlive a reload, so how they are set is told to them.

use std::{collections::HashMap, sync::Arc};

use arc_swap::ArcSwap;
use weir_config::{BreakerScope, Mode};
use weir_policy::{Breaker, Time};

use super::carried::Carried;
use crate::{
    clock,
    upstream::{Endpoint, Upstream},
};

/// The breakers of a route, and how this plan has them.
#[derive(Debug)]
pub(crate) struct RouteBreaker {
    pub(crate) settings: weir_config::Breaker,
    breakers: Arc<Breakers>,
}

/// The breakers themselves, whatever the plan.
#[derive(Debug)]
pub(crate) struct Breakers {
    route: Arc<Breaker>,
    /// By [`Endpoint::id`], with the endpoint's name.
    endpoints: ArcSwap<HashMap<u64, (String, Arc<Breaker>)>>,
    /// How they are set now.
    settings: ArcSwap<weir_config::Breaker>,
}

impl RouteBreaker {
    pub(super) fn new(settings: &weir_config::Breaker, carried: &mut Carried) -> Self {
        let make = || Breakers {
            route: Arc::new(Breaker::new(settings)),
            endpoints: ArcSwap::default(),
            settings: ArcSwap::from_pointee(settings.clone()),
        };
        let breakers = carried.breakers.take(&settings.name, |_| true, make);
        Self { settings: settings.clone(), breakers }
    }

    /// The breaker that decides before an endpoint is known, where there is one.
    pub(crate) fn of_route(&self) -> Option<&Arc<Breaker>> {
        (self.settings.mode != Mode::Disabled && self.settings.per == BreakerScope::Route)
            .then_some(&self.breakers.route)
    }

    /// The breaker of an endpoint, where each has its own.
    pub(crate) fn of_endpoint(
        &self,
        upstream: &Upstream,
        endpoint: &Endpoint,
    ) -> Option<Arc<Breaker>> {
        if self.settings.mode == Mode::Disabled || self.settings.per == BreakerScope::Route {
            return None;
        }
        let known = self.breakers.known(endpoint);
        Some(known.unwrap_or_else(|| self.breakers.introduce(upstream, endpoint)))
    }

    /// Every breaker with the endpoint it belongs to, for metrics.
    pub(crate) fn all(&self) -> Vec<(Option<String>, Arc<Breaker>)> {
        match (self.settings.mode, self.settings.per) {
            (Mode::Disabled, _) => Vec::new(),
            (_, BreakerScope::Route) => vec![(None, Arc::clone(&self.breakers.route))],
            (_, BreakerScope::Endpoint) => {
                let named =
                    |(name, breaker): &(_, _)| (Some(String::clone(name)), Arc::clone(breaker));
                self.breakers.endpoints.load().values().map(named).collect()
            }
        }
    }

    /// Sets the breakers as this plan has them.
    pub(super) fn set(&self, now: Time) {
        if **self.breakers.settings.load() == self.settings {
            return;
        }
        // First, so that an endpoint that is just being introduced is not left with what was before.
        self.breakers.settings.store(Arc::new(self.settings.clone()));
        self.breakers.route.reconfigure(&self.settings, now);
        for (_, breaker) in self.breakers.endpoints.load().values() {
            breaker.reconfigure(&self.settings, now);
        }
    }
}

impl Breakers {
    fn known(&self, endpoint: &Endpoint) -> Option<Arc<Breaker>> {
        self.endpoints.load().get(&endpoint.id).map(|(_, breaker)| Arc::clone(breaker))
    }

    /// A breaker for an endpoint that has none. Addresses come and go with DNS; those that have gone
    /// are forgotten when a new one comes.
    fn introduce(&self, upstream: &Upstream, endpoint: &Endpoint) -> Arc<Breaker> {
        let settings = self.settings.load_full();
        let new = Arc::new(Breaker::new(&settings));
        self.endpoints.rcu(|known| {
            let mut known = HashMap::clone(known);
            let named = || (endpoint.name.clone(), Arc::clone(&new));
            known.entry(endpoint.id).or_insert_with(named);
            // Read after what is known: else an endpoint that came in between would be taken for gone.
            let current = upstream.endpoints();
            known.retain(|id, _| current.iter().any(|endpoint| endpoint.id == *id));
            known
        });
        // A reload that came in between has not seen it.
        let settings_now = self.settings.load();
        if !Arc::ptr_eq(&settings, &settings_now) {
            new.reconfigure(&settings_now, clock::now());
        }
        // Another request may have been first, or the endpoint may have gone in this moment.
        self.known(endpoint).unwrap_or(new)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    const YAML: &str = r#"
version: 1
listeners:
  - address: 127.0.0.1:8080
    routes: [{ upstream: app, breaker: { consecutive: 1, per: endpoint } }]
upstreams:
  app: { endpoints: ["app.test:80"] }
"#;

    fn of_yaml() -> (RouteBreaker, Upstream) {
        let config = weir_config::load(YAML, "weir.yaml", &|_| None).unwrap();
        let settings = &config.listeners[0].routes[0].breaker;
        let breaker = RouteBreaker::new(settings, &mut Carried::default());
        (breaker, Upstream::new(&config.upstreams[0]).unwrap())
    }

    fn resolve(upstream: &Upstream, hosts: &[u8]) -> Vec<Arc<Endpoint>> {
        let addresses: Vec<_> = hosts.iter().map(|host| ([10, 0, 0, *host], 80).into()).collect();
        upstream.set_resolved(&addresses);
        upstream.endpoints().to_vec()
    }

    fn names(breaker: &RouteBreaker) -> Vec<String> {
        let mut names: Vec<_> = breaker.all().into_iter().filter_map(|(name, _)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn an_endpoint_keeps_its_breaker_until_it_has_gone() {
        let (breaker, upstream) = of_yaml();
        let before = resolve(&upstream, &[1, 2]);
        let [one, two] =
            [0, 1].map(|place| breaker.of_endpoint(&upstream, &before[place]).unwrap());
        assert!(!Arc::ptr_eq(&one, &two));
        assert_eq!(names(&breaker), ["10.0.0.1:80", "10.0.0.2:80"]);
        let after = resolve(&upstream, &[2, 3]);
        assert!(Arc::ptr_eq(&two, &breaker.of_endpoint(&upstream, &after[0]).unwrap()));
        assert_eq!(names(&breaker).len(), 2, "the first is forgotten when a new one comes");
        breaker.of_endpoint(&upstream, &after[1]).unwrap();
        assert_eq!(names(&breaker), ["10.0.0.2:80", "10.0.0.3:80"]);
        assert!(Arc::ptr_eq(&two, &breaker.of_endpoint(&upstream, &after[0]).unwrap()));
        let again = resolve(&upstream, &[1]);
        assert!(!Arc::ptr_eq(&one, &breaker.of_endpoint(&upstream, &again[0]).unwrap()));
    }

    #[test]
    fn requests_that_meet_new_endpoints_at_once_agree() {
        const THREADS: usize = 4;
        let hosts: Vec<u8> = (0..50).collect();
        let (breaker, upstream) = of_yaml();
        let endpoints = resolve(&upstream, &hosts);
        let together = Barrier::new(THREADS);
        let ask = || {
            let ask = |endpoint: &Arc<Endpoint>| {
                together.wait();
                breaker.of_endpoint(&upstream, endpoint).unwrap()
            };
            endpoints.iter().map(ask).collect::<Vec<_>>()
        };
        let seen: Vec<_> = thread::scope(|scope| {
            let asking: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
            asking.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for other in &seen[1..] {
            assert!(seen[0].iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other)));
        }
        assert_eq!(breaker.all().len(), hosts.len());
    }
}
