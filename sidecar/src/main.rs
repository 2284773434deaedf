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
mod reload;
mod shared;
mod store;
mod upstream;

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// A proxy allocates in short bursts on few threads, which the system's allocator pays for twice: in
/// time, and in memory that it does not give back.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    cli::run()
}
