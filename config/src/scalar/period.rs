//! Durations: `250ms`, `5s`, `1m30s`, `1h`.

use std::{fmt, time::Duration};

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};

/// A duration up to 24 hours, in whole milliseconds; zero only when `ZERO`.
#[derive(Clone, Copy)]
pub(crate) struct Time<const ZERO: bool>(pub(crate) Duration);

/// A duration above zero.
pub(crate) type Period = Time<false>;

/// A duration that may be zero.
pub(crate) type Delay = Time<true>;

/// Longer than any request should take, and far from where sums of durations overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const HELP: &str = "write a duration up to 24h, such as `5s`, `250ms` or `1m30s`";
const SPAN_HELP: &str = "write how long it may take, from `1ms` to `24h`";

/// Units by size, with their milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl<const ZERO: bool> Time<ZERO> {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// `seconds`, which are not negative and not many, in whole milliseconds.
    fn rounded(seconds: f64) -> Self {
        Self(Duration::from_secs_f64((seconds * 1e3).round() / 1e3))
    }
}

impl<const ZERO: bool> Leaf for Time<ZERO> {
    const EXPECTED: &'static str = "a duration such as 5s";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let text = text.text.trim();
        match parse(text) {
            None => Err(slip(text, ZERO)),
            Some(duration) if duration > LONGEST => Err(Wrong::new("is longer than 24h", HELP)),
            Some(Duration::ZERO) if !ZERO => Err(at_once()),
            Some(duration) => Ok(Self(duration)),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": if ZERO { "duration, 0s to 24h" } else { "duration, above 0s to 24h" }, "type": "string", "pattern": "^([0-9]+(h|ms|m|s))+$", "examples": ["5s", "250ms", "1m30s"] })
    }
}

/// What is wrong with text that is no duration, such as `5`, `1.5s`, `5 seconds` or `unlimited`.
fn slip(text: &str, zero: bool) -> Wrong {
    let wrong = Wrong::new("is not a duration", HELP);
    if matches!(text, "-1" | "none" | "off" | "false" | "never" | "infinite" | "unlimited") {
        return Wrong::new("has no end, and each time here has one", SPAN_HELP);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim().to_lowercase());
    let (Ok(amount), Some(unit_seconds)) = (number.parse::<f64>(), seconds_in(&unit)) else {
        return wrong;
    };
    let seconds = amount * unit_seconds;
    if amount == 0.0 && !zero {
        at_once()
    } else if seconds > LONGEST.as_secs_f64() {
        Wrong::new("is longer than 24h", HELP)
    } else if seconds < 0.001 && !zero {
        wrong
    } else if unit.is_empty() {
        let meant = Delay::rounded(seconds).to_string();
        let wrong = Wrong::new("is a duration without its unit", HELP);
        match amount == 0.0 || number.contains('.') {
            true => wrong.instead(meant),
            false => wrong.fix(format!("write `{meant}` or `{number}ms`")).instead(meant),
        }
    } else {
        wrong.instead(Delay::rounded(seconds).to_string())
    }
}

/// The unit that another spelling of it means.
fn seconds_in(unit: &str) -> Option<f64> {
    match unit {
        "us" | "usec" | "\u{b5}s" => Some(1e-6),
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => Some(1e-3),
        "" | "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3600.0),
        "d" | "day" | "days" => Some(86400.0),
        _ => None,
    }
}

fn at_once() -> Wrong {
    Wrong::new("would be over at once; zero does not mean unlimited", SPAN_HELP)
}

/// Numbers with units, each unit at most once and the larger first.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let word = &rest[..rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())];
        let (_, unit) = units.find(|(name, _)| *name == word)?;
        millis = millis.checked_add(number.checked_mul(*unit)?)?;
        rest = &rest[word.len()..];
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

impl<const ZERO: bool> fmt::Display for Time<ZERO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (name, unit) in UNITS {
            let unit = u128::from(unit);
            if millis >= unit {
                write!(f, "{}{name}", millis / unit)?;
                millis %= unit;
            }
        }
        Ok(())
    }
}

impl<const ZERO: bool> Serialize for Time<ZERO> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<u64>) {
        assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn durations_as_people_write_them() {
        check("5s", Some(5_000));
        check("250ms", Some(250));
        check("1m30s", Some(90_000));
        check("1h", Some(3_600_000));
        check("1h2m3s4ms", Some(3_723_004));
        check("0s", Some(0));
        for text in [
            "",
            "s",
            "5",
            "5S",
            "1.5s",
            "-1s",
            "1s1m",
            "1s1s",
            "5 s",
            "99999999999999999999s",
            "9999999999999999h",
        ] {
            check(text, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_duration_is_read_as_it_was_written(millis in 0..=86_400_000_u64) {
            proptest::prop_assert_eq!(parse(&Time::<true>(Duration::from_millis(millis)).to_string()), Some(Duration::from_millis(millis)));
        }
    }
}
