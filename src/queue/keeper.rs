//! Keeping claims: renewing our own, rescuing those of the dead.

use super::process;
use crate::store::claims::{Claim, Holder};
use crate::store::scrub::Scrubbed;
use crate::store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tracing::{error, warn};

/// How often dead holders are looked for: a read of what is in work and a look into /proc.
const RESCUE_EVERY: Duration = Duration::from_secs(1);
/// A lease is renewed when this share of it has passed, so two renewals may fail before it ends.
const RENEWALS_PER_LEASE: u32 = 3;

/// The claims that this process holds now.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<HashMap<i64, Claim>>>);

impl Held {
    pub(super) fn add(&self, claims: &[Claim]) {
        self.lock().extend(claims.iter().map(|claim| (claim.event_id, claim.clone())));
    }

    pub(super) fn remove(&self, claim: &Claim) {
        let mut held = self.lock();
        // The same event may have been lost and claimed again meanwhile: only this claim of it goes.
        if held.get(&claim.event_id).is_some_and(|current| current.claim == claim.claim) {
            held.remove(&claim.event_id);
        }
    }

    pub(super) fn all(&self) -> Vec<Claim> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Claim>> {
        self.0.lock().expect("nothing panics while it holds the claims")
    }
}

/// Renews and rescues until it is aborted.
pub async fn run(store: Store, holder: Holder, held: Held, lease: Duration) {
    let renew_every = lease / RENEWALS_PER_LEASE;
    let (mut renewed, mut warned) = (Instant::now(), false);
    let mut tick = tokio::time::interval(RESCUE_EVERY.min(renew_every).max(Duration::from_millis(10)));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Renewed before rescued: after the clock was set forward, our own claims are not taken for ended.
        if renewed.elapsed() >= renew_every {
            renewed = Instant::now();
            let claims = held.all();
            if !claims.is_empty()
                && let Err(error) = store.renew(claims, lease).await
            {
                warn!("leases could not be renewed, trying again before they end: {error}");
            }
        }
        if !scrub(&store).await {
            warned = false;
        } else if !std::mem::replace(&mut warned, true) {
            warn!(
                "traces of what was erased are still in the file, because somebody reads the database or it is large: they go as \
                 soon as nobody reads, or at a quiet hour by `novex-ingest privacy scrub`"
            );
        }
        if let Err(error) = rescue(&store, &holder).await {
            error!("claims of dead workers could not be looked for: {error}");
        }
    }
}

/// Rids the file of the traces of what was erased; true when some are left.
pub async fn scrub(store: &Store) -> bool {
    match store.scrub(false).await {
        Ok(Scrubbed::Clean) => false,
        Ok(Scrubbed::Later | Scrubbed::TooLarge) => true,
        Err(error) => {
            warn!("the traces of what was erased could not be looked for: {error}");
            false
        }
    }
}

/// Takes over what dead processes of this host hold, and what has outlived its lease.
///
/// # Errors
/// When the file cannot be read or written.
pub async fn rescue(store: &Store, me: &Holder) -> Result<(), StoreError> {
    for held in store.holders()? {
        if process::is_dead(&held.holder, me) {
            let events = store.rescue_dead(&held.holder, me).await?;
            warn!(worker = held.holder.worker, ?events, "a worker died while it held events; they are taken over");
        }
    }
    let events = store.rescue_expired(me).await?;
    if !events.is_empty() {
        warn!(?events, "the lease of these events ended without an outcome; they are taken over");
    }
    Ok(())
}
