//! The text of a file, and places in it.

use std::ops::Range;

/// A file's text and what it is called in messages.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

/// A place as a person counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// Characters to underline on this line, at least 1.
    pub(crate) width: usize,
    /// The whole line, without its end.
    pub(crate) text: String,
}

impl Source<'_> {
    /// Where `span` (bytes) starts, and how much of its first line it covers.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let start = self.boundary(span.start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let text = self.text[line_start..].lines().next().unwrap_or("");
        let line_end = line_start + text.len();
        let end = self.boundary(span.end).min(line_end).max(start);
        Place {
            line: before.matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            width: self.text[start..end].trim_end().chars().count().max(1),
            text: text.to_owned(),
        }
    }

    /// The text of `span`, cut where it would leave the file.
    pub(crate) fn slice(&self, span: &Range<usize>) -> &str {
        let start = self.boundary(span.start);
        &self.text[start..self.boundary(span.end).max(start)]
    }

    fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}
