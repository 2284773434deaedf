//! Rate limits that several sidecars share, over a real Redis: what a fleet gets, and what holds while
//! the store is lost.
//!
//! Where something must not refill, the rate is so low that it does not while a test runs. Where a fleet
//! is flooded, only what it may get at most is asked, by the time that really passed.

mod fleet;
mod loss;
mod measure;
mod redis;
mod reloaded;
mod secrets;

use std::net::SocketAddr;

use crate::{
    traffic::{clinic::Serving, message::Message, wire::Wire},
    weir::{Weir, command, until},
};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: app\r\n";

/// A sidecar before a clinic, with a rate limit on its one route; one that asks its store.
fn before(clinic: &Serving, limit: &str) -> Weir {
    let weir = Weir::start(&yaml(clinic, limit));
    until("the store answers", || is_up(&weir));
    weir
}

fn yaml(clinic: &Serving, limit: &str) -> String {
    format!(
        "listeners: [{{ address: 127.0.0.1:0, routes: [{{ name: all, upstream: app, rate_limit: {limit} }}] }}]\n\
         upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}\n",
        clinic.address
    )
}

/// The same with a variable.
fn before_with(clinic: &Serving, limit: &str, (name, value): (&str, &str)) -> Weir {
    let mut by = command();
    by.env(name, value);
    Weir::start_by(by, &yaml(clinic, limit))
        .unwrap_or_else(|(status, log)| panic!("{status}: {log:?}"))
}

/// A client that keeps its connection.
struct Client(Wire);

impl Client {
    fn of(weir: &Weir) -> Self {
        Self::at(weir.address())
    }

    fn at(address: SocketAddr) -> Self {
        Self(Wire::connect(address))
    }

    fn ask(&mut self) -> Message {
        self.ask_as("")
    }

    /// With a key.
    fn ask_as(&mut self, key: &str) -> Message {
        let field = if key.is_empty() { String::new() } else { format!("x-api-key: {key}\r\n") };
        self.0.say(format!("{GET}{field}\r\n"));
        self.0.message()
    }

    fn status(&mut self) -> u16 {
        self.ask().status()
    }

    /// How many of so many pass.
    fn passed(&mut self, of: usize) -> usize {
        (0..of).filter(|_| self.status() == 200).count()
    }
}

/// Whether a sidecar asks its store.
fn is_up(weir: &Weir) -> bool {
    weir.metric("weir_store_up", &[]) == 1.0
}

fn errors(weir: &Weir, error: &str) -> f64 {
    weir.metric("weir_store_errors_total", &[&format!("error=\"{error}\"")])
}

/// Decisions of a limit, by who took them.
fn decided(weir: &Weir, by: &str) -> f64 {
    weir.metric("weir_rate_limit_decisions_total", &[&format!("by=\"{by}\"")])
}
