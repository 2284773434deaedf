//! The policies, in their order: deadline, rate limits, breaker, streams, concurrency.
//!
//! Each is asked only when the ones before it agreed, so the cheap verdicts come first and a refusal
//! costs the upstream nothing. What was taken on the way is held by the exchange and comes back when
//! a later stage refuses.

mod deadline;
mod permit;
mod refusals;

use std::sync::Arc;

use pingora::http::RequestHeader;
use weir_config::Mode;
use weir_policy::Breaker;

pub(super) use self::deadline::deadline;
pub(super) use self::permit::permit;
use super::{
    exchange::{Charged, Exchange},
    keys,
    refuse::Refusal,
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
