//! Leases: a process's exclusive, limited right to work on a row.
//!
//! Events, deliveries and EDI files are claimed in the same way, and this module has the one mechanism for all three:
//!
//! - a claim writes the lease's owner and expiry, and raises the row's fencing token, in one transaction;
//! - an owner renews its leases while it works;
//! - an outcome is recorded only under the lease: same owner, same fencing token ([`lease_sql!`] `fence`). A late
//!   outcome of a lost lease changes nothing: [`StoreError::ClaimLost`];
//! - a lease is recovered when its owner's process is dead, or when it expired. An owner never recovers its own expired
//!   leases: it times its work by a clock that nobody sets, and a wall clock that jumps forward must not take work from
//!   it;
//! - a lost claim counts only against a row whose work had begun ([`begun`], [`recovery`]).
//!
//! [`events`], [`deliveries`] and [`files`] have what differs: which rows are due, and what an outcome writes.

pub mod begun;
pub mod bulk_retries;
pub mod deliveries;
pub mod delivery_outcomes;
pub mod dismissals;
pub mod event_outcomes;
pub mod events;
pub mod files;
pub mod recovery;
pub mod request_decisions;
pub mod resends;

use crate::clock;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use recovery::{RecoverableRow, Recovery};
use rusqlite::{Connection, named_params};
use std::time::Duration;

/// Returns the parts of statements that every leased table shares. Parameters: `claim` takes `:locked_by`,
/// `:locked_process`, `:now` and `:lease_expires_at`; `fence` takes `:id`, `:locked_by` and `:fencing_token`.
macro_rules! lease_sql {
    (claim) => {
        "fencing_token = fencing_token + 1, locked_by = :locked_by, locked_process = :locked_process, locked_at = :now, \
         lease_expires_at = :lease_expires_at"
    };
    (clear) => {
        "locked_by = NULL, locked_process = NULL, locked_at = NULL, lease_expires_at = NULL"
    };
    (fence) => {
        "id = :id AND locked_by = :locked_by AND fencing_token = :fencing_token"
    };
}
pub(crate) use lease_sql;

/// The process that has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOwner {
    /// `hostname:pid`.
    pub worker: String,
    /// Distinguishes this process from a later one with the same pid. The store compares it and does not look into it.
    pub process: String,
}

/// One claim of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub owner: LeaseOwner,
    /// Numbers the claims of a row; never the same twice.
    pub fencing_token: i64,
}

/// A claimed row: an event, a delivery or a file.
pub trait Leased: Clone + Send + 'static {
    fn row_id(&self) -> i64;
    fn lease(&self) -> &Lease;
}

/// A table whose rows are leased.
#[derive(Debug)]
pub struct LeasedTable {
    pub(crate) name: &'static str,
    /// The status of a leased row.
    pub(crate) leased_status: &'static str,
    /// For log messages: `event`, `delivery`, `file`.
    pub(crate) noun: &'static str,
    /// What an owner does with a row, for messages: `ran this handler`.
    pub(crate) activity: &'static str,
    /// The column with the most attempts of a row, or `NULL` if rows have no limit.
    pub(crate) max_attempts: &'static str,
    /// Writes the status of a row whose lease is recovered. Returns true if the row failed for good.
    pub(crate) write_recovered: fn(&Connection, &RecoverableRow, &Recovery<'_>) -> Result<bool, StoreError>,
}

impl Store {
    /// Extends the leases of these rows to `duration` from now. Returns the rows whose lease is still the given one.
    ///
    /// # Errors
    /// When the transaction fails.
    pub async fn renew_leases(
        &self,
        table: &'static LeasedTable,
        leases: Vec<(i64, Lease)>,
        duration: Duration,
    ) -> Result<Vec<i64>, StoreError> {
        let expires_at = clock::format_timestamp(clock::add_duration(self.clock.now(), duration));
        let sql = format!(
            "UPDATE {} SET lease_expires_at = :lease_expires_at WHERE {} AND status = '{}'",
            table.name,
            lease_sql!(fence),
            table.leased_status
        );
        let job = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let mut renewed = Vec::with_capacity(leases.len());
            for (id, lease) in &leases {
                let rows = statement.execute(named_params! {
                    ":lease_expires_at": expires_at,
                    ":id": id,
                    ":locked_by": lease.owner.worker,
                    ":fencing_token": lease.fencing_token,
                })?;
                if rows > 0 {
                    renewed.push(*id);
                }
            }
            Ok(renewed)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Returns the owners of all leases of a table. Reads a partial index, so it costs what is leased now and no more.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lease_owners(&self, table: &'static LeasedTable) -> Result<Vec<LeaseOwner>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT locked_by, coalesce(locked_process, '') FROM {} WHERE status = '{}'",
            table.name, table.leased_status
        );
        self.reader.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], |row| Ok(LeaseOwner { worker: row.get(0)?, process: row.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
