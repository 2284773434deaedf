//! The rows of the ledger: where the requests of a route are counted, and for how long.
//!
//! A route may be removed by a reload while its requests run, come back under the same name, or go for
//! good; its counters must neither fall nor be lost meanwhile, and a file that changes for years must
//! not make the ledger grow. So a row belongs to a name, not to a place in a plan, and stays for as
//! long as a route or a request has it. Of those that nobody has any more the last [`KEPT`] stay as
//! they are; the counts of an older one go to the row of its listener's requests without a route.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed};

use super::RouteCells;
use crate::observe::complaints::Complaints;

/// How many rows are kept of routes that have gone.
const KEPT: usize = 256;

/// Where the requests of a route are counted.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) listener: String,
    /// `None` for the requests that never had a route, or whose row has been let go.
    pub(crate) route: Option<String>,
    pub(crate) complaints: Complaints,
    /// By worker.
    cells: Box<[RouteCells]>,
}

/// Every row there is; those that nobody has stand first, the longest abandoned before the others.
#[derive(Debug, Default)]
pub(super) struct Rows(Mutex<Vec<Arc<Row>>>);

impl Row {
    pub(super) fn cells(&self, worker: usize) -> &RouteCells {
        &self.cells[worker]
    }

    /// Counts on this row what has been counted on `other`, which nobody has any more.
    fn take_over(&self, other: &Self) {
        for (mine, theirs) in self.cells.iter().zip(&other.cells) {
            mine.take_over(theirs);
        }
    }

    /// Whether it counts a listener's requests that have no row of a route.
    fn is_rest_of(&self, listener: &str) -> bool {
        self.route.is_none() && self.listener == listener
    }

    fn is_blank(&self) -> bool {
        self.cells.iter().all(|cells| cells.is_blank())
    }
}

impl Rows {
    /// All of them, which nobody changes meanwhile.
    pub(super) fn locked(&self) -> MutexGuard<'_, Vec<Arc<Row>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, listener: &str, route: Option<&str>, workers: usize) -> Arc<Row> {
        let mut rows = self.locked();
        let known =
            rows.iter().find(|row| row.listener == listener && row.route.as_deref() == route);
        if let Some(row) = known {
            return Arc::clone(row);
        }
        let row = Arc::new(Row {
            listener: listener.to_owned(),
            route: route.map(str::to_owned),
            complaints: Complaints::default(),
            cells: (0..workers).map(|_| RouteCells::default()).collect(),
        });
        rows.push(Arc::clone(&row));
        row
    }

    pub(super) fn let_go(&self) {
        let mut rows = self.locked();
        let (mut abandoned, mut had) = (Vec::new(), Vec::new());
        for mut row in rows.drain(..) {
            // Nobody can come to have one that only the list has: that goes through its lock. And what
            // its last owner has written is seen from here on.
            match Arc::get_mut(&mut row) {
                Some(alone) if alone.route.is_some() => {
                    if !alone.is_blank() {
                        abandoned.push(row);
                    }
                }
                _ => had.push(row),
            }
        }
        let excess = abandoned.len().saturating_sub(KEPT);
        for row in abandoned.drain(..excess) {
            let of_listener = |other: &&Arc<Row>| other.is_rest_of(&row.listener);
            if let Some(rest) = had.iter().find(of_listener) {
                rest.take_over(&row);
            }
        }
        abandoned.append(&mut had);
        *rows = abandoned;
    }
}

impl RouteCells {
    fn take_over(&self, other: &Self) {
        let pairs = (self.ended.iter().zip(&other.ended))
            .chain(self.shadowed.iter().zip(&other.shadowed))
            .chain(self.statuses.iter().zip(&other.statuses));
        for (mine, theirs) in pairs {
            mine.fetch_add(theirs.load(Relaxed), Relaxed);
        }
        self.durations.take_over(&other.durations);
        self.asides.take_over(&other.asides);
    }

    fn is_blank(&self) -> bool {
        let none = |cells: &[std::sync::atomic::AtomicU64]| {
            cells.iter().all(|cell| cell.load(Relaxed) == 0)
        };
        none(&self.ended) && none(&self.shadowed)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Ledger, *};
    use crate::reason::Reason;

    fn count(ledger: &Ledger, row: &Row) {
        ledger.page(0).begin(0);
        ledger.page(0).end(0, row, Reason::Ok, Some(200), None);
    }

    /// What each row has counted, by its route.
    fn counted(ledger: &Ledger) -> Vec<(Option<String>, u64)> {
        let totals = ledger.totals();
        let ended = |(row, totals): &(Arc<Row>, super::super::RouteTotals)| {
            (row.route.clone(), totals.ended[Reason::Ok.index()])
        };
        let mut counted: Vec<_> = totals.routes.iter().map(ended).collect();
        counted.sort();
        counted
    }

    #[test]
    fn a_row_outlives_its_route_and_goes_on_when_it_comes_back() {
        let ledger = Ledger::new(1, 1);
        let _rest = ledger.row("in", None);
        let row = ledger.row("in", Some("a"));
        count(&ledger, &row);
        ledger.let_go();
        assert!(Arc::ptr_eq(&row, &ledger.row("in", Some("a"))), "somebody has it");
        drop(row);
        ledger.let_go();
        assert_eq!(counted(&ledger), [(None, 0), (Some("a".into()), 1)]);
        count(&ledger, &ledger.row("in", Some("a")));
        assert_eq!(counted(&ledger), [(None, 0), (Some("a".into()), 2)]);
        drop(ledger.row("in", Some("never asked")));
        ledger.let_go();
        assert_eq!(counted(&ledger).len(), 2, "what has counted nothing is not kept");
    }

    #[test]
    fn however_many_routes_have_gone_few_are_kept_and_no_count_is_lost() {
        const ROUTES: u64 = 3 * KEPT as u64;
        let ledger = Ledger::new(1, 1);
        let _rest = ledger.row("in", None);
        for route in 0..ROUTES {
            count(&ledger, &ledger.row("in", Some(&format!("{route:04}"))));
            ledger.let_go();
            assert_eq!(counted(&ledger).iter().map(|(_, times)| times).sum::<u64>(), route + 1);
        }
        let counted = counted(&ledger);
        assert_eq!(counted.len(), KEPT + 1);
        assert_eq!(counted[0], (None, ROUTES - KEPT as u64));
        assert_eq!(counted[1].0.as_deref(), Some("0512"), "the longest abandoned go first");
    }
}
