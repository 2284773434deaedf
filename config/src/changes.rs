//! What differs between two configurations, by name.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{Breaker, Concurrency, Config, Listener, RateLimit, Route, Upstream};

/// What a configuration changes about another. A route is told apart from its policies: one that only
/// has another rate limit has not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Of listeners only the limits, the times and the order of the routes can change.
    pub listeners: Names,
    /// Routes: what they take, where they lead, their times and sizes.
    pub routes: Names,
    /// Rate limits.
    pub rate_limits: Names,
    /// Breakers.
    pub breakers: Names,
    /// Concurrency limits.
    pub concurrency: Names,
    /// Upstreams.
    pub upstreams: Names,
    /// Keys at the top of the file that have changed.
    pub settings: Vec<&'static str>,
}

/// The names of one kind of thing, each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Names {
    /// That were not there before.
    pub added: Vec<String>,
    /// That are not there any more.
    pub removed: Vec<String>,
    /// That are set otherwise.
    pub changed: Vec<String>,
}

impl Changes {
    /// What `after` changes about `before`.
    pub fn between(before: &Config, after: &Config) -> Self {
        let settings = [
            ("admin", before.admin != after.admin),
            ("trusted", before.trusted != after.trusted),
            ("shutdown", before.shutdown != after.shutdown),
            ("reload", before.reload != after.reload),
        ];
        let (were, are) = (routes(before), routes(after));
        Self {
            listeners: names(
                before.listeners.iter().map(|one| (&one.name, one)),
                after.listeners.iter().map(|one| (&one.name, one)),
                alike,
            ),
            routes: names(
                placed(before).iter().map(|one| (&one.0.name, one)),
                placed(after).iter().map(|one| (&one.0.name, one)),
                same_but_for_policies,
            ),
            rate_limits: names(rate_limits(&were), rate_limits(&are), RateLimit::eq),
            breakers: names(breakers(&were), breakers(&are), Breaker::eq),
            concurrency: names(concurrency(&were), concurrency(&are), Concurrency::eq),
            upstreams: names(
                before.upstreams.iter().map(|one| (&one.name, one)),
                after.upstreams.iter().map(|one| (&one.name, one)),
                Upstream::eq,
            ),
            settings: settings
                .into_iter()
                .filter(|(_, differs)| *differs)
                .map(|(key, _)| key)
                .collect(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn routes(config: &Config) -> Vec<&Route> {
    config.listeners.iter().flat_map(|listener| &listener.routes).collect()
}

/// Each route with the name of its listener.
fn placed(config: &Config) -> Vec<(&Route, &str)> {
    let mut placed = Vec::new();
    for listener in &config.listeners {
        placed.extend(listener.routes.iter().map(|route| (route, listener.name.as_str())));
    }
    placed
}

fn rate_limits<'a>(routes: &[&'a Route]) -> impl Iterator<Item = (&'a String, &'a RateLimit)> {
    routes.iter().flat_map(|route| &route.rate_limits).map(|limit| (&limit.name, limit))
}

fn breakers<'a>(routes: &[&'a Route]) -> impl Iterator<Item = (&'a String, &'a Breaker)> {
    routes.iter().map(|route| (&route.breaker.name, &route.breaker))
}

/// Those of routes; the one that an upstream has is a setting of it.
fn concurrency<'a>(routes: &[&'a Route]) -> impl Iterator<Item = (&'a String, &'a Concurrency)> {
    routes.iter().filter_map(|route| route.concurrency.as_ref()).map(|limit| (&limit.name, limit))
}

/// A route that is new or gone does not change its listener; the order of the others does.
fn alike(before: &Listener, after: &Listener) -> bool {
    let common = |one: &Listener, other: &Listener| {
        let has = |name: &&String| other.routes.iter().any(|route| route.name == **name);
        one.routes.iter().map(|route| &route.name).filter(has).cloned().collect::<Vec<_>>()
    };
    before.limits == after.limits
        && before.timeout == after.timeout
        && common(before, after) == common(after, before)
}

fn same_but_for_policies(before: &(&Route, &str), after: &(&Route, &str)) -> bool {
    let with_policies_of = |route: &Route| Route {
        rate_limits: before.0.rate_limits.clone(),
        breaker: before.0.breaker.clone(),
        concurrency: before.0.concurrency.clone(),
        ..route.clone()
    };
    before.1 == after.1 && *before.0 == with_policies_of(after.0)
}

fn names<'a, T: 'a>(
    before: impl Iterator<Item = (&'a String, &'a T)>,
    after: impl Iterator<Item = (&'a String, &'a T)>,
    same: impl Fn(&T, &T) -> bool,
) -> Names {
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) = (before.collect(), after.collect());
    let only = |one: &BTreeMap<&String, &T>, other: &BTreeMap<&String, &T>| {
        one.keys().filter(|name| !other.contains_key(*name)).map(|name| (*name).clone()).collect()
    };
    let changed =
        before.iter().filter(|(name, was)| after.get(*name).is_some_and(|is| !same(was, is)));
    Names {
        added: only(&after, &before),
        removed: only(&before, &after),
        changed: changed.map(|(name, _)| (*name).clone()).collect(),
    }
}

/// As in `routes +a -b ~c, upstreams ~app, trusted`; of many names the first few.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            ("listeners", &self.listeners),
            ("routes", &self.routes),
            ("rate_limits", &self.rate_limits),
            ("breakers", &self.breakers),
            ("concurrency", &self.concurrency),
            ("upstreams", &self.upstreams),
        ];
        let named = kinds.iter().filter(|(_, names)| **names != Names::default());
        let named = named.map(|(kind, names)| format!("{kind}{names}"));
        let settings = self.settings.iter().map(|key| (*key).to_owned());
        let all: Vec<String> = named.chain(settings).collect();
        f.write_str(&all.join(", "))
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marks = [('+', &self.added), ('-', &self.removed), ('~', &self.changed)];
        let marked =
            marks.iter().flat_map(|(mark, names)| names.iter().map(move |name| (mark, name)));
        let total = marked.clone().count();
        for (mark, name) in marked.take(SHOWN) {
            write!(f, " {mark}{}", name.escape_debug())?;
        }
        match total.saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// So many names of a kind are shown in a line.
const SHOWN: usize = 8;
