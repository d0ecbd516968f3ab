//! `completions`: prints a shell script that completes commands and options.

use crate::cli::{Cli, CliError, output};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell: bash, zsh, fish, elvish or powershell
    shell: Shell,
}

pub fn run_completions(args: &CompletionsArgs) -> Result<(), CliError> {
    // The generator panics on a closed pipe, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "novex-ingest", &mut script);
    output::open_stdout().write_all(&script)?;
    Ok(())
}
