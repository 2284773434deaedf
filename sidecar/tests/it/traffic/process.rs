//! Programs of others: where they are, and servers among them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::weir::until;

/// A program of the system.
///
/// # Panics
/// When it is not installed: a test that cannot run has not passed.
pub(crate) fn tool(name: &str) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers where only root looks.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    Command::new(found.unwrap_or_else(|| panic!("{name} is not installed: run `make setup`")))
}

/// A library of the system.
///
/// # Panics
/// When it is not installed.
pub(crate) fn library(name: &str) -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap();
    let mut files = folders.map(|folder| folder.unwrap().path().join(name));
    let found = files.find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: run `make setup`"))
}

/// The Python that has the packages of `tests/clients/requirements.txt`, with a client or server of
/// that folder.
pub(crate) fn python(script: &str) -> Command {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set_up = || crate_folder.join("../target/python/bin/python");
    let python = env::var_os("WEIR_PYTHON").map_or_else(set_up, PathBuf::from);
    assert!(python.is_file(), "{} is missing: run `make setup`", python.display());
    let mut command = Command::new(python);
    command.arg("-u").arg(crate_folder.join("tests/clients").join(script));
    command
}

/// Runs a client that judges for itself.
pub(crate) fn check(command: &mut Command) {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}: {}\n{out}\n{err}", ran.status);
}

/// A server in a process of its own; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) port: u16,
}

impl Server {
    /// Starts a server that was told port 0, and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut server = Self { child, port: 0 };
        until("the server listens", || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} ended with {ended:?}");
            server.port = listening_port(server.child.id()).unwrap_or(0);
            server.port != 0
        });
        server
    }

    /// Starts a server on a Unix socket, and waits until it listens.
    pub(crate) fn start_at(command: &mut Command, socket: &Path) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let server = Self { child, port: 0 };
        until("the server listens", || std::os::unix::net::UnixStream::connect(socket).is_ok());
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port that a process listens on, as the kernel tells it.
fn listening_port(pid: u32) -> Option<u16> {
    const LISTEN: &str = "0A";
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).ok());
    let mut lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    lines.find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let ours = columns[3] == LISTEN && sockets.iter().any(|inode| inode == columns[9]);
        let (_, port) = columns[1].split_once(':')?;
        if ours { u16::from_str_radix(port, 16).ok() } else { None }
    })
}
