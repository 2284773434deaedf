//! The source line with a caret under what is meant.

use std::{fmt, sync::LazyLock};

use regex::Regex;

use super::Printable;
use crate::source::{Place, Source};

/// Characters shown of a line; a longer one is cut around the caret.
const WIDTH_MAX: usize = 120;
/// Characters kept before the caret of a line that is cut.
const LEAD: usize = 40;

/// The part of a line that is shown, credentials already masked.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Snippet {
    text: String,
    indent: usize,
    width: usize,
    line: usize,
}

impl Snippet {
    pub(super) fn new(place: &Place, source: &Source<'_>) -> Self {
        let text = source.line_text(place.line);
        let masked = match (1..place.line)
            .rev()
            .map(|line| source.line_text(line))
            .find(|line| !line.trim().is_empty())
        {
            Some(before) if CONTINUED.is_match(before) => "*".repeat(text.chars().count()),
            _ => masked(text),
        };
        let skipped = match text.chars().nth(WIDTH_MAX) {
            None => 0,
            Some(_) => (place.column - 1).saturating_sub(LEAD),
        };
        let indent = place.column - 1 - skipped;
        Self {
            text: masked.chars().skip(skipped).take(WIDTH_MAX).collect(),
            indent,
            width: place.width.min(WIDTH_MAX.saturating_sub(indent).max(1)),
            line: place.line,
        }
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.trim().is_empty() {
            return Ok(());
        }
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", Printable(self.text.trim_end()))?;
        writeln!(f, "{gutter} | {}{}", " ".repeat(self.indent), "^".repeat(self.width))
    }
}

/// The line with `*` for what looks like a credential written out, so that an error about a
/// literal token, or about its neighbour, does not carry it into a log. A variable stays.
fn masked(line: &str) -> String {
    let mut at = 0;
    while let Some(key) = CREDENTIAL.find_at(line, at) {
        match VARIABLE.find(&line[key.end()..]) {
            Some(variable) => at = key.end() + variable.end(),
            // Where the value ends depends on quotes and brackets, so the rest of the line goes.
            None => {
                return line[..key.end()].to_owned()
                    + &"*".repeat(line[key.end()..].chars().count());
            }
        }
    }
    line.to_owned()
}

/// A key that names a credential, up to its value.
static CREDENTIAL: LazyLock<Regex> = LazyLock::new(|| pattern(&format!(r"{KEY}[^\S\n]*")));
/// The same with its value on the lines below.
static CONTINUED: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"{KEY}\s*[|>]?[-+0-9]*\s*(#.*)?$")));
/// Not after `${`, which begins a variable and not a mapping.
const KEY: &str = concat!(
    r#"(?i)(^\{?|[\s,"']|[^$]\{)[\w-]*(tok|secret|passw|credential|auth|bearer|api.?key)"#,
    r#"[\w-]*["']?\s*:"#
);
/// A value that is one variable, with nothing secret in or after it.
static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    let variable = r"\$\{\w+(:\?[^}]*)?\}";
    pattern(&format!(r#"^(("{variable}"|'{variable}')\s*([,}}#]|$)|{variable}\s*(\s#|$))"#))
});

#[expect(
    clippy::unwrap_used,
    reason = "the patterns are constants, and every test that prints builds them"
)]
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `shown` is what stays of the line; the rest is masked, and as long as it was.
    #[track_caller]
    fn check(line: &str, shown: &str) {
        assert_eq!(masked(line), shown.to_owned() + &"*".repeat(line.len() - shown.len()));
    }

    #[test]
    fn credentials_are_masked() {
        check("token: hunter2", "token: ");
        check("admin: { token: hunter2, address: x }", "admin: { token: ");
        check("{token: 'a', x: 1}", "{token: ");
        check("\"client_secret\" : x", "\"client_secret\" : ");
        check("  X-Api-Key: x y", "  X-Api-Key: ");
        check("token: ${A}x", "token: ");
        check("token: ${A}, x", "token: ");
        check("token: \"${A}, x\"", "token: ");
        check("token: ${A:-x}", "token: ");
    }

    #[test]
    fn variables_and_other_keys_stay() {
        for line in [
            "token: ${A}",
            "token: ${A:?the token} # from the vault",
            "admin: { token: \"${A}\", address: x }",
            "threads: ${SECRET:-2}",
            "name: token",
            "per: { header: x-api-key }",
        ] {
            check(line, line);
        }
    }
}
