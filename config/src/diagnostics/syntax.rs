//! What the YAML parser says, in words that help.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::{Problem, Report};

impl Report<'_> {
    /// The problem behind a parser's error; it is the only one, since the parser stops there.
    pub(crate) fn syntax(&self, error: &ScanError) -> Problem {
        let marked = error.marker().byte_offset().unwrap_or_default();
        // The parser stops before the blanks that hold the tab.
        let tab = self.source.text.get(marked..).and_then(|rest| rest.find('\t'));
        let at = tab.filter(|_| is_tab(error.kind())).map_or(marked, |tab| marked + tab);
        let line = self.source.line_text(self.source.line(at));
        let (what, help) = explain(error.kind(), line);
        Problem::new(at..at + 1, "", what).help(help)
    }
}

fn explain(kind: &ErrorKind, line: &str) -> (String, &'static str) {
    let (what, help) = match kind {
        kind if is_tab(kind) => {
            ("a tab where YAML takes only spaces".to_owned(), "indent with spaces")
        }
        ErrorKind::RecursionLimitExceeded => (
            "the document is nested too deeply".to_owned(),
            "a configuration is at most eight levels deep; look for brackets that never close",
        ),
        ErrorKind::UnknownAnchor => (
            "this alias has no anchor before it".to_owned(),
            "put text that starts with `*` in quotes",
        ),
        ErrorKind::UnclosedQuotedScalar => {
            ("this quote is never closed".to_owned(), "close it, or leave both quotes out")
        }
        kind => (
            format!("this is not YAML: {kind}"),
            "check quotes, brackets and indentation here and on the line before",
        ),
    };
    (what, by_line(line).unwrap_or(help))
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

/// The two mistakes that the grammar of `{ }` and `[ ]` makes easy.
fn by_line(line: &str) -> Option<&'static str> {
    if line.contains("${") {
        Some("inside `{ }` and `[ ]` a variable goes in quotes: \"${NAME}\"")
    } else if line.contains("[::") || line.contains("::]") || line.contains("]:") {
        Some("IPv6 addresses go in quotes: \"[::1]:8080\"")
    } else {
        None
    }
}
