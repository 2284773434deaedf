//! What a fleet of sidecars gets together.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{Client, before, decided, errors, is_up, redis::Redis};
use crate::{
    traffic::{
        clinic::Serving,
        wire::{Service, Wire},
    },
    weir::{Weir, until},
};

fn fleet(clinic: &Serving, limit: &str) -> [Weir; 3] {
    [(); 3].map(|()| before(clinic, limit))
}

#[test]
fn three_sidecars_have_one_bucket() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let limit = format!("{{ qps: 0.001, burst: 30, shared: {} }}", redis.shared());
    let fleet = fleet(&clinic, &limit);
    let mut clients = fleet.each_ref().map(Client::of);
    let first: usize = clients.iter_mut().map(|client| client.passed(9)).sum();
    assert_eq!(first, 27);
    assert_eq!(clients[0].passed(9), 3);
    for (client, weir) in clients.iter_mut().zip(&fleet) {
        let refused = client.ask();
        assert_eq!(refused.verdict(), (429, "rate_limited".to_owned()));
        let told = weir.explained(refused.json()["id"].as_str().unwrap());
        assert!(
            ["lease", "store"].contains(&told["inputs"]["decided_by"].as_str().unwrap()),
            "{told}"
        );
        assert!(refused.field("retry-after").unwrap().parse::<u64>().unwrap() > 100);
    }
    assert_eq!(redis.keys().len(), 1, "and it is one for the store too");
}

/// From rest, until nobody has come for a while: what passed is at most the rate for that time and the
/// burst, whatever each of the sidecars held in between.
#[test]
fn a_flooded_fleet_gets_its_limit_and_no_more() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let (qps, burst) = (300.0, 60);
    let shared =
        format!("shared: {{ store: \"{}\", timeout: 1s, on_store_loss: closed }}", redis.url());
    let fleet = fleet(&clinic, &format!("{{ qps: {qps}, burst: {burst}, {shared} }}"));
    let began = Instant::now();
    let passed: usize = thread::scope(|scope| {
        let flood = |weir: &Weir| {
            let (mut client, mut passed) = (Client::of(weir), 0);
            while began.elapsed() < Duration::from_secs(2) {
                passed += client.passed(100);
                // A connection takes a thousand.
                client = Client::of(weir);
            }
            passed
        };
        let floods = [0, 1, 2, 0, 1, 2].map(|which| {
            let weir = &fleet[which];
            scope.spawn(move || flood(weir))
        });
        floods.into_iter().map(|flood| flood.join().unwrap()).sum()
    });
    let bound = qps * began.elapsed().as_secs_f64() + f64::from(burst);
    assert!(passed as f64 <= bound, "{passed} of {bound}");
    assert!(passed >= burst as usize, "{passed}");
    for weir in &fleet {
        assert!(decided(weir, "lease") > 0.0, "leases decide too");
    }
}

#[test]
fn what_a_sidecar_holds_decides_without_the_store() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let shared = format!("shared: {{ store: \"{}\", timeout: 1s }}", redis.url());
    let weir = before(&clinic, &format!("{{ qps: 100000, burst: 100000, {shared} }}"));
    let mut client = Client::of(&weir);
    assert_eq!(client.passed(1_000), 1_000);
    let asked = weir.metric("weir_store_ask_duration_seconds_count", &[]);
    assert!(asked < 500.0, "{asked} round trips for a thousand requests");
    assert_eq!(decided(&weir, "lease") + decided(&weir, "store"), 1_000.0);
}

#[test]
fn callers_have_buckets_of_their_own_and_all_or_none_is_debited() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let per = "[{ header: x-api-key }, route]";
    let limit = format!("{{ qps: 0.001, burst: 4, per: {per}, shared: {} }}", redis.shared());
    let fleet = fleet(&clinic, &limit);
    let mut clients = fleet.each_ref().map(Client::of);
    let mut status = |which: usize, key| clients[which].ask_as(key).status();
    assert_eq!([status(0, "a"), status(1, "a"), status(2, "b")], [200, 200, 200]);
    assert_eq!([status(1, "b"), status(0, "c")], [200, 429], "the route has none left");
    assert_eq!(redis.keys().len(), 4);
}

#[test]
fn a_server_that_has_forgotten_the_script_is_told_it_again() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let limit = format!("{{ qps: 0.001, burst: 4, shared: {} }}", redis.shared());
    let weir = before(&clinic, &limit);
    let mut client = Client::of(&weir);
    assert_eq!(client.passed(2), 2);
    assert!(redis.say(&["SCRIPT", "FLUSH"]).starts_with("+OK"));
    assert_eq!(client.passed(3), 2);
    assert_eq!(decided(&weir, "local"), 0.0);
    assert_eq!(errors(&weir, "answer"), 0.0);
}

#[test]
fn a_store_that_has_forgotten_everything_begins_with_full_buckets() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let limit = format!("{{ qps: 0.001, burst: 4, shared: {} }}", redis.shared());
    let weir = before(&clinic, &limit);
    let mut client = Client::of(&weir);
    assert_eq!(client.passed(5), 4);
    assert!(redis.say(&["FLUSHALL"]).starts_with("+OK"));
    until("the refusal is not believed any longer", || client.status() == 200);
    assert_eq!(client.passed(4), 3);
    assert_eq!(decided(&weir, "local"), 0.0);
    // Neither does something of another kind under the name hold it up.
    let key = &redis.keys()[0];
    assert!(redis.say(&["DEL", key]).starts_with(":1"));
    assert!(redis.say(&["LPUSH", key, "x"]).starts_with(":1"));
    until("it is overwritten", || client.status() == 200);
    assert!(is_up(&weir));
}

#[test]
fn a_token_comes_back_when_a_later_stage_refuses() {
    for (charge, then) in [(false, 200), (true, 429)] {
        let (redis, service) = (Redis::start(), Service::listen());
        let weir = crate::traffic::clinic::before(
            &service.address.to_string(),
            &format!(
                "rate_limit: {{ qps: 0.001, burst: 2, charge_on_reject: {charge}, shared: {} }}, \
                 concurrency: {{ limit: 1, queue: {{ length: 0 }} }}",
                redis.shared()
            ),
        );
        let get = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";
        let mut first = Wire::connect(weir.address());
        first.say(get);
        let mut upstream = service.accept();
        upstream.head();
        assert_eq!(Client::of(&weir).ask().verdict(), (503, "overloaded".to_owned()));
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        upstream.say(ok);
        assert_eq!(first.message().status(), 200);
        let mut again = || {
            first.say(get);
            first.message().status()
        };
        if then == 429 {
            assert_eq!(again(), 429, "charge_on_reject: {charge}");
            continue;
        }
        let answering = thread::spawn(move || {
            upstream.head();
            upstream.say(ok);
        });
        // It is held for a moment, then handed back to the store, and on its way there for an instant.
        until("it is there", || again() == 200);
        answering.join().unwrap();
        assert_eq!(again(), 429, "and it was one");
    }
}

#[test]
fn shadow_passes_and_counts() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let limit = format!("{{ qps: 0.001, burst: 2, mode: shadow, shared: {} }}", redis.shared());
    let fleet = fleet(&clinic, &limit);
    for weir in &fleet {
        let mut client = Client::of(weir);
        assert_eq!(client.passed(2), 2);
        assert_eq!(client.ask().field("ratelimit"), None);
    }
    let counted =
        |weir| Weir::metric(weir, "weir_shadow_refusals_total", &["reason=\"rate_limited\""]);
    assert_eq!(fleet.iter().map(counted).sum::<f64>(), 7.0);
}
