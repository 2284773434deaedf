//! The operator's own listener.
use crate::{lifecycle::Readiness, shared::Shared};
use std::{io, net::SocketAddr, sync::Arc};
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) admin: SocketAddr,
    pub(crate) health: Option<SocketAddr>,
}
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the admin API")]
pub(crate) struct BindError {
    address: SocketAddr,
    source: io::Error,
}
pub(crate) struct Sockets {
    admin: std::net::TcpListener,
    health: Option<std::net::TcpListener>,
    at: Addresses,
}
impl Sockets {
    pub(crate) fn addresses(&self) -> Addresses {
        self.at.clone()
    }
}
pub(crate) fn bind(settings: &weir_config::Admin) -> Result<Sockets, BindError> {
    let listen = |address: SocketAddr| {
        let failed = |source| BindError { address, source };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let at = socket.local_addr().map_err(failed)?;
        Ok((socket, at))
    };
    let (admin, at) = listen(settings.address)?;
    let health = settings.health_address.map(listen).transpose()?;
    let at = Addresses { admin: at, health: health.as_ref().map(|(_, at)| *at) };
    Ok(Sockets { admin, health: health.map(|(socket, _)| socket), at })
}
pub(crate) fn start(
    _: Sockets,
    _: &weir_config::Config,
    _: Arc<Shared>,
    _: Arc<Readiness>,
) -> io::Result<()> {
    Ok(())
}
