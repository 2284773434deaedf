//! The `weir` binary: a sidecar that governs the concurrency of the service beside it.

mod admin;
mod assemble;
mod cli;
mod clock;
mod demo;
mod lifecycle;
mod logging;
mod observe;
mod plan;
mod proxy;
mod reason;
mod shared;
mod upstream;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
