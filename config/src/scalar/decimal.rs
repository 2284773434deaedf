//! Numbers with a fraction.

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};

/// A number from `MIN` to `MAX`, both in millionths, since a const parameter cannot be a fraction.
#[derive(Clone, Copy)]
pub(crate) struct Decimal<const MIN: u64, const MAX: u64>(pub(crate) f64);

#[expect(clippy::cast_precision_loss, reason = "bounds are below 2^53")]
const fn millionths(bound: u64) -> f64 {
    bound as f64 / 1e6
}

impl<const MIN: u64, const MAX: u64> Leaf for Decimal<MIN, MAX> {
    const EXPECTED: &'static str = "a number";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let (min, max) = (millionths(MIN), millionths(MAX));
        let help = || format!("write a number from {min} to {max}");
        let text = text.bare()?;
        let numeric = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
        match text.parse::<f64>() {
            Ok(number) if numeric && number < min => {
                Err(Wrong::new(format!("is below {min}"), help()))
            }
            Ok(number) if numeric && number > max => {
                Err(Wrong::new(format!("is above {max}"), help()))
            }
            Ok(number) if numeric => Ok(Self(number)),
            _ => {
                let meant = plain(text).filter(|number| (min..=max).contains(number));
                Err(match meant.map(|number| number.to_string()) {
                    Some(number) => Wrong::new("is not a plain number", help()).instead(number),
                    None => Wrong::new("is not a number", help()),
                })
            }
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": format!("number, {} to {}", millionths(MIN), millionths(MAX)), "type": "number", "minimum": millionths(MIN), "maximum": millionths(MAX) })
    }
}

/// The number in `1_000`, `1k`, `100/s` and `100 req/s`.
pub(super) fn plain(text: &str) -> Option<f64> {
    let text = text.replace('_', "").to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse::<f64>().ok()?;
    match text[end..].trim_start() {
        "" | "/s" | "/sec" | "/second" | "r/s" | "req/s" | "rps" | "qps" => Some(number),
        "k" => Some(number * 1e3),
        _ => None,
    }
}

/// `100`, not `100.0`.
impl<const MIN: u64, const MAX: u64> Serialize for Decimal<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and within MAX"
        )]
        match self.0.fract() == 0.0 {
            true => serializer.serialize_u64(self.0 as u64),
            false => serializer.serialize_f64(self.0),
        }
    }
}
