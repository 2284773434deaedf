//! More than one listener, and listeners and services on Unix sockets.

use http::Uri;
use weir_clinic::Settings;

use super::{clinic::Serving, curl::curl, message::echoed};
use crate::weir::Weir;

#[test]
fn a_service_calls_its_dependency_through_the_second_listener() {
    let dependency = Serving::dependency();
    let door = Serving::door();
    let weir = Weir::start(&format!(
        "listeners:\n  - {{ name: ingress, address: 127.0.0.1:0, upstream: clinic }}\n\
         \x20 - {{ name: egress, address: 127.0.0.1:0, upstream: drug-info }}\n\
         upstreams:\n  clinic: {{ endpoints: [\"{}\"] }}\n  drug-info: {{ endpoints: [\"{}\"] }}\n",
        door.local_addr().unwrap(),
        dependency.address
    ));
    let base: Uri = format!("http://{}", weir.listeners[1]).parse().unwrap();
    let settings = Settings { drug_info_base: base, ..Settings::default() };
    let _clinic = Serving::clinic_at(door, settings);
    let answer = curl(&[weir.url("/drug-info/N02BE01")]);
    assert_eq!((answer.status(), &answer.json()["code"]), (200, &"N02BE01".into()));
    for listener in ["ingress", "egress"] {
        let through = format!("listener=\"{listener}\"");
        assert_eq!(weir.metric("weir_requests_received_total", &[&through]), 1.0, "{listener}");
    }
}

#[test]
fn unix_sockets_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let (front, back) = (folder.path().join("weir.sock"), folder.path().join("clinic.sock"));
    let _clinic = Serving::clinic_at_path(&back);
    let _weir = Weir::start(&format!(
        "listeners: [{{ address: \"unix:{}\", upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"unix:{}\"] }} }}\n",
        front.display(),
        back.display()
    ));
    for protocol in ["--http1.1", "--http2-prior-knowledge"] {
        let socket = front.display().to_string();
        let asked = [protocol, "--unix-socket", &socket, "--data", "a body", "http://clinic/echo"];
        let answer = curl(&asked);
        assert_eq!((answer.status(), &answer.json()["body"]), (200, &"a body".into()));
        assert_eq!(echoed(&answer, "host"), ["clinic"]);
        assert_eq!(echoed(&answer, "x-forwarded-for"), [""; 0], "a Unix socket has no address");
    }
}
