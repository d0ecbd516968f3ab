//! The queue's state machine against a model: random claims, deaths, lease ends, retries; never do two holders commit.

use crate::attempts::{Bench, holder};
use novex_ingest::clock::after;
use novex_ingest::store::StoreError;
use novex_ingest::store::claims::{Claim, Outcome};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const HOLDERS: [&str; 3] = ["a", "b", "c"];
const MAX_ATTEMPTS: u32 = 3;
const LEASE: Duration = Duration::from_mins(5);

#[derive(Debug, Clone)]
enum Step {
    Receive,
    Claim {
        holder: usize,
        limit: u32,
    },
    /// Ends the claim at this place of all claims ever made, whoever holds its event by now.
    Finish {
        claim: usize,
        how: How,
    },
    Renew {
        claim: usize,
    },
    Advance {
        seconds: u64,
    },
    RescueExpired {
        by: usize,
    },
    RescueDead {
        dead: usize,
        by: usize,
    },
    Retry {
        event: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum How {
    Completed,
    Again,
    Failed,
    Released,
}

fn step() -> impl Strategy<Value = Step> {
    let holder = 0..HOLDERS.len();
    prop_oneof![
        2 => Just(Step::Receive),
        6 => (holder.clone(), 1..4_u32).prop_map(|(holder, limit)| Step::Claim { holder, limit }),
        8 => (any::<prop::sample::Index>(), prop_oneof![
            Just(How::Completed), Just(How::Again), Just(How::Again), Just(How::Failed), Just(How::Released)
        ]).prop_map(|(claim, how)| Step::Finish { claim: claim.index(1000), how }),
        2 => any::<prop::sample::Index>().prop_map(|claim| Step::Renew { claim: claim.index(1000) }),
        3 => (1..400_u64).prop_map(|seconds| Step::Advance { seconds }),
        3 => holder.clone().prop_map(|by| Step::RescueExpired { by }),
        1 => (holder.clone(), holder).prop_map(|(dead, by)| Step::RescueDead { dead, by }),
        1 => any::<prop::sample::Index>().prop_map(|event| Step::Retry { event: event.index(1000) }),
    ]
}

/// What the model knows of an event.
#[derive(Debug, Clone)]
struct Expected {
    status: &'static str,
    attempts: u32,
    max_attempts: u32,
    /// The place of the claim that holds it.
    holder: Option<usize>,
    /// Seconds since the start at which the lease ends, or at which it is due.
    until: u64,
    log_rows: u32,
}

#[derive(Default)]
struct Model {
    events: BTreeMap<i64, Expected>,
    claims: Vec<Claim>,
    now: u64,
}

impl Model {
    fn leave(&mut self, id: i64, status: &'static str, until: u64) {
        let event = self.events.get_mut(&id).unwrap();
        event.status = status;
        event.holder = None;
        event.until = until;
        event.log_rows += 1;
    }

    fn orphan(&mut self, id: i64) {
        let event = &self.events[&id];
        let status = if event.attempts >= event.max_attempts { "failed" } else { "received" };
        let now = self.now;
        self.leave(id, status, now);
    }

    fn held_by(&self, name: &str) -> Vec<i64> {
        let mine = |event: &Expected| event.holder.is_some_and(|claim| self.claims[claim].holder == holder(name));
        self.events.iter().filter(|(_, event)| mine(event)).map(|(id, _)| *id).collect()
    }
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let bench = Bench::new();
    let mut model = Model::default();
    for step in steps {
        apply(&bench, &mut model, &step).await?;
        compare(&bench, &model, &step)?;
    }
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "one arm a step: it is read side by side with the steps")]
async fn apply(bench: &Bench, model: &mut Model, step: &Step) -> Result<(), TestCaseError> {
    match *step {
        Step::Receive => {
            let id = bench.receive(&format!("w{}", model.events.len()), MAX_ATTEMPTS).await;
            let (attempts, max_attempts, until) = (0, MAX_ATTEMPTS, model.now);
            let event = Expected { status: "received", attempts, max_attempts, holder: None, until, log_rows: 1 };
            model.events.insert(id, event);
        }
        Step::Claim { holder: by, limit } => {
            let claims = bench.store.claim(&holder(HOLDERS[by]), limit, LEASE).await.unwrap();
            let due =
                model.events.values().filter(|event| event.status == "received" && event.until <= model.now).count();
            prop_assert_eq!(claims.len(), due.min(limit as usize), "as many as are due, and no more than asked");
            for claim in claims {
                let event = model.events.get_mut(&claim.event_id).unwrap();
                prop_assert!(event.status == "received" && event.until <= model.now, "only what is due is claimed");
                event.status = "processing";
                event.attempts += 1;
                event.holder = Some(model.claims.len());
                event.until = model.now + LEASE.as_secs();
                event.log_rows += 1;
                prop_assert_eq!(claim.attempt, event.attempts);
                prop_assert!(claim.attempt <= event.max_attempts);
                model.claims.push(claim);
            }
        }
        Step::Finish { claim, how } if !model.claims.is_empty() => {
            let place = claim % model.claims.len();
            let claim = model.claims[place].clone();
            let later = after(bench.clock.now(), Duration::from_mins(1));
            let outcome = match how {
                How::Completed => Outcome::Completed { changes: Vec::new(), note: None },
                How::Again => Outcome::Again { error: "again".into(), at: later },
                How::Failed => Outcome::Failed { error: "failed".into() },
                How::Released => Outcome::Released,
            };
            let written = bench.store.finish(&claim, &Arc::new(outcome), Duration::ZERO).await;
            let event = model.events.get_mut(&claim.event_id).unwrap();
            if event.holder != Some(place) {
                prop_assert!(
                    matches!(written, Err(StoreError::ClaimLost { .. })),
                    "a claim that holds nothing writes nothing"
                );
                return Ok(());
            }
            prop_assert!(written.is_ok(), "the holder's outcome is written");
            let last = event.attempts >= event.max_attempts;
            let now = model.now;
            match how {
                How::Completed => model.leave(claim.event_id, "completed", now),
                How::Failed => model.leave(claim.event_id, "failed", now),
                How::Again if last => model.leave(claim.event_id, "failed", now),
                How::Again => model.leave(claim.event_id, "received", now + 60),
                How::Released => {
                    event.attempts -= 1;
                    model.leave(claim.event_id, "received", now);
                }
            }
        }
        Step::Renew { claim } if !model.claims.is_empty() => {
            let place = claim % model.claims.len();
            let claim = model.claims[place].clone();
            let held = bench.store.renew(vec![claim.clone()], LEASE).await.unwrap();
            let event = model.events.get_mut(&claim.event_id).unwrap();
            prop_assert_eq!(!held.is_empty(), event.holder == Some(place), "only the holder renews");
            if event.holder == Some(place) {
                event.until = model.now + LEASE.as_secs();
            }
        }
        Step::Advance { seconds } => {
            bench.clock.advance(Duration::from_secs(seconds));
            model.now += seconds;
        }
        Step::RescueExpired { by } => {
            let rescued = bench.store.rescue_expired(&holder(HOLDERS[by])).await.unwrap();
            let own = model.held_by(HOLDERS[by]);
            let ended = |(id, event): &(&i64, &Expected)| {
                event.status == "processing" && event.until < model.now && !own.contains(id)
            };
            let expected: Vec<i64> = model.events.iter().filter(ended).map(|(id, _)| *id).collect();
            let mut rescued = rescued;
            rescued.sort_unstable();
            prop_assert_eq!(&rescued, &expected);
            for id in expected {
                model.orphan(id);
            }
        }
        Step::RescueDead { dead, by } => {
            let mut rescued = bench.store.rescue_dead(&holder(HOLDERS[dead]), &holder(HOLDERS[by])).await.unwrap();
            rescued.sort_unstable();
            let expected = model.held_by(HOLDERS[dead]);
            prop_assert_eq!(&rescued, &expected);
            for id in expected {
                model.orphan(id);
            }
        }
        Step::Retry { event } if !model.events.is_empty() => {
            let id = *model.events.keys().nth(event % model.events.len()).unwrap();
            let retried = bench.store.retry(vec![id], MAX_ATTEMPTS, "operator:1".into()).await.unwrap();
            let expected = model.events.get_mut(&id).unwrap();
            prop_assert_eq!(retried.len(), usize::from(expected.status != "processing"));
            if expected.status != "processing" {
                if expected.status != "received" {
                    expected.max_attempts = expected.attempts + MAX_ATTEMPTS;
                }
                let now = model.now;
                model.leave(id, "received", now);
            }
        }
        Step::Finish { .. } | Step::Renew { .. } | Step::Retry { .. } => {}
    }
    Ok(())
}

fn compare(bench: &Bench, model: &Model, step: &Step) -> Result<(), TestCaseError> {
    let rows = bench.store.reader.read(|connection| {
        let mut statement = connection.prepare(
            "SELECT id, status, attempts, max_attempts, coalesce(locked_by, ''), \
             (SELECT count(*) FROM webhook_event_log l WHERE l.event_id = e.id), \
             (SELECT to_status FROM webhook_event_log l WHERE l.event_id = e.id ORDER BY l.id DESC LIMIT 1) \
             FROM webhook_events e ORDER BY id",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(format!(
                "{} {} {}/{} by {:?}, {} rows to {}",
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, u32>(2)?,
                row.get::<_, u32>(3)?,
                row.get::<_, String>(4)?,
                row.get::<_, u32>(5)?,
                row.get::<_, String>(6)?,
            ))
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?)
    });
    let expected: Vec<String> = model
        .events
        .iter()
        .map(|(id, event)| {
            let by = event.holder.map_or(String::new(), |claim| model.claims[claim].holder.worker.clone());
            let Expected { status, attempts, max_attempts, log_rows, .. } = event;
            format!("{id} {status} {attempts}/{max_attempts} by {by:?}, {log_rows} rows to {status}")
        })
        .collect();
    prop_assert_eq!(rows.unwrap(), expected, "after {:?}", step);
    let miscounted: i64 = bench
        .store
        .reader
        .read(|connection| {
            Ok(connection.query_row(
                "SELECT count(*) FROM (SELECT source, status, events FROM event_counts WHERE events <> 0 EXCEPT \
                 SELECT source, status, count(*) FROM webhook_events GROUP BY 1, 2)",
                [],
                |row| row.get(0),
            )?)
        })
        .unwrap();
    prop_assert_eq!(miscounted, 0, "the kept counts are the true ones");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_its_model_does(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps))?;
    }
}
