//! The reference of all keys, rendered from the schema so that the two cannot disagree.

use std::fmt::Write as _;

use serde_json::Value;

use crate::schema::{definition, root, sections};

/// Every key of a configuration file as Markdown: a table for each section, with type, range, default
/// and meaning.
pub fn reference() -> String {
    let schema = root();
    let mut reference = Reference { definitions: &schema["$defs"], markdown: HEAD.to_owned() };
    for (path, object) in sections(&schema) {
        reference.section(&path, object);
    }
    reference.markdown
}

const HEAD: &str = "# Configuration reference

Generated from the schema; `UPDATE_SCHEMA=1 cargo test -p weir-config --test generated` rewrites it.

Durations, sizes and ratios carry their unit (`250ms`, `64KiB`, `50%`). Any single value may be
`${VAR}`, `${VAR:-default}` or `${VAR:?why it is needed}`; inside `{ }` and `[ ]` a variable goes in
quotes, and a literal `${` is written `$${`. IPv6 addresses go in quotes. A key without a default and
not marked as required is off, or takes the value that its meaning names.
";

struct Reference<'a> {
    definitions: &'a Value,
    markdown: String,
}

impl Reference<'_> {
    fn section(&mut self, path: &str, object: &Value) {
        let title = if path.is_empty() { "The file".to_owned() } else { format!("`{path}`") };
        self.line(&format!("\n## {title}\n\n{}\n", text(&object["description"])));
        self.line("| Key | Value | Default | Meaning |\n|---|---|---|---|");
        for (key, schema) in object["properties"].as_object().into_iter().flatten() {
            let row = self.row(key, schema, object);
            self.line(&row);
        }
    }

    fn row(&self, key: &str, schema: &Value, object: &Value) -> String {
        let required =
            object["required"].as_array().is_some_and(|keys| keys.iter().any(|other| other == key));
        let default = match schema.get("default") {
            Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
            Some(Value::Array(items)) => items.iter().map(code).collect::<Vec<_>>().join(", "),
            Some(default) => code(default),
            None if required => "**required**".to_owned(),
            None => String::new(),
        };
        let value = self.value(schema).replace('|', "\\|");
        format!(
            "| `{key}` | {value} | {default} | {} |",
            text(&schema["description"]).replace('|', "\\|")
        )
    }

    /// What is written as the value, without the variable that every scalar may be.
    fn value(&self, schema: &Value) -> String {
        if let Some(choices) = schema["anyOf"].as_array() {
            let mut words: Vec<String> = Vec::new();
            for word in choices.iter().map(|choice| self.value(choice)) {
                if !word.is_empty() && !words.contains(&word) {
                    words.push(word);
                }
            }
            return words.join(", or ");
        }
        match (definition(schema, self.definitions), schema["type"].as_str()) {
            (Some(definition), _) if definition["type"] == "object" => "mapping".to_owned(),
            (Some(_), _) => String::new(),
            (None, Some("array")) => format!("list of: {}", self.value(&schema["items"])),
            (None, Some("object")) => {
                format!("mapping of names to: {}", self.value(&schema["additionalProperties"]))
            }
            (None, _) => text(&schema["title"]).to_owned(),
        }
    }

    fn line(&mut self, line: &str) {
        // Writing to a String does not fail.
        writeln!(self.markdown, "{line}").unwrap_or_default();
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn code(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
