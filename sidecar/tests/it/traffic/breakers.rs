//! Breakers: they open on failures, answer in the service's place, and find their way back.

use super::{clinic::behind, curl::curl};
use crate::weir::{Weir, until};

fn status(weir: &Weir, code: u16) -> (u16, String) {
    curl(&[weir.url(&format!("/status/{code}"))]).verdict()
}

fn state(weir: &Weir, state: &str) -> bool {
    weir.metric("weir_breaker_state", &[&format!("state=\"{state}\"")]) == 1.0
}

#[test]
fn failures_open_it_and_probes_close_it() {
    let (_clinic, weir) =
        behind("breaker: { consecutive: 3, open_for: 100ms, open_max: 100ms, probes: 2 }");
    for _ in 0..3 {
        assert_eq!(status(&weir, 500).0, 500, "what the service says is passed on");
    }
    until("it is open", || status(&weir, 500) == (503, "breaker_open".to_owned()));
    until("a probe passes", || status(&weir, 200).0 == 200);
    until("it has closed", || {
        status(&weir, 200);
        state(&weir, "closed")
    });
    assert_eq!(status(&weir, 200).0, 200);
}

#[test]
fn the_log_tells_each_change() {
    let (_clinic, weir) =
        behind("breaker: { consecutive: 1, open_for: 2s, open_max: 2s, probes: 1 }");
    assert_eq!(status(&weir, 500).0, 500);
    weir.wait_for_log("was=\"closed\" state=\"open\" requests=1 failures=1");
    weir.wait_for_log("was=\"open\" state=\"half_open\"");
    assert_eq!(status(&weir, 200).0, 200);
    weir.wait_for_log("was=\"half_open\" state=\"closed\"");
}

#[test]
fn an_open_one_says_when_to_come_back_and_spares_the_service() {
    let (_clinic, weir) = behind("breaker: { consecutive: 2, open_for: 1h, open_max: 1h }");
    for _ in 0..2 {
        assert_eq!(status(&weir, 503).0, 503);
    }
    for client in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[client, &weir.url("/status/200")]);
        assert_eq!(answer.verdict(), (503, "breaker_open".to_owned()));
        let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&wait), "{wait}");
    }
    assert!(state(&weir, "open"));
    assert_eq!(weir.metric("weir_requests_total", &["class=\"forwarded\""]), 2.0);
    weir.wait_for_log("reason=\"breaker_open\" class=\"rejected\" status=503 suppressed=0");
}

#[test]
fn a_share_of_failures_opens_it() {
    let (_clinic, weir) = behind(
        "breaker: { error_ratio: 50%, min_requests: 10, window: 1h, open_for: 1h, open_max: 1h }",
    );
    let codes = [200, 500, 200, 500, 200, 500, 200, 500, 200];
    assert_eq!(codes.map(|code| status(&weir, code).0), codes, "nine are too few to judge");
    assert_eq!(status(&weir, 500).0, 500);
    until("it is open", || state(&weir, "open"));
    assert_eq!(status(&weir, 200), (503, "breaker_open".to_owned()));
}

#[test]
fn what_is_not_the_services_fault_leaves_it_closed() {
    let (_clinic, weir) =
        behind("breaker: { consecutive: 1, open_for: 1h, open_max: 1h }, limits: { body: 1B }");
    for code in [400, 404, 429] {
        assert_eq!(status(&weir, code).0, code);
    }
    assert_eq!(curl(&["--data", "two", &weir.url("/echo")]).status(), 413);
    assert_eq!(status(&weir, 200).0, 200);
    assert!(state(&weir, "closed"));
}

#[test]
fn shadow_passes_and_counts() {
    let (_clinic, weir) =
        behind("breaker: { consecutive: 2, open_for: 1h, open_max: 1h, mode: shadow }");
    for code in [500, 500, 200, 500, 200] {
        assert_eq!(status(&weir, code).0, code);
    }
    assert_eq!(weir.metric("weir_shadow_refusals_total", &["reason=\"breaker_open\""]), 3.0);
}
