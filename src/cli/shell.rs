//! Completions and manual pages, from the same definitions as `--help`.

use super::{Cli, Failure, output};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Write a page for every command into this directory
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
}

pub fn completions(arguments: &Completions) -> Result<(), Failure> {
    // Into memory first: the generator panics on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "novex-ingest", &mut script);
    output::out().write_all(&script)?;
    Ok(())
}

pub fn man(arguments: &Man) -> Result<(), Failure> {
    match &arguments.out {
        Some(directory) => clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), directory)?,
        None => clap_mangen::Man::new(Cli::command()).render(&mut output::out())?,
    }
    Ok(())
}
