//! Copying the WAL into the database beside the writer.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::sync::mpsc::{SyncSender, sync_channel};
use tracing::warn;

/// Leaves the WAL alone also when the last connection is closed, which SQLite would copy then: another program does it.
///
/// # Errors
/// When SQLite does not know the switch: never.
pub(super) fn leave_to_others(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// A thread that copies the WAL into the database, once for each message.
pub(super) fn start(connection: Connection) -> SyncSender<()> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name("store-checkpoint".into())
        .spawn(move || {
            for () in receiver {
                if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                    warn!("a checkpoint failed, the WAL grows until one succeeds: {error}");
                }
            }
        })
        .expect("a box that cannot start a thread cannot run a daemon");
    sender
}
