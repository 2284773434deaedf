//! The JSON schema of a file, for editors and for CI.

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::file::FileYaml;

/// The JSON schema (draft 2020-12) of a configuration file, as pretty-printed JSON.
///
/// It holds every key with its description, default and range, and refuses unknown ones. What needs
/// two values to judge (names that must exist, durations that must fit) only [`load`](crate::load) can say.
pub fn schema() -> String {
    format!("{:#}\n", root())
}

/// The schema as a value.
pub(crate) fn root() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<FileYaml>();
    schema.insert("title".to_owned(), json!("Weir configuration"));
    schema.into()
}

/// Every section of a file's schema with its path, an outer one before those inside it.
pub(crate) fn sections(root: &Value) -> Vec<(String, &Value)> {
    let mut sections = Vec::new();
    section(String::new(), root, &root["$defs"], &mut sections);
    sections
}

fn section<'s>(
    path: String,
    object: &'s Value,
    definitions: &'s Value,
    sections: &mut Vec<(String, &'s Value)>,
) {
    let Some(properties) = object["properties"].as_object() else { return };
    sections.push((path.clone(), object));
    for (key, value) in properties {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        within(path, value, definitions, sections);
    }
}

/// The sections that a key's value leads to.
fn within<'s>(
    path: String,
    value: &'s Value,
    definitions: &'s Value,
    sections: &mut Vec<(String, &'s Value)>,
) {
    for choice in value["anyOf"].as_array().into_iter().flatten() {
        // "One or a list" leads to the same section twice.
        if choice["type"] != "array" {
            within(path.clone(), choice, definitions, sections);
        }
    }
    if value["items"].is_object() {
        within(format!("{path}[]"), &value["items"], definitions, sections);
    } else if value["additionalProperties"].is_object() {
        within(format!("{path}.<name>"), &value["additionalProperties"], definitions, sections);
    } else if let Some(object) = definition(value, definitions) {
        section(path, object, definitions, sections);
    }
}

/// What a value's `$ref` stands for.
pub(crate) fn definition<'s>(value: &Value, definitions: &'s Value) -> Option<&'s Value> {
    definitions.get(value["$ref"].as_str()?.strip_prefix("#/$defs/")?)
}

/// A mapping's schema under construction.
pub(crate) struct Object {
    description: &'static str,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Object {
    pub(crate) fn new(description: &'static str) -> Self {
        Self { description, properties: Map::new(), required: Vec::new() }
    }

    pub(crate) fn key(&mut self, key: &str, schema: Schema, description: &'static str) {
        let mut schema = Value::from(schema);
        schema["description"] = json!(description.trim());
        self.properties.insert(key.to_owned(), schema);
    }

    pub(crate) fn required(&mut self, key: &'static str) {
        self.required.push(key);
    }

    pub(crate) fn default(&mut self, key: &str, default: &impl Serialize) {
        self.properties[key]["default"] = json!(default);
    }

    pub(crate) fn finish(self) -> Schema {
        let mut schema = json_schema!({
            "description": self.description.trim(),
            "type": "object",
            "properties": self.properties,
            "additionalProperties": false
        });
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), json!(self.required));
        }
        schema
    }
}

/// The schema of a scalar, or a text with a variable in it.
pub(crate) fn or_variable(schema: Schema, generator: &mut SchemaGenerator) -> Schema {
    let variable = generator.subschema_for::<Variable>();
    json_schema!({ "anyOf": [schema, variable] })
}

/// Text with `${VAR}` in it.
struct Variable;

impl schemars::JsonSchema for Variable {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Variable".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value from the environment: `${VAR}`, `${VAR:-default}` or `${VAR:?why}`.",
            "type": "string",
            "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:[-?][^}]*)?\}"
        })
    }
}
