//! `config check`: the steps of `serve` up to the point where it would begin.

use super::{Failure, Place, output};
use crate::config::sections::Tls;
use crate::config::{Config, INSTALLED, Mistake, Secrets};
use crate::outbound;
use crate::server::tls;
use crate::store::{StoreError, open, with_end};
use clap::Subcommand;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show every mistake at once, with its line and its mend; status 0 only if serve would start
    Check,
}

pub fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    let Command::Check = command;
    let path = place.config_path()?;
    let (config, mut mistakes) = Config::survey(&path, &Config::text(&path)?, Secrets::Load);
    let mut warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    // What could not be read was replaced by its default: trying that out would tell of something else.
    let unread: Vec<String> = mistakes.list.iter().map(|mistake| mistake.key.clone()).collect();
    let tried = dry_run(&config, &mut warnings);
    mistakes.list.extend(tried.into_iter().filter(|mistake| !unread.contains(&mistake.key)));
    mistakes.list.sort_by_key(|mistake| mistake.line);
    for warning in &warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    if mistakes.list.is_empty() {
        output::line(&format!("{}: serve would start", config.path.display()))?;
        return Ok(());
    }
    Err(mistakes.into())
}

/// What only trying shows. Nothing is created and nothing that runs is disturbed.
fn dry_run(config: &Config, warnings: &mut Vec<String>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut wrong = |line: usize, key: &str, problem: String, mend: &str| {
        mistakes.push(Mistake { line, key: key.to_owned(), problem, mend: mend.to_owned() });
    };
    let (path, line) = (&config.store.path, config.lines.store);
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.exists()
        && let Err(error) = database(path)
    {
        // A store's error ends with its mend.
        let text = error.to_string();
        let (problem, mend) = text.split_once(". ").unwrap_or((&text, "See `novex-ingest serve --help`."));
        wrong(line, "store.path", problem.to_owned(), mend);
    }
    if let Err(error) = rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        let problem = format!("{} cannot be written: {error}", directory.display());
        wrong(line, "store.path", problem, "Create it for the user novex-ingest, or run this as that user.");
    }
    let files = tls::files(&config.tls);
    if let Tls::Acme(acme) = &config.tls {
        if let Err(error) = outbound::roots(acme.ca_file.as_deref()) {
            let mend = "Name a PEM file that the user novex-ingest can read.";
            wrong(0, "tls.acme.ca_file", format!("{error:#}"), mend);
        }
        if !files.certificate.exists() || tls::pair(&files).is_err() {
            warnings.push("tls: a self-signed certificate serves until the authority has given one".to_owned());
        }
    } else if matches!(config.tls, Tls::Files { .. }) || files.certificate.exists() {
        if let Err(error) = tls::Holder::load(&config.tls) {
            let mend = "Name a PEM file with the whole chain and its key, readable by the user novex-ingest; or take both \
                        keys out, and a self-signed pair is made.";
            wrong(config.lines.certificate, "tls.certificate", format!("{error:#}"), mend);
        }
    } else {
        warnings.push(format!("tls: serve will make a self-signed certificate, {}", files.certificate.display()));
    }
    if let Err(error) = super::work::destinations(config) {
        wrong(0, "destinations", format!("{error:#}"), "Name files that the user novex-ingest can read, in PEM.");
    }
    match std::net::TcpListener::bind(config.server.listen) {
        Ok(_) => {}
        // The usual program on it is novex-ingest itself, checked while it runs.
        Err(error) if error.kind() == ErrorKind::AddrInUse || is_listened_on(config.server.listen) => warnings.push(format!(
            "server.listen: {} is in use: fine if that is the running novex-ingest or its socket unit, otherwise see `ss -ltnp`",
            config.server.listen
        )),
        // systemd opens it for the service, which may not.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && config.path == Path::new(INSTALLED) => warnings.push(
            format!("server.listen: {} is for systemd's socket unit to open", config.server.listen),
        ),
        Err(error) => wrong(
            config.lines.listen,
            "server.listen",
            format!("{} cannot be listened on: {error}", config.server.listen),
            "Choose an address of this box, and a port over 1023 or the service's unit, which may use lower ones.",
        ),
    }
    mistakes
}

/// Also a low port that this user may not bind, but systemd did.
fn is_listened_on(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&super::send::reachable(address), Duration::from_secs(1)).is_ok()
}

fn database(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let file = with_end(path, suffix);
        if file.exists() && rustix::fs::access(&file, rustix::fs::Access::WRITE_OK).is_err() {
            return Err(open::read_only(path));
        }
    }
    match open::for_reading(path) {
        // An empty file is filled when serve starts.
        Ok(_) | Err(StoreError::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
