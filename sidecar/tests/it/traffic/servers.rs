//! Servers of others behind the sidecar: nginx, Python's http.server, nghttpd.

use std::{fs, path::Path};

use super::{
    clinic::{Serving, before},
    curl::{curl, statuses},
    process::{Server, tool},
};
use crate::weir::Weir;

const CLIENTS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// An nginx that serves a folder, and where.
#[derive(Debug)]
pub(crate) struct Nginx {
    pub(crate) endpoint: String,
    _server: Server,
}

/// nginx takes no port 0, so it listens on a Unix socket in the folder that it serves.
pub(crate) fn nginx(folder: &Path) -> Nginx {
    let here = folder.display();
    let socket = folder.join("nginx.sock");
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {here}/{kind};"))
        .concat();
    // One worker that never leaves the foreground, so that ending the process ends it all.
    let configuration = format!(
        "daemon off; master_process off; pid {here}/nginx.pid; error_log {here}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 1000000; {temporary}\n\
         server {{ listen unix:{}; root {here}; }} }}\n",
        socket.display()
    );
    fs::write(folder.join("nginx.conf"), configuration).unwrap();
    fs::write(folder.join("hello.txt"), "hello from nginx\n").unwrap();
    let mut command = tool("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    let server = Server::start_at(&mut command, &socket);
    Nginx { endpoint: format!("unix:{}", socket.display()), _server: server }
}

/// With one worker, which has one pool of connections.
fn h2_before(endpoint: &str) -> Weir {
    Weir::start(&format!(
        "threads: 1\nlisteners: [{{ address: 127.0.0.1:0, upstream: app }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"], protocol: h2 }} }}\n"
    ))
}

#[test]
fn nginx_answers_with_files_ranges_and_not_modified() {
    let folder = tempfile::tempdir().unwrap();
    let nginx = nginx(folder.path());
    let weir = before(&nginx.endpoint, "");
    let url = weir.url("/hello.txt");
    for client in CLIENTS {
        let answer = curl(&[client, &url]);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello from nginx\n"));
        let part = curl(&[client, "--range", "6-9", &url]);
        assert_eq!((part.status(), part.text().as_str()), (206, "from"));
        let etag = format!("if-none-match: {}", answer.field("etag").expect("nginx tags files"));
        assert_eq!(curl(&[client, "-H", &etag, &url]).status(), 304);
        assert_eq!(statuses(client, &[&url, &weir.url("/none"), &url]), [200, 404, 200]);
    }
}

#[test]
fn pythons_http_server_in_both_its_versions() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.txt"), "hello from Python\n").unwrap();
    for version in ["HTTP/1.0", "HTTP/1.1"] {
        let mut command = tool("python3");
        command.args(["-m", "http.server", "0", "--bind", "127.0.0.1", "--protocol", version]);
        let server = Server::start(command.arg("--directory").arg(folder.path()));
        let weir = before(&server.address(), "");
        for client in CLIENTS {
            let url = weir.url("/hello.txt");
            let answer = curl(&[client, &url]);
            assert_eq!((answer.status(), answer.text().as_str()), (200, "hello from Python\n"));
            assert_eq!(
                answer.field("via"),
                Some(if version == "HTTP/1.0" { "1.0 weir" } else { "1.1 weir" })
            );
            assert_eq!(statuses(client, &[&url, &weir.url("/none"), &url]), [200, 404, 200]);
        }
    }
}

#[test]
fn nghttpd_speaks_h2_to_clients_of_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.txt"), "hello from nghttpd\n").unwrap();
    let mut command = tool("nghttpd");
    command.args(["--no-tls", "--address=127.0.0.1", "--trailer", "x-end: yes", "--htdocs"]);
    let server = Server::start(command.arg(folder.path()).arg("0"));
    let weir = h2_before(&server.address());
    for client in CLIENTS {
        let url = weir.url("/hello.txt");
        let answer = curl(&[client, &url]);
        assert_eq!((answer.status(), answer.text().as_str()), (200, "hello from nghttpd\n"));
        assert_eq!(answer.field("via"), Some("2 weir"));
        assert_eq!(statuses(client, &[&url, &weir.url("/none"), &url]), [200, 404, 200]);
    }
    assert_eq!(
        weir.metric("weir_upstream_connections_opened_total", &[]),
        1.0,
        "one carries them all"
    );
}

#[test]
fn an_h2_service_sees_the_request_as_h2() {
    let clinic = Serving::clinic();
    let weir = h2_before(&clinic.address.to_string());
    for client in CLIENTS {
        let answer =
            curl(&[client, "-H", "host: the-host", "--data", "body", &weir.url("/echo?a")]);
        let seen = answer.json();
        assert_eq!((&seen["version"], &seen["body"]), (&"HTTP/2.0".into(), &"body".into()));
        assert_eq!(seen["target"], "http://the-host/echo?a");
    }
}
