//! The breaker that opens, on a virtual clock.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use weir_config::{BreakerScope, Mode, Ratio, Trip, TripBreaker};
use weir_policy::{Breaker, Outcome, State, Threshold, Ticket, Time};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const OK: Outcome = Outcome::Success { latency: Some(Duration::from_millis(1)) };
const SLOW: Outcome = Outcome::Success { latency: Some(Duration::from_millis(500)) };
const STREAM: Outcome = Outcome::Success { latency: None };

const OPEN_FOR: Duration = Duration::from_secs(5);
/// The middle of the random numbers: no jitter.
const EVEN: u64 = 1 << 63;

fn at(nanos: u64) -> Time {
    Time::from_nanos(nanos)
}

/// Half of 20 in 10 s opens it for 5 s; no other threshold.
fn settings() -> TripBreaker {
    TripBreaker {
        consecutive: None,
        error_ratio: Ratio::new(0.5),
        slow_ratio: None,
        slow_after: Duration::from_millis(500),
        window: Duration::from_secs(10),
        min_requests: NonZeroU32::new(20).expect("not zero"),
        open_for: OPEN_FOR,
        open_max: Duration::from_secs(60),
        probes: NonZeroU32::new(3).expect("not zero"),
    }
}

fn breaker(settings: TripBreaker) -> Breaker {
    Breaker::new(&weir_config::Breaker {
        name: "drug-info".into(),
        trip: Trip::Open(settings),
        per: BreakerScope::Route,
        mode: Mode::Enforce,
    })
}

fn feed(breaker: &Breaker, outcome: Outcome, count: usize, now: Time) {
    for _ in 0..count {
        let ticket = breaker.admit(now, EVEN).expect("closed");
        breaker.on_outcome(ticket, outcome, now, EVEN);
    }
}

/// A breaker that opened at 0 for 5 s, by a single failure.
fn opened() -> Breaker {
    let breaker = breaker(TripBreaker { consecutive: NonZeroU32::new(1), ..settings() });
    feed(&breaker, Outcome::Failure, 1, at(0));
    breaker
}

fn is_open(breaker: &Breaker, now: Time) -> bool {
    matches!(breaker.state(now), State::Open { .. })
}

#[test]
fn each_threshold_opens_at_its_number_and_not_before() {
    let check = |settings: TripBreaker, before: &[(Outcome, usize)], last, expected| {
        let breaker = breaker(settings);
        for &(outcome, count) in before {
            feed(&breaker, outcome, count, at(0));
        }
        assert_eq!(breaker.state(at(0)), State::Closed, "{expected:?}, one before");
        feed(&breaker, last, 1, at(0));
        let refused = breaker.admit(at(0), EVEN).expect_err("open");
        assert_eq!(refused.threshold, expected);
        assert_eq!(refused.retry_after, Duration::from_secs(5));
    };
    let fail = Outcome::Failure;
    let five = TripBreaker { consecutive: NonZeroU32::new(5), error_ratio: None, ..settings() };
    let slow = TripBreaker { slow_ratio: Ratio::new(0.8), error_ratio: None, ..settings() };
    let all_slow = TripBreaker { slow_ratio: Ratio::new(1.0), error_ratio: None, ..settings() };
    let both = TripBreaker { consecutive: NonZeroU32::new(50), ..settings() };
    check(five, &[(fail, 4), (OK, 1), (fail, 4)], fail, Threshold::Consecutive);
    check(settings(), &[(fail, 9), (OK, 10)], fail, Threshold::ErrorRatio);
    check(settings(), &[(fail, 15), (OK, 4)], OK, Threshold::ErrorRatio);
    check(slow.clone(), &[(OK, 5), (SLOW, 19)], SLOW, Threshold::SlowRatio);
    check(slow, &[(STREAM, 4), (SLOW, 15)], SLOW, Threshold::SlowRatio);
    check(all_slow, &[(SLOW, 19)], SLOW, Threshold::SlowRatio);
    check(both, &[(fail, 19)], fail, Threshold::ErrorRatio);
}

#[test]
fn a_ratio_of_zero_needs_at_least_one_failure() {
    let breaker = breaker(TripBreaker { error_ratio: Ratio::new(0.0), ..settings() });
    feed(&breaker, OK, 100, at(0));
    assert_eq!(breaker.state(at(0)), State::Closed);
    feed(&breaker, Outcome::Failure, 1, at(0));
    assert!(is_open(&breaker, at(0)));
}

#[test]
fn failures_older_than_the_window_do_not_count() {
    let breaker = breaker(settings());
    feed(&breaker, Outcome::Failure, 19, at(0));
    feed(&breaker, Outcome::Failure, 1, at(10 * SECOND));
    let snapshot = breaker.snapshot(at(10 * SECOND));
    assert_eq!((snapshot.state, snapshot.requests, snapshot.failures), (State::Closed, 1, 1));
}

#[test]
fn failures_from_before_it_opened_do_not_count_within_the_same_slice_either() {
    // Ten slices of a second; it is open and closed again within the first.
    let open_for = Duration::from_millis(100);
    let breaker = breaker(TripBreaker { open_for, ..settings() });
    feed(&breaker, Outcome::Failure, 20, at(0));
    assert!(is_open(&breaker, at(0)));
    for _ in 0..3 {
        let probe = breaker.admit(at(100 * MS), EVEN).unwrap();
        breaker.on_outcome(probe, OK, at(100 * MS), EVEN);
    }
    feed(&breaker, Outcome::Failure, 19, at(200 * MS));
    let snapshot = breaker.snapshot(at(200 * MS));
    assert_eq!((snapshot.state, snapshot.requests, snapshot.failures), (State::Closed, 19, 19));
    // And what came after it is forgotten when it is due, no later.
    let last = breaker.snapshot(at(10 * SECOND - 1));
    assert_eq!((last.requests, breaker.snapshot(at(10 * SECOND)).requests), (19, 0));
}

#[test]
fn a_refusal_carries_the_numbers_it_tripped_on() {
    let breaker = breaker(settings());
    feed(&breaker, OK, 10, at(SECOND));
    feed(&breaker, Outcome::Failure, 10, at(2 * SECOND));
    let refused = breaker.admit(at(4 * SECOND), EVEN).expect_err("open");
    assert_eq!(refused.retry_after, Duration::from_secs(3));
    let snapshot = refused.snapshot;
    assert_eq!(snapshot.state, State::Open { until: at(7 * SECOND) });
    assert_eq!((snapshot.requests, snapshot.failures, snapshot.consecutive_failures), (20, 10, 10));
}

#[test]
fn it_stays_open_to_the_nanosecond_then_probes_and_closes() {
    let breaker = opened();
    let refused = breaker.admit(at(5 * SECOND - 1), EVEN).expect_err("open");
    assert_eq!(refused.retry_after, Duration::from_nanos(1));
    let now = at(5 * SECOND);
    assert_eq!(breaker.state(now), State::HalfOpen { probes: 0 });
    let probes: Vec<Ticket> = (0..3).map(|_| breaker.admit(now, EVEN).unwrap()).collect();
    let refused = breaker.admit(now, EVEN).expect_err("three probes at once");
    assert_eq!(refused.snapshot.state, State::HalfOpen { probes: 3 });
    assert_eq!(refused.retry_after, Duration::ZERO);
    for (done, &probe) in probes.iter().enumerate() {
        assert_eq!(breaker.state(now), State::HalfOpen { probes: 3 - done as u32 });
        breaker.on_outcome(probe, OK, now, EVEN);
    }
    let snapshot = breaker.snapshot(now);
    assert_eq!((snapshot.state, snapshot.requests), (State::Closed, 0), "a clean slate");
}

#[test]
fn one_failed_probe_reopens_for_twice_as_long_up_to_the_maximum_and_closing_resets_it() {
    let breaker = opened();
    let mut now = 5 * SECOND;
    for seconds in [10, 20, 40, 60, 60] {
        let probe = breaker.admit(at(now), EVEN).unwrap();
        breaker.on_outcome(probe, Outcome::Failure, at(now), EVEN);
        let refused = breaker.admit(at(now), EVEN).expect_err("open again");
        assert_eq!(refused.threshold, Threshold::Probe);
        assert_eq!(refused.retry_after, Duration::from_secs(seconds));
        now += seconds * SECOND;
    }
    for _ in 0..3 {
        let probe = breaker.admit(at(now), EVEN).unwrap();
        breaker.on_outcome(probe, OK, at(now), EVEN);
    }
    feed(&breaker, Outcome::Failure, 1, at(now));
    let refused = breaker.admit(at(now), EVEN).expect_err("open");
    assert_eq!(refused.retry_after, Duration::from_secs(5));
}

#[test]
fn a_reopened_breaker_varies_by_a_fifth_and_never_beyond_the_maximum() {
    let check = |open_max: u64, random: u64, expected_ms: u64| {
        let open_max = Duration::from_secs(open_max);
        let one = NonZeroU32::new(1);
        let breaker = breaker(TripBreaker { consecutive: one, open_max, ..settings() });
        feed(&breaker, Outcome::Failure, 1, at(0));
        let now = at(5 * SECOND);
        let probe = breaker.admit(now, random).unwrap();
        breaker.on_outcome(probe, Outcome::Failure, now, random);
        let wait = breaker.admit(now, random).expect_err("open").retry_after;
        assert_eq!(wait.as_millis() as u64, expected_ms, "{random:#x}");
    };
    check(60, 0, 8000);
    check(60, EVEN, 10_000);
    check(60, u64::MAX, 12_000);
    check(10, u64::MAX, 10_000);
}

#[test]
fn a_slow_probe_fails_only_where_slowness_counts() {
    let check = |slow_ratio, expected| {
        let consecutive = NonZeroU32::new(1);
        let breaker = breaker(TripBreaker { slow_ratio, consecutive, ..settings() });
        feed(&breaker, Outcome::Failure, 1, at(0));
        let now = at(5 * SECOND);
        let probe = breaker.admit(now, EVEN).unwrap();
        breaker.on_outcome(probe, SLOW, now, EVEN);
        assert_eq!(is_open(&breaker, now), expected);
    };
    check(None, false);
    check(Ratio::new(0.8), true);
}

#[test]
fn a_probe_that_says_nothing_gives_its_slot_back() {
    let breaker = opened();
    let now = at(5 * SECOND);
    for _ in 0..10 {
        let probes: Vec<_> = (0..3).map(|_| breaker.admit(now, EVEN).unwrap()).collect();
        assert!(breaker.admit(now, EVEN).is_err());
        probes.into_iter().for_each(|probe| breaker.release(probe));
    }
    assert_eq!(breaker.state(now), State::HalfOpen { probes: 0 });
}

/// As the slow upload of a client is.
#[test]
fn probes_that_do_not_end_keep_others_out_for_no_longer_than_it_is_open() {
    let breaker = opened();
    let mut now = at(5 * SECOND);
    let stuck: Vec<_> = (0..3).map(|_| breaker.admit(now, EVEN).unwrap()).collect();
    for _ in 0..3 {
        assert!(breaker.admit(now + (OPEN_FOR - Duration::from_nanos(1)), EVEN).is_err());
        now = now + OPEN_FOR;
        let probe = breaker.admit(now, EVEN).expect("one more");
        assert!(breaker.admit(now, EVEN).is_err(), "and no more");
        breaker.on_outcome(probe, OK, now, EVEN);
    }
    assert_eq!(breaker.state(now), State::Closed);
    stuck.into_iter().for_each(|probe| breaker.release(probe));
    assert_eq!(breaker.state(now), State::Closed);
}

#[test]
fn what_was_sent_before_a_change_of_state_has_no_say_after_it() {
    let breaker = breaker(TripBreaker { consecutive: NonZeroU32::new(1), ..settings() });
    let old: Vec<_> = (0..4).map(|_| breaker.admit(at(0), EVEN).unwrap()).collect();
    breaker.on_outcome(old[0], Outcome::Failure, at(0), EVEN);
    breaker.on_outcome(old[1], OK, at(SECOND), EVEN);
    assert!(is_open(&breaker, at(SECOND)), "an old success does not close it");
    let now = at(5 * SECOND);
    let probes: Vec<_> = (0..3).map(|_| breaker.admit(now, EVEN).unwrap()).collect();
    breaker.release(old[2]);
    assert_eq!(breaker.state(now), State::HalfOpen { probes: 3 }, "nor frees a slot");
    breaker.on_outcome(probes[0], Outcome::Failure, now, EVEN);
    breaker.on_outcome(probes[1], OK, now, EVEN);
    breaker.on_outcome(probes[2], Outcome::Failure, now, EVEN);
    let until = at(15 * SECOND);
    assert_eq!(breaker.state(now), State::Open { until }, "the second failure does not double it");
    for _ in 0..3 {
        let probe = breaker.admit(until, EVEN).unwrap();
        breaker.on_outcome(probe, OK, until, EVEN);
    }
    breaker.on_outcome(old[3], Outcome::Failure, until, EVEN);
    assert_eq!(breaker.state(until), State::Closed, "nor does an old failure open it");
}

#[test]
fn threads_never_have_more_probes_at_once_than_allowed_and_no_slot_is_lost() {
    let breaker = opened();
    let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let now = at(5 * SECOND);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    let Ok(probe) = breaker.admit(now, EVEN) else { continue };
                    most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    running.fetch_sub(1, SeqCst);
                    breaker.release(probe);
                }
            });
        }
    });
    assert!((1..=3).contains(&most.into_inner()));
    assert_eq!(breaker.state(now), State::HalfOpen { probes: 0 });
}

#[test]
fn threads_that_fail_at_once_open_it_once() {
    for _ in 0..50 {
        let breaker = breaker(TripBreaker { consecutive: NonZeroU32::new(4), ..settings() });
        let tickets: Vec<_> = (0..8).map(|_| breaker.admit(at(0), EVEN).unwrap()).collect();
        thread::scope(|scope| {
            for &ticket in &tickets {
                let breaker = &breaker;
                scope.spawn(move || breaker.on_outcome(ticket, Outcome::Failure, at(0), EVEN));
            }
        });
        assert_eq!(breaker.state(at(0)), State::Open { until: at(5 * SECOND) });
        let now = at(5 * SECOND);
        let probe = breaker.admit(now, EVEN).unwrap();
        breaker.on_outcome(probe, Outcome::Failure, now, EVEN);
        assert_eq!(breaker.state(now), State::Open { until: at(15 * SECOND) }, "the second time");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Admit,
    End(prop::sample::Index, Option<Outcome>),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        2 => Just(None),
        3 => Just(Some(OK)),
        1 => Just(Some(SLOW)),
        3 => Just(Some(Outcome::Failure)),
    ];
    let step = prop_oneof![
        4 => Just(Step::Admit),
        4 => (any::<prop::sample::Index>(), outcome).prop_map(|(which, what)| Step::End(which, what)),
        1 => (0..6000_u64).prop_map(|ms| Step::Pass(ms * MS)),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    /// Of requests at any time, also by a clock that is late, the last ten slices count.
    #[test]
    fn the_window_holds_the_last_ten_slices(
        steps in prop::collection::vec((0..8_u64, 0..2500_u64, 0..4_usize), 1..200),
    ) {
        let never = NonZeroU32::MAX;
        let breaker = breaker(TripBreaker { min_requests: never, ..settings() });
        let (mut now, mut newest) = (0_u64, 0);
        let mut events: Vec<(u64, [u32; 3])> = Vec::new();
        for (how, ms, what) in steps {
            now = match how {
                0 => now.saturating_sub(ms * MS),
                1 => (now / SECOND + 1) * SECOND - ms % 2,
                2 => now + 8 * ms * MS,
                _ => now + ms * MS / 8,
            };
            newest = newest.max(now / SECOND);
            let outcomes = [(OK, [1, 0, 0]), (SLOW, [1, 0, 1]), (Outcome::Failure, [1, 1, 0])];
            if let Some(&(outcome, counts)) = outcomes.get(what) {
                feed(&breaker, outcome, 1, at(now));
                events.push((newest, counts));
            }
            let seen = breaker.snapshot(at(now));
            let sum = |kind: usize| -> u32 {
                let in_window = events.iter().filter(|(slice, _)| slice + 10 > newest);
                in_window.map(|(_, counts)| counts[kind]).sum()
            };
            prop_assert_eq!([seen.requests, seen.failures, seen.slow], [sum(0), sum(1), sum(2)]);
        }
    }

    /// Any interleaving of requests that start, end well, end badly or just end.
    #[test]
    fn slots_are_bounded_and_come_back(steps in steps(), probes in 1..5_u32, random: u64) {
        let probes_max = NonZeroU32::new(probes).unwrap();
        let consecutive = NonZeroU32::new(2);
        let breaker = breaker(TripBreaker { consecutive, probes: probes_max, ..settings() });
        let mut now = at(0);
        let mut last_probe = now;
        let mut running: Vec<Ticket> = Vec::new();
        for step in steps {
            match step {
                Step::Admit => {
                    let before = breaker.state(now);
                    let asked = breaker.admit(now, random);
                    match before {
                        State::Open { until } => {
                            let refused = asked.expect_err("open");
                            prop_assert_eq!(now + refused.retry_after, until);
                        }
                        State::HalfOpen { probes: at_once } => {
                            let is_late = now >= last_probe + OPEN_FOR;
                            prop_assert_eq!(asked.is_ok(), at_once < probes || is_late);
                            last_probe = if asked.is_ok() { now } else { last_probe };
                        }
                        _ => prop_assert!(asked.is_ok()),
                    }
                    running.extend(asked);
                }
                Step::End(which, outcome) if !running.is_empty() => {
                    let ticket = running.swap_remove(which.index(running.len()));
                    match outcome {
                        Some(outcome) => breaker.on_outcome(ticket, outcome, now, random),
                        None => breaker.release(ticket),
                    }
                }
                Step::End(..) => {}
                Step::Pass(nanos) => now = now + Duration::from_nanos(nanos),
            }
        }
        // All end and say nothing: every slot is back, so it can always heal.
        running.into_iter().for_each(|ticket| breaker.release(ticket));
        now = now + Duration::from_secs(60);
        if breaker.state(now) != State::Closed {
            prop_assert_eq!(breaker.state(now), State::HalfOpen { probes: 0 });
            for _ in 0..probes {
                let probe = breaker.admit(now, random).unwrap();
                breaker.on_outcome(probe, OK, now, random);
            }
            // Probes that had succeeded before may have closed it earlier.
            prop_assert_eq!(breaker.state(now), State::Closed);
        }
    }
}
