//! `backup` and `restore`.

use super::output::line;
use super::{Failure, Place, clock, work};
use crate::clock;
use crate::config::Secrets;
use crate::config::backup::Backup;
use crate::sps::transport::{Link, Trouble};
use crate::store::backup;
use anyhow::Context;
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// How names of backups in a directory begin and end; between them is the time, so that they sort by it.
const FIRST: &str = "novex-ingest-";
const LAST: &str = ".db";

#[derive(Debug, Args)]
pub struct Arguments {
    /// A new file, or a directory: there it is named by the time
    target: PathBuf,
    /// In a directory: keep so many, and remove older ones when the new one is proved
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Send the copy to the SFTP server of [backup] too
    #[arg(long)]
    upload: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// A backup, as `backup` made it
    file: PathBuf,
    /// Only prove that it is sound
    #[arg(long)]
    check: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// `20261124T133059Z`.
fn stamp() -> String {
    let digits: String =
        clock::text(clock().now()).chars().filter(|letter| letter.is_ascii_digit() || *letter == 'T').collect();
    format!("{}Z", digits.get(..15).unwrap_or(&digits))
}

pub fn backup(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let config = place.load(if arguments.upload { Secrets::Destinations } else { Secrets::LeaveAside })?;
    let off = if arguments.upload {
        Some(
            config
                .backup
                .as_ref()
                .with_context(|| format!("{} has no [backup]: there is nowhere to upload to", config.path.display()))?,
        )
    } else {
        None
    };
    let is_directory = arguments.target.is_dir();
    if arguments.keep.is_some() && !is_directory {
        return Err(Failure::Usage(format!("--keep needs a directory, and {} is none", arguments.target.display())));
    }
    let target = if is_directory {
        arguments.target.join(format!("{FIRST}{}{LAST}", stamp()))
    } else {
        arguments.target.clone()
    };
    let proof = backup::make(&config.store.path, &target, config.store.min_free_bytes)
        .map_err(|error| anyhow::anyhow!("there is no new backup: {error}"))?;
    let removed = match arguments.keep {
        Some(keep) => rotate(&arguments.target, &target, keep as usize)
            .context("the new backup is made; older ones could not be removed")?,
        None => 0,
    };
    if let Some(off) = off {
        upload(off, &target).with_context(|| {
            format!("{} is made and proved, but it could not be sent off this box", target.display())
        })?;
    }
    let newest = proof.newest.as_deref().unwrap_or("none");
    line(&if arguments.json {
        json!({"file": target, "bytes": proof.bytes, "events": proof.events, "newest": proof.newest, "removed": removed}).to_string()
    } else {
        let older = if removed > 0 { format!("; {removed} older removed") } else { String::new() };
        format!(
            "{}: {} bytes, {} events, the newest of {newest}; proved{older}",
            target.display(),
            proof.bytes,
            proof.events
        )
    })?;
    Ok(())
}

/// What runs left that were killed a day ago or more.
fn forget_unfinished(directory: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age >= std::time::Duration::from_hours(24))
    };
    let is_left = |name: &str| name.starts_with(FIRST) && name.contains(".unfinished-");
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_left) && is_old(&entry) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Sends a copy to the server, and removes older ones there when it has it.
fn upload(off: &Backup, file: &Path) -> anyhow::Result<()> {
    let own = file.file_name().and_then(|name| name.to_str()).filter(|name| is_ours(name));
    let name = own.map_or_else(|| format!("{FIRST}{}{LAST}", stamp()), str::to_owned);
    let said = |trouble: Trouble| anyhow::anyhow!("{trouble}");
    work::block_on(async {
        let (link, _key) = Link::open(&off.to, None).await.map_err(said)?;
        link.put_file(&name, file).await.map_err(said)?;
        let (files, _odd) = link.list(clock().now()).await.map_err(said)?;
        // As in a directory: what is named as later stays.
        let mut older: Vec<_> = files.into_iter().filter(|file| is_ours(&file.name) && file.name < name).collect();
        older.sort_by(|one, other| one.name.cmp(&other.name));
        let old = (older.len() + 1).saturating_sub(usize::try_from(off.keep).unwrap_or(usize::MAX));
        for file in &older[..old] {
            link.delete(file).await.map_err(said)?;
        }
        link.close().await;
        Ok(())
    })?
}

fn is_ours(name: &str) -> bool {
    let time = name.strip_prefix(FIRST).and_then(|rest| rest.strip_suffix(LAST));
    time.is_some_and(|time| time.len() == 16 && time.ends_with('Z'))
}

/// Removes what is older than `new`, but the newest of it, so that `keep` are there with the new one; only what is named as ours.
/// What is named as later stays: a clock that was set back must not cost the copy that was just made.
fn rotate(directory: &Path, new: &Path, keep: usize) -> std::io::Result<usize> {
    let own = new.file_name().unwrap_or_default();
    let mut older: Vec<PathBuf> = fs::read_dir(directory)?
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_ours) && entry.file_name() < own)
        .map(|entry| entry.path())
        .collect();
    forget_unfinished(directory);
    older.sort();
    let old = (older.len() + 1).saturating_sub(keep);
    older[..old].iter().try_for_each(fs::remove_file)?;
    Ok(old)
}

pub fn restore(place: &Place, arguments: &Restore) -> Result<(), Failure> {
    let config = place.load(Secrets::LeaveAside)?;
    let failed = |error: backup::BackupError| anyhow::anyhow!("nothing was restored, and nothing was changed: {error}");
    let (proof, aside) = if arguments.check {
        (backup::check(&arguments.file, &config.store.path).map_err(failed)?, None)
    } else {
        backup::restore(&arguments.file, &config.store.path, &stamp()).map_err(failed)?
    };
    let newest = proof.newest.as_deref().unwrap_or("none");
    line(&if arguments.json {
        json!({"bytes": proof.bytes, "events": proof.events, "newest": proof.newest, "restored": !arguments.check, "before": aside}).to_string()
    } else {
        let what = if arguments.check { "is sound" } else { "is restored" };
        let before = aside.map_or(String::new(), |aside| {
            format!(
                "\nThe database as it was is {}: what came after the backup is only there. Start again: systemctl start novex-ingest.socket novex-ingest",
                aside.display()
            )
        });
        format!("{} {what}: {} events, the newest of {newest}{before}", arguments.file.display(), proof.events)
    })?;
    Ok(())
}
