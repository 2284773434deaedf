//! Shared limits on a virtual clock: several sidecars and one store, which is modelled here as the
//! script has it.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use proptest::prelude::*;
use weir_config::{Key, Mode, RateLimit};
use weir_policy::{Ask, Exceeded, Grant, LeaseKey, Leased, Leases, StoreReceipt, Taken, Time};

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

fn header() -> [Key; 1] {
    [Key::Header("x-api-key".into())]
}

/// The store's side, in microseconds on its own clock.
#[derive(Debug)]
struct Store {
    interval: f64,
    burst: f64,
    buckets: HashMap<u128, StoreReceipt>,
    asks: u32,
}

impl Store {
    fn new(qps: f64, burst: u32) -> Self {
        Self { interval: 1e6 / qps, burst: f64::from(burst), buckets: HashMap::new(), asks: 0 }
    }

    fn ask(&mut self, ask: &Ask, now: Time) -> Grant {
        self.asks += 1;
        let now = now.as_nanos() as f64 / 1e3 + 1e9;
        let empty = now + self.interval * self.burst;
        let held = self.buckets.get(&ask.key).copied().filter(|held| held.after > now);
        let new = StoreReceipt { after: now, given: 0.0, born: now };
        let StoreReceipt { mut after, mut given, born } = held.unwrap_or(new);
        if ask.back > 0 && born == ask.receipt.born {
            let ahead = ask.receipt.after - (given - ask.receipt.given) - now;
            let back = ahead.min(f64::from(ask.back) * self.interval).max(0.0);
            (after, given) = (after - back, given + back);
        }
        let free = ((empty - after) / self.interval + 1e-6).floor().max(0.0) as u32;
        let granted = ask.want.min(free);
        after += f64::from(granted) * self.interval;
        let receipt = StoreReceipt { after, given, born };
        self.buckets.insert(ask.key, receipt);
        let micros = |micros: f64| Duration::from_secs_f64(micros.max(0.0) / 1e6);
        let next = micros(after + self.interval - empty);
        Grant { granted, remaining: free - granted, next, reset: micros(after - now), receipt }
    }
}

/// A sidecar whose store answers at once.
struct Sidecar(Leases<()>);

impl Sidecar {
    fn new(settings: &RateLimit) -> Self {
        Self(Leases::new(settings))
    }

    fn request(&self, keys: &[u128], store: &mut Store, now: Time) -> Result<Leased, Exceeded> {
        let keys: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(index, &store)| LeaseKey { index, local: store as u64, store })
            .collect();
        for _ in 0..20 {
            let (taken, asks) = self.0.take(&keys, now, || ());
            for ask in asks {
                self.carry(ask, store, now);
            }
            match taken {
                Taken::Passes(leased) => return Ok(leased),
                Taken::Exceeded(exceeded) => return Err(exceeded),
                Taken::Waits => {}
            }
        }
        panic!("asked for ever");
    }

    fn carry(&self, ask: Ask, store: &mut Store, now: Time) {
        let mut next = Some(ask);
        while let Some(ask) = next {
            next = self.0.answered(&ask, Some(&store.ask(&ask, now)), now).ask;
        }
    }

    fn sweep(&self, store: &mut Store, now: Time) {
        for ask in self.0.sweep(now) {
            store.ask(&ask, now);
        }
    }
}

fn at(micros: u64) -> Time {
    Time::from_nanos(micros * 1_000)
}

/// Requests that passed, by the microsecond, of three sidecars that are flooded evenly.
fn flood(qps: f64, burst: u32, per_second: u64, seconds: u64) -> (Vec<u64>, Store) {
    let settings = settings(qps, burst, &header(), 100);
    let mut store = Store::new(qps, burst);
    let fleet = [(); 3].map(|()| Sidecar::new(&settings));
    let mut passed = Vec::new();
    for number in 0..per_second * seconds {
        let micros = number * 1_000_000 / per_second;
        if micros.is_multiple_of(100_000) {
            fleet.iter().for_each(|sidecar| sidecar.sweep(&mut store, at(micros)));
        }
        let sidecar = &fleet[number as usize % 3];
        if sidecar.request(&[7], &mut store, at(micros)).is_ok() {
            passed.push(micros);
        }
    }
    (passed, store)
}

#[test]
fn a_fleet_gets_the_whole_of_its_limit_and_no_more() {
    for (qps, burst) in [(1_000.0, 1_000), (1_000.0, 100), (100.0, 20), (10.0, 10), (0.5, 2)] {
        let seconds = 20;
        let (passed, _) = flood(qps, burst, 6_000, seconds);
        let bound = qps * seconds as f64 + f64::from(burst);
        let passed = passed.len() as f64;
        assert!(passed <= bound, "{qps}/{burst}: {passed} of {bound}");
        assert!(passed >= bound * 0.95 - 1.0, "{qps}/{burst}: {passed} of {bound}");
    }
}

#[test]
fn the_store_is_asked_once_for_many() {
    let (passed, store) = flood(1_200.0, 1_200, 1_000, 10);
    assert_eq!(passed.len(), 10_000, "all of them are below the limit");
    assert!(passed.len() as u32 / store.asks >= 15, "{} asks", store.asks);
    // Above the limit as well: most of the refusals are remembered.
    let (_, store) = flood(100.0, 100, 6_000, 10);
    assert!(60_000 / store.asks >= 15, "{} asks", store.asks);
}

#[test]
fn one_sidecar_gets_what_another_has_left() {
    let settings = settings(100.0, 40, &header(), 100);
    let mut store = Store::new(100.0, 40);
    let (one, other) = (Sidecar::new(&settings), Sidecar::new(&settings));
    let mut all = 0;
    for _ in 0..30 {
        all += u32::from(one.request(&[7], &mut store, at(0)).is_ok());
    }
    assert_eq!(all, 30);
    let held_by_one = 40
        - all
        - (0..40).filter(|_| other.request(&[7], &mut store, at(0)).is_ok()).count() as u32;
    assert!(held_by_one > 0, "or there is nothing to hand back");
    // What was held comes back, and so does what has filled up since.
    let later = 260_000;
    one.sweep(&mut store, at(later));
    other.sweep(&mut store, at(later));
    let passed = (0..100).filter(|_| other.request(&[7], &mut store, at(later)).is_ok()).count();
    // Of what was held, that of the last debit.
    assert!((27..=26 + held_by_one).contains(&(passed as u32)), "{passed} and {held_by_one}");
}

#[test]
fn a_bucket_of_another_time_takes_nothing_back() {
    let mut store = Store::new(100.0, 40);
    let ask = |want, back, receipt| Ask { key: 7, want, back, receipt };
    let granted = store.ask(&ask(30, 0, StoreReceipt::default()), at(0));
    store.buckets.clear();
    let all = store.ask(&ask(40, 0, StoreReceipt::default()), at(1));
    assert_eq!((all.granted, all.remaining), (40, 0));
    assert_eq!(store.ask(&ask(1, 30, granted.receipt), at(2)).granted, 0);
    assert_eq!(store.ask(&ask(40, 30, all.receipt), at(2)).granted, 30);
}

#[test]
fn all_keys_pass_or_none_is_debited() {
    let per = [Key::Client { v6_prefix: 64 }, Key::Header("x-api-key".into())];
    let settings = settings(0.001, 3, &per, 100);
    let mut store = Store::new(0.001, 3);
    let sidecar = Sidecar::new(&settings);
    let mut ask =
        |client, key| sidecar.request(&[client, key], &mut store, at(0)).map_err(|no| no.key_index);
    for _ in 0..3 {
        assert!(ask(1, 10).is_ok());
    }
    for _ in 0..10 {
        assert_eq!(ask(1, 11).err(), Some(0), "the client has none left");
    }
    for _ in 0..3 {
        assert!(ask(2, 11).is_ok(), "the key has lost none by that");
    }
    assert_eq!(ask(3, 11).err(), Some(1));
}

#[test]
fn a_token_comes_back_for_a_moment() {
    let settings = settings(0.001, 1, &[Key::Route], 1);
    let mut store = Store::new(0.001, 1);
    let sidecar = Sidecar::new(&settings);
    let first = sidecar.request(&[7], &mut store, at(0)).unwrap();
    let refused = sidecar.request(&[7], &mut store, at(1)).unwrap_err();
    assert!(refused.retry_after > Duration::from_secs(999), "{refused:?}");
    sidecar.0.refund(&first, at(2));
    let second = sidecar.request(&[7], &mut store, at(3)).unwrap();
    sidecar.0.refund(&second, at(400_000));
    assert!(sidecar.request(&[7], &mut store, at(400_001)).is_err(), "it came too late");
}

#[test]
fn keys_without_a_place_share_one_lease() {
    let settings = settings(0.001, 2, &header(), 2);
    let mut store = Store::new(0.001, 2);
    let sidecar = Sidecar::new(&settings);
    let mut ask = |key| sidecar.request(&[key], &mut store, at(0)).map_err(|no| no.shared);
    assert!(ask(1).is_ok() && ask(2).is_ok());
    assert!(ask(3).is_ok() && ask(4).is_ok());
    assert_eq!(ask(5).err(), Some(true));
    assert!(ask(1).is_ok(), "the known ones have theirs");
    assert_eq!(sidecar.0.keys(), 3);
    sidecar.sweep(&mut store, at(2_000_000));
    assert_eq!(sidecar.0.keys(), 0, "and nobody is remembered for ever");
}

#[test]
fn whoever_waits_is_woken_by_what_it_waits_for() {
    let leases: Leases<u32> = Leases::new(&settings(1_000.0, 40, &header(), 10));
    let key = [LeaseKey { index: 0, local: 7, store: 7 }];
    let mut asks = Vec::new();
    for number in 0..3 {
        let (taken, asked) = leases.take(&key, at(0), || number);
        assert!(matches!(taken, Taken::Waits));
        asks.extend(asked);
    }
    assert_eq!((asks.len(), asks[0].want), (1, 1), "one asks for all of them");
    let grant = |granted| Grant { granted, ..Grant::default() };
    let then = leases.answered(&asks[0], Some(&grant(1)), at(1));
    assert_eq!(then.wake, [0], "as many as can pass");
    let again = then.ask.expect("the others go on waiting");
    assert!(again.want >= 2);
    let then = leases.answered(&again, None, at(2));
    assert_eq!((then.wake, then.ask), (vec![1, 2], None), "the store is lost: nobody waits for it");
    assert!(matches!(leases.take(&key, at(3), || 9).0, Taken::Passes(_)), "one was granted");
    assert!(matches!(leases.take(&key, at(3), || 9).0, Taken::Waits));
}

#[test]
fn a_word_that_never_comes_is_asked_for_again() {
    let leases: Leases<()> = Leases::new(&settings(1_000.0, 40, &header(), 10));
    let key = [LeaseKey { index: 0, local: 7, store: 7 }];
    let asks = |micros| leases.take(&key, at(micros), || ()).1.len();
    assert_eq!((asks(0), asks(1_999_999), asks(2_000_000)), (1, 0, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Each step: which sidecar, microseconds since the last, requests at once, and whether the last one
    /// that passed is refused later on.
    #[test]
    fn no_fleet_gets_more_than_its_limit(
        qps in prop_oneof![Just(0.5), 5.0..2_000.0_f64],
        burst in 1..200_u32,
        steps in prop::collection::vec((0..4_usize, 0..60_000_u64, 0..30_u32, any::<bool>()), 1..300),
    ) {
        let settings = settings(qps, burst, &header(), 10);
        let mut store = Store::new(qps, burst);
        let fleet = [(); 4].map(|()| Sidecar::new(&settings));
        let (mut now, mut passed) = (0, 0_i64);
        for (which, gap, requests, refunds) in steps {
            now += gap;
            let mut last = None;
            for _ in 0..requests {
                if let Ok(leased) = fleet[which].request(&[7], &mut store, at(now)) {
                    passed += 1;
                    last = Some(leased);
                }
            }
            if let (true, Some(leased)) = (refunds, last) {
                fleet[which].0.refund(&leased, at(now));
                passed -= 1;
            }
            if gap > 30_000 {
                fleet[(which + 1) % 4].sweep(&mut store, at(now));
            }
            let bound = qps * now as f64 / 1e6 + f64::from(burst);
            prop_assert!(passed as f64 <= bound + 1e-3, "{passed} of {bound}");
        }
    }
}
