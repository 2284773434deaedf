//! Both formats, read by the parsers that users have.
//!
//! Python's prometheus-client reads both and is strict about OpenMetrics; promtool judges the older
//! one. `WEIR_PYTHON` names an interpreter that has the package; `make test` sets it.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Write},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use axum::http::Request;
use serde::Deserialize;
use weir_policy::Outcome;

use crate::{
    admin::fixture::{Fixture, WORKERS, ask},
    clock,
    observe::metrics::Format,
    reason::Reason,
    shared::Shared,
};

/// Prints the families of what it reads, as JSON.
const PARSER: &str = r#"
import json, sys
from prometheus_client.parser import text_string_to_metric_families as prometheus
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
parse = open_metrics if sys.argv[1] == "open_metrics" else prometheus
print(json.dumps([
    {"name": family.name, "kind": family.type, "help": family.documentation,
     "samples": [[sample.name, sample.labels, str(float(sample.value))] for sample in family.samples]}
    for family in parse(sys.stdin.read())]))
"#;

#[derive(Debug, Deserialize)]
struct Family {
    name: String,
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

/// Name, labels, and the value as Python writes it.
type Sample = (String, BTreeMap<String, String>, String);

/// Runs a program on `input`; `None`, and a line that says so, when it is not there.
fn run(command: &mut Command, input: &str) -> Option<Output> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: {} is not installed", command.get_program().display());
            return None;
        }
        child => child.unwrap(),
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that ends early is judged by what it says.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap_or_default();
    Some(output)
}

fn parse(format: &str, text: &str) -> Option<Vec<Family>> {
    let python = env::var("WEIR_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = run(Command::new(python).args(["-c", PARSER, format]), text)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`make test` installs what this needs: {said}\n{text}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// A fixture on which a little has happened.
pub(super) fn busy() -> Fixture {
    let fixture = Fixture::new();
    let shared = &fixture.admin.shared;
    let plan = shared.plan();
    let took = Duration::from_millis(7);
    for (route, reason, status) in [
        (&plan.routes[0].row, Reason::Ok, Some(200)),
        (&plan.routes[0].row, Reason::RateLimited, Some(429)),
        (&plan.routes[1].row, Reason::ClientCancel, None),
        (&plan.listeners[0].unrouted, Reason::NoRoute, Some(404)),
    ] {
        shared.ledger.page(0).begin(0);
        shared.ledger.page(0).end(0, route, reason, status, Some(took));
    }
    shared.ledger.page(1).begin(0);
    shared.ledger.page(1).shadow(&plan.routes[0].row, Reason::Overloaded);
    let route = &plan.routes[0];
    let breaker =
        route.breaker.of_endpoint(&route.upstream, &route.upstream.endpoints()[0]).unwrap();
    let ticket = breaker.admit(clock::now(), 0).unwrap();
    breaker.on_outcome(ticket, Outcome::Failure, clock::now(), 0);
    fixture
}

async fn scrape(fixture: &Fixture, accept: &str) -> (String, String) {
    let answer = ask(fixture.app(), Request::get("/metrics").header("accept", accept)).await;
    assert_eq!(answer.status, 200);
    (answer.header("content-type").to_owned(), answer.body)
}

fn value<'a>(families: &'a [Family], name: &str, labels: &[(&str, &str)]) -> &'a str {
    let of_name = families.iter().flat_map(|family| &family.samples).filter(|one| one.0 == name);
    let all = |one: &&Sample| {
        labels.iter().all(|(label, value)| one.1.get(*label).is_some_and(|found| found == value))
    };
    let found: Vec<_> = of_name.filter(all).collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
    &found[0].2
}

#[tokio::test]
async fn both_formats_are_read_by_strict_parsers_and_say_the_same() {
    let fixture = busy();
    let (kind, prometheus) = scrape(&fixture, "*/*").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!prometheus.contains("# EOF"));
    let (kind, open_metrics) = scrape(&fixture, "application/openmetrics-text").await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open_metrics.ends_with("# EOF\n"));
    let Some(old) = parse("prometheus", &prometheus) else { return };
    let Some(new) = parse("open_metrics", &open_metrics) else { return };

    for (old, new) in old.iter().zip(&new) {
        assert!(!new.help.is_empty(), "{}", new.name);
        assert_eq!(old.help, new.help, "{}", new.name);
        let kind = if new.kind == "info" { "gauge" } else { &new.kind };
        assert_eq!(old.kind, kind, "{}", new.name);
        // The process does not stand still between two scrapes.
        if !new.name.starts_with("process_") && new.name != "weir_retry_tokens" {
            assert_eq!(old.samples, new.samples, "{}", new.name);
        }
    }
    assert_eq!(old.len(), new.len());
    assert!(new.iter().all(|family| family.kind != "unknown"));

    let partner = ("route", r#"partner "api" \ {v=1}"#);
    let on = |more| [partner, more];
    for (name, labels, expected) in [
        ("weir_requests_received_total", [("listener", "ingress"); 2], "5.0"),
        ("weir_requests_in_flight", [("listener", "ingress"); 2], "1.0"),
        ("weir_requests_total", on(("reason", "rate_limited")), "1.0"),
        ("weir_requests_total", on(("reason", "upstream_reset")), "0.0"),
        ("weir_requests_total", [("route", "-"), ("reason", "no_route")], "1.0"),
        ("weir_responses_total", on(("status", "4xx")), "1.0"),
        ("weir_shadow_refusals_total", on(("reason", "overloaded")), "1.0"),
        ("weir_breaker_state", on(("state", "open")), "1.0"),
        ("weir_breaker_state", on(("state", "closed")), "0.0"),
        ("weir_breaker_failures", on(("endpoint", "127.0.0.1:3000")), "1.0"),
        ("weir_breaker_refused_share", on(("policy", partner.1)), "1.0"),
        ("weir_rate_limit_qps", [partner; 2], "0.5"),
        ("weir_concurrency_headroom", on(("policy", partner.1)), "64.0"),
        ("weir_concurrency_queue_length", [partner; 2], "384.0"),
        ("weir_concurrency_refused_total", on(("priority", "high")), "0.0"),
    ] {
        assert_eq!(value(&new, name, &labels), expected, "{name} {labels:?}");
    }
    assert_eq!(value(&new, "weir_ready", &[]), "1.0");
    let route = ("http_route", partner.1);
    let bucket =
        |le| value(&new, "http_server_request_duration_seconds_bucket", &[route, ("le", le)]);
    assert_eq!([bucket("0.005"), bucket("0.01"), bucket("+Inf")], ["0.0", "2.0", "2.0"]);
}

#[tokio::test]
async fn promtool_finds_nothing_to_say() {
    let (_, text) = scrape(&busy(), "*/*").await;
    let Some(output) = run(Command::new("promtool").args(["check", "metrics"]), &text) else {
        return;
    };
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Writes requests of every class to a page until told to stop; returns how many.
fn walk(shared: &Shared, worker: usize, stop: &AtomicBool) -> u64 {
    const ENDS: [Reason; 3] = [Reason::Ok, Reason::RateLimited, Reason::ClientCancel];
    let plan = shared.plan();
    let rows = [&plan.routes[0].row, &plan.routes[1].row, &plan.listeners[0].unrouted];
    let page = shared.ledger.page(worker);
    let mut requests = 0;
    while requests < 1_000 || !stop.load(Relaxed) {
        page.begin(0);
        thread::yield_now();
        page.end(
            0,
            rows[requests as usize % 3],
            ENDS[requests as usize % 3],
            Some(200),
            Some(Duration::ZERO),
        );
        requests += 1;
    }
    requests
}

/// The sum of all samples with this name.
fn sum(text: &str, name: &str) -> u64 {
    let samples = text
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    samples.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn within_one_scrape_what_was_received_is_what_has_ended_and_what_is_in_flight() {
    let fixture = Fixture::new();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (shared, stop) = (Arc::clone(&fixture.admin.shared), Arc::clone(&stop));
            thread::spawn(move || walk(&shared, worker, &stop))
        })
        .collect();
    for _ in 0..200 {
        let text = fixture.admin.metrics.render(Format::Prometheus).unwrap();
        let received = sum(&text, "weir_requests_received_total");
        let ended = sum(&text, "weir_requests_total");
        assert_eq!(received, ended + sum(&text, "weir_requests_in_flight"), "{text}");
        assert_eq!(ended, sum(&text, "http_server_request_duration_seconds_count"), "{text}");
    }
    stop.store(true, Relaxed);
    let walked: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    let text = fixture.admin.metrics.render(Format::Prometheus).unwrap();
    assert_eq!(sum(&text, "weir_requests_total"), walked);
}
