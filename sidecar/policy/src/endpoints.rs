//! The endpoints of one upstream: which is used, and which of those gets the next request.
//!
//! Three things tell of an endpoint. [Checks](health) ask it whether it is well; [outcomes](outlier) of
//! requests tell whether it fails where others do not; and [answer times](latency) tell which one is
//! fast. The first two decide whether it is used at all, the third how often, and one that is new or used
//! again gets its share [step by step](slow_start).
//!
//! Where none would be used, all are: that every one is ill is more often wrong than right, and to refuse
//! for it would be an outage of our own making.
//!
//! What is known of an endpoint, its [`Standing`], outlives the rules that it is judged by.

mod balance;
mod health;
mod latency;
mod outlier;
mod slow_start;
mod standing;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use smallvec::SmallVec;
use weir_config::{Balance, Mode, Outlier, Upstream};

use self::{
    balance::{Balancer, Candidate},
    outlier::Judge,
};
pub use self::{
    outlier::{Cause, Ejection, Judged},
    standing::{EndpointState, Standing, View},
};
use crate::{Outcome, Time};

/// The rules by which the endpoints of one upstream are used.
#[derive(Debug)]
pub struct Endpoints {
    balance: Balance,
    balancer: Balancer,
    outlier: Option<Outlier>,
    slow_start: Duration,
    lasting: Arc<Lasting>,
}

/// What goes on when the rules change.
#[derive(Debug, Default)]
struct Lasting {
    judge: Judge,
    /// Requests that were sent to any endpoint because none would be used.
    panicked: AtomicU64,
}

/// Who gets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Its place among all.
    pub place: usize,
    /// None would be used, so all are.
    pub in_panic: bool,
}

impl Endpoints {
    /// The rules that an upstream is set to.
    pub fn new(settings: &Upstream) -> Self {
        Self::with(settings, Arc::default())
    }

    /// Other rules for the same endpoints.
    pub fn following(&self, settings: &Upstream) -> Self {
        Self::with(settings, Arc::clone(&self.lasting))
    }

    fn with(settings: &Upstream, lasting: Arc<Lasting>) -> Self {
        Self {
            balance: settings.balance,
            balancer: Balancer::new(settings.balance),
            outlier: settings.outlier.clone().filter(|outlier| outlier.mode != Mode::Disabled),
            slow_start: settings.slow_start,
            lasting,
        }
    }

    /// Chooses among `all` one that is not `excluded`, each named by its place; `None` when there is none
    /// that would be used. Only when, of all, none would be used, any other is chosen. `random` is 64 even
    /// random bits.
    pub fn pick<'a>(
        &self,
        all: impl Iterator<Item = &'a Standing>,
        excluded: impl Fn(usize) -> bool,
        now: Time,
        random: u64,
    ) -> Option<Pick> {
        let mut in_panic = true;
        // Read once: loads and states change while we look.
        let mut candidates = SmallVec::<[_; 16]>::new();
        for (place, one) in all.enumerate() {
            let is_used = self.is_used(one, now);
            in_panic &= !is_used;
            if !excluded(place) {
                candidates.push((is_used, self.candidate(place, one, now)));
            }
        }
        let open = candidates.iter().filter(|(is_used, _)| *is_used || in_panic);
        let mut open: SmallVec<[Candidate; 16]> = open.map(|(_, candidate)| *candidate).collect();
        let place = self.balancer.pick(&mut open, random)?;
        if in_panic {
            self.lasting.panicked.fetch_add(1, Relaxed);
        }
        Some(Pick { place, in_panic })
    }

    fn candidate(&self, place: usize, one: &Standing, now: Time) -> Candidate {
        let load = match self.balance {
            Balance::RoundRobin => 0.0,
            Balance::LeastRequests => f64::from(one.in_flight()),
            Balance::PeakEwma => one.latency.load(one.in_flight(), now),
        };
        Candidate { place, load, share: self.share(one, now) }
    }

    /// What came of a request to an endpoint that was handed to it then. Where that makes it one of those
    /// that are judged, what came of it.
    pub fn on_outcome<'a>(
        &self,
        one: &Standing,
        outcome: Outcome,
        began: Time,
        now: Time,
        all: impl Iterator<Item = &'a Standing> + Clone,
    ) -> Option<Judged> {
        if self.balance == Balance::PeakEwma {
            match outcome {
                Outcome::Success { latency: Some(took) } => one.latency.heard(took, now),
                Outcome::Success { latency: None } => {}
                Outcome::Failure => one.latency.failed(now.since(began), now),
            }
        }
        let settings = self.outlier.as_ref()?;
        let failed = outcome == Outcome::Failure;
        let cause = one.record.on_outcome(failed, began, settings, now)?;
        Some(self.lasting.judge.judge(one, cause, all, settings, now))
    }

    /// Whether a request may go to an endpoint while there are others.
    pub fn is_used(&self, one: &Standing, now: Time) -> bool {
        one.health.is_well() && !(self.enforces() && one.record.is_ejected(now))
    }

    /// Whether those that are ejected are passed over, and not only counted.
    fn enforces(&self) -> bool {
        self.outlier.as_ref().is_some_and(|outlier| outlier.mode == Mode::Enforce)
    }

    /// How much of an equal share it gets while it is used.
    fn share(&self, one: &Standing, now: Time) -> f64 {
        match self.used_since(one, now) {
            Some(since) => slow_start::share(since, self.slow_start, now),
            None => 1.0,
        }
    }

    /// Since when it is used, where it was not before.
    fn used_since(&self, one: &Standing, now: Time) -> Option<Time> {
        let readmitted = one.record.readmitted(now).filter(|_| self.enforces());
        one.began_again().max(readmitted)
    }

    /// Requests that were sent to any endpoint because none would be used, since the start.
    pub fn panicked(&self) -> u64 {
        self.lasting.panicked.load(Relaxed)
    }

    /// What is known of an endpoint.
    pub fn view(&self, one: &Standing, now: Time) -> View {
        standing::view(self, one, now)
    }
}
