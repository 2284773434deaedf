//! The policies, in their order: deadline, rate limits, breaker, streams, concurrency.
//!
//! Each is asked only when the ones before it agreed, so the cheap verdicts come first and a refusal
//! costs the upstream nothing. What was taken on the way is held by the exchange and comes back when
//! a later stage refuses.

mod deadline;
mod refusals;

use std::sync::Arc;

use pingora::{http::RequestHeader, protocols::http::ServerSession};
use tokio::sync::oneshot;
use weir_config::Mode;
use weir_policy::{Breaker, Entered, Place};

pub(super) use self::deadline::deadline;
use super::{
    client,
    exchange::{Charged, Exchange},
    keys,
    refuse::Refusal,
    stop::Stop,
};
use crate::{clock, plan::Route, reason::Reason};

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
                exchange.worker.page().shadow(&route.row, Reason::RateLimited);
            }
            Err(exceeded) => return Err(refusals::rate_limited(exchange, rate, exceeded)),
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
            exchange.worker.page().shadow(&route.row, Reason::BreakerOpen);
        }
        Err(open) => return Err(refusals::breaker_open(route, open, endpoint)),
    }
    Ok(())
}

/// Takes a place among the open streams.
pub(super) fn stream(exchange: &mut Exchange, route: &Route) -> Result<(), Refusal> {
    if !route.open_stream() {
        return Err(refusals::streams_full(route));
    }
    exchange.holds_stream();
    Ok(())
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
                exchange.worker.page().shadow(&route.row, Reason::Overloaded);
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
        Entered::Full(seen) => return Err(Stop::Refused(refusals::overloaded(route, seen))),
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
            Err(Stop::Refused(if until < queue_ends {
                refusals::deadline_in_queue(exchange, route)
            } else {
                refusals::queue_timeout(route)
            }))
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
            self.route.hand_on(clock::now());
        }
    }
}
