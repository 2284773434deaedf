//! What is logged of requests that did not go well: a line for each route and reason, at most once a
//! second, with how many there were besides.
//!
//! A line for each would make a flood of refusals a flood of writes, and an overload worse. Each of
//! them is counted in the ledger, and the last ones are in `/explain`. A request that went well never
//! comes here.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use weir_policy::Time;

use crate::reason::{Class, Reason};

/// From a line to the next of the same route and reason.
const INTERVAL: Duration = Duration::from_secs(1);

/// Of one row of the ledger: for each reason, when the next line may be written.
#[derive(Debug, Default)]
pub(crate) struct Complaints([Cell; Reason::ALL.len()]);

#[derive(Debug, Default)]
struct Cell {
    /// Nanoseconds since the process's epoch.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl Complaints {
    /// Whether a request that ended so is worth a line now; then, how many since the last line had none.
    pub(crate) fn due(&self, reason: Reason, now: Time) -> Option<u64> {
        // Clients leave as they please.
        if reason == Reason::Ok || reason.class() == Class::Cancelled {
            return None;
        }
        let cell = &self.0[reason.index()];
        let next = cell.next.load(Relaxed);
        let after = (now + INTERVAL).as_nanos();
        let due = now.as_nanos() >= next
            && cell.next.compare_exchange(next, after, Relaxed, Relaxed).is_ok();
        if due {
            return Some(cell.suppressed.swap(0, Relaxed));
        }
        cell.suppressed.fetch_add(1, Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_a_second_for_each_route_and_reason() {
        let rows = [Complaints::default(), Complaints::default()];
        let due = |row: usize, reason, millis| {
            rows[row].due(reason, Time::default() + Duration::from_millis(millis))
        };
        assert_eq!(due(0, Reason::RateLimited, 10), Some(0));
        for _ in 0..99 {
            assert_eq!(due(0, Reason::RateLimited, 20), None);
        }
        assert_eq!(due(1, Reason::RateLimited, 20), Some(0), "another route");
        assert_eq!(due(0, Reason::UpstreamReset, 20), Some(0), "another reason");
        assert_eq!(due(0, Reason::RateLimited, 1009), None);
        assert_eq!(due(0, Reason::RateLimited, 1010), Some(100));
        assert_eq!(due(0, Reason::RateLimited, 5000), Some(0));
    }

    #[test]
    fn what_went_well_and_who_left_are_no_complaint() {
        let complaints = Complaints::default();
        for reason in [Reason::Ok, Reason::ClientCancel, Reason::ClientSlow] {
            assert_eq!(complaints.due(reason, Time::default()), None);
        }
    }
}
