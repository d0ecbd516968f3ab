//! The one writer: a thread that owns the connection and commits whatever has gathered as one transaction.
//!
//! At low load a transaction holds one job and its sender waits for one sync of the disk; at high load hundreds of jobs
//! share that sync. There is no timer that waits for a batch to fill: while one commit syncs, the next batch gathers.
//! Nobody is answered before COMMIT has returned, and COMMIT returns after the WAL is on the disk (`synchronous=FULL`).
//!
//! Each job runs in a savepoint: one that fails takes nothing of the others with it. If the whole transaction fails, all are told.
//!
//! # The WAL
//! A commit appends to the WAL; a checkpoint copies the WAL into the database, after which the next commit starts the WAL
//! anew. Checkpoints run after the answers are out. Above [`StoreOptions::wal_bytes`] a second thread copies while
//! commits go on; because commits go on, it never reaches the end, so above `HARD_FACTOR` times as much the writer
//! itself copies the small rest between two batches. A reader that holds an old snapshot stops both: that is logged.

use super::damage::Damage;
use super::{StoreError, StoreOptions, checkpoints, open, with_end};
use rusqlite::Connection;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{Notify, oneshot};
use tracing::{error, warn};

/// The writer copies the WAL's rest itself when it is this many times the soft limit.
const HARD_FACTOR: u64 = 2;
/// A WAL this many times the soft limit means that somebody's open read transaction holds it.
const HELD_FACTOR: u64 = 8;
/// How often the free space is looked at, and a held WAL is complained about.
const SPACE_CHECK: Duration = Duration::from_secs(1);
const HELD_WARNING: Duration = Duration::from_mins(1);

/// The part of [`StoreOptions`] that the writer follows.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    path: PathBuf,
    busy_timeout: Duration,
    queue_max: usize,
    batch_max: usize,
    wal_bytes: u64,
    checkpoints: bool,
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
            checkpoints: options.checkpoints,
            free_bytes_min: options.free_bytes_min,
        }
    }
}

/// A handle to the writing thread. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    jobs: Sender<Message>,
    work_arrived: Arc<Notify>,
    damage: Damage,
    thread: Arc<std::sync::Mutex<Option<JoinHandle<()>>>>,
}

/// What kind of write a job is, for the two things that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Stores something new: refused when the disk is nearly full, and wakes the workers when it is committed.
    Intake,
    /// Makes what is there already due again, and wakes the workers too.
    Requeue,
    /// Moves what is there already. Like [`Kind::Requeue`] it goes on to the last byte, so that work can be finished.
    Upkeep,
}

/// The answer to a job, when its transaction has ended.
pub struct Pending<T>(oneshot::Receiver<Result<T, StoreError>>);

impl<T> Pending<T> {
    /// Waits for the commit.
    ///
    /// # Errors
    /// What the job gave, or why its transaction was not committed.
    pub async fn committed(self) -> Result<T, StoreError> {
        self.0.await.unwrap_or(Err(StoreError::ShuttingDown))
    }
}

impl Writer {
    /// Starts the writing thread and the checkpointing thread.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(connection: Connection, checkpointer: Connection, options: WriterOptions) -> Result<Self, StoreError> {
        let (jobs, receiver) = channel(options.queue_max);
        let work_arrived = Arc::new(Notify::new());
        let checkpoints = checkpoints::start(checkpointer);
        let page_bytes = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        note_wal_pages(&connection);
        let files = identity(&options.path);
        let damage = Damage::default();
        let state = State {
            files,
            damage: damage.clone(),
            connection,
            receiver,
            work_arrived: work_arrived.clone(),
            checkpoints,
            page_bytes,
            space: Space { enough: true, looked: None },
            complained: None,
            options,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || state.run())
            .expect("a box that cannot start a thread cannot run a daemon");
        Ok(Self { jobs, work_arrived, damage, thread: Arc::new(std::sync::Mutex::new(Some(thread))) })
    }

    /// Hands a job over without waiting for a place: for deliveries, which are better refused than kept waiting.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too many wait already.
    pub fn try_submit<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Pending<T>, StoreError> {
        let (job, pending) = Call::boxed(kind, work);
        self.jobs.try_send(Message::Job(job)).map_err(|error| match error {
            tokio::sync::mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
            tokio::sync::mpsc::error::TrySendError::Closed(_) => StoreError::ShuttingDown,
        })?;
        Ok(pending)
    }

    /// Runs a job and waits for its commit, and for a place in the queue before it.
    ///
    /// # Errors
    /// What the job gave, or why it was not committed.
    pub async fn submit<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, pending) = Call::boxed(kind, work);
        self.jobs.send(Message::Job(job)).await.map_err(|_| StoreError::ShuttingDown)?;
        pending.committed().await
    }

    /// Hands over a job whose result nobody waits for; it is left out when too many wait already.
    pub fn submit_unattended(
        &self,
        kind: Kind,
        work: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) {
        let job = Call { kind, work: Some(work), result: None, reply: None };
        if self.jobs.try_send(Message::Job(Box::new(job))).is_err() {
            tracing::debug!("a note was left out: the writer has too much to do");
        }
    }

    /// What showed the file to be damaged, since this process began: some writes may still work.
    #[must_use]
    pub fn damage(&self) -> Option<StoreError> {
        self.damage.found()
    }

    /// Notified after every commit that brought something to work on.
    #[must_use]
    pub fn work_arrived(&self) -> &Notify {
        &self.work_arrived
    }

    /// Empties the WAL; `false` when somebody still reads an older state, or the writer has ended.
    pub async fn empty_wal(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.jobs.send(Message::EmptyWal(reply)).await.is_ok() && done.await.unwrap_or(false)
    }

    /// Writes the file anew; `false` when somebody else holds the lock, or the writer has ended.
    pub async fn compact(&self) -> bool {
        let (reply, done) = oneshot::channel();
        self.jobs.send(Message::Compact(reply)).await.is_ok() && done.await.unwrap_or(false)
    }

    /// Waits until the writing thread has ended: when it is told to, or by a fault of its own.
    pub async fn ended(&self) {
        self.jobs.closed().await;
    }

    /// Commits what was handed over before, refuses what comes after, empties the WAL and closes the file.
    pub async fn close(&self) {
        if self.jobs.send(Message::Close).await.is_err() {
            return;
        }
        let thread = self.thread.lock().expect("nothing panics while it holds the handle").take();
        if let Some(thread) = thread
            && !matches!(tokio::task::spawn_blocking(|| thread.join()).await, Ok(Ok(())))
        {
            error!("the store's writer had panicked; what was acknowledged is committed");
        }
    }
}

enum Message {
    Job(Box<dyn Job>),
    /// Empty the WAL, if nobody reads an older state; tells whether it is.
    EmptyWal(oneshot::Sender<bool>),
    /// Write the file anew; tells whether it was done.
    Compact(oneshot::Sender<bool>),
    Close,
}

trait Job: Send {
    fn kind(&self) -> Kind;
    /// True when nobody waits for the answer any more: its sender was told 503.
    fn abandoned(&self) -> bool;
    /// Runs inside a savepoint, which is kept only when this is `Ok`.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Tells the result. `failed`: the transaction as a whole was lost.
    fn answer(self: Box<Self>, failed: Option<&StoreError>);
}

struct Call<T, F> {
    kind: Kind,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    /// `None`: nobody waits for the result.
    reply: Option<oneshot::Sender<Result<T, StoreError>>>,
}

impl<T: Send + 'static, F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static> Call<T, F> {
    fn boxed(kind: Kind, work: F) -> (Box<dyn Job>, Pending<T>) {
        let (reply, pending) = oneshot::channel();
        (Box::new(Self { kind, work: Some(work), result: None, reply: Some(reply) }), Pending(pending))
    }
}

impl<T: Send, F: FnOnce(&Connection) -> Result<T, StoreError> + Send> Job for Call<T, F> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn abandoned(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // A panic in one job must not end the thread that stores everybody's.
        let result = catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or(Err(StoreError::Panicked));
        let outcome = result.as_ref().map(drop).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, failed: Option<&StoreError>) {
        let result = match (failed, self.result) {
            // A job's own error stands also when the transaction failed after it.
            (_, Some(Err(error))) => Err(error),
            (Some(error), _) => Err(error.clone()),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(StoreError::ShuttingDown),
        };
        if let Some(reply) = self.reply {
            // Nobody there: the sender was answered 503 meanwhile and will come again.
            let _ = reply.send(result);
        }
    }
}

thread_local! {
    /// Pages in the WAL after this thread's last commit.
    static WAL_PAGES: Cell<u64> = const { Cell::new(0) };
}

fn note_wal_pages(connection: &Connection) {
    connection.wal_hook(Some(|_, pages| {
        WAL_PAGES.set(u64::try_from(pages).unwrap_or(0));
        Ok(())
    }));
}

/// Device and inode of the database and of its WAL; `None` for one that is not there.
fn identity(path: &std::path::Path) -> [Option<(u64, u64)>; 2] {
    use std::os::unix::fs::MetadataExt;
    [path, &with_end(path, "-wal")].map(|name| std::fs::metadata(name).ok().map(|file| (file.dev(), file.ino())))
}

struct State {
    connection: Connection,
    /// The files at the path when they were opened.
    files: [Option<(u64, u64)>; 2],
    damage: Damage,
    receiver: Receiver<Message>,
    work_arrived: Arc<Notify>,
    checkpoints: SyncSender<()>,
    page_bytes: u64,
    space: Space,
    complained: Option<Instant>,
    options: WriterOptions,
}

struct Space {
    enough: bool,
    looked: Option<Instant>,
}

impl State {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(self.options.batch_max);
        let (mut empty_wal, mut compact) = (Vec::<oneshot::Sender<bool>>::new(), Vec::<oneshot::Sender<bool>>::new());
        while let Some(first) = self.receiver.blocking_recv() {
            let mut next = Some(first);
            while let Some(message) = next.take() {
                match message {
                    Message::Job(job) => batch.push(job),
                    Message::EmptyWal(reply) => empty_wal.push(reply),
                    Message::Compact(reply) => compact.push(reply),
                    // What waits already is still given out, then the loop ends.
                    Message::Close => self.receiver.close(),
                }
                if batch.len() < self.options.batch_max {
                    next = self.receiver.try_recv().ok();
                }
            }
            self.work(&mut batch);
            if !compact.is_empty() {
                let done = self.connection.execute_batch("VACUUM").is_ok();
                for reply in compact.drain(..) {
                    let _ = reply.send(done);
                }
            }
            if !empty_wal.is_empty() {
                let done = self.truncate_wal();
                for reply in empty_wal.drain(..) {
                    let _ = reply.send(done);
                }
            }
            self.keep_wal_small();
        }
        // Only if nobody else uses the file now: waiting for a reader, it would hold the write lock, and deliveries to another
        // process would be refused. Otherwise the WAL stays, and is read at the next start.
        self.truncate_wal();
    }

    /// Copies the WAL into the database and cuts it to nothing, if nobody is in the way.
    fn truncate_wal(&self) -> bool {
        if !self.options.checkpoints {
            return false;
        }
        let _ = self.connection.busy_timeout(Duration::ZERO);
        let busy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        let _ = open::wait_for_lock(&self.connection, self.options.busy_timeout);
        busy.is_ok_and(|busy| busy == 0)
    }

    /// One transaction over `batch`, and all answers.
    fn work(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        if !self.enough_space() {
            let full = StoreError::DiskFull {
                detail: format!("less than {} MiB are free", self.options.free_bytes_min >> 20),
            };
            for job in batch.extract_if(.., |job| job.kind() == Kind::Intake) {
                job.answer(Some(&full));
            }
        }
        if batch.is_empty() {
            return;
        }
        let outcome = self.transact(batch).and_then(|()| self.same_file());
        if let Err(error) = &outcome {
            self.damage.note(error);
            error!(jobs = batch.len(), "nothing of this transaction was stored: {error}");
        }
        let arrived = outcome.is_ok() && batch.iter().any(|job| job.kind() != Kind::Upkeep);
        for job in batch.drain(..) {
            job.answer(outcome.as_ref().err());
        }
        if arrived {
            self.work_arrived.notify_one();
        }
        match outcome {
            Err(StoreError::Disk(_)) => self.reopen(),
            // No new connection: only a new process has a reader, a checkpointer and a writer on one file.
            Err(StoreError::Replaced { .. }) => self.receiver.close(),
            _ => {}
        }
    }

    fn transact(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let connection = &self.connection;
        let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        run("BEGIN IMMEDIATE").map_err(|error| self.explain(error))?;
        let result = (|| {
            for job in batch.iter_mut().filter(|job| !job.abandoned()) {
                run("SAVEPOINT job")?;
                if let Err(error) = job.run(connection) {
                    self.damage.note(&error);
                    if connection.is_autocommit() {
                        // SQLite rolled the whole transaction back: disk full, input/output error, out of memory.
                        return Err(error);
                    }
                    run("ROLLBACK TO job")?;
                }
                run("RELEASE job")?;
            }
            run("COMMIT")?;
            Ok(())
        })();
        if result.is_err() && !connection.is_autocommit() {
            let _ = run("ROLLBACK");
        }
        result
    }

    fn explain(&self, error: rusqlite::Error) -> StoreError {
        match StoreError::from(error) {
            StoreError::Busy { .. } => StoreError::Busy { waited: self.options.busy_timeout },
            other => other,
        }
    }

    /// Whether the path still leads to the file that is open, and its WAL is there: a commit into what was moved away is lost with it.
    fn same_file(&self) -> Result<(), StoreError> {
        if identity(&self.options.path) != self.files {
            return Err(StoreError::Replaced { path: self.options.path.clone() });
        }
        Ok(())
    }

    /// Looks at the disk at most once a second: `statvfs` costs less than a page, but not nothing.
    fn enough_space(&mut self) -> bool {
        if self.space.looked.is_none_or(|looked| looked.elapsed() >= SPACE_CHECK) {
            self.space.looked = Some(Instant::now());
            let directory = self.options.path.parent().filter(|path| !path.as_os_str().is_empty());
            let free = rustix::fs::statvfs(directory.unwrap_or(std::path::Path::new(".")))
                .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
            let enough = free >= self.options.free_bytes_min;
            if self.space.enough && !enough {
                error!(
                    free_bytes = free,
                    "the disk of the database is nearly full: deliveries are answered 503 until {} MiB are free again",
                    self.options.free_bytes_min >> 20
                );
            }
            self.space.enough = enough;
        }
        self.space.enough
    }

    fn keep_wal_small(&mut self) {
        let bytes = WAL_PAGES.get() * self.page_bytes;
        if !self.options.checkpoints {
            return;
        }
        if bytes > self.options.wal_bytes {
            // Full: one is under way already.
            let _ = self.checkpoints.try_send(());
        }
        if bytes > self.options.wal_bytes * HARD_FACTOR {
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
        if bytes > self.options.wal_bytes * HELD_FACTOR
            && self.complained.is_none_or(|complained| complained.elapsed() >= HELD_WARNING)
        {
            self.complained = Some(Instant::now());
            warn!(
                wal_bytes = bytes,
                "somebody reads the database in one long transaction, so its WAL cannot shrink and fills the disk: \
                 close the sqlite3 shell or program that has it open (`fuser -v {}`)",
                self.options.path.display()
            );
        }
    }

    /// After a failed sync the kernel may have dropped what it could not write: a new connection reads what is really
    /// in the file.
    fn reopen(&mut self) {
        match open::for_writing(&self.options.path, self.options.busy_timeout) {
            Ok(connection) => {
                note_wal_pages(&connection);
                self.connection = connection;
            }
            Err(error) => error!("the database cannot be opened again: {error}"),
        }
    }
}
