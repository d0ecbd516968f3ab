//! Claims due deliveries in the order of their events, sends them, and records how they ended.
//!
//! One dispatcher serves all destinations of its process. Each destination has a loop of its own, so that a slow or
//! dead destination delays no other. Several processes may run dispatchers on one file: `store::leases` decides which
//! delivery is whose, in which order, and whether a destination is down.
//!
//! A delivery that was in flight when a process died is sent while nothing else is sent to its destination.

use crate::backoff::Backoff;
use crate::byte_budget::{ByteBudget, ByteShare};
use crate::clock::{self, Timestamp};
use crate::delivery::destinations::{Destination, Destinations, OutboundEvent, SendResult};
use crate::delivery::rows_payload::{PayloadKind, build_rows_payload};
use crate::event::Source;
use crate::metrics::DeliveryAttemptEnd;
use crate::queue::lease::{self, HeldClaims};
use crate::queue::turns::AttemptTurns;
use crate::store::leases::LeaseOwner;
use crate::store::leases::begun::BegunRecord;
use crate::store::leases::deliveries::{DELIVERIES, DeliveryClaim, NewDelivery};
use crate::store::leases::delivery_outcomes::{BreakerChange, DeliveryOutcome};
use crate::store::{Store, StoreError};
use crate::text::format_count;
use crate::token_bucket::TokenBucket;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

/// How long a delivery's lease lasts; it is renewed while the delivery is in flight.
const LEASE_DURATION: Duration = Duration::from_mins(1);
/// The wait before the next statement after the database refused one.
const STORE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Settings of a dispatcher.
#[derive(Debug, Clone)]
pub struct DispatcherOptions {
    pub poll_interval: Duration,
    /// How long deliveries in flight may take after a stop.
    pub shutdown_grace: Duration,
    /// Most bytes of payload in flight, shared equally by the destinations, so that none waits for another. A payload
    /// that is larger than its destination's share is in flight alone there.
    pub max_delivery_bytes: u64,
}

/// The memory of one destination. Cheap to clone.
#[derive(Debug, Clone)]
struct DeliveryMemory {
    payloads: ByteBudget,
    /// The size of rows is known only after they were read, so one delivery reads them at a time.
    rows_turn: Arc<Mutex<()>>,
}

/// What the deliveries to one destination share. Cheap to clone.
#[derive(Debug, Clone)]
struct DestinationState {
    turns: AttemptTurns,
    memory: DeliveryMemory,
}

/// Sends due deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher {
    store: Store,
    destinations: Destinations,
    lease_owner: LeaseOwner,
    backoff: Backoff,
    options: DispatcherOptions,
    in_flight: HeldClaims<DeliveryClaim>,
    begun: BegunRecord,
}

/// Returns the deliveries that a completed event asks for.
#[must_use]
pub fn deliveries_for(
    destinations: &Destinations,
    source: Source,
    topic: &str,
    ordering_key: &str,
) -> Vec<NewDelivery> {
    let matching = destinations.iter().filter(|destination| destination.matches(source, topic));
    matching
        .map(|destination| NewDelivery {
            destination: destination.settings.name.clone(),
            ordering_key: ordering_key.to_owned(),
            max_attempts: destination.settings.max_attempts,
        })
        .collect()
}

impl Dispatcher {
    #[must_use]
    pub fn new(
        store: Store,
        destinations: Destinations,
        lease_owner: LeaseOwner,
        backoff: Backoff,
        options: DispatcherOptions,
    ) -> Self {
        let begun = BegunRecord::new(store.path(), &DELIVERIES, &lease_owner);
        let in_flight = HeldClaims::default();
        Self { store, destinations, lease_owner, backoff, options, in_flight, begun }
    }

    /// Delivers until `stop` turns true, then lets deliveries in flight finish.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let maintenance = tokio::spawn(self.clone().maintain_leases());
        let mut loops: JoinSet<()> = (0..self.destinations.len())
            .map(|index| {
                let (dispatcher, stop) = (self.clone(), stop.clone());
                async move { dispatcher.run_destination(&dispatcher.destinations[index], stop).await }
            })
            .collect();
        while loops.join_next().await.is_some() {}
        maintenance.abort();
        self.close_record();
    }

    /// Delivers until nothing is due, or `stop` turns true; a failed delivery waits for its next attempt. Returns the
    /// number of attempts.
    ///
    /// # Errors
    /// When nothing can be claimed.
    pub async fn drain(&self, stop: &watch::Receiver<bool>) -> Result<u64, StoreError> {
        lease::recover_leases(&self.store, &DELIVERIES, &self.lease_owner, &self.backoff).await?;
        let maintenance = tokio::spawn(self.clone().maintain_leases());
        // Side by side: a slow destination delays no other.
        let mut drains: JoinSet<Result<u64, StoreError>> = (0..self.destinations.len())
            .map(|index| {
                let (dispatcher, stop) = (self.clone(), stop.clone());
                async move { dispatcher.drain_destination(&dispatcher.destinations[index], &stop).await }
            })
            .collect();
        let mut attempts = 0;
        let mut result = Ok(());
        while let Some(drained) = drains.join_next().await {
            match drained.map_err(|_panic| StoreError::JobPanicked).flatten() {
                Ok(count) => attempts += count,
                Err(error) => result = Err(error),
            }
        }
        maintenance.abort();
        self.close_record();
        result.map(|()| attempts)
    }

    async fn maintain_leases(self) {
        let (store, owner, in_flight, backoff) = (self.store, self.lease_owner, self.in_flight, self.backoff);
        lease::maintain_leases(store, &DELIVERIES, owner, in_flight, LEASE_DURATION, backoff).await;
    }

    /// Removes the record of begun deliveries, unless claims are left that need it.
    fn close_record(&self) {
        if self.in_flight.is_empty() {
            self.begun.close();
        }
    }

    async fn drain_destination(
        &self,
        destination: &Destination,
        stop: &watch::Receiver<bool>,
    ) -> Result<u64, StoreError> {
        let (mut limiter, state) = (new_rate_limiter(destination), self.new_destination_state());
        let mut count = 0;
        while !*stop.borrow() {
            let available = limiter.available();
            if available == 0 {
                tokio::time::sleep(limiter.time_until_full()).await;
                continue;
            }
            let limit = (destination.settings.concurrency as usize).min(available);
            let claims = self.claim(destination, u32::try_from(limit).unwrap_or(1)).await?;
            if claims.is_empty() {
                break;
            }
            count += claims.len() as u64;
            limiter.take(claims.len());
            let mut attempts = JoinSet::new();
            self.spawn_attempts(destination, claims, &state, &mut attempts);
            let mut stopping = stop.clone();
            let is_stopping = tokio::select! {
                () = async { while attempts.join_next().await.is_some() {} } => false,
                _ = stopping.wait_for(|stop| *stop) => true,
            };
            if is_stopping {
                self.finish_in_flight(destination, attempts).await;
            }
        }
        Ok(count)
    }

    async fn run_destination(&self, destination: &Destination, mut stop: watch::Receiver<bool>) {
        let name = &destination.settings.name;
        let mut attempts: JoinSet<()> = JoinSet::new();
        let (concurrency, poll_interval) =
            (destination.settings.concurrency.max(1) as usize, self.options.poll_interval);
        let (mut limiter, state) = (new_rate_limiter(destination), self.new_destination_state());
        let mut attempts_ended = self.store.attempts_ended.subscribe();
        while !*stop.borrow() {
            attempts_ended.mark_unchanged();
            while attempts.try_join_next().is_some() {}
            let available = limiter.available();
            let free = (concurrency - attempts.len()).min(available);
            let mut wait = if available == 0 { limiter.time_until_full().min(poll_interval) } else { poll_interval };
            if free > 0 {
                match self.claim_due(destination, free).await {
                    Ok((claims, next)) => {
                        wait = wait.min(next);
                        limiter.take(claims.len());
                        self.spawn_attempts(destination, claims, &state, &mut attempts);
                    }
                    Err(error) => {
                        error!(destination = name, "deliveries to `{name}` cannot be claimed; they wait: {error}");
                        wait = STORE_RETRY_DELAY;
                    }
                }
            }
            tokio::select! {
                _ = attempts_ended.changed(), if free > 0 => {}
                Some(_) = attempts.join_next(), if !attempts.is_empty() => {}
                () = tokio::time::sleep(wait), if attempts.len() < concurrency => {}
                _ = stop.changed() => {}
            }
        }
        self.finish_in_flight(destination, attempts).await;
    }

    fn new_destination_state(&self) -> DestinationState {
        let share = self.options.max_delivery_bytes / self.destinations.len().max(1) as u64;
        let memory = DeliveryMemory { payloads: ByteBudget::new(share), rows_turn: Arc::default() };
        DestinationState { turns: AttemptTurns::default(), memory }
    }

    fn spawn_attempts(
        &self,
        destination: &Destination,
        claims: Vec<DeliveryClaim>,
        state: &DestinationState,
        attempts: &mut JoinSet<()>,
    ) {
        for claim in claims {
            let (dispatcher, destination, state) = (self.clone(), destination.clone(), state.clone());
            attempts.spawn(async move {
                let _turn = state.turns.enter(claim.deaths > 0).await;
                dispatcher.attempt_delivery(&destination, claim, &state.memory).await;
            });
        }
    }

    /// Lets deliveries in flight finish within the grace; cuts the others off and releases them.
    async fn finish_in_flight(&self, destination: &Destination, mut attempts: JoinSet<()>) {
        let all = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.shutdown_grace, all).await.is_ok() {
            return;
        }
        attempts.shutdown().await;
        let name = &destination.settings.name;
        let mut unfinished = self.in_flight.all();
        unfinished.retain(|claim| claim.destination == *name);
        warn!(
            destination = name,
            deliveries = unfinished.len(),
            "deliveries to `{name}` exceeded worker.grace and were cut off; they are sent again, under the same event id"
        );
        for claim in unfinished {
            // Once, because the process must stop. A lease that is not released is recovered after this process has
            // ended.
            let released = self.store.record_delivery_outcome(&claim, &DeliveryOutcome::Released, Duration::ZERO);
            match tokio::time::timeout(STORE_RETRY_DELAY, released).await {
                Ok(Ok(_)) => self.in_flight.remove(&claim),
                Ok(Err(_)) => {}
                Err(_elapsed) => return,
            }
        }
    }

    /// Claims what is due, and returns how long it is until the next delivery is due if nothing is.
    async fn claim_due(
        &self,
        destination: &Destination,
        free: usize,
    ) -> Result<(Vec<DeliveryClaim>, Duration), StoreError> {
        let now = self.store.clock.now();
        match self.store.next_delivery_due(&destination.settings.name)? {
            None => return Ok((Vec::new(), Duration::MAX)),
            Some(due) if due > now => return Ok((Vec::new(), clock::duration_between(now, due))),
            Some(_) => {}
        }
        Ok((self.claim(destination, u32::try_from(free).unwrap_or(u32::MAX)).await?, Duration::MAX))
    }

    async fn claim(&self, destination: &Destination, limit: u32) -> Result<Vec<DeliveryClaim>, StoreError> {
        let name = &destination.settings.name;
        self.begun.open();
        let claims = self.store.claim_deliveries(name, &self.lease_owner, limit, LEASE_DURATION).await?;
        self.in_flight.add(&claims);
        Ok(claims)
    }

    async fn attempt_delivery(&self, destination: &Destination, claim: DeliveryClaim, memory: &DeliveryMemory) {
        let has_rows = destination.settings.payload == PayloadKind::Rows;
        let rows_turn = if has_rows { Some(memory.rows_turn.lock().await) } else { None };
        // Meanwhile the lease is renewed. A death of the process during this wait does not count against the delivery.
        let body_share = memory.acquire(claim.body_bytes).await;
        let (started, _mark) = (Instant::now(), self.begun.begin(&claim));
        let result = match self.read_outbound_event(destination, &claim).await {
            Ok(Some(Ok(event))) => {
                let _share = if has_rows {
                    drop(body_share);
                    memory.acquire(event.body.len() as u64).await
                } else {
                    body_share
                };
                drop(rows_turn);
                let (sent_at, result) = (Instant::now(), destination.send(&event, self.store.clock.now()).await);
                self.record_attempt(&result, sent_at.elapsed());
                result
            }
            Ok(Some(Err(error))) => SendResult::Rejected { error },
            Ok(None) => {
                let error = "its body is gone: the event was redacted or pruned".to_owned();
                return self.complete_delivery(&claim, &DeliveryOutcome::Gone { error }, Duration::ZERO).await;
            }
            Err(error) => {
                warn!(event = claim.event.id, "the body of a delivery could not be read; it is read again: {error}");
                tokio::time::sleep(STORE_RETRY_DELAY).await;
                return self.complete_delivery(&claim, &DeliveryOutcome::Released, Duration::ZERO).await;
            }
        };
        let outcome = self.to_outcome(destination, &claim, result);
        self.complete_delivery(&claim, &outcome, started.elapsed()).await;
    }

    fn record_attempt(&self, result: &SendResult, elapsed: Duration) {
        let end = match result {
            SendResult::Delivered => DeliveryAttemptEnd::Delivered,
            SendResult::Rejected { .. } => DeliveryAttemptEnd::Rejected,
            SendResult::RetryLater { .. } | SendResult::Unavailable { .. } => DeliveryAttemptEnd::Retried,
        };
        self.store.metrics.delivery_attempts(end).increment();
        self.store.metrics.delivery_seconds.record_duration(elapsed);
    }

    /// Reads the payload of a delivery; None if the event was redacted or pruned. The inner error rejects the delivery.
    async fn read_outbound_event(
        &self,
        destination: &Destination,
        claim: &DeliveryClaim,
    ) -> Result<Option<Result<OutboundEvent, String>>, StoreError> {
        let id = claim.event.id;
        let (body, notice) = match self.store.read_payload(id)? {
            Some(payload) => (payload.body, None),
            None => match self.store.redaction_notice(id)? {
                Some(notice) => (notice.clone().into_bytes(), Some(notice)),
                None => return Ok(None),
            },
        };
        let event = OutboundEvent::new(claim.event.clone(), claim.attempt, body);
        if destination.settings.payload == PayloadKind::Body {
            return Ok(Some(Ok(event)));
        }
        // A large order has many rows; reading them must not hold a thread of the network.
        let store = self.store.clone();
        let read = tokio::task::spawn_blocking(move || build_rows_payload(&store, id, notice.as_deref()));
        let rows = read.await.map_err(|_panic| StoreError::JobPanicked)??;
        Ok(Some(rows.map(|rows| event.with_rows(rows))))
    }

    /// A destination may ask for a later attempt, but not for an earlier one than the backoff: `Retry-After: 0` uses up
    /// no attempts.
    fn to_outcome(&self, destination: &Destination, claim: &DeliveryClaim, result: SendResult) -> DeliveryOutcome {
        let backoff = clock::add_duration(self.store.clock.now(), self.backoff.delay_after(claim.attempt));
        let retry_at = |requested: Option<Timestamp>| requested.map_or(backoff, |at| at.max(backoff));
        match result {
            SendResult::Delivered => DeliveryOutcome::Delivered,
            SendResult::Rejected { error } => DeliveryOutcome::Rejected { error },
            SendResult::RetryLater { error, retry_at: requested } => {
                DeliveryOutcome::RetryLater { error, retry_at: retry_at(requested), is_requested: requested.is_some() }
            }
            SendResult::Unavailable { error, cause, retry_at: requested } => DeliveryOutcome::Unavailable {
                error,
                cause,
                retry_at: retry_at(requested),
                is_requested: requested.is_some(),
                breaker: destination.settings.breaker,
            },
        }
    }

    async fn complete_delivery(&self, claim: &DeliveryClaim, outcome: &DeliveryOutcome, elapsed: Duration) {
        self.write_outcome(claim, outcome, elapsed).await;
        self.in_flight.remove(claim);
    }

    /// Records an outcome, again and again until it is recorded or the lease is lost.
    async fn write_outcome(&self, claim: &DeliveryClaim, outcome: &DeliveryOutcome, elapsed: Duration) {
        loop {
            match self.store.record_delivery_outcome(claim, outcome, elapsed).await {
                Ok(change) => return log_delivery_outcome(claim, outcome, change),
                Err(StoreError::ClaimLost { .. }) => {
                    return warn!(
                        event = claim.event.id,
                        destination = claim.destination,
                        "the lease of a delivery was lost while it was in flight; the event may arrive twice, under one event id"
                    );
                }
                Err(StoreError::ShuttingDown) => return,
                Err(error) => {
                    warn!(
                        event = claim.event.id,
                        "the outcome of a delivery could not be stored; it is stored again: {error}"
                    );
                    tokio::time::sleep(STORE_RETRY_DELAY).await;
                }
            }
        }
    }
}

impl DeliveryMemory {
    /// Waits for the memory of a payload.
    async fn acquire(&self, bytes: u64) -> ByteShare {
        self.payloads.acquire(bytes).await.expect("nothing closes the budget of a destination")
    }
}

/// Returns the limiter of a destination: bursts of a twentieth of a second, so that one claim brings several deliveries
/// where the rate allows it.
fn new_rate_limiter(destination: &Destination) -> TokenBucket {
    let rate = destination.settings.rate_per_second;
    TokenBucket::new(rate / 20, rate)
}

fn log_delivery_outcome(claim: &DeliveryClaim, outcome: &DeliveryOutcome, change: BreakerChange) {
    // The destination's own words stay in the database: they may hold a customer's data.
    let (event, destination, attempt) = (claim.event.id, &claim.destination, claim.attempt);
    match outcome {
        DeliveryOutcome::Delivered => debug!(event, destination, attempt, "event {event} delivered to `{destination}`"),
        DeliveryOutcome::Rejected { .. } => error!(
            event,
            destination,
            attempt,
            "destination `{destination}` rejected event {event} for good; `SELECT * FROM destination_failures` has its answer"
        ),
        DeliveryOutcome::Unavailable { .. } | DeliveryOutcome::RetryLater { .. } => warn!(
            event,
            destination,
            attempt,
            "event {event} not delivered to `{destination}`; `SELECT * FROM destination_queue` has the error and the next attempt"
        ),
        DeliveryOutcome::Gone { .. } => {
            info!(event, destination, "event {event} not delivered to `{destination}`: it was redacted or pruned");
        }
        DeliveryOutcome::Released => {}
    }
    match change {
        BreakerChange::Unchanged => {}
        BreakerChange::Opened { next_probe_at } => warn!(
            destination,
            "destination `{destination}` is down; its events wait, next probe at {}",
            clock::format_timestamp(next_probe_at)
        ),
        BreakerChange::Closed { waiting } => {
            let events = format_count(waiting, "queued event", "queued events");
            info!(destination, waiting, "destination `{destination}` recovered; delivering {events}");
        }
    }
}
