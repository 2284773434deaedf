//! `grpc-timeout`: `1S`, `250m` (gRPC over HTTP/2, section Requests).

use std::time::Duration;

use http::HeaderValue;

/// At most so many digits.
const DIGITS_MAX: usize = 8;

/// Units by size, with their nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("S", 1_000_000_000),
    ("M", 60_000_000_000),
    ("H", 3_600_000_000_000),
];

/// One to eight digits and a unit. Zero, which the protocol rules out and some clients send, is a time
/// that is over.
pub(super) fn read(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty()
        || digits.len() > DIGITS_MAX
        || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
    // Eight digits of hours are 3.6e20 ns, more than 64 bits hold, and longer than any total.
    Some(Duration::from_nanos(digits.parse::<u64>().ok()?.saturating_mul(*nanos)))
}

/// In the finest unit that has room for it, rounded down, and never nothing at all.
pub(super) fn written(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos().max(1);
    let fits = |unit: u64| nanos / u128::from(unit) < 10_u128.pow(DIGITS_MAX as u32);
    let found = UNITS.iter().find(|(_, unit)| fits(*unit));
    let text = match found {
        Some((name, unit)) => format!("{}{name}", nanos / u128::from(*unit)),
        None => "99999999H".to_owned(),
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("1n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_read_as_the_protocol_writes_it() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("2H", Some(Duration::from_secs(7200))),
            ("3M", Some(Duration::from_secs(180))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_nanos(u64::MAX))),
            ("100000000n", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1 S", None),
            ("1s", None),
            ("1", None),
            ("1é", None),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    proptest! {
        /// What is written is read, is never longer than what is left, and hardly shorter.
        #[test]
        fn what_is_written_is_read(nanos in prop_oneof![1..1_000_000_000_u64, 1..=u64::MAX]) {
            let left = Duration::from_nanos(nanos);
            let text = written(left);
            let again = read(text.to_str().unwrap()).unwrap();
            prop_assert!(again > Duration::ZERO && again <= left, "{text:?}");
            // Seven digits at least are left of a number that had to be shortened; of minutes, hours
            // are the next unit, a sixtieth of which is one digit and more.
            prop_assert!(left - again <= left / 100_000, "{text:?} of {left:?}");
        }
    }
}
