//! First-hour mistakes: each has one message, and what that offers is accepted where it points.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod whole;

use std::fmt::Write as _;

use weir_config::load;

use self::whole::{beside, listener, route, upstream};

fn env(name: &str) -> Option<String> {
    (name == "QPS").then(|| "100".to_owned())
}

/// Every row has one message; written as it says, the file is whole.
#[track_caller]
fn check(name: &str, rows: &[&str], whole: impl Fn(&str) -> String) {
    let mut snapshot = String::new();
    for row in rows {
        let text = whole(row);
        let diagnostics = load(&text, "weir.yaml", &env).expect_err(row);
        let printed = diagnostics.to_string();
        assert_eq!(diagnostics.len(), 1, "{printed}");
        let mended = mended(&text, &printed);
        assert!(mended.iter().any(|text| load(text, "weir.yaml", &env).is_ok()), "{printed}");
        writeln!(snapshot, "=== {row}\n{printed}").unwrap();
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, snapshot) });
}

/// The ways in which a person may follow a message: put what it offers in the place of what is
/// underlined, or of that with what follows up to the end of a value; behind an underlined key; or on
/// a route.
fn mended(text: &str, printed: &str) -> Vec<String> {
    let mut place = printed.split(':').skip(1).map(|number| number.parse::<usize>());
    let (line, column) = (place.next().unwrap().unwrap(), place.next().unwrap().unwrap());
    let width = printed.chars().filter(|c| *c == '^').count();
    let help = printed.split("help: ").nth(1).unwrap();
    let offered = help.split('`').nth(1).unwrap_or_else(|| panic!("nothing is offered: {printed}"));
    let source = text.lines().nth(line - 1).unwrap();
    let (before, from) = source.split_at(column - 1);
    let (underlined, after) = from.split_at(width);
    let with = |new: String| text.replacen(source, &new, 1);
    let mut mended = vec![
        with(format!("{before}{offered}{after}")),
        with(format!("{before}{offered}")),
        with(format!("{before}{underlined}: {offered}")),
        route(offered),
    ];
    let ends = after.match_indices([',', '}']);
    mended.extend(ends.map(|(end, _)| with(format!("{before}{offered} {}", &after[end..]))));
    mended
}

#[test]
fn keys_in_the_spelling_of_others() {
    check(
        "keys",
        &[
            "rateLimit: { qps: 100 }",
            "rate-limit: { qps: 100 }",
            "RATE_LIMIT: { qps: 100 }",
            "RateLimit: { Enable: true, QPS: 100, Burst: 20 }",
            "RateLimit: { QPS: 100, Burst: 20, Strategy: token }",
            "RateLimit: { Enable: false, QPS: \"${QPS}\" }",
            "rate_limit: { Enable: true, QPS: 100, Burst: 20 }",
            "rate_limit: { rps: 100 }",
            "rate_limit: { qsp: 100 }",
            "breaker: { errorRatio: 50% }",
            "breaker: { error-ratio: 50%, openFor: 5s }",
            "breaker: { consecutive_5xx: 5 }",
            "breaker: { enabled: false }",
            "match: { methdos: [GET] }",
            "limits: { client_max_body_size: 10MiB }",
        ],
        route,
    );
    check(
        "keys_of_listeners",
        &[
            "upstream: app\nRateLimit: { Enable: true, QPS: 100, Burst: 20 }",
            "upstream: app\nrate_limit: { qps: 100 }",
            "upstreams: app",
            "backend: app",
            "route: [{ upstream: app }]",
            "routes: [{ upstream:app }]",
            "routes: [{ upstream: app, timeout: { total:5s } }]",
            "upstream:app",
        ],
        listener,
    );
    check(
        "keys_of_upstreams",
        &[
            "{ endpoint: [\"a:1\"] }",
            "{ hosts: [\"a:1\"] }",
            "{ host: 127.0.0.1, port: 3000 }",
            "{ host: app.internal, balance: round_robin, port: 3000 }",
            "{ endpoints: [\"a:1\"], outlierDetection: { consecutive: 5 } }",
            "{ endpoints: [\"a:1\"], outlier: { max_ejection_percent: 50% } }",
            "{ endpoints: [\"a:1\"], healthCheck: { path: /healthz } }",
            "{ endpoints: [\"a:1\"], health_check: { uri: /healthz } }",
            "{ endpoints: [\"a:1\"], health_check: { path: /, fall: 3 } }",
        ],
        upstream,
    );
    check(
        "keys_of_the_file",
        &[
            "workers: 4",
            "RateLimit: { Enable: true, QPS: 100, Burst: 20 }",
            "admin: { addr: 127.0.0.1:1 }",
        ],
        beside,
    );
}

#[test]
fn one_value_for_a_whole_section() {
    check(
        "sections",
        &[
            "concurrency: 64",
            "concurrency: adaptive",
            "concurrency: { limit: 5, queue: 10 }",
            "concurrency: { limit: 5, queue: 50ms }",
            "concurrency: off",
            "concurrency: { limit: auto }",
            "concurrency: { limit: vegas }",
            "concurrency: { limit: 5, queue: { length: adaptive } }",
            "priority: critical",
            "retry: 3",
            "retry: { on: [timeout] }",
            "retry: { num_retries: 3 }",
            "priority: x-priority",
            "rate_limit: 100",
            "rate_limit: 100/s",
            "rate_limit: ${QPS}",
            "rate_limit: [100]",
            "timeout: 5s",
            "timeout: 5",
            "timeout: 5 seconds",
            "match: /partner/",
            "limits: 10MiB",
            "breaker: off",
            "breaker: disabled",
            "breaker: false",
            "breaker: none",
            "breaker: on",
            "breaker: shadow",
            "breaker: 50%",
            "breaker: { adaptive: true }",
            "faults: { delay: 200ms }",
            "faults: { abort: 503 }",
            "faults: { abort: UNAVAILABLE }",
            "faults: { abort: true }",
            "faults: { delay: { duration: 1s } }",
            "faults: { drip: 64B }",
            "deadline: shadow",
            "deadline: off",
        ],
        route,
    );
    check(
        "sections_of_upstreams",
        &[
            "127.0.0.1:3000",
            "[\"a:1\", \"b:1\"]",
            "{ endpoints: [\"a:1\"], tls: true }",
            "{ endpoints: [\"a:1\"], tls: app.example.org }",
            "{ endpoints: [\"a:1\"], tls: /etc/ca.pem, balance: round_robin }",
            "{ endpoints: [\"a:1\"], health_check: /healthz }",
            "{ endpoints: [\"a:1\"], health_check: tcp }",
            "{ endpoints: [\"a:1\"], protocol: h2, health_check: grpc }",
            "{ endpoints: [\"a:1\"], health_check: true }",
            "{ endpoints: [\"a:1\"], health_check: { path: healthz } }",
            "{ endpoints: [\"a:1\"], health_check: { path: /, statuses: 2xx } }",
            "{ endpoints: [\"a:1\"], outlier: on }",
            "{ endpoints: [\"a:1\"], slow_start: 30 }",
        ],
        upstream,
    );
    check(
        "sections_of_the_file",
        &["admin: 127.0.0.1:9901", "admin: 9901", "shutdown: 30s"],
        beside,
    );
    let whole = |listener: &str| whole::file(&format!("listeners: [{listener}]"));
    check("sections_of_listeners", &["127.0.0.1:8080", "8080"], whole);
}

#[test]
fn words_in_the_spelling_of_others() {
    check(
        "words",
        &[
            "rate_limit: { qps: 1, per: header }",
            "rate_limit: { qps: 1, per: x-api-key }",
            "rate_limit: { qps: 1, per: cookie }",
            "rate_limit: { qps: 1, per: ip }",
            "rate_limit: { qps: 1, per: client_ip }",
            "rate_limit: { qps: 1, per: second }",
            "rate_limit: { qps: 1, per: { client: true } }",
            "rate_limit: { qps: 1, mode: off }",
            "rate_limit: { qps: 1, mode: dry_run }",
            "rate_limit: { qps: 1, charge_on_reject: yes }",
        ],
        route,
    );
    check(
        "words_of_upstreams",
        &[
            "{ endpoints: [\"a:1\"], balance: ROUND_ROBIN }",
            "{ endpoints: [\"a:1\"], balance: leastconn }",
            "{ endpoints: [\"a:1\"], balance: ewma }",
            "{ endpoints: [\"a:1\"], protocol: http2 }",
            "{ endpoints: [\"a:1\"], protocol: HTTP/1.1 }",
        ],
        upstream,
    );
}

#[test]
fn stores_of_shared_limits() {
    check(
        "stores",
        &[
            "rate_limit: { qps: 1, shared: true }",
            "rate_limit: { qps: 1, shared: { redis: \"redis://a\" } }",
            "rate_limit: { qps: 1, shared: { url: \"redis://a\" } }",
            "rate_limit: { qps: 1, global: redis://a }",
            "rate_limit: { qps: 1, shared: limits:6379 }",
            "rate_limit: { qps: 1, shared: valkey://limits:6379/1 }",
            "rate_limit: { qps: 1, shared: rediss://limits }",
            "rate_limit: { qps: 1, shared: memcached://limits:11211 }",
            "rate_limit: { qps: 1, shared: redis://limits/cache }",
            "rate_limit: { qps: 1, shared: \"redis://limits:6379?db=3\" }",
            "rate_limit: { qps: 1, on_store_loss: closed }",
            "rate_limit: { qps: 1, store: \"redis://limits\" }",
            "rate_limit: { qps: 1, shared: { store: redis://a, timeout: 2s } }",
            "rate_limit: { qps: 1, shared: { store: redis://a, timeout: 20 } }",
            "rate_limit: { qps: 1, shared: { store: redis://a, on_store_loss: fail_open } }",
        ],
        route,
    );
}

#[test]
fn numbers_times_and_sizes() {
    check(
        "numbers",
        &[
            "rate_limit: { qps: 100/s }",
            "rate_limit: { qps: 100 req/s }",
            "rate_limit: { qps: 1k }",
            "rate_limit: { qps: 1_000 }",
            "concurrency: { limit: 1_000 }",
            "timeout: { total: 5 }",
            "timeout: { total: 5S }",
            "timeout: { total: 5 s }",
            "timeout: { total: 5 seconds }",
            "timeout: { total: 1.5s }",
            "timeout: { total: 2min }",
            "timeout: { total: 1d }",
            "limits: { body: 10 }",
            "limits: { body: 10m }",
            "limits: { body: 10 MB }",
            "breaker: { error_ratio: 0.5 }",
        ],
        route,
    );
    check("times_of_the_file", &["shutdown: { drain_delay: 0 }"], beside);
}

#[test]
fn addresses() {
    check(
        "addresses",
        &[
            "{ endpoints: [3000] }",
            "{ endpoints: [\":3000\"] }",
            "{ endpoints: [app] }",
            "{ endpoints: [\"http://app:3000\"] }",
            "{ endpoints: [\"user:word@app:3000\"] }",
            "{ endpoints: \"127.0.0.1:3000\" }",
        ],
        upstream,
    );
    let whole = |address: &str| {
        whole::file(&format!("listeners:\n  - upstream: app\n    address{address}"))
    };
    check(
        "hosts_and_ports",
        &[
            "host: 127.0.0.1, port: 9090",
            "port: 9090, host: \"::\"",
            "address: 127.0.0.1, port: 9090",
            "host: localhost, port: 9090",
            "bind: \"*\", port: 9090",
            "host: 0.0.0.0, port: \"${QPS}\"",
        ],
        |pair| whole::file(&format!("listeners: [{{ {pair}, routes: [{{ upstream: app }}] }}]")),
    );
    check(
        "addresses_of_listeners",
        &[": 8080", ": \":8080\"", ": http://0.0.0.0:8080/", ":0.0.0.0:8080", ": localhost:8080"],
        whole,
    );
}
