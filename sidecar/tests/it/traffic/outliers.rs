//! Endpoints that fail where others do not: passed over, used again, and never the last one.

use serde_json::Value;

use super::{
    clinic::Serving,
    curl::curl,
    wire::{Service, Wire},
};
use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::{Backend, Step, answer},
        client::Ask,
        settled,
    },
    weir::{Weir, until},
};

fn before(endpoints: &[String], upstream: &str, route: &str) -> Weir {
    Weir::start(&format!(
        "trusted: [127.0.0.1]\nlisteners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: {endpoints:?}, {upstream} }} }}\n"
    ))
}

const NO_BREAKER: &str = "breaker: { mode: disabled }";

fn get(weir: &Weir, path: &str) -> (u16, String) {
    let answer = RUNTIME.block_on(Ask::get(path).of(weir.address(), Speaks::H1));
    (answer.status, answer.reason)
}

fn statuses(weir: &Weir, count: usize) -> Vec<u16> {
    (0..count).map(|_| get(weir, "/").0).collect()
}

fn endpoints(weir: &Weir) -> Vec<Value> {
    let shown: Vec<Value> = serde_json::from_str(&weir.admin_get("/upstreams").1).unwrap();
    shown[0]["endpoints"].as_array().unwrap().clone()
}

fn ejections(weir: &Weir) -> f64 {
    weir.metric("weir_endpoint_ejections_total", &[])
}

fn good() -> Backend {
    Backend::start(Speaks::H1, |_| answer(200, 2))
}

fn bad() -> Backend {
    Backend::start(Speaks::H1, |_| answer(500, 2))
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

#[test]
fn one_that_fails_is_passed_over_and_comes_back() {
    let (good, bad) = (good(), bad());
    let endpoints_of = [bad.address.to_string(), good.address.to_string()];
    let outlier = "slow_start: 0s, outlier: { consecutive: 3, ejection_time: 2s }";
    let weir = before(&endpoints_of, outlier, NO_BREAKER);
    assert_eq!(count(&statuses(&weir, 6), 500), 3);
    weir.wait_for_log("was=\"healthy\" state=\"ejected\" why=\"failures in a row");
    let first = &endpoints(&weir)[0];
    assert_eq!((&first["state"], &first["share"]), (&"ejected".into(), &0.0.into()), "{first:#}");
    let begun = bad.begun();
    until("it comes back", || {
        get(&weir, "/");
        bad.begun() > begun
    });
    weir.wait_for_log("was=\"ejected\"");
    until("it is ejected again", || {
        get(&weir, "/");
        ejections(&weir) == 2.0
    });
    let first = &endpoints(&weir)[0];
    assert_eq!(first["ejections"]["times_in_a_row"], 2, "{first:#}");
    assert_eq!(bad.begun(), 6, "three each time");
}

#[test]
fn a_dead_one_costs_five_requests_with_no_word_about_it() {
    let clinic = Serving::clinic();
    let weir = before(
        &[clinic.address.to_string(), Service::listen().address.to_string()],
        "",
        NO_BREAKER,
    );
    let verdicts: Vec<_> = (0..100).map(|_| get(&weir, "/healthz")).collect();
    let lost: Vec<_> = verdicts.iter().filter(|verdict| verdict.0 != 200).collect();
    assert_eq!(lost, [&(502, "upstream_connect".to_owned()); 5], "of a hundred");
}

#[test]
fn the_last_one_is_never_passed_over() {
    let dead = [(); 3].map(|()| Service::listen().address.to_string());
    let outlier =
        "outlier: { consecutive: 1, max_ejected: 100%, ejection_time: 1h, ejection_time_max: 1h }";
    let weir = before(&dead, outlier, NO_BREAKER);
    for _ in 0..50 {
        assert_eq!(get(&weir, "/"), (502, "upstream_connect".to_owned()));
        let ejected = weir.metric("weir_endpoint_state", &["state=\"ejected\""]);
        assert!(ejected <= 2.0, "{ejected}");
    }
    assert_eq!(weir.metric("weir_upstream_panicked_total", &[]), 0.0);
}

#[test]
fn only_what_an_endpoint_did_counts() {
    let backends = [(); 2].map(|()| {
        Backend::start(Speaks::H1, |path| match path {
            "/stuck" => vec![Step::Read, Step::Silence],
            "/429" => answer(429, 2),
            "/404" => answer(404, 2),
            _ => answer(200, 2),
        })
    });
    let addresses = backends.each_ref().map(|backend| backend.address.to_string());
    let route =
        "breaker: { mode: disabled }, limits: { body: 1B }, rate_limit: { qps: 0.001, burst: 20 }";
    let weir = before(&addresses, "outlier: { consecutive: 1 }", route);
    for path in ["/404", "/404", "/429", "/429"] {
        get(&weir, path);
    }
    for _ in 0..2 {
        // A caller's own deadline, and one who leaves.
        let ask = "GET /stuck HTTP/1.1\r\nhost: app\r\nx-envoy-expected-rq-timeout-ms: 50\r\n\r\n";
        let mut caller = Wire::connect(weir.address());
        caller.say(ask);
        assert_eq!(caller.message().status(), 504);
        let begun: u32 = backends.iter().map(Backend::begun).sum();
        let mut leaving = Wire::connect(weir.address());
        leaving.say("GET /stuck HTTP/1.1\r\nhost: app\r\n\r\n");
        until("it is asked", || backends.iter().map(Backend::begun).sum::<u32>() > begun);
        drop(leaving);
        // What we refuse ourselves.
        assert_eq!(curl(&["--data", "two", &weir.url("/")]).status(), 413);
    }
    let limited = (0..20).map(|_| get(&weir, "/").0).any(|status| status == 429);
    assert!(limited, "the rate limit refuses too");
    settled(&weir, &backends.each_ref());
    assert_eq!(ejections(&weir), 0.0);
    assert!(endpoints(&weir).iter().all(|one| one["consecutive_failures"] == 0));
}

#[test]
fn in_shadow_it_is_told_and_used() {
    let (good, bad) = (good(), bad());
    let addresses = [bad.address.to_string(), good.address.to_string()];
    let weir = before(&addresses, "outlier: { consecutive: 2, mode: shadow }", NO_BREAKER);
    assert_eq!(count(&statuses(&weir, 20), 500), 10);
    assert_eq!(ejections(&weir), 1.0);
    weir.wait_for_log("mode=\"shadow\" was=\"healthy\" state=\"ejected\"");
}

#[test]
fn a_service_that_fails_as_a_whole_is_the_breakers_affair() {
    let bad = [(); 2].map(|()| bad());
    let addresses = bad.each_ref().map(|backend| backend.address.to_string());
    let breaker = "breaker: { consecutive: 8, open_for: 1h, open_max: 1h }";
    let weir = before(&addresses, "", breaker);
    assert_eq!(count(&statuses(&weir, 8), 500), 8);
    assert_eq!(get(&weir, "/"), (503, "breaker_open".to_owned()));
    assert_eq!(ejections(&weir), 0.0);
}

#[test]
fn what_was_tried_is_explained() {
    let dead = Service::listen().address.to_string();
    let weir = before(&[dead.clone(), good().address.to_string()], "", NO_BREAKER);
    until("the dead one is asked", || get(&weir, "/").0 == 502);
    let told = weir.last_explained();
    let inputs = &told["inputs"];
    assert_eq!(inputs["tried"], serde_json::json!([dead]), "{told:#}");
    assert_eq!(inputs["endpoints"], serde_json::json!({ "healthy": 2 }), "{told:#}");
    assert_eq!(inputs["in_panic"], false, "{told:#}");
}

#[test]
fn a_slow_one_gets_little_where_answer_times_count() {
    let slow = Backend::start(Speaks::H1, |_| {
        [vec![Step::Wait(std::time::Duration::from_millis(200))], answer(200, 2)].concat()
    });
    let quick = good();
    let addresses = [slow.address.to_string(), quick.address.to_string()];
    let weir = before(&addresses, "balance: peak_ewma", "");
    assert_eq!(statuses(&weir, 100), [200; 100]);
    assert!(slow.begun() >= 1 && slow.begun() <= 10, "{}", slow.begun());
    let latency = |place: usize| endpoints(&weir)[place]["latency_seconds"].as_f64().unwrap();
    assert!(latency(1) < 0.2, "{}", latency(1));
}
