//! The configuration is read again: when, how, and what of it is not lost.

mod kept;
mod storm;
mod triggers;
mod verdicts;

use std::net::SocketAddr;

use crate::{
    faults::{
        RUNTIME, Speaks,
        backend::{Backend, Step, answer},
        client::Ask,
    },
    weir::Weir,
};

/// That nothing is read unless it is asked for.
const UNWATCHED: &str = "reload: { watch: false }\n";

fn script(path: &str) -> Vec<Step> {
    match path {
        "/stuck" => vec![Step::Read, Step::Silence],
        "/500" => answer(500, 2),
        _ => answer(200, 2),
    }
}

/// One route before a service, with these settings; read again only when asked.
fn one_route(backend: &Backend, name: &str, route: &str) -> String {
    yaml(&format!("{{ name: {name}, upstream: app, {route} }}"), backend)
}

/// These routes before a service.
fn yaml(routes: &str, backend: &Backend) -> String {
    format!(
        "{UNWATCHED}listeners: [{{ name: in, address: 127.0.0.1:0, routes: [{routes}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"], keepalive: 100s }} }}\n",
        backend.address
    )
}

/// A sidecar before a service that answers 200, with one route.
fn start(route: &str) -> (Weir, Backend) {
    let backend = Backend::start(Speaks::H1, script);
    (Weir::start(&one_route(&backend, "all", route)), backend)
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = RUNTIME.block_on(Ask::get(path).of(address, Speaks::H1));
    (answer.status, answer.reason)
}
