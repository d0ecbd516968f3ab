//! Keeping leases: a process renews its own and recovers those of dead processes and those that expired.

use crate::backoff::Backoff;
use crate::queue::process;
use crate::store::leases::begun::AttemptStart;
use crate::store::leases::recovery::RecoveredRow;
use crate::store::leases::{Lease, LeaseOwner, Leased, LeasedTable};
use crate::store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How often a process looks for leases to recover: it reads the leased rows and looks into /proc.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(1);
/// A lease is renewed when this share of it has passed, so two renewals may fail before it expires.
const RENEWALS_PER_LEASE: u32 = 3;

/// The claims of one table that this process has now.
#[derive(Debug, Clone)]
pub struct HeldClaims<C>(Arc<Mutex<HashMap<i64, C>>>);

impl<C> Default for HeldClaims<C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<C: Leased> HeldClaims<C> {
    pub(crate) fn add(&self, claims: &[C]) {
        self.lock().extend(claims.iter().map(|claim| (claim.row_id(), claim.clone())));
    }

    pub(crate) fn remove(&self, claim: &C) {
        let mut held = self.lock();
        // The row may have been lost and claimed again meanwhile: only this claim of it is removed.
        if held.get(&claim.row_id()).is_some_and(|current| current.lease() == claim.lease()) {
            held.remove(&claim.row_id());
        }
    }

    pub(crate) fn all(&self) -> Vec<C> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn any(&self, condition: impl Fn(&C) -> bool) -> bool {
        self.lock().values().any(condition)
    }

    fn leases(&self) -> Vec<(i64, Lease)> {
        self.lock().values().map(|claim| (claim.row_id(), claim.lease().clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, C>> {
        self.0.lock().expect("nothing panics while it holds the claims")
    }
}

/// Renews the leases of `held` and recovers others' leases of `table`, until it is aborted. `duration`: of a lease;
/// `backoff`: after an attempt during which a process died.
pub async fn maintain_leases<C: Leased>(
    store: Store,
    table: &'static LeasedTable,
    owner: LeaseOwner,
    held: HeldClaims<C>,
    duration: Duration,
    backoff: Backoff,
) {
    let renewal_interval = duration / RENEWALS_PER_LEASE;
    let mut renewed_at = Instant::now();
    let mut tick = tokio::time::interval(RECOVERY_INTERVAL.min(renewal_interval).max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    if let Err(error) = store.remove_abandoned_records() {
        warn!("the records of processes that ended could not be removed; the next start removes them: {error}");
    }
    loop {
        tick.tick().await;
        // Renewal comes first: after the clock was set forward, no other process recovers these leases.
        if renewed_at.elapsed() >= renewal_interval {
            renewed_at = Instant::now();
            let leases = held.leases();
            if !leases.is_empty()
                && let Err(error) = store.renew_leases(table, leases, duration).await
            {
                warn!("{} leases could not be renewed; renewal is tried again before they expire: {error}", table.noun);
            }
        }
        if let Err(error) = recover_leases(&store, table, &owner, &backoff).await {
            error!(
                "{} leases of dead workers could not be recovered; they stay locked until that works: {error}",
                table.noun
            );
        }
    }
}

/// Recovers the leases of dead processes of this host, and all others' leases that expired. `backoff`: after an attempt
/// that had begun.
///
/// # Errors
/// When the file cannot be read or written.
pub async fn recover_leases(
    store: &Store,
    table: &'static LeasedTable,
    me: &LeaseOwner,
    backoff: &Backoff,
) -> Result<(), StoreError> {
    for owner in store.lease_owners(table)? {
        if process::is_owner_dead(&owner, me) {
            log_recovered_rows(table, &store.recover_dead_owner(table, &owner, me, backoff).await?);
        }
    }
    log_recovered_rows(table, &store.recover_expired_leases(table, me, backoff).await?);
    Ok(())
}

fn log_recovered_rows(table: &LeasedTable, rows: &[RecoveredRow]) {
    let noun = table.noun;
    let mut unharmed = Vec::new();
    for row in rows {
        let RecoveredRow { id, reason, .. } = row;
        match (row.start, &row.retry_at) {
            _ if row.has_failed => error!(id, "{noun} {id} failed for good: {reason}"),
            (AttemptStart::NotBegun, _) => unharmed.push(*id),
            (_, Some(retry_at)) => warn!(id, "{noun} {id} runs alone at its next attempt, at {retry_at}: {reason}"),
            (_, None) => warn!(id, "{noun} {id} runs alone at its next attempt, now: {reason}"),
        }
    }
    if !unharmed.is_empty() {
        info!(
            rows = ?unharmed,
            "a worker process lost {noun} claims before it worked on them; they are due now, and the attempts do not \
             count"
        );
    }
}
