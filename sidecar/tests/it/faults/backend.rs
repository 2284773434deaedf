//! A service that does what its script says, however wrong.
//!
//! The path of a request chooses the script; a script is a list of steps, and both protocols follow
//! the same one where they can. The service counts for itself, so that a test can compare.

mod h1;
mod h2;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

pub(crate) use self::h1::field;
use super::{RUNTIME, Speaks};

/// What the service does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads the request's body to its end and counts the request as whole.
    Read,
    /// Waits, or until the other side leaves.
    Wait(Duration),
    /// A header with this status and `content-length`.
    Head(u16, usize),
    /// So many bytes of the body.
    Body(usize),
    /// The request's body back, piece by piece (h2 only).
    Echo,
    /// So many bytes of the body, and reads the request's at the same time.
    Both(usize),
    /// A byte of the body, then a pause, over and over.
    Drip(Duration),
    /// These bytes as they stand (h1 only).
    Raw(Vec<u8>),
    /// A header that says `x-` and a dot at a time, and never ends (h1 only).
    DripHeader(Duration),
    /// Says nothing more, and waits for the other side to leave.
    Silence,
    /// Neither reads nor writes from here on (h1: the socket; h2: the stream's window).
    Freeze,
    /// RST; on h2, RST_STREAM.
    Reset,
    /// FIN; on h2, GOAWAY and the end of the connection.
    Close,
}

/// The steps for a path.
pub(crate) type Script = fn(&str) -> Vec<Step>;

/// A whole answer of `length` bytes to a whole request.
pub(crate) fn answer(status: u16, length: usize) -> Vec<Step> {
    vec![Step::Read, Step::Head(status, length), Step::Body(length)]
}

/// A running service; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    serving: JoinHandle<()>,
}

/// What the service has counted.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: AtomicU32,
    /// Requests whose header came.
    pub(crate) begun: AtomicU32,
    /// Bodies of the requests that came whole.
    pub(crate) bodies: Mutex<Vec<Vec<u8>>>,
    /// Requests whose script has not ended.
    pub(crate) in_flight: AtomicI32,
}

impl Backend {
    /// Serves on a port that the system chooses.
    pub(crate) fn start(speaks: Speaks, script: Script) -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        let serving = RUNTIME.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                // Window updates are small, and others wait for them.
                socket.set_nodelay(true).expect("a socket that is open");
                counted.connections.fetch_add(1, Relaxed);
                let seen = Arc::clone(&counted);
                // How a connection ended is the other side's to judge.
                connections.spawn(async move {
                    match speaks {
                        Speaks::H1 => drop(h1::serve(socket, script, seen).await),
                        Speaks::H2 => drop(h2::serve(socket, script, seen).await),
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, seen, serving }
    }

    pub(crate) fn connections(&self) -> u32 {
        self.seen.connections.load(Relaxed)
    }

    pub(crate) fn begun(&self) -> u32 {
        self.seen.begun.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> i32 {
        self.seen.in_flight.load(Relaxed)
    }

    /// How many requests came whole.
    pub(crate) fn whole(&self) -> usize {
        self.seen.bodies.lock().unwrap().len()
    }

    /// The bodies since the last call.
    pub(crate) fn take_bodies(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.seen.bodies.lock().unwrap())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Counts a request for as long as its script runs.
struct InFlight(Arc<Seen>);

impl InFlight {
    fn begin(seen: &Arc<Seen>) -> Self {
        seen.begun.fetch_add(1, Relaxed);
        seen.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(seen))
    }

    fn whole(&self, body: Vec<u8>) {
        self.0.bodies.lock().unwrap().push(body);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
