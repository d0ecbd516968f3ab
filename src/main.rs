//! The program: parses the arguments, runs a subcommand of `cli`, and turns its result into an exit status.

use clap::Parser;
use novex_ingest::cli::{Cli, CliError};
use novex_ingest::presentation::program::complete_commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of standard output has closed it, as `| head` does, which is not a failure.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(CliError::Usage(message)) => {
            eprintln!("novex-ingest: {}", complete_commands(&message));
            ExitCode::from(2)
        }
        Err(CliError::Failed(error)) => {
            eprintln!("novex-ingest: {}", complete_commands(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
