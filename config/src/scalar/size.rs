//! Sizes: `512B`, `64KiB`, `10MB`.

use std::fmt;

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};
use crate::ByteSize;

/// A number of bytes from `MIN` to `MAX`.
#[derive(Clone, Copy)]
pub(crate) struct Size<const MIN: u64, const MAX: u64>(pub(crate) ByteSize);

/// Units by size, with their bytes; binary before decimal, which is how they are written back.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    pub(crate) const fn kib(kib: u64) -> Self {
        Self(ByteSize(kib << 10))
    }

    pub(crate) const fn mib(mib: u64) -> Self {
        Self(ByteSize(mib << 20))
    }
}

impl<const MIN: u64, const MAX: u64> Leaf for Size<MIN, MAX> {
    const EXPECTED: &'static str = "a size such as 64KiB";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let help = format!(
            "write a size from {} to {}, such as `64KiB`",
            Self(ByteSize(MIN)),
            Self(ByteSize(MAX))
        );
        let text = text.text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(Wrong::new("is not a size", help));
        }
        let Some((_, bytes)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(unknown_unit(number, unit.trim_start(), &help));
        };
        match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*bytes)) {
            Some(bytes) if bytes < MIN => {
                Err(Wrong::new(format!("is below {}", Self(ByteSize(MIN))), help))
            }
            Some(bytes) if bytes <= MAX => Ok(Self(ByteSize(bytes))),
            _ => Err(Wrong::new(format!("is above {}", Self(ByteSize(MAX))), help)),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": format!("size, {} to {}", Self(ByteSize(MIN)), Self(ByteSize(MAX))), "type": "string", "pattern": "^[0-9]+(B|kB|KiB|MB|MiB|GB|GiB)$", "examples": ["64KiB"] })
    }
}

fn unknown_unit(number: &str, unit: &str, help: &str) -> Wrong {
    if UNITS.iter().any(|(name, _)| *name == unit) {
        return Wrong::new("has a space before its unit", help).instead(format!("{number}{unit}"));
    }
    let letter = unit.chars().next().map(|c| c.to_ascii_uppercase());
    let meant = match (letter, unit.eq_ignore_ascii_case("b")) {
        (None, _) => {
            return Wrong::new("is a size without its unit", help)
                .fix(format!("write `{number}B` or `{number}KiB`"))
                .instead(format!("{number}B"));
        }
        (_, true) => "B",
        (Some('K'), _) => "KiB",
        (Some('M'), _) => "MiB",
        (Some('G'), _) => "GiB",
        _ => return Wrong::new("is not a size", help),
    };
    Wrong::new("has a unit that is not known", help).instead(format!("{number}{meant}"))
}

impl<const MIN: u64, const MAX: u64> fmt::Display for Size<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.get();
        let whole = UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
        match whole {
            Some((name, unit)) => write!(f, "{}{name}", bytes / unit),
            None => f.write_str("0B"),
        }
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Size<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Any = Size<0, { u64::MAX }>;

    proptest::proptest! {
        #[test]
        fn a_size_is_read_as_it_was_written(number in 0..1_u64 << 20, shift in 0..40) {
            let size = ByteSize(number << shift);
            let text = Text { text: Any { 0: size }.to_string(), plain: true, written: None };
            proptest::prop_assert_eq!(Any::parse(&text).unwrap().0, size);
        }
    }
}
