//! The adaptive breaker against a simulated dependency, on a virtual clock.
//!
//! The expected numbers are those of go-zero's algorithm before a dependency that answers at once, with
//! requests evenly spaced and seeded dice. Where it is noisy they are means over several seeds.

use std::{thread, time::Duration};

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use weir_config::{AdaptiveBreaker, BreakerScope, Mode, Trip};
use weir_policy::{Breaker, Outcome, State, Threshold, Time};

const SECOND: u64 = 1_000_000_000;
const SLICE: u64 = SECOND / 4;
const OK: Outcome = Outcome::Success { latency: None };
const SEEDS: u64 = 8;

fn breaker() -> Breaker {
    Breaker::new(&weir_config::Breaker {
        name: "everything".into(),
        trip: Trip::Adaptive(AdaptiveBreaker { k: 1.5, window: Duration::from_secs(10) }),
        per: BreakerScope::Route,
        mode: Mode::Enforce,
    })
}

/// A breaker before a dependency, and the time in seconds.
struct Simulation {
    breaker: Breaker,
    dice: StdRng,
    second: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self { breaker: breaker(), dice: StdRng::seed_from_u64(seed), second: 0 }
    }

    /// Offers `rps` requests in each of `seconds`, and returns how many of each second's came through.
    /// `serve` says whether the dependency serves the nth that it gets in a second.
    fn run(
        &mut self,
        rps: u64,
        seconds: u64,
        mut serve: impl FnMut(u32, &mut StdRng) -> bool,
    ) -> Vec<f64> {
        let mut run = Vec::new();
        for second in self.second..self.second + seconds {
            let mut forwarded = 0;
            for n in 0..rps {
                let now = Time::from_nanos(second * SECOND + n * SECOND / rps);
                let Ok(ticket) = self.breaker.admit(now, self.dice.next_u64()) else { continue };
                let outcome = if serve(forwarded, &mut self.dice) { OK } else { Outcome::Failure };
                forwarded += 1;
                self.breaker.on_outcome(ticket, outcome, now, 0);
            }
            run.push(f64::from(forwarded));
        }
        self.second += seconds;
        run
    }
}

fn healthy(_: u32, _: &mut StdRng) -> bool {
    true
}

fn failing(_: u32, _: &mut StdRng) -> bool {
    false
}

/// Serves this share, by chance.
fn share(percent: u64) -> impl FnMut(u32, &mut StdRng) -> bool {
    move |_, dice| dice.next_u64() % 100 < percent
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// What each second brought on average over the seeds.
fn mean_over_seeds(run: impl Fn(&mut Simulation) -> Vec<f64>) -> Vec<f64> {
    let runs: Vec<_> = (0..SEEDS).map(|seed| run(&mut Simulation::new(seed))).collect();
    (0..runs[0].len())
        .map(|second| mean(&runs.iter().map(|run| run[second]).collect::<Vec<_>>()))
        .collect()
}

fn assert_follows(curve: &[f64], expected: &[f64], tolerance: f64) {
    let close = |(is, expected): (&f64, &f64)| (is - expected).abs() <= tolerance;
    assert!(curve.iter().zip(expected).all(close), "{curve:.1?}\nexpected {expected:?}");
}

#[test]
fn one_to_three_a_second_reach_a_dependency_that_fails_all() {
    for rps in [100, 1000] {
        let forwarded = mean_over_seeds(|simulation| {
            simulation.run(rps, 30, failing);
            simulation.run(rps, 60, failing)
        });
        assert!((1.0..=3.0).contains(&mean(&forwarded)), "{rps}: {forwarded:?}");
    }
}

#[test]
fn it_closes_within_ten_seconds_of_an_outage() {
    let curve = mean_over_seeds(|simulation| {
        simulation.run(100, 20, healthy);
        simulation.run(100, 11, failing)
    });
    let expected = [100.0, 100.0, 99.0, 90.0, 66.0, 52.0, 42.0, 33.0, 14.0, 3.0, 1.0];
    assert_follows(&curve, &expected, 8.0);
}

#[test]
fn it_lets_go_within_ten_seconds_of_a_recovery() {
    let curve = mean_over_seeds(|simulation| {
        simulation.run(100, 20, healthy);
        simulation.run(100, 30, failing);
        simulation.run(100, 11, healthy)
    });
    let expected = [4.0, 16.0, 30.0, 41.0, 53.0, 61.0, 79.0, 87.0, 95.0, 99.0, 100.0];
    assert_follows(&curve, &expected, 10.0);
}

#[test]
fn a_dependency_that_serves_more_than_two_thirds_is_left_alone() {
    // Seven of each ten in turn: a share by chance dips below two thirds now and then.
    let forwarded = Simulation::new(1).run(100, 120, |n, _| n % 10 < 7);
    assert!(forwarded.iter().all(|&forwarded| forwarded == 100.0), "{forwarded:?}");
}

#[test]
fn a_dependency_that_serves_less_is_sent_less() {
    // Over the first two minutes; it goes on falling, and single runs differ widely.
    let forwarded = |percent| {
        let run = mean_over_seeds(|simulation| simulation.run(100, 120, share(percent)));
        mean(&run)
    };
    let (sixty, fifty) = (forwarded(60), forwarded(50));
    assert!((26.0..=42.0).contains(&sixty), "{sixty}, expected about 30 to 38");
    assert!((6.0..=14.0).contains(&fifty), "{fifty}");
}

#[test]
fn half_as_much_again_as_the_capacity_is_forwarded() {
    let check = |rps: u64, expected: std::ops::RangeInclusive<f64>| {
        let forwarded = mean_over_seeds(|simulation| {
            simulation.run(rps, 30, |n, _| n < 100);
            simulation.run(rps, 60, |n, _| n < 100)
        });
        let forwarded = mean(&forwarded);
        assert!(expected.contains(&forwarded), "{rps} offered: {forwarded}");
    };
    check(120, 120.0..=120.0);
    check(150, 149.0..=150.0);
    check(200, 148.0..=156.0);
    check(300, 148.0..=160.0);
}

#[test]
fn a_handful_of_failures_is_left_alone() {
    let mut simulation = Simulation::new(1);
    assert_eq!(simulation.run(5, 1, failing), [5.0]);
    // The sixth that fails alone could be refused, with a chance of 1 in 7.
    let snapshot = simulation.breaker.snapshot(Time::from_nanos(SECOND));
    assert_eq!((snapshot.state, snapshot.failures), (State::Closed, 5));
    let after_six = {
        simulation.run(1, 1, failing);
        simulation.breaker.state(Time::from_nanos(2 * SECOND))
    };
    assert_eq!(after_six, State::Throttling { refused_share: 1.0 / 7.0 });
}

#[test]
fn one_request_a_second_passes_whatever_the_dice_say() {
    let mut simulation = Simulation::new(3);
    simulation.run(100, 30, failing);
    let now = |ms: u64| Time::from_nanos(30 * SECOND + ms * 1_000_000);
    let passed: Vec<u64> =
        (0..10_000).filter(|&ms| simulation.breaker.admit(now(ms), 0).is_ok()).collect();
    assert!((9..=10).contains(&passed.len()), "{passed:?}");
    assert!(passed.windows(2).all(|pair| pair[1] - pair[0] == 1001), "{passed:?}");
    // A refusal says until when: the instant itself still belongs to the dice.
    let last = passed[passed.len() - 1];
    let refused = simulation.breaker.admit(now(last + 400), 0).expect_err("the dice are loaded");
    assert_eq!(refused.threshold, Threshold::Share);
    assert!(refused.retry_after.abs_diff(Duration::from_millis(600)) <= Duration::from_nanos(1));
}

#[test]
fn threads_whose_clocks_disagree_lose_no_event() {
    // Each walks from 0 to 8 s at its own pace; all of it lies within the window.
    const THREADS: u64 = 4;
    const EVENTS: u64 = 20_000;
    let breaker = breaker();
    let ticket = breaker.admit(Time::default(), u64::MAX).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let breaker = &breaker;
            scope.spawn(move || {
                for event in 0..EVENTS {
                    let now = Time::from_nanos(event * 8 * SECOND / EVENTS);
                    let outcome = if event % THREADS == thread { Outcome::Failure } else { OK };
                    breaker.on_outcome(ticket, outcome, now, 0);
                }
            });
        }
    });
    let snapshot = breaker.snapshot(Time::from_nanos(9 * SECOND));
    let (total, failures) = (u64::from(snapshot.requests), u64::from(snapshot.failures));
    assert_eq!((total, failures), (THREADS * EVENTS, EVENTS));
    assert_eq!(breaker.snapshot(Time::from_nanos(20 * SECOND)).requests, 0);
}

/// The formula over a list of all events, the slow way.
#[derive(Default)]
struct Oracle {
    /// The slice and whether it was a success (0), a failure (1) or a refusal (2).
    events: Vec<(u64, usize)>,
    last_pass: Option<u64>,
    /// The latest slice that any caller has told of.
    newest: u64,
}

impl Oracle {
    fn admit(&mut self, now: u64, dice: f64) -> bool {
        let (share, _) = self.look(now);
        if share <= 0.0 {
            return true;
        }
        let forced = self.last_pass.is_some_and(|last| now.saturating_sub(last) > SECOND);
        let passes = forced || dice >= share;
        if passes {
            self.last_pass = Some(now);
        } else {
            self.count(now, 2);
        }
        passes
    }

    fn count(&mut self, now: u64, kind: usize) {
        self.newest = self.newest.max(now / SLICE);
        self.events.push((self.newest, kind));
    }

    /// The share to refuse, and the successes, failures and refusals in the window.
    fn look(&mut self, now: u64) -> (f64, [u32; 3]) {
        self.newest = self.newest.max(now / SLICE);
        let (mut sums, mut working, mut failing) = ([0_u32; 3], 0, 0);
        for slice in self.newest.saturating_sub(39)..=self.newest {
            let mut counts = [0; 3];
            self.events.iter().filter(|event| event.0 == slice).for_each(|e| counts[e.1] += 1);
            (0..3).for_each(|kind| sums[kind] += counts[kind]);
            match counts {
                [0, 0, _] => {}
                [0, _, _] => (working, failing) = (0, failing + 1),
                [_, 0, _] => (working, failing) = (working + 1, 0),
                _ => (working, failing) = (0, 0),
            }
        }
        let total = f64::from(sums.iter().sum::<u32>());
        let weight = (1.5 - 0.4 * f64::from(failing) / 40.0).max(1.1);
        let ratio = (total - 5.0 - weight * f64::from(sums[0])) / (total + 1.0);
        (if ratio > 0.0 { ratio * (40.0 - f64::from(working)) / 40.0 } else { 0.0 }, sums)
    }
}

/// How a clock moves on between two requests.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Forward, by a little, by slices, or by more than a window.
    On(u64),
    /// To so many nanoseconds before the next border between slices: 0 is the border itself.
    Border(u64),
    /// A thread that has read its clock earlier.
    Back(u64),
}

impl Move {
    fn from(self, now: u64) -> u64 {
        match self {
            Self::On(nanos) => now + nanos,
            Self::Border(before) => (now / SLICE + 1) * SLICE - before,
            Self::Back(nanos) => now.saturating_sub(nanos),
        }
    }
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        8 => Just(Move::On(0)),
        8 => (0..SLICE / 8).prop_map(Move::On),
        4 => (0..2 * SLICE).prop_map(Move::On),
        2 => (0..=1_u64).prop_map(Move::Border),
        2 => (0..2 * SLICE).prop_map(Move::Back),
        1 => (38..=42_u64).prop_map(|slices| Move::On(slices * SLICE)),
        1 => (0..100 * SECOND).prop_map(Move::On),
    ]
}

proptest! {
    /// Marks, what is remembered of a slice and the short cut for an untroubled one change nothing.
    #[test]
    fn it_decides_as_the_formula_does(
        steps in prop::collection::vec((moves(), any::<u64>(), 0..10_u32), 1..300),
        failures_of_ten in 0..=10_u32,
    ) {
        let (breaker, mut oracle) = (breaker(), Oracle::default());
        let mut now = 0;
        for (step, random, chance) in steps {
            now = step.from(now);
            let dice = (random >> 11) as f64 / (1_u64 << 53) as f64;
            let expected = oracle.admit(now, dice);
            let answer = breaker.admit(Time::from_nanos(now), random);
            prop_assert_eq!(answer.is_ok(), expected, "at {}", now);
            if let Ok(ticket) = answer {
                let failed = chance < failures_of_ten;
                oracle.count(now, usize::from(failed));
                let outcome = if failed { Outcome::Failure } else { OK };
                breaker.on_outcome(ticket, outcome, Time::from_nanos(now), 0);
            }
        }
    }

    /// Whoever counts, reads or does neither in a slice, the sums and the runs are those of the events.
    #[test]
    fn it_sees_the_window_as_a_list_of_all_events_would(
        steps in prop::collection::vec((moves(), 1..40_usize, 0..4_usize), 1..100),
    ) {
        let (breaker, mut oracle) = (breaker(), Oracle::default());
        let ticket = breaker.admit(Time::default(), u64::MAX).unwrap();
        let mut now = 0;
        for (step, times, what) in steps {
            now = step.from(now);
            let at = Time::from_nanos(now);
            match what {
                0 | 1 => for _ in 0..times {
                    oracle.count(now, what);
                    let outcome = if what == 0 { OK } else { Outcome::Failure };
                    breaker.on_outcome(ticket, outcome, at, 0);
                },
                2 => {
                    let (share, sums) = oracle.look(now);
                    let snapshot = breaker.snapshot(at);
                    let state = match share {
                        0.0 => State::Closed,
                        refused_share => State::Throttling { refused_share },
                    };
                    prop_assert_eq!(snapshot.state, state, "at {}", now);
                    let seen = (snapshot.requests, snapshot.failures, snapshot.refused);
                    prop_assert_eq!(seen, (sums.iter().sum(), sums[1], sums[2]), "at {}", now);
                }
                _ => prop_assert_eq!(breaker.admit(at, 0).is_ok(), oracle.admit(now, 0.0)),
            }
        }
    }
}
