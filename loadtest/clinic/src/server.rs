//! One listener, served until told to stop.
//!
//! HTTP/1.1 and HTTP/2 with prior knowledge share the port: the connection's first bytes tell them
//! apart. Connections belong to the call that accepted them; none outlives it.

use std::{io, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// What had to be cut when a server ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Connections whose last answer was not sent by the deadline.
    pub connections_cut: usize,
    /// Accepted work and background tasks, leaked ones too, that had not ended by the deadline.
    pub work_lost: usize,
}

/// How the connections of a server ended.
pub(crate) struct Stopped {
    pub(crate) connections_cut: usize,
    /// When the grace ends, for whatever else there is to finish.
    pub(crate) deadline: Instant,
}

/// Serves until `shutdown`, then finishes what was begun, for at most `grace`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> Stopped {
    let stop = CancellationToken::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _peer)) => {
                    connections.spawn(connection(stream, router.clone(), stop.clone()));
                }
                Err(error) => pause_after(&error).await,
            },
            Some(_ended) = connections.join_next() => {}
        }
    }
    drop(listener);
    stop.cancel();
    let deadline = Instant::now() + grace;
    while let Ok(Some(_ended)) = timeout_at(deadline, connections.join_next()).await {}
    let connections_cut = connections.len();
    connections.shutdown().await;
    Stopped { connections_cut, deadline }
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    // Without it small frames wait for the peer's delayed acknowledgement; with it refused they
    // are late, not wrong.
    drop(stream.set_nodelay(true));
    let mut builder = Builder::new(TokioExecutor::new());
    // No timer, so no connection is closed for being idle: a proxy keeps its connections, and a
    // close that crosses its next request would look like a fault of ours.
    builder.http2().enable_connect_protocol();
    let service = TowerToHyperService::new(router);
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(served);
    // How a connection ends is the client's affair: errors here are clients that left.
    tokio::select! {
        ended = &mut served => drop(ended),
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            drop(served.await);
        }
    }
}

/// A client that gave up before it was accepted costs nothing; a process out of descriptors must
/// not spin on the same error.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        sleep(Duration::from_millis(100)).await;
    }
}
