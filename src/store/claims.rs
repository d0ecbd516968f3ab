//! The queue's statements: claiming, finishing, releasing, rescuing and retrying events.
//!
//! ```text
//!            ┌────────────── claim ─────────────┐
//!            │                                  ▼
//!  ───► received ◄── again, release, rescue ── processing ── complete ──► completed
//!            ▲                                  │
//!            └──── retry (an operator) ── failed ◄── fail; again or rescue after the last attempt
//! ```
//! Every arrow is one function here, and each writes its row of `webhook_event_log` in the same transaction. The arrows
//! out of `processing` that a holder takes are fenced: they touch the row only while this very claim still holds it. Zero
//! rows is [`StoreError::ClaimLost`], and the savepoint around the job takes the holder's effects back.

use super::alerts::LoginErrors;
use super::changes::{self, Change, Subject};
use super::deliveries::{self, Order};
use super::erasure::{self, Erasure};
use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, Row, params};
use std::sync::Arc;
use std::time::Duration;

/// Who claims: written to the claimed row, and compared when the outcome comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `hostname:pid`.
    pub worker: String,
    /// Tells this process from a later one with the same pid. The store compares it and does not look into it.
    pub process: String,
}

/// An event that this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub event_id: i64,
    pub source: String,
    pub shop_domain: String,
    pub topic: String,
    pub webhook_id: String,
    /// This attempt's number, from 1.
    pub attempt: u32,
    pub max_attempts: u32,
    /// Which claim of the event this is; never the same twice.
    pub claim: i64,
    pub received_at: Timestamp,
    /// When the provider says it happened, as the provider wrote it.
    pub triggered_at: Option<String>,
    pub holder: Holder,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The changes and the status are committed together.
    /// `erase` is done before, in transactions of its own: `Store::erase`.
    Completed {
        changes: Vec<Change>,
        subjects: Vec<Subject>,
        orders: Vec<Order>,
        note: Option<String>,
        erase: Option<Erasure>,
    },
    /// To be tried again at `at`, unless this was the last attempt.
    Again { error: String, at: Timestamp },
    /// No further attempt can help.
    /// `subjects`: whom it is about all the same.
    /// `changes` are written all the same: what was found wrong, and where.
    Failed { error: String, changes: Vec<Change>, subjects: Vec<Subject> },
    /// The worker stops before it has an outcome: the attempt does not count.
    Released,
}

/// A claim that some process holds, as the rescue sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub holder: Holder,
    pub claims: u64,
}

/// How many an operator's retry brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried {
    pub event_id: i64,
    pub was: &'static str,
}

/// Where a time stands that something waits for: table, column, and the status that waits.
const PLACES: [(&str, &str, &str); 3] = [
    ("webhook_events", "next_attempt_at", "received"),
    ("webhook_events", "lease_until", "processing"),
    ("destination_deliveries", "next_attempt_at", "pending"),
];

impl Store {
    /// Claims up to `limit` due events for `holder`, the longest due first.
    ///
    /// # Errors
    /// When the transaction fails; then nothing is claimed.
    pub async fn claim(&self, holder: &Holder, limit: u32, lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let (holder, now) = (holder.clone(), self.clock.now());
        self.writer.submit(Kind::Upkeep, move |connection| claim(connection, &holder, limit, lease, now)).await
    }

    /// Writes the outcome of an attempt; `ran` is how long it took.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] when somebody else holds the event by now: nothing of the outcome was written.
    pub async fn finish(&self, claim: &Claim, outcome: &Arc<Outcome>, ran: Duration) -> Result<(), StoreError> {
        let (claim, outcome, now, logins) = (claim.clone(), outcome.clone(), self.clock.now(), self.login_errors);
        self.writer
            .submit(Kind::Upkeep, move |connection| finish(connection, &claim, &outcome, ran, now, &logins))
            .await
    }

    /// Gives these claims back, as far as they are still held; their attempts do not count.
    ///
    /// # Errors
    /// When the transaction fails; then none was given back.
    pub async fn release(&self, claims: Vec<Claim>) -> Result<(), StoreError> {
        let (now, logins) = (self.clock.now(), self.login_errors);
        self.writer
            .submit(Kind::Requeue, move |connection| {
                for claim in &claims {
                    match finish(connection, claim, &Outcome::Released, Duration::ZERO, now, &logins) {
                        Ok(()) | Err(StoreError::ClaimLost { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            })
            .await
    }

    /// Lets the leases of these claims run for `lease` from now; gives the events that are still held.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn renew(&self, claims: Vec<Claim>, lease: Duration) -> Result<Vec<i64>, StoreError> {
        let until = clock::text(clock::after(self.clock.now(), lease));
        self.writer
            .submit(Kind::Upkeep, move |connection| {
                let mut held = Vec::with_capacity(claims.len());
                for claim in &claims {
                    let rows = connection
                        .prepare_cached(
                            "UPDATE webhook_events SET lease_until = ?1 WHERE id = ?2 AND locked_by = ?3 AND claims = ?4 \
                             AND status = 'processing'",
                        )?
                        .execute(params![until, claim.event_id, claim.holder.worker, claim.claim])?;
                    if rows > 0 {
                        held.push(claim.event_id);
                    }
                }
                Ok(held)
            })
            .await
    }

    /// Who holds claims now. Read through `webhook_events_held`, so it costs what is in work and no more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn holders(&self) -> Result<Vec<Held>, StoreError> {
        self.reader.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT locked_by, coalesce(locked_process, ''), count(*) FROM webhook_events \
                 WHERE status = 'processing' GROUP BY 1, 2",
            )?;
            let rows = statement.query_map([], |row| {
                let holder = Holder { worker: row.get(0)?, process: row.get(1)? };
                Ok(Held { holder, claims: row.get(2)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Takes the claims of a dead process away from it, at once. Gives the events.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rescue_dead(&self, dead: &Holder, rescuer: &Holder) -> Result<Vec<i64>, StoreError> {
        let (dead, rescuer, now) = (dead.clone(), rescuer.clone(), self.clock.now());
        self.writer
            .submit(Kind::Requeue, move |connection| {
                let why = format!("{} died while it held this event; its claim was taken over", dead.worker);
                let held = connection
                    .prepare_cached(
                        "SELECT id, attempts, max_attempts FROM webhook_events \
                         WHERE status = 'processing' AND locked_by = ?1 \
                         AND coalesce(locked_process, '') = ?2",
                    )?
                    .query_map(params![dead.worker, dead.process], orphan)?
                    .collect::<Result<Vec<_>, _>>()?;
                rescue(connection, &held, &why, &rescuer, now)
            })
            .await
    }

    /// Takes away the claims whose lease has ended, whoever holds them. Gives the events.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rescue_expired(&self, rescuer: &Holder) -> Result<Vec<i64>, StoreError> {
        let now = self.clock.now();
        let cut = clock::text(now);
        // Our own are left out: their handlers are timed here by a clock that nobody sets, and a wall clock that was set
        // forward must not take work from under our own hands.
        let expired = "SELECT id, attempts, max_attempts FROM webhook_events WHERE status = 'processing' \
                       AND (lease_until IS NULL OR lease_until < ?1) \
                       AND NOT (locked_by = ?2 AND coalesce(locked_process, '') = ?3)";
        // A look on a reading connection first: an idle worker takes no write lock.
        let any = self.reader.read(|connection| {
            Ok(connection.prepare_cached(expired)?.exists(params![cut, rescuer.worker, rescuer.process])?)
        })?;
        if !any {
            return Ok(Vec::new());
        }
        let rescuer = rescuer.clone();
        self.writer
            .submit(Kind::Requeue, move |connection| {
                let held = connection
                    .prepare_cached(expired)?
                    .query_map(params![cut, rescuer.worker, rescuer.process], orphan)?
                    .collect::<Result<Vec<_>, _>>()?;
                rescue(connection, &held, "its lease ended without an outcome; its claim was taken over", &rescuer, now)
            })
            .await
    }

    /// What was put off by a clock that was far ahead would wait until it has come: events and deliveries that are due later than `latest`
    /// from now are due now, and claims that hold longer have ended. Gives how many.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn bring_forward(&self, latest: Duration) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let (at, far) = (clock::text(now), clock::text(clock::after(now, latest)));
        let wait = self.reader.read(|connection| {
            for (table, column, status) in PLACES {
                let sql = format!("SELECT 1 FROM {table} WHERE status = '{status}' AND {column} > ? LIMIT 1");
                if connection.prepare_cached(&sql)?.exists([&far])? {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        if !wait {
            return Ok(0);
        }
        self.writer
            .submit(Kind::Requeue, move |connection| {
                let mut brought = 0;
                for (table, column, status) in PLACES {
                    let sql = format!("UPDATE {table} SET {column} = ?1 WHERE status = '{status}' AND {column} > ?2");
                    brought += connection.prepare_cached(&sql)?.execute([&at, &far])?;
                }
                Ok(brought)
            })
            .await
    }

    /// When the next event is due; `None` when none waits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.reader.read(|connection| {
            let next: Option<String> = connection
                .prepare_cached("SELECT min(next_attempt_at) FROM webhook_events WHERE status = 'received'")?
                .query_row([], |row| row.get(0))?;
            Ok(next.map(|text| clock::parse(&text).unwrap_or(Timestamp::MIN)))
        })
    }

    /// Brings events back: a failed or completed one gets `attempts` new attempts, a waiting one becomes due now. One
    /// that is being worked is left alone. Gives those that were brought back.
    ///
    /// # Errors
    /// When the transaction fails; then none of them was.
    pub async fn retry(&self, ids: Vec<i64>, attempts: u32, by: String) -> Result<Vec<Retried>, StoreError> {
        let now = clock::text(self.clock.now());
        self.writer
            .submit(Kind::Requeue, move |connection| {
                let mut retried = Vec::new();
                for id in ids {
                    retried.extend(retry(connection, id, attempts, &by, &now)?);
                }
                Ok(retried)
            })
            .await
    }
}

fn claim(
    connection: &Connection,
    holder: &Holder,
    limit: u32,
    lease: Duration,
    now: Timestamp,
) -> Result<Vec<Claim>, StoreError> {
    let at = clock::text(now);
    let mut claims = connection
        .prepare_cached(
            "UPDATE webhook_events SET status = 'processing', attempts = attempts + 1, claims = claims + 1, \
             next_attempt_at = NULL, locked_by = ?1, locked_process = ?2, locked_at = ?3, lease_until = ?4 \
             WHERE id IN (SELECT id FROM webhook_events WHERE status = 'received' AND next_attempt_at <= ?3 \
                          ORDER BY next_attempt_at, id LIMIT ?5) \
             RETURNING id, source, shop_domain, topic, webhook_id, attempts, max_attempts, claims, received_at, triggered_at",
        )?
        .query_map(params![holder.worker, holder.process, at, clock::text(clock::after(now, lease)), limit], |row| {
            Ok(Claim {
                event_id: row.get(0)?,
                source: row.get(1)?,
                shop_domain: row.get(2)?,
                topic: row.get(3)?,
                webhook_id: row.get(4)?,
                attempt: row.get(5)?,
                max_attempts: row.get(6)?,
                claim: row.get(7)?,
                received_at: clock::parse(&row.get::<_, String>(8)?).unwrap_or(now),
                triggered_at: row.get(9)?,
                holder: holder.clone(),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    // SQLite returns the rows in any order.
    claims.sort_by_key(|claim| claim.event_id);
    for claim in &claims {
        log(connection, claim.event_id, &at, ("received", "processing"), claim.attempt, &holder.worker, None, None)?;
    }
    Ok(claims)
}

fn finish(
    connection: &Connection,
    claim: &Claim,
    outcome: &Outcome,
    ran: Duration,
    now: Timestamp,
    logins: &LoginErrors,
) -> Result<(), StoreError> {
    let at = clock::text(now);
    let last = claim.attempt >= claim.max_attempts;
    // status, next_attempt_at, last_error, note, completed_at, attempts given back
    let (status, next, error, note, given_back) = match outcome {
        Outcome::Completed { note, .. } => ("completed", None, None, note.as_deref(), 0),
        Outcome::Failed { error, .. } => ("failed", None, Some(error.as_str()), None, 0),
        Outcome::Again { error, .. } if last => ("failed", None, Some(error.as_str()), None, 0),
        Outcome::Again { error, at } => ("received", Some(clock::text(*at)), Some(error.as_str()), None, 0),
        Outcome::Released => ("received", Some(at.clone()), None, None, 1),
    };
    let completed_at = next.is_none().then_some(at.as_str());
    let rows = connection
        .prepare_cached(
            // One that is given back before its first attempt keeps its place in the line.
            "UPDATE webhook_events SET status = ?1, \
             next_attempt_at = CASE WHEN ?6 = attempts THEN min(received_at, ?2) ELSE ?2 END, \
             last_error = CASE WHEN ?1 = 'completed' THEN NULL ELSE coalesce(?3, last_error) END, note = ?4, \
             completed_at = ?5, attempts = attempts - ?6, \
             locked_by = NULL, locked_process = NULL, locked_at = NULL, lease_until = NULL \
             WHERE id = ?7 AND locked_by = ?8 AND attempts = ?9 AND claims = ?10 AND status = 'processing'",
        )?
        .execute(params![
            status,
            next,
            error,
            note,
            completed_at,
            given_back,
            claim.event_id,
            claim.holder.worker,
            claim.attempt,
            claim.claim
        ])?;
    if rows == 0 {
        return Err(StoreError::ClaimLost { event_id: claim.event_id });
    }
    if let Outcome::Completed { changes, subjects, orders, erase, .. } = outcome {
        // Erased while its handler ran: what the handler had read is not to be written.
        if !erasure::is_erased(connection, claim.event_id)? {
            changes::apply(connection, claim, changes, subjects, logins)?;
            if let Some(erasure) = erase {
                erasure::finish(connection, claim.event_id, &claim.shop_domain, erasure, &at)?;
                deliveries::order(connection, claim.event_id, orders, &at)?;
            } else if !erasure::late(connection, claim.event_id, &claim.shop_domain, subjects, &at)? {
                deliveries::order(connection, claim.event_id, orders, &at)?;
            }
        }
    }
    if let Outcome::Failed { changes, subjects, .. } = outcome {
        changes::apply(connection, claim, changes, subjects, logins)?;
        erasure::late(connection, claim.event_id, &claim.shop_domain, subjects, &at)?;
    }
    let said = match outcome {
        Outcome::Released => Some("released: the worker stopped before it had an outcome; the attempt does not count"),
        _ => error,
    };
    let ran_ms = i64::try_from(ran.as_millis()).unwrap_or(i64::MAX);
    let steps = ("processing", status);
    log(connection, claim.event_id, &at, steps, claim.attempt, &claim.holder.worker, Some(ran_ms), said)
}

struct Orphan {
    event_id: i64,
    attempts: u32,
    max_attempts: u32,
}

fn orphan(row: &Row<'_>) -> rusqlite::Result<Orphan> {
    Ok(Orphan { event_id: row.get(0)?, attempts: row.get(1)?, max_attempts: row.get(2)? })
}

/// An orphan is due at once, its attempt counted; after its last attempt it fails, so that an event that kills its
/// worker ends.
fn rescue(
    connection: &Connection,
    orphans: &[Orphan],
    why: &str,
    rescuer: &Holder,
    now: Timestamp,
) -> Result<Vec<i64>, StoreError> {
    let at = clock::text(now);
    for orphan in orphans {
        let status = if orphan.attempts >= orphan.max_attempts { "failed" } else { "received" };
        connection
            .prepare_cached(
                "UPDATE webhook_events SET status = ?1, last_error = ?2, \
                 next_attempt_at = CASE WHEN ?1 = 'received' THEN min(received_at, ?3) END, \
                 completed_at = CASE WHEN ?1 = 'failed' THEN ?3 END, \
                 locked_by = NULL, locked_process = NULL, locked_at = NULL, lease_until = NULL WHERE id = ?4",
            )?
            .execute(params![status, why, at, orphan.event_id])?;
        let steps = ("processing", status);
        log(connection, orphan.event_id, &at, steps, orphan.attempts, &rescuer.worker, None, Some(why))?;
    }
    Ok(orphans.iter().map(|orphan| orphan.event_id).collect())
}

fn retry(connection: &Connection, id: i64, attempts: u32, by: &str, at: &str) -> Result<Option<Retried>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT status, attempts FROM webhook_events WHERE id = ? AND erased_at IS NULL \
             AND EXISTS (SELECT 1 FROM webhook_payloads WHERE event_id = id)",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let (was, made): (String, u32) = (row.get(0)?, row.get(1)?);
    drop(rows);
    let was = match was.as_str() {
        "failed" => "failed",
        "completed" => "completed",
        "received" => "received",
        _ => return Ok(None),
    };
    connection
        .prepare_cached(
            "UPDATE webhook_events SET status = 'received', \
             next_attempt_at = CASE WHEN attempts = 0 THEN min(received_at, ?1) ELSE ?1 END, completed_at = NULL, note = NULL, \
             max_attempts = CASE WHEN status = 'received' THEN max_attempts ELSE attempts + ?2 END WHERE id = ?3",
        )?
        .execute(params![at, attempts, id])?;
    deliveries::retry(connection, id, attempts, at)?;
    log(connection, id, at, (was, "received"), made, by, None, Some("retried by hand"))?;
    Ok(Some(Retried { event_id: id, was }))
}

#[expect(clippy::too_many_arguments, reason = "the columns of one log row, in its order")]
fn log(
    connection: &Connection,
    event_id: i64,
    at: &str,
    (from, to): (&str, &str),
    attempt: u32,
    worker: &str,
    duration_ms: Option<i64>,
    error: Option<&str>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO webhook_event_log (event_id, at, from_status, to_status, attempt, worker, duration_ms, error) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![event_id, at, from, to, attempt, worker, duration_ms, error])?;
    Ok(())
}
