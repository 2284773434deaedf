//! The demo.
use std::process::ExitCode;
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {}
impl Demo {
    pub(crate) fn run(self) -> ExitCode {
        ExitCode::SUCCESS
    }
}
