//! How long each piece of work takes, from a seed.
//!
//! Service times in the field are skewed: most requests are quick, a few take several times as
//! long. A log-normal has that shape. Each draw is made from the seed, the kind of work and its
//! running number, never from one shared stream: so the n-th report takes equally long in every
//! run, whatever the other routes did meanwhile.

use std::{
    collections::BTreeMap,
    f64::consts::TAU,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// The seeded source of service times and error coins; clones share their running numbers.
#[derive(Clone, Debug)]
pub(crate) struct ServiceTimes {
    seed: u64,
    drawn: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl ServiceTimes {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, drawn: Arc::default() }
    }

    /// The next time for this kind of work: log-normal around `median`, from an eighth of it to
    /// eight times as much.
    pub(crate) fn next(&self, work: &'static str, median: Duration) -> Duration {
        let mut draw = self.draw(work);
        // Box and Muller's transform; 1 - u keeps the logarithm's argument above zero.
        let radius = (-2.0 * (1.0 - draw.random::<f64>()).ln()).sqrt();
        let normal = radius * (TAU * draw.random::<f64>()).cos();
        median.mul_f64((SIGMA * normal).exp().clamp(0.125, 8.0))
    }

    /// The next coin for this kind of work: true with probability `ratio`.
    pub(crate) fn coin(&self, work: &'static str, ratio: f64) -> bool {
        ratio > 0.0 && self.draw(work).random::<f64>() < ratio
    }

    fn draw(&self, work: &'static str) -> Xoshiro256PlusPlus {
        let mut hasher = DefaultHasher::new();
        (self.seed, work, self.number(work)).hash(&mut hasher);
        Xoshiro256PlusPlus::seed_from_u64(hasher.finish())
    }

    fn number(&self, work: &'static str) -> u64 {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let number = drawn.entry(work).or_default();
        *number += 1;
        *number
    }
}

/// Spread of the logarithm: the 99th percentile stands at 3.2 times the median.
const SIGMA: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIAN: Duration = Duration::from_millis(10);

    fn times(seed: u64) -> Vec<Duration> {
        let times = ServiceTimes::new(seed);
        (0..2_001).map(|_| times.next("report", MEDIAN)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_times_whatever_else_is_drawn() {
        let mixed = ServiceTimes::new(7);
        let drawn: Vec<_> = (0..2_001)
            .map(|_| {
                mixed.next("ocr", MEDIAN);
                mixed.next("report", MEDIAN)
            })
            .collect();
        assert_eq!(drawn, times(7));
        assert_ne!(drawn, times(8));
    }

    #[test]
    fn times_are_skewed_around_their_median() {
        let mut sorted = times(1);
        sorted.sort_unstable();
        let (median, p99) = (sorted[1_000], sorted[1_980]);
        assert!(median.abs_diff(MEDIAN) < Duration::from_micros(500), "median {median:?}");
        assert!(p99 > 2 * MEDIAN && p99 < 5 * MEDIAN, "99th percentile {p99:?}");
        assert!(sorted[0] >= MEDIAN / 8 && sorted[2_000] <= 8 * MEDIAN);
    }

    #[test]
    fn a_coin_falls_as_often_as_its_ratio_says() {
        let times = ServiceTimes::new(3);
        let heads = (0..10_000).filter(|_| times.coin("epro", 0.3)).count();
        assert!((2_800..3_200).contains(&heads), "{heads} of 10000");
        assert!(!times.coin("epro", 0.0) && times.coin("epro", 1.0));
    }
}
