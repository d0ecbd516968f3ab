//! Measures `events search` in a database of a million events.
//!
//! `cargo bench --bench search [-- --events 1000000]`
//!
//! SQL inserts events, subjects, orders and lines: two events and three lines for each order, 5,000 SKUs, one of them
//! on every order.

#![expect(clippy::cast_precision_loss, reason = "printed figures of counts far below 2^52")]

use clap::Parser;
use novex_ingest::internals::clock::Clock;
use novex_ingest::internals::store::db::writer::WriteClass;
use novex_ingest::internals::store::events::search;
use novex_ingest::internals::store::{Store, StoreOptions};
use std::time::Instant;

#[derive(Parser)]
struct Arguments {
    /// Number of events
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// Flag that `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

const SHOP: &str = "acme-foods.myshopify.com";

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(measure(arguments.events));
}

async fn measure(events: u32) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(&StoreOptions::new(directory.path().join("events.db")), &Clock::system()).unwrap();
    let orders = events / 2;
    store
        .writer
        .submit(WriteClass::Maintain, move |connection| Ok(connection.execute_batch(&build_fill_sql(events, orders))?))
        .await
        .unwrap();
    println!("{events} events, {orders} orders");
    println!("{:<34} {:>6} {:>8} {:>8}", "word", "found", "p50 ms", "max ms");
    for (label, word) in [
        ("an order's name", format!("#{}", orders / 2)),
        ("an order's number", (orders / 3).to_string()),
        ("a customer's address", format!("buyer{}@example.com", orders / 4)),
        ("a customer's name", format!("name{}", orders / 5)),
        ("a tracking code", format!("1Z{}", orders / 6)),
        ("an SKU", "SKU-77".to_owned()),
        ("the SKU on every order", "EVERYWHERE".to_owned()),
        ("the middle of an address", format!("er{}@exam", orders - 5)),
        ("the start of an order's name", format!("#{}", orders / 1000)),
        ("no match", "no such thing".to_owned()),
    ] {
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..20 {
            let start = Instant::now();
            found = store.reader.read(|connection| search::search_events(connection, &word, 50)).unwrap().hits.len();
            times.push(start.elapsed().as_micros() as f64 / 1000.0);
        }
        times.sort_by(f64::total_cmp);
        println!("{label:<34} {found:>6} {:>8.2} {:>8.2}", times[times.len() / 2], times[times.len() - 1]);
    }
    store.writer.close().await;
}

/// Returns the SQL that inserts all rows.
fn build_fill_sql(events: u32, orders: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {events})
         INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, status, received_at, completed_at)
         SELECT 'shopify', '{SHOP}', 'orders/create', hex(randomblob(16)), 'completed', '2026-01-01T00:00:00.000Z',
                '2026-01-01T00:00:00.000Z' FROM n;
         INSERT INTO event_subjects SELECT 'order', CAST(id % {orders} + 1 AS TEXT), '{SHOP}', id FROM webhook_events;
         INSERT INTO event_subjects SELECT 'tracking_code', '1Z' || (id % {orders} + 1), '', id FROM webhook_events WHERE id <= {orders};
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {orders})
         INSERT INTO sales_orders (shop_domain, order_id, name, email, customer_id, row_version, event_id)
         SELECT '{SHOP}', i, '#' || i, 'buyer' || i || '@example.com', i, '', i FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {orders})
         INSERT INTO customers (shop_domain, customer_id, email, last_name, row_version, event_id)
         SELECT '{SHOP}', i, 'buyer' || i || '@example.com', 'Name' || i, '', i FROM n;
         INSERT INTO sales_order_lines (shop_domain, order_id, line_id, position, sku, quantity)
         SELECT '{SHOP}', o.order_id, l.place, l.place, CASE l.place WHEN 1 THEN 'EVERYWHERE' ELSE 'SKU-' || ((o.order_id * l.place) % 5000) END, 1
           FROM sales_orders o, (SELECT 1 AS place UNION ALL SELECT 2 UNION ALL SELECT 3) l;"
    )
}
