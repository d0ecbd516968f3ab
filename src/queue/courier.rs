//! Handing events on: claims deliveries in the order of their events, makes them, writes what became of them.
//!
//! One courier serves all destinations of its process; each destination has a loop of its own, so that a slow or dead one holds
//! up none of the others. Several processes may run couriers on one file: which delivery is whose, in which order, and whether
//! the destination is down is decided in `store::deliveries`.

use super::backoff::Backoff;
use super::process;
use crate::clock;
use crate::destinations::{Destination, Destinations, Fate, Parcel};
use crate::store::claims::Holder;
use crate::store::deliveries::{Delivery, End, Order, Turn};
use crate::store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

/// A delivery may take its destination's time and this: for the commits around it.
const LEASE_MARGIN: Duration = Duration::from_mins(1);
/// The wait before looking again after the database refused.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands on what is due. Cheap to clone.
#[derive(Clone)]
pub struct Courier {
    store: Store,
    destinations: Destinations,
    holder: Holder,
    backoff: Backoff,
    poll: Duration,
    /// How long deliveries on their way may take when the courier is told to stop.
    grace: Duration,
    /// The deliveries on their way, by their id.
    held: Arc<Mutex<HashMap<i64, Delivery>>>,
}

/// The deliveries that a completed event makes necessary.
#[must_use]
pub fn orders(destinations: &Destinations, source: &str, topic: &str, ordering_key: &str) -> Vec<Order> {
    let wanted = destinations.iter().filter(|destination| destination.takes(source, topic));
    wanted
        .map(|destination| Order {
            destination: destination.settings.name.clone(),
            ordering_key: ordering_key.to_owned(),
            max_attempts: destination.settings.max_attempts,
        })
        .collect()
}

impl Courier {
    #[must_use]
    pub fn new(
        store: Store,
        destinations: Destinations,
        holder: Holder,
        backoff: Backoff,
        poll: Duration,
        grace: Duration,
    ) -> Self {
        Self { store, destinations, holder, backoff, poll, grace, held: Arc::default() }
    }

    /// Delivers until `stop` turns true, then lets what is on its way arrive.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let rescuer = tokio::spawn(self.clone().rescue_always());
        let mut loops: JoinSet<()> = (0..self.destinations.len())
            .map(|place| {
                let (courier, stop) = (self.clone(), stop.clone());
                async move { courier.serve(&courier.destinations[place], stop).await }
            })
            .collect();
        while loops.join_next().await.is_some() {}
        rescuer.abort();
    }

    /// Delivers what is due now until nothing is, or `stop` turns true; what fails waits for its next time. Gives how many
    /// attempts were made.
    ///
    /// # Errors
    /// When nothing can be claimed.
    pub async fn drain(&self, stop: &watch::Receiver<bool>) -> Result<u64, StoreError> {
        self.rescue().await?;
        // Side by side: a slow one holds up none of the others.
        let mut drains: JoinSet<Result<u64, StoreError>> = (0..self.destinations.len())
            .map(|place| {
                let (courier, stop) = (self.clone(), stop.clone());
                async move { courier.drain_one(&courier.destinations[place], &stop).await }
            })
            .collect();
        let mut made = 0;
        while let Some(drained) = drains.join_next().await {
            made += drained.map_err(|_panicked| StoreError::Panicked)??;
        }
        Ok(made)
    }

    async fn drain_one(&self, destination: &Destination, stop: &watch::Receiver<bool>) -> Result<u64, StoreError> {
        let mut pace = Pace::new(destination.settings.per_second);
        let mut made = 0;
        while !*stop.borrow() {
            if pace.allowed() == 0 {
                tokio::time::sleep(pace.wait()).await;
                continue;
            }
            let most = (destination.settings.concurrency as usize).min(pace.allowed());
            let claimed = self.claim(destination, u32::try_from(most).unwrap_or(1)).await?;
            if claimed.is_empty() {
                break;
            }
            made += claimed.len() as u64;
            pace.began(claimed.len());
            let mut attempts = JoinSet::new();
            self.begin(destination, claimed, &mut attempts);
            let mut stopped = stop.clone();
            let told = tokio::select! {
                () = async { while attempts.join_next().await.is_some() {} } => false,
                _ = stopped.wait_for(|stop| *stop) => true,
            };
            if told {
                self.let_arrive(destination, attempts).await;
            }
        }
        Ok(made)
    }

    async fn serve(&self, destination: &Destination, mut stop: watch::Receiver<bool>) {
        let mut attempts: JoinSet<()> = JoinSet::new();
        let most = destination.settings.concurrency.max(1) as usize;
        let mut pace = Pace::new(destination.settings.per_second);
        let mut worked = self.store.worked.subscribe();
        while !*stop.borrow() {
            worked.mark_unchanged();
            while attempts.try_join_next().is_some() {}
            let free = (most - attempts.len()).min(pace.allowed());
            let mut wait = self.poll.min(pace.wait());
            if free > 0 {
                match self.due(destination, free).await {
                    Ok((claimed, next)) => {
                        wait = wait.min(next);
                        pace.began(claimed.len());
                        self.begin(destination, claimed, &mut attempts);
                    }
                    Err(error) => {
                        error!(destination = destination.settings.name, "nothing can be handed on, it waits: {error}");
                        wait = PAUSE;
                    }
                }
            }
            tokio::select! {
                _ = worked.changed(), if free > 0 => {}
                Some(_) = attempts.join_next(), if !attempts.is_empty() => {}
                () = tokio::time::sleep(wait), if attempts.len() < most => {}
                _ = stop.changed() => {}
            }
        }
        self.let_arrive(destination, attempts).await;
    }

    fn begin(&self, destination: &Destination, claimed: Vec<Delivery>, attempts: &mut JoinSet<()>) {
        for delivery in claimed {
            let (courier, destination) = (self.clone(), destination.clone());
            attempts.spawn(async move { courier.attempt(&destination, delivery).await });
        }
    }

    /// Lets what is on its way arrive within the grace; what does not is cut off and given back.
    async fn let_arrive(&self, destination: &Destination, mut attempts: JoinSet<()>) {
        let all = async { while attempts.join_next().await.is_some() {} };
        if tokio::time::timeout(self.grace, all).await.is_ok() {
            return;
        }
        attempts.shutdown().await;
        let mut left: Vec<Delivery> = self.lock().values().cloned().collect();
        left.retain(|delivery| delivery.destination == destination.settings.name);
        warn!(
            destination = destination.settings.name,
            deliveries = left.len(),
            "deliveries ran on after worker.grace and were cut off; they are made again, under the same event id"
        );
        for delivery in left {
            // Once: who stops must stop. What cannot be given back is taken over when its process is gone.
            let released = self.store.finish_delivery(&delivery, &End::Released, Duration::ZERO);
            if tokio::time::timeout(PAUSE, released).await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Delivery>> {
        self.held.lock().expect("nothing panics while it holds the deliveries")
    }

    /// What is due, and how long it is until something is if nothing is now.
    async fn due(&self, destination: &Destination, free: usize) -> Result<(Vec<Delivery>, Duration), StoreError> {
        let now = self.store.clock.now();
        match self.store.next_delivery(&destination.settings.name)? {
            None => return Ok((Vec::new(), Duration::MAX)),
            Some(due) if due > now => return Ok((Vec::new(), clock::between(now, due))),
            Some(_) => {}
        }
        Ok((self.claim(destination, u32::try_from(free).unwrap_or(u32::MAX)).await?, Duration::MAX))
    }

    async fn claim(&self, destination: &Destination, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let lease = destination.settings.timeout + LEASE_MARGIN;
        self.store.claim_deliveries(&destination.settings.name, &self.holder, limit, lease).await
    }

    async fn attempt(&self, destination: &Destination, delivery: Delivery) {
        self.lock().insert(delivery.id, delivery.clone());
        let started = Instant::now();
        let body = self.store.payload(delivery.event_id).and_then(|payload| match payload {
            Some(payload) => Ok(Some(payload.body)),
            None => Ok(self.store.erasure_notice(delivery.event_id)?.map(String::into_bytes)),
        });
        let fate = match body {
            Ok(Some(body)) => {
                let parcel = Parcel {
                    event_id: delivery.event_id,
                    source: delivery.source.clone(),
                    shop_domain: delivery.shop_domain.clone(),
                    topic: delivery.topic.clone(),
                    webhook_id: delivery.webhook_id.clone(),
                    attempt: delivery.attempt,
                    body,
                };
                destination.deliver(&parcel, self.store.clock.now()).await
            }
            Ok(None) => {
                let end = End::Gone { error: "its body is gone: it was erased or pruned".to_owned() };
                return self.end(&delivery, &end, Duration::ZERO).await;
            }
            Err(error) => {
                warn!(event = delivery.event_id, "the body of a delivery could not be read, trying again: {error}");
                tokio::time::sleep(PAUSE).await;
                return self.end(&delivery, &End::Released, Duration::ZERO).await;
            }
        };
        // What was asked for, but not sooner than the next attempt would be anyhow: `Retry-After: 0` burns no attempts.
        let own = clock::after(self.store.clock.now(), self.backoff.after(delivery.attempt));
        let at = |wanted: Option<clock::Timestamp>| wanted.map_or(own, |wanted| wanted.max(own));
        let breaker = destination.settings.breaker;
        let end = match fate {
            Fate::Delivered => End::Delivered,
            Fate::Refused { error } => End::Refused { error },
            Fate::Later { error, at: wanted } => End::Later { error, at: at(wanted), asked: wanted.is_some() },
            Fate::Unreachable { error, at: wanted, reached, connected } => End::Unreachable {
                error,
                reached,
                connected,
                at: at(wanted),
                asked: wanted.is_some(),
                failures_max: breaker.failures,
                rest: breaker.rest,
                rest_max: breaker.rest_max,
            },
        };
        self.end(&delivery, &end, started.elapsed()).await;
    }

    async fn end(&self, delivery: &Delivery, end: &End, ran: Duration) {
        self.write(delivery, end, ran).await;
        self.lock().remove(&delivery.id);
    }

    /// Writes an end, and again until it is written or somebody else holds the delivery.
    async fn write(&self, delivery: &Delivery, end: &End, ran: Duration) {
        loop {
            match self.store.finish_delivery(delivery, end, ran).await {
                Ok(turn) => return report(delivery, end, turn),
                Err(StoreError::ClaimLost { .. }) => {
                    return warn!(
                        event = delivery.event_id,
                        destination = delivery.destination,
                        "the delivery was taken over while it was made; it may have been made twice, under one event id"
                    );
                }
                Err(StoreError::ShuttingDown) => return,
                Err(error) => {
                    warn!(event = delivery.event_id, "a delivery's end could not be written, trying again: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn rescue_always(self) {
        loop {
            if let Err(error) = self.rescue().await {
                error!("deliveries of dead workers could not be looked for: {error}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn rescue(&self) -> Result<(), StoreError> {
        for (holder, lease_ended) in self.store.delivery_holders()? {
            let dead = process::is_dead(&holder, &self.holder);
            // Our own are timed here, by a clock that nobody sets.
            if dead || (lease_ended && holder != self.holder) {
                let deliveries = self.store.rescue_deliveries(&holder, dead, &self.holder).await?;
                warn!(worker = holder.worker, deliveries, "deliveries without a living worker are made again");
            }
        }
        Ok(())
    }
}

/// How fast deliveries may begin: in bursts of a twentieth of a second, so that a claim brings several where that is allowed.
struct Pace {
    each: Duration,
    burst: usize,
    next: tokio::time::Instant,
}

impl Pace {
    fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        let each = Duration::from_secs(1) / per_second;
        Self { each, burst: (per_second as usize / 20).max(1), next: tokio::time::Instant::now() }
    }

    /// How many may begin now.
    fn allowed(&self) -> usize {
        if self.next <= tokio::time::Instant::now() { self.burst } else { 0 }
    }

    fn wait(&self) -> Duration {
        match self.next.checked_duration_since(tokio::time::Instant::now()) {
            Some(wait) if !wait.is_zero() => wait,
            _ => Duration::MAX,
        }
    }

    fn began(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.next = self.next.max(tokio::time::Instant::now()) + self.each * count;
    }
}

fn report(delivery: &Delivery, end: &End, turn: Turn) {
    // What the other side said stays in the database: it may hold a customer's data.
    let (event, destination, attempt) = (delivery.event_id, &delivery.destination, delivery.attempt);
    match end {
        End::Delivered => debug!(event, destination, attempt, "delivered"),
        End::Refused { .. } => {
            error!(event, destination, attempt, "refused for good; `SELECT * FROM destination_failures` says why");
        }
        End::Unreachable { .. } | End::Later { .. } => {
            warn!(
                event,
                destination, attempt, "not delivered; `SELECT * FROM destination_queue` says why and when again"
            );
        }
        End::Gone { .. } => {
            info!(event, destination, "there is nothing to deliver any more: the event was erased or pruned");
        }
        End::Released => {}
    }
    match turn {
        Turn::Nothing => {}
        Turn::Down { until } => {
            warn!(destination, "counts as down: nothing is tried before {}; its events wait", clock::text(until));
        }
        Turn::Back { waiting } => {
            info!(destination, waiting, "is back: what waited goes out in order, no faster than per_second");
        }
    }
}
