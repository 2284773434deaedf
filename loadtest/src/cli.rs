//! What was typed.

mod offer;
mod station;

use std::io;

use clap::{Parser, Subcommand};

/// Offers load that does not wait for answers, and says what became of it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Offer(offer::Arguments),
    Station(station::Arguments),
}

pub(crate) fn run() -> Result<(), String> {
    let command = Arguments::parse().command;
    // One thread: what is measured must not wait for a second core.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // How many steps of tasks pass before sockets and timers are looked at: few, since a burst
        // of answers must not hold up what is due.
        .event_interval(7)
        .build()
        .map_err(|error| format!("there is no runtime to be had: {error}"))?;
    runtime.block_on(async {
        match command {
            Command::Offer(arguments) => offer::offer(arguments).await,
            Command::Station(arguments) => station::station(arguments).await,
        }
    })
}

fn said(error: io::Error) -> String {
    error.to_string()
}
