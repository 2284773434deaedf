//! The operator's own listener.
//!
//! It lives on a thread and a runtime of its own, so that it answers while every worker is busy: that
//! is when it is needed. It reads what the workers share, and holds a lock of theirs for no longer than
//! copying a part takes. Its clients are bounded in number and in time; see [`patience`].

mod config;
mod drain;
mod explain;
#[cfg(test)]
mod fixture;
mod guard;
mod index;
mod json;
mod metrics;
mod patience;
mod probes;
mod problem;
mod upstreams;

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{net::TcpListener, runtime, sync::Semaphore, time};

use self::{guard::Guard, patience::Patient};
use crate::{lifecycle::Readiness, observe::metrics::Metrics, shared::Shared};

/// Connections open at once on one address; further ones wait to be accepted.
const CONNECTIONS: usize = 64;

/// Bytes of a request's header, and of its body.
const REQUEST_BYTES: usize = 64 * 1024;

/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) admin: SocketAddr,
    pub(crate) health: Option<SocketAddr>,
}

/// Why it does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the admin API")]
pub(crate) struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Sockets that listen and are not served yet.
pub(crate) struct Sockets {
    admin: net::TcpListener,
    health: Option<net::TcpListener>,
    at: Addresses,
}

/// What the endpoints speak of.
#[derive(Debug)]
struct Admin {
    shared: Arc<Shared>,
    readiness: Arc<Readiness>,
    metrics: Metrics,
    /// The configuration as YAML, every default included.
    config: String,
}

impl Sockets {
    pub(crate) fn addresses(&self) -> Addresses {
        self.at.clone()
    }
}

/// Binds the admin address, and the health address where there is one.
///
/// # Errors
/// When an address is taken or not ours.
pub(crate) fn bind(settings: &weir_config::Admin) -> Result<Sockets, BindError> {
    let listen = |address: SocketAddr| {
        let failed = |source| BindError { address, source };
        let socket = net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let at = socket.local_addr().map_err(failed)?;
        Ok((socket, at))
    };
    let (admin, at) = listen(settings.address)?;
    let health = settings.health_address.map(listen).transpose()?;
    let at = Addresses { admin: at, health: health.as_ref().map(|(_, at)| *at) };
    Ok(Sockets { admin, health: health.map(|(socket, _)| socket), at })
}

/// Serves on a thread of its own until the process ends.
///
/// # Errors
/// When the system refuses the thread or its runtime.
pub(crate) fn start(
    sockets: Sockets,
    config: &weir_config::Config,
    shared: Arc<Shared>,
    readiness: Arc<Readiness>,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = Guard::new(sockets.at.admin, config.admin.token.clone());
    let admin = Arc::new(Admin {
        metrics: Metrics::new(&shared, &readiness),
        config: weir_config::show(config),
        shared,
        readiness,
    });
    let (listener, health) = {
        let _context = runtime.enter();
        let health = sockets.health.map(TcpListener::from_std).transpose()?;
        (TcpListener::from_std(sockets.admin)?, health)
    };
    thread::Builder::new().name("weir-admin".to_owned()).spawn(move || {
        runtime.block_on(async {
            if let Some(health) = health {
                tokio::spawn(serve(health, probing(Arc::clone(&admin))));
            }
            serve(listener, everything(admin, guard)).await;
        });
    })?;
    Ok(())
}

/// What the admin address serves.
fn everything(admin: Arc<Admin>, guard: Guard) -> Router {
    Router::new()
        .merge(index::routes())
        .merge(probes::routes())
        .merge(metrics::routes())
        .merge(config::routes())
        .merge(upstreams::routes())
        .merge(explain::routes())
        .merge(drain::routes())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(REQUEST_BYTES))
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
        .with_state(admin)
}

/// What the health address serves: what an orchestrator asks, and nothing to change.
fn probing(admin: Arc<Admin>) -> Router {
    Router::new()
        .merge(probes::routes())
        .merge(metrics::routes())
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(admin)
}

async fn serve(listener: TcpListener, app: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // The semaphore is never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .header_read_timeout(None)
                .max_buf_size(REQUEST_BYTES)
                .serve_connection(TokioIo::new(Patient::new(socket)), service);
            if let Err(error) = served.await {
                tracing::debug!(%error, "a client of the admin API");
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::{fixture::Fixture, *};

    /// Longer than anything takes on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    async fn live(client: &mut TcpStream) -> io::Result<String> {
        client.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"live\n") {
            if client.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    #[tokio::test]
    async fn a_connection_too_many_waits_for_a_place() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Fixture::new().app()));
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = TcpStream::connect(at).await.unwrap();
            time::timeout(PATIENCE, live(&mut client)).await.unwrap().unwrap();
            clients.push(client);
        }
        let mut one_more = TcpStream::connect(at).await.unwrap();
        let waiting = tokio::spawn(async move { live(&mut one_more).await });
        // All the others are still served; only then is a place given up.
        for client in &mut clients {
            time::timeout(PATIENCE, live(client)).await.unwrap().unwrap();
        }
        assert!(!waiting.is_finished());
        clients.pop();
        let answer = time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_above_the_bound_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Fixture::new().app()));
        let mut client = TcpStream::connect(at).await.unwrap();
        let body = vec![b'x'; REQUEST_BYTES + 1];
        let head = format!(
            "POST /drain HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&body).await.unwrap();
        let mut answer = [0; 12];
        time::timeout(PATIENCE, client.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}
