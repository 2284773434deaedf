//! The policies, in their order: rate limits, breaker, streams, concurrency.
//!
//! Each is asked only when the ones before it agreed, so the cheap verdicts come first and a refusal
//! costs the upstream nothing. What was taken on the way is held by the exchange and comes back when
//! a later stage refuses.

use std::{sync::Arc, time::Duration};

use pingora::{http::RequestHeader, protocols::http::ServerSession};
use tokio::sync::oneshot;
use weir_config::{Key, Mode};
use weir_policy::{Breaker, Entered, Exceeded, Open, Overloaded, Place, State, Threshold};

use super::{
    client,
    exchange::{Charged, Exchange, hand_on},
    keys,
    refuse::Refusal,
    way::Stop,
};
use crate::{
    clock,
    plan::{Rate, Route},
    reason::{Reason, Stage},
};

/// Asks the rate limits of the route; all are debited or none.
pub(super) fn rate(
    exchange: &mut Exchange,
    route: &Route,
    request: &RequestHeader,
) -> Result<(), Refusal> {
    for (place, rate) in route.rates.iter().enumerate() {
        let values = keys::values(exchange, &rate.settings.per, request);
        match rate.limiter.check_values(values, clock::now()) {
            Ok(debit) => {
                let charged = Charged { rate: place, debit };
                match rate.settings.mode {
                    // What refuses nothing is not told to callers either; its tokens come back all the same.
                    Mode::Shadow => exchange.charged_in_shadow.push(charged),
                    _ => exchange.charged.push(charged),
                }
            }
            Err(_) if rate.settings.mode == Mode::Shadow => {
                exchange.worker.page().shadow(route.index, Reason::RateLimited);
            }
            Err(exceeded) => return Err(rate_limited(rate, exceeded)),
        }
    }
    Ok(())
}

/// Asks the breaker of the route, where it has one for all endpoints.
pub(super) fn breaker(exchange: &mut Exchange, route: &Route) -> Result<(), Refusal> {
    match route.breaker.of_route() {
        Some(breaker) => ask(exchange, route, breaker, None),
        None => Ok(()),
    }
}

/// Asks a breaker and holds its ticket; `endpoint` is named where the breaker is its own.
pub(super) fn ask(
    exchange: &mut Exchange,
    route: &Route,
    breaker: &Arc<Breaker>,
    endpoint: Option<&str>,
) -> Result<(), Refusal> {
    match breaker.admit(clock::now(), exchange.worker.random()) {
        Ok(ticket) => exchange.holds_ticket(Arc::clone(breaker), ticket),
        // In shadow the outcome is not heard: an open breaker would learn from what it let pass.
        Err(_) if route.breaker.settings.mode == Mode::Shadow => {
            exchange.worker.page().shadow(route.index, Reason::BreakerOpen);
        }
        Err(open) => return Err(breaker_open(route, open, endpoint)),
    }
    Ok(())
}

/// Takes a place among the open streams.
pub(super) fn stream(exchange: &mut Exchange, route: &Route) -> Result<(), Refusal> {
    if route.open_stream() {
        exchange.holds_stream();
        return Ok(());
    }
    let open = route.limits.streams;
    Err(Refusal::new(
        Reason::StreamLimit,
        format!("{open} streams are open on this route, which is its limit"),
    )
    .input("limit", open)
    .would_pass(format!("limits.streams above {open}, or once a stream has ended")))
}

/// Takes a permit, or waits for one in the queue.
///
/// In shadow nobody waits, so those above the limit are taken for the queue: one more than both hold is
/// what enforcing would have refused. This is the least of it: that a wait may last longer than
/// `queue.timeout`, or than the deadline, is not seen. Requests that would have waited are at the
/// service instead, where they may end sooner or later than their turn would have come.
pub(super) async fn permit(
    exchange: &mut Exchange,
    route: &Route,
    session: &mut ServerSession,
) -> Result<(), Stop> {
    let concurrency = &route.concurrency;
    match concurrency.settings.mode {
        Mode::Disabled => return Ok(()),
        Mode::Enforce | Mode::Shadow if concurrency.in_flight.try_acquire() => {}
        Mode::Shadow => {
            concurrency.in_flight.force_acquire();
            let held =
                concurrency.in_flight.limit().saturating_add(concurrency.settings.queue.length);
            if concurrency.in_flight.in_flight() > held {
                exchange.worker.page().shadow(route.index, Reason::Overloaded);
            }
        }
        Mode::Enforce => wait(exchange, route, session).await?,
    }
    exchange.holds_permit();
    Ok(())
}

/// Waits in the queue until a permit is handed over, the client leaves, or it has been too long.
async fn wait(exchange: &Exchange, route: &Route, session: &mut ServerSession) -> Result<(), Stop> {
    let (waker, woken) = oneshot::channel();
    let entered = clock::now();
    let place = match route.concurrency.in_flight.enqueue(|| waker, entered) {
        Entered::Granted => return Ok(()),
        Entered::Full(overloaded) => return Err(Stop::Refused(overloaded_now(route, overloaded))),
        Entered::Waiting(place) => place,
    };
    let mut waiting = Waiting { route, place: Some(place) };
    let queue_ends = entered + route.concurrency.settings.queue.timeout;
    let until = queue_ends.min(exchange.deadline.at);
    tokio::select! {
        biased;
        granted = woken => {
            if granted.is_ok() {
                waiting.place = None;
                return Ok(());
            }
            Err(Stop::Refused(Refusal::new(Reason::Internal, "the queue lost this request")))
        }
        () = client::left(session) => Err(Stop::Gone(Reason::ClientCancel)),
        () = tokio::time::sleep_until(clock::instant(until)) => {
            Err(Stop::Refused(if until < queue_ends { deadline_in_queue(exchange, route) } else { queue_timeout(route) }))
        }
    }
}

/// A place in the queue that is left when the request stops waiting, for whatever reason.
struct Waiting<'a> {
    route: &'a Route,
    place: Option<Place>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        // The permit may have been handed over in this very moment; then it goes to the next.
        if !self.route.concurrency.in_flight.leave(place) {
            hand_on(self.route);
        }
    }
}

fn rate_limited(rate: &Rate, exceeded: Exceeded) -> Refusal {
    let settings = &rate.settings;
    let wait = exceeded.retry_after;
    let whose = match settings.per.get(exceeded.key_index) {
        Some(Key::Client { .. }) => " for this client".to_owned(),
        Some(Key::Header(name)) => format!(" for this {name}"),
        Some(Key::Cookie(name)) => format!(" for this cookie {name}"),
        Some(Key::Query(name)) => format!(" for this query parameter {name}"),
        Some(Key::Route) | None => String::new(),
    };
    let qps = settings.qps;
    Refusal::new(
        Reason::RateLimited,
        format!("{qps} requests a second{whose}; the next one fits in {}", in_words(wait)),
    )
    .policy(&settings.name)
    .retry_after(wait)
    .rate(&rate.policy_header, exceeded.remaining, exceeded.reset)
    .input("qps", qps)
    .input("burst", settings.burst)
    .input("wait_seconds", wait.as_secs_f64())
    .input("key", exceeded.key_index)
    .input("shared_bucket", exceeded.shared)
    .would_pass(format!("{} later, or burst above {}", in_words(wait), settings.burst))
}

fn breaker_open(route: &Route, open: Open, endpoint: Option<&str>) -> Refusal {
    let seen = open.snapshot;
    let why = match open.threshold {
        Threshold::Consecutive => format!("{} failures in a row", seen.consecutive),
        Threshold::ErrorRatio => format!("{} of {} requests failed", seen.failures, seen.total),
        Threshold::SlowRatio => format!("{} of {} answers were slow", seen.slow, seen.total),
        Threshold::Probe => "a probe failed, or the probes are not back yet".to_owned(),
        Threshold::Share => format!(
            "{} of {} requests failed or were refused",
            seen.failures + seen.refused,
            seen.total
        ),
    };
    let state = match seen.state {
        State::Closed => "closed",
        State::Open { .. } => "open",
        State::HalfOpen { .. } => "half_open",
        State::Throttling { .. } => "throttling",
    };
    Refusal::new(
        Reason::BreakerOpen,
        format!("the breaker of {} is {state}: {why}", route.upstream.name),
    )
    .policy(&route.breaker.settings.name)
    .retry_after(open.retry_after)
    .input("endpoint", endpoint.unwrap_or("all"))
    .input("state", state)
    .input("total", seen.total)
    .input("failures", seen.failures)
    .input("slow", seen.slow)
    .input("consecutive", seen.consecutive)
    .would_pass(format!("{} later, if the upstream has recovered", in_words(open.retry_after)))
}

fn overloaded_now(route: &Route, seen: Overloaded) -> Refusal {
    Refusal::new(
        Reason::Overloaded,
        format!(
            "{} requests are in flight and {} wait, which is the limit",
            seen.in_flight, seen.waiting
        ),
    )
    .policy(&route.concurrency.settings.name)
    .retry_after(RETRY_SOON)
    .input("in_flight", seen.in_flight)
    .input("limit", seen.limit)
    .input("waiting", seen.waiting)
    .input("queue", seen.queue)
    .would_pass(format!("a limit above {}, or a queue longer than {}", seen.limit, seen.queue))
}

fn queue_timeout(route: &Route) -> Refusal {
    let settings = &route.concurrency.settings;
    let timeout = in_words(settings.queue.timeout);
    Refusal::new(Reason::Overloaded, format!("no permit came free within {timeout} in the queue"))
        .policy(&settings.name)
        .retry_after(RETRY_SOON)
        .input("in_flight", route.concurrency.in_flight.in_flight())
        .input("limit", route.concurrency.in_flight.limit())
        .input("waiting", route.concurrency.in_flight.waiting())
        .would_pass(format!("a queue timeout above {timeout}, or a higher limit"))
}

fn deadline_in_queue(exchange: &Exchange, route: &Route) -> Refusal {
    Refusal::new(Reason::Deadline, "the deadline passed while the request waited for a permit")
        .at(Stage::Admit)
        .policy(&route.concurrency.settings.name)
        .input("waiting", route.concurrency.in_flight.waiting())
        .input("timeout_seconds", exchange.deadline.at.since(exchange.started).as_secs_f64())
        .would_pass("a longer deadline, or a higher concurrency limit".to_owned())
}

/// What callers are told when nobody knows how long the overload lasts.
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
