//! The concurrency limit: a permit, or a place in the queue until there is one.

use pingora::{http::RequestHeader, protocols::http::ServerSession};
use tokio::sync::oneshot;
use weir_config::{Key, Mode};
use weir_policy::{Claim, Entered, Place};

use super::refusals;
use crate::{
    clock,
    plan::{Concurrency, Route, Turn, Waker},
    proxy::{client, exchange::Exchange, keys, refuse::Refusal, stop::Stop},
    reason::Reason,
};

/// Takes a permit, or waits for one in the queue.
///
/// In shadow nobody waits, so those above the limit are taken for the queue: one more than both hold is
/// what enforcing would have refused. This is the least of it: that a wait may last longer than
/// `queue.timeout`, or than the deadline, is not seen. Requests that would have waited are at the
/// service instead, where they may end sooner or later than their turn would have come.
pub(in crate::proxy) async fn permit(
    exchange: &mut Exchange,
    route: &Route,
    session: &mut ServerSession,
) -> Result<(), Stop> {
    let concurrency = &route.concurrency;
    let in_flight = concurrency.in_flight();
    match concurrency.settings.mode {
        Mode::Disabled => return Ok(()),
        Mode::Enforce | Mode::Shadow if in_flight.try_acquire() => {}
        Mode::Shadow => {
            in_flight.force_acquire();
            let held = in_flight.limit().saturating_add(in_flight.queue_length());
            if in_flight.in_flight() > held {
                exchange.worker.page().shadow(&route.row, Reason::Overloaded);
            }
        }
        Mode::Enforce => {
            let claim = claim(exchange, concurrency, session.req_header());
            let waited = wait(exchange, route, claim, session).await;
            if let Err(Stop::Refused(_)) = waited {
                concurrency.refused(claim.priority);
            }
            waited?;
        }
    }
    exchange.holds_permit(concurrency);
    Ok(())
}

/// In whose name the request asks.
fn claim(exchange: &Exchange, concurrency: &Concurrency, request: &RequestHeader) -> Claim {
    let client = match &concurrency.settings.fair_per {
        Key::Route => 0,
        key => keys::first(exchange, key, request),
    };
    Claim { priority: exchange.priority, client }
}

/// Waits until a permit is handed over, the place is taken over, the client leaves, or it has been too
/// long.
async fn wait(
    exchange: &Exchange,
    route: &Route,
    claim: Claim,
    session: &mut ServerSession,
) -> Result<(), Stop> {
    let concurrency = &route.concurrency;
    let (waker, woken) = oneshot::channel();
    let entered = clock::now();
    let (place, patience) = match concurrency.in_flight().enqueue(claim, || waker, entered) {
        Entered::Granted => return Ok(()),
        Entered::Full(seen) => {
            return Err(Stop::Refused(refusals::overloaded(concurrency, claim.priority, seen)));
        }
        Entered::Waiting { place, patience, pushed_out } => {
            tell(pushed_out);
            (place, patience)
        }
    };
    let mut waiting = Waiting { concurrency, place: Some(place) };
    let queue_ends = entered + patience;
    let until = queue_ends.min(exchange.deadline.at);
    tokio::select! {
        biased;
        turn = woken => match turn {
            Ok(Turn::Granted) => {
                waiting.place = None;
                Ok(())
            }
            Ok(Turn::PushedOut) => {
                let waited = clock::now().since(entered);
                Err(Stop::Refused(refusals::pushed_out(concurrency, claim.priority, waited)))
            }
            Err(_) => Err(Stop::Refused(Refusal::new(Reason::Internal, "the queue lost this request"))),
        },
        () = client::left(session) => Err(Stop::Gone(Reason::ClientCancel)),
        () = tokio::time::sleep_until(clock::instant(until)) => {
            Err(Stop::Refused(if until < queue_ends {
                refusals::deadline_in_queue(exchange, concurrency)
            } else {
                refusals::queue_timeout(concurrency, claim.priority, patience)
            }))
        }
    }
}

/// A request that has left meanwhile does not hear it, and need not.
fn tell(pushed_out: Option<Waker>) {
    if let Some(waker) = pushed_out {
        waker.send(Turn::PushedOut).unwrap_or_default();
    }
}

/// A place in the queue that is left when the request stops waiting, for whatever reason.
struct Waiting<'a> {
    concurrency: &'a Concurrency,
    place: Option<Place>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        // The permit may have been handed over in this very moment; then it goes to the next.
        if !self.concurrency.in_flight().leave(place) {
            self.concurrency.hand_on(clock::now());
        }
    }
}
