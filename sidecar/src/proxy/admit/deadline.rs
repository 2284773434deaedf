//! Whether a request can still make it: asked on arrival, before anything is charged for it.
//!
//! It cannot when the wait ahead of it, and what its route needs of the upstream at the least
//! ([`weir_policy::ServiceTime`]), take longer than it has. What the route needs counts against a caller's
//! deadline, and against the route's own `timeout.total` only where a wait takes some of that: without
//! one the upstream has all of it, and that it is too slow for that is a fault of its own, which
//! breakers are there for.

use std::time::Duration;

use weir_config::{Mode, Priority};

use super::refusals;
use crate::{
    clock,
    plan::Route,
    proxy::{exchange::Exchange, refuse::Refusal},
    reason::Reason,
};

/// How long a request that comes now is likely to wait for a permit; zero where nobody waits, as in
/// shadow mode and where the limit is disabled.
fn forecast(route: &Route, priority: Priority) -> Duration {
    match route.concurrency.settings.mode {
        Mode::Enforce => route.concurrency.in_flight().forecast(priority),
        Mode::Shadow | Mode::Disabled => Duration::ZERO,
    }
}

/// Refuses a request whose deadline is spent, or cannot be met any more.
pub(in crate::proxy) fn deadline(exchange: &mut Exchange, route: &Route) -> Result<(), Refusal> {
    let now = clock::now();
    let left = exchange.deadline.at.since(now);
    if left.is_zero() {
        return Err(refusals::deadline_spent(exchange));
    }
    let wait = forecast(route, exchange.priority);
    let mode = route.deadline.mode;
    if mode == Mode::Disabled || (wait.is_zero() && !exchange.deadline.callers) {
        return Ok(());
    }
    match route.service_time.fits(left, wait, now) {
        Ok(fit) => exchange.fit = fit,
        Err(_) if mode == Mode::Shadow => {
            exchange.worker.page().shadow(&route.row, Reason::Deadline);
        }
        Err(late) => return Err(refusals::too_late(exchange, left, wait, late)),
    }
    Ok(())
}
