//! The ledger: `received = forwarded + rejected + cancelled + in flight`, at every scrape.
//!
//! The four sides are counted by themselves; none is derived from the others, so that a request that
//! is lost or counted twice shows. Reading many counters while requests run would break the sum by a
//! few at any instant. So each worker writes a page of its own, between two marks of a version, and
//! the reader takes a page again when the version moved under it (a seqlock with one writer). The
//! sums of consistent pages are consistent; no request waits for a scrape, nor for another worker.
//!
//! What ended is counted on the [`Row`] of its route, which has a part for each worker's page. Rows
//! outlive the routes that a reload removes; see [`rows`].

mod asides;
mod rows;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::*, fence},
    },
    time::Duration,
};

use self::{asides::Asides, rows::Rows};
pub(crate) use self::{
    asides::{AsideTotals, DeadlineHeader, FaultKind},
    rows::Row,
};
use super::histogram::{Histogram, HistogramSnapshot};
use crate::reason::Reason;

/// All pages; one for each worker.
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Box<[Page]>,
    rows: Rows,
}

/// The counters of one worker.
#[derive(Debug)]
pub(crate) struct Page {
    worker: usize,
    version: AtomicU64,
    listeners: Box<[ListenerCells]>,
}

#[derive(Debug, Default)]
struct ListenerCells {
    received: AtomicU64,
    in_flight: AtomicI64,
}

/// A worker's part of a row, in cache lines that no other worker writes.
#[derive(Debug, Default)]
#[repr(align(128))]
struct RouteCells {
    ended: [AtomicU64; Reason::ALL.len()],
    shadowed: [AtomicU64; Reason::ALL.len()],
    statuses: [AtomicU64; 5],
    durations: Histogram,
    asides: Asides,
}

/// What a listener has received and still holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListenerTotals {
    pub(crate) received: u64,
    pub(crate) in_flight: i64,
}

/// How the requests of a route ended. A listener has one more, for requests that never had a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteTotals {
    /// By [`Reason::index`].
    pub(crate) ended: Vec<u64>,
    /// What a policy in shadow mode would have refused, by [`Reason::index`].
    pub(crate) shadowed: Vec<u64>,
    /// Answers by the first digit of their status, `1xx` to `5xx`.
    pub(crate) statuses: [u64; 5],
    pub(crate) durations: HistogramSnapshot,
    pub(crate) asides: AsideTotals,
}

/// All pages added up at one instant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) listeners: Vec<ListenerTotals>,
    /// With the row that each is of.
    pub(crate) routes: Vec<(Arc<Row>, RouteTotals)>,
}

impl Ledger {
    /// Pages for `workers`, with room for so many listeners; rows come with the routes.
    pub(crate) fn new(workers: usize, listeners: usize) -> Self {
        let page = |worker| Page {
            worker,
            version: AtomicU64::new(0),
            listeners: (0..listeners).map(|_| ListenerCells::default()).collect(),
        };
        Self { pages: (0..workers).map(page).collect(), rows: Rows::default() }
    }

    /// The page of a worker; only that worker writes it.
    pub(crate) fn page(&self, worker: usize) -> &Page {
        &self.pages[worker]
    }

    /// The row of a route by its name, or, without one, of a listener's requests that never had a
    /// route. The same names have the same row for as long as it is kept.
    pub(crate) fn row(&self, listener: &str, route: Option<&str>) -> Arc<Row> {
        self.rows.get(listener, route, self.pages.len())
    }

    /// Lets rows go that no route and no request has; see [`rows`] for what becomes of their counts.
    pub(crate) fn let_go(&self) {
        self.rows.let_go();
    }

    /// Everything at one instant of each worker.
    pub(crate) fn totals(&self) -> Totals {
        let rows = self.rows.locked();
        let mut totals = Totals {
            listeners: Vec::new(),
            routes: rows.iter().map(|row| (Arc::clone(row), RouteTotals::default())).collect(),
        };
        for page in &self.pages {
            let (listeners, routes) = page.read(&rows);
            totals.add(listeners, routes);
        }
        totals
    }

    /// Requests in flight, over all listeners.
    pub(crate) fn in_flight(&self) -> i64 {
        self.pages
            .iter()
            .flat_map(|page| &page.listeners)
            .map(|cells| cells.in_flight.load(Relaxed))
            .sum()
    }
}

impl Page {
    /// A request has begun.
    pub(crate) fn begin(&self, listener: usize) {
        self.write(|| {
            let cells = &self.listeners[listener];
            cells.received.fetch_add(1, Relaxed);
            cells.in_flight.fetch_add(1, Relaxed);
        });
    }

    /// A request has ended; `status` is that of the answer, where one was sent, and `took` is a time
    /// that says something: not the life of a stream.
    pub(crate) fn end(
        &self,
        listener: usize,
        row: &Row,
        reason: Reason,
        status: Option<u16>,
        took: Option<Duration>,
    ) {
        self.write(|| {
            self.listeners[listener].in_flight.fetch_sub(1, Relaxed);
            let cells = row.cells(self.worker);
            cells.ended[reason.index()].fetch_add(1, Relaxed);
            if let Some(took) = took {
                cells.durations.record(took);
            }
            if let Some(digit @ 1..=5) = status.map(|status| status / 100) {
                cells.statuses[usize::from(digit) - 1].fetch_add(1, Relaxed);
            }
        });
    }

    /// A policy in shadow mode would have refused a request.
    pub(crate) fn shadow(&self, row: &Row, reason: Reason) {
        row.cells(self.worker).shadowed[reason.index()].fetch_add(1, Relaxed);
    }

    /// The upstream has worked for so long on a request that nobody had an answer to in time.
    pub(crate) fn waste(&self, row: &Row, reason: Reason, time: Duration) {
        row.cells(self.worker).asides.waste(reason, time);
    }

    /// A trusted caller's header says no time.
    pub(crate) fn ignore_deadline(&self, row: &Row, header: DeadlineHeader) {
        row.cells(self.worker).asides.ignore(header);
    }

    /// A fault has been injected into a request.
    pub(crate) fn inject(&self, row: &Row, kind: FaultKind) {
        row.cells(self.worker).asides.inject(kind);
    }

    fn write(&self, change: impl FnOnce()) {
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        fence(Release);
        change();
        self.version.store(version.wrapping_add(2), Release);
    }

    fn read(&self, rows: &[Arc<Row>]) -> (Vec<ListenerTotals>, Vec<RouteTotals>) {
        loop {
            let before = self.version.load(Acquire);
            let listeners = self.listeners.iter().map(ListenerCells::read).collect();
            let routes = rows.iter().map(|row| row.cells(self.worker).read()).collect();
            fence(Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Relaxed) {
                return (listeners, routes);
            }
            std::thread::yield_now();
        }
    }
}

impl ListenerCells {
    fn read(&self) -> ListenerTotals {
        ListenerTotals {
            received: self.received.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
        }
    }
}

impl RouteCells {
    fn read(&self) -> RouteTotals {
        let read = |cells: &[AtomicU64]| cells.iter().map(|cell| cell.load(Relaxed)).collect();
        RouteTotals {
            ended: read(&self.ended),
            shadowed: read(&self.shadowed),
            statuses: std::array::from_fn(|digit| self.statuses[digit].load(Relaxed)),
            durations: self.durations.snapshot(),
            asides: self.asides.read(),
        }
    }
}

impl Totals {
    fn add(&mut self, listeners: Vec<ListenerTotals>, routes: Vec<RouteTotals>) {
        self.listeners.resize_with(listeners.len(), ListenerTotals::default);
        for (mine, theirs) in self.listeners.iter_mut().zip(listeners) {
            mine.received += theirs.received;
            mine.in_flight += theirs.in_flight;
        }
        for ((_, mine), theirs) in self.routes.iter_mut().zip(routes) {
            mine.add(&theirs);
        }
    }
}

impl RouteTotals {
    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.ended.iter_mut().zip(&other.ended) {
            *mine += theirs;
        }
        for (mine, theirs) in self.shadowed.iter_mut().zip(&other.shadowed) {
            *mine += theirs;
        }
        for (mine, theirs) in self.statuses.iter_mut().zip(&other.statuses) {
            *mine += theirs;
        }
        self.durations.add(&other.durations);
        self.asides.add(&other.asides);
    }
}

impl Default for RouteTotals {
    fn default() -> Self {
        let none = || vec![0; Reason::ALL.len()];
        Self {
            ended: none(),
            shadowed: none(),
            statuses: [0; 5],
            durations: HistogramSnapshot::default(),
            asides: AsideTotals::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, thread};

    use super::*;

    fn balance(totals: &Totals) -> (u64, u64) {
        let received = totals.listeners.iter().map(|listener| listener.received).sum();
        let in_flight: i64 = totals.listeners.iter().map(|listener| listener.in_flight).sum();
        let ended: u64 = totals.routes.iter().flat_map(|(_, route)| &route.ended).sum();
        (received, ended + in_flight as u64)
    }

    #[test]
    fn every_scrape_balances_while_workers_write() {
        let ledger = Arc::new(Ledger::new(2, 1));
        let stop = Arc::new(AtomicBool::new(false));
        let row = ledger.row("ingress", Some("everything"));
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let (ledger, stop, row) = (ledger.clone(), stop.clone(), row.clone());
                thread::spawn(move || {
                    let page = ledger.page(worker);
                    let mut requests = 0_u64;
                    while requests < 20_000 || !stop.load(Relaxed) {
                        page.begin(0);
                        page.end(0, &row, Reason::Ok, Some(200), Some(Duration::from_millis(1)));
                        requests += 1;
                        if requests.is_multiple_of(64) {
                            thread::yield_now();
                        }
                    }
                    requests
                })
            })
            .collect();
        for _ in 0..2_000 {
            let (received, accounted) = balance(&ledger.totals());
            assert_eq!(received, accounted);
        }
        stop.store(true, Relaxed);
        let written: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        let totals = ledger.totals();
        assert_eq!(balance(&totals), (written, written));
        assert_eq!(totals.routes[0].1.ended[Reason::Ok.index()], written);
        assert_eq!(totals.routes[0].1.statuses[1], written);
    }
}
