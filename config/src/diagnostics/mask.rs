//! Credentials that stand in a file, kept out of messages: an error about a literal token, or about its
//! neighbour, does not carry it into a log.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A line, or a value out of one, with `*` for what looks like a credential written out: the value of a
/// key that names one, and what stands before an `@`. A variable stays.
pub(super) fn masked(line: &str) -> String {
    let line = USER.replace_all(line, |found: &Captures<'_>| {
        let scheme = found.get(1).map_or("", |scheme| scheme.as_str());
        format!("{scheme}{}@", "*".repeat(found[2].chars().count()))
    });
    let mut at = 0;
    while let Some(key) = CREDENTIAL.find_at(&line, at) {
        match VARIABLE.find(&line[key.end()..]) {
            Some(variable) => at = key.end() + variable.end(),
            // Where the value ends depends on quotes and brackets, so the rest of the line goes.
            None => {
                return line[..key.end()].to_owned()
                    + &"*".repeat(line[key.end()..].chars().count());
            }
        }
    }
    line.into_owned()
}

/// Whether the line below this one holds a credential.
pub(super) fn is_continued(line: &str) -> bool {
    CONTINUED.is_match(line)
}

/// A scheme, and who asks: with a password or without, up to the last `@` before a blank or a quote.
static USER: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(\w+://)?([^\s"'`\[{,][^\s"'`]*)@"#));

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
    fn users_are_masked() {
        for (line, shown) in [
            (
                "endpoints: [\"user:p@ss/1,2@app:3000\", b:1]",
                "endpoints: [\"*************@app:3000\", b:1]",
            ),
            ("[a@b:1,c@d:1]", "[*******@d:1]"),
            ("http://user:é@app/", "http://******@app/"),
            ("token@app", "*****@app"),
        ] {
            assert_eq!(masked(line), shown);
        }
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
