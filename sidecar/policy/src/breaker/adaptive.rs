//! The breaker that refuses a share: Google SRE's client-side throttling, as go-zero tuned it.
//!
//! A dependency that succeeds less than `1/k` of the time is sent `k` times what it can serve. The
//! share refused follows the failures both ways, so there is no cliff, no probe and no state to get
//! stuck in. It is no load shedder: with `k = 1.5` half as much again as the capacity still arrives.
//!
//! The formula is "Handling Overload" of the SRE book, equation 21-1; what go-zero adds, in
//! `core/breaker/googlebreaker.go`, is below: `k` falls towards [`MIN_K`] while every slice fails, the
//! share falls with the slices that work, small numbers are left alone, and one request a second
//! passes whatever the numbers.
//!
//! All threads count in the same cache line, and to read it costs as much as to write it. So a breaker
//! with few failures admits without a look at it, from what only changes with a slice: two threads on
//! one breaker take 15 ns for a request instead of 29.

use std::{sync::Arc, time::Duration};

use weir_config::AdaptiveBreaker;

use super::{Open, Outcome, Snapshot, State, Threshold, Ticket};
use crate::{
    Time,
    lot::unit,
    memo::Memo,
    sync::{AtomicU64, Ordering::Relaxed},
    time::nanos,
    window::{Counts, Window},
};

/// A breaker that refuses a share.
#[derive(Debug)]
pub(super) struct Adaptive {
    settings: AdaptiveBreaker,
    seen: Arc<Seen>,
}

/// What it has seen.
#[derive(Debug)]
struct Seen {
    /// Successes, failures and refusals. Beside them, since the counters' cache line is about to move
    /// anyway: when a request last passed in spite of a share to refuse, plus 1 ns; 0 for never.
    window: Window,
    /// The history without the newest slice.
    past: Memo<4>,
    /// The last slice in which failures and refusals may have come to an excess.
    last_trouble: AtomicU64,
}

/// The window as the formula sees it.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    successes: u32,
    failures: u32,
    refused: u32,
    /// Latest slices in a row without a failure, empty ones not counted.
    working: u32,
    /// Latest slices in a row without a success, empty ones not counted.
    failing: u32,
}

impl Adaptive {
    pub(super) fn new(settings: &AdaptiveBreaker) -> Self {
        Self { settings: settings.clone(), seen: Arc::new(Seen::new(settings.window)) }
    }

    /// The same with other settings.
    pub(super) fn reconfigured(&self, settings: &AdaptiveBreaker, now: Time) -> Self {
        if settings.window == self.settings.window {
            return Self { settings: settings.clone(), seen: Arc::clone(&self.seen) };
        }
        let next = Self::new(settings);
        let History { successes, failures, refused, .. } = self.history(now);
        next.seen.window.add(Counts([successes, failures, refused]), now);
        next.last_pass().store(self.last_pass().load(Relaxed), Relaxed);
        next.seen.last_trouble.store(next.seen.window.advance(now), Relaxed);
        next
    }

    pub(super) fn admit(&self, now: Time, random: u64) -> Result<Ticket, Open> {
        let number = self.seen.window.advance(now);
        let past = self.past(number);
        if self.is_untroubled(number, past) {
            return Ok(TICKET);
        }
        let history = past.then(self.seen.window.newest(number));
        let excess = history.excess(self.settings.k);
        if excess <= 0.0 || self.passes_by_force(now) {
            return Ok(TICKET);
        }
        let share = history.share(excess);
        if unit(random) < share {
            self.count_trouble(REFUSAL, now);
            return Err(Open {
                retry_after: self.until_forced(now),
                threshold: Threshold::Share,
                snapshot: history.snapshot(share),
            });
        }
        self.last_pass().store(now.as_nanos().saturating_add(1), Relaxed);
        Ok(TICKET)
    }

    pub(super) fn on_outcome(&self, outcome: Outcome, now: Time) {
        match outcome {
            Outcome::Success { .. } => self.seen.window.add(SUCCESS, now),
            Outcome::Failure => self.count_trouble(FAILURE, now),
        }
    }

    pub(super) fn snapshot(&self, now: Time) -> Snapshot {
        let history = self.history(now);
        let excess = history.excess(self.settings.k);
        history.snapshot(if excess > 0.0 { history.share(excess) } else { 0.0 })
    }

    /// Whether this is the one request a second that passes whatever the numbers.
    fn passes_by_force(&self, now: Time) -> bool {
        let last = self.last_pass().load(Relaxed);
        let now = now.as_nanos().saturating_add(1);
        last > 0
            && now.saturating_sub(last) > nanos(FORCE_PASS)
            && self.last_pass().compare_exchange(last, now, Relaxed, Relaxed).is_ok()
    }

    fn until_forced(&self, now: Time) -> Duration {
        match self.last_pass().load(Relaxed) {
            0 => FORCE_PASS,
            last => (Time::from_nanos(last) + FORCE_PASS).since(now),
        }
    }

    /// The formula refuses nothing in slice `number` and need not be computed. A failure that is counted
    /// while another thread begins the slice may go unnoticed here until one more is.
    fn is_untroubled(&self, number: u64, past: History) -> bool {
        self.seen.last_trouble.load(Relaxed) < number && past.is_untroubled()
    }

    fn count_trouble(&self, event: Counts, now: Time) {
        self.seen.window.add(event, now);
        // Asked for anew: the slice may have changed before the event was counted.
        let number = self.seen.window.advance(now);
        let past = self.past(number);
        if self.is_untroubled(number, past) {
            let Counts([_, failures, refused]) = self.seen.window.newest(number);
            if !past.then(Counts([0, failures, refused])).is_untroubled() {
                self.seen.last_trouble.fetch_max(number, Relaxed);
            }
        }
    }

    fn history(&self, now: Time) -> History {
        let number = self.seen.window.advance(now);
        self.past(number).then(self.seen.window.newest(number))
    }

    fn past(&self, number: u64) -> History {
        History::unpack(self.seen.past.get(number, || {
            self.seen.window.closed(number).fold(History::default(), History::then).pack()
        }))
    }

    fn last_pass(&self) -> &AtomicU64 {
        self.seen.window.beside()
    }
}

impl Seen {
    fn new(window: Duration) -> Self {
        Self {
            window: Window::new(window, SLICES),
            past: Memo::new(),
            last_trouble: AtomicU64::new(0),
        }
    }
}

impl History {
    /// The history with one more slice at its end.
    fn then(self, Counts([successes, failures, refused]): Counts) -> Self {
        Self {
            successes: self.successes.saturating_add(successes),
            failures: self.failures.saturating_add(failures),
            refused: self.refused.saturating_add(refused),
            working: match (failures, successes) {
                (1.., _) => 0,
                (0, 1..) => self.working + 1,
                (0, 0) => self.working,
            },
            failing: match (successes, failures) {
                (1.., _) => 0,
                (0, 1..) => self.failing + 1,
                (0, 0) => self.failing,
            },
        }
    }

    fn pack(self) -> [u32; 4] {
        let Self { successes, failures, refused, working, failing } = self;
        [successes, failures, refused, (working << 16) | failing]
    }

    fn unpack([successes, failures, refused, runs]: [u32; 4]) -> Self {
        let (working, failing) = (runs >> 16, runs & 0xFFFF);
        Self { successes, failures, refused, working, failing }
    }

    /// Refusals count: else a breaker that refuses much would soon see few requests and let go.
    fn total(&self) -> u32 {
        self.successes.saturating_add(self.failures).saturating_add(self.refused)
    }

    /// The share of requests beyond what the successes have earned; none when not above zero.
    fn excess(&self, k: f64) -> f64 {
        let weight = k - (k - MIN_K) * f64::from(self.failing) / SLICES as f64;
        let earned = weight.max(MIN_K) * f64::from(self.successes);
        (f64::from(self.total()) - PROTECTION - earned) / (f64::from(self.total()) + 1.0)
    }

    /// Whether there is no excess, and none however many successes follow: each adds 1 and earns more.
    fn is_untroubled(&self) -> bool {
        f64::from(self.total()) - PROTECTION - MIN_K * f64::from(self.successes) <= 0.0
    }

    /// The share to refuse.
    fn share(&self, excess: f64) -> f64 {
        excess * (SLICES as f64 - f64::from(self.working)) / SLICES as f64
    }

    fn snapshot(&self, refused_share: f64) -> Snapshot {
        Snapshot {
            state: if refused_share > 0.0 {
                State::Throttling { refused_share }
            } else {
                State::Closed
            },
            requests: self.total(),
            failures: self.failures,
            slow: 0,
            refused: self.refused,
            consecutive_failures: 0,
        }
    }
}

/// It has no generations and no probes.
const TICKET: Ticket = Ticket { generation: 0, probe: false };

const SUCCESS: Counts = Counts([1, 0, 0]);
const FAILURE: Counts = Counts([0, 1, 0]);
const REFUSAL: Counts = Counts([0, 0, 1]);

/// 250 ms each in a window of 10 s.
const SLICES: usize = 40;

/// The least `k`, while all slices fail.
const MIN_K: f64 = 1.1;

/// So many failures in the window never count.
const PROTECTION: f64 = 5.0;

/// The longest without a request that passes.
const FORCE_PASS: Duration = Duration::from_secs(1);
