//! Rate limits on a virtual clock: exact to the nanosecond, and never one request too many.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroUsize},
    sync::Barrier,
    thread,
    time::Duration,
};

use proptest::prelude::*;
use weir_config::{Key, Mode, RateLimit};
use weir_policy::{Debit, Exceeded, RateLimiter, Time};

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn settings(qps: f64, burst: u32, per: &[Key], keys: usize) -> RateLimit {
    RateLimit {
        name: "partner-api".into(),
        qps,
        burst: NonZeroU32::new(burst).expect("not zero"),
        per: per.to_vec(),
        keys: NonZeroUsize::new(keys).expect("not zero"),
        charge_on_reject: false,
        shared: None,
        mode: Mode::Enforce,
    }
}

fn per_route(qps: f64, burst: u32) -> RateLimiter {
    RateLimiter::new(&settings(qps, burst, &[Key::Route], 1))
}

fn per_header(qps: f64, burst: u32, keys: usize) -> RateLimiter {
    RateLimiter::new(&settings(qps, burst, &[Key::Header("x-api-key".into())], keys))
}

fn at(nanos: u64) -> Time {
    Time::from_nanos(nanos)
}

/// A hash as the proxy would make it: spread over all 64 bits.
fn hash(value: u64) -> u64 {
    let mixed = (value + 1).wrapping_mul(0xD1B5_4A32_D192_ED03);
    (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB)
}

/// The algorithm with nothing around it: what any bucket must agree with.
#[derive(Clone, Debug, Default)]
struct Oracle {
    tat: u64,
}

impl Oracle {
    fn check(&mut self, interval: u64, burst: u32, now: u64) -> Result<(), u64> {
        let earliest = self.tat.saturating_sub(interval * u64::from(burst - 1));
        if now < earliest {
            return Err(earliest - now);
        }
        self.tat = self.tat.max(now) + interval;
        Ok(())
    }
}

#[test]
fn ten_a_second_with_a_burst_of_five_passes_604_of_a_minute_at_a_hundred_a_second() {
    let limiter = per_route(10.0, 5);
    let passed = |range: std::ops::Range<u64>| {
        range.filter(|step| limiter.check(&[0], at(step * 10 * MS)).is_ok()).count()
    };
    assert_eq!(passed(0..6000), 604);
    assert_eq!(passed(6000..6001), 1, "the one at 60 s");
}

#[test]
fn a_burst_passes_at_once_and_the_next_exactly_one_interval_later() {
    let limiter = per_route(10.0, 5);
    let left: Vec<_> = (0..5).map(|_| limiter.check(&[0], at(0)).unwrap().remaining).collect();
    assert_eq!(left, [4, 3, 2, 1, 0]);
    let refused = limiter.check(&[0], at(0)).unwrap_err();
    let expected = Exceeded {
        key_index: 0,
        key_hash: 0,
        retry_after: Duration::from_millis(100),
        remaining: 0,
        reset: Duration::from_millis(500),
        shared: false,
    };
    assert_eq!(refused, expected);
    assert!(limiter.check(&[0], at(100 * MS - 1)).is_err());
    assert!(limiter.check(&[0], at(100 * MS)).is_ok());
    assert!(limiter.check(&[0], at(100 * MS)).is_err());
}

#[test]
fn odd_rates_round_towards_fewer_and_do_not_drift() {
    // Requests every millisecond for 1000 s, burst 1: as many intervals as fit, none more.
    let check = |qps: f64, expected: u64| {
        let limiter = per_route(qps, 1);
        let passed = (0..1_000_000).filter(|ms| limiter.check(&[0], at(ms * MS)).is_ok()).count();
        assert_eq!(passed as u64, expected, "{qps} a second");
    };
    check(0.5, 500);
    check(0.001, 1);
    // 333.333334 ms end between two arrivals: each passes 334 ms after the one before.
    check(3.0, 1_000_000_u64.div_ceil(334));
    check(1000.0, 1_000_000);
    check(1_000_000.0, 1_000_000);
}

#[test]
fn a_fast_rate_is_never_exceeded() {
    // 1/999,999 s is 1000.001 ns; of requests each 100 ns one passes every 1100 ns.
    let limiter = per_route(999_999.0, 1);
    let arrivals = (0..SECOND / 10).step_by(100);
    let passed = arrivals.filter(|&now| limiter.check(&[0], at(now)).is_ok()).count();
    assert_eq!(passed, 90_910, "in a tenth of a second");
}

#[test]
fn extreme_settings_saturate_towards_refusing() {
    let limiter = per_route(1e-9, u32::MAX);
    let passed = (0..100).filter(|_| limiter.check(&[0], at(SECOND)).is_ok()).count();
    assert_eq!(passed, 3, "one each 32 years, and a burst is cut to what 73 years refill");
}

#[test]
fn all_keys_are_debited_or_none() {
    let keys = [Key::Header("x-api-key".into()), Key::Route];
    let limiter = RateLimiter::new(&settings(10.0, 2, &keys, 100));
    let (alice, bob, carol) = ([hash(1), 0], [hash(2), 0], [hash(3), 0]);
    assert!(limiter.check(&alice, at(0)).is_ok());
    assert!(limiter.check(&bob, at(0)).is_ok());
    // The route is spent: Carol's own bucket must stay full.
    for _ in 0..10 {
        let refused = limiter.check(&carol, at(0)).unwrap_err();
        assert_eq!((refused.key_index, refused.retry_after), (1, Duration::from_millis(100)));
    }
    assert_eq!(limiter.keys_in_use(at(0)), 2);
    assert_eq!(limiter.check(&carol, at(200 * MS)).unwrap().remaining, 1);
}

#[test]
fn of_several_keys_that_refuse_the_one_that_refuses_longest_is_named() {
    let keys = [Key::Route, Key::Header("x-api-key".into())];
    let limiter = RateLimiter::new(&settings(1.0, 1, &keys, 100));
    let (alice, bob) = ([0, hash(1)], [0, hash(2)]);
    let debit = limiter.check(&alice, at(0)).unwrap();
    limiter.refund(&debit, at(0));
    assert!(limiter.check(&bob, at(0)).is_ok());
    assert!(limiter.check(&alice, at(SECOND)).is_ok());
    // The route refuses for 1 s, and so does Alice's bucket; a tie goes to the first.
    let refused = limiter.check(&alice, at(SECOND)).unwrap_err();
    assert_eq!((refused.key_index, refused.retry_after), (0, Duration::from_secs(1)));
    assert!(limiter.check(&alice, at(2 * SECOND - 1)).is_err());
    assert!(limiter.check(&alice, at(2 * SECOND)).is_ok());
}

#[test]
fn of_several_values_the_one_that_refuses_is_named_by_its_hash() {
    let limiter = RateLimiter::new(&settings(1.0, 1, &[Key::Header("x-api-key".into())], 100));
    let [spent, fresh] = [1, 2].map(|name| (0, hash(name)));
    assert!(limiter.check_values([spent].into_iter(), at(0)).is_ok());
    let refused = limiter.check_values([fresh, spent].into_iter(), at(0)).unwrap_err();
    assert_eq!((refused.key_index, refused.key_hash), spent);
}

#[test]
fn the_same_value_under_another_key_is_another_caller() {
    let keys = [Key::Header("a".into()), Key::Header("b".into())];
    let limiter = RateLimiter::new(&settings(10.0, 1, &keys, 100));
    assert!(limiter.check(&[hash(1), hash(1)], at(0)).is_ok());
    assert_eq!(limiter.keys_in_use(at(0)), 2);
}

#[test]
fn each_value_of_a_key_is_debited_or_none() {
    let limiter = per_header(1.0, 1, 100);
    let both = || [(0, hash(1)), (0, hash(2))].into_iter();
    let debit = limiter.check_values(both(), at(0)).unwrap();
    assert_eq!(limiter.keys_in_use(at(0)), 2);
    limiter.refund(&debit, at(0));
    assert_eq!(limiter.keys_in_use(at(0)), 0, "a refund gives each its token back");
    assert!(limiter.check(&[hash(2)], at(0)).is_ok());
    assert_eq!(
        limiter.check_values(both(), at(0)).unwrap_err().retry_after,
        Duration::from_secs(1)
    );
    assert!(limiter.check(&[hash(1)], at(0)).is_ok(), "the refusal has cost the first nothing");
}

#[test]
fn every_hash_has_a_bucket_also_zero() {
    let limiter = per_header(10.0, 1, 1000);
    for key in [0, 2 << 24, u64::MAX, u64::MAX - (1 << 24)] {
        assert!(limiter.check(&[key], at(5)).is_ok(), "{key:#x} starts full");
    }
    assert!(limiter.check(&[0], at(5)).is_err());
}

#[test]
fn an_immediate_refund_leaves_no_trace() {
    let limiter = per_route(10.0, 3);
    for step in 0..1000 {
        let now = at(step);
        let debit = limiter.check(&[0], now).unwrap();
        assert_eq!(debit.remaining, 2);
        limiter.refund(&debit, now);
    }
}

#[test]
fn waiters_that_time_out_in_order_give_everything_back() {
    // 100 requests at once; 10 ms later all are refused. The first ten tokens have refilled by then, the
    // other ninety come back: the bucket is full, not fuller.
    let limiter = per_route(1000.0, 100);
    let debits: Vec<_> = (0..100).map(|_| limiter.check(&[0], at(0)).unwrap()).collect();
    for debit in &debits {
        limiter.refund(debit, at(10 * MS));
    }
    let debit = limiter.check(&[0], at(10 * MS)).unwrap();
    assert_eq!((debit.remaining, debit.reset), (99, Duration::from_millis(1)));
}

#[test]
fn a_token_that_ran_over_is_not_given_back() {
    // The bucket was full again at 1 s without the refund; a token more would be a second burst.
    let limiter = per_route(1.0, 1);
    let old = limiter.check(&[0], at(0)).unwrap();
    assert!(limiter.check(&[0], at(5 * SECOND)).is_ok());
    limiter.refund(&old, at(5 * SECOND));
    assert!(limiter.check(&[0], at(5 * SECOND)).is_err());
}

#[test]
fn what_others_got_back_in_between_counts_against_a_refund() {
    // Three at once, then the first two come back: the third's token refills at 100 ms and runs over
    // from then on, although it was to refill at 300 ms when it was taken.
    let limiter = per_route(10.0, 3);
    let debits: Vec<_> = (0..3).map(|_| limiter.check(&[0], at(0)).unwrap()).collect();
    limiter.refund(&debits[0], at(0));
    limiter.refund(&debits[1], at(0));
    assert_eq!(limiter.check(&[0], at(250 * MS)).unwrap().reset, Duration::from_millis(100));
    limiter.refund(&debits[2], at(260 * MS));
    let reset = limiter.check(&[0], at(260 * MS)).unwrap().reset;
    assert_eq!(reset, Duration::from_millis(190), "as if there had been no refund");
}

#[test]
fn a_place_changes_hands_when_its_bucket_is_full_and_not_a_nanosecond_before() {
    let limiter = per_header(10.0, 1, 1);
    assert!(limiter.check(&[hash(1)], at(0)).is_ok());
    drop(limiter.check(&[hash(2)], at(100 * MS - 1)));
    assert_eq!(limiter.overflowed(), 1);
    drop(limiter.check(&[hash(2)], at(100 * MS)));
    assert_eq!(limiter.overflowed(), 1);
}

#[test]
fn a_bucket_that_changed_hands_gets_nothing_back() {
    let limiter = per_header(10.0, 1, 1);
    let alice = limiter.check(&[hash(1)], at(0)).unwrap();
    assert!(limiter.check(&[hash(2)], at(100 * MS)).is_ok(), "Alice's place is free again");
    limiter.refund(&alice, at(100 * MS));
    assert!(limiter.check(&[hash(2)], at(150 * MS)).is_err());
}

#[test]
fn keys_beyond_the_table_share_one_bucket_and_known_ones_keep_theirs() {
    let limiter = per_header(1.0, 2, 4);
    for key in 0..4 {
        assert!(!limiter.check(&[hash(key)], at(0)).is_err_and(|refused| refused.shared));
    }
    assert_eq!((limiter.keys_in_use(at(0)), limiter.overflowed()), (4, 0));
    let strangers: Vec<_> = (10..20).map(|key| limiter.check(&[hash(key)], at(0))).collect();
    assert_eq!(strangers.iter().filter(|answer| answer.is_ok()).count(), 2, "one shared burst");
    assert!(strangers.iter().filter_map(|answer| answer.as_ref().err()).all(|no| no.shared));
    assert_eq!(limiter.overflowed(), 10);
    assert!(limiter.check(&[hash(0)], at(0)).is_ok(), "a known caller has its second token");
    // All are full again: their places are free for others, and nobody is owed anything.
    assert_eq!(limiter.keys_in_use(at(10 * SECOND)), 0);
    assert!((20..24).all(|key| limiter.check(&[hash(key)], at(10 * SECOND)).is_ok()));
    assert_eq!(limiter.overflowed(), 10);
}

#[test]
fn a_table_is_well_filled_before_keys_have_to_share() {
    let check = |keys: u64, shared: std::ops::RangeInclusive<u64>| {
        let limiter = per_header(1.0, 100, 10_000);
        (0..keys).for_each(|key| drop(limiter.check(&[hash(key)], at(0))));
        assert!(shared.contains(&limiter.overflowed()), "{keys}: {}", limiter.overflowed());
        assert_eq!(limiter.keys_in_use(at(0)) as u64 + limiter.overflowed(), keys);
    };
    check(7_000, 0..=0);
    check(8_000, 0..=20);
    check(9_000, 0..=180);
    check(10_000, 1..=600);
}

#[test]
fn a_million_keys_stay_within_the_table_and_none_exceeds_its_rate() {
    const KEYS: usize = 10_000;
    let limiter = per_header(1.0, 1, KEYS);
    let mut passed = 0;
    for key in 0..1_000_000 {
        // Half a million keys a second, some of them twice; a table of 10,000 soon is full.
        let now = at(key * 2_000);
        let first = limiter.check(&[hash(key)], now).is_ok();
        passed += usize::from(first);
        if key % 10 == 0 {
            assert!(!(first && limiter.check(&[hash(key)], now).is_ok()), "key {key} passed twice");
        }
        if key % 100_000 == 0 {
            assert!(limiter.keys_in_use(now) <= KEYS);
        }
    }
    assert!(limiter.overflowed() > 0, "the flood outgrew the table");
    // In two seconds each place serves its first key and, as it falls free, one or two others.
    assert!((KEYS / 2..4 * KEYS).contains(&passed), "{passed}");
}

#[test]
fn a_key_that_used_the_shared_bucket_gets_no_second_burst_with_a_place_of_its_own() {
    let limiter = per_header(1.0, 4, 1);
    // A's one token is back at 1 s; B lives on the shared bucket until then.
    assert!(limiter.check(&[hash(1)], at(0)).is_ok());
    let burst = (0..10).filter(|_| limiter.check(&[hash(2)], at(SECOND - 1)).is_ok()).count();
    assert_eq!(burst, 4);
    assert!(limiter.check(&[hash(2)], at(SECOND)).is_err(), "a place of its own, as empty");
    assert!(limiter.check(&[hash(2)], at(2 * SECOND)).is_ok());
}

#[test]
fn threads_that_meet_the_same_new_keys_at_once_grant_one_burst_each() {
    const THREADS: usize = 4;
    const KEYS: u64 = 64;
    for round in 0..100 {
        let limiter = per_header(1.0, 5, 256);
        // Fill places with buckets that come free at various instants, so that threads whose clocks
        // differ choose different places for the same key.
        for junk in 0..200 {
            drop(limiter.check(&[hash(1_000 + junk)], at(junk * 10 * MS)));
        }
        let start = Barrier::new(THREADS);
        let granted: Vec<Vec<u64>> = thread::scope(|scope| {
            let work = |thread: u64| {
                let (limiter, start) = (&limiter, &start);
                move || {
                    start.wait();
                    let now = at(2 * SECOND + thread * 50 * MS);
                    let pass = |key: u64| {
                        let tries =
                            (0..10).map(|_| limiter.check(&[hash(round * KEYS + key)], now));
                        tries.filter(Result::is_ok).count() as u64
                    };
                    (0..KEYS).map(pass).collect()
                }
            };
            let threads: Vec<_> = (0..THREADS as u64).map(|n| scope.spawn(work(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for key in 0..KEYS as usize {
            let total: u64 = granted.iter().map(|thread| thread[key]).sum();
            // Clocks 150 ms apart earn no token; the shared overflow bucket adds at most its own burst.
            let shared = if limiter.overflowed() > 0 { 5 } else { 0 };
            assert!(total <= 5 + shared, "round {round}, key {key}: {total}");
        }
    }
}

#[test]
fn buckets_are_exchanged_without_a_hidden_lock() {
    assert!(portable_atomic::AtomicU128::is_lock_free(), "this processor has no 128-bit exchange");
}

#[test]
fn threads_on_one_key_pass_exactly_the_burst() {
    let limiter = per_header(1.0, 1000, 16);
    let passed: usize = thread::scope(|scope| {
        let hammer = || (0..2000).filter(|_| limiter.check(&[hash(7)], at(0)).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(hammer)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(passed, 1000);
}

/// Gaps around the interval, so that buckets are now full, now empty.
fn gaps() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..50 * MS, 90 * MS..110 * MS, Just(100 * MS), 0..2 * SECOND]
}

proptest! {
    #[test]
    fn no_window_passes_more_than_burst_and_rate(
        gaps in prop::collection::vec(gaps(), 1..300),
        burst in 1..20_u32,
    ) {
        let limiter = per_route(10.0, burst);
        let mut now = 0;
        let mut passed = Vec::new();
        for gap in gaps {
            now += gap;
            if limiter.check(&[0], at(now)).is_ok() {
                passed.push(now);
            }
        }
        for (first, &start) in passed.iter().enumerate() {
            for (count, &end) in passed[first..].iter().enumerate() {
                let allowed = u64::from(burst) + (end - start) / (100 * MS);
                prop_assert!((count as u64) < allowed, "{} in {}", count + 1, end - start);
            }
        }
    }

    #[test]
    fn a_refusal_says_exactly_when_it_passes(
        gaps in prop::collection::vec(gaps(), 1..100),
        qps in prop_oneof![Just(10.0), Just(3.0), 0.01..1e6_f64],
        burst in 1..10_u32,
    ) {
        let mut now = 0;
        let limiter = per_route(qps, burst);
        for gap in gaps {
            now += gap;
            if let Err(refused) = limiter.check(&[0], at(now)) {
                let wait = refused.retry_after.as_nanos() as u64;
                prop_assert!(wait > 0);
                let early = limiter.check(&[0], at(now + wait - 1));
                prop_assert_eq!(early.unwrap_err().retry_after, Duration::from_nanos(1));
                prop_assert!(limiter.check(&[0], at(now + wait)).is_ok());
                now += wait;
            }
        }
    }

    #[test]
    fn a_table_with_room_agrees_with_a_map(
        steps in prop::collection::vec((gaps(), 0..50_u64), 1..400),
        burst in 1..5_u32,
    ) {
        let limiter = per_header(10.0, burst, 1024);
        let mut oracle: HashMap<u64, Oracle> = HashMap::new();
        let mut now = 0;
        for (gap, key) in steps {
            now += gap / 20;
            let expected = oracle.entry(key).or_default().check(100 * MS, burst, now);
            let answer = limiter.check(&[hash(key)], at(now));
            let wait = answer.as_ref().map_err(|refused| refused.retry_after.as_nanos() as u64);
            prop_assert_eq!(wait.map(|_| ()), expected);
            let tat = oracle[&key].tat;
            let reset = answer.map_or_else(|refused| refused.reset, |debit| debit.reset);
            prop_assert_eq!(reset, Duration::from_nanos(tat.saturating_sub(now)));
        }
        prop_assert_eq!(limiter.overflowed(), 0);
    }

    #[test]
    fn a_table_without_room_never_gives_a_key_more_than_its_own_bucket_would(
        steps in prop::collection::vec((gaps(), 0..50_u64), 1..400),
        burst in 1..5_u32,
        keys in 1..20_usize,
    ) {
        let limiter = per_header(10.0, burst, keys);
        let mut oracle: HashMap<u64, Oracle> = HashMap::new();
        let mut now = 0;
        for (gap, key) in steps {
            now += gap / 20;
            if limiter.check(&[hash(key)], at(now)).is_ok() {
                let own = oracle.entry(key).or_default().check(100 * MS, burst, now);
                prop_assert!(own.is_ok(), "key {} at {}", key, now);
            }
            prop_assert!(limiter.keys_in_use(at(now)) <= keys);
        }
    }

    /// Whatever is given back, in whatever order and however late: the requests that were not given
    /// back would all have passed a limiter that never saw the others.
    #[test]
    fn refunds_never_admit_more_than_if_the_request_had_never_come(
        steps in prop::collection::vec((gaps(), any::<bool>(), any::<prop::sample::Index>()), 1..300),
        burst in 1..6_u32,
        per_key in any::<bool>(),
    ) {
        let limiter = if per_key { per_header(10.0, burst, 8) } else { per_route(10.0, burst) };
        let mut now = 0;
        let mut outstanding: Vec<(u64, Debit)> = Vec::new();
        let mut kept: Vec<u64> = Vec::new();
        for (gap, refund, which) in steps {
            now += gap / 4;
            if refund && !outstanding.is_empty() {
                let (_, debit) = outstanding.swap_remove(which.index(outstanding.len()));
                limiter.refund(&debit, at(now));
            } else if let Ok(debit) = limiter.check(&[hash(1)], at(now)) {
                outstanding.push((now, debit));
            }
        }
        kept.extend(outstanding.iter().map(|(time, _)| time));
        kept.sort_unstable();
        let mut oracle = Oracle::default();
        for time in kept {
            prop_assert!(oracle.check(100 * MS, burst, time).is_ok(), "at {}", time);
        }
    }
}
