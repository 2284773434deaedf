//! `50%`: a share, written with its sign so that `0.5` cannot be taken for half a percent.

use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};
use crate::Ratio;

/// A share up to 100%, and above 0% unless `ZERO` has a meaning.
#[derive(Clone, Copy)]
pub(crate) struct Percent<const ZERO: bool = false>(pub(crate) Ratio);

const HELP: &str = "write a ratio between 0% and 100%";

impl<const ZERO: bool> Leaf for Percent<ZERO> {
    const EXPECTED: &'static str = "a ratio such as 50%";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let text = text.text.trim();
        let Some(number) = text.strip_suffix('%').map(str::trim_end) else {
            return Err(unmarked(text));
        };
        let decimal =
            number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
        // The exponent divides exactly; `33.3 / 100.0` would not read back as it was written.
        match format!("{number}e-2").parse::<f64>() {
            Ok(share) if decimal && share > 1.0 => Err(Wrong::new("is above 100%", HELP)),
            Ok(share) if decimal && share < 0.0 => Err(Wrong::new("is below 0%", HELP)),
            Ok(0.0) if decimal && !ZERO => {
                Err(Wrong::new("would be passed by no failure at all", "write a ratio above 0%"))
            }
            Ok(share) if decimal => {
                Ratio::new(share).map(Self).ok_or_else(|| Wrong::new("is not a ratio", HELP))
            }
            _ => Err(Wrong::new("is not a ratio", HELP)),
        }
    }

    fn describe() -> Schema {
        let title = if ZERO { "ratio, 0% to 100%" } else { "ratio, above 0% to 100%" };
        json_schema!({ "title": title, "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$", "examples": ["50%"] })
    }
}

/// A number without the sign: the share that was probably meant is shown.
fn unmarked(text: &str) -> Wrong {
    let wrong =
        Wrong::new("is a ratio without its %", "write a ratio between 0% and 100%, such as `50%`");
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => wrong.instead(format!("{}%", shifted(share))),
        Ok(percent) if (1.0..=100.0).contains(&percent) => wrong.instead(format!("{percent}%")),
        Ok(_) => wrong,
        Err(_) => Wrong::new("is not a ratio", HELP),
    }
}

/// A share times 100 in decimal digits, without the rounding that a multiplication would add.
fn shifted(share: f64) -> String {
    let digits = share.to_string();
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let fraction = format!("{fraction:0<2}");
    let (hundredths, rest) = fraction.split_at(2);
    let whole = format!("{whole}{hundredths}");
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    match rest {
        "" => whole.to_owned(),
        rest => format!("{whole}.{rest}"),
    }
}

impl<const ZERO: bool> Serialize for Percent<ZERO> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}%", shifted(self.0.get())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_ratio_is_read_as_it_was_written(share in 1e-9..=1.0f64) {
            let text = Text { text: format!("{}%", shifted(share)), plain: true, written: None };
            proptest::prop_assert_eq!(Percent::<false>::parse(&text).unwrap().0.get(), share);
        }
    }
}
