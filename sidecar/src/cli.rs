//! The command line.
//!
//! Exit codes: 0 done; 1 it could not run; 2 wrong usage (clap's own); 78 the configuration is wrong
//! (`EX_CONFIG`, which systemd can be told not to restart on).

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use weir_config::Document;

use crate::{assemble, demo, lifecycle::Signals, logging};

/// `EX_CONFIG` of sysexits.h.
const CONFIG_IS_WRONG: u8 = 78;

/// Governs the concurrency of the service beside it, and shows where it hurts.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve traffic as a configuration says.
    Run {
        /// The configuration file.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Run the sidecar, a service behind it and a little traffic, to look at.
    Demo(demo::Demo),
    /// Check a configuration and show all its problems at once.
    Check {
        /// The configuration file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the JSON Schema of configurations.
    Schema,
    /// Look into a configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration with every default written out.
    Show {
        /// The configuration file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config } => with_config(&config, |read| serve(config.clone(), read)),
        Command::Demo(demo) => demo.run(),
        Command::Check { file } => with_config(&file, |Document { config, .. }| {
            let routes: usize = config.listeners.iter().map(|listener| listener.routes.len()).sum();
            let (listeners, routes) =
                (counted(config.listeners.len(), "listener"), counted(routes, "route"));
            print(&format!("{}: ok ({listeners}, {routes})\n", file.display()));
            ExitCode::SUCCESS
        }),
        Command::Schema => {
            print(&weir_config::schema());
            ExitCode::SUCCESS
        }
        Command::Config(ConfigCommand::Show { file }) => {
            with_config(&file, |Document { config, .. }| {
                print(&weir_config::show(&config));
                ExitCode::SUCCESS
            })
        }
    }
}

/// `1 route`, `2 routes`.
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Reads a configuration, or says what is wrong with it.
fn with_config(file: &std::path::Path, then: impl FnOnce(Document) -> ExitCode) -> ExitCode {
    match weir_config::read(file, &|name| std::env::var(name).ok()) {
        Ok(read) => then(read),
        Err(diagnostics) => {
            eprintln!("{diagnostics}");
            ExitCode::from(CONFIG_IS_WRONG)
        }
    }
}

fn serve(file: PathBuf, read: Document) -> ExitCode {
    logging::start(logging::DEFAULT);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    runtime.block_on(async {
        // Signals are heard before anything listens, so that none is lost.
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return failed(&error),
        };
        let sidecar = match assemble::start_from(file, read).await {
            Ok(sidecar) => sidecar,
            Err(error) => return failed(&error),
        };
        for (listener, address) in sidecar.shared.plan().listeners.iter().zip(&sidecar.addresses) {
            tracing::info!(listener = listener.name, %address, "listening");
        }
        tracing::info!(address = %sidecar.admin.admin, "admin");
        if let Some(address) = sidecar.admin.health {
            tracing::info!(%address, "health");
        }
        sidecar.serving();
        let asked = signals.next(&sidecar.shared).await;
        let in_order = sidecar.end(asked, &mut signals).await;
        if in_order { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

/// An error and its causes, on one line.
pub(crate) fn failed(error: &dyn Error) -> ExitCode {
    let mut line = format!("weir: {error}");
    let mut cause = error.source();
    while let Some(because) = cause {
        line.push_str(&format!(": {because}"));
        cause = because.source();
    }
    eprintln!("{line}");
    ExitCode::FAILURE
}

/// Data for another program; a reader that has gone is not an error.
pub(crate) fn print(data: &str) {
    use std::io::Write;
    std::io::stdout().write_all(data.as_bytes()).unwrap_or_default();
}
