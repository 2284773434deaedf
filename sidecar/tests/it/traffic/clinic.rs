//! The clinic, served from within the test.

use std::{future, net::SocketAddr, path::Path, time::Duration};

use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinHandle,
};
use weir_clinic::{Clinic, Dependency, Faults, Settings};

use crate::{faults::RUNTIME, weir::Weir};

/// A running service; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Serving {
    /// A clinic that speaks HTTP/1.1 and h2c.
    pub(crate) fn clinic() -> Self {
        Self::clinic_at(Self::door(), Settings::default())
    }

    /// A port for a clinic that does not serve yet: who connects to it waits.
    pub(crate) fn door() -> TcpListener {
        RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap()
    }

    pub(crate) fn clinic_at(door: TcpListener, settings: Settings) -> Self {
        let _runtime = RUNTIME.enter();
        let (clinic, address) = (Clinic::new(settings), door.local_addr().unwrap());
        let serving = async move {
            clinic.serve(door, future::pending(), Duration::ZERO).await;
        };
        Self { address, task: RUNTIME.spawn(serving) }
    }

    /// A clinic on a Unix socket, whose `address` is none.
    pub(crate) fn clinic_at_path(path: &Path) -> Self {
        let _runtime = RUNTIME.enter();
        let (clinic, door) = (Clinic::new(Settings::default()), UnixListener::bind(path).unwrap());
        let serving = async move { axum::serve(door, clinic.router()).await.unwrap() };
        Self { address: ([0, 0, 0, 0], 0).into(), task: RUNTIME.spawn(serving) }
    }

    /// The drug-info service.
    pub(crate) fn dependency() -> Self {
        let dependency = Dependency::new(1, Faults::default());
        let door = Self::door();
        let address = door.local_addr().unwrap();
        let serving = async move {
            dependency.serve(door, future::pending(), Duration::ZERO).await;
        };
        Self { address, task: RUNTIME.spawn(serving) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A clinic and a sidecar before it, with these settings for its one route.
pub(crate) fn behind(route: &str) -> (Serving, Weir) {
    let clinic = Serving::clinic();
    let weir = before(&clinic.address.to_string(), route);
    (clinic, weir)
}

/// A sidecar with one route to one service.
pub(crate) fn before(endpoint: &str, route: &str) -> Weir {
    Weir::start(&format!(
        "listeners:\n  - address: 127.0.0.1:0\n    routes: [{{ name: all, upstream: app, {route} }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{endpoint}\"] }} }}\n"
    ))
}
