//! Endpoints that are names.

use super::{clinic::Serving, curl::curl};
use crate::weir::Weir;

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
    assert!(endpoints.iter().any(|endpoint| endpoint["address"] == here), "{endpoints:?}");
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
