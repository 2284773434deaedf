//! Every file in `examples/`: it is a configuration, it fits the schema, two YAML readers agree on it,
//! and it stays the same when it is written back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf};

use serde_json::Value;
use weir_config::{Config, PathMatch, load, schema, show};

fn env(name: &str) -> Option<String> {
    ["WEIR_ADMIN_TOKEN", "REDIS_PASSWORD"].contains(&name).then(|| "t0p-s3cret".to_owned())
}

fn examples() -> Vec<(PathBuf, String)> {
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let examples: Vec<_> =
        files.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect();
    assert!(examples.len() >= 5);
    examples
}

fn loaded(text: &str) -> Config {
    load(text, "example", &env).unwrap()
}

fn example(name: &str) -> Config {
    let (_, text) = examples().into_iter().find(|(path, _)| path.ends_with(name)).unwrap();
    loaded(&text)
}

#[test]
fn each_stays_the_same_when_it_is_shown() {
    for (path, text) in examples() {
        let config = loaded(&text);
        let shown = show(&config);
        assert_eq!(loaded(&shown), config, "{}\n{shown}", path.display());
        assert_eq!(show(&loaded(&shown)), shown, "{}", path.display());
        assert!(!shown.contains("t0p-s3cret"), "{shown}");
        assert!(!format!("{config:?}").contains("t0p-s3cret"));
    }
}

#[test]
fn each_fits_the_schema_as_written_and_as_shown() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for (path, text) in examples() {
        for text in [show(&loaded(&text)), text] {
            let value: Value = serde_yaml::from_str(&text).unwrap();
            let errors: Vec<String> =
                validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        }
    }
}

/// Another reader's idea of each file, written as JSON (which is YAML), means the same to us.
#[test]
fn two_readers_agree_on_each() {
    for (path, text) in examples() {
        let value: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(loaded(&value.to_string()), loaded(&text), "{}", path.display());
    }
}

#[test]
fn the_shortest_file_is_a_safe_sidecar() {
    let config = example("minimal.yaml");
    let route = &config.listeners[0].routes[0];
    assert_eq!(route.name, "listener-1:/");
    assert_eq!(route.matches.path, PathMatch::Prefix("/".to_owned()));
    insta::assert_debug_snapshot!(route);
    insta::assert_snapshot!(show(&Config { threads: std::num::NonZeroUsize::MIN, ..config }));
}

/// Names that derive from long names are still names.
#[test]
fn derived_names_fit() {
    let route = "/r".repeat(300);
    let text = format!(
        "{{version: 1, upstreams: {{a: {{endpoints: [\"a:1\"]}}}}, listeners: [{{address: 0.0.0.0:1, routes: [\
         {{upstream: a, match: {{path: {route}}}, rate_limit: [{{qps: 1}}, {{qps: 2}}]}}]}}]}}"
    );
    let config = loaded(&text);
    assert_eq!(loaded(&show(&config)), config);
}
