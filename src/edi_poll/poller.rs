//! Polls one source once: lists its files, then claims, downloads, checks and stores them one after the other.
//!
//! A crash between any two steps neither loses nor doubles a file. Until the event is committed, the file stays at the
//! source. Afterwards the event's id, which is the file's name and the digest of its bytes, shows that the file is
//! stored.

use crate::backoff::{Backoff, BreakerSettings};
use crate::clock;
use crate::clock::Timestamp;
use crate::edi_poll::errors::{FileError, PollError};
use crate::edi_poll::file_content::FileContent;
use crate::providers::edi;
use crate::queue::lease;
use crate::queue::lease::HeldClaims;
use crate::queue::turns::AttemptTurns;
use crate::store::events::polls::PollRecord;
use crate::store::events::receive::Receipt;
use crate::store::leases::LeaseOwner;
use crate::store::leases::begun::BegunRecord;
use crate::store::leases::files::{FILES, FileClaim, FileClaimOutcome, FileClaimResult, ListedFile};
use crate::store::{Store, StoreError};
use crate::text::format_count;
use crate::transfer::source::{AfterDownload, SourceSettings};
use crate::transfer::{RemoteFile, TransferError, Transport};
use bytes::Bytes;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::{info, warn};

/// How long a file's lease lasts; it is renewed while the poller fetches the file.
const LEASE_DURATION: Duration = Duration::from_mins(1);

/// Why a file is refused for its name.
const INVALID_NAME_ERROR: &str =
    "its name is not UTF-8, is longer than 200 bytes, or has a slash or a control character; rename it at the source";

/// Who asked for a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollTrigger {
    Schedule,
    Api,
    Command,
}

impl PollTrigger {
    fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Api => "api",
            Self::Command => "command",
        }
    }
}

/// Polls EDI sources. Cheap to clone.
#[derive(Clone)]
pub struct Poller {
    pub store: Store,
    pub lease_owner: LeaseOwner,
    /// Waits between two attempts at one file, or at one source.
    pub backoff: Backoff,
    /// Attempts of a new event.
    pub max_attempts: u32,
    turns: AttemptTurns,
    begun: BegunRecord,
}

/// How one listed file was handled.
enum FileResult {
    Stored(FileContent),
    Duplicate,
    Skipped,
    Failed { error: String },
}

impl Poller {
    #[must_use]
    pub fn new(store: Store, lease_owner: LeaseOwner, backoff: Backoff, max_attempts: u32) -> Self {
        let begun = BegunRecord::new(store.path(), &FILES, &lease_owner);
        Self { store, lease_owner, backoff, max_attempts, turns: AttemptTurns::default(), begun }
    }

    /// Removes the record of begun files. Only a poller without running polls calls this.
    pub fn close(&self) {
        self.begun.close();
    }

    /// Polls a source once. After each file it calls `progress` with the number of files that are done and the number
    /// of all files.
    ///
    /// # Errors
    /// When the database fails: the poll ends there, and the remaining files stay at the source. An error of the source
    /// is in [`PollRecord::error`].
    pub async fn poll_source(
        &self,
        source: &SourceSettings,
        trigger: PollTrigger,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<PollRecord, StoreError> {
        lease::recover_leases(&self.store, &FILES, &self.lease_owner, &self.backoff).await?;
        let mut poll = self.begin_poll(source, trigger).await?;
        let result = self.receive_files(source, trigger, &mut poll, progress).await;
        self.end_poll(&mut poll, result.as_ref().err()).await?;
        match result {
            Err(PollError::Store(error)) => return Err(error),
            Err(PollError::Source { error, .. }) => warn!(
                source = source.name,
                "source `{0}` cannot be polled; its files stay there, and other sources are polled: {error}",
                source.name
            ),
            Ok(()) => log_poll(&poll),
        }
        Ok(poll)
    }

    async fn begin_poll(&self, source: &SourceSettings, trigger: PollTrigger) -> Result<PollRecord, StoreError> {
        Ok(PollRecord {
            id: self.store.begin_poll(&source.name, trigger.as_str(), &self.lease_owner.worker).await?,
            source: source.name.clone(),
            requested_by: trigger.as_str().to_owned(),
            started_at: clock::format_timestamp(self.store.clock.now()),
            ..PollRecord::default()
        })
    }

    /// Stores the result of a poll. After an error the schedule leaves the source alone for the backoff, or for longer
    /// if the source asked for it.
    async fn end_poll(&self, poll: &mut PollRecord, error: Option<&PollError>) -> Result<(), StoreError> {
        let (error, retry_after) = match error {
            None => (None, Duration::ZERO),
            Some(PollError::Source { error, retry_after }) => (Some(error.clone()), *retry_after),
            Some(PollError::Store(error)) => (Some(format!("the database failed: {error}")), Duration::ZERO),
        };
        poll.error = error;
        poll.finished_at = Some(clock::format_timestamp(self.store.clock.now()));
        let breaker = BreakerSettings {
            failure_threshold: 1,
            probe_delay: self.backoff.delay_after(1).max(retry_after),
            probe_delay_max: self.backoff.delay_after(u32::MAX).max(retry_after),
        };
        self.store.end_poll(poll, breaker).await
    }

    /// Connects to the source, lists its files and receives each of them. Counts the results in `poll`.
    async fn receive_files(
        &self,
        source: &SourceSettings,
        trigger: PollTrigger,
        poll: &mut PollRecord,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), PollError> {
        let connection = self.connect(source).await?;
        let (files, invalid_names) = apply_source_timeout(source, connection.list(self.store.clock.now())).await?;
        poll.found = (files.len() + invalid_names.len()) as u64;
        self.refuse_files(source, &invalid_names, poll).await?;
        let claims = HeldClaims::default();
        // A task that ends with this poll, also when the poll is aborted: nobody then fetches the files of these
        // leases.
        let mut maintenance = JoinSet::new();
        let (store, owner, backoff) = (self.store.clone(), self.lease_owner.clone(), self.backoff.clone());
        maintenance.spawn(lease::maintain_leases(store, &FILES, owner, claims.clone(), LEASE_DURATION, backoff));
        self.begun.open();
        let receiver = FileReceiver { poller: self, source, trigger, connection: &connection, claims };
        let mut result = Ok(());
        for (done, file) in files.iter().enumerate() {
            progress(done as u64, poll.found);
            match receiver.receive_file(file).await {
                Ok(FileResult::Stored(content)) => {
                    poll.stored += 1;
                    poll.orders += content.orders;
                    poll.unreadable += u64::from(content.is_unreadable);
                }
                Ok(FileResult::Duplicate) => poll.duplicates += 1,
                Ok(FileResult::Skipped) => poll.skipped += 1,
                Ok(FileResult::Failed { error }) => poll.add_failure(file.name.clone(), error),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        progress(poll.found, poll.found);
        connection.close().await;
        result
    }

    /// Records files whose names cannot be stored. They stay at the source until somebody renames them.
    async fn refuse_files(
        &self,
        source: &SourceSettings,
        names: &[String],
        poll: &mut PollRecord,
    ) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            warn!(
                source = source.name,
                file = name,
                "file {name} of source `{}` is not received and stays there: {INVALID_NAME_ERROR}",
                source.name
            );
            poll.add_failure(name.clone(), INVALID_NAME_ERROR.to_owned());
        }
        self.store.record_refused_files(&source.name, names.to_vec(), INVALID_NAME_ERROR).await
    }

    /// Connects to a source, and pins the host key that it shows first.
    async fn connect(&self, source: &SourceSettings) -> Result<Transport, PollError> {
        let (_, pinned_key) = self.store.read_source_state(&source.name)?;
        let (connection, shown_key) = Transport::connect(source, pinned_key.as_deref()).await?;
        if let (Some(key), None) = (&shown_key, &pinned_key) {
            self.store.pin_host_key(&source.name, key).await?;
        }
        Ok(connection)
    }
}

/// Receives the files of one poll over its connection.
struct FileReceiver<'a> {
    poller: &'a Poller,
    source: &'a SourceSettings,
    trigger: PollTrigger,
    connection: &'a Transport,
    /// Claims whose leases are renewed.
    claims: HeldClaims<FileClaim>,
}

impl FileReceiver<'_> {
    /// Receives one listed file: claims it, fetches it, and records how that ended. An error ends the poll.
    async fn receive_file(&self, file: &RemoteFile) -> Result<FileResult, PollError> {
        if self.is_settling(file) {
            return Ok(FileResult::Skipped);
        }
        let claim = match self.claim_file(file).await? {
            FileClaimResult::Claimed(claim) => claim,
            FileClaimResult::Skipped => return Ok(FileResult::Skipped),
            FileClaimResult::Unchanged => return Ok(FileResult::Duplicate),
        };
        self.claims.add(std::slice::from_ref(&claim));
        let _turn = self.poller.turns.enter(claim.deaths > 0).await;
        let _mark = self.poller.begun.begin(&claim);
        let result = match self.fetch_file(file, &claim).await {
            Ok(result) => Ok(result),
            Err(error) => self.handle_fetch_error(file, &claim, error).await,
        };
        self.claims.remove(&claim);
        result
    }

    /// Returns true if the file was changed so recently that its sender may still write to it.
    fn is_settling(&self, file: &RemoteFile) -> bool {
        let now = self.now();
        file.modified
            .is_some_and(|modified| modified <= now && clock::duration_between(modified, now) < self.source.settle_time)
    }

    async fn claim_file(&self, file: &RemoteFile) -> Result<FileClaimResult, StoreError> {
        let listed = ListedFile {
            source: self.source.name.clone(),
            name: file.name.clone(),
            size: file.size,
            modified: file.modified.map(clock::format_timestamp),
            stays_at_source: self.source.after_download == AfterDownload::Leave,
            ignores_backoff: self.trigger != PollTrigger::Schedule,
        };
        self.poller.store.claim_file(listed, &self.poller.lease_owner, LEASE_DURATION).await
    }

    /// Downloads a claimed file, stores it as an event, and moves or deletes it at the source.
    async fn fetch_file(&self, file: &RemoteFile, claim: &FileClaim) -> Result<FileResult, FileError> {
        let fetched = self.download(file).await?;
        let (receipt, content) = self.store_event(fetched).await?;
        let removal = self.remove_from_source(file).await;
        self.record_removal(file, claim, (receipt, content), removal).await
    }

    /// Downloads a file, and checks that it is complete and did not change meanwhile.
    async fn download(&self, file: &RemoteFile) -> Result<edi::FetchedFile, FileError> {
        let source = self.source;
        let bytes = apply_source_timeout(source, self.connection.read(file, source.max_file_bytes)).await?;
        let current = apply_source_timeout(source, self.connection.stat(&file.name)).await?;
        let is_complete = current.size.is_none_or(|size| size == bytes.len() as u64);
        if !is_complete || current != *file {
            return Err(FileError::Changing);
        }
        Ok(edi::FetchedFile {
            source: source.name.clone(),
            directory: source.directory(),
            name: file.name.clone(),
            modified: file.modified,
            received_at: self.now(),
            bytes: Bytes::from(bytes),
        })
    }

    async fn store_event(&self, fetched: edi::FetchedFile) -> Result<(Receipt, FileContent), StoreError> {
        // Parsing a large file takes long: on a blocking thread it delays no other task.
        let read = move || (edi::build_file_event(&fetched), FileContent::read(&fetched.bytes));
        let (verified, content) = tokio::task::spawn_blocking(read).await.map_err(|_panic| StoreError::JobPanicked)?;
        let receipt = self.poller.store.receive(verified, self.poller.max_attempts, ())?.committed().await?;
        Ok((receipt, content))
    }

    /// Moves or deletes a stored file, as configured. If another file has its name meanwhile, that file stays, and the
    /// next poll receives it.
    async fn remove_from_source(&self, file: &RemoteFile) -> Result<(), FileError> {
        let removal = match self.source.after_download {
            AfterDownload::Leave => return Ok(()),
            AfterDownload::Delete => apply_source_timeout(self.source, self.connection.delete(file)).await,
            AfterDownload::Archive => apply_source_timeout(self.source, self.connection.archive(file)).await,
        };
        match removal {
            Ok(_) | Err(FileError::Changing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Records that a file is an event, and whether the file could be moved or deleted.
    async fn record_removal(
        &self,
        file: &RemoteFile,
        claim: &FileClaim,
        (receipt, content): (Receipt, FileContent),
        removal: Result<(), FileError>,
    ) -> Result<FileResult, FileError> {
        let event_id = receipt.event_id;
        match removal {
            Ok(()) => {
                self.record_outcome(claim, FileClaimOutcome::Done { event_id }).await?;
                Ok(if receipt.is_duplicate() { FileResult::Duplicate } else { FileResult::Stored(content) })
            }
            Err(FileError::File(error)) => {
                warn!(
                    source = self.source.name,
                    file = file.name,
                    event = event_id,
                    "file `{}` of source `{}` is stored as event {event_id}, but cannot be moved or deleted there; a \
                     later poll lists it again as a duplicate: {error}",
                    file.name,
                    self.source.name
                );
                let retry_at = self.next_attempt_at(claim);
                let outcome = FileClaimOutcome::Stored { event_id, error: error.clone(), retry_at };
                self.record_outcome(claim, outcome).await?;
                Ok(FileResult::Failed { error: format!("it is stored as event {event_id}, and stays there: {error}") })
            }
            Err(other) => {
                // The file may or may not be removed. Its event is stored, and the next poll shows which it is.
                let error = "the connection was lost before the file was moved or deleted".to_owned();
                let outcome = FileClaimOutcome::Stored { event_id, error, retry_at: self.now() };
                self.record_outcome(claim, outcome).await?;
                Err(other)
            }
        }
    }

    /// Records why a file was not fetched. Returns an error if the poll cannot continue.
    async fn handle_fetch_error(
        &self,
        file: &RemoteFile,
        claim: &FileClaim,
        error: FileError,
    ) -> Result<FileResult, PollError> {
        match error {
            FileError::Changing => {
                self.record_outcome(claim, FileClaimOutcome::Released).await?;
                Ok(FileResult::Skipped)
            }
            FileError::File(error) => {
                let retry_at = self.next_attempt_at(claim);
                warn!(
                    source = self.source.name,
                    file = file.name,
                    "file `{}` of source `{}` cannot be fetched; it stays there, next attempt after {}: {error}",
                    file.name,
                    self.source.name,
                    clock::format_timestamp(retry_at)
                );
                self.record_outcome(claim, FileClaimOutcome::Failed { error: error.clone(), retry_at }).await?;
                Ok(FileResult::Failed { error })
            }
            FileError::Source { error, retry_after } => {
                self.record_outcome(claim, FileClaimOutcome::Released).await?;
                Err(PollError::Source { error, retry_after })
            }
            FileError::Store(error) => {
                // The database is full or locked. If the claim cannot be released either, its lease expires.
                let _ = self.record_outcome(claim, FileClaimOutcome::Released).await;
                Err(PollError::Store(error))
            }
        }
    }

    async fn record_outcome(&self, claim: &FileClaim, outcome: FileClaimOutcome) -> Result<(), StoreError> {
        match self.poller.store.record_file_outcome(claim, &outcome).await {
            // Another process recovered the file; its result is as good.
            Err(StoreError::ClaimLost { .. }) => Ok(()),
            other => other,
        }
    }

    fn next_attempt_at(&self, claim: &FileClaim) -> Timestamp {
        clock::add_duration(self.now(), self.poller.backoff.delay_after(claim.attempts + 1))
    }

    fn now(&self) -> Timestamp {
        self.poller.store.clock.now()
    }
}

/// Logs a poll that found new files or failures; other polls are the normal course.
fn log_poll(poll: &PollRecord) {
    let PollRecord { source, found, stored, duplicates, skipped, failed, orders, unreadable, .. } = poll;
    if *unreadable > 0 {
        let files = format_count(*unreadable, "file", "files");
        warn!(
            source,
            unreadable,
            "{files} of source `{source}` could not be read in whole; each is stored as a failed event: \
             `novex-ingest sps list --attention`"
        );
    }
    if stored + failed > 0 {
        let files = format_count(*found, "file", "files");
        info!(
            source,
            found,
            stored,
            duplicates,
            skipped,
            failed,
            orders,
            "source `{source}` polled: {files} found, {stored} stored, {failed} failed"
        );
    }
}

/// Runs one step of a poll, for at most the source's timeout.
async fn apply_source_timeout<T>(
    source: &SourceSettings,
    step: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, FileError> {
    match tokio::time::timeout(source.timeout, step).await {
        Ok(result) => Ok(result?),
        Err(_elapsed) => {
            let error = format!("no answer within {:?} (sps.sources.timeout)", source.timeout);
            Err(FileError::Source { error, retry_after: Duration::ZERO })
        }
    }
}
