//! How much of its share an endpoint gets that is new, or is used again.
//!
//! Caches are cold and code is not compiled yet; and one that was ejected may still be ill. So its share
//! grows in a line, from a tenth: enough to be found out either way.

use std::time::Duration;

use crate::Time;

/// What it begins with, so that it is asked at all.
const FIRST: f64 = 0.1;

/// The share at `now` of one that is used since then, of what an equal one gets.
pub(super) fn share(since: Time, lasts: Duration, now: Time) -> f64 {
    let passed = now.since(since).as_secs_f64();
    if lasts.is_zero() {
        1.0
    } else {
        (FIRST + (1.0 - FIRST) * passed / lasts.as_secs_f64()).min(1.0)
    }
}
