//! Whole numbers.

use std::num::{NonZeroU32, NonZeroUsize};

use schemars::{Schema, json_schema};
use serde::Serialize;

use super::{Leaf, Text, Wrong, decimal::plain};

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Count<const MIN: u32, const MAX: u32>(pub(crate) u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    /// `None` for zero, which a `MIN` above zero rules out.
    pub(crate) fn nonzero(self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.0)
    }

    /// `None` for zero, which a `MIN` above zero rules out.
    pub(crate) fn nonzero_usize(self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(usize::try_from(self.0).ok()?)
    }
}

impl<const MIN: u32, const MAX: u32> Leaf for Count<MIN, MAX> {
    const EXPECTED: &'static str = "a whole number";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let help = || format!("write a whole number from {MIN} to {MAX}");
        let text = text.bare()?;
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let wrong = Wrong::new("is not a whole number", help());
            let meant = plain(text).and_then(|number| number.to_string().parse::<u32>().ok());
            return Err(match meant.filter(|number| (MIN..=MAX).contains(number)) {
                Some(number) => wrong.instead(number.to_string()),
                None => wrong,
            });
        }
        // More digits than an i64 holds are above every MAX.
        match text.parse::<i64>().unwrap_or(i64::MAX) {
            number if number < i64::from(MIN) => Err(Wrong::new(format!("is below {MIN}"), help())),
            number => match u32::try_from(number) {
                Ok(number) if number <= MAX => Ok(Self(number)),
                _ => Err(Wrong::new(format!("is above {MAX}"), help())),
            },
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": format!("whole number, {MIN} to {MAX}"), "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}
