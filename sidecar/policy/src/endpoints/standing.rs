//! What is known of one endpoint, and what of it is shown.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use weir_config::HealthCheck;

use super::{
    Endpoints,
    health::{Health, Verdict},
    latency::PeakEwma,
    outlier::{Cause, Ejection, Record},
};
use crate::Time;

/// What is known of one endpoint: one for the whole process, whatever the plan.
#[derive(Debug)]
pub struct Standing {
    in_flight: AtomicU32,
    /// When it joined others, in nanoseconds; 0 where it was there from the beginning.
    joined: AtomicU64,
    pub(super) health: Health,
    pub(super) record: Record,
    pub(super) latency: PeakEwma,
}

/// What becomes of requests to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// It is used.
    Healthy,
    /// It is used, and its share still grows.
    SlowStart,
    /// It is passed over because it fails where others do not; in shadow mode it would be.
    Ejected,
    /// It is passed over because its checks fail.
    Unhealthy,
    /// It has joined others, and is not used before its first check.
    Unchecked,
}

/// What is known of an endpoint at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// What becomes of requests to it.
    pub state: EndpointState,
    /// Since when.
    pub since: Time,
    /// When it leaves that state by itself.
    pub until: Option<Time>,
    /// How much of an equal share it gets, `0.0..=1.0`; 0 while it is passed over.
    pub share: f64,
    /// Its last ejection, over or not.
    pub last_ejection: Option<Ejection>,
    /// Ejections since the start, in the order of [`Cause::ALL`].
    pub ejections: [u64; Cause::ALL.len()],
    /// Failures in a row.
    pub consecutive_failures: u32,
    /// Checks that went well, since the start.
    pub checks_passed: u64,
    /// Checks that did not.
    pub checks_failed: u64,
    /// How long its answers take; known where it is chosen by that.
    pub latency: Option<Duration>,
}

impl EndpointState {
    /// Every word, in the order of the states; at any time an endpoint is in one of them.
    pub const WORDS: [&'static str; 5] =
        ["healthy", "slow_start", "ejected", "unhealthy", "unchecked"];

    /// The word for it, wherever it is shown.
    pub const fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl Standing {
    /// One that is there from the beginning: used at once, and like the others.
    pub fn first(now: Time) -> Self {
        Self::new(Verdict::Presumed, 0, now)
    }

    /// One that joins others: its share grows, and where endpoints are `checked`, it waits for that.
    pub fn joining(checked: bool, now: Time) -> Self {
        let verdict = if checked { Verdict::Awaited } else { Verdict::Presumed };
        Self::new(verdict, now.as_nanos().max(1), now)
    }

    fn new(verdict: Verdict, joined: u64, now: Time) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            joined: AtomicU64::new(joined),
            health: Health::new(verdict, now),
            record: Record::new(),
            latency: PeakEwma::default(),
        }
    }

    /// Requests that it is working on.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// It is handed a request; each ends in one [`Standing::ended`].
    pub fn began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// It is done with a request.
    pub fn ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// A check of it has ended.
    pub fn on_check(&self, went_well: bool, settings: &HealthCheck, now: Time) {
        self.health.on_check(went_well, settings, now);
    }

    /// Nobody checks it any more: what checks said of it does not hold.
    pub fn unchecked(&self, now: Time) {
        self.health.forget(now);
    }

    /// When it joined others, or was found to be well after all.
    pub(super) fn began_again(&self) -> Option<Time> {
        let joined = self.joined.load(Relaxed);
        let joined = (joined > 0).then(|| Time::from_nanos(joined));
        joined.max(self.health.recovered())
    }
}

pub(super) fn view(rules: &Endpoints, one: &Standing, now: Time) -> View {
    let health = one.health.seen();
    let ejection = one.record.last();
    let ejected = ejection.filter(|_| rules.outlier.is_some() && one.record.is_ejected(now));
    let share = rules.share(one, now);
    let used_since = rules.used_since(one, now);
    let (state, since, until) = match (health.verdict, ejected, used_since) {
        (Verdict::Unhealthy, _, _) => (EndpointState::Unhealthy, health.since, None),
        (_, Some(ejection), _) => (EndpointState::Ejected, ejection.at, Some(ejection.until)),
        (Verdict::Awaited, _, _) => (EndpointState::Unchecked, health.since, None),
        (_, None, Some(since)) if share < 1.0 => {
            (EndpointState::SlowStart, since, Some(since + rules.slow_start))
        }
        (_, None, Some(since)) => {
            (EndpointState::Healthy, health.since.max(since + rules.slow_start), None)
        }
        (_, None, None) => (EndpointState::Healthy, health.since, None),
    };
    let (checks_passed, checks_failed) = one.health.checks();
    View {
        state,
        since,
        until,
        share: if rules.is_used(one, now) { share } else { 0.0 },
        last_ejection: ejection,
        ejections: Cause::ALL.map(|cause| one.record.ejections(cause)),
        consecutive_failures: one.record.run(),
        checks_passed,
        checks_failed,
        latency: one.latency.seconds(now).map(Duration::from_secs_f64),
    }
}
