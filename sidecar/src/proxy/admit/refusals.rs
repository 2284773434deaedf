//! What each policy says when it refuses: in a sentence, in numbers, and how to pass after all.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use serde_json::Value;
use weir_config::{Key, Priority, Trip};
use weir_policy::{Exceeded, Open, Overloaded, Threshold, TooLate};

use crate::{
    observe::words::{BREAKER_NUMBERS, NONE},
    plan::{Concurrency, Rate, Route},
    proxy::{exchange::Exchange, keys, refuse::Refusal},
    reason::{Reason, Stage},
    store::By,
};

pub(super) fn deadline_spent(exchange: &Exchange) -> Refusal {
    let (name, whole) = exchange.whole_time();
    Refusal::new(Reason::Deadline, "the deadline was spent before the request arrived")
        .threshold(name, whole.as_secs_f64())
        .would_pass("a longer deadline".to_owned())
}

/// It has so much time `left`, and a `wait` ahead of it.
pub(super) fn too_late(
    exchange: &Exchange,
    left: Duration,
    wait: Duration,
    late: TooLate,
) -> Refusal {
    let short = in_words(wait.saturating_add(late.needed).saturating_sub(left));
    let ahead = match wait {
        Duration::ZERO => String::new(),
        wait => format!(" after a wait of {}", in_words(wait)),
    };
    let (left_words, needed) = (in_words(left), in_words(late.needed));
    let longer = match exchange.deadline.callers {
        true => "a deadline of the caller that is longer",
        false => "a timeout.total that is longer",
    };
    let (name, whole) = exchange.whole_time();
    Refusal::new(
        Reason::Deadline,
        format!("{left_words} are left, and an answer takes {needed} at the least{ahead}"),
    )
    // Nothing changes sooner than the queue does, or than somebody finds out.
    .retry_after(wait.max(late.probe_in).max(Duration::from_millis(1)))
    .input("remaining_seconds", left.as_secs_f64())
    .input("forecast_seconds", wait.as_secs_f64())
    .threshold("needed_seconds", late.needed.as_secs_f64())
    .threshold(name, whole.as_secs_f64())
    .would_pass(format!("{longer} by {short}, or a faster upstream"))
}

/// `by` says who has decided on a limit that is shared.
pub(super) fn rate_limited(
    exchange: &Exchange,
    rate: &Rate,
    exceeded: Exceeded,
    by: Option<By>,
) -> Refusal {
    let settings = &rate.settings;
    let wait = exceeded.retry_after;
    let key = settings.per.get(exceeded.key_index).unwrap_or(&Key::Route);
    let whose = match key {
        Key::Client { .. } => " for this client".to_owned(),
        Key::Header(name) => format!(" for this {name}"),
        Key::Cookie(name) => format!(" for this cookie {name}"),
        Key::Query(name) => format!(" for this query parameter {name}"),
        Key::Route => String::new(),
    };
    let qps = settings.qps;
    let refusal = Refusal::new(
        Reason::RateLimited,
        format!("{qps} requests a second{whose}; the next one fits in {}", in_words(wait)),
    )
    .policy(&settings.name)
    .retry_after(wait)
    .rate(&rate.policy_header, exceeded.remaining, exceeded.reset)
    .input("key", keys::key_name(key))
    .input("key_hash", keys::shown(&exchange.worker, exceeded.key_hash))
    .input("shared_bucket", exceeded.shared)
    .threshold("qps", qps)
    .threshold("burst", settings.burst.get())
    .would_pass(format!("{} later, or burst above {}", in_words(wait), settings.burst));
    match by {
        Some(by) => refusal.input("decided_by", by.word()),
        None => refusal,
    }
}

/// The store of a shared limit is lost, and nobody else may decide.
pub(super) fn store_lost(rate: &Rate) -> Refusal {
    let refusal =
        Refusal::new(Reason::LimitStoreLost, "this limit is shared, and its store does not answer")
            .policy(&rate.settings.name)
            .retry_after(RETRY_SOON)
            .input("decided_by", By::Closed.word())
            .would_pass("once the store answers, or with on_store_loss local or open".to_owned());
    match &rate.settings.shared {
        Some(shared) => refusal
            .input("store", shared.store.to_string())
            .threshold("store_timeout_seconds", shared.timeout.as_secs_f64()),
        None => refusal,
    }
}

pub(super) fn breaker_open(route: &Route, open: Open, endpoint: Option<&str>) -> Refusal {
    let settings = &route.breaker.settings;
    let seen = open.snapshot;
    let why = match open.threshold {
        Threshold::Consecutive => format!("{} failures in a row", seen.consecutive_failures),
        Threshold::ErrorRatio => format!("{} of {} requests failed", seen.failures, seen.requests),
        Threshold::SlowRatio => format!("{} of {} answers were slow", seen.slow, seen.requests),
        Threshold::Probe => "a probe failed, or the probes are not back yet".to_owned(),
        Threshold::Share => format!(
            "{} of {} requests failed or were refused",
            seen.failures + seen.refused,
            seen.requests
        ),
    };
    let state = seen.state.word();
    let refusal = Refusal::new(
        Reason::BreakerOpen,
        format!("the breaker of {} is {state}: {why}", route.upstream.name),
    )
    .policy(&settings.name)
    .retry_after(open.retry_after)
    .input("upstream", route.upstream.name.as_str())
    .input("endpoint", endpoint.unwrap_or(NONE))
    .input("state", state)
    .input("refused_share", seen.state.refused_share())
    .would_pass(format!("{} later, if the upstream has recovered", in_words(open.retry_after)));
    let refusal = BREAKER_NUMBERS
        .iter()
        .fold(refusal, |refusal, (name, _, value)| refusal.input(name, value(&seen)));
    limits(&settings.trip)
        .into_iter()
        .fold(refusal, |refusal, (name, limit)| refusal.threshold(name, limit))
}

/// What makes a breaker refuse, by the names of the configuration; ratios are 0 to 1.
fn limits(trip: &Trip) -> Vec<(&'static str, Value)> {
    let trip = match trip {
        Trip::Adaptive(adaptive) => return vec![("k", adaptive.k.into())],
        Trip::Open(trip) => trip,
    };
    let ratio = |ratio: weir_config::Ratio| Value::from(ratio.get());
    let written = [
        ("consecutive", trip.consecutive.map(|failures| failures.get().into())),
        ("error_ratio", trip.error_ratio.map(ratio)),
        ("slow_ratio", trip.slow_ratio.map(ratio)),
        ("min_requests", Some(trip.min_requests.get().into())),
    ];
    written.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

pub(super) fn streams_full(route: &Route) -> Refusal {
    let limit = route.limits.streams;
    Refusal::new(
        Reason::StreamLimit,
        format!("{limit} streams are open on this route, which is its limit"),
    )
    .input("open", route.streams.load(Relaxed))
    .threshold("limit", limit.get())
    .would_pass(format!("limits.streams above {limit}, or once a stream has ended"))
}

pub(super) fn overloaded(limit: &Concurrency, priority: Priority, seen: Overloaded) -> Refusal {
    let Overloaded { in_flight, limit: permits, queued, queue_length } = seen;
    let refusal = Refusal::new(
        Reason::Overloaded,
        format!("{in_flight} requests are in flight and {queued} wait, which is the limit"),
    );
    of_limit(limit, refusal)
        .retry_after(again_after(limit, priority))
        .input("in_flight", in_flight)
        .input("queued", queued)
        .input("priority", priority.word())
        .threshold("limit", permits)
        .threshold("queue_length", queue_length)
        .would_pass(higher(
            priority,
            format!("{}, or a longer queue", more_permits(limit, permits)),
        ))
}

/// Another had a better claim to the place.
pub(super) fn pushed_out(limit: &Concurrency, priority: Priority, waited: Duration) -> Refusal {
    let refusal = Refusal::new(
        Reason::Overloaded,
        format!("the place in the queue went to a better claim after {}", in_words(waited)),
    );
    let permits = limit.in_flight().limit();
    of_queue(limit, refusal)
        .retry_after(again_after(limit, priority))
        .input("priority", priority.word())
        .input("waited_seconds", waited.as_secs_f64())
        .would_pass(higher(
            priority,
            format!("{}, or fewer requests of this client", more_permits(limit, permits)),
        ))
}

pub(super) fn queue_timeout(
    limit: &Concurrency,
    priority: Priority,
    patience: Duration,
) -> Refusal {
    let words = in_words(patience);
    let refusal = Refusal::new(
        Reason::Overloaded,
        format!("no permit came free within {words} in the queue"),
    );
    let permits = limit.in_flight().limit();
    of_queue(limit, refusal)
        .retry_after(again_after(limit, priority))
        .input("priority", priority.word())
        .threshold("queue_timeout_seconds", patience.as_secs_f64())
        .would_pass(higher(
            priority,
            format!("a queue timeout above {words}, {}", more_permits(limit, permits)),
        ))
}

pub(super) fn deadline_in_queue(exchange: &Exchange, limit: &Concurrency) -> Refusal {
    let detail = "the deadline passed while the request waited for a permit";
    let (name, whole) = exchange.whole_time();
    of_queue(limit, Refusal::new(Reason::Deadline, detail))
        .at(Stage::Admit)
        .threshold(name, whole.as_secs_f64())
        .would_pass("a longer deadline, or a higher concurrency limit".to_owned())
}

fn of_limit(limit: &Concurrency, refusal: Refusal) -> Refusal {
    refusal.policy(&limit.settings.name)
}

/// With what a request that waited in vain has seen.
fn of_queue(limit: &Concurrency, refusal: Refusal) -> Refusal {
    let in_flight = limit.in_flight();
    of_limit(limit, refusal)
        .input("in_flight", in_flight.in_flight())
        .input("queued", in_flight.queued())
        .threshold("limit", in_flight.limit())
}

/// What would have given this request a permit.
fn more_permits(limit: &Concurrency, permits: u32) -> String {
    match limit.learns() {
        true => format!("an upstream that answers more than {permits} at once as quickly"),
        false => format!("a limit above {permits}"),
    }
}

/// With the class that would have passed sooner, where there is one.
fn higher(priority: Priority, otherwise: String) -> String {
    match Priority::ALL.get(priority as usize + 1) {
        Some(above) => format!("{otherwise}, or priority {}", above.word()),
        None => otherwise,
    }
}

/// When a place may be free again: once those who are ahead now have been served, and at least a second,
/// so that who was refused does not come back into the same crowd.
fn again_after(limit: &Concurrency, priority: Priority) -> Duration {
    limit.in_flight().forecast(priority).max(RETRY_SOON)
}

/// The least that callers are told.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// `8 ms`, `1.5 s`: never zero, and no more precise than a person wants.
fn in_words(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds >= 10.0 => format!("{} s", seconds.ceil()),
        seconds if seconds >= 1.0 => format!("{} s", (seconds * 10.0).ceil() / 10.0),
        seconds => format!("{} ms", (seconds * 1e3).ceil().max(1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_words() {
        for (millis, words) in [(0, "1 ms"), (8, "8 ms"), (1_500, "1.5 s"), (12_100, "13 s")] {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
    }
}
