//! TLS towards the service: believed for the right name and authority, and for nothing else.

use std::{fs, path::Path, process::Stdio};

use super::{
    curl::curl,
    process::{Server, tool},
};
use crate::weir::{Weir, command, config_file};

const NAME: &str = "app.test";

/// Files of a throw-away authority and of a server that it vouches for.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("san"), format!("subjectAltName=DNS:{NAME}\n")).unwrap();
        fs::write(folder.path().join("hello.txt"), "hello over TLS\n").unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc";
        for arguments in [
            format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"),
            format!("req {key} -keyout app.key -out app.csr -subj /CN={NAME}"),
            "x509 -req -in app.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out app.pem -days 2 -extfile san"
                .to_owned(),
        ] {
            let mut openssl = tool("openssl");
            openssl.args(arguments.split(' ')).current_dir(folder.path()).stdin(Stdio::null());
            let made = openssl.output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        Self { folder }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// An `openssl s_server` that serves the folder's files.
    pub(crate) fn serve(&self) -> Server {
        let mut openssl = tool("openssl");
        openssl.args(
            "s_server -4 -accept 127.0.0.1:0 -cert app.pem -key app.key -WWW -quiet".split(' '),
        );
        Server::start(openssl.current_dir(self.folder.path()))
    }
}

fn configuration(endpoint: &str, tls: &str, more: &str) -> String {
    format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ upstream: app, breaker: {{ mode: disabled }} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"], tls: {{ {tls} }}, {more} }} }}\n"
    )
}

#[test]
fn only_the_right_name_from_the_right_authority_is_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.serve();
    for (sni, ca, status) in [
        (NAME, &authority, 200),
        ("other.test", &authority, 502),
        (NAME, &other, 502),
        (NAME, &authority, 200),
    ] {
        let tls = format!("sni: {sni}, ca: {}", ca.file("ca.pem"));
        let weir = Weir::start(&configuration(&server.address(), &tls, ""));
        for client in ["--http1.1", "--http2-prior-knowledge"] {
            let answer = curl(&[client, &weir.url("/hello.txt")]);
            let (said, reason) = answer.verdict();
            assert_eq!(said, status, "{sni}: {}", answer.text());
            match status {
                200 => assert_eq!(answer.text(), "hello over TLS\n"),
                _ => {
                    assert_eq!(reason, "upstream_connect");
                    assert_eq!(answer.json()["detail"], "no connection to the upstream");
                    let explained = weir.admin_get("/explain?count=1").1;
                    assert!(explained.contains("certificate"), "{explained}");
                }
            }
        }
    }
}

#[test]
fn an_h2_service_is_reached_over_tls_too() {
    let authority = Authority::new();
    let mut nghttpd = tool("nghttpd");
    nghttpd.arg("--address=127.0.0.1").arg("--htdocs").arg(authority.folder.path()).arg("0");
    let server =
        Server::start(nghttpd.arg(authority.file("app.key")).arg(authority.file("app.pem")));
    let tls = format!("sni: {NAME}, ca: {}", authority.file("ca.pem"));
    let weir = Weir::start(&configuration(&server.address(), &tls, "protocol: h2"));
    for client in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&[client, &weir.url("/hello.txt")]);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello over TLS\n"));
    }
}

#[test]
fn authorities_that_cannot_be_read_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (garbage, empty) = (folder.path().join("garbage.pem"), folder.path().join("empty.pem"));
    fs::write(&garbage, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
    fs::write(&empty, "not a certificate\n").unwrap();
    for file in [&folder.path().join("missing.pem"), &garbage, &empty] {
        refuses_to_start(file);
    }
}

fn refuses_to_start(authorities: &Path) {
    let tls = format!("sni: {NAME}, ca: {}", authorities.display());
    let yaml = configuration("127.0.0.1:443", &tls, "");
    let (_folder, file) =
        config_file(&format!("version: 1\nadmin: {{ address: 127.0.0.1:0 }}\n{yaml}"));
    let ran = command().arg("run").arg("-c").arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(
        said.contains("upstream app") && said.contains(&authorities.display().to_string()),
        "{said}"
    );
}
