//! A configuration written back, every default included.

use serde_yaml::Value;

use crate::{Config, file::FileYaml, variable};

/// The YAML of `config` with every default written out; reading it gives `config` again.
///
/// A secret is shown as the variable it was written as, everything else with its value.
pub fn show(config: &Config) -> String {
    let written = serde_yaml::to_value(FileYaml::of(config)).map(escaped);
    let written = written.map(|value| with_variables(value, config));
    // A tree of strings, numbers and truth values has no way to fail.
    written.and_then(|value| serde_yaml::to_string(&value)).unwrap_or_default()
}

/// Every `$` doubled, so that reading takes none for a variable.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(variable::escape(&text)),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(escaped).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| (key, escaped(value))).collect())
        }
        other => other,
    }
}

/// What may be a secret stays the variable that it was written as.
fn with_variables(mut value: Value, config: &Config) -> Value {
    if let Some(token) = &config.admin.token {
        value["admin"]["token"] = Value::String(token.written.clone());
    }
    for (at, listener) in config.listeners.iter().enumerate() {
        for (route_at, route) in listener.routes.iter().enumerate() {
            for header in &route.matches.headers {
                if let Some(written) = &header.written {
                    let route = &mut value["listeners"][at]["routes"][route_at];
                    route["match"]["headers"][&header.name] = Value::String(written.clone());
                }
            }
            for (limit_at, limit) in route.rate_limits.iter().enumerate() {
                let store = limit.shared.as_ref().map(|shared| &shared.store);
                if let Some(password) = store.and_then(|store| store.password.as_ref()) {
                    let route = &mut value["listeners"][at]["routes"][route_at];
                    route["rate_limit"][limit_at]["shared"]["store"] =
                        Value::String(password.written.clone());
                }
            }
        }
    }
    value
}
