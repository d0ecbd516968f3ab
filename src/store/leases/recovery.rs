//! Recovering leases: those of dead processes, and those that expired.
//!
//! A lost claim costs a row only what its owner did to it, as the owner's record shows ([`super::begun`]):
//!
//! | the work on the row | attempt | next attempt |
//! |---|---|---|
//! | had begun | counts | after the backoff, alone |
//! | had not begun | does not count | at once |
//! | is not known | counts | at once and alone; after the backoff if the row lost an attempt so before |
//!
//! `deaths` counts the attempts of a row that ended so, one after another. An attempt with an outcome sets it to zero.

use crate::backoff::Backoff;
use crate::clock::{self, Timestamp};
use crate::store::db::writer::WriteClass;
use crate::store::leases::begun::{AttemptStart, BegunRows, remove_record};
use crate::store::leases::{LeaseOwner, LeasedTable};
use crate::store::{Store, StoreError};
use rusqlite::{Connection, Row};
use std::path::{Path, PathBuf};

/// A row whose lease is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecoverableRow {
    pub id: i64,
    /// As stored: events and deliveries count the lost attempt already.
    pub attempts: u32,
    /// None: the row has no limit.
    pub max_attempts: Option<u32>,
    pub deaths: u32,
    fencing_token: i64,
}

/// How and when a lease is recovered, and by whom.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    pub start: AttemptStart,
    pub reason: &'a str,
    pub by: &'a LeaseOwner,
    pub at: &'a str,
    /// None: at once.
    pub retry_at: Option<&'a str>,
}

impl Recovery<'_> {
    /// Returns true if the lost attempt counts.
    pub(crate) fn counts(&self) -> bool {
        self.start != AttemptStart::NotBegun
    }
}

/// A row whose lease was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveredRow {
    pub id: i64,
    pub start: AttemptStart,
    /// What happened to the attempt.
    pub reason: String,
    /// The lost attempt was the last one.
    pub has_failed: bool,
    /// None: at once.
    pub retry_at: Option<String>,
}

/// Why an owner lost its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseLoss {
    OwnerDied,
    Expired,
}

impl Store {
    /// Recovers all leases of a dead process. Returns the rows. `backoff`: after an attempt that had begun.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn recover_dead_owner(
        &self,
        table: &'static LeasedTable,
        dead: &LeaseOwner,
        by: &LeaseOwner,
        backoff: &Backoff,
    ) -> Result<Vec<RecoveredRow>, StoreError> {
        let context = self.recovery_context(table, LeaseLoss::OwnerDied, by, backoff);
        let sql = format!("{} AND locked_by = ?1 AND coalesce(locked_process, '') = ?2", select_recoverable_sql(table));
        let owner = dead.clone();
        let job = move |connection: &Connection| {
            let rows = connection
                .prepare_cached(&sql)?
                .query_map([&owner.worker, &owner.process], read_recoverable_row)?
                .collect::<Result<Vec<_>, _>>()?;
            context.recover_rows(connection, &rows)
        };
        let recovered = self.writer.submit(WriteClass::Wake, job).await?;
        remove_record(self.path(), table, dead);
        Ok(recovered)
    }

    /// Recovers the expired leases of all other processes. Returns the rows. `backoff`: after an attempt that had
    /// begun.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn recover_expired_leases(
        &self,
        table: &'static LeasedTable,
        by: &LeaseOwner,
        backoff: &Backoff,
    ) -> Result<Vec<RecoveredRow>, StoreError> {
        let context = self.recovery_context(table, LeaseLoss::Expired, by, backoff);
        let sql = format!(
            "{} AND coalesce(lease_expires_at, '') < ?1 AND NOT (locked_by = ?2 AND coalesce(locked_process, '') = ?3)",
            select_recoverable_sql(table)
        );
        // A reading connection looks first: an idle process takes no write lock.
        let found = self.reader.read(|connection| {
            Ok(connection.prepare_cached(&sql)?.exists([&context.at, &by.worker, &by.process])?)
        })?;
        if !found {
            return Ok(Vec::new());
        }
        let job = move |connection: &Connection| {
            let rows = connection
                .prepare_cached(&sql)?
                .query_map([&context.at, &context.by.worker, &context.by.process], read_recoverable_row)?
                .collect::<Result<Vec<_>, _>>()?;
            context.recover_rows(connection, &rows)
        };
        self.writer.submit(WriteClass::Wake, job).await
    }

    fn recovery_context(
        &self,
        table: &'static LeasedTable,
        loss: LeaseLoss,
        by: &LeaseOwner,
        backoff: &Backoff,
    ) -> RecoveryContext {
        let now = self.clock.now();
        RecoveryContext {
            database: self.path().to_owned(),
            table,
            loss,
            by: by.clone(),
            now,
            at: clock::format_timestamp(now),
            backoff: backoff.clone(),
        }
    }
}

fn select_recoverable_sql(table: &LeasedTable) -> String {
    format!(
        "SELECT id, attempts, {}, deaths, fencing_token, locked_by, coalesce(locked_process, '') FROM {} \
         WHERE status = '{}'",
        table.max_attempts, table.name, table.leased_status
    )
}

fn read_recoverable_row(row: &Row<'_>) -> rusqlite::Result<(RecoverableRow, LeaseOwner)> {
    let recoverable = RecoverableRow {
        id: row.get(0)?,
        attempts: row.get(1)?,
        max_attempts: row.get(2)?,
        deaths: row.get(3)?,
        fencing_token: row.get(4)?,
    };
    Ok((recoverable, LeaseOwner { worker: row.get(5)?, process: row.get(6)? }))
}

/// What all rows of one recovery share.
struct RecoveryContext {
    database: PathBuf,
    table: &'static LeasedTable,
    loss: LeaseLoss,
    by: LeaseOwner,
    now: Timestamp,
    at: String,
    backoff: Backoff,
}

impl RecoveryContext {
    fn recover_rows(
        &self,
        connection: &Connection,
        rows: &[(RecoverableRow, LeaseOwner)],
    ) -> Result<Vec<RecoveredRow>, StoreError> {
        let mut records = OwnerRecords::default();
        let mut recovered = Vec::with_capacity(rows.len());
        for (row, owner) in rows {
            let start = records.find(&self.database, self.table, owner).find_start(row.id, row.fencing_token);
            // The attempts of a file count its failures, without the present attempt.
            let attempt = row.attempts + u32::from(row.max_attempts.is_none());
            let waits = match start {
                AttemptStart::Begun => true,
                AttemptStart::NotBegun => false,
                AttemptStart::Unknown => row.deaths > 0,
            };
            let retry_at = waits
                .then(|| clock::format_timestamp(clock::add_duration(self.now, self.backoff.delay_after(attempt))));
            let reason = self.describe(owner, start, attempt, row.max_attempts);
            let recovery =
                Recovery { start, reason: &reason, by: &self.by, at: &self.at, retry_at: retry_at.as_deref() };
            let has_failed = (self.table.write_recovered)(connection, row, &recovery)?;
            recovered.push(RecoveredRow { id: row.id, start, reason, has_failed, retry_at });
        }
        Ok(recovered)
    }

    fn describe(&self, owner: &LeaseOwner, start: AttemptStart, attempt: u32, max_attempts: Option<u32>) -> String {
        let (worker, activity) = (&owner.worker, self.table.activity);
        let count = max_attempts.map_or(String::new(), |max| format!(" ({attempt} of {max})"));
        match (self.loss, start) {
            (LeaseLoss::OwnerDied, AttemptStart::Begun) => {
                format!("the worker process {worker} died while it {activity}{count}")
            }
            (LeaseLoss::OwnerDied, AttemptStart::NotBegun) => {
                format!("the worker process {worker} died before it {activity}; the attempt does not count")
            }
            (LeaseLoss::OwnerDied, AttemptStart::Unknown) => {
                format!(
                    "the worker process {worker} died during this attempt{count}; no record shows whether it {activity}"
                )
            }
            (LeaseLoss::Expired, AttemptStart::Begun) => {
                format!("the lease expired while the worker process {worker} {activity}{count}")
            }
            (LeaseLoss::Expired, AttemptStart::NotBegun) => {
                format!("the lease expired before the worker process {worker} {activity}; the attempt does not count")
            }
            (LeaseLoss::Expired, AttemptStart::Unknown) => {
                format!("the lease expired before the attempt had an outcome{count}")
            }
        }
    }
}

/// The records of the owners whose rows are recovered, each read once.
#[derive(Default)]
struct OwnerRecords(Vec<(LeaseOwner, BegunRows)>);

impl OwnerRecords {
    fn find(&mut self, database: &Path, table: &LeasedTable, owner: &LeaseOwner) -> &BegunRows {
        let index = self.0.iter().position(|(known, _)| known == owner).unwrap_or_else(|| {
            self.0.push((owner.clone(), BegunRows::read(database, table, owner)));
            self.0.len() - 1
        });
        &self.0[index].1
    }
}
