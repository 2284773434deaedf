//! Shared limits over a reload.

use super::{Client, before, decided, is_up, redis::Redis, yaml};
use crate::{traffic::clinic::Serving, weir::until};

#[test]
fn a_limit_lives_on_and_a_store_that_nobody_has_is_left() {
    let (redis, other) = (Redis::start(), Redis::start());
    let clinic = Serving::clinic();
    let limit = |redis: &Redis, burst: u32| {
        format!("{{ qps: 0.001, burst: {burst}, shared: {} }}", redis.shared())
    };
    let weir = before(&clinic, &limit(&redis, 3));
    let mut client = Client::of(&weir);
    assert_eq!(client.passed(4), 3);
    assert_eq!((redis.connections(), other.connections()), (1, 0));

    let decided_before = decided(&weir, "lease") + decided(&weir, "store");
    weir.reconfigure(&yaml(&clinic, &limit(&redis, 4)));
    assert_eq!(decided(&weir, "lease") + decided(&weir, "store"), decided_before, "it is the same");
    until("there is room for one more", || client.status() == 200);
    assert_eq!(client.passed(3), 0);
    assert_eq!(redis.connections(), 1, "over the same line");

    weir.reconfigure(&yaml(&clinic, &limit(&other, 4)));
    until("the first is left", || redis.connections() == 0);
    assert!(is_up(&weir));
    assert_eq!(client.passed(5), 4, "at the other nobody has asked yet");
    assert_eq!(other.connections(), 1);

    weir.reconfigure(&yaml(&clinic, "{ qps: 0.001, burst: 9 }"));
    until("the other is left", || other.connections() == 0);
    assert_eq!(weir.metric("weir_store_up", &[]), 0.0, "there is none");
    weir.reconfigure(&yaml(&clinic, &limit(&redis, 4)));
    until("it is asked again", || is_up(&weir));
    assert_eq!(client.passed(3), 0, "and has forgotten nothing");
}
