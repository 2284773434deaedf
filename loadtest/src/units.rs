//! Values as they are typed: `400/s`, `250ms`.

use std::{fmt, str::FromStr, time::Duration};

/// Requests a second, from nothing to a million.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// No machine that this runs on offers more.
    pub const MAX: Self = Self(1_000_000.0);

    /// So many a second; `None` for what is no rate or above [`Rate::MAX`].
    #[must_use]
    pub fn per_second(count: f64) -> Option<Self> {
        (0.0..=Self::MAX.0).contains(&count).then_some(Self(count))
    }

    /// How many a second.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.strip_suffix("/s").and_then(|count| count.parse().ok());
        count.and_then(Self::per_second).ok_or_else(|| {
            format!(
                "`{text}` is no rate; write requests a second like 400/s, at most {}",
                Self::MAX
            )
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/s", self.0)
    }
}

/// A length of time up to a day, as it is typed: `90s`, `2.5ms`, `250us`.
///
/// # Errors
///
/// A sentence that says how one is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = UNITS.iter().find_map(|(unit, seconds)| {
        let count: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(count * seconds)
    });
    match seconds {
        Some(seconds) if (0.0..=DAY_S).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("`{text}` is no time; write one like 250ms or 10s, at most a day")),
    }
}

/// The longest suffix first: `ms` ends in `s`.
const UNITS: &[(&str, f64)] = &[("ms", 1e-3), ("us", 1e-6), ("s", 1.0)];

const DAY_S: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, micros) in
            [("250ms", 250_000), ("10s", 10_000_000), ("2.5ms", 2_500), ("7us", 7), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "NaNs", "infs", "90000s", "1 m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_read_with_their_unit() {
        assert_eq!("400/s".parse(), Ok(Rate(400.0)));
        assert_eq!("0/s".parse(), Ok(Rate(0.0)));
        for text in ["400", "/s", "-1/s", "NaN/s", "inf/s", "1000001/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
