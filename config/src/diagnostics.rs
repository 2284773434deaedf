//! Everything that is wrong with a file, at once.
//!
//! Each problem says where it is, what is wrong and how to mend it:
//!
//! ```text
//! weir.yaml:14:18: listeners[0].routes[2].breaker.error_ratio: 150% is above 100%
//!    |
//! 14 |         error_ratio: 150%
//!    |                      ^^^^
//!    help: write a ratio between 0% and 100%
//! ```

mod mask;
mod snippet;
mod syntax;

use std::{fmt, ops::Range};

use self::snippet::Snippet;
use crate::source::{Place, Source};

/// More problems than this are counted, not printed: the first ones are read, if any.
const PRINTED_MAX: usize = 50;

/// Why a file is no configuration; never empty. `Display` is the text for a terminal.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostics {
    name: String,
    problems: Vec<Placed>,
    /// Problems beyond those kept.
    more: usize,
}

/// One problem, before its place in the file is looked up.
pub(crate) struct Problem {
    span: Range<usize>,
    path: String,
    what: String,
    help: Option<String>,
    /// What to write in its place, where that is known.
    instead: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
struct Placed {
    place: Option<(Place, Snippet)>,
    path: String,
    what: String,
    help: Option<String>,
}

/// Gathers the problems of one file.
pub(crate) struct Report<'a> {
    source: Source<'a>,
    problems: Vec<Problem>,
}

impl Problem {
    /// A problem at `span` (bytes of the source) with the dotted path of what is wrong there.
    pub(crate) fn new(
        span: Range<usize>,
        path: impl Into<String>,
        what: impl Into<String>,
    ) -> Self {
        Self { span, path: path.into(), what: what.into(), help: None, instead: None }
    }

    /// With the way to mend it.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// With what to write in its place.
    pub(crate) fn instead(self, instead: Option<String>) -> Self {
        Self { instead, ..self }
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(source: Source<'a>) -> Self {
        Self { source, problems: Vec::new() }
    }

    pub(crate) fn source(&self) -> &Source<'a> {
        &self.source
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Whether there are more problems than will be read.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() > PRINTED_MAX
    }

    /// What to write in the place of the only problem.
    pub(crate) fn instead(mut self) -> Option<String> {
        let problem = self.problems.pop().filter(|_| self.problems.is_empty());
        problem.and_then(|problem| problem.instead)
    }

    /// The value, unless something was wrong with it.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Diagnostics> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.diagnostics()),
        }
    }

    /// The problems, of which there is at least one.
    pub(crate) fn diagnostics(mut self) -> Diagnostics {
        self.problems.sort_by_key(|problem| problem.span.start);
        let placed = |problem: Problem| {
            let place = self.source.place(&problem.span);
            let snippet = Snippet::new(&place, &self.source);
            Placed {
                place: Some((place, snippet)),
                path: problem.path,
                what: problem.what,
                help: problem.help,
            }
        };
        Diagnostics {
            name: self.source.name.to_owned(),
            more: self.problems.len().saturating_sub(PRINTED_MAX),
            problems: self.problems.into_iter().take(PRINTED_MAX).map(placed).collect(),
        }
    }
}

impl Diagnostics {
    /// The one problem of a file that could not even be read.
    pub(crate) fn unread(name: &str, what: &str, help: &str) -> Self {
        let problem = Placed {
            place: None,
            path: String::new(),
            what: what.to_owned(),
            help: Some(help.to_owned()),
        };
        Self { name: name.to_owned(), problems: vec![problem], more: 0 }
    }

    /// How many problems there are.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.problems.len() + self.more
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.write(&self.name, f)?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(f, "\nand {more} more"),
        }
    }
}

/// The same text: a panic message or a log should be as readable as the terminal.
impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Diagnostics {}

impl Placed {
    fn write(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(name))?;
        if let Some((place, _)) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", Printable(&self.path))?;
        }
        writeln!(f, ": {}", Printable(&self.what))?;
        if let Some((_, snippet)) = &self.place {
            write!(f, "{snippet}")?;
        }
        match &self.help {
            Some(help) => writeln!(f, "   help: {}", Printable(help)),
            None => Ok(()),
        }
    }
}

/// Text from a file as a message may have it: short, and without credentials.
pub(crate) fn cut(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let text = mask::masked(text);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Text from a file on its way to a terminal: no control character gets through.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str(" ")?,
                // Nor what turns the direction of the text around it.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_str("\u{fffd}")?,
                c if c.is_control() => f.write_str("\u{fffd}")?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}
