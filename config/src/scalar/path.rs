//! Paths: of requests, as text and as expressions, and of files.

use std::path::PathBuf;

use regex::{Regex, RegexBuilder};
use schemars::{Schema, json_schema};
use serde::{Serialize, Serializer};

use super::{Leaf, Text, Wrong};
use crate::diagnostics::cut;

/// A request's path: `/` and visible ASCII without `?` and `#`, as it arrives on the wire; without `*`
/// too, which other proxies take for anything.
#[derive(Clone, Serialize)]
pub(crate) struct UrlPath(pub(crate) String);

/// A regular expression on a request's path, anchored on both sides.
pub(crate) struct Pattern(pub(crate) Regex);

/// The path of a file on this machine.
#[derive(Clone, Serialize)]
pub(crate) struct FilePath(pub(crate) PathBuf);

/// Bytes of a path or an expression.
const LONGEST: usize = 1024;
/// Memory of a compiled expression; far above what a path needs, far below what would hurt.
const COMPILED_MAX: usize = 1 << 20;
const ANCHORED: (&str, &str) = ("^(?:", ")$");

impl Pattern {
    /// The expression as it is written in the file, without the anchors.
    pub(crate) fn written(regex: &Regex) -> &str {
        let text = regex.as_str();
        let inner = text.strip_prefix(ANCHORED.0).and_then(|text| text.strip_suffix(ANCHORED.1));
        inner.unwrap_or(text)
    }
}

impl Leaf for UrlPath {
    const EXPECTED: &'static str = "a path such as /api/";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let path = text.string()?;
        let help =
            "write the path as it stands in the request, percent-encoded and without the query";
        if !path.starts_with('/') {
            let wrong = Wrong::new("does not start with `/`", "start it with `/`");
            Err(if cut(path) == path { wrong.instead(format!("/{path}")) } else { wrong })
        } else if path.len() > LONGEST {
            Err(Wrong::new(format!("is longer than {LONGEST} bytes"), "write a shorter path"))
        } else if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#'))
        {
            Err(Wrong::new("has characters that no request's path has", help))
        } else if path.contains('*') {
            let help = "write what stands before the `*` under `path_prefix`, or an expression under `path_regex`";
            Err(Wrong::new("has a `*`, which would stand for itself", help))
        } else {
            Ok(Self(path.to_owned()))
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "path", "type": "string", "pattern": r#"^/[!"$-)+->@-~]*$"#, "maxLength": LONGEST })
    }
}

impl Leaf for Pattern {
    const EXPECTED: &'static str = "a regular expression";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        let help = "write a regular expression on the whole path, such as `/users/[0-9]+`";
        let expression = text.string()?;
        if expression.is_empty()
            || expression.len() > LONGEST
            || !expression.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        {
            return Err(Wrong::new(
                format!("is not 1 to {LONGEST} printable ASCII characters"),
                help,
            ));
        }
        // Compiled alone first: `a)|(b` must not be made whole by the anchors.
        let compiled = build(expression)
            .and_then(|_| build(&format!("{}{expression}{}", ANCHORED.0, ANCHORED.1)));
        compiled.map(Self).map_err(|error| {
            let detail = error.to_string();
            let reason =
                detail.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Wrong::new("is not a regular expression", help).fix(reason)
        })
    }

    fn describe() -> Schema {
        json_schema!({ "title": "regular expression", "type": "string", "minLength": 1, "maxLength": LONGEST })
    }
}

fn build(expression: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(expression).size_limit(COMPILED_MAX).build()
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::written(&self.0))
    }
}

impl Leaf for FilePath {
    const EXPECTED: &'static str = "the path of a file";

    fn parse(text: &Text) -> Result<Self, Wrong> {
        match text.string()? {
            "" => Err(Wrong::new("is not a path", "write the path of a file")),
            path if path.contains('\0') => {
                Err(Wrong::new("holds a zero byte", "write the path of a file"))
            }
            path => Ok(Self(PathBuf::from(path))),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "title": "path of a file", "type": "string", "minLength": 1 })
    }
}
