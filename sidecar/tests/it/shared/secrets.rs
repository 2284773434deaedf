//! What the store is told of callers, and what nobody is told of the store.

use super::{Client, before, before_with, decided, errors, is_up, redis::Redis, yaml};
use crate::{
    traffic::clinic::Serving,
    weir::{Weir, until},
};

const PASSWORD: &str = "hunter2-of-the-store";

#[test]
fn keys_of_callers_are_not_in_the_store() {
    let (redis, clinic) = (Redis::start(), Serving::clinic());
    let limit = format!(
        "{{ qps: 0.001, burst: 4, per: {{ header: x-api-key }}, shared: {} }}",
        redis.shared()
    );
    let weir = before(&clinic, &limit);
    assert_eq!(Client::of(&weir).ask_as("the-secret-of-a-caller").status(), 200);
    let keys = redis.keys();
    assert_eq!(keys.len(), 1);
    let hash = keys[0].strip_prefix("weir:limit:all:").unwrap();
    assert!(hash.len() == 32 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
    let value = redis.say(&["GET", &keys[0]]);
    assert!(!format!("{keys:?}{value}").contains("secret"), "{keys:?} {value}");
    let expires = redis.say(&["PTTL", &keys[0]]);
    let millis: i64 = expires.trim_start_matches(':').lines().next().unwrap().parse().unwrap();
    assert!((1..=1_000_002).contains(&millis), "{millis}");
}

#[test]
fn the_password_opens_the_store_and_is_shown_nowhere() {
    let (redis, clinic) = (Redis::with_password(PASSWORD), Serving::clinic());
    let url = format!("redis://:${{STORE_PASSWORD}}@{}/3", redis.place());
    let limit = format!("{{ qps: 0.001, burst: 2, shared: {{ store: \"{url}\", timeout: 1s }} }}");
    let weir = before_with(&clinic, &limit, ("STORE_PASSWORD", PASSWORD));
    until("it is let in", || is_up(&weir));
    assert_eq!(Client::of(&weir).passed(3), 2);
    assert!(redis.keys().is_empty(), "it is another database");
    for path in ["/config", "/metrics", "/explain?count=9"] {
        let (status, told) = weir.admin_get(path);
        assert_eq!(status, 200);
        assert!(!told.contains(PASSWORD), "{path}: {told}");
    }
    assert!(weir.admin_get("/config").1.contains("${STORE_PASSWORD}"));
}

#[test]
fn a_wrong_password_is_a_lost_store_and_is_not_told_either() {
    let (redis, clinic) = (Redis::with_password(PASSWORD), Serving::clinic());
    let url = format!("redis://weir:${{STORE_PASSWORD}}@{}/0", redis.place());
    let limit = format!("{{ qps: 0.001, burst: 2, shared: {{ store: \"{url}\", timeout: 1s }} }}");
    let weir = before_with(&clinic, "{ qps: 1 }", ("STORE_PASSWORD", "wrong-one-of-mine"));
    weir.reconfigure(&yaml(&clinic, &limit));
    assert_eq!(Client::of(&weir).passed(3), 2);
    assert_eq!(decided(&weir, "local"), 3.0);
    assert!(errors(&weir, "denied") >= 1.0 && !is_up(&weir));
    let line = weir.log_line("the store of shared limits is lost");
    assert!(line.contains("denied") && line.contains(&redis.place()), "{line}");
    assert!(!line.contains("wrong-one"), "{line}");
    // Without any, one is told as well.
    let none = format!("{{ qps: 1, shared: {} }}", redis.shared());
    let none = Weir::start(&yaml(&clinic, &none));
    assert!(errors(&none, "denied") >= 1.0 && !is_up(&none));
}
