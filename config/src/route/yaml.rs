//! `routes:` as they are written.

use std::time::Duration;

use crate::{
    Faults, RateLimit, Route,
    breaker::yaml::{self as breaker, BreakerForm},
    concurrency::yaml::ConcurrencyYaml,
    deadline::yaml::DeadlineYaml,
    decode::{At, OneOrMany, Reader, Section, closest, optional, section},
    faults::yaml::{Any, FaultsYaml},
    limits::yaml::RouteLimitsYaml,
    priority::yaml::{self as priority, PriorityForm},
    rate_limit::yaml::RateLimitYaml,
    retry::yaml::RetryYaml,
    route::matching::MatchYaml,
    scalar::{Flag, Name},
    scope::Scope,
    timeout::yaml::TimeoutYaml,
    tree::NodeId,
};

section! {
    /// Which requests, to where, under which policies.
    struct RouteYaml {
        /// Its name, unique in the file; `<listener>:<match>` by default.
        name: Option<At<Name>>,
        /// Which requests it takes; all that are set must hold, and every request by default.
        r#match: Section<MatchYaml>,
        /// The name of an upstream.
        upstream: At<Name>,
        /// Whether responses are streams (server-sent events, gRPC streams): `timeout.total` then ends at the response header, and `limits.body` is not asked.
        stream: At<Flag> = Flag(false),
        /// How often, per which key; one or a list, all or none debited.
        rate_limit: Option<At<OneOrMany<RateLimitYaml>>>,
        /// When to stop asking an upstream that fails; adaptive by default.
        breaker: Option<At<BreakerForm>>,
        /// Whether a request that cannot make it any more is refused on arrival.
        deadline: Section<DeadlineYaml>,
        /// How many at once, and how many may wait; by default the route shares the limit of its upstream, which adapts.
        concurrency: Option<At<ConcurrencyYaml>>,
        /// Which requests are refused last under overload: a class, or how each request gets its own.
        priority: Option<At<PriorityForm>>,
        /// What is made to go wrong, to see what comes of it.
        faults: Option<At<Any<FaultsYaml>>>,
        /// What is tried again when it has failed; nothing by default.
        retry: Section<RetryYaml>,
        /// How long each part of a request may take.
        timeout: Section<TimeoutYaml>,
        /// How large, how many.
        limits: Section<RouteLimitsYaml>,
    }
}

impl RouteYaml {
    pub(crate) fn value(
        self,
        node: NodeId,
        listener: &str,
        scope: &mut Scope,
        reader: &mut Reader<'_>,
    ) -> Option<Route> {
        let upstream = known(&self.upstream, scope, reader);
        let timeout = self.timeout.0.take().and_then(|yaml| yaml.value(reader));
        if let (Some(Flag(true)), Some(limits)) = (self.stream.get(), self.limits.0.get()) {
            limits.check_stream(reader);
        }
        let limits = self.limits.0.take().and_then(RouteLimitsYaml::value);
        let total = timeout.as_ref().map(|timeout| timeout.total);
        let faults = faults(self.faults, total, reader);
        let retry = self.retry.0.take().and_then(|yaml| yaml.value(reader));
        let deadline = self.deadline.0.take().and_then(DeadlineYaml::value);
        let matches = self.r#match.0.node();
        let matches = self.r#match.0.take().and_then(|yaml| yaml.value(matches, reader));
        let named_at = self.name.as_ref().map_or(node, At::node);
        let derived = matches.as_ref().map(|matches| matches.name(listener));
        // A route whose name is unknown still has its policies checked; they share its fate, not its name.
        let name = Name::or(self.name, derived.as_deref().unwrap_or_default());
        let route = name.clone().unwrap_or_default();
        let unique = !route.is_empty()
            && scope.routes.claim(route.clone(), named_at, "the route's name", RENAME, reader);
        let rate_limits =
            rate_limits(self.rate_limit, &route, unique.then_some(&mut *scope), reader);
        let breaker_at = self.breaker.as_ref().map_or(node, At::node);
        let breaker = match self.breaker {
            Some(form) => {
                form.take().and_then(|form| breaker::value(form, breaker_at, &route, reader))
            }
            None => Some(breaker::default(&route)),
        };
        let concurrency_at = self.concurrency.as_ref().map_or(node, At::node);
        let concurrency = match self.concurrency {
            Some(yaml) => {
                yaml.take().and_then(|yaml| yaml.value(&route, concurrency_at, reader)).map(Some)
            }
            None => Some(None),
        };
        if unique && let Some(breaker) = &breaker {
            let name = breaker.name.clone();
            scope.breakers.claim(name, breaker_at, "the breaker's name", RENAME, reader);
        }
        if unique && let Some(Some(concurrency)) = &concurrency {
            let (name, what) = (concurrency.name.clone(), "the concurrency limit's name");
            scope.limits.claim(name, concurrency_at, what, RENAME, reader);
        }
        Some(Route {
            name: name?,
            matches: matches?,
            upstream: upstream?,
            stream: self.stream.take()?.0,
            rate_limits: rate_limits?,
            breaker: breaker?,
            concurrency: concurrency?,
            deadline: deadline?,
            priority: priority::value(self.priority)?,
            faults: faults?,
            retry: retry?,
            timeout: timeout?,
            limits: limits?,
        })
    }

    pub(crate) fn of(route: &Route) -> Self {
        let limits: Vec<_> =
            route.rate_limits.iter().map(|limit| At::of(RateLimitYaml::of(limit))).collect();
        Self {
            name: Some(At::of(Name(route.name.clone()))),
            r#match: Section(At::of(MatchYaml::of(&route.matches))),
            upstream: At::of(Name(route.upstream.clone())),
            stream: At::of(Flag(route.stream)),
            rate_limit: (!limits.is_empty()).then(|| At::of(OneOrMany(limits))),
            breaker: Some(At::of(breaker::of(&route.breaker))),
            deadline: Section(At::of(DeadlineYaml::of(&route.deadline))),
            concurrency: route.concurrency.as_ref().map(|one| At::of(ConcurrencyYaml::of(one))),
            priority: Some(At::of(priority::of(&route.priority))),
            faults: route.faults.as_ref().map(|faults| At::of(Any(FaultsYaml::of(faults)))),
            retry: Section(At::of(RetryYaml::of(&route.retry))),
            timeout: Section(At::of(TimeoutYaml::of(&route.timeout))),
            limits: Section(At::of(RouteLimitsYaml::of(&route.limits, route.stream))),
        }
    }

    /// The route of a listener that says `upstream:` and no more.
    pub(crate) fn everything(upstream: At<Name>, owner: NodeId, reader: &mut Reader<'_>) -> Self {
        Self {
            name: None,
            r#match: Section::absent(owner, reader),
            upstream,
            stream: At::of(Flag(false)),
            rate_limit: None,
            breaker: None,
            deadline: Section::absent(owner, reader),
            concurrency: None,
            priority: None,
            faults: None,
            retry: Section::absent(owner, reader),
            timeout: Section::absent(owner, reader),
            limits: Section::absent(owner, reader),
        }
    }
}

const RENAME: &str = "give this one a `name` of its own";

/// The name of an upstream that exists.
pub(crate) fn known(name: &At<Name>, scope: &Scope, reader: &mut Reader<'_>) -> Option<String> {
    let (Name(wanted), Some(upstreams)) = (name.get()?, &scope.upstreams) else { return None };
    if upstreams.contains(wanted) {
        return Some(wanted.clone());
    }
    let meant = closest(wanted, upstreams.iter().map(String::as_str));
    let names = upstreams.join(", ");
    let help = match meant {
        _ if reader.is_variable(name.node()) => format!("the upstreams are {names}"),
        Some(meant) => format!("did you mean `{meant}`?"),
        None if wanted.contains(':') => {
            format!("write the name of an upstream ({names}); its `endpoints` have the addresses")
        }
        None => format!("the upstreams are {names}"),
    };
    let what = format!("{} is not the name of an upstream", reader.shown(name.node()));
    reader.problem(name.node(), what, help);
    None
}

/// `None` when they are written and wrong.
fn faults(
    written: Option<At<Any<FaultsYaml>>>,
    total: Option<Duration>,
    reader: &mut Reader<'_>,
) -> Option<Option<Faults>> {
    let Some(Any(written)) = optional(written)? else { return Some(None) };
    written.value(total, reader).map(Some)
}

/// The policies of a route; their names are claimed in `scope`, unless the route's is not its own.
fn rate_limits(
    written: Option<At<OneOrMany<RateLimitYaml>>>,
    route: &str,
    mut scope: Option<&mut Scope>,
    reader: &mut Reader<'_>,
) -> Option<Vec<RateLimit>> {
    let Some(written) = written else { return Some(Vec::new()) };
    let mut limits = Vec::new();
    let mut whole = true;
    for (index, yaml) in written.take()?.0.into_iter().enumerate() {
        let node = yaml.node();
        let name = match index {
            0 => route.to_owned(),
            _ => numbered(route, index + 1),
        };
        match yaml.take().and_then(|yaml| yaml.value(&name, reader)) {
            Some(limit) => {
                if let Some(scope) = &mut scope {
                    scope.rate_limits.claim(
                        limit.name.clone(),
                        node,
                        "the rate limit's name",
                        RENAME,
                        reader,
                    );
                }
                limits.push(limit);
            }
            None => whole = false,
        }
    }
    whole.then_some(limits)
}

/// `<route>-2`; a long name gives way to the number.
fn numbered(route: &str, number: usize) -> String {
    let suffix = format!("-{number}");
    let room = Name::LONGEST - suffix.len();
    format!("{}{suffix}", route.get(..room).unwrap_or(route))
}
