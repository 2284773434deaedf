//! Which route takes a request: the first that matches, in the order of the file.

use super::{clinic::Serving, curl::curl};
use crate::weir::Weir;

/// A route that tells its name with each answer, by the limit that it debits.
fn route(name: &str, matches: &str) -> String {
    format!(
        "      - {{ name: {name}, match: {{ {matches} }}, upstream: app, rate_limit: {{ qps: 1000000 }} }}\n"
    )
}

fn weir_with(clinic: &Serving, routes: &[(&str, &str)]) -> Weir {
    let routes: String = routes.iter().map(|(name, matches)| route(name, matches)).collect();
    Weir::start(&format!(
        "listeners:\n  - address: 127.0.0.1:0\n    routes:\n{routes}\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        clinic.address
    ))
}

/// The name of the route that answered; empty when none did.
fn taken_by(weir: &Weir, path: &str, asked: &[&str]) -> String {
    let url = weir.url(path);
    let mut names = ["--http1.1", "--http2-prior-knowledge"].map(|protocol| {
        let answer = curl(&[&[protocol, "--path-as-is", &url][..], asked].concat());
        let policy = answer.field("ratelimit-policy");
        let Some(policy) = policy else {
            assert_eq!(answer.verdict(), (404, "no_route".to_owned()));
            return String::new();
        };
        policy.split('"').nth(1).unwrap().to_owned()
    });
    assert_eq!(names[0], names[1], "both protocols find the same route for {path} {asked:?}");
    std::mem::take(&mut names[0])
}

#[test]
fn the_first_route_that_matches_takes_it() {
    let clinic = Serving::clinic();
    let weir = weir_with(
        &clinic,
        &[
            ("exact", "path: /a/b"),
            ("prefix", "path_prefix: /a"),
            ("shadowed", "path: /a/c"),
            ("regex", "path_regex: \"/studies/[0-9]+/report\""),
            ("folder", "path_prefix: /folder/"),
            ("writes", "path_prefix: /m, methods: [PUT, POST]"),
            ("tenant", "path_prefix: /h, headers: { x-tenant: acme }"),
            ("keyed", "path_prefix: /h, headers: { x-api-key: \"\" }"),
        ],
    );
    for (path, asked, route) in [
        ("/a/b", &[][..], "exact"),
        ("/a/b?query", &[], "exact"),
        ("/a", &[], "prefix"),
        ("/a/b/", &[], "prefix"),
        ("/a/c", &[], "prefix"),
        ("/ab", &[], ""),
        ("/studies/42/report", &[], "regex"),
        ("/studies/x/report", &[], ""),
        ("/studies/42/report/more", &[], ""),
        ("/folder/x", &[], "folder"),
        ("/folder", &[], ""),
        ("/m", &["-X", "PUT"], "writes"),
        ("/m", &["-X", "POST"], "writes"),
        ("/m", &[], ""),
        ("/h", &["-H", "x-tenant: acme"], "tenant"),
        ("/h", &["-H", "x-tenant: other", "-H", "x-api-key: any"], "keyed"),
        ("/h", &["-H", "x-tenant: Acme"], ""),
        ("/", &[], ""),
    ] {
        assert_eq!(taken_by(&weir, path, asked), route, "{path} {asked:?}");
    }
}

/// The policies of a route are not to be gone round by a spelling that the service reads as its path.
#[test]
fn another_spelling_of_a_path_finds_the_same_route() {
    let clinic = Serving::clinic();
    let weir = weir_with(
        &clinic,
        &[
            ("rate", "path_prefix: /rate/"),
            ("spaced", "path: /a%20b"),
            ("regex", "path_regex: \"/studies/.*\""),
            ("all", "path_prefix: /"),
        ],
    );
    for (path, route) in [
        ("/rate/x", "rate"),
        ("/%72ate/x", "rate"),
        ("//rate/x", "rate"),
        ("/x/../rate/x", "rate"),
        ("/x/%2e%2e/rate/x", "rate"),
        ("/./rate/x", "rate"),
        ("/rate%2Fx", "rate"),
        ("/rate/../x", "all"),
        ("/a%20b", "spaced"),
        ("/studies/%0a", "regex"),
    ] {
        assert_eq!(taken_by(&weir, path, &[]), route, "{path}");
    }
}

#[test]
fn hosts_are_told_apart_with_and_without_a_port() {
    let clinic = Serving::clinic();
    let weir = weir_with(
        &clinic,
        &[
            ("one", "host: one.test"),
            ("any", "host: \"*.any.test\""),
            ("rest", "path_prefix: /rest"),
        ],
    );
    for (host, path, route) in [
        ("one.test", "/", "one"),
        ("ONE.test", "/", "one"),
        ("one.test:8080", "/", "one"),
        ("a.any.test", "/", "any"),
        ("a.b.any.test:80", "/", "any"),
        ("any.test", "/", ""),
        ("two.test", "/", ""),
        ("two.test", "/rest", "rest"),
    ] {
        assert_eq!(taken_by(&weir, path, &["-H", &format!("host: {host}")]), route, "{host}{path}");
    }
}
