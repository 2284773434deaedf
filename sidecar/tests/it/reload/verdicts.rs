//! What changes nothing, and how that is told.

use serde_json::Value;

use super::{get, one_route, script, start};
use crate::{
    faults::{Speaks, backend::Backend},
    traffic::{curl::curl, tls::Authority},
    weir::{Weir, command, until, whole},
};

fn problems(report: &Value) -> String {
    let lines = report["problems"].as_array().expect("problems").iter();
    lines.map(|line| line.as_str().unwrap().to_owned() + "\n").collect()
}

/// What runs, as it is told.
fn running(weir: &Weir) -> (String, u64) {
    (weir.admin_get("/config").1, weir.generation())
}

#[test]
fn a_wrong_file_is_told_with_its_places() {
    let (weir, backend) = start("breaker: { error_ratio: 50% }");
    let before = running(&weir);
    weir.rewrite(&one_route(
        &backend,
        "all",
        "breaker: { error_ratio: 150% }, rate_limit: { qps: 1 }",
    ));
    let (status, report) = weir.reload();
    assert_eq!((status, &report["status"]), (422, &422.into()));
    assert_eq!((&report["result"], &report["generation"]), (&"invalid".into(), &1.into()));
    let told = problems(&report);
    let at = format!("{}:4:", weir.file.display());
    assert!(told.starts_with(&at), "{told}");
    for part in ["breaker.error_ratio: `150%` is above 100%", "^^^^", "help: "] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert_eq!(running(&weir), before);
    assert_eq!(weir.metric("weir_config_last_reload_success", &[]), 0.0);
    weir.wait_for_log("the configuration is wrong");
    weir.wait_for_log("^^^^");
    assert_eq!(get(weir.address(), "/").0, 200);
    weir.reconfigure(&one_route(&backend, "all", "breaker: { error_ratio: 60% }"));
    assert_eq!(weir.metric("weir_config_last_reload_success", &[]), 1.0);
}

#[test]
fn what_takes_a_restart_is_named_and_nothing_else_is_applied_either() {
    let (weir, backend) = start("");
    let good = one_route(&backend, "all", "rate_limit: { qps: 0.001 }");
    let before = running(&weir);
    for (from, to, path, what) in [
        ("reload:", "threads: 7\nreload:", "threads: ", "and would be `7`"),
        (
            "address: 127.0.0.1:0",
            "address: 127.0.0.1:1",
            "listeners[0].address: ",
            "it is `127.0.0.1:0` and would be `127.0.0.1:1`",
        ),
        ("name: in,", "name: out,", "listeners[0]: ", "listener `out` is new"),
        ("name: in,", "name: out,", "listeners: ", "listener `in` at `127.0.0.1:0` is gone"),
    ] {
        weir.rewrite(&good.replace(from, to));
        let (status, report) = weir.reload();
        assert_eq!((status, &report["result"]), (409, &"needs_restart".into()), "{report:#}");
        let told = problems(&report);
        assert!(told.contains(&format!(": {path}")) && told.contains(what), "{told}");
        assert!(told.contains("^") && told.contains("help: restart the process"), "{told}");
        assert_eq!(running(&weir), before);
    }
    for _ in 0..3 {
        assert_eq!(get(weir.address(), "/").0, 200, "the rate limit is not applied");
    }
}

#[test]
fn authorities_that_have_gone_or_changed_are_told() {
    let authority = Authority::new();
    let server = authority.serve();
    let ca = authority.file("ca.pem");
    let watched = format!(
        "reload: {{ interval: 50ms }}\n\
         listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, breaker: {{ mode: disabled }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], tls: {{ sni: app.test, ca: \"{ca}\" }} }} }}\n",
        server.address()
    );
    let weir = Weir::start(&watched);
    let asks = || get(weir.address(), "/hello.txt");
    until("it is believed", || asks().0 == 200);

    let good = std::fs::read(&ca).unwrap();
    std::fs::write(&ca, "no certificate\n").unwrap();
    until("that is noticed", || weir.metric("weir_config_last_reload_success", &[]) == 0.0);
    let last: Value = serde_json::from_str(&weir.admin_get("/reload").1).unwrap();
    let told = problems(&last);
    assert!(told.contains("upstreams.app.tls.ca: ") && told.contains(&ca), "{told}");
    assert_eq!(asks().0, 200, "what was there before goes on");

    let other = std::fs::read(Authority::new().file("ca.pem")).unwrap();
    std::fs::write(&ca, other).unwrap();
    until("another authority does not vouch for it", || asks() == (502, "upstream_connect".into()));
    std::fs::write(&ca, good).unwrap();
    until("the first one does", || asks().0 == 200);
    weir.wait_for_log("changes=upstreams ~app");
}

#[test]
fn the_token_can_be_exchanged() {
    let backend = Backend::start(Speaks::H1, script);
    let yaml = one_route(&backend, "all", "");
    let mut by = command();
    by.env("OLD", "old-token-0123456789").env("NEW", "new-token-0123456789");
    let weir = Weir::start_by(by, &yaml).unwrap_or_else(|end| panic!("{end:?}"));
    let guarded = |token: &str| {
        let text = whole(&yaml).replace(":0 }\n", &format!(":0, token: \"${{{token}}}\" }}\n"));
        std::fs::write(&weir.file, text).unwrap();
    };
    let status = |method: &str, token: &str| {
        let url = format!("http://{}/reload", weir.admin);
        curl(&["-X", method, "-H", &format!("authorization: Bearer {token}"), &url]).status()
    };
    guarded("OLD");
    assert_eq!(status("POST", "none"), 200, "there was no token yet");
    assert_eq!(status("GET", "none"), 401);
    guarded("NEW");
    assert_eq!(status("POST", "old-token-0123456789"), 200);
    assert_eq!(status("GET", "old-token-0123456789"), 401);
    assert_eq!(status("GET", "new-token-0123456789"), 200);
}
