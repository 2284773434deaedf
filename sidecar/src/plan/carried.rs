//! What outlives a plan: the state of policies and what is counted, by name.
//!
//! A plan hands this to the next one, which takes from it what has the same name and kind. It holds
//! nothing itself: what neither a plan nor a request has any more is gone. So a policy that is removed
//! while its requests run is found again if it comes back before they end (its permits are still
//! counted), and however many plans there have been, no more is kept than is in use.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::AtomicU32},
};

use weir_policy::{RateLimiter, ServiceTime};

use super::{breaker::Breakers, concurrency::Permits, listener::Doors, retry::Tally};
use crate::{
    store::{Limit, Store},
    upstream::Upstream,
};

/// Everything that has a state, by the name that it has in the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Carried {
    pub(super) doors: ByName<Doors>,
    pub(super) rate_limits: ByName<RateLimiter>,
    /// What is held of rate limits that are shared.
    pub(super) shared: ByName<Limit>,
    pub(super) stores: ByName<Store>,
    pub(super) breakers: ByName<Breakers>,
    /// Of routes that have a limit of their own.
    pub(super) concurrency: ByName<Permits>,
    /// Of upstreams, for the routes that have none.
    pub(super) shared_concurrency: ByName<Permits>,
    /// By the name of the route.
    pub(super) retries: ByName<Tally>,
    /// By the name of the route.
    pub(super) service_times: ByName<ServiceTime>,
    /// Streams open now, by the name of the route.
    pub(super) streams: ByName<AtomicU32>,
    pub(super) upstreams: ByName<Upstream>,
}

/// Things of one kind.
#[derive(Debug)]
pub(super) struct ByName<T>(HashMap<String, Weak<T>>);

impl Carried {
    /// What is still in use.
    pub(super) fn handed_on(&self) -> Self {
        let mut next = self.clone();
        next.doors.forget_the_gone();
        next.rate_limits.forget_the_gone();
        next.shared.forget_the_gone();
        next.stores.forget_the_gone();
        next.breakers.forget_the_gone();
        next.concurrency.forget_the_gone();
        next.shared_concurrency.forget_the_gone();
        next.retries.forget_the_gone();
        next.service_times.forget_the_gone();
        next.streams.forget_the_gone();
        next.upstreams.forget_the_gone();
        next
    }
}

impl<T> ByName<T> {
    pub(super) fn get(&self, name: &str) -> Option<Arc<T>> {
        self.0.get(name)?.upgrade()
    }

    /// What has the name and suits, or else what `make` makes, which has the name from here on.
    pub(super) fn take(
        &mut self,
        name: &str,
        suits: impl Fn(&T) -> bool,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let found = self.get(name).filter(|found| suits(found));
        found.unwrap_or_else(|| self.put(name, Arc::new(make())))
    }

    pub(super) fn put(&mut self, name: &str, thing: Arc<T>) -> Arc<T> {
        self.0.insert(name.to_owned(), Arc::downgrade(&thing));
        thing
    }

    fn forget_the_gone(&mut self) {
        self.0.retain(|_, thing| thing.strong_count() > 0);
    }
}

impl<T> Clone for ByName<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}
