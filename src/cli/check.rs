//! `config check`: the steps of `serve` up to the point where it would begin.

use super::{Failure, Place, output};
use crate::config::{Config, Secrets};
use crate::server::tls;
use crate::store::{StoreError, open};
use clap::Subcommand;
use rusqlite::Connection;
use std::io::ErrorKind;
use std::path::Path;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show every mistake at once, with its line and its mend; status 0 only if serve would start
    Check,
}

pub fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    let Command::Check = command;
    let config = place.load(Secrets::Load)?;
    let mut warnings = config.warnings.clone();
    let problems = dry_run(&config, &mut warnings);
    for warning in &warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    if problems.is_empty() {
        output::line(&format!("{}: serve would start", config.path.display()))?;
        return Ok(());
    }
    Err(Failure::Failed(anyhow::anyhow!("{}", problems.join("\n"))))
}

/// What only trying shows. Nothing is created and nothing that runs is disturbed.
fn dry_run(config: &Config, warnings: &mut Vec<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let path = &config.store.path;
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.exists() {
        problems.extend(database(path).err().map(|error| format!("store.path: {error}")));
    }
    if let Err(error) = rustix::fs::access(directory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        problems.push(format!(
            "store.path: {} cannot be written: {error}. Create it for the user novex-ingest, or run this as that user",
            directory.display()
        ));
    }
    let files = tls::files(&config.tls);
    if matches!(config.tls, crate::config::sections::Tls::Files { .. }) || files.certificate.exists() {
        problems.extend(tls::Holder::load(&config.tls).err().map(|error| format!("tls: {error:#}")));
    } else {
        warnings.push(format!("tls: serve will make a self-signed certificate, {}", files.certificate.display()));
    }
    match std::net::TcpListener::bind(config.server.listen) {
        Ok(_) => {}
        // The usual program on it is novex-ingest itself, checked while it runs.
        Err(error) if error.kind() == ErrorKind::AddrInUse => warnings.push(format!(
            "server.listen: {} is in use: fine if that is the running novex-ingest, otherwise see `ss -ltnp`",
            config.server.listen
        )),
        Err(error) => problems.push(format!(
            "server.listen: {} cannot be listened on: {error}. Choose an address of this box, and a port over 1023 or \
             the service's unit, which may use lower ones",
            config.server.listen
        )),
    }
    problems
}

fn database(path: &Path) -> Result<(), StoreError> {
    let connection: Connection = open::for_reading(path)?;
    crate::store::migrate::version(&connection, path).map(drop)
}
