//! The figures of the database that `/metrics` shows. They come from stored counts and from partial indexes over what
//! is not finished, so that history costs nothing.

use crate::clock::{self, Timestamp};
use crate::store::StoreError;
use crate::store::events::stats::{StoreStats, read_stats};
use rusqlite::{Connection, OptionalExtension};

/// Figures of the database at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreGauges {
    pub stats: StoreStats,
    /// Seconds since the oldest due event became due; 0 if none is due.
    pub oldest_due_seconds: u64,
    pub deliveries: Vec<DeliveryCount>,
    pub destinations: Vec<DestinationGauge>,
    pub edi_sources: Vec<EdiSourceGauge>,
    /// Alerts that hold and that no person dismissed.
    pub open_alerts: u64,
}

/// Number of deliveries to one destination in one status. Failed ones that an operator dismissed do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryCount {
    pub destination: String,
    pub status: &'static str,
    pub deliveries: u64,
}

/// The state of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationGauge {
    pub name: String,
    /// The circuit breaker stops its deliveries.
    pub is_down: bool,
    pub is_paused: bool,
}

/// The state of one EDI source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdiSourceGauge {
    pub name: String,
    /// Polls that failed since the last success.
    pub consecutive_failures: u32,
    /// Seconds since the last successful poll; `None`: there was none.
    pub success_age_seconds: Option<u64>,
}

/// Reads the figures as of `now`.
pub fn read_gauges(connection: &Connection, now: Timestamp) -> Result<StoreGauges, StoreError> {
    let age_of = |at: Option<String>| {
        at.and_then(|at| clock::parse_timestamp(&at).ok()).map(|at| clock::duration_between(at, now).as_secs())
    };
    let oldest_due: Option<String> = connection
        .prepare_cached(
            "SELECT next_attempt_at FROM webhook_events INDEXED BY webhook_events_due WHERE status = 'received' AND \
             next_attempt_at <= ? AND id NOT IN (SELECT event_id FROM destructive_requests WHERE state = 'waiting') \
             ORDER BY next_attempt_at LIMIT 1",
        )?
        .query_row([clock::format_timestamp(now)], |row| row.get(0))
        .optional()?;
    let mut sources = connection
        .prepare_cached("SELECT name, consecutive_failures, last_success_at FROM sps_sources ORDER BY name")?;
    let edi_sources = sources.query_map([], |row| {
        Ok(EdiSourceGauge {
            name: row.get(0)?,
            consecutive_failures: row.get(1)?,
            success_age_seconds: age_of(row.get(2)?),
        })
    })?;
    let edi_sources = edi_sources.collect::<Result<_, _>>()?;
    let mut states = connection
        .prepare_cached("SELECT name, down_since IS NOT NULL, paused_at IS NOT NULL FROM destinations ORDER BY name")?;
    let destinations = states.query_map([], |row| {
        Ok(DestinationGauge { name: row.get(0)?, is_down: row.get(1)?, is_paused: row.get(2)? })
    })?;
    let destinations = destinations.collect::<Result<_, _>>()?;
    Ok(StoreGauges {
        stats: read_stats(connection, now)?,
        oldest_due_seconds: age_of(oldest_due).unwrap_or(0),
        deliveries: list_delivery_counts(connection)?,
        destinations,
        edi_sources,
        open_alerts: connection.query_row(
            "SELECT count(*) FROM alerts WHERE recovered_at IS NULL AND dismissed_at IS NULL",
            [],
            |row| row.get(0),
        )?,
    })
}

/// The condition of each status, which is a constant in the query so that SQLite uses its partial index.
const DELIVERY_CONDITIONS: [(&str, &str); 3] = [
    ("pending", "status = 'pending'"),
    ("delivering", "status = 'delivering'"),
    ("failed", "status = 'failed' AND dismissed_at IS NULL"),
];

fn list_delivery_counts(connection: &Connection) -> Result<Vec<DeliveryCount>, StoreError> {
    let mut counts = Vec::new();
    for (status, condition) in DELIVERY_CONDITIONS {
        let sql =
            format!("SELECT destination, count(*) FROM destination_deliveries WHERE {condition} GROUP BY destination");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement
            .query_map([], |row| Ok(DeliveryCount { destination: row.get(0)?, status, deliveries: row.get(1)? }))?;
        counts.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::migrate::SCHEMA;

    #[test]
    fn counting_deliveries_reads_no_finished_ones() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        for (status, condition) in DELIVERY_CONDITIONS {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT destination, count(*) FROM destination_deliveries WHERE {condition} GROUP BY \
                 destination"
            );
            let mut statement = connection.prepare(&sql).unwrap();
            let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
            assert!(
                plan[0].contains("USING") && plan[0].contains("INDEX destination_deliveries_"),
                "{status}: {plan:?}"
            );
        }
    }
}
