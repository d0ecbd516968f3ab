//! One look at one source: what is there is claimed, downloaded, checked and stored, one file after the other.
//!
//! A crash between any two steps loses nothing and doubles nothing: until the event is committed the file is where it was, and
//! afterwards the event's id (its name and the digest of its bytes) tells that it is here.

use super::transport::{Link, RemoteFile, Trouble};
use super::{After, Source};
use crate::clock::{self, Timestamp};
use crate::providers::sps;
use crate::queue::{Backoff, process};
use crate::store::claims::Holder;
use crate::store::sps_files::{End, FileClaim, Poll, Seen, Turn};
use crate::store::{Store, StoreError};
use bytes::Bytes;
use std::time::Duration;
use tracing::{info, warn};

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    Schedule,
    Api,
    Command,
}

impl AskedBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Api => "api",
            Self::Command => "command",
        }
    }
}

/// What a poller needs. Cheap to clone.
#[derive(Clone)]
pub struct Poller {
    pub store: Store,
    pub holder: Holder,
    /// Between two attempts at one file, or one source.
    pub backoff: Backoff,
    /// Attempts that an event gets.
    pub max_attempts: u32,
}

/// What became of one file.
enum Fate {
    Taken,
    Duplicate,
    Skipped,
    Failed,
}

impl Poller {
    /// Looks at a source once; `progress` is told after each file how many of how many are done.
    ///
    /// # Errors
    /// When the database fails: then the poll ends where it is, and the files stay at the source.
    pub async fn poll(
        &self,
        source: &Source,
        asked_by: AskedBy,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Poll, StoreError> {
        self.rescue().await?;
        let id = self.store.begin_poll(&source.name, asked_by.as_str(), &self.holder.worker).await?;
        let started_at = clock::text(self.store.clock.now());
        let mut poll = Poll {
            id,
            source: source.name.clone(),
            asked_by: asked_by.as_str().to_owned(),
            started_at,
            ..Poll::default()
        };
        let looked = self.look(source, asked_by, &mut poll, progress).await;
        let mut asked = Duration::ZERO;
        match &looked {
            Err(Ended::Source(error, rest)) => {
                poll.error = Some(error.clone());
                asked = *rest;
            }
            Err(Ended::Store(error)) => poll.error = Some(format!("the database failed: {error}")),
            Ok(()) => {}
        }
        poll.finished_at = Some(clock::text(self.store.clock.now()));
        let (rest, rest_max) = (self.backoff.after(1).max(asked), self.backoff.after(u32::MAX).max(asked));
        self.store.end_poll(&poll, rest, rest_max).await?;
        match looked {
            Err(Ended::Store(error)) => return Err(error),
            Err(Ended::Source(error, _)) => {
                warn!(source = source.name, "cannot be polled, its files wait there; the others go on: {error}");
            }
            Ok(()) => {
                let Poll { found, taken, duplicates, skipped, failed, .. } = poll;
                if taken + failed > 0 {
                    info!(source = source.name, found, taken, duplicates, skipped, failed, "polled");
                }
            }
        }
        Ok(poll)
    }

    /// What a dead process was taking is taken by another.
    async fn rescue(&self) -> Result<(), StoreError> {
        for holder in self.store.file_holders()? {
            if process::is_dead(&holder, &self.holder) {
                let files = self.store.rescue_files(&holder).await?;
                warn!(worker = holder.worker, files, "a poller died while it took files; they are taken again");
            }
        }
        Ok(())
    }

    async fn look(
        &self,
        source: &Source,
        asked_by: AskedBy,
        poll: &mut Poll,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<(), Ended> {
        let (_, known) = self.store.sps_source(&source.name)?;
        let (connection, key) = Link::open(source, known.as_deref()).await?;
        if let (Some(key), None) = (&key, &known) {
            self.store.keep_host_key(&source.name, key).await?;
        }
        let (files, odd) = within(source, connection.list(self.store.clock.now())).await?;
        poll.found = (files.len() + odd.len()) as u64;
        poll.failed = odd.len() as u64;
        for name in &odd {
            warn!(source = source.name, file = ?name, "is not taken: its name has letters that no file's should; rename it");
        }
        let mut ended = Ok(());
        for (done, file) in files.iter().enumerate() {
            progress(done as u64, poll.found);
            match self.take(source, asked_by, &connection, file).await {
                Ok(Fate::Taken) => poll.taken += 1,
                Ok(Fate::Duplicate) => poll.duplicates += 1,
                Ok(Fate::Skipped) => poll.skipped += 1,
                Ok(Fate::Failed) => poll.failed += 1,
                Err(end) => {
                    ended = Err(end);
                    break;
                }
            }
        }
        progress(poll.found, poll.found);
        connection.close().await;
        ended
    }

    async fn take(
        &self,
        source: &Source,
        asked_by: AskedBy,
        connection: &Link,
        file: &RemoteFile,
    ) -> Result<Fate, Ended> {
        let now = self.store.clock.now();
        if file.modified.is_some_and(|modified| modified <= now && clock::between(modified, now) < source.settle) {
            return Ok(Fate::Skipped);
        }
        let seen = Seen {
            source: source.name.clone(),
            name: file.name.clone(),
            size: file.size,
            modified: file.modified.map(clock::text),
            stays: source.after == After::Leave,
            now: asked_by != AskedBy::Schedule,
        };
        // Everything about one file, twice over: reading it and moving it.
        let lease = source.timeout * 3;
        let claim = match self.store.claim_file(seen, &self.holder, lease).await? {
            Turn::Take(claim) => claim,
            Turn::Skip => return Ok(Fate::Skipped),
            Turn::Known => return Ok(Fate::Duplicate),
        };
        match self.fetch(source, connection, file, &claim).await {
            Ok(fate) => Ok(fate),
            Err(Stopped::Grows) => {
                self.finish(&claim, End::Released).await?;
                Ok(Fate::Skipped)
            }
            Err(Stopped::File(error)) => {
                let at = clock::after(self.store.clock.now(), self.backoff.after(claim.attempts + 1));
                warn!(
                    source = source.name,
                    file = file.name,
                    "cannot be taken, it stays there and is tried again: {error}"
                );
                self.finish(&claim, End::Failed { error, at }).await?;
                Ok(Fate::Failed)
            }
            Err(Stopped::Source(error, rest)) => {
                self.finish(&claim, End::Released).await?;
                Err(Ended::Source(error, rest))
            }
            Err(Stopped::Store(error)) => {
                // The database is full or locked: what cannot be noted now is rescued by its lease.
                let _ = self.finish(&claim, End::Released).await;
                Err(Ended::Store(error))
            }
        }
    }

    async fn finish(&self, claim: &FileClaim, end: End) -> Result<(), StoreError> {
        match self.store.finish_file(claim, &end).await {
            // Somebody took it over: what they do is as good.
            Err(StoreError::ClaimLost { .. }) => Ok(()),
            other => other,
        }
    }

    /// Downloads, checks, stores, then moves or deletes.
    async fn fetch(
        &self,
        source: &Source,
        connection: &Link,
        file: &RemoteFile,
        claim: &FileClaim,
    ) -> Result<Fate, Stopped> {
        let bytes = within(source, connection.read(&file.name, source.max_file_bytes)).await?;
        let after = within(source, connection.look(&file.name)).await?;
        let whole = after.size.is_none_or(|size| size == bytes.len() as u64);
        if !whole || after != *file {
            return Err(Stopped::Grows);
        }
        let fetched = sps::Fetched {
            source: source.name.clone(),
            directory: source.directory(),
            name: file.name.clone(),
            modified: file.modified,
            received_at: self.store.clock.now(),
            bytes: Bytes::from(bytes),
        };
        // Reading a large file takes its time, and nothing else waits for it.
        let verified =
            tokio::task::spawn_blocking(move || sps::file(&fetched)).await.map_err(|_panicked| StoreError::Panicked)?;
        let receipt = self.store.receive(verified, self.max_attempts, ())?.committed().await?;
        let event_id = receipt.event_id;
        // What took its place meanwhile is another file: it stays, and is taken by the next poll.
        let removed = match source.after {
            After::Leave => Ok(true),
            After::Delete => within(source, connection.delete(file)).await,
            After::Archive => within(source, connection.archive(file)).await,
        };
        let fate = if receipt.duplicate { Fate::Duplicate } else { Fate::Taken };
        match removed {
            Ok(_) | Err(Stopped::Grows) => {
                self.finish(claim, End::Done { event_id }).await?;
                Ok(fate)
            }
            Err(Stopped::File(error)) => {
                warn!(
                    source = source.name,
                    file = file.name,
                    event = event_id,
                    "is stored, but cannot be moved or deleted there: {error}; it will be found again and is known then"
                );
                let at = clock::after(self.store.clock.now(), self.backoff.after(claim.attempts + 1));
                self.finish(claim, End::Stored { event_id, error, at }).await?;
                Ok(Fate::Failed)
            }
            Err(other) => {
                // Whether it was removed is not known: it is an event, and the next poll sees.
                let at: Timestamp = self.store.clock.now();
                let error = "the connection was lost before it was moved or deleted".to_owned();
                self.finish(claim, End::Stored { event_id, error, at }).await?;
                Err(other)
            }
        }
    }
}

/// Why a poll ended early.
enum Ended {
    /// It is to be left alone for so long at least.
    Source(String, Duration),
    Store(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Trouble> for Ended {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Source(error) | Trouble::File(error) => Self::Source(error, Duration::ZERO),
            Trouble::Later(error, rest) => Self::Source(error, rest),
            Trouble::Gone => Self::Source("it is gone".to_owned(), Duration::ZERO),
        }
    }
}

impl From<Stopped> for Ended {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Source(error, rest) => Self::Source(error, rest),
            Stopped::File(error) => Self::Source(error, Duration::ZERO),
            Stopped::Store(error) => Self::Store(error),
            Stopped::Grows => Self::Source("it is gone".to_owned(), Duration::ZERO),
        }
    }
}

/// Why a file was not taken.
enum Stopped {
    /// It is written to, or somebody else has just taken it away.
    Grows,
    File(String),
    /// It is to be left alone for so long at least.
    Source(String, Duration),
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Source(error) => Self::Source(error, Duration::ZERO),
            Trouble::Later(error, rest) => Self::Source(error, rest),
            Trouble::File(error) => Self::File(error),
            Trouble::Gone => Self::Grows,
        }
    }
}

/// Within the source's time.
async fn within<T>(source: &Source, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Stopped> {
    match tokio::time::timeout(source.timeout, work).await {
        Ok(done) => Ok(done?),
        Err(_late) => {
            let said = format!("no answer within {:?} (sps.sources.timeout)", source.timeout);
            Err(Stopped::Source(said, Duration::ZERO))
        }
    }
}
