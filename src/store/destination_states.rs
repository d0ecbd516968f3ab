//! How each destination is doing, for people.

use super::StoreError;
use crate::clock::{self, Timestamp};
use rusqlite::{Connection, OptionalExtension};
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
    let mut others: BTreeSet<String> = connection
        .prepare_cached("SELECT DISTINCT destination FROM destination_deliveries WHERE status = 'pending' ORDER BY 1")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in configured {
        others.remove(name);
    }
    configured.iter().chain(&others).map(|name| state(connection, name, now)).collect()
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
