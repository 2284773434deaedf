//! Values from the environment, in every kind of place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use weir_config::{ConcurrencyLimit, Config, Mode, load, show};

fn env(name: &str) -> Option<String> {
    let value = match name {
        "QPS" => "2.5",
        "LIMIT" => "7",
        "MODE" => "shadow",
        "STREAM" => "true",
        "TOTAL" => "1m30s",
        "PORT" => "8080",
        "NUMBER" => "42",
        "YAML" => "b\", breaker: { consecutive: 1 }, x: \"",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn file(route: &str) -> String {
    format!(
        "version: 1\n\
         listeners: [{{ address: \"0.0.0.0:${{PORT}}\", routes: [{route}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"127.0.0.1:3000\"] }} }}\n"
    )
}

fn loaded(route: &str) -> Config {
    let config = load(&file(route), "weir.yaml", &env).unwrap();
    assert_eq!(load(&show(&config), "shown", &|_| None).as_ref(), Ok(&config));
    config
}

#[test]
fn a_variable_is_read_as_what_its_place_takes() {
    let config = loaded(
        "{ upstream: app, name: \"${NUMBER}\", stream: \"${STREAM}\", \
           rate_limit: { qps: \"${QPS}\", mode: \"${MODE}\" }, \
           concurrency: { limit: \"${LIMIT}\", queue: { length: \"${EMPTY:-3}\" } }, \
           timeout: { total: \"${TOTAL}\" } }",
    );
    let route = &config.listeners[0].routes[0];
    assert_eq!(config.listeners[0].address.to_string(), "0.0.0.0:8080");
    assert_eq!((route.name.as_str(), route.stream), ("42", true));
    assert_eq!((route.rate_limits[0].qps, route.rate_limits[0].mode), (2.5, Mode::Shadow));
    let concurrency = route.concurrency.as_ref().expect("its own");
    assert_eq!(concurrency.limit, ConcurrencyLimit::Fixed(7.try_into().unwrap()));
    assert_eq!(concurrency.queue.length, Some(3));
    assert_eq!(route.timeout.total.as_secs(), 90);
}

#[test]
fn a_value_cannot_become_yaml() {
    let config = loaded("{ upstream: app, name: \"${YAML}\" }");
    let route = &config.listeners[0].routes[0];
    assert_eq!(Some(route.name.clone()), env("YAML"));
    assert_eq!(route.breaker, {
        let plain = loaded("{ upstream: app }");
        let mut breaker = plain.listeners[0].routes[0].breaker.clone();
        breaker.name.clone_from(&route.name);
        breaker
    });
}

#[test]
fn two_dollars_are_one() {
    let config = loaded("{ upstream: app, name: \"$${QPS}$\", match: { path_regex: /a$ } }");
    assert_eq!(config.listeners[0].routes[0].name, "${QPS}$");
}
