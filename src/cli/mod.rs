//! The command line, one file a command. What it prints for people may change; `--json` is a contract.

mod audit;
mod backup;
mod check;
mod destinations;
mod doctor;
mod events;
mod mappings;
mod output;
mod privacy;
mod prune;
mod reload;
mod retry;
mod search;
mod send;
mod serve;
mod setup;
mod shell;
mod sps;
mod stats;
mod work;

use crate::clock::Clock;
use crate::config::{Config, INSTALLED, Secrets, dev};
use crate::store::reader::Reader;
use clap::{Args, Parser, Subcommand};
use std::io;
use std::path::{Path, PathBuf};

/// Takes in webhooks, stores each one durably and once, and works them into the ERP's tables.
#[derive(Debug, Parser)]
#[command(name = "novex-ingest", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 it failed (one line on standard error says why and what to do), 2 wrong usage.
The queue with sqlite3: sqlite3 -readonly /var/lib/novex-ingest/events.db 'SELECT * FROM queue'";

/// Which configuration is meant.
#[derive(Debug, Clone, Args)]
struct Place {
    /// The configuration; without it /etc/novex-ingest/config.toml, or ./var/config.toml where that is not installed
    #[arg(long, global = true, value_name = "FILE", env = "NOVEX_CONFIG")]
    config: Option<PathBuf>,
    /// Use ./var, whatever --config says: 127.0.0.1:8443, a self-signed certificate and generated secrets, made when
    /// missing
    #[arg(long, global = true)]
    dev: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The daemon: receives, stores and works events until SIGTERM
    #[command(after_long_help = serve::HELP)]
    Serve,
    /// One more worker process on the same database
    Work(work::Arguments),
    /// Look at events, bring them back, take them out
    #[command(subcommand)]
    Events(events::Command),
    /// Counts by status and source, the oldest pending event, rates
    Stats(stats::Arguments),
    /// Sign and send a test event to the running daemon, and print its answer
    Send(send::Arguments),
    /// Look at the configuration
    #[command(subcommand)]
    Config(check::Command),
    /// The audit trail of Keycloak: who signed in, who failed to, who changed what
    #[command(subcommand)]
    Audit(audit::Command),
    /// Where events are handed on to: list, test, hold, let go
    #[command(subcommand)]
    Destinations(destinations::Command),
    /// The ERP's item of what a shop sells: list, add, remove, import, export
    #[command(subcommand)]
    Mappings(mappings::Command),
    /// EDI: poll for purchase orders, look at them, read any file
    #[command(subcommand)]
    Sps(sps::Command),
    /// Customers' requests for their data, and their deadlines
    #[command(subcommand)]
    Privacy(privacy::Command),
    /// From an installed package to addresses that can be entered at the providers: asks, writes, starts, tries
    #[command(after_long_help = setup::HELP)]
    Setup(setup::Arguments),
    /// What is wrong on this box, and the mend; status 1 when something is
    Doctor(doctor::Arguments),
    /// Take off what is old, as [retention] says
    Prune(prune::Prune),
    /// Copy the database while it is used, and prove the copy
    Backup(backup::Arguments),
    /// Prove a backup and put it in the place of the database; the daemon must be stopped
    Restore(backup::Restore),
    /// Print shell completions
    Completions(shell::Completions),
    /// Print the manual page, or write one for every command
    Man(shell::Man),
}

/// Why a command ends with another status than 0.
#[derive(Debug)]
pub enum Failure {
    /// Status 2: the command was called wrongly.
    Usage(String),
    /// Status 1: it was called rightly and did not work.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Failure {
    /// True when the reader of standard output went away; never for a connection that broke.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .filter_map(io::Error::get_ref)
            .any(<dyn std::error::Error + Send + Sync>::is::<output::ReaderGone>)
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// A [`Failure`], which decides the exit status.
    pub fn run(self) -> Result<(), Failure> {
        let place = self.place;
        match self.command {
            Command::Serve => serve::run(&place),
            Command::Work(arguments) => work::run(&place, &arguments),
            Command::Events(command) => events::run(&place, command),
            Command::Stats(arguments) => stats::run(&place, &arguments),
            Command::Send(arguments) => send::run(&place, &arguments),
            Command::Config(command) => check::run(&place, &command),
            Command::Audit(command) => audit::run(&place, &command),
            Command::Mappings(command) => mappings::run(&place, command),
            Command::Privacy(command) => privacy::run(&place, &command),
            Command::Sps(command) => sps::run(&place, &command),
            Command::Destinations(command) => destinations::run(&place, &command),
            Command::Setup(arguments) => setup::run(&place, &arguments),
            Command::Doctor(arguments) => doctor::run(&place, &arguments),
            Command::Prune(arguments) => prune::run(&place, &arguments),
            Command::Backup(arguments) => backup::backup(&place, &arguments),
            Command::Restore(arguments) => backup::restore(&place, &arguments),
            Command::Completions(arguments) => shell::completions(&arguments),
            Command::Man(arguments) => shell::man(&arguments),
        }
    }
}

impl Place {
    /// The configuration's path; `--dev` makes it when it is missing.
    fn path(&self) -> io::Result<PathBuf> {
        if self.dev {
            return dev::prepare();
        }
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let checkout = Path::new(dev::DIRECTORY).join("config.toml");
        Ok(if !Path::new(INSTALLED).exists() && checkout.exists() { checkout } else { INSTALLED.into() })
    }

    fn load(&self, secrets: Secrets) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config_path()?, secrets)?)
    }

    fn config_path(&self) -> anyhow::Result<PathBuf> {
        self.path().map_err(|error| anyhow::anyhow!("./{} cannot be made: {error}", dev::DIRECTORY))
    }

    /// For commands that only read; works while the daemon runs, and while it does not.
    fn reader(&self) -> anyhow::Result<Reader> {
        Ok(Reader::open(&self.load(Secrets::LeaveAside)?.store.path, 1)?)
    }
}

/// The clock of commands.
fn clock() -> Clock {
    Clock::system()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_connection_that_breaks_is_a_failure() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let sent = Failure::from(anyhow::Error::new(broken()).context("the delivery was not answered"));
        assert!(!sent.is_broken_pipe());
        let read = Failure::from(anyhow::Error::new(io::Error::new(io::ErrorKind::BrokenPipe, output::ReaderGone)));
        assert!(read.is_broken_pipe());
    }
}
