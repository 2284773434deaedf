//! Tries again are a share of the requests, whatever happens.

use std::time::Duration;

use proptest::prelude::*;
use weir_config::{Ratio, RetryBudget};
use weir_policy::{Retries, Time, backoff};

fn budget(percent: u32, per_second: f64) -> RetryBudget {
    RetryBudget { ratio: Ratio::new(f64::from(percent) / 100.0).expect("a share"), per_second }
}

fn at(ms: f64) -> Time {
    Time::from_nanos((ms * 1e6) as u64)
}

/// Requests at an even rate for so many seconds, each of which is tried again as often as it may.
fn all_failing(
    retries: &Retries,
    per_second: u32,
    attempts: u32,
    from_ms: f64,
    seconds: u32,
) -> u32 {
    let mut heard = 0;
    for number in 0..per_second * seconds {
        let now = at(from_ms + f64::from(number) * 1e3 / f64::from(per_second));
        retries.on_request(now);
        heard += 1;
        for _ in 0..attempts {
            if !retries.withdraw(now) {
                break;
            }
            heard += 1;
        }
    }
    heard
}

#[test]
fn a_service_that_fails_a_thousand_a_second_hears_of_twelve_hundred_and_ten() {
    let retries = Retries::new(&budget(20, 10.0), at(0.0));
    for second in 0..10 {
        let heard = all_failing(&retries, 1000, 2, f64::from(second) * 1e3, 1);
        assert!((1205..=1210).contains(&heard), "{heard} in second {second}");
    }
}

#[test]
fn a_few_failures_among_few_requests_are_all_tried_again() {
    let retries = Retries::new(&budget(20, 10.0), at(0.0));
    for second in 1..100 {
        let heard = all_failing(&retries, 1, 2, f64::from(second) * 1e3, 1);
        assert_eq!(heard, 3, "in second {second}");
    }
}

#[test]
fn a_moment_of_failures_finds_what_a_second_has_saved() {
    let retries = Retries::new(&budget(20, 10.0), at(0.0));
    for number in 0..100_000 {
        retries.on_request(at(f64::from(number)));
    }
    let saved = retries.tokens(at(100_000.0));
    assert!((195.0..=215.0).contains(&saved), "{saved} after a hundred seconds");
    let spent = (0..1000).filter(|_| retries.withdraw(at(100_000.0))).count();
    assert!((195..=215).contains(&spent), "{spent}");
}

#[test]
fn one_part_alone_is_enough() {
    let share = Retries::new(&budget(50, 0.0), at(0.0));
    let heard = all_failing(&share, 100, 5, 0.0, 1);
    assert!((145..=150).contains(&heard), "{heard}");
    let even = Retries::new(&budget(0, 10.0), at(0.0));
    let heard = all_failing(&even, 100, 5, 0.0, 10);
    assert!((1095..=1100).contains(&heard), "{heard}");
    let none = Retries::new(&budget(0, 0.0), at(0.0));
    assert_eq!(all_failing(&none, 100, 5, 0.0, 1), 100);
}

#[test]
fn configured_anew_it_goes_on_from_where_it_was() {
    let retries = Retries::new(&budget(100, 0.0), at(0.0));
    (0..10).for_each(|_| retries.on_request(at(0.0)));
    retries.reconfigure(&budget(10, 0.0));
    assert_eq!(retries.tokens(at(0.0)), 10.0);
    retries.on_request(at(0.0));
    assert!((retries.tokens(at(0.0)) - 10.1).abs() < 1e-5);
}

#[test]
fn a_month_without_a_request_is_not_a_clock_that_runs_backwards() {
    let retries = Retries::new(&budget(20, 10.0), at(0.0));
    for days in [20.0, 45.0, 70.0] {
        let now = at(days * 86_400_000.0);
        assert_eq!(retries.tokens(now), 10.0);
        assert_eq!((0..20).filter(|_| retries.withdraw(now)).count(), 10);
    }
}

proptest! {
    /// Over any stretch from the start, with any clock that does not run backwards.
    #[test]
    fn tries_again_stay_within_share_and_trickle(
        steps in prop::collection::vec((0..2_000_u64, 0..20_u32, 0..20_u32), 1..200),
        percent in 0..=100_u32,
        per_second in 0..50_u32,
    ) {
        let retries = Retries::new(&budget(percent, f64::from(per_second)), at(0.0));
        let (mut now_ms, mut requests, mut tries) = (0_u64, 0.0, 0.0);
        for (wait, asked, again) in steps {
            now_ms += wait;
            let now = at(now_ms as f64);
            for _ in 0..asked {
                retries.on_request(now);
                requests += 1.0;
            }
            for _ in 0..again {
                tries += f64::from(u8::from(retries.withdraw(now)));
            }
            let allowed = requests * f64::from(percent) / 100.0 + f64::from(per_second) * now_ms as f64 / 1e3;
            prop_assert!(tries <= allowed + 1e-2, "{} of {}", tries, allowed);
        }
    }

    /// Readings of several threads come in any order; the 49 days at which the milliseconds wrap too.
    #[test]
    fn a_clock_that_jumps_makes_no_tokens(times in prop::collection::vec(0..u64::MAX / 2, 1..100)) {
        let retries = Retries::new(&budget(0, 10.0), at(0.0));
        for time in times {
            let now = Time::from_nanos(time);
            prop_assert!(retries.tokens(now) <= 10.0);
            let _taken = retries.withdraw(now);
        }
    }

    #[test]
    fn the_pause_is_drawn_up_to_twice_as_long_each_time(nth in 1..40_u32, random: u64) {
        let base = Duration::from_millis(25);
        let longest = (base * (1 << (nth - 1).min(5))).min(Duration::from_millis(250));
        let pause = backoff(base, nth, random);
        prop_assert!(pause <= longest && !pause.is_zero(), "{:?}", pause);
        prop_assert_eq!(backoff(base, nth, u64::MAX), longest);
    }
}
