//! `restore`: verifies a backup and replaces the database with it.

use crate::cli::output::print_line;
use crate::cli::{CliError, GlobalArgs};
use crate::clock::{self, Clock};
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
    let (backup, bodies, previous_database) = if args.check {
        let (summary, bodies) = backup::verify_restorable(&args.file, &config.store.path).map_err(to_error)?;
        (summary, bodies, None)
    } else {
        let stamp = clock::format_file_timestamp(Clock::system().now());
        let restored = backup::restore_backup(&args.file, &config.store.path, &stamp).map_err(to_error)?;
        (restored.summary, restored.bodies, restored.replaced)
    };
    let times = global.time_format();
    let newest = backup.newest_received_at.as_deref().map_or("none".to_owned(), |at| times.format_time_with_age(at));
    print_line(&if args.json {
        json!({
            "bytes": backup.bytes, "events": backup.events, "bodies_checked": bodies, "newest_event_at": backup.newest_received_at,
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
        let bodies = format_count(bodies, "body", "bodies");
        format!(
            "{} {result}: {events}, newest event of {newest}; schema and {bodies} checked{previous}",
            args.file.display()
        )
    })?;
    Ok(())
}
