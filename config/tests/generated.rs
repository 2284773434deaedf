//! What is generated and committed: the schema and the reference of keys.
//!
//! `UPDATE_SCHEMA=1 cargo test -p weir-config --test generated` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

#[track_caller]
fn check(path: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "{} is stale; rewrite it with UPDATE_SCHEMA=1", path.display());
}

#[test]
fn the_schema_is_fresh() {
    check("weir.schema.json", &weir_config::schema());
}

#[test]
fn the_reference_is_fresh() {
    check("../docs/configuration.md", &weir_config::reference());
}

#[test]
fn the_schema_is_a_schema() {
    let schema = serde_json::from_str(&weir_config::schema()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
}
