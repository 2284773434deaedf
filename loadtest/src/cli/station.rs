//! `weir-load station`.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use http::StatusCode;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use weir_load::{
    duration,
    station::{Slows, Station, serve, service_time::ServiceTime},
};

/// A service of known capacity: slots over mean service time. GET /station tells what it did.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where it listens; port 0 takes a free one, and the first line printed tells which.
    #[arg(long, default_value = "127.0.0.1:3000")]
    address: SocketAddr,
    /// How many requests it serves at once.
    #[arg(long, value_parser = slots)]
    slots: usize,
    /// How long it serves one: fixed:10ms, exponential:10ms, lognormal:10ms:1 or pareto:10ms:2.2.
    #[arg(long)]
    service: ServiceTime,
    /// Of the service times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long after its first request it slows for good.
    #[arg(long, value_parser = duration)]
    slow_after: Option<Duration>,
    /// How many times as long everything takes from then on.
    #[arg(long, value_parser = factor, default_value = "3", requires = "slow_after")]
    slow_factor: f64,
    /// What it answers.
    #[arg(long, default_value = "200")]
    status: StatusCode,
}

#[expect(clippy::print_stdout, reason = "the bound address is the program's output")]
pub(super) async fn station(arguments: Arguments) -> Result<(), String> {
    let station = Station {
        slots: arguments.slots,
        time: arguments.service,
        seed: arguments.seed,
        slows: arguments.slow_after.map(|after| Slows { after, factor: arguments.slow_factor }),
        status: arguments.status,
    };
    let told = |kind| signal(kind).map_err(super::said);
    let (mut terminate, mut interrupt) =
        (told(SignalKind::terminate())?, told(SignalKind::interrupt())?);
    let listener = TcpListener::bind(arguments.address).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another", arguments.address)
    })?;
    println!("station listens on {}", listener.local_addr().map_err(super::said)?);
    tokio::select! {
        failed = serve(listener, station) => failed.map_err(super::said),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

fn slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots) if (1..=100_000).contains(&slots) => Ok(slots),
        _ => Err("write a number from 1 to 100000".into()),
    }
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (0.001..=1_000.0).contains(&factor) => Ok(factor),
        _ => Err("write a number from 0.001 to 1000".into()),
    }
}
