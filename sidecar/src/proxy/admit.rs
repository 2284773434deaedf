//! The policies, in their order: deadline, rate limits, breaker, streams, concurrency.
//!
//! Each is asked only when the ones before it agreed, so the cheap verdicts come first and a refusal
//! costs the upstream nothing. What was taken on the way is held by the exchange and comes back when
//! a later stage refuses.

mod deadline;
mod permit;
mod refusals;
mod shared;

use std::sync::Arc;

use pingora::{http::RequestHeader, protocols::http::ServerSession};
use weir_config::Mode;
use weir_policy::{Breaker, Exceeded};

pub(super) use self::deadline::deadline;
pub(super) use self::permit::permit;
use super::{
    exchange::{Charged, Exchange, Taken},
    keys,
    refuse::Refusal,
};
use crate::{
    clock,
    plan::{Rate, Route},
    reason::Reason,
    store::By,
};

/// Asks the rate limits of the route; all are debited or none.
pub(super) async fn rate(
    exchange: &mut Exchange,
    route: &Route,
    session: &mut ServerSession,
) -> Result<(), Refusal> {
    for (place, rate) in route.rates.iter().enumerate() {
        let verdict = match &rate.shared {
            None => own_rate(exchange, rate, session.req_header()),
            Some(limit) => {
                let keys = keys::shared(exchange, rate, limit, session.req_header());
                shared::rate(rate, limit, &keys, exchange.deadline.at).await
            }
        };
        match verdict {
            Ok(taken) => {
                let charged = Charged { rate: place, taken };
                match rate.settings.mode {
                    // What refuses nothing is not told to callers either; its tokens come back all the same.
                    Mode::Shadow => exchange.charged_in_shadow.push(charged),
                    _ => exchange.charged.push(charged),
                }
            }
            Err(no) if rate.settings.mode == Mode::Shadow => {
                exchange.worker.page().shadow(&route.row, no.reason());
            }
            Err(No::Exceeded(exceeded, by)) => {
                return Err(refusals::rate_limited(exchange, rate, exceeded, by));
            }
            Err(No::StoreLost) => return Err(refusals::store_lost(rate)),
        }
    }
    Ok(())
}

/// Why a rate limit refuses.
enum No {
    /// Too early; and who of those that may decide on a shared limit says so.
    Exceeded(Exceeded, Option<By>),
    /// Nobody can say.
    StoreLost,
}

impl No {
    fn reason(&self) -> Reason {
        match self {
            Self::Exceeded(..) => Reason::RateLimited,
            Self::StoreLost => Reason::LimitStoreLost,
        }
    }
}

/// Asks a rate limit that is this sidecar's own.
fn own_rate(exchange: &Exchange, rate: &Rate, request: &RequestHeader) -> Result<Taken, No> {
    let values = keys::values(exchange, &rate.settings.per, request);
    let checked = rate.limiter.check_values(values, clock::now());
    checked.map(Taken::own).map_err(|exceeded| No::Exceeded(exceeded, None))
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
