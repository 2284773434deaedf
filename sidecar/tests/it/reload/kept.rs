//! What lives on: the state of policies, requests, connections, counts.

use super::{get, one_route, script, start, yaml};
use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::Backend,
        client::{Ask, h1},
        settled,
    },
    traffic::wire::{Service, Wire},
    weir::{Weir, until},
};

const REST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

fn ask(weir: &Weir, path: &str) -> Wire {
    let mut client = Wire::connect(weir.address());
    client.say(format!("GET {path} HTTP/1.1\r\nhost: app\r\n\r\n"));
    client
}

/// Everything but concurrency out of the way of requests that take as long as the test likes.
const PATIENT: &str = "timeout: { total: 2h, first_byte: 1h }";

fn before(service: &Service, name: &str, route: &str) -> String {
    format!(
        "reload: {{ watch: false }}\nlisteners: [{{ name: in, address: 127.0.0.1:0, routes: [{{ name: {name}, upstream: app, {PATIENT}, {route} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        service.address
    )
}

#[test]
fn a_bucket_that_is_empty_stays_empty() {
    let limit = |qps, burst| format!("rate_limit: {{ qps: {qps}, burst: {burst} }}");
    let (weir, backend) = start(&limit("0.001", 3));
    for _ in 0..3 {
        assert_eq!(get(weir.address(), "/").0, 200);
    }
    let limited = || get(weir.address(), "/") == (429, "rate_limited".into());
    assert!(limited());
    let apply = |name: &str, route: &str| weir.reconfigure(&one_route(&backend, name, route));
    apply("all", &limit("0.002", 3));
    assert!(limited(), "at another rate");
    apply("all", &limit("0.002", 4));
    assert_eq!(get(weir.address(), "/").0, 200, "there is room for one more");
    assert!(limited());
    apply("all", &limit("0.002", 2));
    assert!(limited());
    apply("all", "rate_limit: { qps: 0.002, burst: 4, mode: disabled }");
    assert_eq!(get(weir.address(), "/").0, 200, "it is not asked");
    apply("all", &limit("0.002", 4));
    assert!(limited(), "and has forgotten nothing");
    apply("other", "rate_limit: { name: all, qps: 0.002, burst: 4 }");
    assert!(limited(), "it is the policy's name that counts, not the route's");
    apply("other", &limit("0.002", 4));
    assert_eq!(get(weir.address(), "/").0, 200, "another policy");
}

#[test]
fn an_open_breaker_stays_open() {
    for per in ["route", "endpoint"] {
        let breaker = |more: &str| {
            format!("breaker: {{ consecutive: 2, open_for: 1h, open_max: 1h, per: {per}{more} }}")
        };
        let (weir, backend) = start(&breaker(""));
        for _ in 0..2 {
            assert_eq!(get(weir.address(), "/500").0, 500);
        }
        let is_open = || get(weir.address(), "/") == (503, "breaker_open".into());
        assert!(is_open());
        weir.reconfigure(&one_route(&backend, "all", &breaker(", window: 1m, error_ratio: 10%")));
        assert!(is_open(), "under other thresholds, for each {per}");
        // The same endpoint, of an upstream that is set otherwise.
        let upstream =
            one_route(&backend, "all", &breaker("")).replace("keepalive: 100s", "keepalive: 1s");
        weir.reconfigure(&upstream);
        assert!(is_open());
        weir.reconfigure(&one_route(&backend, "all", "breaker: { mode: disabled }"));
        assert_eq!(get(weir.address(), "/").0, 200);
    }
}

#[test]
fn permits_are_counted_under_both_plans_and_those_who_wait_stay() {
    let service = Service::listen();
    let limit = |limit: u32| {
        format!("concurrency: {{ limit: {limit}, queue: {{ length: 2, timeout: 1h }} }}")
    };
    let weir = Weir::start(&before(&service, "all", &limit(1)));
    let first = ask(&weir, "/");
    let mut at_first = service.accept();
    at_first.head();
    let queued =
        |count| until("they wait", || weir.metric("weir_concurrency_queued", &[]) == count);
    let second = ask(&weir, "/");
    queued(1.0);
    let third = ask(&weir, "/");
    queued(2.0);
    weir.reconfigure(&before(&service, "all", &limit(2)));
    // The longest waiter has the new permit at once; the one in flight is still counted.
    let mut at_second = service.accept();
    at_second.head();
    queued(1.0);
    assert_eq!(weir.metric("weir_concurrency_in_flight", &[]), 2.0);
    assert_eq!(weir.metric("weir_concurrency_headroom", &[]), 0.0);
    weir.reconfigure(&before(&service, "all", &limit(1)));
    at_first.say(REST);
    at_second.say(REST);
    for mut client in [first, second] {
        assert_eq!(client.message().text(), "ok");
    }
    let mut at_third = service.accept();
    at_third.head();
    at_third.say(REST);
    let mut third = third;
    assert_eq!(third.message().text(), "ok");
    until("all permits are back", || weir.metric("weir_concurrency_in_flight", &[]) == 0.0);
}

#[test]
fn a_stream_of_a_removed_route_goes_on_and_is_counted_when_the_route_is_back() {
    let service = Service::listen();
    let stream = "stream: true, limits: { streams: 1 }";
    let weir = Weir::start(&before(&service, "feed", stream));
    let mut client = ask(&weir, "/");
    let mut upstream = service.accept();
    upstream.head();
    upstream.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    client.hear("first");
    weir.reconfigure(&before(&service, "plain", ""));
    upstream.say("6\r\nsecond\r\n");
    client.hear("second");
    assert_eq!(weir.metric("weir_requests_in_flight", &[]), 1.0);
    weir.reconfigure(&before(&service, "feed", stream));
    let refused = ask(&weir, "/").message();
    assert_eq!(refused.verdict(), (503, "stream_limit".to_owned()), "the one place is taken");
    upstream.say("0\r\n\r\n");
    client.hear("0\r\n\r\n");
    until("it is counted where it began", || {
        weir.metric("weir_requests_total", &["route=\"feed\"", "reason=\"ok\""]) == 1.0
    });
}

#[test]
fn a_request_ends_by_the_plan_that_it_began_with() {
    let (old, new) = (Service::listen(), Service::listen());
    let weir = Weir::start(&before(&old, "old", ""));
    let mut client = ask(&weir, "/one");
    let mut upstream = old.accept();
    upstream.head();
    weir.reconfigure(&before(&new, "new", ""));
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nold");
    assert_eq!(client.message().text(), "old");
    // The next one on the same connection goes by the new one.
    client.say("GET /two HTTP/1.1\r\nhost: app\r\n\r\n");
    let mut upstream = new.accept();
    upstream.head();
    upstream.say("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew");
    assert_eq!(client.message().text(), "new");
    assert!(old.try_accept().is_none());
    until("both are counted", || weir.metric("weir_requests_in_flight", &[]) == 0.0);
    for route in ["old", "new"] {
        let labels = [&*format!("route=\"{route}\""), "reason=\"ok\""];
        assert_eq!(weir.metric("weir_requests_total", &labels), 1.0, "{route}");
    }
}

#[test]
fn counters_go_on_whatever_becomes_of_their_route() {
    let backend = Backend::start(Speaks::H1, script);
    let route =
        |name: &str| format!("{{ name: {name}, match: {{ path: /{name} }}, upstream: app }}");
    let routes = |names: &[&str]| {
        let routes: Vec<_> = names.iter().map(|name| route(name)).collect();
        yaml(&routes.join(", "), &backend)
    };
    let weir = Weir::start(&routes(&["a", "b"]));
    let ok = |name: &str| {
        weir.metric("weir_requests_total", &[&format!("route=\"{name}\""), "reason=\"ok\""])
    };
    let asks = |path: &str| get(weir.address(), path).0;
    assert_eq!([asks("/a"), asks("/b"), asks("/b"), asks("/c")], [200, 200, 200, 404]);
    for (names, expected) in [
        (&["b", "a"][..], [1.0, 2.0, 0.0]),
        (&["c", "b"][..], [1.0, 2.0, 0.0]),
        (&["c"][..], [1.0, 2.0, 0.0]),
        (&["b", "c", "a"][..], [1.0, 2.0, 0.0]),
    ] {
        weir.reconfigure(&routes(names));
        settled(&weir, &[&backend]);
        assert_eq!([ok("a"), ok("b"), ok("c")], expected, "{names:?}");
        assert_eq!(weir.metric("weir_requests_total", &[]), 4.0, "{names:?}");
    }
    assert_eq!([asks("/a"), asks("/b"), asks("/c")], [200, 200, 200]);
    until("they are counted", || [ok("a"), ok("b"), ok("c")] == [2.0, 3.0, 1.0]);
}

#[test]
fn connections_stay_where_the_upstream_does() {
    let (weir, backend) = start("");
    let mut client = RUNTIME.block_on(h1::Client::connect(weir.address())).unwrap();
    let mut asks = || RUNTIME.block_on(client.ask(&Ask::get("/"))).unwrap().status;
    assert_eq!(asks(), 200);
    let opened = || weir.metric("weir_upstream_connections_opened_total", &[]);
    // Another upstream moves its place; other policies change the route.
    let with = one_route(&backend, "all", "limits: { body: 1B }")
        .replace("upstreams: {", "upstreams: { aaa: { endpoints: [\"127.0.0.1:1\"] },");
    weir.reconfigure(&with);
    assert_eq!((asks(), opened()), (200, 1.0));
    weir.reconfigure(&with.replace("keepalive: 100s", "keepalive: 99s"));
    assert_eq!((asks(), opened()), (200, 2.0), "and the count goes on");
    assert_eq!(backend.connections(), 2);
}

#[test]
fn a_name_is_resolved_before_anyone_asks_for_it() {
    let (weir, backend) = start("");
    let named = one_route(&backend, "all", "").replace("127.0.0.1:", "localhost:");
    let named = named.replace("address: localhost:", "address: 127.0.0.1:");
    weir.reconfigure(&named);
    assert_eq!(get(weir.address(), "/").0, 200);
    assert_eq!(weir.admin_get("/ready").0, 200);
    weir.reconfigure(&named.replace("localhost:", "nowhere.invalid:"));
    assert_eq!(weir.admin_get("/ready"), (503, "upstream app has never been resolved\n".into()));
    weir.reconfigure(&one_route(&backend, "all", ""));
    assert_eq!(weir.admin_get("/ready").0, 200);
}

/// One that is dead and one whose check fails, over a reload that changes their upstream.
#[test]
fn an_endpoint_stays_ejected_or_unhealthy() {
    let backend = Backend::start(Speaks::H1, script);
    let addresses = [Service::listen().address, Service::listen().address, backend.address];
    let yaml = |more: &str| {
        format!(
            "reload: {{ watch: false }}\nlisteners: [{{ name: in, address: 127.0.0.1:0, routes: [{{ upstream: app, breaker: {{ mode: disabled }} }}] }}]\n\
             upstreams:\n  app:\n    endpoints: {:?}\n    {more}\n    \
             outlier: {{ consecutive: 1, max_ejected: 100%, ejection_time: 1h, ejection_time_max: 1h }}\n",
            addresses.map(|address| address.to_string())
        )
    };
    let weir = Weir::start(&yaml("keepalive: 1s"));
    let states = |state: &str| weir.metric("weir_endpoint_state", &[&format!("state=\"{state}\"")]);
    until("two are ejected", || {
        get(weir.address(), "/");
        states("ejected") == 2.0
    });
    weir.reconfigure(&yaml("keepalive: 2s"));
    assert_eq!(states("ejected"), 2.0);
    assert_eq!(get(weir.address(), "/").0, 200);
    weir.reconfigure(&yaml("health_check: { tcp: true, interval: 1h }"));
    until("they are unhealthy too", || states("unhealthy") == 2.0);
    weir.reconfigure(&yaml("health_check: { tcp: true, interval: 2h }"));
    assert_eq!(states("unhealthy"), 2.0);
    weir.reconfigure(&yaml("balance: least_requests"));
    assert_eq!(
        (states("unhealthy"), states("ejected")),
        (0.0, 2.0),
        "what nobody checks is no more"
    );
    assert_eq!(get(weir.address(), "/").0, 200);
}
