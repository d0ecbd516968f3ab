//! The command: parses its arguments, runs one of `cli`'s subcommands, and turns its result into an exit status.

use clap::Parser;
use novex_ingest::cli::{Cli, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has stopped reading, as `| head` does: nothing went wrong.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("novex-ingest: {text}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            eprintln!("novex-ingest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
