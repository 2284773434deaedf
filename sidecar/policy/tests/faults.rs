//! Faults fall on as many requests as they should, callers get what they may ask for, and bodies drip
//! no faster than they should.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{num::NonZeroU64, time::Duration};

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use weir_config::{
    Abort, AbortFault, ByteSize, DelayFault, DripFault, FaultHeader, Faults, GrpcStatus, Ratio,
};
use weir_policy::{Drip, Injection, Time};

fn ratio(share: f64) -> Ratio {
    Ratio::new(share).unwrap()
}

fn all(share: f64) -> Faults {
    let ratio = ratio(share);
    Faults {
        delay: Some(DelayFault { duration: Duration::from_millis(200), ratio }),
        abort: Some(AbortFault { end: Abort::Reset, ratio }),
        drip: Some(DripFault { rate: ByteSize(64), ratio }),
        header: None,
    }
}

#[test]
fn lots_fall_as_often_as_they_should_and_each_by_itself() {
    let mut random = StdRng::seed_from_u64(7);
    for share in [0.01, 0.3, 0.9] {
        let faults = all(share);
        let (mut delays, mut aborts, mut both) = (0, 0, 0);
        const DRAWN: u32 = 20_000;
        for _ in 0..DRAWN {
            let injection = Injection::drawn(&faults, [(); 3].map(|()| random.next_u64()));
            let (delay, abort) = (injection.delay.is_some(), injection.abort.is_some());
            delays += u32::from(delay);
            aborts += u32::from(abort);
            both += u32::from(delay && abort);
        }
        for (count, expected) in [(delays, share), (aborts, share), (both, share * share)] {
            let (mean, deviation) = (
                f64::from(DRAWN) * expected,
                (f64::from(DRAWN) * expected * (1.0 - expected)).sqrt(),
            );
            assert!((f64::from(count) - mean).abs() < 5.0 * deviation, "{count} of {share}");
        }
    }
}

#[test]
fn all_is_all() {
    let everything = Injection {
        delay: Some(Duration::from_millis(200)),
        abort: Some(Abort::Reset),
        drip: NonZeroU64::new(64),
    };
    for random in [0, 1 << 63, u64::MAX] {
        assert_eq!(Injection::drawn(&all(1.0), [random; 3]), everything);
    }
    let none = Faults { delay: None, abort: None, drip: None, header: None };
    assert_eq!(Injection::drawn(&none, [0; 3]), Injection::default());
}

const ALLOWED: FaultHeader = FaultHeader {
    name: String::new(),
    delay_max: Some(Duration::from_secs(5)),
    abort: true,
    drip_min: Some(ByteSize(16)),
};

#[test]
fn callers_get_what_they_may_ask_for() {
    let delay =
        |millis| Injection { delay: Some(Duration::from_millis(millis)), ..Injection::default() };
    let abort = |end| Injection { abort: Some(end), ..Injection::default() };
    let grpc = GrpcStatus::Unavailable;
    for (text, expected) in [
        ("delay=200ms", delay(200)),
        ("delay=5s", delay(5000)),
        (" delay=1s200ms ", delay(1200)),
        ("abort=404", abort(Abort::Answer { status: 404, grpc })),
        ("abort=NOT_FOUND", abort(Abort::Answer { status: 503, grpc: GrpcStatus::NotFound })),
        ("abort=reset", abort(Abort::Reset)),
        ("delay=200ms, drip=1KiB", Injection { drip: NonZeroU64::new(1024), ..delay(200) }),
        ("none", Injection::default()),
    ] {
        assert_eq!(Injection::asked(&ALLOWED, text), Ok(expected), "{text:?}");
        // What is shown of it asks for the same.
        let shown = expected.to_string();
        assert_eq!(Injection::asked(&ALLOWED, &shown), Ok(expected), "{shown:?}");
    }
}

#[test]
fn callers_are_told_what_they_may_not_ask_for() {
    for (text, part) in [
        ("delay=5001ms", "above 5s"),
        ("delay=200", "a duration such as 200ms"),
        ("delay=", "a duration such as 200ms"),
        ("delay", "a duration such as 200ms"),
        ("abort=200", "400 to 599"),
        ("abort=OK", "400 to 599"),
        ("drip=15B", "below 16 bytes"),
        ("drip=0B", "such as 64B"),
        ("drip=64", "such as 64B"),
        ("slow=1s", "delay=200ms"),
        ("", "delay=200ms"),
        ("none, delay=1s", "delay=200ms"),
        ("delay=1s, delay=2s", "twice"),
        ("delay=1s;drip=64B", "such as 200ms"),
    ] {
        let objection = Injection::asked(&ALLOWED, text).unwrap_err().to_string();
        assert!(objection.contains(part), "{text:?}: {objection}");
    }
    let nothing = FaultHeader { delay_max: None, abort: false, drip_min: None, ..ALLOWED };
    for text in ["delay=1ms", "abort=503", "drip=1GiB"] {
        let objection = Injection::asked(&nothing, text).unwrap_err().to_string();
        assert!(objection.contains("may not be asked for"), "{objection}");
    }
}

proptest! {
    /// Whatever a caller writes, it gets nothing beyond what it may.
    #[test]
    fn nothing_is_injected_beyond_what_is_allowed(text in "(delay|abort|drip)?=?[ -~é]{0,20}(, ?(delay|abort|drip)=[0-9]{1,9}(ms|s|B|KiB)?)?") {
        match Injection::asked(&ALLOWED, &text) {
            Ok(injection) => {
                prop_assert!(injection.delay.is_none_or(|delay| delay <= Duration::from_secs(5)));
                prop_assert!(injection.drip.is_none_or(|rate| rate.get() >= 16));
            }
            Err(objection) => prop_assert!(objection.to_string().len() < 400),
        }
    }

    /// However often and late it is asked, no more than the rate has gone, and it goes on.
    #[test]
    fn a_drip_keeps_to_its_rate(
        rate in prop_oneof![1..100_u64, 1..1_u64 << 30],
        asked in prop::collection::vec(0..300_u64, 1..200),
    ) {
        let rate = NonZeroU64::new(rate).unwrap();
        let begun = Time::from_nanos(1);
        let (mut drip, mut now, mut gone) = (Drip::new(rate, begun), begun, 0_u128);
        for later in asked {
            now = now + Duration::from_millis(later);
            gone += drip.take(now) as u128;
            let piece = u128::from((rate.get() / 10).max(1));
            let most = u128::from(rate.get()) * now.since(begun).as_nanos() / 1_000_000_000 + piece;
            // A nanosecond's worth is lost to rounding with each piece.
            prop_assert!(gone <= most + 1 + gone / 1_000_000, "{} bytes instead of {}", gone, most);
        }
        let next = drip.next();
        prop_assert!(next.since(now) <= Duration::from_secs(1));
        prop_assert!(drip.take(next) > 0);
    }
}
