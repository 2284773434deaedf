//! What a request needs is learned, acted upon, and unlearned.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::prelude::*;
use weir_policy::{Fit, ServiceTime, Time, TooLate};

const NO_WAIT: Duration = Duration::ZERO;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> Time {
    Time::default() + ms(millis)
}

/// One that has seen `count` answers that took so long, the last of them at the time that it returns.
fn learned(took: Duration, count: u64) -> (ServiceTime, Time) {
    let service = ServiceTime::new();
    for turn in 0..count {
        service.answered(took, Fit::Fits, at(turn * 50));
    }
    (service, at((count - 1) * 50))
}

#[test]
fn little_is_not_enough() {
    let (service, now) = learned(ms(100), 19);
    assert_eq!(service.needed(now), None);
    assert_eq!(service.fits(ms(1), NO_WAIT, now), Ok(Fit::Fits));
    let (service, now) = learned(ms(100), 20);
    assert_eq!(service.needed(now), Some(ms(100)));
    assert_eq!(service.fits(ms(100), NO_WAIT, now), Ok(Fit::Fits));
}

#[test]
fn what_waits_needs_the_wait_as_well() {
    let (service, now) = learned(ms(100), 20);
    assert_eq!(service.fits(ms(130), ms(30), now), Ok(Fit::Fits));
    assert_eq!(service.fits(ms(129), ms(30), now), Ok(Fit::Probe));
    let late = TooLate { needed: ms(100), probe_in: ms(1000) };
    assert_eq!(service.fits(ms(129), ms(30), now), Err(late));
    assert_eq!(
        service.fits(ms(29), ms(30), now + ms(5000)),
        Err(TooLate { probe_in: ms(0), ..late })
    );
}

#[test]
fn a_wait_is_enough_to_be_too_long_before_anything_is_known() {
    let refused = ServiceTime::new().fits(ms(10), ms(11), at(1));
    assert_eq!(refused, Err(TooLate { needed: ms(0), probe_in: ms(0) }));
}

#[test]
fn one_in_ten_may_be_faster_than_what_is_needed() {
    for (fast, expected) in [(0, 100), (9, 100), (10, 100), (11, 1)] {
        let service = ServiceTime::new();
        for turn in 0..100 {
            let took = if turn % 100 < fast { ms(1) } else { ms(100) };
            service.answered(took, Fit::Fits, at(turn * 50));
        }
        assert_eq!(service.needed(at(5000)), Some(ms(expected)), "{fast} of 100");
    }
}

#[test]
fn a_pause_of_the_upstream_moves_nothing_however_busy_the_route() {
    let service = ServiceTime::new();
    // 1,000 a second, each of 10 ms; from 6 s to 7 s the upstream stands still.
    for millis in 0..7000 {
        let arrived = millis.max(if millis >= 6000 { 7000 } else { 0 });
        service.answered(at(arrived + 10).since(at(millis)), Fit::Fits, at(arrived + 10));
    }
    assert_eq!(service.needed(at(7010)), Some(ms(10)));
}

#[test]
fn what_is_old_is_forgotten() {
    let (service, now) = learned(ms(100), 100);
    assert_eq!(service.needed(now + ms(59_000)), Some(ms(100)));
    assert_eq!(service.needed(now + ms(61_000)), None);
    // The first sample after a long silence does not bring the old ones back.
    service.answered(ms(5), Fit::Fits, now + ms(70_000));
    assert_eq!(service.needed(now + ms(70_000)), None);
}

/// Callers who wait 300 ms, each 2 ms, before an upstream that takes so long; how many it had to work
/// for in vain, and how many were refused.
fn callers(service: &ServiceTime, took: Duration, from: u64, to: u64) -> (u32, u32) {
    let (mut in_vain, mut refused) = (0, 0);
    for millis in (from..to).step_by(2) {
        match service.fits(ms(300), NO_WAIT, at(millis)) {
            Ok(fit) if took <= ms(300) => service.answered(took, fit, at(millis) + took),
            Ok(_) => {
                in_vain += 1;
                service.unanswered(ms(300), at(millis + 300));
            }
            Err(_) => refused += 1,
        }
    }
    (in_vain, refused)
}

#[test]
fn an_upstream_slower_than_every_deadline_is_spared_and_is_found_again() {
    let service = ServiceTime::new();
    assert_eq!(callers(&service, ms(10), 0, 10_000), (0, 0));
    // No answer tells any more how slow it is. It takes nine tenths of the window to believe that.
    let (in_vain, _) = callers(&service, ms(1000), 10_000, 15_000);
    assert!(in_vain < 2_500, "{in_vain}");
    let (in_vain, refused) = callers(&service, ms(1000), 15_000, 25_000);
    assert_eq!((in_vain, refused), (10, 4_990), "one probe a second");
    // As soon as one probe is answered, all pass.
    let (_, refused) = callers(&service, ms(10), 25_000, 27_000);
    assert!(refused <= 500, "{refused}");
    assert_eq!(callers(&service, ms(10), 27_000, 30_000), (0, 0));
}

proptest! {
    /// Whatever it has seen, it is within what it has seen, and somebody passes within a second.
    #[test]
    fn it_never_locks_itself(
        seen in prop::collection::vec((0..100_000_u64, any::<bool>(), 0..2000_u64), 0..300),
        left in 0..100_000_u64,
    ) {
        let service = ServiceTime::new();
        let mut now = at(0);
        for (millis, answered, later) in &seen {
            now = now + ms(*later);
            match answered {
                true => service.answered(ms(*millis), Fit::Fits, now),
                false => service.unanswered(ms(*millis), now),
            }
        }
        let longest = seen.iter().map(|(millis, ..)| millis + millis / 8 + 1).max().unwrap_or(0);
        if let Some(needed) = service.needed(now) {
            prop_assert!(needed > Duration::ZERO && needed <= ms(longest));
        }
        let passed = (0..=1000).find(|later| service.fits(ms(left), NO_WAIT, now + ms(*later)).is_ok());
        prop_assert!(passed.is_some());
    }

    /// Whoever has all that nine of ten needed is never refused.
    #[test]
    fn who_has_enough_passes(took in prop::collection::vec(0..10_000_u64, 20..200), wait in 0..1000_u64) {
        let service = ServiceTime::new();
        for (turn, millis) in took.iter().enumerate() {
            service.answered(ms(*millis), Fit::Fits, at(turn as u64 * 50));
        }
        let now = at(took.len() as u64 * 50);
        let mut window = took[took.len().saturating_sub(100)..].to_vec();
        window.sort_unstable();
        // A microsecond is the least that is told apart.
        let needed = ms(window[window.len() / 10]).max(Duration::from_micros(1));
        prop_assert_eq!(service.needed(now), Some(needed));
        prop_assert_eq!(service.fits(ms(wait) + needed, ms(wait), now), Ok(Fit::Fits));
        let short = ms(wait) + needed - Duration::from_nanos(1);
        prop_assert_ne!(service.fits(short, ms(wait), now), Ok(Fit::Fits));
    }
}
