//! Policies that are configured anew while they work: nothing is forgotten, nothing is given away.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use proptest::prelude::*;
use weir_config::{AdaptiveBreaker, BreakerScope, Key, Mode, RateLimit, Ratio, Trip, TripBreaker};
use weir_policy::{Breaker, Outcome, RateLimiter, State, Threshold, Time};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const OK: Outcome = Outcome::Success { latency: None };

fn at(nanos: u64) -> Time {
    Time::from_nanos(nanos)
}

fn rate(qps: f64, burst: u32) -> RateLimit {
    RateLimit {
        name: "partner-api".into(),
        qps,
        burst: NonZeroU32::new(burst).expect("not zero"),
        per: vec![Key::Header("x-api-key".into())],
        keys: NonZeroUsize::new(100).expect("not zero"),
        charge_on_reject: false,
        shared: None,
        mode: Mode::Enforce,
    }
}

fn passed(limiter: &RateLimiter, now: u64) -> usize {
    (0..1000).filter(|_| limiter.check(&[7], at(now)).is_ok()).count()
}

#[test]
fn the_same_settings_again_and_again_change_nothing() {
    let limiter = RateLimiter::new(&rate(10.0, 5));
    let mut passed = 0;
    for step in 0..6000 {
        limiter.reconfigure(&rate(10.0, 5), at(step * 10 * MS));
        passed += usize::from(limiter.check(&[7], at(step * 10 * MS)).is_ok());
    }
    assert_eq!(passed, 604, "as without");
}

#[test]
fn an_empty_bucket_stays_empty_and_fills_at_the_new_rate() {
    let limiter = RateLimiter::new(&rate(1.0, 10));
    assert_eq!(passed(&limiter, 0), 10);
    limiter.reconfigure(&rate(50.0, 10), at(0));
    let refused = limiter.check(&[7], at(0)).unwrap_err();
    assert_eq!(refused.retry_after, Duration::from_millis(20));
    assert_eq!(refused.reset, Duration::from_millis(200));
    assert_eq!(passed(&limiter, 20 * MS - 1), 0);
    assert_eq!(passed(&limiter, 100 * MS), 5);
    limiter.reconfigure(&rate(0.5, 10), at(100 * MS));
    assert_eq!(passed(&limiter, 100 * MS), 0);
    assert_eq!(passed(&limiter, 100 * MS + 4 * SECOND), 2);
}

#[test]
fn a_larger_burst_is_room_and_a_smaller_one_is_owed() {
    let limiter = RateLimiter::new(&rate(1.0, 10));
    assert_eq!(passed(&limiter, 0), 10);
    limiter.reconfigure(&rate(1.0, 15), at(0));
    assert_eq!(passed(&limiter, 0), 5);
    limiter.reconfigure(&rate(1.0, 10), at(0));
    assert_eq!(passed(&limiter, 5 * SECOND), 0, "fifteen were taken");
    assert_eq!(passed(&limiter, 6 * SECOND), 1);
    limiter.reconfigure(&rate(1.0, 15), at(6 * SECOND));
    assert_eq!(passed(&limiter, 6 * SECOND), 5, "room again, and not a burst");
}

#[test]
fn a_token_of_the_old_rate_is_given_back_whole() {
    let limiter = RateLimiter::new(&rate(1.0, 2));
    let debit = limiter.check(&[7], at(0)).unwrap();
    assert!(limiter.check(&[7], at(0)).is_ok());
    limiter.reconfigure(&rate(10.0, 2), at(0));
    limiter.refund(&debit, at(0));
    assert_eq!(passed(&limiter, 0), 1);
}

#[test]
fn another_key_another_table_or_a_leap_are_another_limit() {
    let limiter = RateLimiter::new(&rate(1.0, 2));
    assert!(limiter.suits(&rate(64.0, 100)));
    assert!(!limiter.suits(&rate(65.0, 100)));
    assert!(limiter.suits(&rate(0.0001, 1)));
    assert!(!limiter.suits(&RateLimit { per: vec![Key::Route], ..rate(1.0, 2) }));
    assert!(!limiter.suits(&RateLimit { keys: NonZeroUsize::MIN, ..rate(1.0, 2) }));
}

proptest! {
    /// Against what is owed as a plain number, which falls at whatever rate there is.
    #[test]
    fn what_is_owed_falls_at_the_rate_of_the_moment(
        steps in prop::collection::vec((0..3 * SECOND, prop::option::weighted(0.2, (0.1..6.0_f64, 1..20_u32)), 1..6_u32), 1..200),
    ) {
        // What rounding and floats may come to.
        const CLOSE: f64 = 1e-6;
        let (mut qps, mut burst) = (1.0, 5);
        let limiter = RateLimiter::new(&rate(qps, burst));
        let (mut owed, mut now) = (0.0_f64, 0);
        for (passed, settings, asked) in steps {
            now += passed;
            owed = (owed - passed as f64 / SECOND as f64 * qps).max(0.0);
            if let Some(settings) = settings {
                (qps, burst) = settings;
                limiter.reconfigure(&rate(qps, burst), at(now));
            }
            for _ in 0..asked {
                let room = f64::from(burst - 1) - owed;
                match limiter.check(&[7], at(now)) {
                    Ok(_) => {
                        prop_assert!(room > -CLOSE, "{owed} of {burst}");
                        owed += 1.0;
                    }
                    Err(refused) => {
                        prop_assert!(room < CLOSE, "{owed} of {burst}");
                        let said = refused.retry_after.as_secs_f64();
                        prop_assert!((said + room / qps).abs() < 1e-5, "{said} for {room}");
                    }
                }
            }
        }
    }
}

fn breaker_of(trip: Trip) -> weir_config::Breaker {
    weir_config::Breaker {
        name: "drug-info".into(),
        trip,
        per: BreakerScope::Route,
        mode: Mode::Enforce,
    }
}

/// Opens at a share of 20 in `window`, for 5 s.
fn opens(error_ratio: f64, window: u64) -> weir_config::Breaker {
    breaker_of(Trip::Open(TripBreaker {
        consecutive: None,
        error_ratio: Ratio::new(error_ratio),
        slow_ratio: None,
        slow_after: Duration::from_secs(1),
        window: Duration::from_secs(window),
        min_requests: NonZeroU32::new(20).expect("not zero"),
        open_for: Duration::from_secs(5),
        open_max: Duration::from_secs(60),
        probes: NonZeroU32::MIN,
    }))
}

fn adaptive(k: f64, window: u64) -> weir_config::Breaker {
    breaker_of(Trip::Adaptive(AdaptiveBreaker { k, window: Duration::from_secs(window) }))
}

fn feed(breaker: &Breaker, outcome: Outcome, count: usize, now: Time) {
    for _ in 0..count {
        let ticket = breaker.admit(now, u64::MAX).expect("it lets pass");
        breaker.on_outcome(ticket, outcome, now, 0);
    }
}

#[test]
fn what_a_breaker_has_seen_counts_under_new_settings() {
    for window in [10, 2, 100] {
        let breaker = Breaker::new(&opens(0.9, 10));
        feed(&breaker, OK, 8, at(SECOND));
        feed(&breaker, Outcome::Failure, 11, at(SECOND));
        breaker.reconfigure(&opens(0.5, window), at(2 * SECOND));
        assert_eq!(breaker.state(at(2 * SECOND)), State::Closed, "nothing has happened");
        feed(&breaker, Outcome::Failure, 1, at(2 * SECOND));
        let open = breaker.admit(at(2 * SECOND), 0).unwrap_err();
        assert_eq!(open.threshold, Threshold::ErrorRatio, "a window of {window} s");
        assert_eq!((open.snapshot.requests, open.snapshot.failures), (20, 12));
    }
}

#[test]
fn an_open_breaker_stays_open_and_its_probe_is_heard() {
    let breaker = Breaker::new(&opens(0.5, 10));
    feed(&breaker, Outcome::Failure, 20, at(0));
    for window in [10, 20] {
        breaker.reconfigure(&opens(0.7, window), at(SECOND));
        let open = breaker.admit(at(SECOND), 0).unwrap_err();
        assert_eq!(open.retry_after, Duration::from_secs(4), "as it was to");
        assert_eq!(open.snapshot.failures, 20);
    }
    let probe = breaker.admit(at(5 * SECOND), 0).expect("a probe");
    breaker.reconfigure(&opens(0.8, 30), at(5 * SECOND));
    assert_eq!(breaker.state(at(5 * SECOND)), State::HalfOpen { probes: 1 });
    assert!(breaker.admit(at(5 * SECOND), 0).is_err(), "the one slot is taken");
    breaker.on_outcome(probe, OK, at(6 * SECOND), 0);
    assert_eq!(breaker.state(at(6 * SECOND)), State::Closed);
}

#[test]
fn an_adaptive_breaker_goes_on_refusing() {
    for window in [10, 1, 60] {
        let breaker = Breaker::new(&adaptive(1.5, 10));
        feed(&breaker, Outcome::Failure, 100, at(SECOND));
        let share = |breaker: &Breaker| breaker.state(at(SECOND)).refused_share();
        assert!(share(&breaker) > 0.9);
        breaker.reconfigure(&adaptive(1.5, window), at(SECOND));
        assert!(share(&breaker) > 0.9, "{:?} in {window} s", breaker.state(at(SECOND)));
        assert!(breaker.admit(at(SECOND), 0).is_err());
    }
    let breaker = Breaker::new(&adaptive(1.5, 10));
    feed(&breaker, OK, 100, at(SECOND));
    feed(&breaker, Outcome::Failure, 50, at(SECOND));
    assert_eq!(breaker.state(at(SECOND)), State::Closed);
    breaker.reconfigure(&adaptive(1.1, 10), at(SECOND));
    assert!(breaker.state(at(SECOND)).refused_share() > 0.0, "it holds at once");
}

#[test]
fn one_of_the_other_kind_starts_closed() {
    let breaker = Breaker::new(&opens(0.5, 10));
    feed(&breaker, Outcome::Failure, 20, at(0));
    breaker.reconfigure(&adaptive(1.5, 10), at(0));
    assert_eq!(breaker.state(at(0)), State::Closed);
    feed(&breaker, Outcome::Failure, 100, at(0));
    breaker.reconfigure(&opens(0.5, 10), at(0));
    assert_eq!(breaker.state(at(0)), State::Closed);
}
