//! Sockets in: binding before anything runs, and the accept loop of each worker.
//!
//! Every worker accepts from the same sockets; whoever is idle takes the next connection. Binding is
//! done once, at the start, so that a port in use is an error message and an exit code, not a
//! process without a listener.

use std::{
    fs, io, net,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net as unix,
    },
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpListener, UnixListener},
    runtime,
    sync::oneshot,
    time,
};
use weir_config::Address;

use super::{
    connection::Connection,
    stream::{ClientStream, Socket},
    worker::Worker,
};
use crate::{
    plan::{Doors, Listener},
    shared::Shared,
};

/// Owner and group may connect to a Unix socket of ours.
const SOCKET_MODE: u32 = 0o660;
/// What a client's socket holds back unsent. Its room is reported in steps of half of this, so it tells a
/// client that reads slowly from one that does not read; the system's own steps are megabytes.
const UNSENT: u32 = 128 * 1024;
/// How long a worker waits before it accepts again when the system has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Bound {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

/// A socket that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for listener {listener}")]
pub(crate) struct BindError {
    listener: String,
    address: Address,
    source: io::Error,
}

/// Listens on the address of a listener.
///
/// # Errors
/// When the address is in use, or not ours to use.
pub(crate) fn bind(listener: &Listener) -> Result<Bound, BindError> {
    let failed = |source| BindError {
        listener: listener.name.clone(),
        address: listener.address.clone(),
        source,
    };
    match &listener.address {
        Address::Tcp(address) => {
            let socket = net::TcpListener::bind(address).map_err(failed)?;
            socket.set_nonblocking(true).map_err(failed)?;
            // Accepted sockets inherit it.
            SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT).map_err(failed)?;
            Ok(Bound::Tcp(socket))
        }
        Address::Unix(path) => {
            remove_stale(path).map_err(failed)?;
            let socket = unix::UnixListener::bind(path).map_err(failed)?;
            fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
            socket.set_nonblocking(true).map_err(failed)?;
            Ok(Bound::Unix(socket))
        }
    }
}

/// A socket file that nobody answers on is what a killed process left.
fn remove_stale(path: &Path) -> io::Result<()> {
    match unix::UnixStream::connect(path) {
        Ok(_) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers on this socket"))
        }
        // A file that is no socket refuses connections too, and is not ours to remove.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            if fs::symlink_metadata(path)?.file_type().is_socket() {
                fs::remove_file(path)
            } else {
                Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ))
            }
        }
        Err(_) => Ok(()),
    }
}

impl Bound {
    /// Where it listens, with the port that the system chose.
    pub(crate) fn address(&self, written: &Address) -> Address {
        match self {
            Self::Tcp(socket) => socket.local_addr().map_or_else(|_| written.clone(), Address::Tcp),
            Self::Unix(_) => written.clone(),
        }
    }

    /// Another handle to the same socket, for another worker.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }
}

/// A worker's life: says whether it could start, accepts until it is told to close, then waits for
/// its connections to end. One that panics as it starts drops `started` with nothing said.
pub(crate) fn run(
    index: usize,
    shared: Arc<Shared>,
    sockets: Vec<Bound>,
    started: oneshot::Sender<io::Result<Arc<Worker>>>,
) {
    let prepared =
        runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let _context = runtime.enter();
            let sockets: Vec<_> =
                sockets.into_iter().map(AsyncBound::new).collect::<io::Result<_>>()?;
            let worker = Arc::new(Worker::new(index, shared));
            Ok((runtime, worker, sockets))
        });
    // Nobody hears it when the start has been given up for another worker; then the process ends.
    match prepared {
        Ok((runtime, worker, sockets)) => {
            started.send(Ok(Arc::clone(&worker))).unwrap_or_default();
            runtime.block_on(work(worker, sockets));
        }
        Err(error) => started.send(Err(error)).unwrap_or_default(),
    }
}

async fn work(worker: Arc<Worker>, sockets: Vec<AsyncBound>) {
    let mut loops = tokio::task::JoinSet::new();
    for (listener, socket) in sockets.into_iter().enumerate() {
        loops.spawn(accept(Arc::clone(&worker), listener, socket));
    }
    while loops.join_next().await.is_some() {}
    worker.shared.ended.cancelled().await;
}

enum AsyncBound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsyncBound {
    fn new(socket: Bound) -> io::Result<Self> {
        Ok(match socket {
            Bound::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket)?),
            Bound::Unix(socket) => Self::Unix(UnixListener::from_std(socket)?),
        })
    }

    async fn accept(&self) -> io::Result<(Socket, Option<net::IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok((Socket::Tcp(socket), Some(peer.ip())))
            }
            Self::Unix(listener) => Ok((Socket::Unix(listener.accept().await?.0), None)),
        }
    }
}

/// Accepts for the listener at this place.
async fn accept(worker: Arc<Worker>, listener: usize, socket: AsyncBound) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = worker.closing.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                let Some(open) = Open::take(&worker.view().plan.listeners[listener]) else {
                    continue;
                };
                let connection = Connection { worker: Arc::clone(&worker), listener, peer };
                tokio::spawn(async move {
                    connection.serve(ClientStream::new(socket)).await;
                    drop(open);
                });
            }
            Err(error) if is_clients_own(&error) => {}
            Err(error) => {
                let plan = &worker.view().plan;
                let listener = &plan.listeners[listener].name;
                tracing::warn!(%error, listener, "cannot accept; trying again");
                time::sleep(NO_ROOM).await;
            }
        }
    }
}

/// Whether only this one connection is concerned, and the next can be accepted at once.
fn is_clients_own(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}

/// A connection's place under `limits.connections`.
struct Open(Arc<Doors>);

impl Open {
    /// `None`, which is counted, when all places are taken.
    fn take(listener: &Listener) -> Option<Self> {
        let (doors, limit) = (&listener.doors, listener.limits.connections.get());
        let taken =
            doors.open.fetch_update(Relaxed, Relaxed, |open| (open < limit).then_some(open + 1));
        if taken.is_err() {
            doors.refused.fetch_add(1, Relaxed);
        }
        taken.is_ok().then(|| Self(Arc::clone(doors)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
