//! The command line: one file per command, with its arguments, output and errors.
//!
//! `main` parses [`Cli`] and turns the result into an exit status. Output for people may change; `--json` is a
//! contract.

pub mod audit;
pub mod backup;
pub mod completions;
pub mod config;
pub mod destinations;
pub mod doctor;
pub mod events;
mod filters;
pub mod man;
pub mod mappings;
pub mod output;
pub mod privacy;
pub mod prune;
pub mod restore;
mod rows;
pub mod send;
pub mod serve;
pub mod setup;
pub mod sps;
pub mod stats;
mod store;
mod table;
pub mod tokens;
pub mod users;
pub mod work;

use crate::config::{Config, INSTALLED_CONFIG_PATH, SecretLoading, dev};
use crate::presentation::program::{self, quote_word};
use crate::presentation::times::TimeFormat;
use crate::store::db::reader::Reader;
use clap::{Args, Parser, Subcommand};
use std::io;
use std::path::{Path, PathBuf};

/// Receive webhooks and EDI files, store each event once, and write the tables that the ERP reads
#[derive(Debug, Parser)]
#[command(name = "novex-ingest", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global_args: GlobalArgs,
    #[command(subcommand)]
    command: CliCommand,
}

const AFTER_HELP: &str = "\
Exit status: 0 done, 1 failed (one line on standard error gives the cause and the fix), 2 wrong usage.
Show the queue with sqlite3: sqlite3 -readonly /var/lib/novex-ingest/events.db 'SELECT * FROM queue'";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Configuration file [default: /etc/novex-ingest/config.toml, or ./var/config.toml if that is not installed]
    #[arg(long, global = true, value_name = "FILE", env = "NOVEX_CONFIG")]
    config: Option<PathBuf>,
    /// Use ./var and ignore --config: 127.0.0.1:8443, a self-signed certificate and generated secrets, created if
    /// missing
    #[arg(long, global = true)]
    dev: bool,
    /// Print and read times in UTC, not in the time zone of this machine
    #[arg(long, global = true)]
    utc: bool,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the daemon: receive, store and process events until SIGTERM
    #[command(after_long_help = serve::SERVE_HELP)]
    Serve,
    /// Run one more worker process on the same database
    Work(work::WorkArgs),
    /// Look at events, retry and export them
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Show counts by status and source, the oldest pending event, and rates
    Stats(stats::StatsArgs),
    /// Sign and send a test event to the running daemon, and print its answer
    Send(send::SendArgs),
    /// Check the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Show, verify and truncate the audit trail of Keycloak
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// List, test, pause and resume destinations
    #[command(subcommand)]
    Destinations(destinations::DestinationsCommand),
    /// Map the products of a shop to items of the ERP
    #[command(subcommand)]
    Mappings(mappings::MappingsCommand),
    /// Poll for EDI files, show purchase orders, read any EDI file, and send documents
    #[command(subcommand)]
    Sps(sps::SpsCommand),
    /// Stop or run redactions, answer customers' requests for their data, and scrub the database file
    #[command(subcommand)]
    Privacy(privacy::PrivacyCommand),
    /// Add, list and remove users of the console, and set their passwords and roles
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Create, list and revoke tokens of programs for the API and the metrics
    #[command(subcommand)]
    Tokens(tokens::TokensCommand),
    /// Configure an installed package, start the service, and print the addresses to enter at the providers
    #[command(after_long_help = setup::SETUP_HELP)]
    Setup(setup::SetupArgs),
    /// Check this machine and suggest fixes; exits 1 if a check fails
    Doctor(doctor::DoctorArgs),
    /// Delete old finished events, according to `[retention]`
    Prune(prune::PruneArgs),
    /// Copy the database while it is in use, and verify the copy
    Backup(backup::BackupArgs),
    /// Verify a backup and replace the database with it; stop the daemon first
    Restore(restore::RestoreArgs),
    /// Print shell completions
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write one page per command
    Man(man::ManArgs),
}

/// Reason why a command ends with another status than 0.
#[derive(Debug)]
pub enum CliError {
    /// Status 2: the arguments are wrong.
    Usage(String),
    /// Status 1: the arguments are right and the command failed.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for CliError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl CliError {
    /// Returns true if the reader of standard output has closed it. A broken network connection does not count.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .filter_map(io::Error::get_ref)
            .any(<dyn std::error::Error + Send + Sync>::is::<output::StdoutClosed>)
    }
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> Result<(), CliError> {
        let global = self.global_args;
        program::remember_program(describe_program(&global));
        match self.command {
            CliCommand::Serve => serve::run_serve(&global),
            CliCommand::Work(args) => work::run_work(&global, &args),
            CliCommand::Events(command) => events::run_events(&global, command),
            CliCommand::Stats(args) => stats::run_stats(&global, &args),
            CliCommand::Send(args) => send::run_send(&global, args),
            CliCommand::Config(command) => config::run_config_check(&global, &command),
            CliCommand::Audit(command) => audit::run_audit(&global, &command),
            CliCommand::Mappings(command) => mappings::run_mappings(&global, command),
            CliCommand::Privacy(command) => privacy::run_privacy(&global, &command),
            CliCommand::Sps(command) => sps::run_sps(&global, &command),
            CliCommand::Destinations(command) => destinations::run_destinations(&global, &command),
            CliCommand::Users(command) => users::run_users(&global, &command),
            CliCommand::Tokens(command) => tokens::run_tokens(&global, &command),
            CliCommand::Setup(args) => setup::run_setup(&global, &args),
            CliCommand::Doctor(args) => doctor::run_doctor(&global, &args),
            CliCommand::Prune(args) => prune::run_prune(&global, &args),
            CliCommand::Backup(args) => backup::run_backup(&global, &args),
            CliCommand::Restore(args) => restore::run_restore(&global, &args),
            CliCommand::Completions(args) => completions::run_completions(&args),
            CliCommand::Man(args) => man::run_man(&args),
        }
    }
}

/// Returns the program with the options that select the configuration, as a shell reads them.
fn describe_program(global: &GlobalArgs) -> String {
    match &global.config {
        _ if global.dev => "novex-ingest --dev".to_owned(),
        Some(path) if path != Path::new(INSTALLED_CONFIG_PATH) => {
            format!("novex-ingest --config {}", quote_word(&path.display().to_string()))
        }
        _ => "novex-ingest".to_owned(),
    }
}

impl GlobalArgs {
    /// Returns the path of the configuration; `--dev` creates the file if it is missing.
    fn config_path(&self) -> anyhow::Result<PathBuf> {
        if self.dev {
            return dev::prepare_dev_config()
                .map_err(|error| anyhow::anyhow!("./{} cannot be created: {error}", dev::DEV_DIRECTORY));
        }
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        let checkout = Path::new(dev::DEV_DIRECTORY).join("config.toml");
        Ok(if !Path::new(INSTALLED_CONFIG_PATH).exists() && checkout.exists() {
            checkout
        } else {
            INSTALLED_CONFIG_PATH.into()
        })
    }

    fn load_config(&self, secrets: SecretLoading) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config_path()?, secrets)?)
    }

    /// Returns the form of times for people.
    fn time_format(&self) -> TimeFormat {
        TimeFormat::detect(self.utc)
    }

    /// Opens the database read-only, for commands that only read. It does not matter whether the daemon runs.
    fn open_reader(&self) -> anyhow::Result<Reader> {
        Ok(Reader::open(&self.load_config(SecretLoading::Skip)?.store.path, 1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn cli_definitions_are_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn broken_connection_is_not_a_closed_stdout() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let sent = CliError::from(anyhow::Error::new(broken()).context("the connection to the daemon broke"));
        assert!(!sent.is_broken_pipe());
        let read = CliError::from(anyhow::Error::new(io::Error::new(io::ErrorKind::BrokenPipe, output::StdoutClosed)));
        assert!(read.is_broken_pipe());
    }
}
