//! Checkpoints beside the writer: a second thread copies the WAL into the database while commits go on.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::sync::mpsc::{SyncSender, sync_channel};
use tracing::warn;

/// Stops SQLite from making a checkpoint when the last connection closes. Another program makes the checkpoints.
pub(crate) fn disable_checkpoint_on_close(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// Starts a thread that makes one checkpoint for each message.
pub(crate) fn start_checkpointer(connection: Connection) -> SyncSender<()> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name("store-checkpoint".into())
        .spawn(move || {
            for () in receiver {
                if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                    warn!("a checkpoint of the database failed; its WAL grows until a checkpoint succeeds: {error}");
                }
            }
        })
        .expect("a machine that cannot start a thread cannot run the daemon");
    sender
}
