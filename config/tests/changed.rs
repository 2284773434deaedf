//! What differs between two configurations, and what of it takes a restart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use weir_config::{Changes, Document, NEEDS_RESTART, Names, read, without_restart};

const YAML: &str = r#"version: 1
admin: { address: 127.0.0.1:9901 }
listeners:
  - name: ingress
    address: 127.0.0.1:8080
    routes:
      - { name: a, match: { path: /a }, upstream: app, rate_limit: { qps: 1 } }
      - { name: b, match: { path: /b }, upstream: app }
  - address: 127.0.0.1:9001
    upstream: drugs
upstreams:
  app: { endpoints: ["127.0.0.1:3000"] }
  drugs: { endpoints: ["drugs.internal:443"] }
"#;

fn document(yaml: &str) -> Document {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weir.yaml");
    fs::write(&path, yaml).unwrap();
    read(&path, &|_| None).unwrap()
}

fn changed(steps: &[(&str, &str)]) -> Document {
    document(&steps.iter().fold(YAML.to_owned(), |yaml, (from, to)| {
        assert!(yaml.contains(from), "{from}");
        yaml.replace(from, to)
    }))
}

fn between(steps: &[(&str, &str)]) -> Changes {
    Changes::between(&document(YAML).config, &changed(steps).config)
}

#[track_caller]
fn check(steps: &[(&str, &str)], told: &str) {
    assert_eq!(between(steps).to_string(), told);
}

#[test]
fn each_change_is_told_where_it_is() {
    check(&[], "");
    assert!(between(&[]).is_empty());
    check(&[("qps: 1", "qps: 2")], "rate_limits ~a");
    check(&[(", rate_limit: { qps: 1 }", "")], "rate_limits -a");
    check(&[("path: /b }", "path: /c }")], "routes ~b");
    check(&[("name: b", "name: c")], "routes +c -b, breakers +c -b");
    let b = "      - { name: b, match: { path: /b }, upstream: app }\n";
    let egress = "    routes:\n      - { name: c, upstream: drugs }\n";
    let moved = [(b, String::new()), ("    upstream: drugs\n", format!("{egress}{b}"))];
    let moved: Vec<_> = moved.iter().map(|(from, to)| (*from, to.as_str())).collect();
    assert_eq!(between(&moved).routes.changed, ["b"], "it is on another listener");
    check(&[("127.0.0.1:3000", "127.0.0.1:3001")], "upstreams ~app");
    check(&[("admin:", "trusted: [10.0.0.0/8]\nadmin:")], "trusted");
    check(
        &[
            ("/b }, upstream: app", "/b }, upstream: app, breaker: { consecutive: 1 }"),
            ("admin:", "shutdown: { deadline: 9s }\nreload: { watch: false }\nadmin:"),
        ],
        "breakers ~b, shutdown, reload",
    );
}

#[test]
fn routes_in_another_order_change_their_listener() {
    let a = "      - { name: a, match: { path: /a }, upstream: app, rate_limit: { qps: 1 } }\n";
    let b = "      - { name: b, match: { path: /b }, upstream: app }\n";
    check(&[(&format!("{a}{b}"), &format!("{b}{a}"))], "listeners ~ingress");
    let c = "      - { name: c, match: { path: /c }, upstream: app }\n";
    let told = "routes +c, breakers +c";
    check(&[(a, &format!("{c}{a}"))], told);
}

#[test]
fn of_many_names_a_few_are_told() {
    let added = (0..20).map(|number| format!("r{number:02}")).collect();
    let names = Names { added, ..Names::default() };
    assert_eq!(names.to_string(), " +r00 +r01 +r02 +r03 +r04 +r05 +r06 +r07 and 12 more");
}

#[test]
fn what_takes_a_restart_is_told_with_its_place() {
    let refused = |steps: &[(&str, &str)]| {
        let told = without_restart(&document(YAML), changed(steps)).unwrap_err().to_string();
        let name = told.split(".yaml:").next().unwrap().to_owned();
        told.replace(&name, "weir")
    };
    insta::assert_snapshot!(
        refused(&[
            ("admin:", "threads: 900\nadmin:"),
            ("9901 }", "9902, health_address: 127.0.0.1:9903 }")
        ])
        .replace(&format!("`{}`", document(YAML).config.threads), "`N`")
    );
    insta::assert_snapshot!(refused(&[
        ("8080", "8081"),
        ("  - address: 127.0.0.1:9001", "  - name: egress\n    address: 127.0.0.1:9001")
    ]));
    // Not written: then it is the section around it that is shown.
    let before = changed(&[("9901 }", "9901, health_address: 127.0.0.1:9903 }")]);
    let told = without_restart(&before, document(YAML)).unwrap_err().to_string();
    assert!(
        told.contains(":2:1: admin.health_address: it is `127.0.0.1:9903` and would be none"),
        "{told}"
    );
}

#[test]
fn what_is_said_to_take_a_restart_is_all_there_is() {
    for (key, steps) in [
        ("threads", ("admin:", "threads: 900\nadmin:")),
        ("admin.address", ("9901", "9902")),
        ("admin.health_address", ("9901", "9901, health_address: 127.0.0.1:9903")),
        ("listeners[].address", ("8080", "8081")),
    ] {
        assert!(NEEDS_RESTART.iter().any(|(known, _)| *known == key), "{key}");
        assert!(without_restart(&document(YAML), changed(&[steps])).is_err(), "{key}");
    }
    assert_eq!(NEEDS_RESTART.len(), 4, "and each is tried above");
    let page = include_str!("../../docs/reload.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> =
        NEEDS_RESTART.iter().map(|(key, why)| format!("| `{key}` | {why} |")).collect();
    assert_eq!(rows, expected, "in docs/reload.md");
}

#[test]
fn a_number_of_threads_that_nobody_wrote_stays_as_it_was() {
    let mut before = document(YAML);
    before.config.threads = std::num::NonZeroUsize::new(900).unwrap();
    let after = without_restart(&before, document(YAML)).unwrap();
    assert_eq!(after.config.threads.get(), 900);
}
