//! When requests arrive.
//!
//! Both processes are one: arrivals of rate one, evenly or exponentially apart, in a time that runs as
//! fast as the stage's rate says (the time change of a Poisson process). So a stage of any length or
//! rate, zero too, begins and ends where it should, and no arrival is lost or doubled at a border.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::stage::Stage;

/// How far arrivals are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// Evenly; streams take turns.
    Constant,
    /// As independent callers come: exponentially, and each arrival belongs to a stream drawn for it.
    Poisson,
}

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, since the run began.
    pub at: Duration,
    /// In which stage.
    pub stage: usize,
    /// Of which stream.
    pub stream: usize,
}

/// The arrivals of a run, in order; the same for the same seed.
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    stages: &'a [Stage],
    streams: usize,
    spacing: Spacing,
    random: Xoshiro256PlusPlus,
    made: usize,
    /// The next arrival, in the time of rate one.
    due: f64,
    stage: usize,
    /// Where the stage begins, in the time of rate one and in seconds.
    begins: (f64, f64),
}

impl<'a> Arrivals<'a> {
    /// Arrivals for these stages, shared equally by so many streams; none is taken as one.
    #[must_use]
    pub fn new(stages: &'a [Stage], streams: usize, spacing: Spacing, seed: u64) -> Self {
        let mut arrivals = Self {
            stages,
            streams: streams.max(1),
            spacing,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            made: 0,
            due: 0.0,
            stage: 0,
            begins: (0.0, 0.0),
        };
        // Half a step in, a stage of whole arrivals holds all of them, however its end is rounded.
        arrivals.due = match spacing {
            Spacing::Constant => 0.5,
            Spacing::Poisson => arrivals.gap(),
        };
        arrivals
    }

    fn gap(&mut self) -> f64 {
        match self.spacing {
            Spacing::Constant => 1.0,
            // 1 - u keeps the logarithm's argument above zero.
            Spacing::Poisson => -(1.0 - self.random.random::<f64>()).ln(),
        }
    }

    fn stream(&mut self) -> usize {
        match self.spacing {
            Spacing::Constant => self.made % self.streams,
            Spacing::Poisson => self.random.random_range(0..self.streams),
        }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let mut stage = self.stages.get(self.stage)?;
        while self.due >= self.begins.0 + stage.expected() {
            self.begins.0 += stage.expected();
            self.begins.1 += stage.lasts.as_secs_f64();
            self.stage += 1;
            stage = self.stages.get(self.stage)?;
        }
        let into = (self.due - self.begins.0) / stage.rate.as_f64();
        let at = Duration::from_secs_f64(self.begins.1 + into);
        let arrival = Arrival { at, stage: self.stage, stream: self.stream() };
        self.made += 1;
        self.due += self.gap();
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::Rate;

    fn stage(rate: f64, lasts_ms: u64) -> Stage {
        Stage {
            name: "a".into(),
            rate: Rate::per_second(rate).unwrap(),
            lasts: Duration::from_millis(lasts_ms),
        }
    }

    fn stages() -> impl Strategy<Value = Vec<Stage>> {
        let one = (0_u32..2_000, 1_u64..2_000).prop_map(|(rate, ms)| stage(rate.into(), ms));
        prop::collection::vec(one, 1..5)
    }

    fn spacing() -> impl Strategy<Value = Spacing> {
        prop_oneof![Just(Spacing::Constant), Just(Spacing::Poisson)]
    }

    proptest! {
        #[test]
        fn each_arrival_is_in_its_stage_and_none_before_the_one_before(
            stages in stages(), spacing in spacing(), streams in 1_usize..4, seed: u64,
        ) {
            let mut before = Duration::ZERO;
            for arrival in Arrivals::new(&stages, streams, spacing, seed) {
                prop_assert!(arrival.at >= before && arrival.stream < streams);
                before = arrival.at;
                let begins: Duration = stages[..arrival.stage].iter().map(|stage| stage.lasts).sum();
                let slack = Duration::from_nanos(10);
                prop_assert!(arrival.at + slack >= begins);
                prop_assert!(arrival.at <= begins + stages[arrival.stage].lasts + slack);
            }
        }

        #[test]
        fn even_arrivals_are_as_many_as_the_stages_hold(stages in stages()) {
            let expected: f64 = stages.iter().map(Stage::expected).sum();
            let made = Arrivals::new(&stages, 1, Spacing::Constant, 0).count() as f64;
            prop_assert!((made - expected).abs() <= 0.5 + 1e-6, "{} of {}", made, expected);
        }

        #[test]
        fn poisson_arrivals_are_as_many_as_chance_allows(seed: u64, rate in 1_u32..5_000) {
            let stages = [stage(0.0, 500), stage(rate.into(), 2_000)];
            let expected = 2.0 * f64::from(rate);
            let made = Arrivals::new(&stages, 1, Spacing::Poisson, seed).count() as f64;
            // Six standard deviations, and some for the skew of small counts.
            prop_assert!((made - expected).abs() <= 6.0 * expected.sqrt() + 6.0, "{} of {}", made, expected);
        }
    }

    #[test]
    fn whole_stages_hold_exactly_their_arrivals() {
        let stages = [stage(400.0, 1_000), stage(0.0, 300), stage(800.0, 500)];
        let made: Vec<_> = Arrivals::new(&stages, 2, Spacing::Constant, 0).collect();
        let of = |stage| made.iter().filter(|arrival| arrival.stage == stage).count();
        assert_eq!((of(0), of(1), of(2)), (400, 0, 400));
        assert_eq!(made.iter().filter(|arrival| arrival.stream == 0).count(), 400);
        assert_eq!(made[0].at, Duration::from_micros(1_250));
        assert_eq!(made[1].at - made[0].at, Duration::from_micros(2_500));
    }

    #[test]
    fn gaps_of_poisson_arrivals_are_exponential() {
        let stages = [stage(1_000.0, 60_000)];
        let times: Vec<_> =
            Arrivals::new(&stages, 1, Spacing::Poisson, 1).map(|a| a.at.as_secs_f64()).collect();
        let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (quantile, share) in [(0.000_5, 0.393_5), (0.001, 0.632_1), (0.003, 0.950_2)] {
            let below =
                gaps.iter().filter(|gap| **gap <= quantile).count() as f64 / gaps.len() as f64;
            assert!((below - share).abs() < 0.01, "{below} of the gaps are within {quantile} s");
        }
    }
}
