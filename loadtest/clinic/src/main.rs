//! The clinic as a process of its own.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::Parser;
use http::{Uri, uri::Scheme};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use weir_clinic::{Clinic, Settings};

/// A service for clinical trials to test against: each route a concurrency pattern, each with a
/// fault switch (see GET /faults).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where the clinic listens; port 0 takes a free one, and the first line printed tells which.
    #[arg(long, default_value = "127.0.0.1:3000")]
    address: SocketAddr,
    /// Where the clinic finds the drug-info service, or the sidecar before it; by default the one
    /// of `--dependency-address`, otherwise http://127.0.0.1:9001.
    #[arg(long, value_parser = http_base)]
    drug_info: Option<Uri>,
    /// Also run the drug-info service, on this address.
    #[arg(long)]
    dependency_address: Option<SocketAddr>,
    /// Of all service times and error coins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long accepted work may go on after SIGTERM or SIGINT, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    grace_ms: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("weir-clinic: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let grace = Duration::from_millis(arguments.grace_ms);
    let told = told_to_stop()?;
    let listener = bind("clinic", arguments.address).await?;
    let mut settings = Settings { seed: arguments.seed, ..Settings::default() };
    let mut dependency = None;
    if let Some(address) = arguments.dependency_address {
        let listener = bind("drug-info", address).await?;
        settings.drug_info_base = base_of(&listener)?;
        dependency = Some(listener);
    }
    if let Some(base) = arguments.drug_info {
        settings.drug_info_base = base;
    }
    let clinic = Clinic::new(settings);
    let drug_info = clinic.dependency();
    let serving = clinic.serve(listener, told.clone().cancelled_owned(), grace);
    let depending = async {
        if let Some(listener) = dependency {
            drug_info.serve(listener, told.cancelled_owned(), grace).await;
        }
    };
    let (ended, ()) = tokio::join!(serving, depending);
    eprintln!(
        "weir-clinic: ended; connections cut: {}, work lost: {}",
        ended.connections_cut, ended.work_lost
    );
    Ok(())
}

/// Binds, and says where: a test that asked for port 0 reads it from here.
#[expect(clippy::print_stdout, reason = "the bound address is the program's output")]
async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("{name} cannot listen on {address}: {error}; choose another"))?;
    let bound = listener.local_addr().map_err(|error| format!("{name}: {error}"))?;
    println!("{name} listens on {bound}");
    Ok(listener)
}

fn base_of(listener: &TcpListener) -> Result<Uri, String> {
    let address = listener.local_addr().map_err(|error| format!("drug-info: {error}"))?;
    format!("http://{address}").parse().map_err(|error| format!("drug-info: {error}"))
}

/// An address that the clinic can call: it speaks plain HTTP, and the route follows the base.
fn http_base(text: &str) -> Result<Uri, String> {
    let base: Option<Uri> = text.parse().ok();
    base.filter(|base| base.scheme() == Some(&Scheme::HTTP) && base.query().is_none())
        .ok_or_else(|| "write a base like http://127.0.0.1:9001".to_owned())
}

/// Cancelled by the first SIGTERM or SIGINT.
fn told_to_stop() -> Result<CancellationToken, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let told = CancellationToken::new();
    let telling = told.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        telling.cancel();
    });
    Ok(told)
}
