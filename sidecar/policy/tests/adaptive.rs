//! An adaptive limit, whatever it is told. How well it does is in `scenarios`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use weir_config::{AdaptiveLimit, Concurrency, ConcurrencyLimit, Key, Mode, Queue};
use weir_policy::{Adaptive, Limit, Sample, Stance, Time};

const MS: u64 = 1_000_000;

fn settings(start: u32, min: u32, max: u32) -> AdaptiveLimit {
    let number = |number| NonZeroU32::new(number).unwrap();
    AdaptiveLimit { start: number(start), min: number(min), max: number(max) }
}

fn concurrency(limit: ConcurrencyLimit) -> Concurrency {
    Concurrency {
        name: "everything".into(),
        limit,
        queue: Queue::default(),
        fair_per: Key::Route,
        mode: Mode::Enforce,
    }
}

fn sample(latency: Duration, in_flight: u32) -> Sample {
    Sample { latency, in_flight, dropped: false }
}

/// Keeps a limit full of requests to a service with so many slots and fixed service times of 10 ms, for
/// some seconds from `now` on; when they end.
fn overload(limit: &Adaptive, slots: u32, mut now: u64, seconds: u64) -> u64 {
    let end = now + seconds * 1_000 * MS;
    while now < end {
        let in_flight = limit.current();
        now += 10 * MS / u64::from(slots.min(in_flight));
        let rounds = f64::from(in_flight.max(slots)) / f64::from(slots);
        let latency = Duration::from_nanos((10.0 * MS as f64 * rounds) as u64);
        limit.on_sample(sample(latency, in_flight), Time::from_nanos(now));
    }
    end
}

/// What a limit may be told, one after the other.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Nanoseconds since the last, backwards too.
    after: i64,
    latency: Duration,
    in_flight: u32,
    dropped: bool,
}

fn told() -> impl Strategy<Value = Told> {
    let after = prop_oneof![
        4 => 0..50_000_000_i64,
        2 => Just(0_i64),
        1 => Just(60_000_000_000_i64),
        1 => -2_000_000_000..0_i64,
        1 => any::<i64>(),
    ];
    let latency = prop_oneof![
        4 => (1..100_000_000_u64).prop_map(Duration::from_nanos),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::from_secs(100_000)),
        1 => Just(Duration::MAX),
    ];
    let in_flight = prop_oneof![4 => 0..300_u32, 1 => Just(u32::MAX)];
    (after, latency, in_flight, any::<bool>()).prop_map(|(after, latency, in_flight, dropped)| {
        Told { after, latency, in_flight, dropped }
    })
}

proptest! {
    /// Also with bounds that are moved under way.
    #[test]
    fn it_keeps_to_its_bounds_and_to_numbers(
        told in prop::collection::vec(told(), 1..400),
        start in 1..2_000_u32,
        bounds in prop::collection::vec((1..300_u32, 0..2_000_u32), 1..4),
        often in 1..200_usize,
    ) {
        let mut bounds = bounds.into_iter().map(|(min, more)| (min, min + more)).cycle();
        let (mut min, mut max) = bounds.next().unwrap();
        let limit = Adaptive::new(settings(start, min, max));
        let mut now = 0_u64;
        for (n, told) in told.into_iter().enumerate() {
            prop_assert!((min..=max).contains(&limit.current()), "{}", limit.current());
            now = now.saturating_add_signed(told.after);
            let Told { latency, in_flight, dropped, .. } = told;
            // At the limit, as often as not.
            let in_flight = if n % 2 == 0 { limit.current() } else { in_flight };
            limit.on_sample(Sample { latency, in_flight, dropped }, Time::from_nanos(now));
            if n % often == often - 1 {
                (min, max) = bounds.next().unwrap();
                limit.reconfigure(&concurrency(ConcurrencyLimit::Adaptive(settings(min, min, max))));
            }
        }
        let learned = limit.learned();
        prop_assert!((min..=max).contains(&learned.limit));
        prop_assert!(learned.points.iter().all(|point| point.error.is_finite()));
        prop_assert!(learned.points.is_sorted_by_key(|point| point.in_flight));
    }
}

#[test]
fn it_shows_what_it_has_learned_and_why_it_stands_there() {
    let limit = Adaptive::new(settings(20, 1, 1_000));
    assert_eq!(limit.learned().stance, Stance::Learning);
    overload(&limit, 8, 0, 60);
    let learned = limit.learned();
    assert!((8..=10).contains(&learned.limit), "{learned:?}");
    assert!((8..=10).contains(&learned.knee.unwrap()), "{learned:?}");
    let base = learned.base.unwrap();
    assert!((9_900..10_600).contains(&base.as_micros()), "{learned:?}");
    let highest = learned.points.last().unwrap();
    assert!(highest.in_flight > 8 && highest.latency > base, "{learned:?}");
}

#[test]
fn a_limit_that_holds_nobody_back_stays_where_it_is() {
    let limit = Adaptive::new(settings(20, 1, 1_000));
    for n in 0..20_000 {
        let latency = Duration::from_millis(10 + n % 7);
        limit.on_sample(sample(latency, 1 + (n % 5) as u32), Time::from_nanos(n * 5 * MS));
    }
    assert_eq!(limit.current(), 20);
    assert_eq!(limit.learned().stance, Stance::AtEase);
}

#[test]
fn a_request_a_minute_moves_nothing_far() {
    let limit = Adaptive::new(settings(20, 1, 1_000));
    for n in 0..500 {
        limit.on_sample(sample(Duration::from_millis(30), 1), Time::from_nanos(n * 60_000 * MS));
    }
    assert_eq!(limit.current(), 20);
}

#[test]
fn nothing_is_learned_while_time_stands_still() {
    let limit = Adaptive::new(settings(20, 1, 1_000));
    for n in 1..10_000 {
        limit.on_sample(sample(Duration::from_millis(n), 20), Time::from_nanos(7 * MS));
    }
    assert_eq!(limit.current(), 20);
}

#[test]
fn other_bounds_hold_at_once_and_leave_what_was_learned() {
    let limit = Adaptive::new(settings(20, 1, 1_000));
    let now = overload(&limit, 16, 0, 30);
    let known = limit.learned().points;
    assert!(known.len() > 2, "{known:?}");
    let bounds = |min, max| concurrency(ConcurrencyLimit::Adaptive(settings(min, min, max)));
    assert!(limit.suits(&bounds(1, 12)));
    limit.reconfigure(&bounds(1, 12));
    assert_eq!(limit.current(), 12);
    assert_eq!(limit.learned().points, known);
    limit.reconfigure(&bounds(1, 1_000));
    overload(&limit, 16, now, 30);
    assert!((16..=20).contains(&limit.current()), "{}", limit.current());
}

#[test]
fn a_fixed_limit_is_of_another_kind() {
    let fixed = concurrency(ConcurrencyLimit::Fixed(NonZeroU32::MIN));
    assert!(!Adaptive::new(settings(20, 1, 1_000)).suits(&fixed));
}

#[test]
fn threads_that_answer_at_once_find_the_same_as_one() {
    const THREADS: u64 = 4;
    let limit = Adaptive::new(settings(64, 1, 1_000));
    let clock = AtomicU64::new(0);
    let end = 30_000 * MS;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let in_flight = limit.current();
                    let step = 10 * MS / u64::from(in_flight.min(8));
                    let now = clock.fetch_add(step, Relaxed);
                    if now > end {
                        return;
                    }
                    let rounds = f64::from(in_flight.max(8)) / 8.0;
                    let latency = Duration::from_nanos((10.0 * MS as f64 * rounds) as u64);
                    limit.on_sample(sample(latency, in_flight), Time::from_nanos(now));
                }
            });
        }
    });
    assert!((8..=11).contains(&limit.current()), "{:?}", limit.learned());
}
