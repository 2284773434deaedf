//! How long an endpoint's answers take: a moving average that takes the peaks at once.
//!
//! After Finagle's `PeakEwma`. An answer slower than the average becomes the average; a faster one pulls
//! it down by as much as time has passed since the last. So an endpoint that slows is avoided with its
//! first slow answer, and believed again step by step. While nothing is heard the average decays towards
//! zero, so that one that is avoided is asked again some time.
//!
//! Average and time are one word, so that no thread ever sees one of them without the other.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::Time;

/// After so long without an answer, what is known counts for 1/e. Finagle's default.
const DECAY: Duration = Duration::from_secs(10);
/// A failure is taken for an answer that took at least so long: one that fails at once is not fast.
const FAILURE: Duration = Duration::from_secs(1);
/// What is held against one that has been asked and of which nothing is known: whoever comes next asks
/// another, until it has answered once.
const UNHEARD: f64 = 1e6;
/// A tick is 2^16 ns, 66 us. So 32 bits of them last 78 hours, and what seems to lie in the second half
/// of that was told a moment ahead, by a thread that read the clock later. An endpoint that was silent for
/// so long is believed again until it answers.
const TICK_BITS: u32 = 16;

/// The average of one endpoint.
#[derive(Debug, Default)]
pub(super) struct PeakEwma(AtomicU64);

impl PeakEwma {
    /// An answer took so long.
    pub(super) fn heard(&self, took: Duration, now: Time) {
        let took = took.as_secs_f64();
        let next = |word: u64| {
            let Some((average, weight)) = known(word, now) else { return Some(pack(took, now)) };
            let pulled = average * weight + took * (1.0 - weight);
            Some(pack(if took > average { took } else { pulled }, now))
        };
        // Always `Ok`: `next` always has a next one.
        let _heard = self.0.fetch_update(Relaxed, Relaxed, next);
    }

    /// It failed after so long.
    pub(super) fn failed(&self, took: Duration, now: Time) {
        self.heard(took.max(FAILURE), now);
    }

    /// The average at `now`, in seconds; `None` before the first answer.
    pub(super) fn seconds(&self, now: Time) -> Option<f64> {
        known(self.0.load(Relaxed), now).map(|(average, weight)| average * weight)
    }

    /// What is held against an endpoint that has so many requests in flight.
    pub(super) fn load(&self, in_flight: u32, now: Time) -> f64 {
        match self.seconds(now) {
            Some(average) => average * (f64::from(in_flight) + 1.0),
            None if in_flight == 0 => 0.0,
            None => UNHEARD + f64::from(in_flight),
        }
    }
}

/// The average when it was last told, and what it counts for now.
fn known(word: u64, now: Time) -> Option<(f64, f64)> {
    let age = ticks(now).wrapping_sub(word as u32).cast_signed().max(0);
    let seconds = f64::from(age) * (1_u64 << TICK_BITS) as f64 / 1e9;
    let average = f64::from(f32::from_bits((word >> 32) as u32));
    (word != 0).then(|| (average, (-seconds / DECAY.as_secs_f64()).exp()))
}

fn pack(average: f64, now: Time) -> u64 {
    // Above zero, so that a word that knows something is never 0.
    let average = (average as f32).max(f32::MIN_POSITIVE);
    (u64::from(average.to_bits()) << 32) | u64::from(ticks(now))
}

fn ticks(now: Time) -> u32 {
    (now.as_nanos() >> TICK_BITS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::default() + Duration::from_millis(millis)
    }

    #[test]
    fn a_peak_is_taken_at_once_and_forgotten_slowly() {
        let ewma = PeakEwma::default();
        assert_eq!(ewma.seconds(at(0)), None);
        ewma.heard(Duration::from_millis(10), at(0));
        ewma.heard(Duration::from_millis(100), at(10));
        let peak = ewma.seconds(at(10)).unwrap();
        assert!((peak - 0.1).abs() < 1e-6, "{peak}");
        let mut last = peak;
        for millis in 11..20_000 {
            ewma.heard(Duration::from_millis(10), at(millis));
            let average = ewma.seconds(at(millis)).unwrap();
            assert!(average <= last && average > 0.0099, "{average} after {last}");
            last = average;
        }
        assert!(last < 0.025, "{last}");
        assert!(ewma.seconds(at(120_000)).unwrap() < 1e-5, "nothing was heard of it for long");
    }

    #[test]
    fn what_is_in_flight_counts_and_what_fails_is_slow() {
        let ewma = PeakEwma::default();
        assert_eq!(ewma.load(0, at(0)), 0.0, "one that was never asked is asked");
        assert!(ewma.load(1, at(0)) > 1e5, "once");
        ewma.heard(Duration::from_millis(20), at(0));
        assert!((ewma.load(3, at(0)) - 0.08).abs() < 1e-6);
        ewma.failed(Duration::from_millis(1), at(0));
        assert!((ewma.load(0, at(0)) - 1.0).abs() < 1e-6);
        ewma.failed(Duration::from_secs(5), at(0));
        assert!((ewma.load(0, at(0)) - 5.0).abs() < 1e-6);
    }
}
