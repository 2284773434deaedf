//! Endpoints that are names.

use std::fs;

use super::{
    clinic::Serving,
    curl::curl,
    process::library,
    wire::{Service, Wire},
};
use crate::weir::{Weir, command, until};

fn to(endpoint: &str) -> String {
    format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, breaker: {{ mode: disabled }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}\n"
    )
}

#[test]
fn every_address_of_a_name_is_an_endpoint() {
    let clinic = Serving::clinic();
    let weir = Weir::start(&to(&format!("localhost:{}", clinic.address.port())));
    let (status, upstreams) = weir.admin_get("/upstreams");
    assert_eq!(status, 200);
    let upstreams: serde_json::Value = serde_json::from_str(&upstreams).unwrap();
    let endpoints = upstreams[0]["endpoints"].as_array().unwrap();
    let here = clinic.address.to_string();
    assert!(endpoints.iter().any(|endpoint| endpoint["endpoint"] == here), "{endpoints:?}");
    // `localhost` may be `::1` as well, where no clinic is.
    let verdicts = endpoints.iter().map(|_| curl(&[weir.url("/healthz")]).status());
    assert_eq!(verdicts.filter(|status| *status == 200).count(), 1);
}

#[test]
fn a_name_that_was_never_resolved_has_no_endpoint() {
    let weir = Weir::start_unready(&to("no-such-host.invalid:80"));
    let (status, why) = weir.admin_get("/ready");
    assert_eq!((status, why.as_str()), (503, "upstream app has never been resolved\n"));
    let answer = curl(&[weir.url("/")]);
    assert_eq!(answer.verdict(), (503, "no_endpoint".to_owned()));
    assert!(answer.field("retry-after").is_some(), "the name is looked up again");
}

/// What names resolve to, for a sidecar that reads it in place of `/etc/hosts` and DNS.
struct Hosts(tempfile::TempDir);

impl Hosts {
    fn saying(line: &str) -> Self {
        let hosts = Self(tempfile::tempdir().unwrap());
        hosts.say(line);
        hosts
    }

    /// Another file rather than another content: the wrapper looks at a file again by its seconds.
    fn say(&self, line: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, format!("{line}\n")).unwrap();
        fs::rename(next, self.0.path().join("hosts")).unwrap();
    }

    fn start(&self, yaml: &str) -> Weir {
        let mut command = command();
        command.env("LD_PRELOAD", library("libnss_wrapper.so"));
        command.env("NSS_WRAPPER_HOSTS", self.0.path().join("hosts"));
        let weir = Weir::start_by(command, yaml).unwrap();
        until("the name is resolved", || weir.admin_get("/ready").0 == 200);
        weir
    }
}

/// Services on the same port of two addresses.
fn neighbours() -> (Service, Service) {
    let pair = |_| {
        let first = Service::listen();
        let second = Service::listen_at(([127, 0, 0, 2], first.address.port()).into());
        Some((first, second.ok()?))
    };
    (0..10).find_map(pair).expect("a port that is free on both")
}

#[test]
fn an_outage_of_dns_is_no_outage_and_a_new_address_is_followed() {
    let (first, second) = neighbours();
    let hosts = Hosts::saying("127.0.0.1 app.test");
    let weir = hosts.start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: app }}]\nupstreams:\n\
         \x20 app: {{ endpoints: [\"app.test:{}\"], dns_refresh: 20ms, keepalive: 100s }}\n",
        first.address.port()
    ));
    let mut client = Wire::connect(weir.address());
    let ask = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";
    let answered_by = |service: &mut Wire| {
        service.head();
        service.say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    };

    client.say(ask);
    let mut service = first.accept();
    answered_by(&mut service);
    assert_eq!(client.message().status(), 200);

    hosts.say("");
    let failed = || weir.metric("weir_upstream_resolve_failures_total", &["upstream=\"app\""]);
    until("look-ups fail over and over", || failed() > 3.0);
    client.say(ask);
    answered_by(&mut service);
    assert_eq!(client.message().status(), 200);
    assert_eq!(weir.admin_get("/ready").0, 200);

    hosts.say("127.0.0.2 app.test");
    let moved = || weir.admin_get("/upstreams").1.contains(&second.address.to_string());
    until("the new address is known", moved);
    client.say(ask);
    answered_by(&mut second.accept());
    assert_eq!(client.message().status(), 200);
    assert!(!weir.admin_get("/upstreams").1.contains(&first.address.to_string()));
}

/// A name that answers with a part of its addresses for a moment, and with others beside them.
#[test]
fn an_endpoint_that_vanishes_for_a_moment_is_what_it_was() {
    let (first, second) = neighbours();
    let [one, other] = [&first, &second].map(|service| service.address.to_string());
    let hosts = Hosts::saying("127.0.0.1 app.test\n127.0.0.2 app.test");
    let weir = hosts.start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, breaker: {{ mode: disabled }} }}] }}]\nupstreams:\n\
         \x20 app:\n    endpoints: [\"app.test:{}\"]\n    dns_refresh: 20ms\n    slow_start: 1h\n    \
         outlier: {{ consecutive: 1, ejection_time: 1h, ejection_time_max: 1h }}\n",
        first.address.port()
    ));
    let is = |endpoint: &str, state: &str| {
        let labels = [format!("endpoint=\"{endpoint}\""), format!("state=\"{state}\"")];
        weir.metric("weir_endpoint_state", &labels.each_ref().map(String::as_str)) == 1.0
    };
    let knows = |endpoint: &str| weir.admin_get("/upstreams").1.contains(&format!("{endpoint}\""));
    until("both are known", || is(&one, "healthy") && is(&other, "healthy"));
    // Who is asked first closes without an answer.
    let mut client = Wire::connect(weir.address());
    client.say("POST / HTTP/1.1\r\nhost: app\r\ncontent-length: 0\r\n\r\n");
    let mut ejected = None;
    until("one of them is asked", || {
        ejected = [(&first, &one, "127.0.0.2"), (&second, &other, "127.0.0.1")]
            .into_iter()
            .find(|(service, ..)| service.try_accept().is_some());
        ejected.is_some()
    });
    let (_, ejected, stays) = ejected.unwrap();
    assert_eq!(client.message().status(), 502);
    assert!(is(ejected, "ejected"));

    hosts.say(&format!("{stays} app.test"));
    until("it has gone", || !knows(ejected));
    hosts.say("127.0.0.1 app.test\n127.0.0.2 app.test\n127.0.0.3 app.test");
    until("it is back", || knows(ejected));
    assert!(is(ejected, "ejected"), "{}", weir.admin_get("/upstreams").1);
    let third = format!("127.0.0.3:{}", first.address.port());
    until("another one has joined", || is(&third, "slow_start"));
    let share = weir.metric("weir_endpoint_share", &[&format!("endpoint=\"{third}\"")]);
    assert!((0.1..0.2).contains(&share), "{share}");
}
