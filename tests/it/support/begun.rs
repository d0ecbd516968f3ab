//! The begun records of the owners in a model test.

use super::StoreFixture;
use super::store_fixture::lease_owner;
use novex_ingest::internals::store::leases::begun::{AttemptStart, BegunMark, BegunRecord};
use novex_ingest::internals::store::leases::{Leased, LeasedTable};
use std::collections::HashMap;

/// This owner leaves no record, as after a restart of the machine.
const OWNER_WITHOUT_RECORD: usize = 2;

/// The records of the owners `owner-0`, `owner-1` and so on, and the marks in them.
#[derive(Default)]
pub struct OwnerRecords {
    records: HashMap<String, BegunRecord>,
    /// By row and fencing token: the owner, and its mark.
    marks: HashMap<(i64, i64), (String, BegunMark)>,
}

impl OwnerRecords {
    /// Opens the record of an owner, as a process does before it claims.
    pub fn open(&mut self, owner: usize, table: &LeasedTable, fixture: &StoreFixture) {
        if owner != OWNER_WITHOUT_RECORD {
            let owner = lease_owner(&format!("owner-{owner}"));
            let new = || BegunRecord::new(fixture.store.path(), table, &owner);
            self.records.entry(owner.worker.clone()).or_insert_with(new).open();
        }
    }

    /// Marks a claim as begun.
    pub fn begin<C: Leased>(&mut self, claim: &C) {
        let worker = &claim.lease().owner.worker;
        if let Some(record) = self.records.get(worker) {
            let key = (claim.row_id(), claim.lease().fencing_token);
            self.marks.entry(key).or_insert_with(|| (worker.clone(), record.begin(claim)));
        }
    }

    /// Clears the mark of a claim that has an outcome.
    pub fn end<C: Leased>(&mut self, claim: &C) {
        self.marks.remove(&(claim.row_id(), claim.lease().fencing_token));
    }

    /// Drops what a dead owner had; a later claim under its name makes a new record.
    pub fn forget(&mut self, owner: usize) {
        let worker = lease_owner(&format!("owner-{owner}")).worker;
        self.marks.retain(|_, (marked_by, _)| *marked_by != worker);
        self.records.remove(&worker);
    }

    /// Returns what recovery must know about a lost claim.
    pub fn find_start(&self, owner: Option<&str>, row_id: i64, fencing_token: i64) -> AttemptStart {
        if owner == Some(&lease_owner(&format!("owner-{OWNER_WITHOUT_RECORD}")).worker) {
            AttemptStart::Unknown
        } else if self.marks.contains_key(&(row_id, fencing_token)) {
            AttemptStart::Begun
        } else {
            AttemptStart::NotBegun
        }
    }
}
