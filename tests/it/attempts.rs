//! Attempts through the library, with a clock that the test turns: the schedule, troubles of every kind, the fence.

use crate::util::{SECRET, SHOP, base64, hmac};
use bytes::Bytes;
use hyper::HeaderMap;
use novex_ingest::clock::{Clock, Timestamp, after, text};
use novex_ingest::handlers::{Done, Event, Handler, Routes, Trouble};
use novex_ingest::providers::{Endpoint, Providers, shopify::Shopify};
use novex_ingest::queue::{Backoff, Worker, WorkerOptions};
use novex_ingest::secret::Secret;
use novex_ingest::store::changes::Change;
use novex_ingest::store::claims::{Claim, Holder, Outcome};
use novex_ingest::store::projection::{Cell, List, Row};
use novex_ingest::store::tables::SALES_ORDERS;
use novex_ingest::store::{Store, StoreError, StoreOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A store in a directory of its own, at the start of 2026.
pub struct Bench {
    pub store: Store,
    pub clock: Clock,
    directory: tempfile::TempDir,
}

pub fn holder(name: &str) -> Holder {
    Holder { worker: format!("{name}:1"), process: format!("boot/ns/{name}") }
}

impl Bench {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let store = Store::open(&StoreOptions::new(directory.path().join("events.db")), clock.clone()).unwrap();
        Self { store, clock, directory }
    }

    /// Stores an order by the only way there is: signed, and verified by the provider.
    pub async fn receive(&self, webhook_id: &str, max_attempts: u32) -> i64 {
        let body = Bytes::from(crate::util::order(1));
        let mut headers = HeaderMap::new();
        headers.insert("x-shopify-shop-domain", SHOP.parse().unwrap());
        headers.insert("x-shopify-webhook-id", webhook_id.parse().unwrap());
        headers.insert("x-shopify-hmac-sha256", base64(&hmac(SECRET.as_bytes(), &body)).parse().unwrap());
        let secrets = vec![Secret::new(SECRET.as_bytes().to_vec())];
        let providers = Providers { shopify: Some(Shopify::new([(SHOP.to_owned(), secrets)])), ..Providers::default() };
        let endpoint = Endpoint::Shopify { topic: "orders/create".to_owned() };
        let delivery = providers.verify(&endpoint, &headers, &body, self.clock.now()).unwrap();
        self.store.receive(delivery, max_attempts, ()).unwrap().committed().await.unwrap().event_id
    }

    pub fn sql(&self, query: &str) -> String {
        crate::util::sql(&self.directory.path().join("events.db"), query)
    }

    fn worker(&self, handler: &'static dyn Handler) -> Worker {
        let backoff = Backoff::new(Duration::from_secs(15), Duration::from_hours(6));
        let options = WorkerOptions { lease: Duration::from_secs(2), ..WorkerOptions::default() };
        Worker::new(self.store.clone(), Routes::all_to(handler), holder("me"), backoff, options)
    }

    async fn claim(&self, by: &str) -> Claim {
        let mut claims = self.store.claim(&holder(by), 1, Duration::from_mins(5)).await.unwrap();
        claims.pop().expect("an event is due")
    }
}

/// A handler made of a function.
struct By(fn(&Event<'_>) -> Result<Done, Trouble>);

impl Handler for By {
    fn plan(&self, event: &Event<'_>) -> Result<Done, Trouble> {
        self.0(event)
    }
}

static FAILS: By = By(|_| Err(Trouble::Retry("the ERP is down".into())));

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_always_fails_is_attempted_eight_times_on_schedule() {
    let bench = Bench::new();
    let id = bench.receive("w", 8).await;
    let worker = bench.worker(&FAILS);
    for (attempt, seconds) in (1..).zip([15.0, 60.0, 240.0, 960.0, 3840.0, 15360.0, 21600.0]) {
        assert_eq!(worker.once().await.unwrap(), 1, "attempt {attempt} is due");
        assert_eq!(worker.once().await.unwrap(), 0, "and then it waits");
        let due: Timestamp = bench.sql("SELECT next_attempt_at FROM webhook_events").parse().unwrap();
        let wait = due.duration_since(bench.clock.now()).as_secs_f64();
        assert!((seconds * 0.8 - 0.001..=seconds * 1.2).contains(&wait), "after attempt {attempt}: {wait} s");
        assert!(wait <= 21_600.0);
        bench.clock.advance(Duration::from_secs_f64(wait - 0.002));
        assert_eq!(worker.once().await.unwrap(), 0, "not before its time");
        bench.clock.advance(Duration::from_millis(2));
    }
    assert_eq!(worker.once().await.unwrap(), 1);
    assert_eq!(bench.sql("SELECT status, attempts, last_error FROM webhook_events"), "failed|8|the ERP is down");
    assert_eq!(bench.sql("SELECT count(*) FROM webhook_event_log WHERE to_status = 'processing'"), "8");
    bench.clock.advance(Duration::from_hours(1000));
    assert_eq!(worker.once().await.unwrap(), 0, "failed is the end");

    let retried = bench.store.retry(vec![id], 8, "operator:1".into()).await.unwrap();
    assert_eq!(retried.len(), 1);
    for _ in 0..8 {
        bench.clock.advance(Duration::from_hours(7));
        assert_eq!(worker.once().await.unwrap(), 1, "eight more");
    }
    assert_eq!(bench.sql("SELECT status, attempts FROM webhook_events"), "failed|16");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_trouble_has_its_own_end() {
    static PERMANENT: By = By(|_| Err(Trouble::Permanent("no such item".into())));
    static LATER: By = By(|_| Err(Trouble::RetryAt("busy".into(), "2026-03-01T00:00:00Z".parse().unwrap())));
    static PANICS: By = By(|event| panic!("at event {}", event.id));
    static HANGS: By = By(|_| {
        // Far longer than the lease of two seconds that the worker gives it.
        std::thread::sleep(Duration::from_secs(4));
        Ok(Done::default())
    });
    for (handler, status, attempts, error) in [
        (&PERMANENT, "failed", 1, "no such item"),
        (&LATER, "received", 1, "busy"),
        (&PANICS, "received", 1, "the handler panicked; the log has the place"),
        (&HANGS, "received", 1, "the handler ran longer than worker.lease (2 s)"),
    ] {
        let bench = Bench::new();
        bench.receive("w", 8).await;
        assert_eq!(bench.worker(handler).once().await.unwrap(), 1);
        assert_eq!(
            bench.sql("SELECT status, attempts, last_error FROM webhook_events"),
            format!("{status}|{attempts}|{error}")
        );
        if error == "busy" {
            assert_eq!(bench.sql("SELECT next_attempt_at FROM webhook_events"), "2026-03-01T00:00:00.000Z");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_database_refuses_is_an_attempt_and_leaves_nothing() {
    static BROKEN: By = By(|_| {
        let Change::Row(mut row) = sales_order(7, "x", "#7") else { unreachable!("it is a row") };
        // A line without a quantity: refused after the order has been written.
        let rows = vec![vec![Cell::Integer(1), Cell::Integer(1), Cell::Null]];
        row.lists.push(List {
            table: "sales_order_lines",
            part: None,
            columns: vec!["line_id", "position", "quantity"],
            rows,
        });
        Ok(Done { changes: vec![Change::Row(row)], ..Done::default() })
    });
    let bench = Bench::new();
    bench.receive("w", 8).await;
    bench.worker(&BROKEN).once().await.unwrap();
    assert!(bench.sql("SELECT last_error FROM webhook_events").contains("NOT NULL constraint failed"));
    assert_eq!(bench.sql("SELECT status, (SELECT count(*) FROM sales_orders) FROM webhook_events"), "received|0");
}

/// A change that writes this order.
pub fn sales_order(order_id: i64, version: &str, name: &str) -> Change {
    Change::Row(Row {
        table: SALES_ORDERS,
        key: vec![SHOP.into(), order_id.into()],
        version: version.to_owned(),
        columns: vec![("name", name.into()), ("updated_at", version.into())],
        lists: Vec::new(),
    })
}

/// An outcome that writes this order.
pub fn completed(order_id: i64) -> Arc<Outcome> {
    let changes = vec![sales_order(order_id, &text(Timestamp::UNIX_EPOCH), "#1")];
    Arc::new(Outcome::Completed { changes, subjects: Vec::new(), orders: Vec::new(), note: None, erase: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_claim_was_taken_over_writes_nothing() {
    let bench = Bench::new();
    let id = bench.receive("w", 8).await;
    let slow = bench.claim("slow").await;
    bench.clock.advance(Duration::from_mins(6));
    assert_eq!(bench.store.rescue_expired(&holder("other")).await.unwrap(), [id]);
    let quick = bench.claim("quick").await;
    assert_eq!(quick.attempt, 2, "the attempt that was lost counts");
    let late = bench.store.finish(&slow, &completed(111), Duration::ZERO).await;
    assert!(matches!(late, Err(StoreError::ClaimLost { event_id }) if event_id == id));
    bench.store.finish(&quick, &completed(222), Duration::ZERO).await.unwrap();
    let again = bench.store.finish(&quick, &completed(333), Duration::ZERO).await;
    assert!(matches!(again, Err(StoreError::ClaimLost { .. })), "an outcome is written once");
    assert_eq!(bench.sql("SELECT order_id FROM sales_orders"), "222");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_attempt_can_come_again_and_still_fences_out_its_first_holder() {
    let bench = Bench::new();
    bench.receive("w", 8).await;
    let first = bench.claim("me").await;
    bench.store.finish(&first, &Arc::new(Outcome::Released), Duration::ZERO).await.unwrap();
    let second = bench.claim("me").await;
    assert_eq!((first.attempt, second.attempt), (1, 1), "the attempt was given back");
    let stale = bench.store.finish(&first, &completed(1), Duration::ZERO).await;
    assert!(matches!(stale, Err(StoreError::ClaimLost { .. })), "same holder, same attempt, another claim");
    bench.store.finish(&second, &completed(2), Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_lease_is_not_taken_over() {
    let bench = Bench::new();
    bench.receive("w", 8).await;
    let claim = bench.claim("me").await;
    for _ in 0..5 {
        bench.clock.advance(Duration::from_mins(4));
        assert_eq!(bench.store.renew(vec![claim.clone()], Duration::from_mins(5)).await.unwrap(), [claim.event_id]);
        assert!(bench.store.rescue_expired(&holder("other")).await.unwrap().is_empty());
    }
    bench.clock.advance(Duration::from_mins(6));
    assert!(bench.store.rescue_expired(&holder("me")).await.unwrap().is_empty(), "nobody takes from himself");
    assert_eq!(bench.store.rescue_expired(&holder("other")).await.unwrap().len(), 1);
    assert!(bench.store.renew(vec![claim], Duration::from_mins(5)).await.unwrap().is_empty(), "lost is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_event_never_overwrites_a_newer_order() {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static ORDERS: By = By(|_| {
        // Newest first, then older ones, as deliveries out of order bring them.
        let minute = 30 - NEXT.fetch_add(1, Ordering::SeqCst);
        let updated_at =
            text(after("2026-01-01T00:00:00Z".parse().unwrap(), Duration::from_secs(u64::from(minute) * 60)));
        Ok(Done { changes: vec![sales_order(1, &updated_at, &minute.to_string())], ..Done::default() })
    });
    let bench = Bench::new();
    let worker = bench.worker(&ORDERS);
    for id in 0..5 {
        bench.receive(&format!("w{id}"), 8).await;
        worker.once().await.unwrap();
    }
    assert_eq!(bench.sql("SELECT name, updated_at FROM sales_orders"), "30|2026-01-01T00:30:00.000Z");
    assert_eq!(bench.sql("SELECT DISTINCT status FROM webhook_events"), "completed");
}
