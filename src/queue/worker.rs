//! Claiming events and attempting them.
//!
//! A worker claims as many due events as it may hold, attempts a few at a time, and writes each outcome with the attempt's
//! changes in one transaction. It is woken by the writer the moment something is committed; it looks by itself every
//! [`WorkerOptions::poll`] for what another process brought, and when the next event is due.

use super::backoff::Backoff;
use super::courier;
use super::keeper::{self, Held};
use crate::clock;
use crate::destinations::{Destination, Destinations};
use crate::handlers::unhandled::subjects_of;
use crate::handlers::{Event, Routes, Trouble};
use crate::store::claims::{Claim, Holder, Outcome};
use crate::store::erasure::is_erased;
use crate::store::outgoing::SEND;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Most events held at once; claimed together.
    pub batch: u32,
    /// Handlers that run at once.
    pub concurrency: usize,
    /// How long a claim stands without being renewed, and just so how long a handler may run: it is renewed every third
    /// of it, so a lease cannot end before its handler.
    pub lease: Duration,
    /// How often to look for what another process stored.
    pub poll: Duration,
    /// How long handlers may go on after the worker was told to stop.
    pub grace: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            batch: 32,
            concurrency: 4,
            lease: Duration::from_mins(5),
            poll: Duration::from_secs(1),
            grace: Duration::from_secs(20),
        }
    }
}

/// The wait before an outcome that could not be written is written again: from here, doubling, to [`REWRITE_MAX`].
const REWRITE_MIN: Duration = Duration::from_millis(100);
const REWRITE_MAX: Duration = Duration::from_secs(5);

/// How long a worker that stops tries to give back what it holds.
const RELEASE: Duration = Duration::from_secs(5);

/// The wait before claiming again after it failed, whatever the poll is set to.
const RECLAIM: Duration = Duration::from_secs(1);

/// One worker of the queue. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    store: Store,
    routes: Arc<Routes>,
    destinations: Destinations,
    holder: Holder,
    backoff: Backoff,
    options: WorkerOptions,
    slots: Arc<Semaphore>,
    held: Held,
}

impl Worker {
    #[must_use]
    pub fn new(store: Store, routes: Routes, holder: Holder, backoff: Backoff, options: WorkerOptions) -> Self {
        let slots = Arc::new(Semaphore::new(options.concurrency.max(1)));
        Self {
            store,
            routes: Arc::new(routes),
            destinations: Destinations::default(),
            holder,
            backoff,
            options,
            slots,
            held: Held::default(),
        }
    }

    /// The same, with the destinations that completed events are handed on to.
    #[must_use]
    pub fn with_destinations(self, destinations: Destinations) -> Self {
        Self { destinations, ..self }
    }

    /// Works until `stop` turns true, then lets handlers finish and gives back what was not begun.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let keeper =
            tokio::spawn(keeper::run(self.store.clone(), self.holder.clone(), self.held.clone(), self.options.lease));
        let mut attempts = JoinSet::new();
        let batch = self.options.batch.max(1) as usize;
        while !*stop.borrow() {
            while attempts.try_join_next().is_some() {}
            let mut wait = self.options.poll;
            // Half empty before it claims again: claims come in batches and share their commits.
            if attempts.len() <= batch / 2 {
                match self.claim(batch - attempts.len()).await {
                    Ok((claims, next)) => {
                        wait = wait.min(next);
                        for claim in claims {
                            attempts.spawn(self.clone().attempt(claim));
                        }
                    }
                    Err(error) => {
                        error!("no events can be claimed, they wait: {error}");
                        wait = wait.min(RECLAIM);
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
        self.finish_all(attempts).await;
        keeper.abort();
    }

    /// Works what is due until nothing is, or `stop` turns true; gives how many attempts were begun.
    ///
    /// # Errors
    /// When nothing can be claimed.
    pub async fn drain(self, mut stop: watch::Receiver<bool>) -> Result<u64, StoreError> {
        keeper::rescue(&self.store, &self.holder).await?;
        let keeper =
            tokio::spawn(keeper::run(self.store.clone(), self.holder.clone(), self.held.clone(), self.options.lease));
        let mut made = 0;
        let result = loop {
            let mut attempts = match self.begin().await {
                Ok(attempts) if attempts.is_empty() => break Ok(made),
                Ok(attempts) => attempts,
                Err(error) => break Err(error),
            };
            made += attempts.len() as u64;
            let stopped = tokio::select! {
                () = async { while attempts.join_next().await.is_some() {} } => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            if stopped || *stop.borrow() {
                self.finish_all(attempts).await;
                break Ok(made);
            }
        };
        keeper.abort();
        keeper::scrub(&self.store).await;
        result
    }

    /// Claims one batch of what is due now and attempts all of it; gives how many.
    ///
    /// # Errors
    /// When nothing can be claimed.
    pub async fn once(&self) -> Result<u64, StoreError> {
        let mut attempts = self.begin().await?;
        let made = attempts.len() as u64;
        while attempts.join_next().await.is_some() {}
        Ok(made)
    }

    /// Claims one batch and begins its attempts.
    async fn begin(&self) -> Result<JoinSet<()>, StoreError> {
        let (claims, _) = self.claim(self.options.batch.max(1) as usize).await?;
        Ok(claims.into_iter().map(|claim| self.clone().attempt(claim)).collect())
    }

    /// Claims up to `limit` events, and says how long it is until the next one is due if there were fewer.
    async fn claim(&self, limit: usize) -> Result<(Vec<Claim>, Duration), StoreError> {
        // An idle worker only reads: it takes no lock that a delivery would wait for.
        let now = self.store.clock.now();
        match self.store.next_due()? {
            None => return Ok((Vec::new(), Duration::MAX)),
            Some(due) if due > now => return Ok((Vec::new(), clock::between(now, due))),
            Some(_) => {}
        }
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let claims = self.store.claim(&self.holder, limit, self.options.lease).await?;
        self.held.add(&claims);
        Ok((claims, Duration::ZERO))
    }

    /// One attempt, from its claim to its written outcome.
    async fn attempt(self, claim: Claim) {
        let (outcome, ran) = match self.slots.acquire().await {
            Ok(_slot) => {
                let started = Instant::now();
                (self.handle(&claim).await, started.elapsed())
            }
            // Closed: the worker was told to stop before this one began.
            Err(_) => (Outcome::Released, Duration::ZERO),
        };
        self.write(&claim, outcome, ran).await;
        self.held.remove(&claim);
    }

    async fn handle(&self, claim: &Claim) -> Outcome {
        let (routes, store, mine, destinations) =
            (self.routes.clone(), self.store.clone(), claim.clone(), self.destinations.clone());
        // Handlers compute; a thread of their own keeps them from holding up deliveries.
        let plan = tokio::task::spawn_blocking(move || plan(&routes, &destinations, &store, &mine));
        let error = match tokio::time::timeout(self.options.lease, plan).await {
            Ok(Ok(Ok(outcome))) => match self.erase(claim, &outcome).await {
                Ok(()) => return outcome,
                Err(error) => format!("what is to be erased is not all erased yet: {error}"),
            },
            Ok(Ok(Err(Trouble::Permanent(error)))) => return self.failed(claim, error),
            Ok(Ok(Err(Trouble::Rejected { error, done }))) => {
                return Outcome::Failed { error, changes: done.changes, subjects: done.subjects };
            }
            Ok(Ok(Err(Trouble::RetryAt(error, at)))) => return Outcome::Again { error, at },
            Ok(Ok(Err(Trouble::Retry(error)))) => error,
            Ok(Err(_panicked)) => "the handler panicked; the log has the place".to_owned(),
            Err(_late) => format!("the handler ran longer than worker.lease ({} s)", self.options.lease.as_secs()),
        };
        let at = clock::after(self.store.clock.now(), self.backoff.after(claim.attempt));
        Outcome::Again { error, at }
    }

    /// An event that fails for good is still about somebody: it is found, and erased, by what its body names.
    fn failed(&self, claim: &Claim, error: String) -> Outcome {
        let body = self.store.payload(claim.event_id).ok().flatten().map(|payload| payload.body).unwrap_or_default();
        Outcome::Failed { error, changes: Vec::new(), subjects: subjects_of(&claim.source, &claim.topic, &body) }
    }

    /// Does the erasing that an event asks for, before the event is completed: what a crash interrupts is done again.
    async fn erase(&self, claim: &Claim, outcome: &Outcome) -> Result<(), StoreError> {
        let Outcome::Completed { erase: Some(erasure), .. } = outcome else { return Ok(()) };
        let events = self.store.erase(claim.event_id, &claim.shop_domain, erasure).await?;
        info!(event = claim.event_id, events, "erased, as Shopify asked");
        Ok(())
    }

    /// Writes an outcome, and again until it is written or somebody else holds the event.
    async fn write(&self, claim: &Claim, outcome: Outcome, ran: Duration) {
        let mut outcome = Arc::new(outcome);
        let mut wait = REWRITE_MIN;
        loop {
            match self.store.finish(claim, &outcome, ran).await {
                Ok(()) => {
                    if !self.destinations.is_empty() {
                        self.store.worked.send_modify(|count| *count = count.wrapping_add(1));
                    }
                    return report(claim, &outcome, ran);
                }
                Err(StoreError::ClaimLost { .. }) => {
                    return warn!(
                        event = claim.event_id,
                        attempt = claim.attempt,
                        "the claim was taken over while the handler ran; its result was not written"
                    );
                }
                Err(StoreError::ShuttingDown) => {
                    return error!(
                        event = claim.event_id,
                        "not finished: the store is closed; it is rescued at the next start"
                    );
                }
                // The database refuses this very change: written again it would be refused again.
                Err(error @ (StoreError::Sqlite(_) | StoreError::Panicked)) if changes(&outcome) => {
                    let at = clock::after(self.store.clock.now(), self.backoff.after(claim.attempt));
                    outcome = Arc::new(Outcome::Again { error: error.to_string(), at });
                }
                Err(error) => {
                    warn!(event = claim.event_id, "the outcome could not be written, trying again: {error}");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(REWRITE_MAX);
                }
            }
        }
    }

    async fn finish_all(&self, mut attempts: JoinSet<()>) {
        self.slots.close();
        let all = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.grace, all).await.is_ok() {
            return;
        }
        attempts.shutdown().await;
        let left = self.held.all();
        warn!(events = left.len(), "handlers ran on after worker.grace; their events are given back");
        // Once: who stops must stop. A claim that cannot be given back is taken over when its process is gone.
        match tokio::time::timeout(RELEASE, self.store.release(left)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("their events are not given back but rescued at the next start: {error}"),
            Err(_late) => {
                warn!("their events are not given back but rescued at the next start: the database is locked");
            }
        }
    }
}

fn plan(routes: &Routes, destinations: &Destinations, store: &Store, claim: &Claim) -> Result<Outcome, Trouble> {
    let payload = match store.payload(claim.event_id) {
        Ok(Some(payload)) => payload,
        Ok(None) if store.reader.read(|connection| is_erased(connection, claim.event_id)).unwrap_or(false) => {
            let note = Some("erased, as Shopify asked, before it was worked".to_owned());
            return Ok(Outcome::Completed {
                changes: Vec::new(),
                subjects: Vec::new(),
                orders: Vec::new(),
                note,
                erase: None,
            });
        }
        Ok(None) => return Err(Trouble::Permanent("its payload is gone: it was pruned".to_owned())),
        Err(error) => return Err(Trouble::Retry(format!("its payload could not be read: {error}"))),
    };
    let event = Event {
        id: claim.event_id,
        source: &claim.source,
        shop_domain: &claim.shop_domain,
        topic: &claim.topic,
        received_at: claim.received_at,
        triggered_at: claim.triggered_at.as_deref(),
        body_hash: payload.body_hash,
        body: &payload.body,
    };
    let has_way_out = destinations.iter().any(Destination::is_outgoing);
    if claim.topic.starts_with(SEND) && !has_way_out {
        let said = "nothing carries it to the partner: sps.outgoing is not configured (any more) for the process that works this";
        return Err(Trouble::Retry(said.to_owned()));
    }
    let mut planned = routes.find(&claim.source, &claim.topic).plan(&event);
    // Without a way out nothing is answered.
    if !has_way_out {
        match &mut planned {
            Ok(done) => done.unanswered(),
            Err(Trouble::Rejected { done, .. }) => done.unanswered(),
            Err(_) => {}
        }
    }
    let done = planned?;
    let key = done.ordering_key(&claim.shop_domain);
    let orders = courier::orders(destinations, &claim.source, &claim.topic, &key);
    Ok(Outcome::Completed {
        changes: done.changes,
        subjects: done.subjects,
        orders,
        note: done.note,
        erase: done.erase,
    })
}

fn changes(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Completed { changes, .. } | Outcome::Failed { changes, .. } if !changes.is_empty())
}

fn report(claim: &Claim, outcome: &Outcome, ran: Duration) {
    let (event, attempt, ran_ms) = (claim.event_id, claim.attempt, ran.as_millis());
    match outcome {
        Outcome::Completed { .. } => debug!(event, attempt, ran_ms, "completed"),
        Outcome::Failed { error, .. } => {
            error!(event, attempt, "failed for good: {error}. `novex-ingest events show {event}`");
        }
        Outcome::Again { error, .. } if attempt >= claim.max_attempts => {
            error!(event, attempt, "failed, that was the last attempt: {error}. `novex-ingest events retry {event}`");
        }
        Outcome::Again { error, at } => {
            warn!(event, attempt, next_attempt_at = clock::text(*at), "attempt failed: {error}");
        }
        Outcome::Released => info!(event, "given back, its attempt does not count"),
    }
}
