//! The states of a tripping breaker, as a value and its transitions.
//!
//! All of it fits one word of 128 bits, so a transition is one exchange: however many threads admit,
//! fail and leave at once, there are never more probes than allowed, and a slot that was taken comes
//! back exactly once.

use std::time::Duration;

use portable_atomic::{AtomicU128, Ordering::SeqCst};

use super::{Threshold, Ticket};
use crate::Time;

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) mode: Mode,
    /// What opened it last.
    pub(super) threshold: Threshold,
    /// Changes of mode so far, counted round after 22 bits.
    generation: u32,
    /// Openings since it was last closed; stops at 63.
    pub(super) openings: u32,
    /// Probes at the dependency.
    pub(super) probes: u32,
    /// Probes that have succeeded.
    successes: u32,
    /// When it may be half-open; when it is, when one more probe may pass whatever became of the others.
    pub(super) until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Closed,
    Open,
    HalfOpen,
}

impl Phase {
    /// A request asks at `now`, with room for `probes` at once: leave, or how long to stay away.
    ///
    /// A probe that does not end says nothing, and it may be its client's slow upload; so after
    /// `patience` without another there is room for one more.
    pub(super) fn admit(
        self,
        now: Time,
        probes: u32,
        patience: Duration,
    ) -> (Self, Result<Ticket, Duration>) {
        let next = match self.mode {
            Mode::Closed => self,
            Mode::Open if now < self.until => return (self, Err(self.until.since(now))),
            Mode::Open => Self { probes: 0, successes: 0, ..self.changed(Mode::HalfOpen) }
                .probe_sent(now + patience),
            Mode::HalfOpen if self.probes < probes || now >= self.until => {
                self.probe_sent(now + patience)
            }
            Mode::HalfOpen => return (self, Err(Duration::ZERO)),
        };
        (next, Ok(next.ticket()))
    }

    fn probe_sent(self, until: Time) -> Self {
        Self { probes: (self.probes + 1).min(PROBES_MAX), until, ..self }
    }

    /// A closed breaker has reached a threshold.
    pub(super) fn trip(self, threshold: Threshold, until: Time) -> Self {
        let openings = (self.openings + 1).min(OPENINGS_MAX);
        Self { threshold, openings, until, ..self.changed(Mode::Open) }
    }

    /// A probe succeeded; it closes once `needed` have.
    pub(super) fn probe_succeeded(self, needed: u32) -> Self {
        let successes = self.successes + 1;
        if successes >= needed {
            return Self { openings: 0, ..self.changed(Mode::Closed) };
        }
        Self { successes, ..self.slot_returned() }
    }

    /// A probe ended, whatever came of it.
    pub(super) fn slot_returned(self) -> Self {
        Self { probes: self.probes.saturating_sub(1), ..self }
    }

    /// Whether what became of this ticket still matters.
    pub(super) fn is_current(&self, ticket: Ticket) -> bool {
        self.generation == ticket.generation
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket { generation: self.generation, probe: self.mode == Mode::HalfOpen }
    }

    fn changed(self, mode: Mode) -> Self {
        Self { mode, generation: (self.generation + 1) & GENERATION_MASK, ..self }
    }
}

/// A phase that threads share.
#[derive(Debug)]
pub(super) struct SharedPhase(AtomicU128);

impl SharedPhase {
    pub(super) fn closed() -> Self {
        Self(AtomicU128::new(0))
    }

    pub(super) fn get(&self) -> Phase {
        Phase::unpack(self.0.load(SeqCst))
    }

    /// Replaces the phase by what `step` makes of it, and hands on what `step` says beside it.
    pub(super) fn update<T>(&self, step: impl Fn(Phase) -> (Phase, T)) -> T {
        let mut word = self.0.load(SeqCst);
        loop {
            let (next, answer) = step(Phase::unpack(word));
            let next = next.pack();
            if next == word {
                return answer;
            }
            match self.0.compare_exchange_weak(word, next, SeqCst, SeqCst) {
                Ok(_) => return answer,
                Err(other) => word = other,
            }
        }
    }
}

impl Phase {
    fn pack(self) -> u128 {
        let mode = match self.mode {
            Mode::Closed => 0,
            Mode::Open => 1,
            Mode::HalfOpen => 2,
        };
        let threshold = match self.threshold {
            Threshold::Consecutive | Threshold::Share => 0,
            Threshold::ErrorRatio => 1,
            Threshold::SlowRatio => 2,
            Threshold::Probe => 3,
        };
        let fields = [
            (mode, 2),
            (threshold, 2),
            (self.generation, GENERATION_BITS),
            (self.openings, OPENINGS_BITS),
            (self.probes, PROBES_BITS),
            (self.successes, PROBES_BITS),
        ];
        let head = fields.iter().fold(0, |word, &(field, bits)| (word << bits) | u128::from(field));
        (head << 64) | u128::from(self.until.as_nanos())
    }

    fn unpack(word: u128) -> Self {
        let mut head = (word >> 64) as u64;
        let mut take = |bits: u32| {
            let field = head & ((1 << bits) - 1);
            head >>= bits;
            field as u32
        };
        let (successes, probes) = (take(PROBES_BITS), take(PROBES_BITS));
        let (openings, generation) = (take(OPENINGS_BITS), take(GENERATION_BITS));
        let threshold = match take(2) {
            0 => Threshold::Consecutive,
            1 => Threshold::ErrorRatio,
            2 => Threshold::SlowRatio,
            _ => Threshold::Probe,
        };
        let mode = match take(2) {
            0 => Mode::Closed,
            1 => Mode::Open,
            _ => Mode::HalfOpen,
        };
        let until = Time::from_nanos(word as u64);
        Self { mode, threshold, generation, openings, probes, successes, until }
    }
}

const GENERATION_BITS: u32 = 22;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;
const OPENINGS_BITS: u32 = 6;
const OPENINGS_MAX: u32 = (1 << OPENINGS_BITS) - 1;
const PROBES_BITS: u32 = 16;

/// The most probes a phase can hold.
pub(super) const PROBES_MAX: u32 = (1 << PROBES_BITS) - 1;
