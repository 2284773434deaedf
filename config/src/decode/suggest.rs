//! "Did you mean": the key or name someone had in mind.

use super::{Decode as _, Reader, find, places, respell};
use crate::{
    rate_limit::{shared::yaml::SharedForm, yaml::RateLimitYaml},
    tree::{Entry, Tree},
};

/// What other proxies and libraries call our keys, as [`normal`] writes them.
const ALIASES: &[(&str, &[&str])] = &[
    ("rate_limit", &["limiter", "ratelimiter", "ratelimits", "throttle"]),
    ("qps", &["rps", "requestspersecond", "requestsperunit", "reqpersec", "rate", "limit"]),
    ("breaker", &["circuitbreaker", "circuitbreakers", "outlierdetection"]),
    ("consecutive", &["consecutive5xx", "consecutiveerrors", "maxfails"]),
    ("error_ratio", &["errorpercent", "errorthreshold", "failureratio", "threshold"]),
    ("min_requests", &["requestvolume", "requestvolumethreshold", "minimumrequests"]),
    ("open_for", &["baseejectiontime", "failtimeout", "sleepwindow"]),
    ("faults", &["faultinjection", "fault", "chaos"]),
    ("for", &["fixeddelay", "duration"]),
    ("ratio", &["percentage", "percent", "probability", "share"]),
    ("status", &["httpstatus", "code", "abortstatus"]),
    ("timeout", &["timeouts", "deadlines"]),
    ("connect", &["connecttimeout", "proxyconnecttimeout", "timeoutconnect"]),
    ("first_byte", &["proxyreadtimeout", "readtimeout", "timeoutserver", "read"]),
    ("total", &["request", "overall", "requesttimeout", "timeoutms"]),
    ("idle", &["idletimeout", "streamidletimeout", "timeouttunnel"]),
    ("shared", &["global", "distributed", "cluster", "redis", "valkey"]),
    ("store", &["redis", "valkey", "url", "address", "host", "server"]),
    ("on_store_loss", &["onloss", "failuremode", "failuremodedeny", "onerror", "fallback"]),
    ("keepalive", &["keepalivetimeout", "timeouthttpkeepalive"]),
    ("request_header", &["clientheadertimeout", "timeouthttprequest"]),
    ("body", &["bodysize", "clientmaxbodysize", "maxbodysize", "maxbytes", "maxrequestbytes"]),
    ("connections", &["maxconnections", "workerconnections"]),
    ("limit", &["maxconcurrency", "maxinflight", "maxconcurrentrequests"]),
    (
        "concurrency",
        &[
            "limit",
            "maxconcurrency",
            "maxinflight",
            "maxconcurrentrequests",
            "maxconn",
            "maxconns",
            "bulkhead",
            "loadshedding",
            "shedding",
        ],
    ),
    ("retry", &["retries", "retrypolicy", "proxynextupstream"]),
    (
        "attempts",
        &["numretries", "maxretries", "times", "count", "limit", "proxynextupstreamtries"],
    ),
    ("on", &["retryon", "codes", "retriablestatuscodes"]),
    ("per", &["perroute", "perip", "perclient", "perkey", "by", "key"]),
    ("length", &["depth", "maxpending", "maxpendingrequests", "size"]),
    ("client", &["ip", "clientip", "address"]),
    ("address", &["listen", "bind", "port", "addr", "host"]),
    ("upstream", &["backend", "cluster", "service", "target", "proxypass", "defaultbackend"]),
    ("upstreams", &["backends", "clusters", "services"]),
    ("listeners", &["servers", "entrypoints", "frontends"]),
    (
        "endpoints",
        &[
            "hosts",
            "host",
            "targets",
            "target",
            "urls",
            "url",
            "servers",
            "server",
            "addresses",
            "address",
            "addr",
            "port",
        ],
    ),
    ("path_prefix", &["prefix", "location"]),
    ("path_regex", &["regex"]),
    ("health_check", &["healthchecks", "check", "checks", "activehealthcheck", "livenessprobe"]),
    ("outlier", &["outlierdetection", "outlierejection", "ejection", "passivehealthcheck"]),
    ("ejection_time", &["baseejectiontime", "failtimeout"]),
    ("ejection_time_max", &["maxejectiontime", "ejectionmax"]),
    ("max_ejected", &["maxejectionpercent", "maxejectedpercent"]),
    ("slow_start", &["slowstartwindow", "slowstartconfig", "warmup"]),
    ("path", &["uri", "httppath", "requestpath"]),
    ("grpc", &["grpcservice", "servicename", "service"]),
    ("statuses", &["status", "expected", "expect", "expectedstatuses", "expectedstatus"]),
    ("interval", &["period", "periodseconds", "inter"]),
    ("healthy_after", &["healthythreshold", "successthreshold", "rise", "passes"]),
    ("unhealthy_after", &["unhealthythreshold", "failurethreshold", "fall", "fails"]),
    ("balance", &["lb", "lbpolicy", "loadbalancer", "loadbalancing"]),
    ("threads", &["workers", "workerprocesses", "nbthread"]),
    ("sni", &["servername"]),
    ("ca", &["cafile", "trustedca"]),
];

/// Keys that are looked for in vain: how they are written, a key of the sections where that is
/// (empty for every one), and what there is instead.
const ABSENT: &[(&[&str], &str, &str)] = &[
    (&["defer", "deferred"], "", "deferred routes are not built yet; leave it out"),
    (
        &["tls", "ssl", "downstreamtlscontext"],
        "routes",
        "listeners do not speak TLS yet; leave it out, and end TLS before the sidecar",
    ),
    (
        &["protocol"],
        "routes",
        "leave it out: a listener hears by itself whether HTTP/1.1 or HTTP/2 is spoken",
    ),
    (
        &["log", "logging", "loglevel", "logs"],
        "",
        "leave it out; the variable WEIR_LOG sets the level, as in `WEIR_LOG=debug`",
    ),
    (&["<<"], "", "merge keys are not read; write the keys out"),
];

/// What to say of an unknown key.
pub(super) struct Guess {
    pub(super) help: String,
    /// The key that it most likely is.
    pub(super) meant: Option<&'static str>,
}

impl Guess {
    fn help(help: impl Into<String>) -> Self {
        Self { help: help.into(), meant: None }
    }

    fn meant(key: &'static str) -> Self {
        Self { help: format!("did you mean `{key}`?"), meant: Some(key) }
    }
}

/// How to mend an unknown key among the entries of its section.
pub(super) fn key(
    entry: &Entry,
    entries: &[Entry],
    keys: &[&'static str],
    reader: &mut Reader<'_>,
) -> Guess {
    let meant = || spelling(&entry.key, keys).or_else(|| closest(&entry.key, keys.iter().copied()));
    absent(&entry.key, keys)
        .or_else(|| taken(meant()?, entries, reader))
        .or_else(|| respell::switch(entry, keys, reader).map(Guess::help))
        .or_else(|| rate_limit(entry, keys, reader))
        .or_else(|| of_shared(entry, entries, keys, reader))
        .or_else(|| flow_slip(entry, keys, reader))
        .or_else(|| meant().map(Guess::meant))
        .or_else(|| places::help(&entry.key).map(Guess::help))
        .unwrap_or_else(|| Guess::help(format!("the keys here are {}", keys.join(", "))))
}

/// The key that differs from what is written in case, `_` and `-` alone, or that others call so.
pub(super) fn spelling(written: &str, keys: &[&'static str]) -> Option<&'static str> {
    let written = normal(written);
    let same = keys.iter().find(|key| normal(key) == written);
    let alias = || {
        let meant = ALIASES.iter().filter(|(_, aliases)| aliases.contains(&written.as_str()));
        meant.map(|(ours, _)| ours).find_map(|ours| keys.iter().find(|key| *key == ours))
    };
    same.or_else(alias).copied()
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
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Letters and digits alone, in lower case: `RateLimit`, `rate-limit` and `rate_limit` are one.
pub(crate) fn normal(key: &str) -> String {
    key.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

fn absent(written: &str, keys: &[&'static str]) -> Option<Guess> {
    let written = normal(written);
    let fits = |section: &&str| section.is_empty() || keys.contains(section);
    let mut rows = ABSENT.iter();
    let (_, _, help) =
        rows.find(|(names, section, _)| names.contains(&written.as_str()) && fits(section))?;
    Some(Guess::help(*help))
}

/// A key that is there already would be written twice under its own name.
fn taken(meant: &str, entries: &[Entry], reader: &Reader<'_>) -> Option<Guess> {
    let line = reader.line(find(entries, meant)?);
    Some(Guess::help(format!("line {line} has `{meant}` already; put both into one")))
}

/// A rate limit under another name or in another place, such as go-zero's `RateLimit: { Enable, QPS,
/// Burst }`, in our spelling and with the numbers as written.
fn rate_limit(entry: &Entry, keys: &[&'static str], reader: &Reader<'_>) -> Option<Guess> {
    spelling(&entry.key, &["rate_limit"])?;
    let entries = reader.node(entry.value).entries();
    let block = respell::mapping::<RateLimitYaml>(entries, false, reader)?;
    let place = if keys.contains(&"rate_limit") { "" } else { " on a route" };
    Some(Guess::help(format!("write{place} `rate_limit: {block}`")))
}

/// What goes into `shared`, written beside it or without it.
fn of_shared(
    entry: &Entry,
    entries: &[Entry],
    keys: &[&'static str],
    reader: &Reader<'_>,
) -> Option<Guess> {
    let key = spelling(&entry.key, SharedForm::KEYS).filter(|_| keys.contains(&"shared"))?;
    let store = placeholder("store");
    let value = respell::inline(entry.value, reader)?;
    let block = match key {
        "store" => format!("{{ store: {value} }}"),
        key => format!("{{ store: {store}, {key}: {value} }}"),
    };
    reader.tried::<SharedForm>(&block).ok()?;
    Some(Guess::help(match find(entries, "shared") {
        Some(_) => format!("it goes into `shared`, as in `shared: {block}`"),
        None => format!("write `shared: {block}`"),
    }))
}

/// `key:value` and `1,000` inside `{ }`, where YAML takes the one for one word and the other for two.
fn flow_slip(entry: &Entry, keys: &[&'static str], reader: &mut Reader<'_>) -> Option<Guess> {
    if entry.key.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Guess::help("a comma inside `{ }` ends a value; write numbers without"));
    }
    let (written, value) = entry.key.split_once(':')?;
    let meant = spelling(written, keys)?;
    reader.tell_no_more(entry.value);
    let pair = crate::diagnostics::cut(&format!("{meant}: {value}"));
    let help = format!("put a space after the colon: `{pair}`");
    Some(Guess { help, meant: Some(meant) })
}

/// A key's value as an example; that of `upstream` is its name, where there is only one.
pub(crate) fn example(key: &str, reader: &Reader<'_>) -> String {
    let upstream = if key == "upstream" { only_upstream(reader) } else { None };
    upstream.unwrap_or_else(|| placeholder(key)).to_owned()
}

fn only_upstream<'a>(reader: &Reader<'a>) -> Option<&'a str> {
    let upstreams = find(reader.node(Tree::ROOT).entries(), "upstreams")?;
    let [only] = reader.node(upstreams).entries() else { return None };
    Some(only.key.as_str()).filter(|name| respell::is_bare(name))
}

/// An example for any file, for the keys that a file cannot do without and those of `per`.
fn placeholder(key: &str) -> &'static str {
    match key {
        "version" => "1",
        "listeners" => "[{ address: \"0.0.0.0:8080\", upstream: app }]",
        "upstreams" => "{ app: { endpoints: [\"127.0.0.1:3000\"] } }",
        "address" => "0.0.0.0:8080",
        "endpoints" => "[\"127.0.0.1:3000\"]",
        "qps" => "100",
        "upstream" => "<the name of an upstream>",
        "path" => "/healthz",
        "grpc" => "\"\"",
        "tcp" => "true",
        "for" => "200ms",
        "rate" => "64B",
        "header" => "x-api-key",
        "cookie" => "session",
        "query" => "api_key",
        "store" => "redis://127.0.0.1:6379/0",
        _ => "...",
    }
}
