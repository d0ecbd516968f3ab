//! Handing events on: which delivery is due where, who makes it, what became of it, and how each destination is doing.
//!
//! ```text
//!             ┌────────────── claim ─────────────┐
//!             │                                  ▼
//!  ───►  pending ◄── later, release, rescue ── delivering ── done ──► delivered
//!             ▲                                  │
//!             └──── retry (an operator) ── failed ◄── refused; later or rescue after the last attempt
//! ```
//! The same claim as for events (`store::claims`): one transaction that writes holder and lease, outcomes fenced on it. Two
//! deliveries with one ordering key are never on their way to one destination at once, and none overtakes an earlier one. Events
//! are worked several at a time, and what an event is about is known only when it has been worked: so a delivery with a key waits
//! too while an earlier event of its source and shop is being worked or is due. One whose attempt failed and that waits for its next
//! time holds up nobody.
//!
//! A destination that failed several times in a row counts as down (`destinations.down_since`): nothing is tried until
//! `rest_until`, then one delivery; its attempt does not count unless the destination choked on it. When one is taken, what had to wait
//! is due at once.

use super::claims::Holder;
use super::erasure;
use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;

/// A delivery to be made when its event is completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub destination: String,
    pub ordering_key: String,
    pub max_attempts: u32,
}

/// A delivery that this process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: i64,
    pub event_id: i64,
    pub destination: String,
    pub source: String,
    pub shop_domain: String,
    pub topic: String,
    pub webhook_id: String,
    pub attempt: u32,
    pub max_attempts: u32,
    claim: i64,
    /// Made to see whether a destination that is down is back.
    probe: bool,
    holder: Holder,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Delivered,
    /// The destination is in trouble: it counts towards its being down. `rest`: how long it is left alone if it is. `reached`: it
    /// had the delivery in its hands.
    Unreachable {
        error: String,
        reached: bool,
        /// There was somebody at all.
        connected: bool,
        /// `at` is what the destination asked for.
        asked: bool,
        at: Timestamp,
        failures_max: u32,
        rest: Duration,
        rest_max: Duration,
    },
    /// It works and asks to come again; `asked`: at just this time.
    Later {
        error: String,
        at: Timestamp,
        asked: bool,
    },
    /// It works and refuses this one.
    Refused {
        error: String,
    },
    /// Stopped before it had an end, or could not even begin: the attempt does not count.
    Released,
    /// There is nothing to deliver any more; the destination has not been asked.
    Gone {
        error: String,
    },
}

impl End {
    /// The same without what the other side said.
    fn masked(&self) -> Self {
        let mut end = self.clone();
        if let Self::Unreachable { error, .. } | Self::Later { error, .. } | Self::Refused { error } = &mut end {
            "erased while it was on its way".clone_into(error);
        }
        end
    }
}

/// What the end of an attempt changed about its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Nothing,
    /// It counts as down from now on, until then at least.
    Down {
        until: Timestamp,
    },
    /// It was down and took this one; so many wait for it.
    Back {
        waiting: u64,
    },
}

/// Makes the deliveries of an event; one that is there already is left as it is.
///
/// # Errors
/// When a statement fails.
pub fn order(connection: &Connection, event_id: i64, orders: &[Order], now: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO destination_deliveries (event_id, destination, ordering_key, max_attempts, next_attempt_at, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (event_id, destination) DO NOTHING",
    )?;
    for order in orders {
        statement.execute(params![event_id, order.destination, order.ordering_key, order.max_attempts, now])?;
    }
    Ok(())
}

/// Gives an event's failed deliveries new attempts.
///
/// # Errors
/// When the statement fails.
pub fn retry(connection: &Connection, event_id: i64, attempts: u32, now: &str) -> Result<usize, StoreError> {
    Ok(connection
        .prepare_cached(
            "UPDATE destination_deliveries SET status = 'pending', next_attempt_at = ?1, finished_at = NULL, \
             max_attempts = attempts + ?2 WHERE event_id = ?3 AND status = 'failed'",
        )?
        .execute(params![now, attempts, event_id])?)
}

impl Store {
    /// When a delivery to `destination` is due next, as far as the destination itself lets; `None` when none waits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_delivery(&self, destination: &str) -> Result<Option<Timestamp>, StoreError> {
        self.reader.read(|connection| {
            let held: Option<(Option<String>, Option<String>)> = connection
                .prepare_cached("SELECT paused_at, rest_until FROM destinations WHERE name = ?")?
                .query_row([destination], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            // Found at once when the first in line is due; a long line is read to its end only when none is.
            let now: Option<String> = connection
                .prepare_cached(
                    "SELECT next_attempt_at FROM destination_deliveries WHERE destination = ? AND status = 'pending' \
                     AND next_attempt_at <= ? LIMIT 1",
                )?
                .query_row(params![destination, clock::text(self.clock.now())], |row| row.get(0))
                .optional()?;
            let due: Option<String> = match now {
                Some(now) => Some(now),
                None => connection
                    .prepare_cached(
                        "SELECT min(next_attempt_at) FROM destination_deliveries WHERE destination = ? AND status = 'pending'",
                    )?
                    .query_row([destination], |row| row.get(0))?,
            };
            let Some(due) = due else { return Ok(None) };
            Ok(match held {
                Some((Some(_paused), _)) => None,
                Some((None, Some(rest))) if rest > due => clock::parse(&rest).ok(),
                _ => clock::parse(&due).ok(),
            })
        })
    }

    /// Claims up to `limit` due deliveries to `destination`, in the order of their events.
    ///
    /// # Errors
    /// When the transaction fails; then nothing is claimed.
    pub async fn claim_deliveries(
        &self,
        destination: &str,
        holder: &Holder,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (destination, holder, now) = (destination.to_owned(), holder.clone(), self.clock.now());
        self.writer
            .submit(Kind::Upkeep, move |connection| claim(connection, &destination, &holder, limit, lease, now))
            .await
    }

    /// Writes the end of an attempt; `ran` is how long it took.
    ///
    /// # Errors
    /// [`StoreError::ClaimLost`] when somebody else holds the delivery by now.
    pub async fn finish_delivery(&self, delivery: &Delivery, end: &End, ran: Duration) -> Result<Turn, StoreError> {
        let (delivery, end, now) = (delivery.clone(), end.clone(), self.clock.now());
        self.writer.submit(Kind::Upkeep, move |connection| finish(connection, &delivery, &end, ran, now)).await
    }

    /// Who holds deliveries now, and whether one's lease has ended.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn delivery_holders(&self) -> Result<Vec<(Holder, bool)>, StoreError> {
        let now = clock::text(self.clock.now());
        self.reader.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT locked_by, coalesce(locked_process, ''), min(coalesce(lease_until, '')) < ? FROM destination_deliveries \
                 WHERE status = 'delivering' GROUP BY 1, 2",
            )?;
            let rows = statement
                .query_map([now], |row| Ok((Holder { worker: row.get(0)?, process: row.get(1)? }, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Takes deliveries away from `from`: all of them when it is dead, those whose lease has ended otherwise.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn rescue_deliveries(&self, from: &Holder, dead: bool, rescuer: &Holder) -> Result<u64, StoreError> {
        let (from, rescuer, now) = (from.clone(), rescuer.clone(), clock::text(self.clock.now()));
        self.writer
            .submit(Kind::Requeue, move |connection| {
                let why = if dead {
                    format!("{} died while it delivered this", from.worker)
                } else {
                    "its lease ended without an outcome".to_owned()
                };
                let held: Vec<(i64, u32, u32)> = connection
                    .prepare_cached(
                        "SELECT id, attempts, max_attempts FROM destination_deliveries WHERE status = 'delivering' \
                         AND locked_by = ?1 AND coalesce(locked_process, '') = ?2 AND (?3 OR coalesce(lease_until, '') < ?4)",
                    )?
                    .query_map(params![from.worker, from.process, dead, now], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                    })?
                    .collect::<Result<_, _>>()?;
                for (id, attempts, max_attempts) in &held {
                    let status = if attempts >= max_attempts { "failed" } else { "pending" };
                    turn(connection, *id, status, Some(&now), Some(&why), 0, &now)?;
                    log(connection, *id, &now, status, *attempts, &rescuer.worker, None, Some(&why))?;
                }
                Ok(held.len() as u64)
            })
            .await
    }
}

fn claim(
    connection: &Connection,
    destination: &str,
    holder: &Holder,
    limit: u32,
    lease: Duration,
    now: Timestamp,
) -> Result<Vec<Delivery>, StoreError> {
    let at = clock::text(now);
    let state: Option<(bool, bool, bool)> = connection
        .prepare_cached(
            "SELECT paused_at IS NOT NULL, coalesce(rest_until, '') > ?2, down_since IS NOT NULL FROM destinations WHERE name = ?1",
        )?
        .query_row(params![destination, at], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (held, down) = state.map_or((false, false), |(paused, rests, down)| (paused || rests, down));
    // A destination that is down gets one at a time, to see whether it is back.
    let on_its_way = "SELECT 1 FROM destination_deliveries WHERE destination = ? AND status = 'delivering'";
    if held || (down && connection.prepare_cached(on_its_way)?.exists([destination])?) {
        return Ok(Vec::new());
    }
    let limit = if down { 1 } else { limit };
    // Events are claimed in this order, so behind the first that is due there is nothing that was worked long before it.
    let first_due: i64 = connection
        .prepare_cached(
            "SELECT id FROM webhook_events WHERE status = 'received' AND next_attempt_at <= ? \
             ORDER BY next_attempt_at, id LIMIT 1",
        )?
        .query_row([&at], |row| row.get(0))
        .optional()?
        .unwrap_or(i64::MAX);
    // In the order of the events by the index, which is left at the limit; of one that is down, what choked it steps back.
    let order = if down { "coalesce(d.not_before, ''), d.event_id" } else { "d.event_id" };
    let mut deliveries = connection
        .prepare_cached(
            &format!("WITH in_work AS MATERIALIZED (SELECT source, shop_domain, min(id) AS id FROM webhook_events \
               WHERE status = 'processing' GROUP BY 1, 2) \
             UPDATE destination_deliveries SET status = 'delivering', attempts = attempts + 1, claims = claims + 1, \
             next_attempt_at = NULL, locked_by = ?1, locked_process = ?2, lease_until = ?3 \
             WHERE id IN (SELECT d.id FROM destination_deliveries d \
               WHERE d.destination = ?4 AND d.status = 'pending' AND d.next_attempt_at <= ?5 AND (d.ordering_key = '' OR ( \
                 d.event_id < ?7 \
                 AND NOT EXISTS (SELECT 1 FROM webhook_events e JOIN in_work w ON w.source = e.source AND w.shop_domain = e.shop_domain \
                                 WHERE e.id = d.event_id AND w.id < e.id) \
                 AND NOT EXISTS (SELECT 1 FROM destination_deliveries p WHERE p.destination = ?4 \
                             AND p.ordering_key = d.ordering_key AND p.status = 'pending' AND p.event_id < d.event_id) \
                 AND NOT EXISTS (SELECT 1 FROM destination_deliveries p WHERE p.destination = ?4 \
                                 AND p.ordering_key = d.ordering_key AND p.status = 'delivering'))) \
               ORDER BY {order} LIMIT ?6) \
             RETURNING id, event_id, attempts, max_attempts, claims, \
               (SELECT source FROM webhook_events e WHERE e.id = event_id), \
               (SELECT shop_domain FROM webhook_events e WHERE e.id = event_id), \
               (SELECT topic FROM webhook_events e WHERE e.id = event_id), \
               (SELECT webhook_id FROM webhook_events e WHERE e.id = event_id)"),
        )?
        .query_map(
            params![holder.worker, holder.process, clock::text(clock::after(now, lease)), destination, at, limit, first_due],
            |row| {
                Ok(Delivery {
                    id: row.get(0)?,
                    event_id: row.get(1)?,
                    destination: destination.to_owned(),
                    attempt: row.get(2)?,
                    max_attempts: row.get(3)?,
                    claim: row.get(4)?,
                    probe: down,
                    source: row.get(5)?,
                    shop_domain: row.get(6)?,
                    topic: row.get(7)?,
                    webhook_id: row.get(8)?,
                    holder: holder.clone(),
                })
            },
        )?
        .collect::<Result<Vec<_>, _>>()?;
    deliveries.sort_by_key(|delivery| delivery.event_id);
    Ok(deliveries)
}

fn finish(
    connection: &Connection,
    delivery: &Delivery,
    end: &End,
    ran: Duration,
    now: Timestamp,
) -> Result<Turn, StoreError> {
    let at = clock::text(now);
    let mine = connection
        .prepare_cached(
            "SELECT 1 FROM destination_deliveries WHERE id = ? AND status = 'delivering' AND locked_by = ? AND claims = ?",
        )?
        .exists(params![delivery.id, delivery.holder.worker, delivery.claim])?;
    if !mine {
        return Err(StoreError::ClaimLost { event_id: delivery.event_id });
    }
    // What the other side said may be what was erased meanwhile.
    let masked = erasure::is_erased(connection, delivery.event_id)?.then(|| end.masked());
    let end = masked.as_ref().unwrap_or(end);
    let name = &delivery.destination;
    let (failures, down): (u32, bool) = connection
        .prepare_cached("SELECT failures, down_since IS NOT NULL FROM destinations WHERE name = ?")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .unwrap_or((0, false));
    let last = delivery.attempt >= delivery.max_attempts;
    let rest_end = rest_until(delivery, end, failures, now);
    let (status, next, error, given_back) = match end {
        End::Delivered => ("delivered", None, None, 0),
        End::Refused { error } | End::Gone { error } => ("failed", None, Some(error.as_str()), 0),
        End::Released => ("pending", Some(now), None, 1),
        // Only tried to see whether it is back, and it is not: the delivery is not to blame, and is due again with the next try.
        // One that the destination choked on may be to blame: its attempt counts, so that it comes to an end.
        End::Unreachable { error, reached: false, .. } if delivery.probe => {
            ("pending", Some(rest_end), Some(error.as_str()), 1)
        }
        End::Unreachable { error, .. } | End::Later { error, .. } if last => ("failed", None, Some(error.as_str()), 0),
        End::Unreachable { error, at, .. } | End::Later { error, at, .. } => {
            ("pending", Some(*at), Some(error.as_str()), 0)
        }
    };
    let not_before = match end {
        End::Later { at, asked: true, .. } if status == "pending" => Some(clock::text(*at)),
        // It may still be this one's doing that nobody answered: the next try is another one's.
        End::Unreachable { connected: true, .. } if status == "pending" => Some(clock::text(rest_end)),
        _ => None,
    };
    connection
        .prepare_cached("UPDATE destination_deliveries SET not_before = ?1 WHERE id = ?2 AND not_before IS NOT ?1")?
        .execute(params![not_before, delivery.id])?;
    turn(connection, delivery.id, status, next.map(clock::text).as_deref(), error, given_back, &at)?;
    let ran_ms = i64::try_from(ran.as_millis()).unwrap_or(i64::MAX);
    log(connection, delivery.id, &at, status, delivery.attempt, &delivery.holder.worker, Some(ran_ms), error)?;
    match end {
        End::Released | End::Gone { .. } => Ok(Turn::Nothing),
        End::Unreachable { error, failures_max, .. } => {
            let failures = failures.saturating_add(1);
            // What was on its way already when it was found to be down tells nothing new.
            let opens = delivery.probe || (!down && failures >= *failures_max);
            connection
                .prepare_cached(
                    "INSERT INTO destinations (name, failures, down_since, rest_until, last_error) VALUES (?1, ?2, ?3, ?4, ?5) \
                     ON CONFLICT DO UPDATE SET failures = CASE WHEN ?6 THEN failures ELSE ?2 END, \
                     down_since = coalesce(down_since, ?3), rest_until = coalesce(?4, rest_until), last_error = ?5",
                )?
                .execute(params![
                    name,
                    failures,
                    opens.then_some(&at),
                    opens.then(|| clock::text(rest_end)),
                    error,
                    down && !delivery.probe
                ])?;
            Ok(if opens { Turn::Down { until: rest_end } } else { Turn::Nothing })
        }
        End::Delivered | End::Later { .. } | End::Refused { .. } => {
            let success = matches!(end, End::Delivered).then_some(&at);
            connection
                .prepare_cached(
                    "INSERT INTO destinations (name, last_success_at, last_error) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET \
                     failures = 0, down_since = NULL, rest_until = NULL, last_success_at = coalesce(?2, last_success_at), \
                     last_error = coalesce(?3, last_error)",
                )?
                .execute(params![name, success, error])?;
            if !down {
                return Ok(Turn::Nothing);
            }
            // Due at once, so that the backlog goes in the order of its events; but for what it asked to get later.
            connection.execute(
                "UPDATE destination_deliveries SET next_attempt_at = ?1 WHERE destination = ?2 AND status = 'pending' \
                 AND next_attempt_at > ?1 AND coalesce(not_before, '') <= ?1",
                params![at, name],
            )?;
            let waiting = connection.query_row(
                "SELECT count(*) FROM destination_deliveries WHERE destination = ? AND status = 'pending'",
                [name],
                |row| row.get(0),
            )?;
            Ok(Turn::Back { waiting })
        }
    }
}

/// Until when a destination is left alone after this failure: twice as long after each try that found it still down, and not
/// before it asked to be tried again.
fn rest_until(delivery: &Delivery, end: &End, failures: u32, now: Timestamp) -> Timestamp {
    let End::Unreachable { at, failures_max, rest, rest_max, asked, .. } = end else { return now };
    let doublings = if delivery.probe { (failures + 1).saturating_sub(*failures_max).min(20) } else { 0 };
    let until = clock::after(now, rest.saturating_mul(1 << doublings).min(*rest_max));
    if *asked { until.max(*at) } else { until }
}

fn turn(
    connection: &Connection,
    id: i64,
    status: &str,
    next: Option<&str>,
    error: Option<&str>,
    given_back: u32,
    at: &str,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE destination_deliveries SET status = ?1, next_attempt_at = CASE WHEN ?1 = 'pending' THEN ?2 END, \
             last_error = CASE WHEN ?1 = 'delivered' THEN NULL ELSE coalesce(?3, last_error) END, attempts = attempts - ?4, \
             finished_at = CASE WHEN ?1 IN ('delivered', 'failed') THEN ?5 END, \
             locked_by = NULL, locked_process = NULL, lease_until = NULL WHERE id = ?6",
        )?
        .execute(params![status, next, error, given_back, at, id])?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the columns of one log row, in its order")]
fn log(
    connection: &Connection,
    delivery_id: i64,
    at: &str,
    to: &str,
    attempt: u32,
    worker: &str,
    duration_ms: Option<i64>,
    error: Option<&str>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO destination_delivery_log (delivery_id, at, to_status, attempt, worker, duration_ms, error) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![delivery_id, at, to, attempt, worker, duration_ms, error])?;
    Ok(())
}
