//! The SQLite database: event store, queue and ERP tables in one file. Only this module has SQL connections.
//!
//! - [`db`] opens the file, migrates it, writes, reads, makes checkpoints and backups. [`db::open`] opens every
//!   connection. [`db::writer`] owns the one connection that writes; [`db::reader`] is the pool of read-only
//!   connections.
//! - [`events`] receives, reads, searches and counts events. Its lists page by key and never count rows.
//! - [`leases`] claims events, deliveries and remote files, and records how each attempt ended.
//! - [`erp`] folds the changes of completed events into the ERP tables.
//! - [`access`] has the users, sessions and tokens of the console and the API.
//! - [`audit`] keeps the audit trail and its alerts. [`privacy`] redacts personal data.
//!
//! A function that writes takes the connection of the writer's transaction. This module knows nothing of HTTP, and it
//! does not decide the meaning of an event: the handlers do.

pub mod access;
pub mod audit;
pub mod db;
pub mod erp;
pub mod events;
pub mod leases;
pub mod privacy;

pub use db::error::StoreError;

use crate::clock;
use crate::clock::Clock;
use crate::metrics::Metrics;
use audit::alerts::LoginErrorThreshold;
use db::reader::Reader;
use db::writer::{Writer, WriterOptions};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long opening the database waits for the lock of another process, which may be creating or upgrading it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
const OPEN_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Settings of an open store: the database file, its limits and its WAL policy.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub path: PathBuf,
    /// Longest wait of a write for another process's lock.
    pub busy_timeout: Duration,
    /// Most jobs that wait for the writer; the store refuses one more at once.
    pub queue_max: usize,
    /// Most jobs in one transaction: bounds how long one commit holds the lock.
    pub batch_max: usize,
    /// Size of the WAL, in bytes, above which a checkpoint copies it into the database.
    pub wal_bytes: u64,
    /// False if another program, such as Litestream, makes the checkpoints.
    pub checkpoints_enabled: bool,
    /// Least free space, in bytes, on the disk of the database; below it the store refuses new events.
    pub free_bytes_min: u64,
    /// Most read-only connections.
    pub readers: u32,
    /// How many failed logins raise an alert.
    pub login_error_threshold: LoginErrorThreshold,
}

impl StoreOptions {
    /// Returns the defaults for the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            busy_timeout: Duration::from_secs(4),
            queue_max: 1024,
            batch_max: 256,
            wal_bytes: 32 << 20,
            checkpoints_enabled: true,
            free_bytes_min: 64 << 20,
            readers: 4,
            login_error_threshold: LoginErrorThreshold::default(),
        }
    }
}

/// An open database: a writer and a pool of readers. The writer's thread ends when the last clone of the writer is
/// dropped.
#[derive(Clone)]
pub struct Store {
    pub writer: Writer,
    pub reader: Reader,
    pub clock: Clock,
    /// Figures of this process: all its parts have the store.
    pub metrics: Metrics,
    /// Changes when an attempt at an event ends: a new delivery may be queued, or a waiting delivery may be due.
    pub attempts_ended: watch::Sender<u64>,
    login_error_threshold: LoginErrorThreshold,
    /// The redactions that waited for a scrub when the file was last rewritten.
    last_compaction: Arc<Mutex<Option<privacy::scrub::PendingScrub>>>,
    path: PathBuf,
}

impl Store {
    /// Opens the database, creates or migrates it if necessary, and starts the writer.
    ///
    /// # Errors
    /// [`StoreError::ForeignDatabase`], [`StoreError::NewerSchema`] and [`StoreError::NotADatabase`] leave the file
    /// unchanged.
    pub fn open(options: &StoreOptions, clock: &Clock) -> Result<Self, StoreError> {
        let started_at = Instant::now();
        loop {
            match Self::try_open(options, clock.clone()) {
                // Processes that start at once create or upgrade the file one after the other.
                Err(StoreError::Busy { .. }) if started_at.elapsed() < OPEN_TIMEOUT => {
                    std::thread::sleep(OPEN_RETRY_INTERVAL);
                }
                Err(StoreError::Busy { .. }) => return Err(StoreError::Busy { waited: started_at.elapsed() }),
                result => return result,
            }
        }
    }

    fn try_open(options: &StoreOptions, clock: Clock) -> Result<Self, StoreError> {
        let mut connection = db::open::open_for_writing(&options.path, options.busy_timeout)?;
        db::migrate::migrate_database(&mut connection, &options.path, options.free_bytes_min)?;
        let checkpointer = db::open::open_for_writing(&options.path, options.busy_timeout)?;
        if !options.checkpoints_enabled {
            db::checkpoint::disable_checkpoint_on_close(&connection)?;
            db::checkpoint::disable_checkpoint_on_close(&checkpointer)?;
        }
        let metrics = Metrics::default();
        let writer = Writer::start(connection, checkpointer, WriterOptions::from(options), metrics.clone())?;
        let reader = Reader::open(&options.path, options.readers)?;
        Ok(Self {
            writer,
            reader,
            clock,
            metrics,
            attempts_ended: watch::Sender::new(0),
            login_error_threshold: options.login_error_threshold,
            last_compaction: Arc::default(),
            path: options.path.clone(),
        })
    }

    /// Checks that an event could be stored: writes one row and syncs it as for an event.
    pub async fn write_probe(&self, class: db::writer::WriteClass) -> Result<(), StoreError> {
        let now = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            connection
                .prepare_cached("INSERT INTO write_probe VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1")?
                .execute([now])?;
            Ok(())
        };
        self.writer.submit(class, job).await
    }

    /// Numbers the events of a new database above `last`, because destinations may know the ids up to it.
    pub async fn reserve_event_ids(&self, last: i64) -> Result<(), StoreError> {
        let job = move |connection: &Connection| {
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('webhook_events', ?)", [last])?;
            Ok(())
        };
        self.writer.submit(db::writer::WriteClass::Maintain, job).await
    }

    /// Returns the path of the database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
