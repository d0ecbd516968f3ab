//! Claims and completions per second, and how long the overview takes, with more and more history behind them.
//!
//! `cargo bench --bench queue [-- --history 0,100000,1000000]`
//!
//! A cycle is one claim and one completion, both synced. The events are made with plain SQL, the history is completed.

use clap::Parser;
use novex_ingest::clock::Clock;
use novex_ingest::store::claims::{Holder, Outcome};
use novex_ingest::store::writer::Kind;
use novex_ingest::store::{Store, StoreOptions, events, stats};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CYCLES: u32 = 4000;

#[derive(Parser)]
struct Arguments {
    #[arg(long, value_delimiter = ',', default_values_t = [0, 100_000, 1_000_000])]
    history: Vec<u32>,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{:>9} {:>6} {:>9} {:>9} {:>9}", "history", "batch", "cycles/s", "stats ms", "list ms");
    for history in arguments.history {
        runtime.block_on(measure(history));
    }
}

async fn measure(history: u32) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(&StoreOptions::new(directory.path().join("events.db")), Clock::system()).unwrap();
    insert(&store, history, "completed").await;
    for batch in [1, 10, 100] {
        insert(&store, CYCLES, "received").await;
        let holder = Holder { worker: "bench:1".into(), process: "boot/ns/1".into() };
        let done = Arc::new(Outcome::Completed {
            changes: Vec::new(),
            subjects: Vec::new(),
            orders: Vec::new(),
            note: None,
            erase: None,
        });
        let begun = Instant::now();
        let mut made = 0;
        while made < CYCLES {
            let claims = store.claim(&holder, batch, Duration::from_mins(5)).await.unwrap();
            made += u32::try_from(claims.len()).unwrap();
            let finishing: Vec<_> = claims
                .into_iter()
                .map(|claim| {
                    let (store, done) = (store.clone(), done.clone());
                    tokio::spawn(async move { store.finish(&claim, &done, Duration::ZERO).await.unwrap() })
                })
                .collect();
            for finished in finishing {
                finished.await.unwrap();
            }
        }
        let per_second = f64::from(CYCLES) / begun.elapsed().as_secs_f64();
        let overview =
            time(|| drop(store.reader.read(|connection| stats::read(connection, store.clock.now())).unwrap()));
        let filter = events::Filter { status: Some(events::Status::Received), ..events::Filter::default() };
        let list = time(|| drop(store.reader.read(|connection| events::list(connection, &filter, None, 50)).unwrap()));
        println!("{history:>9} {batch:>6} {per_second:>9.0} {overview:>9.2} {list:>9.2}");
    }
    store.writer.close().await;
}

fn time(mut work: impl FnMut()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64() * 1000.0
}

async fn insert(store: &Store, events: u32, status: &'static str) {
    store
        .writer
        .submit(Kind::Upkeep, move |connection| {
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
