//! Leases of events against a model: random claims, deaths, expired leases, retries, and outcomes that arrive late. No
//! two owners record an outcome of one claim, a lost claim counts only if its handler may have begun, and every event
//! comes to an end.

use crate::support::StoreFixture;
use crate::support::begun::OwnerRecords;
use crate::support::seed::seeded_config;
use crate::support::store_fixture::{completed_order, lease_owner};
use novex_ingest::internals::backoff::Backoff;
use novex_ingest::internals::clock::{add_duration, format_timestamp};
use novex_ingest::internals::store::StoreError;
use novex_ingest::internals::store::access::Actor;
use novex_ingest::internals::store::leases::begun::AttemptStart;
use novex_ingest::internals::store::leases::event_outcomes::Outcome;
use novex_ingest::internals::store::leases::events::{EVENTS, EventClaim};
use novex_ingest::internals::store::leases::recovery::RecoveredRow;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

const HOLDERS: usize = 3;
const EVENT_COUNT: usize = 4;
/// Few, so that random walks reach the last attempt.
const MAX_ATTEMPTS: u32 = 3;
const LEASE: Duration = Duration::from_mins(5);
const BACKOFF: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy)]
enum End {
    Completed,
    Retry,
    Failed,
    Released,
}

#[derive(Debug, Clone)]
enum Step {
    /// The webhook with this number, possibly repeated.
    Receive(usize),
    Claim {
        by: usize,
        limit: u32,
    },
    /// Any claim that was ever given, also a lost or an ended one.
    Finish(Index, End),
    Renew(Index),
    /// The handler of a claim begins.
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
    Retry(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..HOLDERS;
    let which = 0..EVENT_COUNT;
    let end =
        prop_oneof![3 => Just(End::Retry), 2 => Just(End::Completed), 1 => Just(End::Failed), 1 => Just(End::Released)];
    // A second, longer than the backoff, longer than the lease.
    let wait = prop_oneof![Just(1), Just(61), Just(301)].prop_map(Duration::from_secs);
    prop_oneof![
        2 => which.clone().prop_map(Step::Receive),
        5 => (who.clone(), 1..4_u32).prop_map(|(by, limit)| Step::Claim { by, limit }),
        5 => (any::<Index>(), end).prop_map(|(claim, end)| Step::Finish(claim, end)),
        1 => any::<Index>().prop_map(Step::Renew),
        4 => any::<Index>().prop_map(Step::Begin),
        3 => wait.prop_map(Step::Wait),
        2 => who.clone().prop_map(|by| Step::RecoverExpired { by }),
        1 => (who.clone(), who).prop_map(|(dead, by)| Step::RecoverDead { dead, by }),
        1 => which.prop_map(Step::Retry),
    ]
}

/// A row of `webhook_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    status: String,
    attempts: u32,
    max_attempts: u32,
    deaths: u32,
    claims: i64,
    due: Option<String>,
    locked_by: Option<String>,
    lease_until: Option<String>,
    received: String,
}

/// From, to, attempt.
type LogEntry = (Option<String>, String, u32);

/// The expected state of the database.
#[derive(Default)]
struct Model {
    ids: BTreeMap<usize, i64>,
    rows: BTreeMap<i64, Row>,
    log: BTreeMap<i64, Vec<LogEntry>>,
    /// Every claim that was given.
    claims: Vec<EventClaim>,
    /// Claims that have an outcome: no claim may get a second one.
    ended: HashSet<(i64, i64)>,
    /// Each completion writes an order with a new number, which shows whose changes were committed.
    orders: BTreeSet<i64>,
    next_order: i64,
    /// Received, completed, failed, retried: the sums of `throughput_by_hour`.
    totals: [i64; 4],
    records: OwnerRecords,
}

impl Model {
    /// Changes the status of an event and records the step.
    fn change_status(&mut self, id: i64, to: &str, attempt: u32, due: Option<String>) {
        let row = self.rows.get_mut(&id).unwrap();
        self.log.get_mut(&id).unwrap().push((Some(row.status.clone()), to.to_owned(), attempt));
        match (row.status.as_str(), to) {
            (_, "completed") => self.totals[1] += 1,
            (_, "failed") => self.totals[2] += 1,
            // A release has already restored its attempt and counts as nothing.
            ("processing", "received") if row.attempts == attempt => self.totals[3] += 1,
            _ => {}
        }
        to.clone_into(&mut row.status);
        row.due = due;
        row.locked_by = None;
        row.lease_until = None;
    }

    /// Returns the events that a recovery must take.
    fn claims_lost(&self, lost: impl Fn(&Row) -> bool) -> Vec<i64> {
        let processing = self.rows.iter().filter(|(_, row)| row.status == "processing" && lost(row));
        processing.map(|(id, _)| *id).collect()
    }

    fn recover(&mut self, ids: &[i64], now: &str, fixture: &StoreFixture) {
        for id in ids {
            let row = self.rows.get_mut(id).unwrap();
            let start = self.records.find_start(row.locked_by.as_deref(), *id, row.claims);
            let (attempts, last) = (row.attempts, row.attempts >= row.max_attempts);
            assert!(self.ended.insert((*id, row.claims)), "a claim got two outcomes");
            // The event keeps its place in the queue.
            let at_once = row.received.clone().min(now.to_owned());
            let later = format_timestamp(add_duration(fixture.clock.now(), backoff().delay_after(attempts)));
            let waits = start == AttemptStart::Begun || (start == AttemptStart::Unknown && row.deaths > 0);
            let due = if waits { later } else { at_once };
            if start == AttemptStart::NotBegun {
                row.attempts -= 1;
                self.change_status(*id, "received", attempts, Some(due));
            } else {
                row.deaths += 1;
                let (to, due) = if last { ("failed", None) } else { ("received", Some(due)) };
                self.change_status(*id, to, attempts, due);
            }
        }
    }

    /// Returns the due events up to the first suspect, which is claimed alone.
    fn claimable_events(&self, now: &str, limit: u32) -> Vec<i64> {
        let mut due: Vec<(&str, i64)> =
            self.rows.iter().filter_map(|(id, row)| Some((row.due.as_deref()?, *id))).collect();
        due.retain(|(at, _)| *at <= now);
        due.sort_unstable();
        let mut expected = Vec::new();
        for (_, id) in due.into_iter().take(limit as usize) {
            let is_suspect = self.rows[&id].deaths > 0;
            if !is_suspect || expected.is_empty() {
                expected.push(id);
            }
            if is_suspect {
                break;
            }
        }
        expected.sort_unstable();
        expected
    }

    async fn apply(&mut self, step: &Step, fixture: &StoreFixture) {
        let now = format_timestamp(fixture.clock.now());
        match step {
            Step::Receive(event) => {
                let id = fixture.receive(&format!("w{event}"), MAX_ATTEMPTS).await;
                assert_eq!(*self.ids.entry(*event).or_insert(id), id, "a webhook id is one event");
                self.log.entry(id).or_insert_with(|| {
                    self.totals[0] += 1;
                    vec![(None, "received".to_owned(), 0)]
                });
                self.rows.entry(id).or_insert(Row {
                    status: "received".to_owned(),
                    attempts: 0,
                    max_attempts: MAX_ATTEMPTS,
                    deaths: 0,
                    claims: 0,
                    due: Some(now.clone()),
                    received: now,
                    locked_by: None,
                    lease_until: None,
                });
            }
            Step::Claim { by, limit } => {
                self.records.open(*by, &EVENTS, fixture);
                let claimed = fixture.store.claim_events(&name(*by), *limit, LEASE).await.unwrap();
                let expected = self.claimable_events(&now, *limit);
                assert_eq!(claimed.iter().map(|claim| claim.event.id).collect::<Vec<_>>(), expected);
                for claim in &claimed {
                    let attempt = self.rows[&claim.event.id].attempts + 1;
                    self.change_status(claim.event.id, "processing", attempt, None);
                    let row = self.rows.get_mut(&claim.event.id).unwrap();
                    row.attempts = attempt;
                    row.claims += 1;
                    row.locked_by = Some(name(*by).worker);
                    row.lease_until = Some(format_timestamp(add_duration(fixture.clock.now(), LEASE)));
                    assert_eq!(
                        (claim.attempt, claim.lease.fencing_token, claim.max_attempts, claim.deaths),
                        (attempt, row.claims, row.max_attempts, row.deaths)
                    );
                }
                self.claims.extend(claimed);
            }
            Step::Finish(index, end) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                self.finish(&claim, *end, fixture).await;
            }
            Step::Renew(index) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                let kept = fixture
                    .store
                    .renew_leases(&EVENTS, vec![(claim.event.id, claim.lease.clone())], LEASE)
                    .await
                    .unwrap();
                if self.is_current(&claim) {
                    assert_eq!(kept, [claim.event.id]);
                    let until = format_timestamp(add_duration(fixture.clock.now(), LEASE));
                    self.rows.get_mut(&claim.event.id).unwrap().lease_until = Some(until);
                } else {
                    assert!(kept.is_empty(), "a lost claim was renewed");
                }
            }
            Step::Begin(index) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                self.records.begin(&claim);
            }
            Step::Finish(..) | Step::Renew(_) | Step::Begin(_) => {}
            Step::Wait(time) => fixture.clock.advance(*time),
            Step::RecoverExpired { by } => {
                let recovered = fixture.store.recover_expired_leases(&EVENTS, &name(*by), &backoff()).await.unwrap();
                let recovered = sorted_ids(&recovered);
                let mine = name(*by).worker;
                let lost = |row: &Row| row.lease_until.as_ref() < Some(&now) && row.locked_by.as_ref() != Some(&mine);
                let expected = self.claims_lost(lost);
                assert_eq!(recovered, expected);
                self.recover(&expected, &now, fixture);
            }
            Step::RecoverDead { dead, by } => {
                let recovered =
                    fixture.store.recover_dead_owner(&EVENTS, &name(*dead), &name(*by), &backoff()).await.unwrap();
                let recovered = sorted_ids(&recovered);
                let expected = self.claims_lost(|row| row.locked_by.as_ref() == Some(&name(*dead).worker));
                assert_eq!(recovered, expected);
                self.recover(&expected, &now, fixture);
                self.records.forget(*dead);
            }
            Step::Retry(event) => self.retry(*event, &now, fixture).await,
        }
    }

    async fn retry(&mut self, event: usize, now: &str, fixture: &StoreFixture) {
        let Some(id) = self.ids.get(&event).copied() else { return };
        let retried = fixture
            .store
            .retry_events(vec![id], 2, "operator:1".into(), Actor::from_operator("anna@box".into()))
            .await
            .unwrap();
        let row = self.rows.get_mut(&id).unwrap();
        let previous = row.status.clone();
        assert_eq!(
            retried.first().map(|event| event.previous_status),
            Some(previous.as_str()).filter(|status| *status != "processing"),
            "only a processing event is not retried"
        );
        if previous != "processing" {
            if previous != "received" {
                row.max_attempts = row.attempts + 2;
            }
            let attempts = row.attempts;
            let due = if attempts == 0 { row.received.clone().min(now.to_owned()) } else { now.to_owned() };
            self.change_status(id, "received", attempts, Some(due));
        }
    }

    fn is_current(&self, claim: &EventClaim) -> bool {
        let row = &self.rows[&claim.event.id];
        row.status == "processing" && row.claims == claim.lease.fencing_token
    }

    async fn finish(&mut self, claim: &EventClaim, end: End, fixture: &StoreFixture) {
        let now = format_timestamp(fixture.clock.now());
        let later = add_duration(fixture.clock.now(), BACKOFF);
        self.next_order += 1;
        let outcome = match end {
            End::Completed => completed_order(self.next_order),
            End::Retry => Arc::new(Outcome::Retry { error: "again".into(), retry_at: later }),
            End::Failed => Arc::new(Outcome::Failed {
                error: "never".into(),
                changes: Vec::new(),
                subjects: Vec::new(),
                deliveries: Vec::new(),
            }),
            End::Released => Arc::new(Outcome::Released),
        };
        let result = fixture.store.record_outcome(claim, &outcome, Duration::ZERO).await;
        if !self.is_current(claim) {
            assert!(
                matches!(result, Err(StoreError::ClaimLost { event_id }) if event_id == claim.event.id),
                "a lost claim recorded an outcome: {result:?}"
            );
            return;
        }
        result.unwrap();
        assert!(self.ended.insert((claim.event.id, claim.lease.fencing_token)), "a claim got two outcomes");
        self.records.end(claim);
        if !matches!(end, End::Released) {
            self.rows.get_mut(&claim.event.id).unwrap().deaths = 0;
        }
        let last = claim.attempt >= claim.max_attempts;
        let (to, due) = match end {
            End::Completed => {
                self.orders.insert(self.next_order);
                ("completed", None)
            }
            End::Retry if !last => ("received", Some(format_timestamp(later))),
            End::Retry | End::Failed => ("failed", None),
            End::Released => {
                let row = self.rows.get_mut(&claim.event.id).unwrap();
                row.attempts -= 1;
                ("received", Some(if row.attempts == 0 { now.min(row.received.clone()) } else { now }))
            }
        };
        self.change_status(claim.event.id, to, claim.attempt, due);
    }

    /// Compares the database with the model.
    fn check(&self, fixture: &StoreFixture) {
        let all = |sql: &str| {
            fixture
                .store
                .reader
                .read(|connection| {
                    let mut statement = connection.prepare_cached(sql)?;
                    let columns = statement.column_count();
                    let rows = statement.query_map([], |row| {
                        (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column)).collect()
                    })?;
                    Ok(rows.collect::<Result<Vec<Vec<_>>, _>>()?)
                })
                .unwrap()
        };
        let rows = fixture
            .store
            .reader
            .read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT id, status, attempts, max_attempts, fencing_token, next_attempt_at, locked_by, lease_expires_at, received_at, deaths \
                     FROM webhook_events",
                )?;
                let rows = statement.query_map([], |row| {
                    let stored = Row {
                        status: row.get(1)?,
                        attempts: row.get(2)?,
                        max_attempts: row.get(3)?,
                        claims: row.get(4)?,
                        due: row.get(5)?,
                        locked_by: row.get(6)?,
                        lease_until: row.get(7)?,
                        received: row.get(8)?,
                        deaths: row.get(9)?,
                    };
                    Ok((row.get(0)?, stored))
                })?;
                Ok(rows.collect::<Result<BTreeMap<i64, Row>, _>>()?)
            })
            .unwrap();
        assert_eq!(rows, self.rows);
        assert!(rows.values().all(|row| row.attempts <= row.max_attempts), "{rows:?}");
        let log = fixture
            .store
            .reader
            .read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT event_id, from_status, to_status, attempt FROM webhook_event_log ORDER BY id",
                )?;
                let steps =
                    statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?;
                let mut log: BTreeMap<i64, Vec<LogEntry>> = BTreeMap::new();
                for step in steps {
                    let (id, step) = step?;
                    log.entry(id).or_default().push(step);
                }
                Ok(log)
            })
            .unwrap();
        assert_eq!(log, self.log);
        assert_eq!(
            all("SELECT source, status, events FROM event_counts WHERE events <> 0 ORDER BY 1, 2"),
            all("SELECT source, status, count(*) FROM webhook_events GROUP BY 1, 2 ORDER BY 1, 2"),
            "event_counts agrees with webhook_events"
        );
        let totals: Vec<_> = self.totals.iter().map(|total| (*total).into()).collect();
        let kept = "SELECT coalesce(sum(received), 0), coalesce(sum(completed), 0), coalesce(sum(failed), 0), \
                    coalesce(sum(retried), 0) FROM event_counts_by_hour";
        assert_eq!(all(kept), [totals]);
        let orders: Vec<Vec<rusqlite::types::Value>> = self.orders.iter().map(|order| vec![(*order).into()]).collect();
        assert_eq!(all("SELECT order_id FROM sales_orders ORDER BY 1"), orders, "only the lease owner wrote");
    }

    /// From any state, waiting and processing brings every event to its end.
    async fn run_to_the_end(&mut self, fixture: &StoreFixture) {
        while self.rows.values().any(|row| row.status == "received" || row.status == "processing") {
            self.apply(&Step::Wait(LEASE + BACKOFF), fixture).await;
            // Two owners, because none recovers its own leases.
            self.apply(&Step::RecoverExpired { by: 0 }, fixture).await;
            self.apply(&Step::RecoverExpired { by: 1 }, fixture).await;
            let before = self.claims.len();
            self.apply(&Step::Claim { by: 2, limit: 100 }, fixture).await;
            let claims = self.claims[before..].to_vec();
            for claim in &claims {
                self.finish(claim, End::Completed, fixture).await;
            }
            self.check(fixture);
        }
    }
}

fn backoff() -> Backoff {
    Backoff::doubling(BACKOFF, BACKOFF * 4)
}

fn sorted_ids(recovered: &[RecoveredRow]) -> Vec<i64> {
    let mut ids: Vec<i64> = recovered.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}

fn name(index: usize) -> novex_ingest::internals::store::leases::LeaseOwner {
    lease_owner(&format!("owner-{index}"))
}

proptest! {
    #![proptest_config(seeded_config(40))]

    #[test]
    fn no_two_owners_record_one_event_claim(steps in prop::collection::vec(step(), 1..70)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = StoreFixture::new();
            let mut model = Model::default();
            for step in &steps {
                model.apply(step, &fixture).await;
                model.check(&fixture);
            }
            model.run_to_the_end(&fixture).await;
            fixture.store.writer.close().await;
        });
    }
}
