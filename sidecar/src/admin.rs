//! The operator's own listener.
//!
//! It lives on a thread and a runtime of its own, so that it answers while every worker is busy: that
//! is when it is needed. It reads what the workers share, and holds a lock of theirs for no longer than
//! copying a part takes. Its clients are bounded in number and in time, and the newest is served at
//! once: the longest-standing make room for it, so that whoever holds connections open cannot keep a
//! probe out; see also [`patience`].

mod config;
mod drain;
mod explain;
#[cfg(test)]
mod fixture;
mod guard;
mod index;
mod json;
mod limits;
mod metrics;
mod patience;
mod probes;
mod problem;
mod reload;
mod upstreams;

use std::{
    collections::VecDeque,
    io,
    net::{self, SocketAddr},
    pin::pin,
    sync::Arc,
    thread,
    time::Duration,
};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    task::JoinHandle,
    time,
};
use tokio_util::sync::CancellationToken;

use self::{guard::Guard, patience::Patient};
use crate::{lifecycle::Readiness, observe::metrics::Metrics, shared::Shared};

/// Connections that may stand on one address; for each one more the longest-standing is asked to end.
const CONNECTIONS: usize = 64;

/// How many may be ending; one more cuts the one that was asked first.
const ENDING: usize = 64;

/// How long a connection that was asked to end may take for the request it is at.
const GRACE: Duration = Duration::from_secs(1);

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
    shared: Arc<Shared>,
    readiness: Arc<Readiness>,
) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = Guard::new(sockets.at.admin, Arc::clone(&shared));
    let admin = Arc::new(Admin { metrics: Metrics::new(&shared, &readiness), shared, readiness });
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
        .merge(reload::routes())
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
    // The longest-standing first.
    let mut places: VecDeque<Place> = VecDeque::new();
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "the admin API cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        places.retain(|place| !place.task.is_finished());
        if places.len() == CONNECTIONS + ENDING
            && let Some(first) = places.pop_front()
        {
            first.task.abort();
        }
        if let Some(longest_standing) = places.len().checked_sub(CONNECTIONS) {
            places[longest_standing].end.cancel();
        }
        let end = CancellationToken::new();
        let task = tokio::spawn(converse(socket, app.clone(), end.clone()));
        places.push_back(Place { task, end });
    }
}

/// A connection that is being served.
struct Place {
    task: JoinHandle<()>,
    end: CancellationToken,
}

/// Serves a client until it leaves, or until it is asked to end and has had time for that.
async fn converse(socket: TcpStream, app: Router, end: CancellationToken) {
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(REQUEST_BYTES)
        .serve_connection(TokioIo::new(Patient::new(socket)), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        () = end.cancelled() => {
            connection.as_mut().graceful_shutdown();
            time::timeout(GRACE, connection).await
        }
    };
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a client of the admin API"),
        Err(_) => tracing::debug!("a client of the admin API held a place that another needed"),
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

    async fn live(client: &mut TcpStream) {
        client.write_all(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        hear(client, "live\n").await;
    }

    /// Half a request, of which the service has heard.
    async fn begin(client: &mut TcpStream) {
        let begun = b"POST /drain HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\
                      expect: 100-continue\r\n\r\n";
        client.write_all(begun).await.unwrap();
        hear(client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    }

    /// Reads up to what must be the last of what is said.
    async fn hear(client: &mut TcpStream, last: &str) {
        let mut said = Vec::new();
        while !said.ends_with(last.as_bytes()) {
            let more = client.read_buf(&mut said).await.unwrap();
            assert!(more > 0, "no {last:?} in {:?}", String::from_utf8_lossy(&said));
        }
    }

    /// An address with a client at each place, in the order in which they came.
    async fn full() -> (SocketAddr, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Fixture::new().app()));
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut client = TcpStream::connect(at).await.unwrap();
            live(&mut client).await;
            clients.push(client);
        }
        (at, clients)
    }

    /// Waits for the end of a connection on which nothing more is said.
    async fn ends(client: &mut TcpStream) {
        let mut rest = Vec::new();
        // What the server had not read yet makes it a reset.
        client.read_to_end(&mut rest).await.unwrap_or_default();
        assert!(rest.is_empty(), "{rest:?}");
    }

    #[tokio::test]
    async fn a_connection_too_many_takes_the_place_of_the_longest_standing() {
        let story = async {
            let (at, mut clients) = full().await;
            let mut others = clients.split_off(2);
            for mut longest_standing in clients {
                let mut one_more = TcpStream::connect(at).await.unwrap();
                live(&mut one_more).await;
                ends(&mut longest_standing).await;
                others.push(one_more);
            }
            for client in &mut others {
                live(client).await;
            }
        };
        time::timeout(PATIENCE, story).await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_is_at_a_request_has_a_moment_to_end() {
        let story = async {
            let (at, mut clients) = full().await;
            for client in &mut clients {
                begin(client).await;
            }
            // The first never ends; the second does, whenever it is asked.
            let mut one_more = TcpStream::connect(at).await.unwrap();
            live(&mut one_more).await;
            ends(&mut clients[0]).await;
            let mut another = TcpStream::connect(at).await.unwrap();
            // Nobody has run out of time yet, which all would in the same moment.
            for client in &mut clients[1..] {
                client.write_all(b"x").await.unwrap();
                hear(client, "\n}\n").await;
            }
            ends(&mut clients[1]).await;
            live(&mut another).await;
        };
        time::timeout(PATIENCE, story).await.unwrap();
    }

    /// Were they waited for one after the other, it would be for longer than our patience.
    #[tokio::test]
    async fn nobody_waits_for_those_who_end() {
        let story = async {
            let (at, mut clients) = full().await;
            while clients.len() < CONNECTIONS + 2 * ENDING {
                let mut client = TcpStream::connect(at).await.unwrap();
                begin(&mut client).await;
                clients.push(client);
            }
            live(&mut TcpStream::connect(at).await.unwrap()).await;
        };
        time::timeout(PATIENCE, story).await.unwrap();
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
