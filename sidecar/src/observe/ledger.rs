//! The ledger: `received = forwarded + rejected + cancelled + in flight`, at every scrape.
//!
//! The four sides are counted by themselves; none is derived from the others, so that a request that
//! is lost or counted twice shows. Reading many counters while requests run would break the sum by a
//! few at any instant. So each worker writes a page of its own, between two marks of a version, and
//! the reader takes a page again when the version moved under it (a seqlock with one writer). The
//! sums of consistent pages are consistent; no request waits for a scrape, nor for another worker.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::*, fence},
    time::Duration,
};

use super::histogram::{Histogram, HistogramSnapshot};
use crate::reason::Reason;

/// All pages; one for each worker.
#[derive(Debug)]
pub(crate) struct Ledger {
    pages: Box<[Page]>,
}

/// The counters of one worker.
#[derive(Debug)]
pub(crate) struct Page {
    version: AtomicU64,
    listeners: Box<[ListenerCells]>,
    routes: Box<[RouteCells]>,
}

#[derive(Debug, Default)]
struct ListenerCells {
    received: AtomicU64,
    in_flight: AtomicI64,
}

#[derive(Debug, Default)]
struct RouteCells {
    ended: [AtomicU64; Reason::ALL.len()],
    shadowed: [AtomicU64; Reason::ALL.len()],
    statuses: [AtomicU64; 5],
    durations: Histogram,
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
}

/// All pages added up at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) listeners: Vec<ListenerTotals>,
    pub(crate) routes: Vec<RouteTotals>,
}

impl Ledger {
    /// Pages for `workers`, with room for so many listeners and routes.
    pub(crate) fn new(workers: usize, listeners: usize, routes: usize) -> Self {
        let page = |_| Page {
            version: AtomicU64::new(0),
            listeners: (0..listeners).map(|_| ListenerCells::default()).collect(),
            routes: (0..routes).map(|_| RouteCells::default()).collect(),
        };
        Self { pages: (0..workers).map(page).collect() }
    }

    /// The page of a worker; only that worker writes it.
    pub(crate) fn page(&self, worker: usize) -> &Page {
        &self.pages[worker]
    }

    /// Everything at one instant of each worker.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for page in &self.pages {
            totals.add(page.read());
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
        route: usize,
        reason: Reason,
        status: Option<u16>,
        took: Option<Duration>,
    ) {
        self.write(|| {
            self.listeners[listener].in_flight.fetch_sub(1, Relaxed);
            let cells = &self.routes[route];
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
    pub(crate) fn shadow(&self, route: usize, reason: Reason) {
        self.routes[route].shadowed[reason.index()].fetch_add(1, Relaxed);
    }

    fn write(&self, change: impl FnOnce()) {
        let version = self.version.load(Relaxed);
        self.version.store(version.wrapping_add(1), Relaxed);
        fence(Release);
        change();
        self.version.store(version.wrapping_add(2), Release);
    }

    fn read(&self) -> Totals {
        loop {
            let before = self.version.load(Acquire);
            let totals = Totals {
                listeners: self.listeners.iter().map(ListenerCells::read).collect(),
                routes: self.routes.iter().map(RouteCells::read).collect(),
            };
            fence(Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Relaxed) {
                return totals;
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
        }
    }
}

impl Totals {
    fn add(&mut self, page: Self) {
        if self.listeners.is_empty() {
            *self = page;
            return;
        }
        for (mine, theirs) in self.listeners.iter_mut().zip(page.listeners) {
            mine.received += theirs.received;
            mine.in_flight += theirs.in_flight;
        }
        for (mine, theirs) in self.routes.iter_mut().zip(page.routes) {
            for (mine, theirs) in mine.ended.iter_mut().zip(theirs.ended) {
                *mine += theirs;
            }
            for (mine, theirs) in mine.shadowed.iter_mut().zip(theirs.shadowed) {
                *mine += theirs;
            }
            for (mine, theirs) in mine.statuses.iter_mut().zip(theirs.statuses) {
                *mine += theirs;
            }
            mine.durations.add(&theirs.durations);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicBool},
        thread,
    };

    use super::*;

    fn balance(totals: &Totals) -> (u64, u64) {
        let received = totals.listeners.iter().map(|listener| listener.received).sum();
        let in_flight: i64 = totals.listeners.iter().map(|listener| listener.in_flight).sum();
        let ended: u64 = totals.routes.iter().flat_map(|route| &route.ended).sum();
        (received, ended + in_flight as u64)
    }

    #[test]
    fn every_scrape_balances_while_workers_write() {
        let ledger = Arc::new(Ledger::new(2, 1, 1));
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let (ledger, stop) = (ledger.clone(), stop.clone());
                thread::spawn(move || {
                    let page = ledger.page(worker);
                    let mut requests = 0_u64;
                    while requests < 20_000 || !stop.load(Relaxed) {
                        page.begin(0);
                        page.end(0, 0, Reason::Ok, Some(200), Some(Duration::from_millis(1)));
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
        assert_eq!(totals.routes[0].ended[Reason::Ok.index()], written);
        assert_eq!(totals.routes[0].statuses[1], written);
    }
}
