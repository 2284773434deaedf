//! A route with its policies.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use http::HeaderValue;
use weir_config::{Deadline, Faults, Mode, Priorities, RateLimit, RouteLimits, Timeout};
use weir_policy::{RateLimiter, ServiceTime, Time};

use super::{Concurrency, breaker::RouteBreaker, carried::Carried, retry::RouteRetry};
use crate::{
    observe::ledger::Row,
    store::{Limit, Store},
    upstream::Upstream,
};

/// A route, its upstream and its policies.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) upstream: Arc<Upstream>,
    /// The place of `upstream` in [`Plan::upstreams`](super::Plan::upstreams).
    pub(crate) upstream_index: usize,
    pub(crate) stream: bool,
    pub(crate) rates: Vec<Rate>,
    /// Rate limits that are disabled, which know what is owed when they are enabled again.
    resting: Vec<Rate>,
    pub(crate) breaker: RouteBreaker,
    /// Its own limit, or the one that it shares with the other routes to its upstream.
    pub(crate) concurrency: Arc<Concurrency>,
    pub(crate) priority: Priorities,
    pub(crate) retry: RouteRetry,
    pub(crate) timeout: Timeout,
    pub(crate) limits: RouteLimits,
    pub(crate) deadline: Deadline,
    pub(crate) faults: Option<Faults>,
    /// What its requests need of the upstream.
    pub(crate) service_time: Arc<ServiceTime>,
    /// Where its requests are counted.
    pub(crate) row: Arc<Row>,
    /// Streams open now.
    pub(crate) streams: Arc<AtomicU32>,
}

/// A rate limit and what its answers say of it.
#[derive(Debug)]
pub(crate) struct Rate {
    pub(crate) settings: RateLimit,
    pub(crate) limiter: Arc<RateLimiter>,
    /// Where other sidecars share it; `limiter` is what this one has by itself then.
    pub(crate) shared: Option<Arc<Limit>>,
    /// `RateLimit-Policy`, which never changes.
    pub(crate) policy_header: HeaderValue,
}

impl Route {
    pub(super) fn new(
        route: &weir_config::Route,
        (upstream_index, upstream): (usize, Arc<Upstream>),
        concurrency: Arc<Concurrency>,
        row: Arc<Row>,
        carried: &mut Carried,
    ) -> Self {
        let all = route.rate_limits.iter().map(|rate| Rate::new(rate, carried));
        let (resting, rates) = all.partition(|rate| rate.settings.mode == Mode::Disabled);
        Self {
            name: route.name.clone(),
            upstream,
            upstream_index,
            stream: route.stream,
            rates,
            resting,
            breaker: RouteBreaker::new(&route.breaker, carried),
            concurrency,
            priority: route.priority.clone(),
            retry: RouteRetry::new(route, carried),
            timeout: route.timeout.clone(),
            limits: route.limits.clone(),
            deadline: route.deadline.clone(),
            faults: route.faults.clone(),
            service_time: carried.service_times.take(&route.name, |_| true, ServiceTime::new),
            row,
            streams: carried.streams.take(&route.name, |_| true, AtomicU32::default),
        }
    }

    /// Takes a place among the open streams; `false` when `limits.streams` are open.
    pub(crate) fn open_stream(&self) -> bool {
        let limit = self.limits.streams.get();
        self.streams
            .fetch_update(Relaxed, Relaxed, |open| (open < limit).then_some(open + 1))
            .is_ok()
    }

    /// Sets the policies as this plan has them; they may be another plan's too, or have been.
    pub(super) fn set(&self, now: Time) {
        for rate in self.rates.iter().chain(&self.resting) {
            rate.limiter.reconfigure(&rate.settings, now);
            if let Some(shared) = &rate.shared {
                shared.reconfigure(&rate.settings);
            }
        }
        self.breaker.set(now);
        self.retry.set();
    }
}

impl Rate {
    fn new(settings: &RateLimit, carried: &mut Carried) -> Self {
        let name: String = settings
            .name
            .chars()
            .filter(|letter| letter.is_ascii_graphic() && *letter != '"')
            .collect();
        // The window in which the quota is whole: a second, or the time that one request takes below 1/s.
        let window = (1.0 / settings.qps).ceil().max(1.0);
        let quota = (settings.qps * window).round();
        let header = format!("\"{name}\";q={quota};w={window}");
        let suits = |limiter: &RateLimiter| limiter.suits(settings);
        let limiter =
            carried.rate_limits.take(&settings.name, suits, || RateLimiter::new(settings));
        Self {
            settings: settings.clone(),
            limiter,
            shared: shared(settings, carried),
            policy_header: HeaderValue::from_str(&header)
                .unwrap_or(HeaderValue::from_static("\"rate_limit\"")),
        }
    }
}

/// The fleet's side of a rate limit, if it has one. One that is disabled has none: the store knows what
/// is owed when it is enabled again.
fn shared(settings: &RateLimit, carried: &mut Carried) -> Option<Arc<Limit>> {
    let shared = settings.shared.as_ref().filter(|_| settings.mode != Mode::Disabled)?;
    let is_it = |store: &Store| store.is_for(shared);
    let store = carried.stores.take(&Store::key(shared), is_it, || Store::new(shared));
    let before = carried.shared.get(&settings.name);
    if let Some(limit) = before.as_ref().filter(|limit| limit.suits(settings, &store)) {
        return Some(Arc::clone(limit));
    }
    let limit = Arc::new(Limit::new(settings, store, before.as_deref()));
    limit.enlist();
    Some(carried.shared.put(&settings.name, limit))
}
