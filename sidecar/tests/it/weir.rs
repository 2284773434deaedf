//! A sidecar under test: the built binary on ports of its own.
#![allow(clippy::disallowed_methods, reason = "tests wait with a deadline of their own")]
#![allow(clippy::let_underscore_must_use, reason = "a process or a peer may have gone already")]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running sidecar; it is killed when dropped.
pub(crate) struct Weir {
    child: Child,
    log: Mutex<mpsc::Receiver<String>>,
    /// Where the listeners are, in the order of the file.
    pub(crate) listeners: Vec<String>,
    pub(crate) admin: SocketAddr,
    /// The configuration.
    pub(crate) file: PathBuf,
    _folder: tempfile::TempDir,
}

/// What every configuration here begins with.
const PREAMBLE: &str = "version: 1\nadmin: { address: 127.0.0.1:0 }\n";

/// Writes a configuration into a folder of its own.
pub(crate) fn config_file(yaml: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.yaml");
    std::fs::write(&file, yaml).unwrap();
    (folder, file)
}

/// A configuration with what every one here begins with.
pub(crate) fn whole(yaml: &str) -> String {
    format!("{PREAMBLE}{yaml}")
}

/// The binary, to be run with arguments of your own. `WEIR_BINARY` names another build of it, for what
/// is measured by hand.
pub(crate) fn command() -> Command {
    let built = || env!("CARGO_BIN_EXE_weir").into();
    Command::new(std::env::var_os("WEIR_BINARY").unwrap_or_else(built))
}

impl Weir {
    /// Starts a sidecar and waits until it listens. Write `127.0.0.1:0` for every address; `version`
    /// and `admin` are added.
    pub(crate) fn start(yaml: &str) -> Self {
        let weir = Self::start_unready(yaml);
        until("the sidecar is ready", || weir.admin_get("/ready").0 == 200);
        weir
    }

    /// Starts a sidecar that may never be ready.
    pub(crate) fn start_unready(yaml: &str) -> Self {
        Self::start_by(command(), yaml).unwrap_or_else(|(status, log)| panic!("{status}: {log:?}"))
    }

    /// Starts a sidecar by a command that ends in the binary. One that ends before it listens leaves
    /// its status and its log.
    pub(crate) fn start_by(by: Command, yaml: &str) -> Result<Self, (ExitStatus, Vec<String>)> {
        let (folder, file) = config_file(&whole(yaml));
        Self::start_at(by, folder, file)
    }

    /// The same for a file that is there already, in a folder that lives as long as the sidecar.
    pub(crate) fn start_at(
        mut by: Command,
        folder: tempfile::TempDir,
        file: PathBuf,
    ) -> Result<Self, (ExitStatus, Vec<String>)> {
        let mut child = by.arg("run").arg("-c").arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = mpsc::channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("    weir| {line}");
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut listeners = Vec::new();
        let mut said = Vec::new();
        let admin = loop {
            let Ok(line) = log.recv_timeout(PATIENCE) else {
                return Err((wait_for_exit(&mut child), said));
            };
            let address = line.split("address=").nth(1).map(str::to_owned);
            match address {
                Some(address) if line.contains("listening") => listeners.push(address),
                Some(address) if line.contains("admin") => break address.parse().unwrap(),
                _ => said.push(line),
            }
        };
        Ok(Self { child, log: Mutex::new(log), listeners, admin, file, _folder: folder })
    }

    /// Puts another configuration in the place of its file, whole.
    pub(crate) fn rewrite(&self, yaml: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, whole(yaml)).unwrap();
        fs::rename(next, &self.file).unwrap();
    }

    /// Has the configuration read again: the status, and what came of it.
    pub(crate) fn reload(&self) -> (u16, Value) {
        let reload =
            format!("POST /reload HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
        let answer = raw(self.admin, reload.as_bytes());
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap())
    }

    /// Has it run by another configuration.
    pub(crate) fn reconfigure(&self, yaml: &str) {
        self.rewrite(yaml);
        let (status, report) = self.reload();
        assert_eq!((status, &report["result"]), (200, &"applied".into()), "{report:#}");
    }

    /// Which configuration runs.
    pub(crate) fn generation(&self) -> u64 {
        self.metric("weir_config_generation", &[]) as u64
    }

    /// Where the first listener is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listeners[0].parse().unwrap()
    }

    /// `http://` and the first listener's address and a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.listeners[0])
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A number of `/proc/PID/status`, in bytes.
    pub(crate) fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).expect("a known line");
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Tells it to send its clients elsewhere.
    pub(crate) fn drain(&self) {
        let drain =
            format!("POST /drain HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
        assert!(raw(self.admin, drain.as_bytes()).starts_with("HTTP/1.1 200"));
    }

    /// Status and body of an admin endpoint.
    pub(crate) fn admin_get(&self, path: &str) -> (u16, String) {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.admin);
        let answer = raw(self.admin, request.as_bytes());
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    /// What `/explain` tells under an id.
    pub(crate) fn explained(&self, id: &str) -> Value {
        let (status, told) = self.admin_get(&format!("/explain/{id}"));
        assert_eq!(status, 200, "{told}");
        serde_json::from_str(&told).unwrap()
    }

    /// The newest explanation.
    pub(crate) fn last_explained(&self) -> Value {
        let (_, told) = self.admin_get("/explain?count=1");
        let mut told: Vec<Value> = serde_json::from_str(&told).unwrap();
        told.pop().expect("something is explained")
    }

    /// The sum of all samples of a metric whose labels contain each of `labels`, such as `reason="ok"`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.admin_get("/metrics");
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.rsplit_once(' '))
            .filter(|(series, _)| series.split('{').next() == Some(name))
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum()
    }

    /// Sends a signal, by its name without `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for a line of its log.
    pub(crate) fn wait_for_log(&self, part: &str) {
        self.log_line(part);
    }

    /// The next line of its log with this in it.
    pub(crate) fn log_line(&self, part: &str) -> String {
        let (log, until) = (self.log.lock().unwrap(), Instant::now() + PATIENCE);
        while Instant::now() < until {
            if let Some(line) = log.recv_timeout(PATIENCE).ok().filter(|line| line.contains(part)) {
                return line;
            }
        }
        panic!("the log never said {part:?}");
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        wait_for_exit(&mut self.child)
    }
}

impl Drop for Weir {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a process has ended; it is killed when it does not.
pub(crate) fn wait_for_exit(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("the process did not end");
        }
        thread::yield_now();
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Waits for something to become true.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "never: {what}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Sends bytes and reads until the other side closes.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other side may answer and close before it has read everything.
    let _ = socket.write_all(bytes);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
