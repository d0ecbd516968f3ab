//! Leases of deliveries against a model: random claims, deaths, expired leases, retries, and outcomes that arrive late.
//! No two owners record an outcome of one claim, a lost claim counts only if it may have been sent, and every delivery
//! comes to an end.

use crate::support::begun::OwnerRecords;
use crate::support::seed::seeded_config;
use crate::support::store_fixture::{StoreFixture, lease_owner};
use novex_ingest::internals::backoff::{Backoff, BreakerSettings};
use novex_ingest::internals::clock::{add_duration, format_timestamp};
use novex_ingest::internals::store::StoreError;
use novex_ingest::internals::store::db::writer::WriteClass;
use novex_ingest::internals::store::leases::LeaseOwner;
use novex_ingest::internals::store::leases::begun::AttemptStart;
use novex_ingest::internals::store::leases::deliveries::{self, DELIVERIES, DeliveryClaim, NewDelivery};
use novex_ingest::internals::store::leases::delivery_outcomes::{Cause, DeliveryOutcome};
use novex_ingest::internals::store::leases::recovery::RecoveredRow;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

const OWNER_COUNT: usize = 3;
const DELIVERY_COUNT: i64 = 4;
/// Few, so that random walks reach the last attempt.
const ATTEMPTS_MAX: u32 = 3;
const LEASE: Duration = Duration::from_mins(1);
const BACKOFF: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    RetryLater,
    Unavailable,
    Rejected,
    Gone,
    Released,
}

#[derive(Debug, Clone)]
enum Step {
    Claim {
        by: usize,
        limit: u32,
    },
    /// Any claim that was ever given, also a lost or an ended one.
    Record(Index, End),
    Renew(Index),
    /// The delivery of a claim begins.
    Begin(Index),
    Wait(Duration),
    RecoverExpired {
        by: usize,
    },
    /// The owner may still run: later steps record outcomes of what it lost.
    RecoverDead {
        dead: usize,
        by: usize,
    },
    Retry(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let owner = 0..OWNER_COUNT;
    let end = prop_oneof![
        2 => Just(End::Delivered),
        3 => Just(End::RetryLater),
        3 => Just(End::Unavailable),
        1 => Just(End::Rejected),
        1 => Just(End::Gone),
        1 => Just(End::Released),
    ];
    // A second, longer than the backoff, longer than the lease.
    let wait = prop_oneof![Just(1), Just(31), Just(61)].prop_map(Duration::from_secs);
    prop_oneof![
        5 => (owner.clone(), 1..4_u32).prop_map(|(by, limit)| Step::Claim { by, limit }),
        5 => (any::<Index>(), end).prop_map(|(claim, end)| Step::Record(claim, end)),
        1 => any::<Index>().prop_map(Step::Renew),
        4 => any::<Index>().prop_map(Step::Begin),
        3 => wait.prop_map(Step::Wait),
        2 => owner.clone().prop_map(|by| Step::RecoverExpired { by }),
        1 => (owner.clone(), owner).prop_map(|(dead, by)| Step::RecoverDead { dead, by }),
        1 => (1..=DELIVERY_COUNT).prop_map(Step::Retry),
    ]
}

/// A row of `destination_deliveries`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DeliveryRow {
    status: String,
    attempts: u32,
    max_attempts: u32,
    deaths: u32,
    fencing_token: i64,
    due: Option<String>,
    locked_by: Option<String>,
    lease_expires_at: Option<String>,
}

struct Model {
    rows: BTreeMap<i64, DeliveryRow>,
    /// Every claim that was given.
    claims: Vec<DeliveryClaim>,
    /// Claims that have an outcome, as delivery and fencing token: no claim may get a second one.
    ended: HashSet<(i64, i64)>,
    log_rows: i64,
    records: OwnerRecords,
}

fn backoff() -> Backoff {
    Backoff::doubling(BACKOFF, BACKOFF * 4)
}

fn owner(index: usize) -> LeaseOwner {
    lease_owner(&format!("owner-{index}"))
}

impl Model {
    /// Stores completed events, each with a delivery to `erp`.
    async fn prepare(fixture: &StoreFixture) -> Self {
        let mut rows = BTreeMap::new();
        let now = format_timestamp(fixture.clock.now());
        for number in 1..=DELIVERY_COUNT {
            let id = fixture.receive(&format!("w{number}"), 8).await;
            let at = now.clone();
            let job = move |connection: &rusqlite::Connection| {
                connection.execute(
                    "UPDATE webhook_events SET status = 'completed', next_attempt_at = NULL, completed_at = ?1 WHERE id = ?2",
                    rusqlite::params![at, id],
                )?;
                let delivery =
                    NewDelivery { destination: "erp".into(), ordering_key: String::new(), max_attempts: ATTEMPTS_MAX };
                deliveries::enqueue_deliveries(connection, id, &[delivery], &at)
            };
            fixture.store.writer.submit(WriteClass::Maintain, job).await.unwrap();
            let row = DeliveryRow {
                status: "pending".into(),
                attempts: 0,
                max_attempts: ATTEMPTS_MAX,
                deaths: 0,
                fencing_token: 0,
                due: Some(now.clone()),
                locked_by: None,
                lease_expires_at: None,
            };
            rows.insert(number, row);
        }
        Self { rows, claims: Vec::new(), ended: HashSet::new(), log_rows: 0, records: OwnerRecords::default() }
    }

    fn has_lease(&self, claim: &DeliveryClaim) -> bool {
        let row = &self.rows[&claim.id];
        row.status == "delivering" && row.fencing_token == claim.lease.fencing_token
    }

    fn end_lease(&mut self, id: i64, status: &str, due: Option<String>) {
        let row = self.rows.get_mut(&id).unwrap();
        assert!(self.ended.insert((id, row.fencing_token)), "a claim got two outcomes");
        status.clone_into(&mut row.status);
        row.due = due;
        row.locked_by = None;
        row.lease_expires_at = None;
        self.log_rows += 1;
    }

    fn recover(&mut self, recovered: &[RecoveredRow], fixture: &StoreFixture, is_lost: impl Fn(&DeliveryRow) -> bool) {
        let now = fixture.clock.now();
        let mut returned_ids: Vec<i64> = recovered.iter().map(|row| row.id).collect();
        let lost: Vec<i64> =
            self.rows.iter().filter(|(_, row)| row.status == "delivering" && is_lost(row)).map(|(id, _)| *id).collect();
        returned_ids.sort_unstable();
        assert_eq!(returned_ids, lost);
        for id in lost {
            let row = self.rows.get_mut(&id).unwrap();
            let start = self.records.find_start(row.locked_by.as_deref(), id, row.fencing_token);
            let waits = start == AttemptStart::Begun || (start == AttemptStart::Unknown && row.deaths > 0);
            let wait = if waits { backoff().delay_after(row.attempts) } else { Duration::ZERO };
            let due = Some(format_timestamp(add_duration(now, wait)));
            let is_final_attempt = row.attempts >= row.max_attempts;
            if start == AttemptStart::NotBegun {
                row.attempts -= 1;
                self.end_lease(id, "pending", due);
            } else {
                row.deaths += 1;
                let (status, due) = if is_final_attempt { ("failed", None) } else { ("pending", due) };
                self.end_lease(id, status, due);
            }
        }
    }

    async fn apply(&mut self, step: &Step, fixture: &StoreFixture) {
        let now = format_timestamp(fixture.clock.now());
        let expires_at = format_timestamp(add_duration(fixture.clock.now(), LEASE));
        match step {
            Step::Claim { by, limit } => {
                self.records.open(*by, &DELIVERIES, fixture);
                let claims = fixture.store.claim_deliveries("erp", &owner(*by), *limit, LEASE).await.unwrap();
                let due = self.rows.iter().filter(|(_, row)| row.due.as_ref().is_some_and(|due| *due <= now));
                let expected: Vec<i64> = due.map(|(id, _)| *id).take(*limit as usize).collect();
                assert_eq!(claims.iter().map(|claim| claim.id).collect::<Vec<_>>(), expected);
                for claim in &claims {
                    let row = self.rows.get_mut(&claim.id).unwrap();
                    row.attempts += 1;
                    row.fencing_token += 1;
                    row.status = "delivering".into();
                    row.due = None;
                    row.locked_by = Some(owner(*by).worker);
                    row.lease_expires_at = Some(expires_at.clone());
                    assert_eq!(
                        (claim.attempt, claim.lease.fencing_token, claim.deaths),
                        (row.attempts, row.fencing_token, row.deaths)
                    );
                }
                self.claims.extend(claims);
            }
            Step::Record(index, end) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                self.record(&claim, *end, fixture).await;
            }
            Step::Renew(index) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                let leases = vec![(claim.id, claim.lease.clone())];
                let renewed = fixture.store.renew_leases(&DELIVERIES, leases, LEASE).await.unwrap();
                if self.has_lease(&claim) {
                    assert_eq!(renewed, [claim.id]);
                    self.rows.get_mut(&claim.id).unwrap().lease_expires_at = Some(expires_at);
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
                let recovered = fixture.store.recover_expired_leases(&DELIVERIES, &by, &backoff()).await.unwrap();
                self.recover(&recovered, fixture, |row| {
                    row.lease_expires_at.as_ref() < Some(&now) && row.locked_by.as_ref() != Some(&by.worker)
                });
            }
            Step::RecoverDead { dead, by } => {
                let (index, dead) = (*dead, owner(*dead));
                let recovered =
                    fixture.store.recover_dead_owner(&DELIVERIES, &dead, &owner(*by), &backoff()).await.unwrap();
                self.recover(&recovered, fixture, |row| row.locked_by.as_ref() == Some(&dead.worker));
                self.records.forget(index);
            }
            Step::Retry(id) => {
                let (id, at) = (*id, now.clone());
                let job = move |connection: &rusqlite::Connection| {
                    deliveries::retry_failed_deliveries(connection, id, 2, &at)
                };
                let retried = fixture.store.writer.submit(WriteClass::Wake, job).await.unwrap();
                let row = self.rows.get_mut(&id).unwrap();
                assert_eq!(retried == 1, row.status == "failed", "only a failed delivery gets new attempts");
                if row.status == "failed" {
                    row.status = "pending".into();
                    row.due = Some(now);
                    row.max_attempts = row.attempts + 2;
                }
            }
        }
    }

    async fn record(&mut self, claim: &DeliveryClaim, end: End, fixture: &StoreFixture) {
        let now = fixture.clock.now();
        let (error, retry_at) = ("no".to_owned(), add_duration(now, BACKOFF));
        // The breaker stays closed: it has tests of its own.
        let breaker = BreakerSettings { failure_threshold: u32::MAX, probe_delay: BACKOFF, probe_delay_max: BACKOFF };
        let outcome = match end {
            End::Delivered => DeliveryOutcome::Delivered,
            End::RetryLater => DeliveryOutcome::RetryLater { error, retry_at, is_requested: false },
            End::Unavailable => {
                DeliveryOutcome::Unavailable { error, cause: Cause::NotReached, retry_at, is_requested: false, breaker }
            }
            End::Rejected => DeliveryOutcome::Rejected { error },
            End::Gone => DeliveryOutcome::Gone { error },
            End::Released => DeliveryOutcome::Released,
        };
        let result = fixture.store.record_delivery_outcome(claim, &outcome, Duration::ZERO).await;
        if !self.has_lease(claim) {
            assert!(matches!(result, Err(StoreError::ClaimLost { .. })), "a lost lease recorded {end:?}: {result:?}");
            return;
        }
        result.unwrap();
        self.records.end(claim);
        if end != End::Released {
            self.rows.get_mut(&claim.id).unwrap().deaths = 0;
        }
        let is_final_attempt = claim.attempt >= claim.max_attempts;
        let (status, due) = match end {
            End::Delivered => ("delivered", None),
            End::Rejected | End::Gone => ("failed", None),
            End::RetryLater | End::Unavailable if is_final_attempt => ("failed", None),
            End::RetryLater | End::Unavailable => ("pending", Some(format_timestamp(retry_at))),
            End::Released => {
                self.rows.get_mut(&claim.id).unwrap().attempts -= 1;
                ("pending", Some(format_timestamp(now)))
            }
        };
        self.end_lease(claim.id, status, due);
    }

    /// Compares the database with the model.
    fn check(&self, fixture: &StoreFixture) {
        let read = fixture.store.reader.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, status, attempts, max_attempts, fencing_token, next_attempt_at, locked_by, lease_expires_at, deaths \
                 FROM destination_deliveries",
            )?;
            let rows = statement.query_map([], |row| {
                let delivery = DeliveryRow {
                    status: row.get(1)?,
                    attempts: row.get(2)?,
                    max_attempts: row.get(3)?,
                    fencing_token: row.get(4)?,
                    due: row.get(5)?,
                    locked_by: row.get(6)?,
                    lease_expires_at: row.get(7)?,
                    deaths: row.get(8)?,
                };
                Ok((row.get(0)?, delivery))
            })?;
            let rows = rows.collect::<Result<BTreeMap<i64, DeliveryRow>, _>>()?;
            let log_rows =
                connection.query_row("SELECT count(*) FROM destination_delivery_log", [], |row| row.get(0))?;
            Ok::<_, StoreError>((rows, log_rows))
        });
        let (rows, log_rows): (_, i64) = read.unwrap();
        assert_eq!(rows, self.rows);
        assert_eq!(log_rows, self.log_rows, "each outcome has one row in the log");
        assert!(rows.values().all(|row| row.attempts <= row.max_attempts), "{rows:?}");
    }

    /// From any state, waiting and delivering brings every delivery to its end.
    async fn run_out(&mut self, fixture: &StoreFixture) {
        while self.rows.values().any(|row| ["pending", "delivering"].contains(&row.status.as_str())) {
            self.apply(&Step::Wait(LEASE + BACKOFF), fixture).await;
            // Two owners, because none recovers its own leases.
            self.apply(&Step::RecoverExpired { by: 0 }, fixture).await;
            self.apply(&Step::RecoverExpired { by: 1 }, fixture).await;
            let before = self.claims.len();
            self.apply(&Step::Claim { by: 2, limit: 100 }, fixture).await;
            let claims = self.claims[before..].to_vec();
            for claim in &claims {
                self.record(claim, End::Delivered, fixture).await;
            }
            self.check(fixture);
        }
    }
}

proptest! {
    #![proptest_config(seeded_config(40))]

    #[test]
    fn no_two_owners_record_one_delivery_claim(steps in prop::collection::vec(any_step(), 1..70)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = StoreFixture::new();
            let mut model = Model::prepare(&fixture).await;
            for step in &steps {
                model.apply(step, &fixture).await;
                model.check(&fixture);
            }
            model.run_out(&fixture).await;
            fixture.store.writer.close().await;
        });
    }
}
