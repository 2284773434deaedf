//! Concurrency: so many at the service, so many in the queue, and the rest is told at once.

use super::{
    clinic::before,
    message::Message,
    wire::{Service, Wire},
};
use crate::weir::{Weir, until};

/// Each request comes over a connection of its own, whichever worker it was given to.
const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

fn ask(weir: &Weir) -> Wire {
    let mut client = Wire::connect(weir.address());
    client.say("GET / HTTP/1.1\r\nhost: app\r\n\r\n");
    client
}

fn queued(weir: &Weir, count: f64) {
    until("they wait", || weir.metric("weir_concurrency_queued", &[]) == count);
}

#[test]
fn two_at_the_service_two_in_the_queue_and_the_rest_is_refused() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "concurrency: { limit: 2, queue: { length: 2, timeout: 1h } }, timeout: { total: 2h, first_byte: 1h }",
    );
    let working = [(); 2].map(|()| {
        let client = ask(&weir);
        let mut upstream = service.accept();
        upstream.head();
        (client, upstream)
    });
    let waiting = [(); 2].map(|()| ask(&weir));
    queued(&weir, 2.0);
    for _ in 0..3 {
        let refused: Message = ask(&weir).message();
        assert_eq!(refused.verdict(), (503, "overloaded".to_owned()));
        assert!(refused.field("retry-after").is_some());
    }
    assert!(service.try_accept().is_none(), "no third connection to the service");
    for (mut client, mut upstream) in working {
        upstream.say(OK);
        assert_eq!(client.message().text(), "ok");
    }
    for _ in &waiting {
        let mut upstream = service.accept();
        upstream.head();
        upstream.say(OK);
    }
    for mut client in waiting {
        assert_eq!(client.message().text(), "ok");
    }
    let ended = |reason| weir.metric("weir_requests_total", &[reason]);
    until("the last one is counted", || ended("reason=\"ok\"") == 4.0);
    assert_eq!(ended("reason=\"overloaded\""), 3.0);
}

#[test]
fn a_wait_that_is_too_long_ends() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "concurrency: { limit: 1, queue: { length: 1, timeout: 100ms } }",
    );
    let _working = ask(&weir);
    let _upstream = service.accept();
    let refused = ask(&weir).message();
    assert_eq!(refused.verdict(), (503, "overloaded".to_owned()));
    assert!(refused.text().contains("in the queue"), "{}", refused.text());
}

#[test]
fn one_that_leaves_the_queue_makes_room() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "concurrency: { limit: 1, queue: { length: 1, timeout: 1h } }, timeout: { total: 2h, first_byte: 1h }",
    );
    let _working = ask(&weir);
    let mut upstream = service.accept();
    upstream.head();
    let leaving = ask(&weir);
    queued(&weir, 1.0);
    drop(leaving);
    queued(&weir, 0.0);
    let mut next = ask(&weir);
    queued(&weir, 1.0);
    upstream.say(OK);
    let mut upstream = service.accept();
    upstream.head();
    upstream.say(OK);
    assert_eq!(next.message().text(), "ok");
}

#[test]
fn those_who_wait_go_on_when_the_limit_is_switched_off() {
    let service = Service::listen();
    for mode in ["shadow", "disabled"] {
        let yaml = |mode: &str| {
            format!(
                "listeners: [{{ address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, \
                 concurrency: {{ limit: 1, queue: {{ length: 4, timeout: 1h }}, mode: {mode} }}, \
                 timeout: {{ total: 2h, first_byte: 1h }} }}] }}]\n\
                 upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
                service.address
            )
        };
        let weir = Weir::start(&yaml("enforce"));
        let _working = ask(&weir);
        let _upstream = service.accept();
        let mut waiting = [(); 2].map(|()| ask(&weir));
        queued(&weir, 2.0);
        weir.reconfigure(&yaml(mode));
        let upstreams = [(); 2].map(|()| service.accept());
        for mut upstream in upstreams {
            upstream.head();
            upstream.say(OK);
        }
        for client in &mut waiting {
            assert_eq!(client.message().text(), "ok");
        }
    }
}

#[test]
fn shadow_passes_and_counts_what_the_queue_would_not_have_held() {
    let service = Service::listen();
    let weir = before(
        &service.address.to_string(),
        "concurrency: { limit: 1, queue: { length: 1 }, mode: shadow }",
    );
    let all = [(); 4].map(|()| {
        let client = ask(&weir);
        let mut upstream = service.accept();
        upstream.head();
        (client, upstream)
    });
    for (mut client, mut upstream) in all {
        upstream.say(OK);
        assert_eq!(client.message().status(), 200);
    }
    assert_eq!(weir.metric("weir_shadow_refusals_total", &["reason=\"overloaded\""]), 2.0);
}
