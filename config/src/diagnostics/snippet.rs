//! The source line with a caret under what is meant.

use std::fmt;

use super::{
    Printable,
    mask::{is_continued, masked},
};
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
            Some(before) if is_continued(before) => "*".repeat(text.chars().count()),
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
