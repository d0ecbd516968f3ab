//! Attempts through the library on a manual clock: the schedule, each handler error, the fencing token.

use crate::support::StoreFixture;
use crate::support::store_fixture::{FnHandler, completed_order, lease_owner, order_change};
use novex_ingest::internals::backoff::Backoff;
use novex_ingest::internals::changes::Change;
use novex_ingest::internals::changes::rows::{CellValue, ListChange};
use novex_ingest::internals::clock::{Timestamp, add_duration, format_timestamp};
use novex_ingest::internals::handlers::{HandlerError, Plan};
use novex_ingest::internals::store::StoreError;
use novex_ingest::internals::store::access::Actor;
use novex_ingest::internals::store::leases::event_outcomes::Outcome;
use novex_ingest::internals::store::leases::events::EVENTS;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

static FAILS: FnHandler = FnHandler(|_| Err(HandlerError::Retry("the ERP is down".into())));

#[tokio::test(flavor = "multi_thread")]
async fn failing_event_gets_eight_attempts_on_schedule() {
    let fixture = StoreFixture::new();
    let id = fixture.receive("w", 8).await;
    let worker = fixture.worker(&FAILS);
    for (attempt, seconds) in (1..).zip([15.0, 60.0, 240.0, 960.0, 3840.0, 15360.0, 21600.0]) {
        assert_eq!(worker.process_batch().await.unwrap(), 1, "attempt {attempt} is due");
        assert_eq!(worker.process_batch().await.unwrap(), 0, "then the event waits");
        let due: Timestamp = fixture.sql("SELECT next_attempt_at FROM webhook_events").parse().unwrap();
        let wait = due.duration_since(fixture.clock.now()).as_secs_f64();
        assert!((seconds * 0.8 - 0.001..=seconds * 1.2).contains(&wait), "after attempt {attempt}: {wait} s");
        assert!(wait <= 21_600.0);
        fixture.clock.advance(Duration::from_secs_f64(wait - 0.002));
        assert_eq!(worker.process_batch().await.unwrap(), 0, "not before its time");
        fixture.clock.advance(Duration::from_millis(2));
    }
    assert_eq!(worker.process_batch().await.unwrap(), 1);
    assert_eq!(fixture.sql("SELECT status, attempts, last_error FROM webhook_events"), "failed|8|the ERP is down");
    assert_eq!(fixture.sql("SELECT count(*) FROM webhook_event_log WHERE to_status = 'processing'"), "8");
    fixture.clock.advance(Duration::from_hours(1000));
    assert_eq!(worker.process_batch().await.unwrap(), 0, "a failed event is never due");

    let retried = fixture
        .store
        .retry_events(vec![id], 8, "operator:1".into(), Actor::from_operator("anna@box".into()))
        .await
        .unwrap();
    assert_eq!(retried.len(), 1);
    for _ in 0..8 {
        fixture.clock.advance(Duration::from_hours(7));
        assert_eq!(worker.process_batch().await.unwrap(), 1, "eight more attempts");
    }
    assert_eq!(fixture.sql("SELECT status, attempts FROM webhook_events"), "failed|16");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_handler_error_has_its_outcome() {
    static PERMANENT: FnHandler = FnHandler(|_| Err(HandlerError::Permanent("no such item".into())));
    static LATER: FnHandler =
        FnHandler(|_| Err(HandlerError::RetryAt("busy".into(), "2026-03-01T00:00:00Z".parse().unwrap())));
    static PANICS: FnHandler = FnHandler(|event| panic!("at event {}", event.identity.id));
    static HANGS: FnHandler = FnHandler(|_| {
        // Longer than the lease of two seconds.
        std::thread::sleep(Duration::from_secs(4));
        Ok(Plan::default())
    });
    for (handler, status, attempts, error) in [
        (&PERMANENT, "failed", 1, "no such item"),
        (&LATER, "received", 1, "busy"),
        (&PANICS, "received", 1, "the handler panicked; the log has the place"),
        (&HANGS, "received", 1, "the handler ran longer than worker.lease (2 s)"),
    ] {
        let fixture = StoreFixture::new();
        fixture.receive("w", 8).await;
        assert_eq!(fixture.worker(handler).process_batch().await.unwrap(), 1);
        assert_eq!(
            fixture.sql("SELECT status, attempts, last_error FROM webhook_events"),
            format!("{status}|{attempts}|{error}")
        );
        if error == "busy" {
            assert_eq!(fixture.sql("SELECT next_attempt_at FROM webhook_events"), "2026-03-01T00:00:00.000Z");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_change_counts_as_attempt_and_writes_nothing() {
    static BROKEN: FnHandler = FnHandler(|_| {
        let Change::Row(mut row) = order_change(7, "x", "#7") else { unreachable!("it is a row") };
        // A line without a quantity: the database refuses it after the order was written.
        let rows = vec![vec![CellValue::Integer(1), CellValue::Integer(1), CellValue::Null]];
        row.lists.push(ListChange {
            table: "sales_order_lines",
            partition: None,
            columns: vec!["line_id", "position", "quantity"],
            rows: rows.into_iter().collect(),
            is_partial: false,
        });
        Ok(Plan { changes: vec![Change::Row(row)], ..Plan::default() })
    });
    let fixture = StoreFixture::new();
    fixture.receive("w", 8).await;
    fixture.worker(&BROKEN).process_batch().await.unwrap();
    assert!(fixture.sql("SELECT last_error FROM webhook_events").contains("NOT NULL constraint failed"));
    assert_eq!(fixture.sql("SELECT status, (SELECT count(*) FROM sales_orders) FROM webhook_events"), "received|0");
}

async fn recover_expired(fixture: &StoreFixture, by: &str) -> Vec<i64> {
    let backoff = Backoff::doubling(Duration::from_secs(15), Duration::from_hours(6));
    let recovered = fixture.store.recover_expired_leases(&EVENTS, &lease_owner(by), &backoff).await.unwrap();
    recovered.iter().map(|row| row.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn recovered_claim_refuses_its_old_owner() {
    let fixture = StoreFixture::new();
    let id = fixture.receive("w", 8).await;
    let slow = fixture.claim("slow").await;
    fixture.clock.advance(Duration::from_mins(6));
    assert_eq!(recover_expired(&fixture, "other").await, [id]);
    let quick = fixture.claim("quick").await;
    assert_eq!(quick.attempt, 2, "the lost attempt counts");
    let late = fixture.store.record_outcome(&slow, &completed_order(111), Duration::ZERO).await;
    assert!(matches!(late, Err(StoreError::ClaimLost { event_id }) if event_id == id));
    fixture.store.record_outcome(&quick, &completed_order(222), Duration::ZERO).await.unwrap();
    let again = fixture.store.record_outcome(&quick, &completed_order(333), Duration::ZERO).await;
    assert!(matches!(again, Err(StoreError::ClaimLost { .. })), "an outcome is recorded once");
    assert_eq!(fixture.sql("SELECT order_id FROM sales_orders"), "222");
}

#[tokio::test(flavor = "multi_thread")]
async fn fencing_token_differs_for_a_repeated_attempt() {
    let fixture = StoreFixture::new();
    fixture.receive("w", 8).await;
    let first = fixture.claim("me").await;
    fixture.store.record_outcome(&first, &Arc::new(Outcome::Released), Duration::ZERO).await.unwrap();
    let second = fixture.claim("me").await;
    assert_eq!((first.attempt, second.attempt), (1, 1), "the release restored the attempt");
    let stale = fixture.store.record_outcome(&first, &completed_order(1), Duration::ZERO).await;
    assert!(matches!(stale, Err(StoreError::ClaimLost { .. })), "same owner, same attempt, another fencing token");
    fixture.store.record_outcome(&second, &completed_order(2), Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_lease_is_not_recovered() {
    let fixture = StoreFixture::new();
    fixture.receive("w", 8).await;
    let claim = fixture.claim("me").await;
    for _ in 0..5 {
        fixture.clock.advance(Duration::from_mins(4));
        assert_eq!(
            fixture
                .store
                .renew_leases(&EVENTS, vec![(claim.event.id, claim.lease.clone())], Duration::from_mins(5))
                .await
                .unwrap(),
            [claim.event.id]
        );
        assert!(recover_expired(&fixture, "other").await.is_empty());
    }
    fixture.clock.advance(Duration::from_mins(6));
    assert!(recover_expired(&fixture, "me").await.is_empty(), "an owner does not recover its own leases");
    assert_eq!(recover_expired(&fixture, "other").await.len(), 1);
    assert!(
        fixture
            .store
            .renew_leases(&EVENTS, vec![(claim.event.id, claim.lease)], Duration::from_mins(5))
            .await
            .unwrap()
            .is_empty(),
        "a lost lease is not renewed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn older_event_never_overwrites_a_newer_order() {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static ORDERS: FnHandler = FnHandler(|_| {
        // Newest first, then older ones, like webhooks that arrive out of order.
        let minute = 30 - NEXT.fetch_add(1, Ordering::SeqCst);
        let updated_at = format_timestamp(add_duration(
            "2026-01-01T00:00:00Z".parse().unwrap(),
            Duration::from_secs(u64::from(minute) * 60),
        ));
        Ok(Plan { changes: vec![order_change(1, &updated_at, &minute.to_string())], ..Plan::default() })
    });
    let fixture = StoreFixture::new();
    let worker = fixture.worker(&ORDERS);
    for id in 0..5 {
        fixture.receive(&format!("w{id}"), 8).await;
        worker.process_batch().await.unwrap();
    }
    assert_eq!(fixture.sql("SELECT name, updated_at FROM sales_orders"), "30|2026-01-01T00:30:00.000Z");
    assert_eq!(fixture.sql("SELECT DISTINCT status FROM webhook_events"), "completed");
}
