//! A Redis server of the test's own.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use crate::{traffic::process::tool, weir::PATIENCE, weir::until};

/// A server with nothing on disk; it is killed when dropped.
pub(super) struct Redis {
    child: Option<Child>,
    port: u16,
    password: Option<&'static str>,
    folder: tempfile::TempDir,
}

impl Redis {
    pub(super) fn start() -> Self {
        let mut redis = Self::absent();
        redis.come();
        redis
    }

    pub(super) fn with_password(password: &'static str) -> Self {
        let mut redis = Self::absent();
        redis.password = Some(password);
        redis.come();
        redis
    }

    /// A port where none listens yet.
    pub(super) fn absent() -> Self {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = door.local_addr().unwrap().port();
        Self { child: None, port, password: None, folder: tempfile::tempdir().unwrap() }
    }

    /// Starts it, empty.
    pub(super) fn come(&mut self) {
        let mut server = tool("redis-server");
        let port = self.port.to_string();
        server.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        server.arg("--dir").arg(self.folder.path());
        if let Some(password) = self.password {
            server.args(["--requirepass", password]);
        }
        self.child = Some(server.stdout(Stdio::null()).spawn().unwrap());
        until("redis answers", || {
            self.try_say(&["PING"]).is_some_and(|told| told.contains("PONG"))
        });
    }

    /// Ends it without a word.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// It keeps its connections and does nothing.
    pub(super) fn hang(&self) {
        self.signal("STOP");
    }

    pub(super) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let Some(child) = &self.child else { return };
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// For the configuration, with more patience than a busy machine needs.
    pub(super) fn shared(&self) -> String {
        format!("{{ store: \"{}\", timeout: 1s }}", self.url())
    }

    pub(super) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What it answers to a command, as it came over the wire.
    pub(super) fn say(&self, command: &[&str]) -> String {
        self.try_say(command).expect("redis answers")
    }

    fn try_say(&self, command: &[&str]) -> Option<String> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut said = String::new();
        let quit = ["QUIT"];
        let auth = self.password.map(|password| ["AUTH", password]);
        let auth = auth.as_ref().map(|auth| &auth[..]);
        for command in auth.into_iter().chain([command, &quit]) {
            said += &format!("*{}\r\n", command.len());
            for word in command {
                said += &format!("${}\r\n{word}\r\n", word.len());
            }
        }
        socket.write_all(said.as_bytes()).ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }

    /// The names of everything in it.
    pub(super) fn keys(&self) -> Vec<String> {
        let answer = self.say(&["KEYS", "weir:limit:*"]);
        answer.lines().filter(|line| line.starts_with("weir:")).map(str::to_owned).collect()
    }

    /// Connections but the one that asks.
    pub(super) fn connections(&self) -> usize {
        self.say(&["CLIENT", "LIST"]).matches("addr=127").count().saturating_sub(2) / 2
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
