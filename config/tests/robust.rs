//! No text makes the reader panic, hang, or print what it must not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, sync::LazyLock};

use proptest::prelude::*;
use weir_config::{load, show};

const SECRET: &str = "hunter2";

/// The examples, as the material of mutations.
static EXAMPLES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap();
    folder.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
});

fn env(_: &str) -> Option<String> {
    Some(SECRET.to_owned())
}

/// Loads; an error must have a problem and printable text, a value must survive being shown.
fn attempt(text: &str) {
    match load(text, "weir.yaml", &env) {
        Err(diagnostics) => {
            let printed = diagnostics.to_string();
            assert!(diagnostics.len() > 0);
            assert!(printed.starts_with("weir.yaml:"), "{printed}");
            assert!(printed.len() < 100_000, "{} bytes", printed.len());
            assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "{printed:?}");
            assert!(!printed.contains(SECRET), "{printed}");
        }
        Ok(config) => {
            let shown = show(&config);
            assert_eq!(load(&shown, "shown", &env).unwrap(), config, "{shown}");
        }
    }
}

/// Text that is almost YAML.
fn yamlish() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "version: 1",
        "listeners:",
        "upstreams:",
        "routes:",
        "match:",
        "- ",
        "  ",
        "\n",
        "\t",
        "\r\n",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "? ",
        "| ",
        ">-\n",
        "'",
        "\"",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "!!str ",
        "!x ",
        "${A}",
        "${A:-b}",
        "${",
        "$$",
        "\u{feff}",
        "\u{0}",
        "\u{85}",
        "é",
        "\u{1f600}",
        "~",
        "null",
        "5s",
        "50%",
        "::1",
        "admin: ",
        "token: ",
        "breaker: ",
        "adaptive",
        "rate_limit: ",
        "qps: ",
        "1e309",
        "-0",
        "0x10",
        ".nan",
    ]);
    prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

/// An example with a few cuts, copies and insertions.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0..40_usize, ".{0,8}");
    let changes = prop::collection::vec(change, 1..6);
    (0..EXAMPLES.len(), changes).prop_map(|(example, changes)| {
        let mut text: Vec<char> = EXAMPLES[example].chars().collect();
        for (at, length, insert) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        text.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn any_text(text in "\\PC*") {
        attempt(&text);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        attempt(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_tokens(text in yamlish()) {
        attempt(&text);
    }

    #[test]
    fn any_mutation(text in mutated()) {
        attempt(&text);
    }
}

/// Every scalar of every example in turn comes from a variable: nothing says what it held.
#[test]
fn no_field_gives_a_variable_away() {
    for example in EXAMPLES.iter() {
        let value: serde_json::Value = serde_yaml::from_str(example).unwrap();
        let mut paths = Vec::new();
        scalars(&value, String::new(), &mut paths);
        assert!(paths.len() > 3);
        for path in paths {
            let mut value = value.clone();
            *value.pointer_mut(&path).unwrap() = "${SECRET}".into();
            attempt(&serde_json::to_string_pretty(&value).unwrap());
        }
    }
}

fn scalars(value: &serde_json::Value, path: String, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| scalars(item, format!("{path}/{index}"), found));
        }
        serde_json::Value::Object(entries) => {
            entries.iter().for_each(|(key, value)| {
                scalars(
                    value,
                    format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")),
                    found,
                )
            });
        }
        _ => found.push(path),
    }
}

/// A file as large and as wrong as may be ends, with a bounded answer.
#[test]
fn the_largest_files() {
    let fill = |unit: &str| unit.repeat((1 << 20) / unit.len());
    for text in [
        fill("["),
        fill("{"),
        fill("- "),
        fill("a: "),
        fill("? "),
        fill("'"),
        fill("\""),
        fill("#"),
        fill("\n"),
        fill("&a "),
        fill("!a "),
        fill("a: 1\n"),
        fill("- x\n"),
        fill("x"),
        fill("${"),
        fill("|\n"),
        fill("a:\n "),
        fill("%a\n"),
        fill("---\n"),
        fill("\t"),
        (0..60_000).map(|n| format!("k{n}: {n}\n")).collect(),
        format!(
            "upstreams: {{ a: {{ endpoints: [{}] }} }}",
            (0..9_000).map(|n| format!("h{n}:1,")).collect::<String>()
        ),
        format!("listeners: [{}]", "{ name: a, address: 0.0.0.0:1, upstream: x },".repeat(2_000)),
    ] {
        attempt(&text);
    }
}
