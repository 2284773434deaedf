//! A store that is not there, goes, hangs, and comes back.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Instant,
};

use super::{Client, before, decided, errors, is_up, redis::Redis, yaml};
use crate::{
    traffic::clinic::Serving,
    weir::{PATIENCE, Weir, until},
};

fn limit(redis: &Redis, numbers: &str, more: &str) -> String {
    format!("{{ {numbers}, shared: {{ store: \"{}\"{more} }} }}", redis.url())
}

const LOW: &str = "qps: 0.001, burst: 3";

#[test]
fn without_a_store_the_policy_says_who_decides() {
    let (mut redis, clinic) = (Redis::absent(), Serving::clinic());
    let on = |loss: &str| {
        let more = format!(", timeout: 1s, on_store_loss: {loss}");
        Weir::start(&yaml(&clinic, &limit(&redis, LOW, &more)))
    };
    let [local, open, closed] = ["local", "open", "closed"].map(on);
    let mut clients = [&local, &open, &closed].map(Client::of);
    assert_eq!(clients[0].passed(5), 3);
    let refused = clients[0].ask();
    assert_eq!(refused.verdict(), (429, "rate_limited".to_owned()));
    let told = local.explained(refused.json()["id"].as_str().unwrap());
    assert_eq!(told["inputs"]["decided_by"], "local");
    assert_eq!(decided(&local, "local"), 6.0);

    assert_eq!(clients[1].passed(9), 9);
    assert_eq!(clients[1].ask().field("ratelimit"), None, "nobody has counted");
    assert_eq!(decided(&open, "open"), 10.0);

    let refused = clients[2].ask();
    assert_eq!(refused.verdict(), (503, "limit_store_lost".to_owned()));
    assert!(refused.field("retry-after").is_some());
    let told = closed.explained(refused.json()["id"].as_str().unwrap());
    assert_eq!((&told["stage"], &told["policy"]), (&"rate".into(), &"all".into()));
    assert_eq!(told["inputs"]["store"], redis.url());
    assert_eq!(decided(&closed, "closed"), 1.0);

    for weir in [&local, &open, &closed] {
        assert!(!is_up(weir) && errors(weir, "connection") >= 1.0);
    }
    redis.come();
    until("all have found it", || [&local, &open, &closed].into_iter().all(is_up));
    let passed: usize = clients.iter_mut().map(|client| client.passed(2)).sum();
    assert_eq!(passed, 3, "and share from here on");
}

/// A request is answered by one who may decide, whatever the store does at that moment; and who has spent
/// a burst has no fresh one when the store goes.
#[test]
fn a_store_that_is_killed_under_load_is_found_again() {
    let (mut redis, clinic) = (Redis::start(), Serving::clinic());
    let weir = before(&clinic, &limit(&redis, LOW, ", timeout: 1s"));
    assert_eq!(Client::of(&weir).passed(5), 3);
    let (ended, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let load = || {
            let (mut client, mut passed, mut requests) = (Client::of(&weir), 0, 0);
            while !ended.load(Relaxed) {
                match client.ask().verdict() {
                    (200, _) => passed += 1,
                    other => assert_eq!(other, (429, "rate_limited".to_owned())),
                }
                asked.fetch_add(1, Relaxed);
                requests += 1;
                // A connection takes a thousand.
                if requests % 100 == 0 {
                    client = Client::of(&weir);
                }
            }
            passed
        };
        let more = || {
            let seen = asked.load(Relaxed);
            until("requests go on", || asked.load(Relaxed) > seen + 50);
        };
        let clients = [(); 4].map(|()| scope.spawn(load));
        for _ in 0..2 {
            more();
            redis.kill();
            until("it is lost", || !is_up(&weir));
            more();
            redis.come();
            until("it is back", || is_up(&weir));
        }
        more();
        ended.store(true, Relaxed);
        let passed: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        // Empty twice: what it granted then is all that passed.
        assert!(passed <= 6, "{passed}");
    });
    assert!(decided(&weir, "local") > 0.0);
}

/// With a second to wait and three hundred requests: if each waited, this would take minutes.
#[test]
fn a_store_that_hangs_is_waited_for_once() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let weir = before(&clinic, &limit(&redis, "qps: 0.001, burst: 900", ", timeout: 1s"));
    let mut client = Client::of(&weir);
    assert_eq!(client.passed(2), 2);
    redis.hang();
    let began = Instant::now();
    assert_eq!(client.passed(300), 300);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    assert!(decided(&weir, "local") >= 299.0);
    assert!(errors(&weir, "timeout") >= 1.0);
    assert!(!is_up(&weir));
    assert!(weir.log_line("the store of shared limits is lost").contains("timeout"));
    redis.go_on();
    until("it is asked again", || is_up(&weir));
    weir.wait_for_log("the store of shared limits answers");
    let before = decided(&weir, "local");
    assert_eq!(client.passed(2), 2);
    assert_eq!(decided(&weir, "local"), before);
}

#[test]
fn a_store_that_takes_no_writes_is_lost() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let weir = before(&clinic, &limit(&redis, LOW, ", timeout: 1s"));
    let mut client = Client::of(&weir);
    assert_eq!(client.passed(1), 1);
    assert!(redis.say(&["REPLICAOF", "127.0.0.1", "1"]).starts_with("+OK"));
    until("it is noticed", || {
        client.ask();
        errors(&weir, "answer") >= 1.0 && !is_up(&weir)
    });
    assert!(redis.say(&["REPLICAOF", "NO", "ONE"]).starts_with("+OK"));
    until("it is back", || is_up(&weir));
}
