//! The text of a file, and places in it.

use std::ops::Range;

/// A file's text and what it is called in messages.
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
}

/// A place as a person counts it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// Characters to underline on this line, at least 1.
    pub(crate) width: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn new(name: &'a str, text: &'a str) -> Self {
        let after_breaks =
            text.bytes().zip(1..).filter(|(byte, _)| *byte == b'\n').map(|(_, after)| after);
        Self { name, text, lines: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The line, from 1, that holds the byte `at`.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// Where a line, from 1, begins, in bytes; the end of the file outside it.
    pub(crate) fn start(&self, line: usize) -> usize {
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index));
        start.copied().unwrap_or(self.text.len())
    }

    /// The text of a line, from 1, without its end; empty outside the file.
    pub(crate) fn line_text(&self, line: usize) -> &'a str {
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index));
        start.and_then(|start| self.text[*start..].lines().next()).unwrap_or_default()
    }

    /// Where `span` (bytes) starts, and how much of its first line it covers.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line(span.start);
        let text = self.line_text(line);
        let line_start = self.lines[line - 1];
        let start = boundary(text, span.start - line_start);
        let end = boundary(text, span.end.saturating_sub(line_start)).max(start);
        Place {
            line,
            column: text[..start].chars().count() + 1,
            width: text[start..end].trim_end().chars().count().max(1),
        }
    }
}

/// The last place in `text` that is not behind `at` and between two characters.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}
