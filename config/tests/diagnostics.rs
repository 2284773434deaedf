//! The wording of every diagnostic, by snapshot: rows of fragments, each wrong in its own way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod whole;

use std::fmt::Write as _;

use weir_config::load;

use self::whole::{beside, file, listener, route, upstream};

/// What every variable here holds, and what no message may.
const SECRET: &str = "hunter2";

fn env(name: &str) -> Option<String> {
    (name == "SECRET").then(|| SECRET.to_owned())
}

/// A snapshot of every row with its diagnostics; a row without any is a mistake of the row.
#[track_caller]
fn check(name: &str, rows: &[&str], whole: impl Fn(&str) -> String) {
    let mut snapshot = String::new();
    for row in rows {
        let diagnostics = load(&whole(row), "weir.yaml", &env).expect_err(row);
        let printed = diagnostics.to_string();
        assert!(diagnostics.len() > 0, "{row}");
        assert!(!printed.contains(SECRET) && !printed.contains("tok-literal"), "{printed}");
        let row: String = row.chars().take(200).collect();
        writeln!(snapshot, "=== {row}\n{printed}").unwrap();
    }
    insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!(name, snapshot) });
}

#[test]
fn breakers() {
    check(
        "breakers",
        &[
            "breaker: { error_ratio: 150% }",
            "breaker: { error_ratio: -5% }",
            "breaker: { error_ratio: 0% }",
            "breaker: { error_ratio: 0.5 }",
            "breaker: { error_ratio: 50 }",
            "breaker: { error_ratio: half }",
            "breaker: { slow_ratio: 80% }",
            "breaker: { slow_after: 1s }",
            "breaker: { window: 10s }",
            "breaker: { error_ratio: 50%, open_for: 10s, open_max: 5s }",
            "breaker: { consecutive: 0 }",
            "breaker: { consecutive: 5, probes: 2000 }",
            "breaker: { adaptive: { k: 1 } }",
            "breaker: { adaptive: { k: .inf } }",
            "breaker: { adaptive: {}, error_ratio: 50% }",
            "breaker: adaptative",
            "breaker: { mode: shadwo }",
            "breaker: { per: host }",
            "breaker:",
            "breaker: [adaptive]",
            "breaker: { threshold: 5 }",
            "breaker: { errors: 5 }",
        ],
        route,
    );
}

#[test]
fn rate_limits() {
    check(
        "rate_limits",
        &[
            "rate_limit: {}",
            "rate_limit: []",
            "rate_limit: 100",
            "rate_limit: { qps: 0 }",
            "rate_limit: { qps: 2000000 }",
            "rate_limit: { qps: many }",
            "rate_limit: { qps: \"100\" }",
            "rate_limit: { qps: 1, burst: 0 }",
            "rate_limit: { qps: 1, burst: 1.5 }",
            "rate_limit: { qps: 1, keys: 10000001 }",
            "rate_limit: { qps: 1, per: cleint }",
            "rate_limit: { qps: 1, per: [] }",
            "rate_limit: { qps: 1, per: [client, client] }",
            "rate_limit: { qps: 1, per: {} }",
            "rate_limit: { qps: 1, per: { header: a, cookie: b } }",
            "rate_limit: { qps: 1, per: { header: \"x y\" } }",
            "rate_limit: { qps: 1, per: { client: { v6_prefix: 129 } } }",
            "rate_limit: { qps: 1, charge_on_reject: yes }",
            "rate_limit: { qps: 1, shared: { redis: x } }",
            "rate_limit: { qps: 1, shared: {} }",
            r#"rate_limit: { qps: 5, shared: "redis://:${EMPTY:-}@limits:6379" }"#,
            "rate_limit: { qps: 1, shared: [redis://a] }",
            "rate_limit: { qps: 1, shared: redis:// }",
            "rate_limit: { qps: 1, shared: \"redis://:tok-literal@app:6379/0\" }",
            "rate_limit: { qps: 1, shared: \"redis://:tok-literal${SECRET}@app\" }",
            "rate_limit: { qps: 1, shared: \"rediss://u:tok-literal@app:6379/0\" }",
            "rate_limit: { qps: 1, shared: \"redis://:${SECRET}@app/x\" }",
            "rate_limit: { qps: 1, shared: \"${SECRET}\" }",
            "rate_limit: { qps: 1, shared: { store: redis://a, timeout: 0ms } }",
            "rate_limit: { qps: 1, shared: { store: redis://a, on_loss: local, retries: 3 } }",
            "rate_limit: { qps: 1, shared: redis://a, on_store_loss: open }",
            "rate_limit: [{ qps: 1, name: a }, { qps: 2, name: a }]",
            "rate_limit: { QPS: 100, Burst: 20 }",
            "RateLimit: { Enable: true, QPS: 100, Burst: 20 }",
            "ratelimit: { enable: false, qps: \"${SECRET}\" }",
            "rate_limit: off",
            "rate_limit: { qps: 1,000 }",
            "rate_limit: { requests_per_unit: 100, unit: second }",
            "rate_limit: { qps: 1, per: ${SECRET} }",
            "rate_limit: { qps: 1, per_ip: true }",
            "rate_limit: { qps: 1, enabled: true }",
            "rate_limit:\nqps: 100",
            "rate_limit: { qps: 100 }\nRateLimit: { QPS: 50 }",
        ],
        route,
    );
}

#[test]
fn other_policies() {
    check(
        "other_policies",
        &[
            "concurrency: { limit: 0 }",
            "concurrency: { limit: adaptiv }",
            "concurrency: { limit: many }",
            "concurrency: { limit: 5, queue: { length: -1 } }",
            "concurrency: { limit: 5, queue: { length: none } }",
            "concurrency: { limit: 5, queue: { timeout: 0s } }",
            "concurrency: { queue: { length: 5 } }",
            "concurrency: { limit: 5, max: 10 }",
            "concurrency: { min: 30, max: 20 }",
            "concurrency: { max: 10, start: 20 }",
            "concurrency: { min: 0 }",
            "concurrency: { fair_per: [client] }",
            "priority: urgent",
            "priority: 1",
            "priority: { header: x priority }",
            "priority: { clients: { critical: [10.0.0.0/8] } }",
            "priority: { clients: { low: 10.0.0.1/8 } }",
            "priority: { clients: { low: [] } }",
            "timeout: { total: 5 }",
            "timeout: { total: 0s }",
            "timeout: { total: 25h }",
            "timeout: { total: 1.5s }",
            "timeout: { connect: 10s, total: 5s }",
            "timeout: { first_byte: 10s, total: 5s }",
            "limits: { body: 10 }",
            "limits: { body: 10K }",
            "limits: { body: 2000GiB }",
            "limits: { body: large }",
            "timeouts: { total: 5s }",
            "circuit_breaker: adaptive",
            "max_concurrency: 5",
            "retry: { attempts: 11 }",
            "retry: { attempts: 2, budget: { ratio: 0%, per_second: 0 } }",
            "retry: { attempts: 2, budget: { ratio: 0.2 } }",
            "retry: { attempts: 2, on: [5xx] }",
            "retry: { attempts: 2, on: [200] }",
            "retry: { attempts: 2, on: [] }",
            "retry: { attempts: 2, methods: [post] }",
            "retries: 3",
            "queue: 10",
            "connect_timeout: 5s",
            "path_prefix: /a",
            "mode: shadow",
            "limit: 64",
            "timeout: { idle: 0 }",
            "timeout: { total: unlimited }",
            "timeout: { write: 5s }",
            "timeout: { total: 5s }\nconcurrency: 64\ntimeouts: { idle: 5s }",
            "deadlines: { total: 5s }\ntimeouts: { idle: 5s }",
            "stream: true\nlimits: { body: 10MiB }",
            "stream: \"true\"",
            "stream: on",
        ],
        route,
    );
}

#[test]
fn faults() {
    check(
        "faults",
        &[
            "faults: {}",
            "faults: true",
            "faults: { delay: {} }",
            "faults: { delay: { for: 0s } }",
            "faults: { delay: { for: 30s } }",
            "timeout: { total: 5s }\nfaults: { delay: { for: 6s }, abort: { status: 200 } }",
            "faults: { delay: { for: 1s, ratio: 0% } }",
            "faults: { delay: { for: 1s, ratio: 0.1 } }",
            "faults: { abort: { status: 600 } }",
            "faults: { abort: { grpc_status: 14 } }",
            "faults: { abort: { grpc_status: OK } }",
            "faults: { abort: { reset: true, status: 503, grpc_status: INTERNAL } }",
            "faults: { drip: { rate: 0B } }",
            "faults: { drip: { rate: 64 } }",
            "faults: { header: {} }",
            "faults: { header: x-chaos }",
            "faults: { header: { name: content-type, abort: true } }",
            "faults: { header: { abort: false } }",
            "fault_injection: { delay: { for: 1s } }",
        ],
        route,
    );
}

#[test]
fn matches() {
    check(
        "matches",
        &[
            "match: { path: /a, path_prefix: / }",
            "match: { path: a }",
            "match: { path: /a?b=c }",
            "match: { path_regex: \"(\" }",
            "match: { path_regex: \"a)|(b\" }",
            "match: { path_regex: \"[${SECRET}\" }",
            "match: { host: \"http://example.org\" }",
            "match: { methods: [get] }",
            "match: { methods: GET }",
            "match: { headers: { x-a: 1 } }",
            "match: { headers: { x-a: a, X-A: b } }",
            "match: { headers: { \"x a\": a } }",
            "match: { headers: [x-a] }",
            "match: { prefix: /a }",
            "match: { path_prefix: /a/* }",
            "match: { headers: { x-a: \"${EMPTY:-}\" } }",
            "name: \" a\"",
            "name: \"\"",
            "name: 5",
        ],
        route,
    );
}

#[test]
fn listeners() {
    check(
        "listeners",
        &[
            "upstream: ap",
            "upstream: ${SECRET}",
            "upstream: database",
            "routes: []",
            "upstream: app\nroutes: [{ upstream: app }]",
            "limits: {}",
            "upstream: app\nlimits: { headers: 257 }",
            "upstream: app\nlimits: { header_bytes: 2MiB }",
            "upstream: app\nlimits: { uri_bytes: 1B }",
            "routes: [{ upstream: app }, { upstream: app }]",
            "routes:\n  - { name: a, upstream: app }\n  - { name: a, upstream: app }",
            "routes:\n  - { upstream: app, breaker: { consecutive: 1, name: b } }\n  - { name: b, upstream: app }",
            "routes:\n  - { upstream: app, timeout: &t { total: 5 } }\n  - { upstream: app, name: b, timeout: *t }",
            "timeout: 5s\nupstream: app",
            "concurrency: { limit: 5 }\nupstream: app",
            "tls: { cert: a.pem }\nupstream: app",
            "upstream: 127.0.0.1:3000",
            "upstream: app\nhost: 0.0.0.0\nport: 8080",
            "routes: { upstream: app }",
            "routes: [app]",
            "routes: [{}]",
        ],
        listener,
    );
}

#[test]
fn addresses() {
    let whole =
        |address: &str| file(&format!("listeners:\n  - {{ upstream: app, address: {address} }}"));
    check(
        "addresses",
        &[
            "8080",
            "localhost:8080",
            "\":8080\"",
            "\"*:8080\"",
            "127.0.0.1",
            "\"::1\"",
            "\"::1:8080\"",
            "[::1]",
            "[::1]:8080",
            "http://0.0.0.0:80",
            "unix:run.sock",
            "0.0.0.0:99999",
            "${SECRET}",
            "\"${SECRET}\"",
        ],
        whole,
    );
}

#[test]
fn upstreams() {
    check(
        "upstreams",
        &[
            "{}",
            "{ endpoints: [] }",
            "{ endpoints: \"127.0.0.1:3000\" }",
            "{ endpoints: [\"http://app:3000/x\"] }",
            "{ endpoints: [\"https://app.example.org\"] }",
            "{ endpoints: [\"http://user:word@app:3000\"] }",
            "{ endpoints: [\"user:tok-literal@127.0.0.1:3000\"] }",
            "{ endpoints: [\"user:tok-literal@app\"] }",
            "{ host: user:tok-literal@app, port: 80 }",
            "{ endpoints: [app] }",
            "{ endpoints: [\"127.0.0.1\"] }",
            "{ endpoints: [\"::1\"] }",
            "{ endpoints: [\"::1:3000\"] }",
            "{ endpoints: [\"127.0.0.1:0\"] }",
            "{ endpoints: [\"300.0.0.1:80\"] }",
            "{ endpoints: [\"a:1\", \"A:1\"] }",
            "{ endpoints: [\"unix:app.sock\"] }",
            "{ endpoints: [\"a:1\"], balance: random }",
            "{ endpoints: [\"a:1\"], protocol: h3 }",
            "{ endpoints: [\"a:1\", \"b:1\"], tls: {} }",
            "{ endpoints: [\"10.0.0.1:443\"], tls: { ca: \"\" } }",
            "{ endpoints: [\"a:1\"], tls: true }",
            "{ endpoints: [\"a:1\"], tls: { sni: \"*.example.org\" } }",
            "{ endpoints: [\"a:1\"], runtime: { go_pprof: 127.0.0.1:6060 } }",
            "{ hosts: [\"a:1\"] }",
            "{ endpoints: [\"a:1\"], tls: false }",
            "{ endpoints: [\"a:1\"], timeout: 5s }",
            "{ endpoints:[\"a:1\"] }",
        ],
        upstream,
    );
}

#[test]
fn endpoints() {
    let of = |more: &str| upstream(&format!("{{ endpoints: [\"a:1\"], {more} }}"));
    check(
        "health_checks",
        &[
            "health_check: { path: /healthz, tcp: true }",
            "health_check: { path: /healthz, grpc: \"\" }",
            "health_check: { grpc: \"\" }",
            "health_check: { grpc: true }",
            "health_check: { grpc: a/b, path: / }",
            "health_check: { tcp: false }",
            "health_check: { tcp: true, statuses: 200 }",
            "health_check: { host: app }",
            "health_check: { path: \"/a#b\" }",
            "health_check: { path: \"/a?b#c\" }",
            "health_check: { path: /, statuses: [200, 99] }",
            "health_check: { path: /, statuses: 299-200 }",
            "health_check: { path: /, statuses: [] }",
            "health_check: { path: /, interval: 1s, timeout: 2s }",
            "health_check: { path: /, timeout: 11s }",
            "health_check: { path: /, healthy_after: 0 }",
            "health_check: { path: \"${SECRET}\" }",
            "health_check: { pth: /, expect: 200 }",
            "health_check:",
        ],
        of,
    );
    check(
        "outliers",
        &[
            "outlier: { consecutive: 0 }",
            "outlier: { error_ratio: 0% }",
            "outlier: { ejection_time: 10m, ejection_time_max: 5m }",
            "outlier: { max_ejected: 101% }",
            "outlier: { mode: off }",
            "outlier_detection: { consecutive_5xx: 5, base_ejection_time: 30s }",
            "slow_start: -1s",
        ],
        of,
    );
    check("outliers_of_one", &["outlier: {}", "outlier: { consecutive: 3 }"], |more| {
        upstream(&format!("{{ endpoints: [\"10.0.0.1:80\"], {more} }}"))
    });
}

#[test]
fn the_rest_of_the_file() {
    check(
        "the_rest_of_the_file",
        &[
            "admin: { address: 0.0.0.0:9901 }",
            "admin: { address: 127.0.0.1:1, health_address: 127.0.0.1:1 }",
            "admin: { address: 0.0.0.0:8080, token: \"${SECRET}\" }",
            "admin: { token: tok-literal }",
            "admin: { token: \"${SECRET}-${SECRET}\" }",
            "admin: { token: \"${SECRET}}\" }",
            "admin: { token: \"${TOKEN:-tok-literal}\" }",
            "admin: { token: \"${TOKEN:?ask the platform team}\" }",
            "admin:\n  token:\n    tok-literal",
            "admin: { token: \"${TOKEN}\" }",
            "admin: { tokn: tok-literal }",
            "admin: { token:tok-literal }",
            "admin:\n  token:tok-literal",
            "threads: 0",
            "threads: many",
            "trusted: 10.0.0.0/8",
            "trusted: [10.0.0.1/8, example.org]",
            "shutdown: { drain_delay: 30s }",
            "shutdown: { deadline: 0s }",
            "reload: { watch: yes }",
            "reload: { watch: false, interval: 5s }",
            "reload: { interval: 0s }",
            "reload: { every: 5s }",
            "listener: []",
            "admin: { adress: 127.0.0.1:1 }",
            "zzz: 1",
            "log_level: debug",
            "timeout: { total: 5s }",
            "<<: { threads: 1 }",
            "threads: ${SECRET}",
            "threads: ${UNSET}",
            "threads: ${UNSET:?set it to the cores}",
            "threads: ${SECRET",
            "threads: ${SECRET:+1}",
        ],
        beside,
    );
}

#[test]
fn files_that_are_no_configuration() {
    let nested = "[".repeat(1 << 20);
    let aliases = format!(
        "a: &a [x, x, x]\n{}",
        ('b'..'z')
            .zip('a'..)
            .map(|(b, a)| format!("{b}: &{b} [*{a}, *{a}, *{a}]\n"))
            .collect::<String>()
    );
    check(
        "files_that_are_no_configuration",
        &[
            "",
            "\u{feff}",
            "# nothing\n",
            "null",
            "~\n",
            "hello",
            "- version: 1",
            "version: 1",
            "version: 2\n",
            "version: \"1\"",
            "version: 1\n---\nversion: 1\n",
            "version: 1\n\tlisteners: []\n",
            "version: 1\r\nzzz: 1\r\n",
            "version: 1\nlisteners:\n  - address: 0.0.0.0:8080\n  upstream: app\n",
            "version: 1\nlisteners:\n  - name: a\n      address: 0.0.0.0:8080\n",
            "version: 1\nlisteners:\n  - address: *:8080\n",
            "version: 1\nlisteners:\n  - name: %a\n",
            "version:1\nlisteners: []\n",
            "version: 1\nlisteners: {}\nupstreams: [\"a:1\"]\n",
            "version: 1\nlistener:\n  - { address: 8080, upstream: app }\nupstream:\n  app: { endpoints: [app] }\n",
            "version: 1\nlisteners: [{ address: 0.0.0.0:8080, upstream: app }]\n",
            "version: 1\nlisteners: [\"0.0.0.0:80\"]\nupstreams: { a: { endpoints: [\"a:1\"] }, b: { endpoints: [\"b:1\"] } }\n",
            "server {\n  listen 8080;\n}\n",
            "a: [1\nb: 2\n",
            "a: *b\n",
            "a: &a { b: *a }\n",
            "a: 'b\n",
            "? [a]\n: b\n",
            "version: !!int 1\n",
            "version: 1\nversion: 1\nversion: 1\n",
            "a: \"\\e[31m\"\n",
            "\"\\e[31m\": a\n",
            "{ version: ${SECRET} }",
            "admin:\n  token: \"tok-literal\n",
        ],
        str::to_owned,
    );
    check("bombs", &[&nested, &aliases], str::to_owned);
}

/// Only so many problems are printed; the rest are counted.
#[test]
fn output_is_bounded() {
    let endpoints = "x, ".repeat(300);
    let diagnostics =
        load(&upstream(&format!("{{ endpoints: [{endpoints}] }}")), "weir.yaml", &env).unwrap_err();
    let printed = diagnostics.to_string();
    assert_eq!(diagnostics.len(), 300);
    assert!(printed.ends_with("and 250 more\n"), "{printed}");
    assert!(printed.lines().all(|line| line.chars().count() <= 140), "{printed}");
}
