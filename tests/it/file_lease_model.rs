//! Leases of EDI files against a model: random claims, deaths, expired leases, and outcomes that arrive late. No two
//! owners record an outcome of one claim, and every file can be fetched in the end.

use crate::support::begun::OwnerRecords;
use crate::support::seed::seeded_config;
use crate::support::store_fixture::{StoreFixture, lease_owner};
use novex_ingest::internals::backoff::Backoff;
use novex_ingest::internals::clock::{add_duration, format_timestamp};
use novex_ingest::internals::store::StoreError;
use novex_ingest::internals::store::leases::LeaseOwner;
use novex_ingest::internals::store::leases::begun::AttemptStart;
use novex_ingest::internals::store::leases::files::{FILES, FileClaim, FileClaimOutcome, FileClaimResult, ListedFile};
use novex_ingest::internals::store::leases::recovery::RecoveredRow;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

const OWNER_COUNT: usize = 3;
const FILE_COUNT: usize = 3;
const LEASE: Duration = Duration::from_mins(1);
const BACKOFF: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Stored,
    Failed,
    Released,
}

#[derive(Debug, Clone)]
enum Step {
    Claim {
        by: usize,
        file: usize,
        ignores_backoff: bool,
    },
    /// Any claim that was ever given, also a lost or an ended one.
    Record(Index, End),
    Renew(Index),
    /// Fetching a claimed file begins.
    Begin(Index),
    Wait(Duration),
    RecoverExpired {
        by: usize,
    },
    RecoverDead {
        dead: usize,
        by: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let owner = 0..OWNER_COUNT;
    let end = prop_oneof![Just(End::Done), Just(End::Stored), Just(End::Failed), Just(End::Released)];
    // A second, longer than the backoff, longer than the lease.
    let wait = prop_oneof![Just(1), Just(31), Just(61)].prop_map(Duration::from_secs);
    let claim = (owner.clone(), 0..FILE_COUNT, any::<bool>());
    prop_oneof![
        5 => claim.prop_map(|(by, file, ignores_backoff)| Step::Claim { by, file, ignores_backoff }),
        5 => (any::<Index>(), end).prop_map(|(claim, end)| Step::Record(claim, end)),
        1 => any::<Index>().prop_map(Step::Renew),
        4 => any::<Index>().prop_map(Step::Begin),
        3 => wait.prop_map(Step::Wait),
        2 => owner.clone().prop_map(|by| Step::RecoverExpired { by }),
        1 => (owner.clone(), owner).prop_map(|(dead, by)| Step::RecoverDead { dead, by }),
    ]
}

/// A row of `sps_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileRow {
    status: String,
    attempts: u32,
    deaths: u32,
    fencing_token: i64,
    due: Option<String>,
    locked_by: Option<String>,
    lease_expires_at: Option<String>,
}

#[derive(Default)]
struct Model {
    /// By file name.
    rows: BTreeMap<String, FileRow>,
    /// Every claim that was given.
    claims: Vec<FileClaim>,
    /// Claims that have an outcome, as file and fencing token: no claim may get a second one.
    ended: HashSet<(String, i64)>,
    /// Ids of the rows, by file name.
    ids: BTreeMap<String, i64>,
    records: OwnerRecords,
}

fn backoff() -> Backoff {
    Backoff::doubling(BACKOFF, BACKOFF * 4)
}

fn owner(index: usize) -> LeaseOwner {
    lease_owner(&format!("owner-{index}"))
}

fn file_name(index: usize) -> String {
    format!("po-{index}.edi")
}

impl Model {
    fn has_lease(&self, claim: &FileClaim) -> bool {
        let row = &self.rows[&claim.name];
        row.status == "fetching" && row.fencing_token == claim.lease.fencing_token
    }

    fn end_lease(&mut self, name: &str, status: &str) {
        let row = self.rows.get_mut(name).unwrap();
        assert!(self.ended.insert((name.to_owned(), row.fencing_token)), "a claim got two outcomes");
        status.clone_into(&mut row.status);
        row.locked_by = None;
        row.lease_expires_at = None;
    }

    fn recover(&mut self, recovered: &[RecoveredRow], fixture: &StoreFixture, is_lost: impl Fn(&FileRow) -> bool) {
        let lost: Vec<String> = self
            .rows
            .iter()
            .filter(|(_, row)| row.status == "fetching" && is_lost(row))
            .map(|(name, _)| name.clone())
            .collect();
        assert_eq!(recovered.len(), lost.len());
        for name in lost {
            let row = self.rows.get_mut(&name).unwrap();
            let start = self.records.find_start(row.locked_by.as_deref(), self.ids[&name], row.fencing_token);
            let waits = start == AttemptStart::Begun || (start == AttemptStart::Unknown && row.deaths > 0);
            row.deaths += u32::from(start != AttemptStart::NotBegun);
            row.attempts += u32::from(waits);
            let wait = backoff().delay_after(row.attempts);
            row.due = waits.then(|| format_timestamp(add_duration(fixture.clock.now(), wait)));
            self.end_lease(&name, if waits { "failed" } else { "pending" });
        }
    }

    async fn apply(&mut self, step: &Step, fixture: &StoreFixture) {
        let now = format_timestamp(fixture.clock.now());
        let expires_at = format_timestamp(add_duration(fixture.clock.now(), LEASE));
        match step {
            Step::Claim { by, file, ignores_backoff } => {
                let name = file_name(*file);
                let listed = ListedFile {
                    source: "acme".into(),
                    name: name.clone(),
                    size: Some(10),
                    modified: None,
                    stays_at_source: false,
                    ignores_backoff: *ignores_backoff,
                };
                self.records.open(*by, &FILES, fixture);
                let result = fixture.store.claim_file(listed, &owner(*by), LEASE).await.unwrap();
                let is_claimable = self.rows.get(&name).is_none_or(|row| match row.status.as_str() {
                    // Only recovery ends the claim of another owner.
                    "fetching" => {
                        row.lease_expires_at.as_ref() < Some(&now) && row.locked_by == Some(owner(*by).worker)
                    }
                    "failed" | "stored" => *ignores_backoff || row.due.as_ref() <= Some(&now),
                    _ => true,
                });
                let FileClaimResult::Claimed(claim) = result else {
                    assert!(!is_claimable, "{name} was not claimed");
                    return;
                };
                assert!(is_claimable, "{name} was claimed");
                self.ids.insert(name.clone(), claim.id);
                let row = self.rows.entry(name).or_insert(FileRow {
                    status: String::new(),
                    attempts: 0,
                    deaths: 0,
                    fencing_token: 0,
                    due: None,
                    locked_by: None,
                    lease_expires_at: None,
                });
                row.status = "fetching".into();
                row.fencing_token += 1;
                row.locked_by = Some(owner(*by).worker);
                row.lease_expires_at = Some(expires_at);
                assert_eq!(
                    (claim.attempts, claim.lease.fencing_token, claim.deaths),
                    (row.attempts, row.fencing_token, row.deaths)
                );
                self.claims.push(claim);
            }
            Step::Record(index, end) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                self.record(&claim, *end, fixture).await;
            }
            Step::Renew(index) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                let leases = vec![(claim.id, claim.lease.clone())];
                let renewed = fixture.store.renew_leases(&FILES, leases, LEASE).await.unwrap();
                if self.has_lease(&claim) {
                    assert_eq!(renewed, [claim.id]);
                    self.rows.get_mut(&claim.name).unwrap().lease_expires_at = Some(expires_at);
                } else {
                    assert!(renewed.is_empty(), "a lost lease was renewed");
                }
            }
            Step::Begin(index) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                self.records.begin(&claim);
            }
            Step::Record(..) | Step::Renew(_) | Step::Begin(_) => {}
            Step::Wait(time) => fixture.clock.advance(*time),
            Step::RecoverExpired { by } => {
                let by = owner(*by);
                let recovered = fixture.store.recover_expired_leases(&FILES, &by, &backoff()).await.unwrap();
                self.recover(&recovered, fixture, |row| {
                    row.lease_expires_at.as_ref() < Some(&now) && row.locked_by.as_ref() != Some(&by.worker)
                });
            }
            Step::RecoverDead { dead, by } => {
                let (index, dead) = (*dead, owner(*dead));
                let recovered = fixture.store.recover_dead_owner(&FILES, &dead, &owner(*by), &backoff()).await.unwrap();
                self.recover(&recovered, fixture, |row| row.locked_by.as_ref() == Some(&dead.worker));
                self.records.forget(index);
            }
        }
    }

    async fn record(&mut self, claim: &FileClaim, end: End, fixture: &StoreFixture) {
        let retry_at = add_duration(fixture.clock.now(), BACKOFF);
        let error = "no".to_owned();
        let outcome = match end {
            End::Done => FileClaimOutcome::Done { event_id: 1 },
            End::Stored => FileClaimOutcome::Stored { event_id: 1, error, retry_at },
            End::Failed => FileClaimOutcome::Failed { error, retry_at },
            End::Released => FileClaimOutcome::Released,
        };
        let result = fixture.store.record_file_outcome(claim, &outcome).await;
        if !self.has_lease(claim) {
            assert!(matches!(result, Err(StoreError::ClaimLost { .. })), "a lost lease recorded {end:?}: {result:?}");
            return;
        }
        result.unwrap();
        self.records.end(claim);
        let row = self.rows.get_mut(&claim.name).unwrap();
        if end != End::Released {
            row.deaths = 0;
        }
        let is_failure = matches!(end, End::Stored | End::Failed);
        row.attempts = if is_failure { row.attempts + 1 } else { 0 };
        row.due = is_failure.then(|| format_timestamp(retry_at));
        let status = match end {
            End::Done => "done",
            End::Stored => "stored",
            End::Failed => "failed",
            End::Released => "pending",
        };
        self.end_lease(&claim.name, status);
    }

    /// Compares the database with the model.
    fn check(&self, fixture: &StoreFixture) {
        let read = fixture.store.reader.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, status, attempts, fencing_token, next_attempt_at, locked_by, lease_expires_at, deaths FROM sps_files",
            )?;
            let rows = statement.query_map([], |row| {
                let file = FileRow {
                    status: row.get(1)?,
                    attempts: row.get(2)?,
                    fencing_token: row.get(3)?,
                    due: row.get(4)?,
                    locked_by: row.get(5)?,
                    lease_expires_at: row.get(6)?,
                    deaths: row.get(7)?,
                };
                Ok((row.get(0)?, file))
            })?;
            Ok::<_, StoreError>(rows.collect::<Result<BTreeMap<String, FileRow>, _>>()?)
        });
        assert_eq!(read.unwrap(), self.rows);
    }

    /// From any state, a poll after the leases and the backoff claims every file.
    async fn run_out(&mut self, fixture: &StoreFixture) {
        self.apply(&Step::Wait(LEASE), fixture).await;
        self.apply(&Step::Wait(Duration::from_secs(1)), fixture).await;
        self.apply(&Step::RecoverExpired { by: 0 }, fixture).await;
        self.apply(&Step::Wait(BACKOFF * 4), fixture).await;
        for file in 0..FILE_COUNT {
            let before = self.claims.len();
            self.apply(&Step::Claim { by: 0, file, ignores_backoff: false }, fixture).await;
            let claims = self.claims[before..].to_vec();
            for claim in &claims {
                self.record(claim, End::Done, fixture).await;
            }
            self.check(fixture);
        }
        assert!(self.rows.values().all(|row| row.status == "done"), "{:?}", self.rows);
    }
}

proptest! {
    #![proptest_config(seeded_config(40))]

    #[test]
    fn no_two_owners_record_one_file_claim(steps in prop::collection::vec(any_step(), 1..70)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = StoreFixture::new();
            fixture.receive("w1", 8).await;
            let mut model = Model::default();
            for step in &steps {
                model.apply(step, &fixture).await;
                model.check(&fixture);
            }
            model.run_out(&fixture).await;
            fixture.store.writer.close().await;
        });
    }
}
