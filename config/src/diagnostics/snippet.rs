//! The source line with a caret under what is meant.

use std::{fmt, sync::LazyLock};

use regex::Regex;

use super::Printable;
use crate::source::Place;

/// Characters shown of a line; a longer one is cut around the caret.
const WIDTH_MAX: usize = 120;
/// Characters kept before the caret of a line that is cut.
const LEAD: usize = 40;

pub(super) fn write(place: &Place, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let line = masked(&place.text);
    if line.trim().is_empty() {
        return Ok(());
    }
    let skipped = match place.text.chars().count() {
        0..=WIDTH_MAX => 0,
        _ => (place.column - 1).saturating_sub(LEAD),
    };
    let shown: String = line.chars().skip(skipped).take(WIDTH_MAX).collect();
    let indent = place.column - 1 - skipped;
    let width = place.width.min(WIDTH_MAX - indent.min(WIDTH_MAX - 1));
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    writeln!(f, "{gutter} |")?;
    writeln!(f, "{number} | {}", Printable(shown.trim_end()))?;
    writeln!(f, "{gutter} | {}{}", " ".repeat(indent), "^".repeat(width))
}

/// The line with `*` for what looks like a credential written out, so that an error about a
/// literal token, or about its neighbour, does not carry it into a log. A variable stays.
fn masked(line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(found) = CREDENTIAL.captures(rest).and_then(|found| found.name("value")) {
        masked.push_str(&rest[..found.start()]);
        match VARIABLE.is_match(found.as_str()) {
            true => masked.push_str(found.as_str()),
            false => masked.extend(found.as_str().chars().map(|_| '*')),
        }
        rest = &rest[found.end()..];
    }
    masked + rest
}

static CREDENTIAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)(tok|secret|passw|credential)[a-z_-]*["']?\s*:\s*(?<value>"[^"]*"?|'[^']*'?|\$\{[^}]*\}|[^\s,}][^,}]*)"#,
    )
});
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^"?'?\$\{\w+(:\?[^}]*)?\}"?'?$"#));

#[expect(
    clippy::unwrap_used,
    reason = "the two patterns are constants, built by every test that prints"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}
