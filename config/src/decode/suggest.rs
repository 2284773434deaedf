//! "Did you mean": the key or name someone had in mind.

use super::Reader;
use crate::{
    diagnostics::cut,
    tree::{Entry, Kind, NodeId},
};

/// What other proxies and libraries call our keys, without case, `_` and `-`.
const ALIASES: &[(&str, &[&str])] = &[
    ("rate_limit", &["limiter", "ratelimiter", "ratelimits", "throttle"]),
    ("qps", &["rps", "requestspersecond", "reqpersec", "rate"]),
    ("breaker", &["circuitbreaker", "circuitbreakers", "outlierdetection"]),
    ("timeout", &["timeouts", "deadlines"]),
    ("limits", &["limit"]),
    ("limit", &["maxconcurrency", "maxinflight", "maxconcurrentrequests"]),
    (
        "concurrency",
        &[
            "maxconcurrency",
            "maxinflight",
            "maxconcurrentrequests",
            "maxconns",
            "bulkhead",
            "loadshedding",
            "shedding",
        ],
    ),
    ("address", &["listen", "bind", "port", "addr", "host"]),
    ("upstream", &["backend", "cluster", "service", "target", "proxypass"]),
    ("upstreams", &["backends", "clusters", "services"]),
    ("listeners", &["servers", "entrypoints", "frontends"]),
    ("endpoints", &["hosts", "targets", "urls", "servers", "addresses"]),
    ("path_prefix", &["prefix"]),
    ("path_regex", &["regex"]),
    ("balance", &["lb", "lbpolicy", "loadbalancer", "loadbalancing"]),
    ("threads", &["workers"]),
    ("total", &["request", "overall"]),
    ("sni", &["servername"]),
];

/// Keys that later versions may have.
const NOT_YET: &[(&str, &str)] = &[(
    "shared",
    "limits that several sidecars share are not built yet; leave `shared` out, and this sidecar counts for itself",
)];

/// How to mend an unknown key.
pub(super) fn key(entry: &Entry, keys: &[&'static str], reader: &Reader<'_>) -> String {
    if let Some(ours) = go_zero(entry, reader) {
        return format!("write it on a route, as `{ours}`");
    }
    if let Some((_, help)) = NOT_YET.iter().find(|(key, _)| *key == entry.key) {
        return (*help).to_owned();
    }
    let written = normal(&entry.key);
    let same = keys.iter().find(|key| normal(key) == written);
    let alias = || {
        let meant = ALIASES.iter().filter(|(_, aliases)| aliases.contains(&written.as_str()));
        meant.map(|(ours, _)| ours).find_map(|ours| keys.iter().find(|key| *key == ours))
    };
    match same.or_else(alias).copied().or_else(|| closest(&entry.key, keys.iter().copied())) {
        Some(key) => format!("did you mean `{key}`?"),
        None if entry.key == "<<" => "merge keys are not read; write the keys out".to_owned(),
        None => format!("the keys here are {}", keys.join(", ")),
    }
}

/// The candidate that is at most a slip of the fingers away: one edit in three letters.
pub(crate) fn closest<'c>(
    written: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    /// Beyond these nobody mistyped a name, and comparing takes time.
    const LETTERS_MAX: usize = 64;
    const CANDIDATES_MAX: usize = 100;
    if written.len() > LETTERS_MAX {
        return None;
    }
    let written = written.to_lowercase();
    candidates
        .filter(|candidate| candidate.len() <= LETTERS_MAX)
        .take(CANDIDATES_MAX)
        .map(|candidate| {
            (strsim::damerau_levenshtein(&written, &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// go-zero's `RateLimit: { Enable, QPS, Burst }` in our spelling, with the numbers as written.
fn go_zero(entry: &Entry, reader: &Reader<'_>) -> Option<String> {
    if normal(&entry.key) != "ratelimit" {
        return None;
    }
    let found = |name: &str| {
        let entries = reader.node(entry.value).entries();
        entries
            .iter()
            .find(|entry| normal(&entry.key) == name)
            .and_then(|entry| written(entry.value, reader))
    };
    let mut ours = format!("rate_limit: {{ qps: {}", found("qps")?);
    if let Some(burst) = found("burst") {
        ours += &format!(", burst: {burst}");
    }
    if found("enable").is_some_and(|enable| enable == "false") {
        ours += ", mode: disabled";
    }
    Some(ours + " }")
}

/// A scalar as the file has it: a variable by its name.
fn written(node: NodeId, reader: &Reader<'_>) -> Option<String> {
    match &reader.node(node).kind {
        // A variable needs its quotes inside `{ }`.
        Kind::Scalar(scalar) if scalar.text.contains("${") => {
            Some(format!("{:?}", cut(&scalar.text)))
        }
        Kind::Scalar(scalar) => Some(cut(&scalar.text)),
        _ => None,
    }
}

/// A key's value as an example, for the keys that a file cannot do without.
pub(super) fn example(key: &str) -> &'static str {
    match key {
        "version" => "1",
        "listeners" => "[{ address: \"0.0.0.0:8080\", upstream: app }]",
        "upstreams" => "{ app: { endpoints: [\"127.0.0.1:3000\"] } }",
        "address" => "0.0.0.0:8080",
        "endpoints" => "[\"127.0.0.1:3000\"]",
        "qps" => "100",
        "upstream" => "<the name of an upstream>",
        _ => "...",
    }
}

fn normal(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}
