//! A scenario on a virtual clock, through the very code that the sidecar runs.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use weir_policy::{Limit, Place, Sample, Time};

use super::{
    door::{Arrival, Door},
    scenario::{Phase, Scenario},
    service::{Service, exponential},
};

/// What came of a phase, after its time to settle.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Answers in time, as a share of what was possible: the capacity, or all that was asked.
    pub(crate) goodput: f64,
    /// The 99th percentile of the requests that were let through, from arrival to answer, in
    /// milliseconds.
    pub(crate) p99: f64,
    /// The mean, over the requests that came.
    pub(crate) limit: f64,
}

impl Outcome {
    /// The mean of several.
    pub(crate) fn mean(all: impl Iterator<Item = Self> + Clone) -> Self {
        let mean = |of: fn(Self) -> f64| {
            all.clone().map(of).sum::<f64>() / all.clone().count().max(1) as f64
        };
        Self { goodput: mean(|it| it.goodput), p99: mean(|it| it.p99), limit: mean(|it| it.limit) }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Settled,
    PhaseEnds,
    WaitedEnough(u64),
    TurnedAway(u64),
}

struct Request {
    arrived: f64,
    begun: f64,
    in_flight: u32,
    place: Option<Place>,
}

struct Run<'a> {
    scenario: &'a Scenario,
    door: Door,
    service: Service,
    random: SmallRng,
    now: f64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sequence: u64,
    requests: BTreeMap<u64, Request>,
    phase: usize,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    since: f64,
    offered: f64,
    good: f64,
    answered: Vec<f64>,
    limits: f64,
}

/// Runs all phases; what came of each.
pub(crate) fn run(scenario: &Scenario, limit: Box<dyn Limit>, seed: u64) -> Vec<Outcome> {
    run_while(scenario, limit, seed, |_| true)
}

/// Runs phases as long as what came of those before is as wished.
pub(crate) fn run_while(
    scenario: &Scenario,
    limit: Box<dyn Limit>,
    seed: u64,
    goes_on: impl Fn(&[Outcome]) -> bool,
) -> Vec<Outcome> {
    let random = |stream: u64| SmallRng::seed_from_u64(seed * 1_000 + stream);
    let mut run = Run {
        scenario,
        door: Door::new(limit, scenario),
        service: Service::new(scenario.service.clone(), scenario.time.clone(), random(1)),
        random: random(2),
        now: 0.0,
        events: BinaryHeap::new(),
        sequence: 0,
        requests: BTreeMap::new(),
        phase: 0,
        tally: Tally::default(),
    };
    run.begin_phase();
    run.at(0.0, Event::Arrive);
    let mut outcomes = Vec::new();
    while outcomes.len() < scenario.phases.len() && goes_on(&outcomes) {
        run.step(&mut outcomes);
    }
    outcomes
}

fn nanos(ms: f64) -> u64 {
    (ms * 1e6) as u64
}

fn time(ms: f64) -> Time {
    // The first instant of a process is not zero.
    Time::from_nanos(nanos(ms) + 1_000_000_000)
}

impl Run<'_> {
    fn phase(&self) -> &Phase {
        &self.scenario.phases[self.phase]
    }

    fn at(&mut self, ms: f64, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((nanos(ms), self.sequence, event)));
    }

    fn begin_tally(&mut self) {
        self.tally = Tally { since: self.now, ..Tally::default() };
        self.service.capacity_since();
    }

    fn begin_phase(&mut self) {
        (self.service.slower, self.service.left) = (self.phase().slower, self.phase().left);
        self.begin_tally();
        let (seconds, settle) = (self.phase().seconds, self.phase().settle);
        self.at(self.now + settle * 1e3, Event::Settled);
        self.at(self.now + seconds * 1e3, Event::PhaseEnds);
    }

    fn step(&mut self, outcomes: &mut Vec<Outcome>) {
        let event = self.events.peek().map(|Reverse((at, ..))| *at as f64 / 1e6);
        let done = self.service.next();
        if let Some(done) = done.filter(|done| event.is_none_or(|event| *done <= event)) {
            self.now = done.max(self.now);
            self.finish();
            return;
        }
        let Some(Reverse((at, _, event))) = self.events.pop() else { return };
        self.now = at as f64 / 1e6;
        match event {
            Event::Arrive => {
                let rate = self.phase().load * self.service.capacity();
                let next = exponential(&mut self.random, 1e3 / rate);
                self.at(self.now + next, Event::Arrive);
                self.arrive();
            }
            Event::Settled => self.begin_tally(),
            Event::TurnedAway(request) => self.answer(request, true),
            Event::WaitedEnough(request) => self.gives_up(request),
            Event::PhaseEnds => {
                outcomes.push(self.outcome());
                self.phase += 1;
                if self.phase < self.scenario.phases.len() {
                    self.begin_phase();
                }
            }
        }
    }

    fn arrive(&mut self) {
        self.sequence += 1;
        let id = self.sequence;
        self.tally.offered += 1.0;
        self.tally.limits += f64::from(self.door.limit());
        let mut request = Request { arrived: self.now, begun: self.now, in_flight: 0, place: None };
        match self.door.arrive(id, time(self.now)) {
            Arrival::In => self.begin(id, request),
            Arrival::Waits { place, patience, pushed_out } => {
                request.place = Some(place);
                self.requests.insert(id, request);
                self.at(self.now + patience.as_secs_f64() * 1e3, Event::WaitedEnough(id));
                pushed_out.into_iter().for_each(|id| self.gives_up(id));
            }
            Arrival::Refused => {}
        }
    }

    fn begin(&mut self, id: u64, mut request: Request) {
        request.begun = self.now;
        request.place = None;
        request.in_flight = self.door.in_flight();
        self.requests.insert(id, request);
        let most = self.scenario.turns_away_above.map_or(usize::MAX, |most| most as usize);
        if self.service.busy() >= most {
            self.at(self.now + TURNED_AWAY_AFTER, Event::TurnedAway(id));
        } else {
            self.service.begin(id, self.now);
        }
    }

    fn gives_up(&mut self, id: u64) {
        let Some(place) = self.requests.get(&id).and_then(|request| request.place) else { return };
        self.door.leave(place);
        self.requests.remove(&id);
    }

    fn finish(&mut self) {
        let Some(id) = self.service.finish(self.now) else { return };
        let fails = self.phase().fails;
        let dropped = fails > 0.0 && self.random.random::<f64>() < fails;
        self.answer(id, dropped);
    }

    fn answer(&mut self, id: u64, dropped: bool) {
        let Some(request) = self.requests.remove(&id) else { return };
        let took = self.now - request.arrived;
        if took <= self.scenario.patience && !dropped {
            self.tally.good += 1.0;
        }
        self.tally.answered.push(took);
        let latency = Duration::from_nanos(nanos(self.now - request.begun));
        let sample = Sample { latency, in_flight: request.in_flight, dropped };
        self.door.answered(sample, time(self.now)).into_iter().for_each(|id| self.wake(id));
    }

    fn wake(&mut self, id: u64) {
        if let Some(request) = self.requests.remove(&id) {
            self.begin(id, request);
        }
    }

    fn outcome(&mut self) -> Outcome {
        let tally = &mut self.tally;
        let seconds = (self.now - tally.since) / 1e3;
        let possible = (self.service.capacity_since() * seconds).min(tally.offered);
        Outcome {
            goodput: tally.good / possible / (1.0 - self.scenario.phases[self.phase].fails),
            p99: quantile(&mut tally.answered, 0.99),
            limit: tally.limits / tally.offered.max(1.0),
        }
    }
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (share * values.len().saturating_sub(1) as f64).round() as usize;
    values.get(place).copied().unwrap_or(0.0)
}

/// Milliseconds that a service needs to turn a request away.
const TURNED_AWAY_AFTER: f64 = 0.5;
