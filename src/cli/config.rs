//! `config check`: takes the steps of `serve` up to its start, creates nothing and disturbs nothing that runs.

use crate::cli::{CliError, GlobalArgs, output};
use crate::clock::{self, Clock};
use crate::config::{Config, ConfigError, INSTALLED_CONFIG_PATH, SecretLoading};
use crate::daemon_client;
use crate::files::{parent_directory, with_suffix};
use crate::http_client;
use crate::port_holder::{self, PortHolder};
use crate::store::StoreError;
use crate::store::db::open;
use crate::tls::{TlsSettings, certificates, expiry};
use clap::Subcommand;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Longest wait for the process that may already listen on `server.listen`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and print every error with its line and fix; exits 0 only if serve would start
    Check,
}

pub fn run_config_check(global: &GlobalArgs, command: &ConfigCommand) -> Result<(), CliError> {
    let ConfigCommand::Check = command;
    let path = global.config_path()?;
    let (config, mut errors) = Config::parse_recoverable(&path, &Config::read_text(&path)?, SecretLoading::All);
    let mut warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    // A key with an error has its default in `config`: a check of the default would report something else.
    let unread_keys: Vec<String> = errors.errors.iter().map(|error| error.key.clone()).collect();
    let startup_errors = check_startup(&config, &mut warnings);
    let is_reported = |key: &str| {
        let is_same =
            |unread: &String| unread.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        unread_keys.iter().any(is_same)
    };
    errors.errors.extend(startup_errors.into_iter().filter(|error| !is_reported(&error.key)));
    errors.errors.sort_by_key(|error| error.line);
    for warning in &warnings {
        output::print_line(&format!("warning: {warning}"))?;
    }
    if errors.errors.is_empty() {
        output::print_line(&format!("{}: serve would start", config.path.display()))?;
        return Ok(());
    }
    Err(errors.into())
}

/// Returns the errors that only an attempt shows: of files, of the database, of the certificate and of the address.
fn check_startup(config: &Config, warnings: &mut Vec<String>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut add_error = |line: usize, key: &str, message: String, hint: &str| {
        errors.push(ConfigError { line, key: key.to_owned(), message, hint: hint.to_owned() });
    };
    let (path, line) = (&config.store.path, config.lines.store);
    let directory = parent_directory(path);
    if path.exists()
        && let Err(error) = check_database_access(path)
    {
        // The text of a store error ends with its fix.
        let text = error.to_string();
        let (message, hint) = text.split_once(". ").unwrap_or((&text, "See `novex-ingest serve --help`."));
        add_error(line, "store.path", message.to_owned(), hint);
    }
    if let Err(error) = rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        let message = format!("{} cannot be written: {error}", directory.display());
        add_error(line, "store.path", message, "Create it for the user novex-ingest, or run this as that user.");
    }
    let files = certificates::locate_certificate_files(&config.tls);
    if let TlsSettings::Acme(acme) = &config.tls {
        if let Err(error) = http_client::load_root_certificates(acme.ca_file.as_deref()) {
            let hint = "Name a PEM file that the user novex-ingest can read.";
            add_error(0, "tls.acme.ca_file", format!("{error:#}"), hint);
        }
        if !files.certificate.exists() || certificates::load_certified_key(&files).is_err() {
            let warning = "tls: the daemon uses a self-signed certificate until the authority has issued one";
            warnings.push(warning.to_owned());
        }
    } else if matches!(config.tls, TlsSettings::Files { .. }) || files.certificate.exists() {
        if let Err(error) = certificates::CertificateResolver::load(&config.tls) {
            let hint = "Name a PEM file with the whole chain and its key, readable by the user novex-ingest. \
                        Or remove both keys: the daemon then creates a self-signed pair.";
            add_error(config.lines.certificate, "tls.certificate", format!("{error:#}"), hint);
        } else if let Ok(info) = expiry::read_certificate_info(&files)
            && info.days_left(Clock::system().now()) < 0
        {
            warnings.push(format!(
                "tls: the certificate {} expired on {}, so no provider sends events; renew it",
                files.certificate.display(),
                clock::format_timestamp(info.not_after)
            ));
        }
    } else {
        let file = files.certificate.display();
        warnings.push(format!("tls: serve will create a self-signed certificate, {file}"));
    }
    if let Err(error) = crate::app::build::build_destinations(config) {
        add_error(0, "destinations", format!("{error:#}"), "Name PEM files that the user novex-ingest can read.");
    }
    let listen = config.server.listen;
    match std::net::TcpListener::bind(listen) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AddrInUse || is_address_in_use(listen) => {
            match port_holder::find_port_holder(listen, &config.store.path) {
                Some(PortHolder::OwnService) | None => {}
                Some(holder @ PortHolder::Stranger { .. }) => add_error(
                    config.lines.listen,
                    "server.listen",
                    format!("{listen} is in use by {}", holder.describe_program()),
                    "Stop that program, or set server.listen to another port.",
                ),
                Some(PortHolder::Invisible) => warnings.push(format!(
                    "server.listen: {listen} is in use by a program of another user; `sudo ss -ltnp` shows it"
                )),
            }
        }
        // systemd opens a low port for the service, which may not open it itself.
        Err(error)
            if error.kind() == ErrorKind::PermissionDenied && config.path == Path::new(INSTALLED_CONFIG_PATH) =>
        {
            warnings.push(format!("server.listen: systemd's socket unit opens {listen}; this user cannot check it"));
        }
        Err(error) => add_error(
            config.lines.listen,
            "server.listen",
            format!("{listen} cannot be listened on: {error}"),
            "Choose an address of this machine and a port over 1023. The service's unit may also use lower ports.",
        ),
    }
    errors
}

/// Returns true if a process listens on the address. That also covers a low port that this user may not bind.
fn is_address_in_use(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&daemon_client::to_local_address(address), CONNECT_TIMEOUT).is_ok()
}

fn check_database_access(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = with_suffix(path, suffix);
        if file.exists() && rustix::fs::access(&file, rustix::fs::Access::WRITE_OK).is_err() {
            return Err(open::to_read_only_error(path));
        }
    }
    match open::open_for_reading(path) {
        // serve fills an empty file.
        Ok(_) | Err(StoreError::DatabaseMissing { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
