//! The breaker that opens: closed -> open -> half-open -> closed, or open again for longer.
//!
//! Three signals, any of which opens it, because each is blind where another sees. Failures in a row
//! catch a dependency that died between two requests a minute; the error ratio catches one that fails
//! half of many; the slow ratio catches one that still answers, too late to be of use.
//!
//! The window is not asked while open: outcomes of requests from before it opened are about a past
//! that has been judged already. The numbers it tripped on are kept for whoever asks why.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use portable_atomic::AtomicU128;
use weir_config::TripBreaker;

use super::{
    Open, Outcome, Snapshot, State, Threshold, Ticket,
    phase::{Mode, PROBES_MAX, Phase, SharedPhase},
};
use crate::{
    Time,
    lot::unit,
    memo::Memo,
    time::nanos,
    window::{Counts, Window},
};

/// A breaker that opens.
#[derive(Debug)]
pub(super) struct Tripping {
    settings: TripBreaker,
    probes: u32,
    state: Arc<Standing>,
    seen: Arc<Seen>,
}

/// Where it stands.
#[derive(Debug)]
struct Standing {
    phase: SharedPhase,
    /// Failures in a row.
    consecutive: AtomicU32,
    /// What it last tripped on.
    tripped: AtomicU128,
}

/// What it has seen.
#[derive(Debug)]
struct Seen {
    window: Window,
    /// The window's sums without its newest slice.
    past: Memo<3>,
}

/// What the thresholds are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Inputs {
    total: u32,
    failures: u32,
    slow: u32,
    consecutive: u32,
}

impl Tripping {
    pub(super) fn new(settings: &TripBreaker) -> Self {
        let state = Standing {
            phase: SharedPhase::closed(),
            consecutive: AtomicU32::new(0),
            tripped: AtomicU128::new(0),
        };
        let window = Window::new(settings.window, SLICES);
        Self {
            settings: settings.clone(),
            probes: settings.probes.get().min(PROBES_MAX),
            state: Arc::new(state),
            seen: Arc::new(Seen { window, past: Memo::new() }),
        }
    }

    /// The same with other settings.
    pub(super) fn reconfigured(&self, settings: &TripBreaker, now: Time) -> Self {
        let next = Self { state: Arc::clone(&self.state), ..Self::new(settings) };
        if settings.window == self.settings.window {
            return Self { seen: Arc::clone(&self.seen), ..next };
        }
        let Inputs { total, failures, slow, .. } = self.live_inputs(now);
        next.seen.window.add(Counts([total, failures, slow]), now);
        next
    }

    pub(super) fn admit(&self, now: Time) -> Result<Ticket, Open> {
        let phase = self.state.phase.get();
        if phase.mode == Mode::Closed {
            return Ok(phase.ticket());
        }
        let (was, answer) = self.state.phase.update(|phase| {
            let (next, answer) = phase.admit(now, self.probes, self.settings.open_for);
            (next, (phase, answer))
        });
        if was.mode == Mode::Open && answer.is_ok() {
            // Nobody counts while half-open: a dependency that recovers starts with a clean slate.
            self.seen.window.clear(now);
            self.state.consecutive.store(0, Relaxed);
        }
        answer.map_err(|retry_after| Open {
            retry_after,
            threshold: was.threshold,
            snapshot: self.inputs_of(was, now).snapshot(was, now),
        })
    }

    pub(super) fn on_outcome(&self, ticket: Ticket, outcome: Outcome, now: Time, random: u64) {
        let slow = self.is_slow(outcome);
        let failed = outcome == Outcome::Failure;
        if ticket.probe {
            let bad = failed || (slow && self.settings.slow_ratio.is_some());
            self.on_probe(ticket, bad, now, random);
        } else if self.state.phase.get().is_current(ticket) {
            self.seen.window.add(Counts([1, u32::from(failed), u32::from(slow)]), now);
            self.count_in_row(failed);
            self.trip_if_due(ticket, now);
        }
    }

    pub(super) fn release(&self, ticket: Ticket) {
        if ticket.probe {
            self.update_if_current(ticket, Phase::slot_returned);
        }
    }

    pub(super) fn snapshot(&self, now: Time) -> Snapshot {
        let phase = self.state.phase.get();
        self.inputs_of(phase, now).snapshot(phase, now)
    }

    fn on_probe(&self, ticket: Ticket, bad: bool, now: Time, random: u64) {
        self.update_if_current(ticket, |phase| {
            if bad {
                let until = now + self.open_time(phase.openings, random);
                phase.trip(Threshold::Probe, until)
            } else {
                phase.probe_succeeded(self.probes)
            }
        });
    }

    fn count_in_row(&self, failed: bool) {
        if failed {
            self.state.consecutive.fetch_add(1, Relaxed);
        } else if self.state.consecutive.load(Relaxed) != 0 {
            self.state.consecutive.store(0, Relaxed);
        }
    }

    fn trip_if_due(&self, ticket: Ticket, now: Time) {
        let inputs = self.live_inputs(now);
        let Some(threshold) = self.reached(inputs) else { return };
        self.state.tripped.store(inputs.pack(), Relaxed);
        let until = now + self.settings.open_for;
        self.update_if_current(ticket, |phase| phase.trip(threshold, until));
    }

    fn update_if_current(&self, ticket: Ticket, step: impl Fn(Phase) -> Phase) {
        self.state
            .phase
            .update(|phase| (if phase.is_current(ticket) { step(phase) } else { phase }, ()));
    }

    /// The first of the thresholds that is reached.
    fn reached(&self, inputs: Inputs) -> Option<Threshold> {
        let TripBreaker { consecutive, error_ratio, slow_ratio, min_requests, .. } = &self.settings;
        let enough = inputs.total >= min_requests.get();
        let share = |part: u32| f64::from(part) / f64::from(inputs.total);
        let over = |part: u32, ratio: weir_config::Ratio| part > 0 && share(part) >= ratio.get();
        if consecutive.is_some_and(|limit| inputs.consecutive >= limit.get()) {
            Some(Threshold::Consecutive)
        } else if enough && error_ratio.is_some_and(|ratio| over(inputs.failures, ratio)) {
            Some(Threshold::ErrorRatio)
        } else if enough && slow_ratio.is_some_and(|ratio| over(inputs.slow, ratio)) {
            Some(Threshold::SlowRatio)
        } else {
            None
        }
    }

    fn is_slow(&self, outcome: Outcome) -> bool {
        let Outcome::Success { latency: Some(latency) } = outcome else { return false };
        latency >= self.settings.slow_after
    }

    /// How long it stays open after `openings` others in a row: each time twice as long, spread so that
    /// many sidecars do not all probe at once. The first time is exactly as configured.
    fn open_time(&self, openings: u32, random: u64) -> Duration {
        let (first, longest) = (nanos(self.settings.open_for), nanos(self.settings.open_max));
        let doubled = first.saturating_mul(1_u64 << openings.min(63)).min(longest);
        let spread = 1.0 - JITTER + 2.0 * JITTER * unit(random);
        Duration::from_nanos(((doubled as f64 * spread) as u64).min(longest))
    }

    fn inputs_of(&self, phase: Phase, now: Time) -> Inputs {
        match phase.mode {
            Mode::Closed => self.live_inputs(now),
            Mode::Open | Mode::HalfOpen => Inputs::unpack(self.state.tripped.load(Relaxed)),
        }
    }

    fn live_inputs(&self, now: Time) -> Inputs {
        let number = self.seen.window.advance(now);
        let past = self.seen.past.get(number, || {
            self.seen.window.closed(number).fold(Counts::default(), Counts::plus).0
        });
        let Counts([total, failures, slow]) = Counts(past).plus(self.seen.window.newest(number));
        Inputs { total, failures, slow, consecutive: self.state.consecutive.load(Relaxed) }
    }
}

impl Inputs {
    fn snapshot(self, phase: Phase, now: Time) -> Snapshot {
        let Self { total, failures, slow, consecutive } = self;
        let state = match phase.mode {
            Mode::Closed => State::Closed,
            Mode::Open if now < phase.until => State::Open { until: phase.until },
            Mode::Open => State::HalfOpen { probes: 0 },
            Mode::HalfOpen => State::HalfOpen { probes: phase.probes },
        };
        Snapshot {
            state,
            requests: total,
            failures,
            slow,
            refused: 0,
            consecutive_failures: consecutive,
        }
    }

    fn pack(self) -> u128 {
        [self.total, self.failures, self.slow, self.consecutive]
            .iter()
            .fold(0, |word, &part| (word << 32) | u128::from(part))
    }

    fn unpack(word: u128) -> Self {
        let part = |place: u32| (word >> (32 * place)) as u32;
        Self { total: part(3), failures: part(2), slow: part(1), consecutive: part(0) }
    }
}

/// How finely the window slides.
const SLICES: usize = 10;

/// A reopened breaker's time varies by this share to either side.
const JITTER: f64 = 0.2;
