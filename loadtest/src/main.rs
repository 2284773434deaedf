//! The load kit's command line.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("weir-load: {problem}");
            ExitCode::FAILURE
        }
    }
}
