//! How each destination is doing, and what an operator does about it.

use super::writer::Kind;
use super::{Store, StoreError};
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use std::collections::BTreeSet;

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    pub name: String,
    pub paused_at: Option<String>,
    pub down_since: Option<String>,
    pub rest_until: Option<String>,
    pub waiting: u64,
    /// When the oldest event that waits was completed.
    pub oldest_waiting_at: Option<String>,
    pub oldest_waiting_seconds: Option<u64>,
    pub failed: u64,
    pub last_success_at: Option<String>,
    pub last_error: Option<String>,
}

/// A delivery of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfEvent {
    pub destination: String,
    pub status: String,
    pub attempts: u32,
    pub max_attempts: u32,
    pub next_attempt_at: Option<String>,
    pub last_error: Option<String>,
    pub finished_at: Option<String>,
}

/// The destinations of the configuration, and others that something waits for.
///
/// # Errors
/// When a query fails.
pub fn list(connection: &Connection, configured: &[String], now: Timestamp) -> Result<Vec<State>, StoreError> {
    let others = unconfigured(connection, configured)?;
    configured.iter().chain(&others).map(|name| state(connection, name, now)).collect()
}

/// Names that something waits for and that are not among the configured ones.
///
/// # Errors
/// When a query fails.
pub fn unconfigured(connection: &Connection, configured: &[String]) -> Result<BTreeSet<String>, StoreError> {
    // From one name to the next by the index, past all that waits for each.
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE names (name) AS (SELECT min(destination) FROM destination_deliveries WHERE status = 'pending' UNION ALL \
           SELECT (SELECT min(destination) FROM destination_deliveries WHERE status = 'pending' AND destination > name) \
             FROM names WHERE name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    let mut others = names.collect::<Result<BTreeSet<String>, _>>()?;
    for name in configured {
        others.remove(name);
    }
    Ok(others)
}

fn state(connection: &Connection, name: &str, now: Timestamp) -> Result<State, StoreError> {
    let (waiting, oldest): (u64, Option<String>) = connection
        .prepare_cached(
            "SELECT count(*), min(created_at) FROM destination_deliveries WHERE destination = ?1 AND status IN ('pending', 'delivering')",
        )?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let failed = connection
        .prepare_cached("SELECT count(*) FROM destination_deliveries WHERE status = 'failed' AND destination = ?")?
        .query_row([name], |row| row.get(0))?;
    let mut state = State {
        name: name.to_owned(),
        paused_at: None,
        down_since: None,
        rest_until: None,
        waiting,
        oldest_waiting_seconds: oldest
            .as_deref()
            .and_then(|text| clock::parse(text).ok())
            .map(|at| clock::between(at, now).as_secs()),
        oldest_waiting_at: oldest,
        failed,
        last_success_at: None,
        last_error: None,
    };
    connection
        .prepare_cached(
            "SELECT paused_at, down_since, rest_until, last_success_at, last_error FROM destinations WHERE name = ?",
        )?
        .query_row([name], |row| {
            state.paused_at = row.get(0)?;
            state.down_since = row.get(1)?;
            state.rest_until = row.get(2)?;
            state.last_success_at = row.get(3)?;
            state.last_error = row.get(4)?;
            Ok(())
        })
        .optional()?;
    Ok(state)
}

/// Where one event was handed on to, in the order of the configuration then.
///
/// # Errors
/// When the query fails.
pub fn of_event(connection: &Connection, event_id: i64) -> Result<Vec<OfEvent>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT destination, status, attempts, max_attempts, next_attempt_at, last_error, finished_at \
         FROM destination_deliveries WHERE event_id = ? ORDER BY id",
    )?;
    let rows = statement.query_map([event_id], |row| {
        Ok(OfEvent {
            destination: row.get(0)?,
            status: row.get(1)?,
            attempts: row.get(2)?,
            max_attempts: row.get(3)?,
            next_attempt_at: row.get(4)?,
            last_error: row.get(5)?,
            finished_at: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Deliveries given up in one transaction: bounds how long it holds the lock.
const BATCH: u32 = 500;

impl Store {
    /// Holds a destination, or lets it go.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn pause_destination(&self, name: &str, pause: bool) -> Result<(), StoreError> {
        let (name, at) = (name.to_owned(), pause.then(|| clock::text(self.clock.now())));
        self.writer
            .submit(Kind::Requeue, move |connection| {
                connection.execute(
                    "INSERT INTO destinations (name, paused_at) VALUES (?1, ?2) \
                     ON CONFLICT DO UPDATE SET paused_at = CASE WHEN ?2 IS NULL THEN NULL ELSE coalesce(paused_at, ?2) END, \
                     rest_until = CASE WHEN ?2 IS NULL THEN NULL ELSE rest_until END",
                    params![name, at],
                )?;
                Ok(())
            })
            .await
    }

    /// Gives up everything that waits for a destination: the deliveries fail, and `events retry` brings back what is wanted
    /// after all. Gives how many. What is on its way is left to its end.
    ///
    /// # Errors
    /// When a transaction fails; what was given up before stays so.
    pub async fn drop_deliveries(&self, destination: &str, by: &str) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let (destination, by, now) = (destination.to_owned(), by.to_owned(), clock::text(self.clock.now()));
            let job = move |connection: &Connection| {
                let ids: Vec<(i64, u32)> = connection
                    .prepare_cached(
                        "UPDATE destination_deliveries SET status = 'failed', next_attempt_at = NULL, not_before = NULL, finished_at = ?1, \
                         last_error = ?2 WHERE id IN (SELECT id FROM destination_deliveries WHERE destination = ?3 \
                         AND status = 'pending' LIMIT ?4) RETURNING id, attempts",
                    )?
                    .query_map(params![now, GIVEN_UP, destination, BATCH], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<Result<_, _>>()?;
                for (id, attempts) in &ids {
                    connection
                        .prepare_cached(
                            "INSERT INTO destination_delivery_log (delivery_id, at, to_status, attempt, worker, error) \
                             VALUES (?, ?, 'failed', ?, ?, ?)",
                        )?
                        .execute(params![id, now, attempts, by, GIVEN_UP])?;
                }
                Ok(ids.len() as u64)
            };
            let count = self.writer.submit(Kind::Requeue, job).await?;
            dropped += count;
            if count < u64::from(BATCH) {
                return Ok(dropped);
            }
        }
    }
}

const GIVEN_UP: &str = "given up by hand: novex-ingest destinations drop";
