//! The one SQLite file: event store, queue and ERP tables. The only module with SQL connections.
//!
//! - [`open`] makes connections and is the only code that does; [`migrate`] brings a file to this version's schema.
//! - [`writer`] owns the one connection that writes, in one thread, and commits what has gathered as one transaction.
//! - [`receive`], [`claims`] and [`rejections`] are the statements that write; they take a transaction. What completing an
//!   event writes is in [`changes`]: the ERP's tables ([`tables`]) by way of [`projection`], the
//!   audit trail [`system_log`] and its [`alerts`]. [`deliveries`] is how it is handed on, [`erasure`] how it goes ([`personal`]: out of which
//!   tables; [`mentions`]: out of which bodies that nothing else leads to).
//! - [`reader`] is the read-only pool, [`events`] and [`stats`] are its queries: they page by key and count nothing.
//!
//! Nothing here knows HTTP, and nothing here decides what an event means.

pub mod alerts;
pub mod backup;
pub mod changes;
mod checkpoints;
pub mod checkup;
pub mod claims;
mod damage;
pub mod deliveries;
pub mod destination_states;
pub mod envelope;
pub mod erasure;
pub mod error;
pub mod events;
pub mod mappings;
pub mod mentions;
pub mod migrate;
pub mod open;
pub mod outgoing;
pub mod personal;
pub mod privacy;
pub mod projection;
pub mod prune;
pub mod purchase_order_views;
pub mod purchase_orders;
pub mod reader;
pub mod receive;
pub mod rejections;
pub mod scrub;
pub mod search;
pub mod sent;
pub mod sps_files;
pub mod sps_mappings;
pub mod stats;
pub mod system_log;
pub mod tables;
pub mod writer;

pub use error::StoreError;

use crate::clock::{self, Clock};
use alerts::LoginErrors;
use reader::Reader;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use writer::{Writer, WriterOptions};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub path: PathBuf,
    /// How long a write waits for somebody else's lock before it is given up.
    pub busy_timeout: Duration,
    /// Most jobs that wait for the writer; one more is refused at once.
    pub queue_max: usize,
    /// Most jobs in one transaction: bounds how long one commit holds the lock.
    pub batch_max: usize,
    /// The WAL is copied back into the database when it is larger than this.
    pub wal_bytes: u64,
    /// False: somebody else copies the WAL.
    pub checkpoints: bool,
    /// Less free space than this on the file's disk, and nothing new is taken.
    pub free_bytes_min: u64,
    /// Connections for reading.
    pub readers: u32,
    /// When failed logins raise an alert.
    pub login_errors: LoginErrors,
}

impl StoreOptions {
    /// The defaults, for the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            busy_timeout: Duration::from_secs(4),
            queue_max: 1024,
            batch_max: 256,
            wal_bytes: 32 << 20,
            checkpoints: true,
            free_bytes_min: 64 << 20,
            readers: 4,
            login_errors: LoginErrors::default(),
        }
    }
}

/// A path with something at its end, as SQLite names what it keeps beside a database: `-wal`, `-shm`.
#[must_use]
pub fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// An open database: a writer and readers. Dropping the last clone of the writer ends its thread.
#[derive(Clone)]
pub struct Store {
    pub writer: Writer,
    pub reader: Reader,
    pub clock: Clock,
    /// Changes when an attempt at an event has ended: there may be something to hand on, or what had to wait for it may go.
    pub worked: watch::Sender<u64>,
    login_errors: LoginErrors,
    /// What waited when the file was written anew last.
    compacted: Arc<Mutex<Option<scrub::Waiting>>>,
    path: PathBuf,
}

impl Store {
    /// Opens the file, creating it or bringing it up to date, and starts the writer.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is not ours, or is from a newer version.
    pub fn open(options: &StoreOptions, clock: Clock) -> Result<Self, StoreError> {
        let mut connection = open::for_writing(&options.path, options.busy_timeout)?;
        migrate::run(&mut connection, &options.path, options.free_bytes_min)?;
        let checkpointer = open::for_writing(&options.path, options.busy_timeout)?;
        if !options.checkpoints {
            checkpoints::leave_to_others(&connection)?;
            checkpoints::leave_to_others(&checkpointer)?;
        }
        let writer = Writer::start(connection, checkpointer, WriterOptions::from(options))?;
        let reader = Reader::open(&options.path, options.readers)?;
        Ok(Self {
            writer,
            reader,
            clock,
            worked: watch::Sender::new(0),
            login_errors: options.login_errors,
            compacted: Arc::default(),
            path: options.path.clone(),
        })
    }

    /// Writes a row, synced like any event's: whether anything can be.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self, kind: writer::Kind) -> Result<(), StoreError> {
        let now = clock::text(self.clock.now());
        let job = move |connection: &Connection| {
            connection
                .prepare_cached("INSERT INTO write_probe VALUES (1, ?1) ON CONFLICT DO UPDATE SET at = ?1")?
                .execute([now])?;
            Ok(())
        };
        self.writer.submit(kind, job).await
    }

    /// Numbers the events of a new database above those that others may have seen.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn begin_above(&self, last: i64) -> Result<(), StoreError> {
        let job = move |connection: &Connection| {
            connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('webhook_events', ?)", [last])?;
            Ok(())
        };
        self.writer.submit(writer::Kind::Upkeep, job).await
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
