//! Imports run one way.
//!
//! What may use what is in `docs/ARCHITECTURE.md`; this holds it. A border that has to move is moved
//! there and here, in one change that says why.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Each crate of ours, and those of ours that it may use outside of its tests.
const MAY_USE: &[(&str, &[&str])] = &[
    ("weir-config", &[]),
    ("weir-policy", &["weir-config"]),
    ("weir-pool", &[]),
    ("weir-clinic", &["weir-pool", "weir-profiles"]),
    ("weir-load", &["weir-config", "weir-profiles"]),
    ("weir", &["weir-config", "weir-policy", "weir-pool", "weir-profiles", "weir-clinic"]),
];

/// Crates that must not be found behind one of ours, however far.
const MUST_NOT_LINK: &[(&str, &[&str])] = &[
    ("weir-config", &["tokio", "pingora", "pingora-core", "hyper"]),
    ("weir-policy", &["tokio", "pingora", "pingora-core", "hyper"]),
    ("weir-pool", &["pingora-core", "hyper"]),
    ("weir", &["goose", "reqwest", "pingora-proxy", "openssl-sys"]),
];

/// Folders or files of the sidecar, and the modules they must not name.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    ("proxy", &["crate::admin", "crate::assemble", "crate::cli", "crate::demo"]),
    ("admin", &["crate::proxy", "crate::assemble", "crate::cli", "crate::demo"]),
    ("observe", &["crate::proxy", "crate::admin", "crate::assemble"]),
    ("upstream", &["crate::proxy", "crate::admin", "crate::observe"]),
    ("store", &["crate::proxy", "crate::admin", "crate::observe", "crate::plan", "crate::shared"]),
    // A route knows where its requests are counted, whatever the plan; nothing else of what is observed.
    (
        "plan",
        &[
            "crate::proxy",
            "crate::admin",
            "crate::observe::breakers",
            "crate::observe::explain",
            "crate::observe::metrics",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).args(arguments).arg("--offline").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metadata() -> Value {
    serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps"])).unwrap()
}

/// The crates that one names outside of its tests.
fn used_by(metadata: &Value, name: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == name).unwrap();
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let used = dependencies.filter(|dependency| dependency["kind"].is_null());
    used.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

/// The crates that are linked into one, however far.
fn linked_into(name: &str) -> BTreeSet<String> {
    let text = cargo(&[
        "tree",
        "--package",
        name,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn crates_use_only_what_stands_below_them() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let ours = metadata["workspace_members"].as_array().unwrap().contains(&package["id"]);
        assert!(
            !ours || MAY_USE.iter().any(|(row, _)| *row == name),
            "{name} has no row in this test"
        );
    }
    for (name, may_use) in MAY_USE {
        for used in used_by(&metadata, name) {
            let ours = used == "weir" || used.starts_with("weir-");
            assert!(!ours || may_use.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
}

#[test]
fn nothing_links_what_it_must_not() {
    for (name, must_not) in MUST_NOT_LINK {
        let linked = linked_into(name);
        assert!(linked.contains(*name), "cargo tree has changed its shape");
        for other in *must_not {
            assert!(!linked.contains(*other), "{name} links {other}");
        }
    }
}

#[test]
fn modules_of_the_sidecar_name_only_what_stands_below_them() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (place, must_not) in MUST_NOT_NAME {
        let files = files_of(&sources, place);
        assert!(!files.is_empty(), "{place} is gone; does this test still say what it should?");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for module in *must_not {
                let named = format!("{module}::");
                // `use crate::{admin, proxy}` names modules without the prefix.
                let grouped = module.trim_start_matches("crate::");
                let in_group = text.split("use crate::{").skip(1).any(|group| {
                    let group = group.split("};").next().unwrap_or_default();
                    group
                        .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                        .any(|word| word == grouped)
                });
                assert!(!text.contains(&named) && !in_group, "{} names {module}", file.display());
            }
        }
    }
}

/// `place.rs` and everything under `place/`.
fn files_of(sources: &Path, place: &str) -> Vec<PathBuf> {
    let mut files = vec![sources.join(format!("{place}.rs"))];
    let mut folders = vec![sources.join(place)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().map_while(Result::ok) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.retain(|file| {
        file.extension().is_some_and(|extension| extension == "rs") && file.exists()
    });
    files
}
