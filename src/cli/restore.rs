//! `restore`: verifies a backup and replaces the database with it.

use crate::cli::backup::format_file_timestamp;
use crate::cli::output::print_line;
use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use crate::store::db::backup;
use crate::text::format_count;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Backup, as `backup` made it
    file: PathBuf,
    /// Verify the backup, and replace nothing
    #[arg(long)]
    check: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn run_restore(global: &GlobalArgs, args: &RestoreArgs) -> Result<(), CliError> {
    let config = global.load_config(SecretLoading::Skip)?;
    let to_error = |error: backup::BackupError| anyhow::anyhow!("nothing was restored or changed: {error}");
    let (backup, previous_database) = if args.check {
        (backup::verify_restorable(&args.file, &config.store.path).map_err(to_error)?, None)
    } else {
        backup::restore_backup(&args.file, &config.store.path, &format_file_timestamp()).map_err(to_error)?
    };
    let times = global.time_format();
    let newest = backup.newest_received_at.as_deref().map_or("none".to_owned(), |at| times.format_time_with_age(at));
    print_line(&if args.json {
        json!({
            "bytes": backup.bytes, "events": backup.events, "newest_event_at": backup.newest_received_at,
            "restored": !args.check, "previous_database": previous_database
        })
        .to_string()
    } else {
        let result = if args.check { "is sound" } else { "is restored" };
        let previous = previous_database.map_or(String::new(), |path| {
            format!(
                "\nThe previous database is {}; only that file has the events after the backup. \
                 Start the service: systemctl start novex-ingest.socket novex-ingest",
                path.display()
            )
        });
        let events = format_count(backup.events, "event", "events");
        format!("{} {result}: {events}, newest event of {newest}{previous}", args.file.display())
    })?;
    Ok(())
}
