//! The queue's state machine against a model of it: random claims, deaths, lease ends, retries, and outcomes that come
//! late. Never do two holders commit one claim; whatever happened, every event comes to an end.

use crate::attempts::{Bench, completed, holder};
use novex_ingest::clock::{after, text};
use novex_ingest::store::StoreError;
use novex_ingest::store::claims::{Claim, Outcome};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

const HOLDERS: usize = 3;
const EVENTS: usize = 4;
/// Few, so that random walks reach the last attempt.
const MAX_ATTEMPTS: u32 = 3;
const LEASE: Duration = Duration::from_mins(5);
const BACKOFF: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy)]
enum End {
    Completed,
    Again,
    Failed,
    Released,
}

#[derive(Debug, Clone)]
enum Step {
    /// The delivery with this number, perhaps once more.
    Receive(usize),
    Claim {
        by: usize,
        limit: u32,
    },
    /// Any claim that was ever given, also one that is long lost or ended.
    Finish(Index, End),
    Renew(Index),
    Wait(Duration),
    RescueExpired {
        by: usize,
    },
    /// The holder may be only half dead: later steps still finish what it held.
    RescueDead {
        dead: usize,
        by: usize,
    },
    Retry(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..HOLDERS;
    let which = 0..EVENTS;
    let end =
        prop_oneof![3 => Just(End::Again), 2 => Just(End::Completed), 1 => Just(End::Failed), 1 => Just(End::Released)];
    // A second, longer than the backoff, longer than the lease.
    let wait = prop_oneof![Just(1), Just(61), Just(301)].prop_map(Duration::from_secs);
    prop_oneof![
        2 => which.clone().prop_map(Step::Receive),
        5 => (who.clone(), 1..4_u32).prop_map(|(by, limit)| Step::Claim { by, limit }),
        5 => (any::<Index>(), end).prop_map(|(claim, end)| Step::Finish(claim, end)),
        1 => any::<Index>().prop_map(Step::Renew),
        3 => wait.prop_map(Step::Wait),
        2 => who.clone().prop_map(|by| Step::RescueExpired { by }),
        1 => (who.clone(), who).prop_map(|(dead, by)| Step::RescueDead { dead, by }),
        1 => which.prop_map(Step::Retry),
    ]
}

/// A row of `webhook_events` as the queue sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    status: String,
    attempts: u32,
    max_attempts: u32,
    claims: i64,
    due: Option<String>,
    locked_by: Option<String>,
    lease_until: Option<String>,
    received: String,
}

/// From, to, attempt.
type Change3 = (Option<String>, String, u32);

/// What must be in the database.
#[derive(Default)]
struct Model {
    ids: BTreeMap<usize, i64>,
    rows: BTreeMap<i64, Row>,
    log: BTreeMap<i64, Vec<Change3>>,
    /// Every claim that was given.
    claims: Vec<Claim>,
    /// Claims that have an outcome: no claim may get a second one.
    ended: HashSet<(i64, i64)>,
    /// Each completion writes an order with a number of its own, so it shows whose changes were committed.
    orders: BTreeSet<i64>,
    next_order: i64,
    /// Received, completed, failed, retried: what `throughput_by_hour` adds up to.
    totals: [i64; 4],
}

impl Model {
    /// Moves an event on and notes it.
    fn turn(&mut self, id: i64, to: &str, attempt: u32, due: Option<String>) {
        let row = self.rows.get_mut(&id).unwrap();
        self.log.get_mut(&id).unwrap().push((Some(row.status.clone()), to.to_owned(), attempt));
        match (row.status.as_str(), to) {
            (_, "completed") => self.totals[1] += 1,
            (_, "failed") => self.totals[2] += 1,
            // A release has given its attempt back already, and counts as nothing.
            ("processing", "received") if row.attempts == attempt => self.totals[3] += 1,
            _ => {}
        }
        to.clone_into(&mut row.status);
        row.due = due;
        row.locked_by = None;
        row.lease_until = None;
    }

    /// The events that a rescue must take.
    fn orphans(&self, lost: impl Fn(&Row) -> bool) -> Vec<i64> {
        let held = self.rows.iter().filter(|(_, row)| row.status == "processing" && lost(row));
        held.map(|(id, _)| *id).collect()
    }

    fn rescue(&mut self, ids: &[i64], now: &str) {
        for id in ids {
            let row = &self.rows[id];
            let (attempts, last) = (row.attempts, row.attempts >= row.max_attempts);
            assert!(self.ended.insert((*id, row.claims)), "the claim had ended before");
            // It keeps its place in the line.
            let received = row.received.clone();
            let (to, due) = if last { ("failed", None) } else { ("received", Some(received.min(now.to_owned()))) };
            self.turn(*id, to, attempts, due);
        }
    }

    async fn take(&mut self, step: &Step, bench: &Bench) {
        let now = text(bench.clock.now());
        match step {
            Step::Receive(event) => {
                let id = bench.receive(&format!("w{event}"), MAX_ATTEMPTS).await;
                assert_eq!(*self.ids.entry(*event).or_insert(id), id, "a webhook id is one event");
                self.log.entry(id).or_insert_with(|| {
                    self.totals[0] += 1;
                    vec![(None, "received".to_owned(), 0)]
                });
                self.rows.entry(id).or_insert(Row {
                    status: "received".to_owned(),
                    attempts: 0,
                    max_attempts: MAX_ATTEMPTS,
                    claims: 0,
                    due: Some(now.clone()),
                    received: now,
                    locked_by: None,
                    lease_until: None,
                });
            }
            Step::Claim { by, limit } => {
                let got = bench.store.claim(&name(*by), *limit, LEASE).await.unwrap();
                let mut due: Vec<(String, i64)> =
                    self.rows.iter().filter_map(|(id, row)| Some((row.due.clone()?, *id))).collect();
                due.retain(|(at, _)| *at <= now);
                due.sort();
                let mut expected: Vec<i64> = due.into_iter().map(|(_, id)| id).take(*limit as usize).collect();
                expected.sort_unstable();
                assert_eq!(got.iter().map(|claim| claim.event_id).collect::<Vec<_>>(), expected);
                for claim in &got {
                    let attempt = self.rows[&claim.event_id].attempts + 1;
                    self.turn(claim.event_id, "processing", attempt, None);
                    let row = self.rows.get_mut(&claim.event_id).unwrap();
                    row.attempts = attempt;
                    row.claims += 1;
                    row.locked_by = Some(name(*by).worker);
                    row.lease_until = Some(text(after(bench.clock.now(), LEASE)));
                    assert_eq!(
                        (claim.attempt, claim.claim, claim.max_attempts),
                        (attempt, row.claims, row.max_attempts)
                    );
                }
                self.claims.extend(got);
            }
            Step::Finish(index, end) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                self.finish(&claim, *end, bench).await;
            }
            Step::Renew(index) if !self.claims.is_empty() => {
                let claim = index.get(&self.claims).clone();
                let kept = bench.store.renew(vec![claim.clone()], LEASE).await.unwrap();
                if self.holds(&claim) {
                    assert_eq!(kept, [claim.event_id]);
                    let until = text(after(bench.clock.now(), LEASE));
                    self.rows.get_mut(&claim.event_id).unwrap().lease_until = Some(until);
                } else {
                    assert!(kept.is_empty(), "a lost claim was renewed");
                }
            }
            Step::Finish(..) | Step::Renew(_) => {}
            Step::Wait(time) => bench.clock.advance(*time),
            Step::RescueExpired { by } => {
                let mut got = bench.store.rescue_expired(&name(*by)).await.unwrap();
                got.sort_unstable();
                let mine = name(*by).worker;
                let lost = |row: &Row| row.lease_until.as_ref() < Some(&now) && row.locked_by.as_ref() != Some(&mine);
                let expected = self.orphans(lost);
                assert_eq!(got, expected);
                self.rescue(&expected, &now);
            }
            Step::RescueDead { dead, by } => {
                let mut got = bench.store.rescue_dead(&name(*dead), &name(*by)).await.unwrap();
                got.sort_unstable();
                let expected = self.orphans(|row| row.locked_by.as_ref() == Some(&name(*dead).worker));
                assert_eq!(got, expected);
                self.rescue(&expected, &now);
            }
            Step::Retry(event) => {
                let Some(id) = self.ids.get(event).copied() else { return };
                let got = bench.store.retry(vec![id], 2, "operator:1".into()).await.unwrap();
                let row = self.rows.get_mut(&id).unwrap();
                let was = row.status.clone();
                assert_eq!(
                    got.first().map(|retried| retried.was),
                    Some(was.as_str()).filter(|was| *was != "processing"),
                    "only what is being worked is left alone"
                );
                if was != "processing" {
                    if was != "received" {
                        row.max_attempts = row.attempts + 2;
                    }
                    let attempts = row.attempts;
                    let due = if attempts == 0 { now.min(row.received.clone()) } else { now };
                    self.turn(id, "received", attempts, Some(due));
                }
            }
        }
    }

    fn holds(&self, claim: &Claim) -> bool {
        let row = &self.rows[&claim.event_id];
        row.status == "processing" && row.claims == claim.claim
    }

    async fn finish(&mut self, claim: &Claim, end: End, bench: &Bench) {
        let now = text(bench.clock.now());
        let later = after(bench.clock.now(), BACKOFF);
        self.next_order += 1;
        let outcome = match end {
            End::Completed => completed(self.next_order),
            End::Again => Arc::new(Outcome::Again { error: "again".into(), at: later }),
            End::Failed => {
                Arc::new(Outcome::Failed { error: "never".into(), changes: Vec::new(), subjects: Vec::new() })
            }
            End::Released => Arc::new(Outcome::Released),
        };
        let result = bench.store.finish(claim, &outcome, Duration::ZERO).await;
        if !self.holds(claim) {
            assert!(
                matches!(result, Err(StoreError::ClaimLost { event_id }) if event_id == claim.event_id),
                "an outcome of a lost claim: {result:?}"
            );
            return;
        }
        result.unwrap();
        assert!(self.ended.insert((claim.event_id, claim.claim)), "two outcomes of one claim");
        let last = claim.attempt >= claim.max_attempts;
        let (to, due) = match end {
            End::Completed => {
                self.orders.insert(self.next_order);
                ("completed", None)
            }
            End::Again if !last => ("received", Some(text(later))),
            End::Again | End::Failed => ("failed", None),
            End::Released => {
                let row = self.rows.get_mut(&claim.event_id).unwrap();
                row.attempts -= 1;
                ("received", Some(if row.attempts == 0 { now.min(row.received.clone()) } else { now }))
            }
        };
        self.turn(claim.event_id, to, claim.attempt, due);
    }

    /// The database against the model.
    fn check(&self, bench: &Bench) {
        let all = |sql: &str| {
            bench
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
        let rows = bench
            .store
            .reader
            .read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT id, status, attempts, max_attempts, claims, next_attempt_at, locked_by, lease_until, received_at \
                     FROM webhook_events",
                )?;
                let rows = statement.query_map([], |row| {
                    let seen = Row {
                        status: row.get(1)?,
                        attempts: row.get(2)?,
                        max_attempts: row.get(3)?,
                        claims: row.get(4)?,
                        due: row.get(5)?,
                        locked_by: row.get(6)?,
                        lease_until: row.get(7)?,
                        received: row.get(8)?,
                    };
                    Ok((row.get(0)?, seen))
                })?;
                Ok(rows.collect::<Result<BTreeMap<i64, Row>, _>>()?)
            })
            .unwrap();
        assert_eq!(rows, self.rows);
        assert!(rows.values().all(|row| row.attempts <= row.max_attempts), "{rows:?}");
        let log = bench
            .store
            .reader
            .read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT event_id, from_status, to_status, attempt FROM webhook_event_log ORDER BY id",
                )?;
                let steps =
                    statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?;
                let mut log: BTreeMap<i64, Vec<Change3>> = BTreeMap::new();
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
            "the kept counts are the true ones"
        );
        let totals: Vec<_> = self.totals.iter().map(|total| (*total).into()).collect();
        let kept = "SELECT coalesce(sum(received), 0), coalesce(sum(completed), 0), coalesce(sum(failed), 0), \
                    coalesce(sum(retried), 0) FROM event_counts_by_hour";
        assert_eq!(all(kept), [totals]);
        let orders: Vec<Vec<rusqlite::types::Value>> = self.orders.iter().map(|order| vec![(*order).into()]).collect();
        assert_eq!(all("SELECT order_id FROM sales_orders ORDER BY 1"), orders, "only who held the event wrote");
    }

    /// From wherever the walk left it, waiting and working brings every event to its end.
    async fn run_out(&mut self, bench: &Bench) {
        while self.rows.values().any(|row| row.status == "received" || row.status == "processing") {
            self.take(&Step::Wait(LEASE + BACKOFF), bench).await;
            // Two, because nobody takes his own.
            self.take(&Step::RescueExpired { by: 0 }, bench).await;
            self.take(&Step::RescueExpired { by: 1 }, bench).await;
            let before = self.claims.len();
            self.take(&Step::Claim { by: 2, limit: 100 }, bench).await;
            let taken = self.claims[before..].to_vec();
            for claim in &taken {
                self.finish(claim, End::Completed, bench).await;
            }
            self.check(bench);
        }
    }
}

fn name(index: usize) -> novex_ingest::store::claims::Holder {
    holder(&format!("holder-{index}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_holders_commit_one_claim(steps in prop::collection::vec(step(), 1..70)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new();
            let mut model = Model::default();
            for step in &steps {
                model.take(step, &bench).await;
                model.check(&bench);
            }
            model.run_out(&bench).await;
            bench.store.writer.close().await;
        });
    }
}
