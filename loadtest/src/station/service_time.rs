//! How long a request is served.

use std::{f64::consts::TAU, str::FromStr, time::Duration};

use rand::{Rng, RngExt};

use crate::units::duration;

/// A distribution of service times, named by its mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceTime {
    mean: Duration,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Fixed,
    Exponential,
    /// With this spread of the logarithm.
    Lognormal(f64),
    /// With this tail index.
    Pareto(f64),
}

impl ServiceTime {
    /// The mean of it, which is all that capacity needs.
    #[must_use]
    pub fn mean(&self) -> Duration {
        self.mean
    }

    /// One service time.
    pub fn draw(&self, random: &mut impl Rng) -> Duration {
        // 1 - u keeps logarithms and divisors above zero.
        let mut uniform = || 1.0 - random.random::<f64>();
        let of_mean = match self.shape {
            Shape::Fixed => 1.0,
            Shape::Exponential => -uniform().ln(),
            Shape::Lognormal(spread) => {
                // Box and Muller's transform, around the median that has this mean.
                let normal = (-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos();
                (spread * normal - spread * spread / 2.0).exp()
            }
            Shape::Pareto(index) => (index - 1.0) / index * uniform().powf(-1.0 / index),
        };
        self.mean.mul_f64(of_mean.min(OF_MEAN_MAX))
    }
}

/// A request that takes longer than so many means would outlast any run.
const OF_MEAN_MAX: f64 = 1e4;

impl FromStr for ServiceTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let kind = parts.next().unwrap_or_default();
        let mean = duration(parts.next().unwrap_or_default())?;
        let number = parts.next().and_then(|number| number.parse::<f64>().ok());
        let shape = match (kind, number, parts.next()) {
            ("fixed", None, None) => Some(Shape::Fixed),
            ("exponential", None, None) => Some(Shape::Exponential),
            ("lognormal", Some(spread), None) if (0.0..=3.0).contains(&spread) => {
                Some(Shape::Lognormal(spread))
            }
            // At one and below there is no mean, and so no capacity.
            ("pareto", Some(index), None) if index > 1.0 && index <= 100.0 => {
                Some(Shape::Pareto(index))
            }
            _ => None,
        };
        let shape = shape.ok_or_else(|| {
            format!(
                "`{text}` is no service time; write fixed:10ms, exponential:10ms, lognormal:10ms:1 (mean, \
                 spread of the logarithm up to 3) or pareto:10ms:2.2 (mean, tail index above 1)"
            )
        })?;
        Ok(Self { mean, shape })
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

    use super::*;

    fn drawn(text: &str, seed: u64) -> Vec<f64> {
        let time: ServiceTime = text.parse().unwrap();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut drawn: Vec<_> =
            (0..200_000).map(|_| time.draw(&mut random).as_secs_f64() * 1e3).collect();
        drawn.sort_unstable_by(f64::total_cmp);
        drawn
    }

    #[test]
    fn each_distribution_has_the_mean_that_it_names_and_the_tail_that_it_should() {
        // The 99th percentile in units of the mean: ln 100; exp(2.326 s - s^2/2); 100^(1/a) (a-1)/a.
        for (text, p99) in [
            ("fixed:10ms", 10.0),
            ("exponential:10ms", 46.05),
            ("lognormal:10ms:1", 62.10),
            ("pareto:10ms:3", 30.94),
        ] {
            let drawn = drawn(text, 1);
            let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
            assert!((mean - 10.0).abs() < 0.15, "{text}: mean {mean}");
            let at = drawn[drawn.len() * 99 / 100];
            assert!((at / p99 - 1.0).abs() < 0.04, "{text}: 99th percentile {at}");
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(drawn("exponential:10ms", 7), drawn("exponential:10ms", 7));
        assert_ne!(drawn("exponential:10ms", 7), drawn("exponential:10ms", 8));
    }

    #[test]
    fn what_has_no_mean_is_no_service_time() {
        for text in [
            "",
            "fixed",
            "fixed:10",
            "fixed:10ms:1",
            "exponential:",
            "lognormal:10ms",
            "lognormal:10ms:4",
            "pareto:10ms:1",
            "pareto:10ms:NaN",
            "pareto:10ms:2:2",
            "erlang:10ms:2",
        ] {
            assert!(text.parse::<ServiceTime>().is_err(), "{text}");
        }
    }
}
