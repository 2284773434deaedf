//! What has it read again.

use std::{
    fs,
    io::{Seek, Write},
    os::unix::{fs::symlink, net::UnixDatagram},
    path::Path,
};

use super::{get, one_route, script, start};
use crate::{
    faults::{Speaks, backend::Backend},
    traffic::curl::curl,
    weir::{PATIENCE, Weir, command, until, whole},
};

const LIMITED: &str = "rate_limit: { qps: 0.001 }";

/// A configuration that is looked at, with a body limit to tell it from others.
fn watched(backend: &Backend, body: &str) -> String {
    let yaml = one_route(backend, "all", &format!("limits: {{ body: {body} }}"));
    yaml.replace("watch: false", "interval: 50ms")
}

fn runs_with(weir: &Weir, body: &str) -> bool {
    weir.admin_get("/config").1.contains(&format!("body: {body}"))
}

#[test]
fn a_post_on_the_admin_address() {
    let (weir, backend) = start("");
    weir.rewrite(&one_route(&backend, "all", LIMITED));
    let url = format!("http://{}/reload", weir.admin);
    let answer = curl(&["-X", "POST", &url]);
    assert_eq!(answer.status(), 200);
    let report = answer.json();
    assert_eq!(report["result"], "applied");
    assert_eq!((&report["trigger"], &report["generation"]), (&"admin".into(), &2.into()));
    assert_eq!(report["changes"]["rate_limits"]["added"], serde_json::json!(["all"]));
    assert_eq!(curl(&[&url]).json(), report, "and it is told again");
    weir.wait_for_log("changes=rate_limits +all");
    assert_eq!(get(weir.address(), "/"), (200, String::new()));
    assert_eq!(get(weir.address(), "/"), (429, "rate_limited".into()));

    let again = curl(&["-X", "POST", &url]).json();
    assert_eq!((&again["result"], &again["generation"]), (&"unchanged".into(), &2.into()));
    for (result, times) in [("applied", 1.0), ("unchanged", 1.0), ("invalid", 0.0)] {
        let label = format!("result=\"{result}\"");
        assert_eq!(weir.metric("weir_config_reloads_total", &[&label]), times, "{result}");
    }
}

#[test]
fn a_hangup() {
    let (weir, backend) = start("");
    weir.rewrite(&one_route(&backend, "all", LIMITED));
    weir.signal("HUP");
    until("it is applied", || weir.generation() == 2);
    weir.wait_for_log("trigger=Signal generation=2");
    assert_eq!(get(weir.address(), "/").0, 200);
    assert_eq!(get(weir.address(), "/").0, 429);
}

#[test]
fn a_file_that_is_written_in_place_or_replaced() {
    let backend = Backend::start(Speaks::H1, script);
    let weir = Weir::start(&watched(&backend, "1KiB"));
    fs::write(&weir.file, whole(&watched(&backend, "2KiB"))).unwrap();
    until("it was written in place", || runs_with(&weir, "2KiB"));
    weir.rewrite(&watched(&backend, "3KiB"));
    until("it was replaced", || runs_with(&weir, "3KiB"));
    fs::remove_file(&weir.file).unwrap();
    weir.rewrite(&watched(&backend, "4KiB"));
    until("it is back", || runs_with(&weir, "4KiB"));
    weir.wait_for_log("trigger=File");
}

#[test]
fn a_config_map_whose_links_are_swapped() {
    let backend = Backend::start(Speaks::H1, script);
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().to_owned();
    let publish = |version: &str, body: &str| {
        fs::create_dir(here.join(version)).unwrap();
        let file = here.join(version).join("weir.yaml");
        fs::write(file, whole(&watched(&backend, body))).unwrap();
        // As the kubelet does it: another link is renamed over the one that everything leads through.
        symlink(version, here.join("..data_tmp")).unwrap();
        fs::rename(here.join("..data_tmp"), here.join("..data")).unwrap();
    };
    publish("..2026_01", "1KiB");
    symlink(Path::new("..data").join("weir.yaml"), here.join("weir.yaml")).unwrap();
    let file = here.join("weir.yaml");
    let weir = Weir::start_at(command(), folder, file).unwrap_or_else(|end| panic!("{end:?}"));
    publish("..2026_02", "2KiB");
    until("the links lead elsewhere", || runs_with(&weir, "2KiB"));
    fs::remove_dir_all(here.join("..2026_01")).unwrap();
    publish("..2026_03", "3KiB");
    until("and elsewhere again", || runs_with(&weir, "3KiB"));
    assert_eq!(weir.generation(), 3, "each was read once");
}

#[test]
fn a_half_written_file_is_read_again_when_it_is_whole() {
    let backend = Backend::start(Speaks::H1, script);
    let weir = Weir::start(&watched(&backend, "1KiB"));
    let text = whole(&watched(&backend, "2KiB"));
    let (first, rest) = text.split_at(text.find("upstreams").unwrap());
    let mut file = fs::OpenOptions::new().write(true).truncate(true).open(&weir.file).unwrap();
    file.write_all(first.as_bytes()).unwrap();
    // Left so for long enough to be taken at its word.
    until("the half is refused", || weir.metric("weir_config_last_reload_success", &[]) == 0.0);
    assert!(runs_with(&weir, "1KiB"));
    assert_eq!(get(weir.address(), "/").0, 200);
    file.seek(std::io::SeekFrom::End(0)).unwrap();
    file.write_all(rest.as_bytes()).unwrap();
    until("the whole is applied", || runs_with(&weir, "2KiB"));
    assert_eq!(weir.metric("weir_config_last_reload_success", &[]), 1.0);
    assert!(weir.metric("weir_config_reloads_total", &["result=\"invalid\""]) >= 1.0);
}

#[test]
fn the_service_manager_is_told_of_the_beginning_and_the_end() {
    let backend = Backend::start(Speaks::H1, script);
    let folder = tempfile::tempdir().unwrap();
    let (socket, file) = (folder.path().join("notify"), folder.path().join("weir.yaml"));
    fs::write(&file, whole(&one_route(&backend, "all", ""))).unwrap();
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut said = [0; 1024];
        let length = manager.recv(&mut said).expect("a notification");
        String::from_utf8_lossy(&said[..length]).into_owned()
    };
    let mut by = command();
    by.env("NOTIFY_SOCKET", &socket);
    let weir = Weir::start_at(by, folder, file).unwrap_or_else(|end| panic!("{end:?}"));
    assert!(told().contains("READY=1"));
    weir.signal("HUP");
    let reloading = told();
    assert!(
        reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
        "{reloading}"
    );
    assert!(told().contains("READY=1"));
}
