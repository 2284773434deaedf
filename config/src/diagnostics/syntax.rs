//! What the YAML parser says, in words that help.

use std::sync::LazyLock;

use regex::Regex;
use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::{Problem, Report, cut, mask::pattern};
use crate::decode::is_key;

impl Report<'_> {
    /// The problem behind a parser's error; it is the only one, since the parser stops there.
    pub(crate) fn syntax(&self, error: &ScanError) -> Problem {
        let marked = error.marker().byte_offset().unwrap_or_default();
        if is_tab(error.kind()) {
            // The parser stops before the blanks that hold the tab.
            let tab = self.source.text.get(marked..).and_then(|rest| rest.find('\t'));
            let at = marked + tab.unwrap_or_default();
            let problem = Problem::new(at..at + 1, "", "a tab where YAML takes only spaces");
            return problem.help("indent with spaces");
        }
        let line = self.source.line(marked);
        let before = (1..line).rev().find(|line| !self.source.line_text(*line).trim().is_empty());
        let glued = [Some(line), before].into_iter().flatten().find_map(|line| self.glued(line));
        glued.unwrap_or_else(|| {
            let (what, help) = explain(error.kind());
            let help = by_line(self.source.line_text(line)).unwrap_or(help);
            Problem::new(marked..marked + 1, "", what).help(help)
        })
    }

    /// `key:value`, which YAML takes for one word; the parser stops there, or on the line after.
    fn glued(&self, line: usize) -> Option<Problem> {
        static GLUED: LazyLock<Regex> =
            LazyLock::new(|| pattern(r"^\s*(?:- )?((\w+):([^\s:/#][^\s#]*))\s*(?:#.*)?$"));
        let found = GLUED.captures(self.source.line_text(line))?;
        let (whole, key, value) = (found.get(1)?, &found[2], &found[3]);
        let start = self.source.start(line);
        let problem = Problem::new(
            start + whole.start()..start + whole.end(),
            "",
            "there is no space after the colon, so that this is no key",
        );
        is_key(key).then(|| problem.help(format!("write `{}`", cut(&format!("{key}: {value}")))))
    }
}

fn explain(kind: &ErrorKind) -> (String, &'static str) {
    let (what, help) = match kind {
        ErrorKind::RecursionLimitExceeded => (
            "the document is nested too deeply",
            "a configuration is at most eight levels deep; look for brackets that never close",
        ),
        ErrorKind::UnknownAnchor => (
            "this alias has no anchor before it",
            "put text that starts with `*` in quotes; every interface is `0.0.0.0`",
        ),
        ErrorKind::UnclosedQuotedScalar => {
            ("this quote is never closed", "close it, or leave both quotes out")
        }
        ErrorKind::UnclosedFlowCollection { .. } => {
            ("this bracket is never closed", "close it on the line where its last value stands")
        }
        ErrorKind::MappingValueNotAllowed => (
            "a key cannot stand here",
            "indent it like the keys beside it, and look for a quote or a bracket on the line before",
        ),
        ErrorKind::ExpectedBlockSequenceEntry => (
            "this line is no part of the entry above it, and no entry of its own",
            "indent it like the other keys of the entry, or begin it with `- `",
        ),
        ErrorKind::ExpectedBlockMappingKey => (
            "this line does not fit the keys above it",
            "indent it like them, and look for a quote or a bracket on the line before",
        ),
        ErrorKind::FlowMappingValueAdjacentCollection => {
            ("there is no space after the colon", "put a space after it")
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            ("no value begins with this character", "put the value in quotes")
        }
        kind => {
            let help = "check quotes, brackets and indentation here and on the line before";
            return (format!("this is not YAML: {kind}"), help);
        }
    };
    (what.to_owned(), help)
}

fn is_tab(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
    )
}

/// The mistakes that the grammar of `{ }` and `[ ]` makes easy.
fn by_line(line: &str) -> Option<&'static str> {
    if line.contains("${") {
        Some("inside `{ }` and `[ ]` a variable goes in quotes: \"${NAME}\"")
    } else if line.contains("[::") || line.contains("::]") || line.contains("]:") {
        Some("IPv6 addresses go in quotes: \"[::1]:8080\"")
    } else if line.contains("regex") {
        Some("an expression with brackets goes in quotes: \"/users/[0-9]+\"")
    } else {
        None
    }
}
