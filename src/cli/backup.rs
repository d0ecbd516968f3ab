//! `backup`: copies the database while it is in use, verifies the copy, removes older copies and uploads the new one.

use crate::backup_files::{
    BACKUP_NAME_PREFIX, FinishedBackup, build_backup_name, is_backup_name, make_backup, read_lineage,
};
use crate::backup_target::BackupTarget;
use crate::cli::output::print_line;
use crate::cli::{CliError, GlobalArgs};
use crate::clock::Clock;
use crate::config::SecretLoading;
use crate::config::backup::BackupSettings;
use crate::presentation::quantities::format_bytes;
use crate::runtime;
use crate::text::format_count;
use crate::transfer::{TransferError, Transport};
use anyhow::Context;
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Age at which a file that a killed run left is removed.
const UNFINISHED_AGE_MIN: Duration = Duration::from_hours(24);

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// New file, or a directory in which the file gets a name with the time. A name that ends in / or has no extension
    /// is a directory, created if it is missing
    target: PathBuf,
    /// Keep this many backups in the directory, and remove older ones after the new one is verified
    #[arg(long, value_name = "N", value_parser = parse_keep_count)]
    keep: Option<u32>,
    /// Also upload the copy to the SFTP server of `[backup]`
    #[arg(long)]
    upload: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn parse_keep_count(text: &str) -> Result<u32, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "write a whole number of 1 or more".to_owned())
}

pub fn run_backup(global: &GlobalArgs, args: &BackupArgs) -> Result<(), CliError> {
    let secrets = if args.upload { SecretLoading::DestinationsOnly } else { SecretLoading::Skip };
    let config = global.load_config(secrets)?;
    let upload = match (args.upload, &config.backup) {
        (false, _) => None,
        (true, Some(settings)) => Some(settings),
        (true, None) => {
            let error = format!("{} has no [backup], which names the server for --upload", config.path.display());
            return Err(anyhow::anyhow!(error).into());
        }
    };
    let lineage = read_lineage(&config.store.path)?;
    let place = BackupTarget::resolve(&args.target, args.keep.is_some()).map_err(CliError::Usage)?;
    if place.create(&config.store.path)? && !args.json {
        print_line(&format!("created the directory {}", args.target.display()))?;
    }
    let FinishedBackup { file: target, summary: backup } =
        make_backup(&config.store.path, place, &lineage, config.store.min_free_bytes)?;
    let removed = match args.keep {
        Some(keep) => rotate_backups(&args.target, &target, &lineage, keep as usize)
            .context("the new backup is verified, but older ones cannot be removed")?,
        None => 0,
    };
    if let Some(settings) = upload {
        upload_backup(settings, &target, &lineage)
            .with_context(|| format!("{} is made and verified, but cannot be uploaded", target.display()))?;
    }
    let times = global.time_format();
    let newest = backup.newest_received_at.as_deref().map_or("none".to_owned(), |at| times.format_time_with_age(at));
    print_line(&if args.json {
        json!({
            "file": target, "bytes": backup.bytes, "events": backup.events, "newest_event_at": backup.newest_received_at,
            "removed": removed
        })
        .to_string()
    } else {
        let older = match removed {
            0 => String::new(),
            count => format!("; removed {}", format_count(count, "older backup", "older backups")),
        };
        let events = format_count(backup.events, "event", "events");
        let file = target.display();
        let size = format_bytes(backup.bytes);
        format!("{file}: verified, {size}, {events}, newest event of {newest}{older}")
    })?;
    Ok(())
}

/// Removes the unfinished files of runs that were killed a day ago or earlier.
fn remove_unfinished_backups(directory: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age >= UNFINISHED_AGE_MIN)
    };
    let is_unfinished = |name: &str| name.starts_with(BACKUP_NAME_PREFIX) && name.contains(".unfinished-");
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_unfinished) && is_old(&entry) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Uploads a copy to the server, then removes older copies there.
fn upload_backup(settings: &BackupSettings, file: &Path, lineage: &str) -> anyhow::Result<()> {
    let own_name = file.file_name().and_then(|name| name.to_str()).filter(|name| is_backup_name(name, lineage));
    let name = own_name.map_or_else(|| build_backup_name(lineage), str::to_owned);
    let to_error = |error: TransferError| anyhow::anyhow!("{error}");
    runtime::block_on(async {
        let (transport, _key) = Transport::connect(&settings.target, None).await.map_err(to_error)?;
        transport.upload_file(&name, file).await.map_err(to_error)?;
        let (files, _skipped) = transport.list(Clock::system().now()).await.map_err(to_error)?;
        // As in a directory: a file with a later time in its name stays.
        let mut older: Vec<_> =
            files.into_iter().filter(|file| is_backup_name(&file.name, lineage) && file.name < name).collect();
        older.sort_by(|one, other| one.name.cmp(&other.name));
        let keep_count = usize::try_from(settings.keep_count).unwrap_or(usize::MAX);
        let surplus = (older.len() + 1).saturating_sub(keep_count);
        for file in &older[..surplus] {
            transport.delete(file).await.map_err(to_error)?;
        }
        transport.close().await;
        Ok(())
    })?
}

/// Removes the oldest backups before `new`, so that `keep` remain with it, and returns how many it removed.
///
/// It touches only files with the name of a backup of this database. A file with a later time in its name stays: a
/// clock that was set back must not cost the copy that was just made.
fn rotate_backups(directory: &Path, new: &Path, lineage: &str, keep: usize) -> std::io::Result<usize> {
    let own_name = new.file_name().unwrap_or_default();
    let mut older: Vec<PathBuf> = fs::read_dir(directory)?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| is_backup_name(name, lineage)) && entry.file_name() < own_name
        })
        .map(|entry| entry.path())
        .collect();
    remove_unfinished_backups(directory);
    older.sort();
    let surplus = (older.len() + 1).saturating_sub(keep);
    older[..surplus].iter().try_for_each(fs::remove_file)?;
    Ok(surplus)
}
