//! Measures claims and completions per second, and the duration of `stats` and `events list`, by size of the history.
//!
//! `cargo bench --bench queue [-- --history 0,100000,1000000]`
//!
//! A cycle is one claim and one completion, each synced to disk. SQL inserts the events; the history is completed
//! events.

use clap::Parser;
use novex_ingest::internals::clock::Clock;
use novex_ingest::internals::store::db::writer::WriteClass;
use novex_ingest::internals::store::events::{records, stats};
use novex_ingest::internals::store::leases::LeaseOwner;
use novex_ingest::internals::store::leases::event_outcomes::Outcome;
use novex_ingest::internals::store::{Store, StoreOptions};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CYCLES: u32 = 4000;

#[derive(Parser)]
struct Arguments {
    /// Numbers of completed events to measure with
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100_000, 1_000_000])]
    history: Vec<u32>,
    /// Flag that `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{:>9} {:>6} {:>9} {:>9} {:>9}", "history", "batch", "cycles/s", "stats ms", "list ms");
    for history in arguments.history {
        runtime.block_on(measure_history(history));
    }
}

async fn measure_history(history: u32) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(&StoreOptions::new(directory.path().join("events.db")), &Clock::system()).unwrap();
    insert_events(&store, history, "completed").await;
    for batch in [1, 10, 100] {
        insert_events(&store, CYCLES, "received").await;
        let owner = LeaseOwner { worker: "bench:1".into(), process: "boot/ns/1".into() };
        let outcome = Arc::new(Outcome::Completed {
            changes: Vec::new(),
            subjects: Vec::new(),
            deliveries: Vec::new(),
            note: None,
            redaction: None,
        });
        let start = Instant::now();
        let mut claimed = 0;
        while claimed < CYCLES {
            let claims = store.claim_events(&owner, batch, Duration::from_mins(5)).await.unwrap();
            claimed += u32::try_from(claims.len()).unwrap();
            let completions: Vec<_> = claims
                .into_iter()
                .map(|claim| {
                    let (store, outcome) = (store.clone(), outcome.clone());
                    tokio::spawn(async move { store.record_outcome(&claim, &outcome, Duration::ZERO).await.unwrap() })
                })
                .collect();
            for completion in completions {
                completion.await.unwrap();
            }
        }
        let per_second = f64::from(CYCLES) / start.elapsed().as_secs_f64();
        let overview = measure_ms(|| {
            drop(store.reader.read(|connection| stats::read_stats(connection, store.clock.now())).unwrap());
        });
        let filter =
            records::EventFilter { status: Some(records::EventStatus::Received), ..records::EventFilter::default() };
        let list = measure_ms(|| {
            drop(store.reader.read(|connection| records::list_events(connection, &filter, None, 50)).unwrap());
        });
        println!("{history:>9} {batch:>6} {per_second:>9.0} {overview:>9.2} {list:>9.2}");
    }
    store.writer.close().await;
}

/// Returns the duration of `work` in milliseconds.
fn measure_ms(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1000.0
}

async fn insert_events(store: &Store, events: u32, status: &'static str) {
    store
        .writer
        .submit(WriteClass::Maintain, move |connection| {
            let (due, done) = if status == "received" { ("'2026-01-01T00:00:00.000Z'", "NULL") } else { ("NULL", "'2026-01-01T00:00:00.000Z'") };
            connection.execute_batch(&format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {events})
                 INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, status, next_attempt_at, received_at, completed_at)
                 SELECT 'shopify', 'acme-foods.myshopify.com', 'orders/create', hex(randomblob(16)), '{status}', {due},
                        '2026-01-01T00:00:00.000Z', {done} FROM n WHERE {events} > 0"
            ))?;
            Ok(())
        })
        .await
        .unwrap();
}
