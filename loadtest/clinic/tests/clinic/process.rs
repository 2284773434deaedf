//! The binary: it says where it listens, serves, and ends when told.

use std::{process::Stdio, time::Duration};

use http::StatusCode;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdout, Command},
    time::timeout,
};

use crate::served::http1;

const GENEROUS: Duration = Duration::from_secs(60);

async fn address(lines: &mut Lines<BufReader<ChildStdout>>, name: &str) -> String {
    let line = timeout(GENEROUS, lines.next_line()).await.expect("in time").expect("readable");
    let line = line.expect("a line before the end");
    let address = line.strip_prefix(&format!("{name} listens on ")).expect("the name first");
    address.to_owned()
}

#[tokio::test]
async fn the_process_serves_and_ends_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let mut clinic = Command::new(env!("CARGO_BIN_EXE_weir-clinic"))
            .args(["--address", "127.0.0.1:0", "--dependency-address", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(clinic.stdout.take().expect("piped")).lines();
        let own = address(&mut lines, "clinic").await;
        let dependency = address(&mut lines, "drug-info").await;
        for uri in [format!("http://{own}/drug-info/X"), format!("http://{dependency}/healthz")] {
            let answer = http1().get(uri.parse().expect("a URI")).await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK, "{uri}");
        }
        let id = clinic.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await;
        assert!(sent.expect("kill runs").success());
        let ended = timeout(GENEROUS, clinic.wait()).await.expect("in time").expect("waited for");
        assert!(ended.success(), "{signal}: {ended}");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_weir-clinic"))
        .args(["--address", &address])
        .output()
        .await
        .expect("the binary runs");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("clinic cannot listen on {address}")), "{said}");
}

#[tokio::test]
async fn a_base_that_cannot_be_called_is_refused_with_its_fix() {
    for base in ["127.0.0.1:9001", "https://127.0.0.1:9001", "http://127.0.0.1:9001/?a=1", "/x"] {
        let output = Command::new(env!("CARGO_BIN_EXE_weir-clinic"))
            .args(["--address", "127.0.0.1:0", "--drug-info", base])
            .kill_on_drop(true)
            .output();
        let output = timeout(GENEROUS, output).await.expect("in time").expect("the binary runs");
        assert!(!output.status.success(), "{base}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("write a base like http://127.0.0.1:9001"), "{base}: {said}");
    }
}
