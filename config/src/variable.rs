//! `${VAR}`: values from the environment.
//!
//! Expanded in scalars, after the YAML is read: whatever a variable holds, it cannot become a key, a
//! list or a second value. A `$` that begins neither `${` nor `$$` stands for itself, as at the end of
//! a regular expression.
//!
//! | Written | Becomes |
//! |---|---|
//! | `${VAR}` | its value; unset is an error |
//! | `${VAR:-default}` | its value, or the default when unset or empty |
//! | `${VAR:?why}` | its value; unset or empty is an error that says why |
//! | `$$` | `$` |

/// The environment: a variable's value, when it is set.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Text with its variables put in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// Whether any variable took part: then the text is never shown.
    pub(crate) variable: bool,
}

/// What is wrong with a variable, and how to mend it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VariableError {
    pub(crate) what: String,
    pub(crate) help: String,
    /// Another way to mend it, where a default may stand in the file.
    pub(crate) default: Option<String>,
}

/// Puts the variables of `text` in.
pub(crate) fn expand(text: &str, env: Environment<'_>) -> Result<Expanded, VariableError> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), variable: false };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.text.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = after.find('}').ok_or_else(unclosed)?;
            expanded.text.push_str(&value(&after[..end], env)?);
            expanded.variable = true;
            rest = &after[end + 1..];
        } else {
            expanded.text.push('$');
        }
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

/// Text that [`expand`] turns back into `text`.
pub(crate) fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// The value of `NAME`, `NAME:-default` or `NAME:?why`.
fn value(inside: &str, env: Environment<'_>) -> Result<String, VariableError> {
    let (name, rest) =
        inside.split_once(':').map_or((inside, None), |(name, rest)| (name, Some(rest)));
    if !is_name(name) {
        return Err(VariableError::new("a `${...}` here does not name a variable", UNNAMED));
    }
    let set = env(name);
    match (rest, rest.and_then(|rest| rest.split_at_checked(1))) {
        (None, _) => set.ok_or_else(|| VariableError {
            default: Some(format!("or give it a default: `${{{name}:-...}}`")),
            ..VariableError::new(
                format!("the variable {name} is not set"),
                format!("set {name} in the sidecar's environment"),
            )
        }),
        (_, Some(("-", default))) => {
            Ok(set.filter(|set| !set.is_empty()).unwrap_or_else(|| default.to_owned()))
        }
        (_, Some(("?", why))) => set.filter(|set| !set.is_empty()).ok_or_else(|| {
            VariableError::new(
                format!("the variable {name} is not set: {why}"),
                format!("set {name} in the sidecar's environment"),
            )
        }),
        _ => Err(VariableError {
            default: Some(format!("or, with a default, `${{{name}:-...}}`")),
            ..VariableError::new(
                format!("the variable {name} has neither `-` nor `?` after its `:`"),
                format!("write `${{{name}:?why it is needed}}`"),
            )
        }),
    }
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn unclosed() -> VariableError {
    VariableError::new("a `${` is never closed", UNNAMED)
}

const UNNAMED: &str = "write `${NAME}`, and `$$` for a `$` before a `{`";

impl VariableError {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into(), default: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "QPS" => Some("100".to_owned()),
            "EMPTY" => Some(String::new()),
            "YAML" => Some("{ a: [b] }\n- ${QPS}".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(
            expand(text, &env).map(|expanded| expanded.text).as_deref(),
            Ok(expected),
            "{text}"
        );
    }

    #[test]
    fn the_four_forms() {
        check("plain", "plain");
        check("${QPS}", "100");
        check("a${QPS}b${QPS}c", "a100b100c");
        check("${EMPTY}", "");
        check("${EMPTY:-5s}", "5s");
        check("${UNSET:-}", "");
        check("${UNSET:-a:b-c}", "a:b-c");
        check("${QPS:?needed}", "100");
        check("$$", "$");
        check("$${QPS}", "${QPS}");
        check("^/a$", "^/a$");
        check("$QPS", "$QPS");
    }

    #[test]
    fn a_value_is_not_expanded_again() {
        check("${YAML}", "{ a: [b] }\n- ${QPS}");
    }

    #[test]
    fn what_cannot_be_expanded() {
        for text in [
            "${UNSET}",
            "${",
            "${}",
            "${1A}",
            "${A B}",
            "${QPS:+x}",
            "${QPS:}",
            "${EMPTY:?x}",
            "${A:-${B}}x${",
        ] {
            assert!(expand(text, &env).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn escaping_is_undone_by_expanding(text in ".*") {
            let expanded = expand(&escape(&text), &env);
            proptest::prop_assert_eq!(expanded, Ok(Expanded { text, variable: false }));
        }
    }
}
