//! One address of an upstream.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use pingora::{protocols::l4::socket::SocketAddr, upstreams::peer::HttpPeer};
use weir_config::Protocol;
use weir_policy::{Standing, Time};

/// How many streams may share a connection of an h2 upstream; the peer's own setting still holds.
const H2_STREAMS_PER_CONNECTION: usize = 1_000;
/// What is held of an answer that its client does not take.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// Room for the window of every stream at once, so that a client that does not read its answer holds up
/// its own stream and no other.
const H2_CONNECTION_WINDOW: u32 = H2_STREAMS_PER_CONNECTION as u32 * H2_STREAM_WINDOW;

/// One address of an upstream, and how it is reached.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Its own in this process.
    pub(crate) id: u64,
    /// The address, or `unix:` and the path.
    pub(crate) name: String,
    /// What Pingora's connector needs to know.
    pub(crate) peer: HttpPeer,
    /// What is known of it.
    pub(crate) standing: Arc<Standing>,
    /// What its last check said.
    pub(crate) checked: Arc<Checked>,
}

/// What an endpoint is, however it is reached: what stays when it vanishes for a moment, or when a
/// reload has it reached in another way.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    id: u64,
    standing: Arc<Standing>,
    checked: Arc<Checked>,
}

/// What the last check of an endpoint said.
#[derive(Debug, Default)]
pub(crate) struct Checked(Mutex<Option<(Time, Result<(), String>)>>);

impl Checked {
    /// When it was, and what was wrong; `None` before the first.
    pub(crate) fn last(&self) -> Option<(Time, Result<(), String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, found: Result<(), String>, now: Time) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, found));
    }
}

impl Identity {
    /// One that nothing is known of but this.
    pub(super) fn new(standing: Standing) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Relaxed);
        Self { id, standing: Arc::new(standing), checked: Arc::default() }
    }
}

impl Endpoint {
    /// The endpoint at that address of an upstream with these settings.
    pub(super) fn new(
        identity: Identity,
        name: String,
        address: SocketAddr,
        settings: &weir_config::Upstream,
    ) -> Self {
        let sni = settings.tls.as_ref().map_or_else(String::new, |tls| tls.sni.clone());
        let mut peer = HttpPeer::new(PLACEHOLDER, settings.tls.is_some(), sni);
        peer._address = address;
        match settings.protocol {
            Protocol::H1 => peer.options.set_http_version(1, 1),
            Protocol::H2 => peer.options.set_http_version(2, 2),
        }
        peer.options.max_h2_streams = H2_STREAMS_PER_CONNECTION;
        peer.options.h2_connection_window_size = Some(H2_CONNECTION_WINDOW);
        peer.options.h2_stream_window_size = Some(H2_STREAM_WINDOW);
        let Identity { id, standing, checked } = identity;
        Self { id, name, peer, standing, checked }
    }

    pub(super) fn identity(&self) -> Identity {
        let (standing, checked) = (Arc::clone(&self.standing), Arc::clone(&self.checked));
        Identity { id: self.id, standing, checked }
    }
}

/// Pingora's constructor takes only what it can look up; the address is set right after.
const PLACEHOLDER: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 0);
