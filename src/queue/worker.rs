//! Claims due events, runs their handlers, and records the outcomes.
//!
//! A worker claims up to [`WorkerOptions::batch_size`] due events and attempts a few of them at a time. It writes each
//! outcome and the changes of the attempt in one transaction. The writer wakes the worker as soon as an event is
//! committed. The worker also looks for events when the next one is due, and every [`WorkerOptions::poll_interval`] for
//! those that another process stored.
//!
//! An event that was in work when a process died is a suspect: it is claimed alone, and its handler runs alone.

use crate::backoff::Backoff;
use crate::byte_budget::{ByteBudget, ByteShare};
use crate::changes::privacy::RequestHold;
use crate::clock;
use crate::clock::Timestamp;
use crate::queue::lease;
use crate::queue::lease::HeldClaims;
use crate::queue::turns::AttemptTurns;
use crate::store::leases::LeaseOwner;
use crate::store::leases::begun::BegunRecord;
use crate::store::leases::event_outcomes::Outcome;
use crate::store::leases::events::{EVENTS, EventClaim};
use crate::store::{Store, StoreError};
use crate::text::format_count;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, error, info, warn};

/// Settings of a worker.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Most events that the worker has claimed at once; it claims them together.
    pub batch_size: u32,
    /// Most handlers that run at once.
    pub concurrency: usize,
    /// Most bytes that attempts hold at once, from the body to the written outcome. An event takes
    /// [`HANDLER_BYTES_PER_BODY_BYTE`] for each byte of its body; one that needs more than all of them runs alone.
    pub max_handler_bytes: u64,
    /// How long a lease lasts without renewal, and the longest time that a handler may run. The worker renews a lease
    /// after each third of this time, so that a lease cannot expire before its handler ends.
    pub lease_duration: Duration,
    /// How often the worker looks for events that another process stored.
    pub poll_interval: Duration,
    /// How long handlers may continue after a stop.
    pub shutdown_grace: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            batch_size: 32,
            concurrency: 4,
            max_handler_bytes: 256 << 20,
            lease_duration: Duration::from_mins(5),
            poll_interval: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

/// First wait before the worker writes an outcome again that the store could not write; it doubles up to
/// [`OUTCOME_RETRY_DELAY_MAX`].
const OUTCOME_RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const OUTCOME_RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// Most memory that an attempt uses for each byte of a body: the body, the parsed body, and the changes. JSON of many
/// small values such as `[0],[0]` needs as much; an order needs a fourth of it.
pub const HANDLER_BYTES_PER_BODY_BYTE: u64 = 16;

/// How long a stopping worker tries to release its claims.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait before the worker claims again after a claim failed, also if the poll interval is longer.
const CLAIM_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Runs one attempt at an event. A worker knows nothing else about the meaning of events.
pub trait ProcessEvent: Send + Sync + 'static {
    /// Runs the event's handler and returns the outcome to write, or [`RetryAttempt`] if a later attempt may succeed.
    /// Blocks; the worker calls it on a blocking thread.
    fn run_handler(&self, claim: &EventClaim) -> Result<Outcome, RetryAttempt>;

    /// Returns the work that must be durable before the worker writes `outcome`, or `None` if there is none. A crash
    /// between the two repeats the work.
    fn prepare_completion<'a>(&'a self, claim: &'a EventClaim, outcome: &'a Outcome) -> Option<Preparation<'a>>;
}

/// Work before an outcome is written.
pub type Preparation<'a> = Pin<Box<dyn Future<Output = Result<(), RetryAttempt>> + Send + 'a>>;

/// Why an attempt did not complete its event, and when the next attempt is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryAttempt {
    pub error: String,
    /// `None`: the worker's backoff decides.
    pub retry_at: Option<Timestamp>,
}

/// A worker of the queue. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    store: Store,
    processor: Arc<dyn ProcessEvent>,
    lease_owner: LeaseOwner,
    backoff: Backoff,
    options: WorkerOptions,
    slots: Arc<Semaphore>,
    memory: ByteBudget,
    held_claims: HeldClaims<EventClaim>,
    turns: AttemptTurns,
    begun: BegunRecord,
}

impl Worker {
    #[must_use]
    pub fn new(
        store: Store,
        processor: Arc<dyn ProcessEvent>,
        lease_owner: LeaseOwner,
        backoff: Backoff,
        options: WorkerOptions,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(options.concurrency.max(1)));
        let memory = ByteBudget::new(options.max_handler_bytes);
        let begun = BegunRecord::new(store.path(), &EVENTS, &lease_owner);
        Self {
            store,
            processor,
            lease_owner,
            backoff,
            options,
            slots,
            memory,
            held_claims: HeldClaims::default(),
            turns: AttemptTurns::default(),
            begun,
        }
    }

    /// Processes events until `stop` turns true, then lets running handlers finish and releases the other claims.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let maintenance = self.spawn_lease_maintenance();
        let mut attempts = JoinSet::new();
        let batch = self.options.batch_size.max(1) as usize;
        while !*stop.borrow() {
            while attempts.try_join_next().is_some() {}
            let mut wait = self.options.poll_interval;
            // The worker claims again when half of its batch is free: claims in batches share their commits.
            // Beside a suspect event it claims none: what it claims would only wait.
            if attempts.len() <= batch / 2 && !self.held_claims.any(is_suspect) {
                match self.claim_due(batch - attempts.len()).await {
                    Ok((claims, next)) => {
                        wait = wait.min(next);
                        for claim in claims {
                            attempts.spawn(self.clone().process_event(claim));
                        }
                    }
                    Err(error) => {
                        error!("the worker cannot claim events; due events wait until a claim succeeds: {error}");
                        wait = wait.min(CLAIM_RETRY_DELAY);
                    }
                }
            }
            tokio::select! {
                () = self.store.writer.work_arrived().notified(), if attempts.len() <= batch / 2 => {}
                Some(_) = attempts.join_next(), if !attempts.is_empty() => {}
                () = tokio::time::sleep(wait), if attempts.len() <= batch / 2 => {}
                _ = stop.changed() => {}
            }
        }
        self.finish_attempts(attempts).await;
        maintenance.abort();
        self.close_record();
    }

    /// Processes due events until there is none, or `stop` turns true. Returns the number of attempts that were
    /// started, or an error if the worker cannot claim events.
    pub async fn drain(self, mut stop: watch::Receiver<bool>) -> Result<u64, StoreError> {
        lease::recover_leases(&self.store, &EVENTS, &self.lease_owner, &self.backoff).await?;
        let maintenance = self.spawn_lease_maintenance();
        let mut started = 0;
        let result = loop {
            let mut attempts = match self.start_batch().await {
                Ok(attempts) if attempts.is_empty() => break Ok(started),
                Ok(attempts) => attempts,
                Err(error) => break Err(error),
            };
            started += attempts.len() as u64;
            let is_stopping = tokio::select! {
                () = async { while attempts.join_next().await.is_some() {} } => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            if is_stopping || *stop.borrow() {
                self.finish_attempts(attempts).await;
                break Ok(started);
            }
        };
        maintenance.abort();
        self.close_record();
        result
    }

    /// Claims one batch of due events, attempts each of them once, and returns their number.
    pub async fn process_batch(&self) -> Result<u64, StoreError> {
        let mut attempts = self.start_batch().await?;
        let started = attempts.len() as u64;
        while attempts.join_next().await.is_some() {}
        Ok(started)
    }

    fn spawn_lease_maintenance(&self) -> JoinHandle<()> {
        tokio::spawn(lease::maintain_leases(
            self.store.clone(),
            &EVENTS,
            self.lease_owner.clone(),
            self.held_claims.clone(),
            self.options.lease_duration,
            self.backoff.clone(),
        ))
    }

    /// Removes the record of begun attempts, unless claims are left that need it.
    fn close_record(&self) {
        if self.held_claims.is_empty() {
            self.begun.close();
        }
    }

    /// Claims one batch of due events and starts their attempts.
    async fn start_batch(&self) -> Result<JoinSet<()>, StoreError> {
        let (claims, _) = self.claim_due(self.options.batch_size.max(1) as usize).await?;
        Ok(claims.into_iter().map(|claim| self.clone().process_event(claim)).collect())
    }

    /// Claims up to `limit` due events. If none is due, returns the time until the next one is.
    async fn claim_due(&self, limit: usize) -> Result<(Vec<EventClaim>, Duration), StoreError> {
        // An idle worker only reads: it locks nothing that an incoming webhook would wait for.
        let now = self.store.clock.now();
        match self.store.next_event_due()? {
            None => return Ok((Vec::new(), Duration::MAX)),
            Some(due) if due > now => return Ok((Vec::new(), clock::duration_between(now, due))),
            Some(_) => {}
        }
        self.begun.open();
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let claims = self.store.claim_events(&self.lease_owner, limit, self.options.lease_duration).await?;
        self.held_claims.add(&claims);
        Ok((claims, Duration::ZERO))
    }

    /// Attempts one claimed event and records the outcome.
    async fn process_event(self, claim: EventClaim) {
        // The turn comes first: an attempt that waits for it must not keep a slot from the attempt that has it. Turn
        // and mark last until the outcome is written, because writing it can be what kills the process.
        let _turn = self.turns.enter(is_suspect(&claim)).await;
        let (outcome, elapsed, _held) = match self.wait_for_capacity(&claim).await {
            Some((slot, share)) => {
                let (started_at, mark) = (Instant::now(), self.begun.begin(&claim));
                let outcome = self.run_handler(&claim).await;
                drop(slot);
                let elapsed = started_at.elapsed();
                self.store.metrics.handler_seconds(claim.event.key.source).record_duration(elapsed);
                (outcome, elapsed, Some((share, mark)))
            }
            // The worker was stopped before this attempt started.
            None => (Outcome::Released, Duration::ZERO, None),
        };
        self.write_outcome(&claim, outcome, elapsed).await;
        self.held_claims.remove(&claim);
    }

    /// Waits until this attempt may run and load its body. Meanwhile the worker renews its lease. Returns `None` if the
    /// worker stops.
    async fn wait_for_capacity(&self, claim: &EventClaim) -> Option<(SemaphorePermit<'_>, ByteShare)> {
        let slot = self.slots.acquire().await.ok()?;
        let share = self.memory.acquire(claim.body_bytes.saturating_mul(HANDLER_BYTES_PER_BODY_BYTE)).await?;
        Some((slot, share))
    }

    async fn run_handler(&self, claim: &EventClaim) -> Outcome {
        match self.run_processor(claim).await {
            Ok(outcome) => outcome,
            Err(RetryAttempt { error, retry_at }) => {
                Outcome::Retry { error, retry_at: retry_at.unwrap_or_else(|| self.next_attempt_at(claim)) }
            }
        }
    }

    fn next_attempt_at(&self, claim: &EventClaim) -> Timestamp {
        clock::add_duration(self.store.clock.now(), self.backoff.delay_after(claim.attempt))
    }

    async fn run_processor(&self, claim: &EventClaim) -> Result<Outcome, RetryAttempt> {
        let retry = |error: String| RetryAttempt { error, retry_at: None };
        // Handlers compute: on a blocking thread they do not delay deliveries.
        let (processor, event_claim) = (self.processor.clone(), claim.clone());
        let handler = tokio::task::spawn_blocking(move || processor.run_handler(&event_claim));
        let Ok(result) = tokio::time::timeout(self.options.lease_duration, handler).await else {
            return Err(retry(format!(
                "the handler ran longer than worker.lease ({} s)",
                self.options.lease_duration.as_secs()
            )));
        };
        let outcome = result.map_err(|_panic| retry("the handler panicked; the log has the place".to_owned()))??;
        if let Some(preparation) = self.processor.prepare_completion(claim, &outcome) {
            preparation.await?;
        }
        Ok(outcome)
    }

    /// Writes an outcome, again and again until it is written or the lease is lost.
    async fn write_outcome(&self, claim: &EventClaim, outcome: Outcome, elapsed: Duration) {
        let event = claim.event.id;
        let backoff = Backoff::doubling(OUTCOME_RETRY_DELAY_MIN, OUTCOME_RETRY_DELAY_MAX);
        let mut outcome = Arc::new(outcome);
        let mut failures = 0;
        loop {
            match self.store.record_outcome(claim, &outcome, elapsed).await {
                Ok(()) => {
                    self.store.attempts_ended.send_modify(|count| *count = count.wrapping_add(1));
                    return log_event_outcome(claim, &outcome, elapsed);
                }
                Err(StoreError::ClaimLost { .. }) => {
                    return warn!(
                        event,
                        attempt = claim.attempt,
                        "the lease of event {event} was lost while its handler ran; the outcome was not written, \
                         because another worker recovered the event"
                    );
                }
                Err(StoreError::ShuttingDown) => {
                    return error!(
                        event,
                        "the outcome of event {event} was not written, because the store is closed; the next start \
                         recovers the event and processes it again"
                    );
                }
                // The database refused these changes and would refuse them again.
                Err(error @ (StoreError::Sqlite(_) | StoreError::JobPanicked)) if has_changes(&outcome) => {
                    let retry_at = self.next_attempt_at(claim);
                    outcome = Arc::new(Outcome::Retry { error: error.to_string(), retry_at });
                }
                Err(error) => {
                    warn!(event, "the outcome of event {event} could not be written; it is written again: {error}");
                    failures += 1;
                    tokio::time::sleep(backoff.delay_after(failures)).await;
                }
            }
        }
    }

    /// Lets running attempts finish within the grace; cuts the others off and releases their claims.
    async fn finish_attempts(&self, mut attempts: JoinSet<()>) {
        self.slots.close();
        self.memory.close();
        let all = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.shutdown_grace, all).await.is_ok() {
            return;
        }
        attempts.shutdown().await;
        let unfinished = self.held_claims.all();
        let count = unfinished.len();
        let events = format_count(count, "event", "events");
        warn!(events = count, "the handlers of {events} exceeded worker.grace; their claims are released");
        // Once, because the process must stop. A claim that is not released is recovered after this process has ended.
        let error = match tokio::time::timeout(RELEASE_TIMEOUT, self.store.release_claims(unfinished.clone())).await {
            Ok(Ok(())) => return unfinished.iter().for_each(|claim| self.held_claims.remove(claim)),
            Ok(Err(error)) => error.to_string(),
            Err(_elapsed) => "the database is locked".to_owned(),
        };
        warn!(
            events = count,
            "the claims of {events} could not be released; the next start recovers them, and their \
             attempts do not count: {error}"
        );
    }
}

/// Returns true if a process died while this event's handler ran: the handler may have killed it.
fn is_suspect(claim: &EventClaim) -> bool {
    claim.deaths > 0
}

fn has_changes(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Completed { changes, .. } | Outcome::Failed { changes, .. } if !changes.is_empty())
}

fn log_event_outcome(claim: &EventClaim, outcome: &Outcome, elapsed: Duration) {
    let (event, attempt, duration_ms) = (claim.event.id, claim.attempt, elapsed.as_millis());
    let attempts = format_count(attempt, "attempt", "attempts");
    match outcome {
        Outcome::Completed { .. } => debug!(event, attempt, duration_ms, "event {event} completed"),
        Outcome::Failed { error, .. } => error!(
            event,
            attempt, "event {event} failed for good after {attempts}: {error}; `novex-ingest events show {event}`"
        ),
        Outcome::Retry { error, .. } if attempt >= claim.max_attempts => error!(
            event,
            attempt,
            "event {event} failed for good after {attempt} {attempts}: {error}; \
             `novex-ingest events retry {event}` gives it new attempts"
        ),
        Outcome::Retry { error, retry_at } => {
            let next_attempt_at = clock::format_timestamp(*retry_at);
            warn!(
                event,
                attempt,
                next_attempt_at,
                "attempt {attempt} of event {event} failed; next attempt at {next_attempt_at}: {error}"
            );
        }
        Outcome::Held { hold: RequestHold::Waiting { until }, .. } => {
            let (topic, shop, until) =
                (&claim.event.key.topic, &claim.event.key.shop_domain, clock::format_timestamp(*until));
            warn!(
                event,
                until,
                "event {event} ({topic}) asks to erase data of {shop}; the worker erases it at {until}. \
                 `novex-ingest privacy stop {event} --reason TEXT` stops it"
            );
        }
        Outcome::Held { hold: RequestHold::Refused { error }, .. } => {
            error!(event, attempt, "event {event} was refused: {error}");
        }
        Outcome::Released => info!(event, "event {event} released; the attempt does not count"),
    }
}
