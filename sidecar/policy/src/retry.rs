//! Tries again: how many there may be, and how long to wait before one.
//!
//! A service that fails because it has too much to do gets more of it from every try again. So the tries
//! are a share of the requests, whatever each request would like: at 20 % and 10 a second, a service that
//! fails a thousand requests a second hears of 1,210 and not of 3,000.
//!
//! Each request puts a share of a token into the budget, each second some more; a try again takes one
//! token. What a second brings may be kept; of what is beyond that two thirds are gone a second later. So
//! a moment in which many fail, such as a process that starts again, finds about one second's worth, and
//! an outage nothing that was saved up over a day.

use std::time::Duration;

use weir_config::RetryBudget;

use crate::{
    Time,
    sync::{AtomicU64, Ordering},
    time::nanos,
};

/// The tokens of a route, none at first.
#[derive(Debug)]
pub struct Retries {
    /// A [`State`].
    state: AtomicU64,
    /// Tokens for each request and for each second, as two `f32`.
    budget: AtomicU64,
}

/// The longest that a try again is put off.
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// How far apart two threads may read the clock; a reading that is further back has wrapped round.
const APART_MS: u32 = 60_000;

impl Retries {
    /// Nothing saved up yet.
    pub fn new(budget: &RetryBudget, now: Time) -> Self {
        let state = State { tokens: 0.0, at_ms: millis(now) };
        Self { state: AtomicU64::new(state.pack()), budget: AtomicU64::new(packed(budget)) }
    }

    /// Is configured anew; what was saved up stays.
    pub fn reconfigure(&self, budget: &RetryBudget) {
        self.budget.store(packed(budget), Ordering::Relaxed);
    }

    /// A request came, which is not a try again.
    pub fn on_request(&self, now: Time) {
        let (per_request, _) = self.budget();
        // It never refuses.
        self.update(now, |tokens| Some(tokens + per_request)).unwrap_or_default();
    }

    /// Takes the token for a try again, if there is one.
    #[must_use = "without a token nothing is tried again"]
    pub fn withdraw(&self, now: Time) -> bool {
        self.update(now, |tokens| (tokens >= 1.0).then_some(tokens - 1.0)).is_some()
    }

    /// Gives back the token of a try that was not made after all.
    pub fn give_back(&self, now: Time) {
        self.update(now, |tokens| Some(tokens + 1.0)).unwrap_or_default();
    }

    /// Tokens there are: so many could be tried again now.
    pub fn tokens(&self, now: Time) -> f64 {
        let state = State::unpack(self.state.load(Ordering::Relaxed));
        f64::from(self.later(state, millis(now)).tokens)
    }

    /// A state, some time later.
    fn later(&self, state: State, now_ms: u32) -> State {
        let passed = now_ms.wrapping_sub(state.at_ms);
        if passed > u32::MAX - APART_MS {
            return state;
        }
        let (_, per_second) = self.budget();
        let seconds = passed as f32 / 1e3;
        let kept = state.tokens.min(per_second);
        let above = (state.tokens - kept) * (-seconds).exp();
        let kept = (kept + per_second * seconds).min(per_second);
        State { tokens: kept + above, at_ms: now_ms }
    }

    /// Replaces the tokens by what `step` makes of them now; `None` when it made nothing of them.
    fn update(&self, now: Time, step: impl Fn(f32) -> Option<f32>) -> Option<()> {
        let step = |word| {
            let state = self.later(State::unpack(word), millis(now));
            Some(State { tokens: step(state.tokens)?, ..state }.pack())
        };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).ok().map(drop)
    }

    fn budget(&self) -> (f32, f32) {
        let word = self.budget.load(Ordering::Relaxed);
        (f32::from_bits((word >> 32) as u32), f32::from_bits(word as u32))
    }
}

/// How long to wait before try number `nth` again, the first being 1: drawn evenly up to `base`, which
/// doubles with each (full jitter), so that those who failed together do not come back together.
pub fn backoff(base: Duration, nth: u32, random: u64) -> Duration {
    let longest = base.saturating_mul(1 << nth.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    let share = u128::from(random >> 32) + 1;
    let nanos = (u128::from(nanos(longest)) * share) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// So many tokens, then.
#[derive(Clone, Copy, Debug)]
struct State {
    tokens: f32,
    /// Milliseconds, which wrap round after 49 days.
    at_ms: u32,
}

impl State {
    fn pack(self) -> u64 {
        (u64::from(self.tokens.to_bits()) << 32) | u64::from(self.at_ms)
    }

    fn unpack(word: u64) -> Self {
        Self { tokens: f32::from_bits((word >> 32) as u32), at_ms: word as u32 }
    }
}

fn packed(budget: &RetryBudget) -> u64 {
    let (per_request, per_second) = (budget.ratio.get() as f32, budget.per_second as f32);
    (u64::from(per_request.to_bits()) << 32) | u64::from(per_second.to_bits())
}

fn millis(now: Time) -> u32 {
    (now.as_nanos() / 1_000_000) as u32
}
