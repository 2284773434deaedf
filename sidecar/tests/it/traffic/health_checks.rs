//! Health checks: what they take for well, and what becomes of requests to an endpoint that is not.

use std::fs;

use serde_json::Value;

use super::{
    clinic::Serving,
    curl::curl,
    process::{Server, python},
    servers::nginx,
    tls::Authority,
    wire::Service,
};
use crate::{
    faults::{
        Speaks,
        backend::{Backend, Step, answer},
    },
    weir::{Weir, until},
};

/// What `/upstreams` shows of the endpoints of one.
fn endpoints(weir: &Weir, upstream: &str) -> Vec<Value> {
    let (status, text) = weir.admin_get("/upstreams");
    assert_eq!(status, 200, "{text}");
    let shown: Vec<Value> = serde_json::from_str(&text).unwrap();
    let found = shown.into_iter().find(|one| one["upstream"] == upstream).expect("a known one");
    found["endpoints"].as_array().unwrap().clone()
}

fn state(weir: &Weir, endpoint: &str, state: &str) -> bool {
    let labels = [format!("endpoint=\"{endpoint}\""), format!("state=\"{state}\"")];
    weir.metric("weir_endpoint_state", &labels.each_ref().map(String::as_str)) == 1.0
}

/// An endpoint, how it is spoken to and checked; the state that comes of it, and a part of the reason.
type Row<'a> = (String, &'a str, &'a str, &'a str, &'a str);

/// Starts a sidecar with an upstream for each row, and waits until each has been checked.
fn check(rows: &[Row<'_>]) {
    let upstreams: String = rows
        .iter()
        .enumerate()
        .map(|(row, (endpoint, more, check, ..))| {
            format!(
                "  u{row}: {{ endpoints: [\"{endpoint}\"], {more} health_check: {{ {check}, interval: 1h }} }}\n"
            )
        })
        .collect();
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: u0 }}]\nupstreams:\n{upstreams}"
    ));
    for (row, (_, more, check, expected, why)) in rows.iter().enumerate() {
        let mut seen = Value::Null;
        until("it has been checked", || {
            seen = endpoints(&weir, &format!("u{row}")).remove(0);
            seen["checks"]["last_seconds_ago"].is_number()
        });
        assert_eq!(seen["state"], *expected, "{more} {check}: {seen:#}");
        assert!(seen["why"].as_str().unwrap().contains(why), "{more} {check}: {seen:#}");
    }
}

#[test]
fn what_is_well_and_what_is_not() {
    let clinic = Serving::clinic();
    let here = || clinic.address.to_string();
    let listening = Service::listen();
    let dead = Service::listen().address.to_string();
    let odd = Backend::start(Speaks::H1, |path| match path {
        "/not-http" => vec![Step::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), Step::Silence],
        "/early" => {
            let early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".to_vec();
            vec![Step::Raw(early), Step::Head(200, 0)]
        }
        "/103-storm" => {
            let early = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
            vec![Step::Raw(early.into_bytes()), Step::Silence]
        }
        _ => vec![Step::Silence],
    });
    let odd = || odd.address.to_string();
    check(&[
        (here(), "", "path: /healthz", "healthy", "-"),
        (here(), "protocol: h2,", "path: /healthz", "healthy", "-"),
        (here(), "", "path: /status/503", "unhealthy", "status 503"),
        (here(), "protocol: h2,", "path: /status/404", "unhealthy", "status 404"),
        (here(), "", "path: \"/status/301?a=b\", statuses: [200, 300-399]", "healthy", "-"),
        (here(), "", "path: /status/204, statuses: 200", "unhealthy", "status 204"),
        (odd(), "", "path: /early", "healthy", "-"),
        (odd(), "", "path: /103-storm", "unhealthy", "does not come to an answer"),
        (odd(), "", "path: /not-http", "unhealthy", "no answer"),
        (odd(), "", "path: /silence, timeout: 100ms", "unhealthy", "within 0.1 s"),
        (odd(), "protocol: h2,", "path: /, timeout: 100ms", "unhealthy", "no answer"),
        (listening.address.to_string(), "", "tcp: true", "healthy", "-"),
        (
            dead.clone(),
            "",
            "tcp: true",
            "unhealthy",
            "no connection: ConnectRefused: Connection refused",
        ),
        (dead, "", "path: /", "unhealthy", "no connection"),
    ]);
}

#[test]
fn grpc_servers_are_asked_in_their_own_way() {
    let server = Server::start(&mut python("grpc_health_server.py"));
    let without = Server::start(&mut python("grpc_server.py"));
    let h2 = "protocol: h2,";
    check(&[
        (server.address(), h2, "grpc: \"\"", "healthy", "-"),
        (server.address(), h2, "grpc: weir.Well, host: app.test", "healthy", "-"),
        (server.address(), h2, "grpc: weir.Ill", "unhealthy", "NOT_SERVING"),
        (server.address(), h2, "grpc: weir.Unknown", "unhealthy", "does not know the service"),
        (without.address(), h2, "grpc: \"\"", "unhealthy", "has no health service"),
    ]);
}

#[test]
fn over_tls_the_certificate_counts_too() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.serve();
    let tls = |ca: &Authority| format!("tls: {{ sni: app.test, ca: {} }},", ca.file("ca.pem"));
    let (right, wrong) = (tls(&authority), tls(&other));
    check(&[
        (server.address(), &right, "path: /hello.txt", "healthy", "-"),
        (server.address(), &right, "tcp: true", "healthy", "-"),
        (server.address(), &wrong, "tcp: true", "unhealthy", "certificate"),
    ]);
}

#[test]
fn an_unhealthy_endpoint_is_passed_over_until_it_is_well_again() {
    let folders = ["a", "b"].map(|who| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("who"), who).unwrap();
        fs::write(folder.path().join("healthz"), "well\n").unwrap();
        folder
    });
    let servers = folders.each_ref().map(|folder| nginx(folder.path()));
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: app }}]\nupstreams:\n  app:\n    \
         endpoints: [\"{}\", \"{}\"]\n    slow_start: 0s\n    \
         health_check: {{ path: /healthz, interval: 1s, healthy_after: 1, unhealthy_after: 2 }}\n",
        servers[0].endpoint, servers[1].endpoint
    ));
    let who = |count| curl(&[weir.url(&format!("/who?[1-{count}]"))]).text();
    until("both are well", || servers.iter().all(|one| state(&weir, &one.endpoint, "healthy")));
    assert_eq!((who(10).matches('a').count(), who(10).matches('b').count()), (5, 5));

    fs::remove_file(folders[0].path().join("healthz")).unwrap();
    until("the first is not", || state(&weir, &servers[0].endpoint, "unhealthy"));
    weir.wait_for_log("was=\"healthy\" state=\"unhealthy\" why=\"it answered with status 404\"");
    assert_eq!(who(10), "b".repeat(10));
    let seen = &endpoints(&weir, "app")[0];
    assert_eq!(
        (&seen["share"], &seen["why"]),
        (&0.0.into(), &"it answered with status 404".into())
    );
    assert!(seen["checks"]["failed"].as_u64().unwrap() >= 2, "{seen:#}");

    fs::write(folders[0].path().join("healthz"), "well again\n").unwrap();
    until("it is well again", || state(&weir, &servers[0].endpoint, "healthy"));
    weir.wait_for_log("was=\"unhealthy\" state=\"healthy\"");
    assert!(who(10).contains('a'));
    assert!(weir.metric("weir_endpoint_checks_total", &["result=\"passed\""]) >= 3.0);
}

#[test]
fn when_all_are_unhealthy_all_are_used() {
    let clinics = [(); 2].map(|()| Serving::clinic());
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: app }}]\nupstreams:\n  app:\n    \
         endpoints: [\"{}\", \"{}\"]\n    health_check: {{ path: /status/500, interval: 1h }}\n",
        clinics[0].address, clinics[1].address
    ));
    let in_panic = || weir.metric("weir_upstream_in_panic", &["upstream=\"app\""]) == 1.0;
    until("all are unhealthy", in_panic);
    weir.wait_for_log("no endpoint would be used, so all are");
    let statuses: Vec<_> = (0..10).map(|_| curl(&[weir.url("/healthz")]).status()).collect();
    assert_eq!(statuses, [200; 10]);
    assert_eq!(weir.metric("weir_upstream_panicked_total", &[]), 10.0);
    assert_eq!(curl(&[weir.url("/status/500")]).status(), 500);
}

#[test]
fn each_check_has_a_connection_of_its_own() {
    let backend = Backend::start(Speaks::H1, |_| answer(200, 2));
    let weir = Weir::start(&format!(
        "listeners: [{{ address: 127.0.0.1:0, upstream: app }}]\nupstreams:\n  app:\n    \
         endpoints: [\"{}\"]\n    health_check: {{ path: /, interval: 20ms, timeout: 20ms }}\n",
        backend.address
    ));
    until("it is checked over and over", || backend.begun() > 10);
    assert!(backend.connections() >= backend.begun() - 1);
    assert_eq!(weir.metric("weir_requests_received_total", &[]), 0.0, "they are no requests");
    assert_eq!(weir.metric("weir_upstream_connections_opened_total", &[]), 0.0);
}
