//! A worker's connections to one upstream.
//!
//! Idle h1 connections are kept here and not in Pingora's pool, which starts a task for each
//! connection that it takes back and wakes it when it gives one out. Here an idle connection is a
//! value in a list: it is asked, without waiting, whether it has ended when it is taken, and once a
//! second so that an upstream's FIN and our own `keepalive` close it. h2 connections are shared by
//! many streams, which Pingora's connector does well.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use pingora::{
    connectors::{ConnectorOptions, TransportConnector, http::v2::Connector},
    protocols::{Stream, http::v1::client::HttpSession as H1Session},
};
use tokio::{io::AsyncReadExt, runtime::Handle, task::unconstrained, time};
use weir_config::Protocol;
use weir_policy::Time;

use super::write_behind::{self, WriteBehind};
use crate::{
    clock,
    upstream::{Endpoint, Upstream},
};

/// Idle connections that a worker keeps for an endpoint.
const KEPT: usize = 256;
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

pub(super) type UpstreamSession = pingora::protocols::http::client::HttpSession<()>;

/// How a worker reaches an upstream.
pub(super) struct Connections {
    upstream: Arc<Upstream>,
    transport: Transport,
}

enum Transport {
    H1 { connector: Arc<TransportConnector>, idle: Mutex<HashMap<u64, Vec<Idle>>> },
    H2 { connector: Box<Connector>, looking: Looking },
}

/// By endpoint: held while a connection is made, so that requests that come at once share it.
type Looking = Mutex<HashMap<u64, Arc<tokio::sync::Mutex<()>>>>;

struct Idle {
    stream: Stream,
    since: Time,
}

/// What a worker connects with.
pub(super) struct Outward {
    runtime: Handle,
    /// Each connector holds the system's authorities; the upstreams without authorities of their own
    /// share one.
    plain: Arc<TransportConnector>,
}

impl Outward {
    /// For the worker of this runtime.
    pub(super) fn new(runtime: Handle) -> Self {
        Self { runtime, plain: Arc::new(TransportConnector::new(Some(options(None)))) }
    }

    /// Connections to each of `upstreams`, in their order: those in `known` to the same upstream, or new
    /// ones, which the worker's runtime looks after.
    pub(super) fn to(
        &self,
        upstreams: &[Arc<Upstream>],
        known: &[Arc<Connections>],
    ) -> Vec<Arc<Connections>> {
        let known_to = |upstream: &Arc<Upstream>| {
            known.iter().find(|known| Arc::ptr_eq(&known.upstream, upstream)).cloned()
        };
        let new_to = |upstream: &Arc<Upstream>| {
            let connections = Arc::new(Connections::new(upstream, &self.plain));
            self.runtime.spawn(Connections::sweep(Arc::downgrade(&connections)));
            connections
        };
        upstreams
            .iter()
            .map(|upstream| known_to(upstream).unwrap_or_else(|| new_to(upstream)))
            .collect()
    }
}

impl Connections {
    fn new(upstream: &Arc<Upstream>, plain: &Arc<TransportConnector>) -> Self {
        let ca = upstream.tls.as_ref().and_then(|tls| tls.ca.as_deref());
        let transport = match upstream.protocol {
            Protocol::H1 => {
                let own = || Arc::new(TransportConnector::new(Some(options(ca))));
                let connector = if ca.is_some() { own() } else { Arc::clone(plain) };
                Transport::H1 { connector, idle: Mutex::default() }
            }
            Protocol::H2 => Transport::H2 {
                connector: Box::new(Connector::new(Some(options(ca)))),
                looking: Mutex::default(),
            },
        };
        Self { upstream: Arc::clone(upstream), transport }
    }

    /// A session on an idle connection where there is one (`true`), or on a new one.
    pub(super) async fn get(
        &self,
        endpoint: &Endpoint,
    ) -> pingora::Result<(UpstreamSession, bool)> {
        let (session, reused) = match &self.transport {
            Transport::H1 { connector, idle } => match self.take(idle, endpoint) {
                Some(stream) => (UpstreamSession::H1(H1Session::new(stream)), true),
                None => {
                    // Apart, because its state is large and most requests have no use for it.
                    let stream = Box::pin(connector.new_stream(&endpoint.peer)).await?;
                    let stream = WriteBehind::new(stream);
                    (UpstreamSession::H1(H1Session::new(Box::new(stream))), false)
                }
            },
            Transport::H2 { connector, looking } => {
                // Nobody waits for one that is being made where there is another.
                match connector.reused_http_session(&endpoint.peer).await? {
                    Some(session) => (UpstreamSession::H2(session), true),
                    None => Box::pin(share_new(connector, looking, endpoint)).await?,
                }
            }
        };
        if !reused {
            self.upstream.connections_opened.fetch_add(1, Relaxed);
        }
        Ok((session, reused))
    }

    /// Takes a session back. An h1 connection goes on when both messages were `whole`; an h2 one
    /// always does, because dropping a stream resets the stream and nothing else.
    pub(super) async fn put_back(
        &self,
        endpoint: &Endpoint,
        session: UpstreamSession,
        whole: bool,
    ) {
        match (&self.transport, session) {
            (Transport::H1 { idle, .. }, UpstreamSession::H1(mut session))
                if whole && write_behind::backlog(&session).is_empty() =>
            {
                session.respect_keepalive();
                // Where it is not kept, Pingora shuts it down, and TLS would wait for the other side to read.
                let Some(stream) = session.reuse().now_or_never().flatten() else { return };
                let mut idle = lock(idle);
                let kept = idle.entry(endpoint.id).or_default();
                if kept.len() < KEPT {
                    kept.push(Idle { stream, since: clock::now() });
                }
            }
            (Transport::H2 { connector, .. }, UpstreamSession::H2(session)) => {
                connector.release_http_session(
                    session,
                    &endpoint.peer,
                    Some(self.upstream.keepalive),
                );
            }
            _ => {}
        }
    }

    /// Closes what has been idle for too long or has ended, and forgets endpoints that nobody asks
    /// for, for as long as somebody has the connections.
    async fn sweep(connections: Weak<Self>) {
        let mut ticks = time::interval(SWEEP);
        loop {
            ticks.tick().await;
            let Some(connections) = connections.upgrade() else { return };
            let now = clock::now();
            match &connections.transport {
                Transport::H1 { idle, .. } => lock(idle).retain(|_, kept| {
                    kept.retain_mut(|idle| connections.is_usable(idle, now));
                    !kept.is_empty()
                }),
                Transport::H2 { looking, .. } => {
                    lock(looking).retain(|_, looking| Arc::strong_count(looking) > 1);
                }
            }
        }
    }

    /// The connection that was used last: the others may grow old and go.
    fn take(&self, idle: &Mutex<HashMap<u64, Vec<Idle>>>, endpoint: &Endpoint) -> Option<Stream> {
        let now = clock::now();
        let mut idle = lock(idle);
        let kept = idle.get_mut(&endpoint.id)?;
        while let Some(mut last) = kept.pop() {
            if self.is_usable(&mut last, now) {
                return Some(last.stream);
            }
        }
        None
    }

    fn is_usable(&self, idle: &mut Idle, now: Time) -> bool {
        if now.since(idle.since) >= self.upstream.keepalive {
            return false;
        }
        // Whatever there is to read is an end, an error, or an answer that nobody asked for.
        unconstrained(idle.stream.read(&mut [0])).now_or_never().is_none()
    }
}

/// A stream on the connection that another request has just made, or on a new one.
async fn share_new(
    connector: &Connector,
    looking: &Looking,
    endpoint: &Endpoint,
) -> pingora::Result<(UpstreamSession, bool)> {
    let looking = Arc::clone(lock(looking).entry(endpoint.id).or_default());
    let _looking = looking.lock().await;
    match connector.reused_http_session(&endpoint.peer).await? {
        Some(session) => Ok((UpstreamSession::H2(session), true)),
        None => Ok((connector.new_http_session(&endpoint.peer).await?, false)),
    }
}

fn options(ca: Option<&Path>) -> ConnectorOptions {
    let mut options = ConnectorOptions::new(KEPT);
    options.ca_file = ca.map(|ca| ca.display().to_string());
    options
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("upstream", &self.upstream.name).finish_non_exhaustive()
    }
}
