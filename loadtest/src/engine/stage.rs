//! A run is a sequence of stages, each with one rate.

use std::{str::FromStr, time::Duration};

use crate::units::{Rate, duration};

/// A part of a run in which requests arrive at one rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// What its results are called.
    pub name: String,
    /// How many requests arrive in a second.
    pub rate: Rate,
    /// For how long.
    pub lasts: Duration,
}

impl Stage {
    /// How many requests arrive in it on average.
    #[must_use]
    pub fn expected(&self) -> f64 {
        self.rate.as_f64() * self.lasts.as_secs_f64()
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('=')
            .and_then(|(name, rest)| Some((name, rest.split_once(',')?)))
            .filter(|(name, _)| !name.is_empty());
        let Some((name, (rate, lasts))) = parts else {
            return Err(format!(
                "`{text}` is no stage; write its name, rate and length like warm=400/s,2s"
            ));
        };
        Ok(Self { name: name.to_owned(), rate: rate.parse()?, lasts: duration(lasts)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_a_name_a_rate_and_a_length() {
        let stage: Stage = "warm=400/s,2s".parse().unwrap();
        assert_eq!((stage.name.as_str(), stage.expected()), ("warm", 800.0));
        for text in ["", "warm", "warm=400/s", "=400/s,2s", "warm=400,2s", "warm=400/s,2"] {
            assert!(text.parse::<Stage>().is_err(), "{text}");
        }
    }
}
