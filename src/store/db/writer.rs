//! The single writer: a thread that owns the read-write connection and commits all waiting jobs as one transaction.
//!
//! # Group commit
//! At low load a transaction holds one job, and its sender waits for one sync of the disk. At high load hundreds of
//! jobs share one sync. No timer waits for a batch to fill: the next batch gathers while a commit syncs the disk. The
//! writer answers a job only after COMMIT has returned. COMMIT returns after the WAL is on the disk
//! (`synchronous=FULL`).
//!
//! # Savepoints
//! Each job runs in a savepoint, so a failed job does not affect the others. If the whole transaction fails, every job
//! of it gets the error.
//!
//! # WAL policy
//! A commit appends to the WAL. A checkpoint copies the WAL into the database; the next commit then starts at the
//! beginning of the WAL. The writer sends the answers first and makes checkpoints after them, by the size of the WAL in
//! multiples of [`StoreOptions::wal_bytes`]:
//! - above 1: the checkpoint thread copies while commits continue. Under load it never reaches the end of the WAL.
//! - above 2: the writer itself copies the small remainder between two batches.
//! - above 8: a reader with an old snapshot blocks both. The writer logs a warning, at most once a minute.
//!
//! # Same-file check
//! After each commit, and once a second, the writer compares device and inode of its files with those at the start. If
//! another program deleted or replaced one, the jobs get an error, [`lost_file`](crate::store::db::lost_file) saves the
//! events, and the writer ends.

use crate::files::parent_directory;
use crate::metrics::Metrics;
use crate::store::db::damage::DamageRecord;
use crate::store::db::lost_file::OpenFiles;
use crate::store::db::{checkpoint, open, write_job};
use crate::store::{StoreError, StoreOptions};
use rusqlite::Connection;
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, oneshot};
use tracing::{error, warn};

use write_job::WriteJob;
pub use write_job::{PendingWrite, WriteClass};

/// Multiple of `wal_bytes` above which the writer itself makes a checkpoint.
const WAL_HARD_LIMIT_FACTOR: u64 = 2;
/// Multiple of `wal_bytes` that only a long read transaction of another program explains.
const WAL_BLOCKED_FACTOR: u64 = 8;
/// Shortest time between two checks of the free space.
const SPACE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two warnings about a blocked WAL.
const WAL_WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// The part of [`StoreOptions`] that the writer uses.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    path: PathBuf,
    busy_timeout: Duration,
    queue_max: usize,
    batch_max: usize,
    wal_bytes: u64,
    checkpoints_enabled: bool,
    free_bytes_min: u64,
}

impl From<&StoreOptions> for WriterOptions {
    fn from(options: &StoreOptions) -> Self {
        Self {
            path: options.path.clone(),
            busy_timeout: options.busy_timeout,
            queue_max: options.queue_max.max(1),
            batch_max: options.batch_max.max(1),
            wal_bytes: options.wal_bytes,
            checkpoints_enabled: options.checkpoints_enabled,
            free_bytes_min: options.free_bytes_min,
        }
    }
}

/// A handle to the writer thread. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    messages: Sender<WriterMessage>,
    work_arrived: Arc<Notify>,
    damage: DamageRecord,
    thread: Arc<std::sync::Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    /// Starts the writer thread and the checkpoint thread.
    pub fn start(
        connection: Connection,
        checkpointer: Connection,
        options: WriterOptions,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let (messages, receiver) = channel(options.queue_max);
        let work_arrived = Arc::new(Notify::new());
        let checkpointer = checkpoint::start_checkpointer(checkpointer);
        let page_bytes = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        install_wal_hook(&connection);
        let damage = DamageRecord::default();
        let state = WriterThread {
            files: OpenFiles::remember_files(&options.path, page_bytes),
            is_file_lost: false,
            damage: damage.clone(),
            connection,
            receiver,
            work_arrived: work_arrived.clone(),
            checkpointer,
            page_bytes,
            free_space: FreeSpace { is_sufficient: true, checked_at: None },
            last_wal_warning: None,
            options,
            metrics,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || state.run())
            .expect("a machine that cannot start a thread cannot run the daemon");
        Ok(Self { messages, work_arrived, damage, thread: Arc::new(std::sync::Mutex::new(Some(thread))) })
    }

    /// Queues a job without a wait for a place in the queue: requests of senders are better refused than kept waiting.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] if the queue is full.
    pub fn try_submit<T: Send + 'static>(
        &self,
        class: WriteClass,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<PendingWrite<T>, StoreError> {
        let (job, pending) = write_job::new_job(class, job);
        self.messages.try_send(WriterMessage::Job(job)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Closed(_) => StoreError::ShuttingDown,
        })?;
        Ok(pending)
    }

    /// Waits for a place in the queue, runs a job, and returns its result after the commit.
    ///
    /// # Errors
    /// The job's own error, or the reason why its transaction was not committed.
    pub async fn submit<T: Send + 'static>(
        &self,
        class: WriteClass,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, pending) = write_job::new_job(class, job);
        self.messages.send(WriterMessage::Job(job)).await.map_err(|_| StoreError::ShuttingDown)?;
        pending.committed().await
    }

    /// Queues a job without a caller that waits for it. If the queue is full, the job is dropped.
    pub fn submit_detached(
        &self,
        class: WriteClass,
        job: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) {
        let job = write_job::new_detached_job(class, job);
        if self.messages.try_send(WriterMessage::Job(job)).is_err() {
            tracing::debug!("the write queue is full; the store dropped a write that no caller waits for");
        }
    }

    /// Returns the last error that showed damage of the file since this process started. Some writes may still succeed.
    #[must_use]
    pub fn damage(&self) -> Option<StoreError> {
        self.damage.error()
    }

    /// Returns the notification that follows each commit with work for the workers.
    #[must_use]
    pub fn work_arrived(&self) -> &Notify {
        &self.work_arrived
    }

    /// Empties the WAL. Returns false if a reader has an older snapshot, or if the writer has ended.
    pub async fn truncate_wal(&self) -> bool {
        self.request(WriterMessage::TruncateWal).await
    }

    /// Rewrites the whole file (`VACUUM`). Returns false if another connection has the lock, or if the writer has
    /// ended.
    pub async fn vacuum(&self) -> bool {
        self.request(WriterMessage::Vacuum).await
    }

    async fn request(&self, message: impl FnOnce(oneshot::Sender<bool>) -> WriterMessage) -> bool {
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Makes the writer check that nobody deleted or replaced its files. If somebody did, it saves their events and
    /// ends.
    pub fn check_files(&self) {
        // A full queue means that a commit, which also checks, is near.
        let _ = self.messages.try_send(WriterMessage::CheckFiles);
    }

    /// Waits until the writer thread has ended, by [`Writer::close`] or by an error.
    pub async fn ended(&self) {
        self.messages.closed().await;
    }

    /// Commits the jobs that are queued, refuses later ones, empties the WAL and closes the file. If the writer ended
    /// because its files were lost, it waits until their events are saved.
    pub async fn close(&self) {
        let _ = self.messages.send(WriterMessage::Close).await;
        let thread = self.thread.lock().expect("no code panics while it has the lock").take();
        if let Some(thread) = thread
            && !matches!(tokio::task::spawn_blocking(|| thread.join()).await, Ok(Ok(())))
        {
            error!("the writer thread of the store panicked, which is a bug; all acknowledged events are committed");
        }
    }
}

enum WriterMessage {
    Job(Box<dyn WriteJob>),
    /// Asks for an empty WAL; the answer is whether it is empty.
    TruncateWal(oneshot::Sender<bool>),
    /// Asks for a rewrite of the file; the answer is whether it was done.
    Vacuum(oneshot::Sender<bool>),
    /// Checks that the files are still those that the writer has open.
    CheckFiles,
    Close,
}

/// The state of the writer thread.
struct WriterThread {
    connection: Connection,
    files: OpenFiles,
    /// True after another program deleted or replaced the files.
    is_file_lost: bool,
    damage: DamageRecord,
    receiver: Receiver<WriterMessage>,
    work_arrived: Arc<Notify>,
    checkpointer: SyncSender<()>,
    page_bytes: u64,
    free_space: FreeSpace,
    last_wal_warning: Option<Instant>,
    options: WriterOptions,
    metrics: Metrics,
}

/// The last check of the free space on the database's disk.
struct FreeSpace {
    is_sufficient: bool,
    checked_at: Option<Instant>,
}

impl WriterThread {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(self.options.batch_max);
        let (mut wal_requests, mut vacuum_requests) = (Vec::new(), Vec::new());
        while let Some(first) = self.receiver.blocking_recv() {
            let mut next = Some(first);
            let mut checks_files = false;
            while let Some(message) = next.take() {
                match message {
                    WriterMessage::Job(job) => batch.push(job),
                    WriterMessage::TruncateWal(reply) => wal_requests.push(reply),
                    WriterMessage::Vacuum(reply) => vacuum_requests.push(reply),
                    // The loop still receives the messages that are queued, and then ends.
                    WriterMessage::Close => self.receiver.close(),
                    WriterMessage::CheckFiles => checks_files = true,
                }
                if batch.len() < self.options.batch_max {
                    next = self.receiver.try_recv().ok();
                }
            }
            if self.is_file_lost {
                let error = StoreError::FileReplaced { path: self.options.path.clone() };
                batch.drain(..).for_each(|job| job.send_result(Some(&error)));
                continue;
            }
            self.commit_batch(&mut batch);
            if checks_files && let Err(error) = self.files.check_same_files() {
                error!("{error}");
                self.give_up_files();
            }
            if self.is_file_lost {
                continue;
            }
            if !vacuum_requests.is_empty() {
                let is_done = self.connection.execute_batch("VACUUM").is_ok();
                send_to_all(&mut vacuum_requests, is_done);
            }
            if !wal_requests.is_empty() {
                let is_empty = self.truncate_wal();
                send_to_all(&mut wal_requests, is_empty);
            }
            self.limit_wal_size();
        }
        if self.files.check_same_files().is_err() {
            self.give_up_files();
        }
        if self.is_file_lost {
            // To close it could delete the WAL at this path, which may be another file's by now.
            std::mem::forget(self.connection);
            return;
        }
        // Only if no other connection uses the file now. While it waited for a reader, it would have the write lock,
        // and another process would refuse requests. If it fails, the WAL stays and the next start reads it.
        self.truncate_wal();
    }

    /// Commits `batch` as one transaction and answers all its jobs.
    fn commit_batch(&mut self, batch: &mut Vec<Box<dyn WriteJob>>) {
        if !self.has_enough_space() {
            let error = StoreError::DiskFull {
                detail: format!("less than {} MiB are free", self.options.free_bytes_min >> 20),
            };
            for job in batch.extract_if(.., |job| job.class() == WriteClass::Insert) {
                job.send_result(Some(&error));
            }
        }
        if batch.is_empty() {
            return;
        }
        let started_at = Instant::now();
        let outcome = self.run_transaction(batch);
        self.metrics.commit_seconds.record_duration(started_at.elapsed());
        self.metrics.commit_batch_size.record(batch.len() as u64);
        let outcome = self.files.check_same_files().and(outcome);
        if let Err(error) = &outcome {
            self.damage.record(error);
            error!(jobs = batch.len(), "a transaction of the store failed, and nothing of it was stored: {error}");
        }
        let wakes_workers = outcome.is_ok() && batch.iter().any(|job| job.class() != WriteClass::Maintain);
        for job in batch.drain(..) {
            job.send_result(outcome.as_ref().err());
        }
        if wakes_workers {
            self.work_arrived.notify_one();
        }
        match outcome {
            Err(StoreError::DiskIo(_)) => self.reopen_connection(),
            Err(StoreError::FileReplaced { .. }) => self.give_up_files(),
            _ => {}
        }
    }

    fn run_transaction(&mut self, batch: &mut [Box<dyn WriteJob>]) -> Result<(), StoreError> {
        let connection = &self.connection;
        let execute = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        execute("BEGIN IMMEDIATE").map_err(|error| self.to_store_error(error))?;
        let result = (|| {
            for job in batch.iter_mut().filter(|job| !job.is_abandoned()) {
                execute("SAVEPOINT job")?;
                if let Err(error) = job.run(connection) {
                    self.damage.record(&error);
                    if connection.is_autocommit() {
                        // SQLite rolled the whole transaction back: disk full, input/output error, out of memory.
                        return Err(error);
                    }
                    execute("ROLLBACK TO job")?;
                }
                execute("RELEASE job")?;
            }
            execute("COMMIT")?;
            Ok(())
        })();
        if result.is_err() && !connection.is_autocommit() {
            let _ = execute("ROLLBACK");
        }
        result
    }

    fn to_store_error(&self, error: rusqlite::Error) -> StoreError {
        match StoreError::from(error) {
            StoreError::Busy { .. } => StoreError::Busy { waited: self.options.busy_timeout },
            other => other,
        }
    }

    /// Gives up files that another program deleted or replaced. A new connection would not help: reader, checkpointer
    /// and writer must have the same files, and only a new process opens them for all three.
    fn give_up_files(&mut self) {
        self.receiver.close();
        if !self.is_file_lost {
            self.is_file_lost = true;
            self.files.save_open_state(&self.connection);
        }
    }

    /// Returns whether the disk has enough free space. Checks it at most once a second: `statvfs` costs less than a
    /// page, but it is not free.
    fn has_enough_space(&mut self) -> bool {
        if self.free_space.checked_at.is_none_or(|at| at.elapsed() >= SPACE_CHECK_INTERVAL) {
            self.free_space.checked_at = Some(Instant::now());
            let free = rustix::fs::statvfs(parent_directory(&self.options.path))
                .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
            let is_sufficient = free >= self.options.free_bytes_min;
            if self.free_space.is_sufficient && !is_sufficient {
                error!(
                    free_bytes = free,
                    "the disk of the database is nearly full; senders get a 503 until {} MiB are free. Free space on \
                     this disk",
                    self.options.free_bytes_min >> 20
                );
            }
            self.free_space.is_sufficient = is_sufficient;
        }
        self.free_space.is_sufficient
    }

    /// Makes checkpoints by the size of the WAL; the module documentation has the policy.
    fn limit_wal_size(&mut self) {
        let bytes = WAL_PAGES.get() * self.page_bytes;
        if !self.options.checkpoints_enabled {
            return;
        }
        if bytes > self.options.wal_bytes {
            // A full channel means that a checkpoint is already running.
            let _ = self.checkpointer.try_send(());
        }
        if bytes > self.options.wal_bytes * WAL_HARD_LIMIT_FACTOR {
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        if bytes > self.options.wal_bytes * WAL_BLOCKED_FACTOR
            && self.last_wal_warning.is_none_or(|at| at.elapsed() >= WAL_WARNING_INTERVAL)
        {
            self.last_wal_warning = Some(Instant::now());
            warn!(
                wal_bytes = bytes,
                "a program reads the database in one long transaction, so the WAL cannot shrink and fills the disk. \
                 Close the sqlite3 shell or program that has the database open (`fuser -v {}`)",
                self.options.path.display()
            );
        }
    }

    /// Copies the WAL into the database and truncates it. Returns false if another connection prevents it.
    fn truncate_wal(&self) -> bool {
        if !self.options.checkpoints_enabled {
            return false;
        }
        let _ = self.connection.busy_timeout(Duration::ZERO);
        let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        let _ = open::install_busy_handler(&self.connection, self.options.busy_timeout);
        busy.is_ok_and(|busy| busy == 0)
    }

    /// Opens a new connection, which reads the real content of the file: after a failed sync, the kernel may have
    /// dropped the pages that it could not write.
    fn reopen_connection(&mut self) {
        match open::open_for_writing(&self.options.path, self.options.busy_timeout) {
            Ok(connection) => {
                install_wal_hook(&connection);
                self.connection = connection;
            }
            Err(error) => {
                error!(
                    "the database could not be opened again after a disk error; the store accepts no events: {error}"
                );
            }
        }
    }
}

fn send_to_all(replies: &mut Vec<oneshot::Sender<bool>>, answer: bool) {
    for reply in replies.drain(..) {
        let _ = reply.send(answer);
    }
}

thread_local! {
    /// Number of pages in the WAL after this thread's last commit.
    static WAL_PAGES: Cell<u64> = const { Cell::new(0) };
}

fn install_wal_hook(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        WAL_PAGES.set(u64::try_from(pages).unwrap_or(0));
        Ok(())
    }));
}
