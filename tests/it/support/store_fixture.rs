//! A store on a manual clock, used through the library.

use super::{SECRET, SHOP, base64, hmac_sha256};
use bytes::Bytes;
use hyper::HeaderMap;
use novex_ingest::internals::backoff::Backoff;
use novex_ingest::internals::changes::Change;
use novex_ingest::internals::changes::catalogue::SALES_ORDERS;
use novex_ingest::internals::changes::rows::RowChange;
use novex_ingest::internals::clock::{Clock, Timestamp, format_timestamp};
use novex_ingest::internals::delivery::destinations::Destinations;
use novex_ingest::internals::handlers::{Event, Handler, HandlerError, Plan, Routes};
use novex_ingest::internals::processor::EventProcessor;
use novex_ingest::internals::providers::shopify::ShopifyVerifier;
use novex_ingest::internals::providers::{WebhookEndpoint, WebhookVerifiers};
use novex_ingest::internals::queue::{Worker, WorkerOptions};
use novex_ingest::internals::secret::Secret;
use novex_ingest::internals::store::leases::LeaseOwner;
use novex_ingest::internals::store::leases::event_outcomes::Outcome;
use novex_ingest::internals::store::leases::events::EventClaim;
use novex_ingest::internals::store::{Store, StoreOptions};
use std::sync::Arc;
use std::time::Duration;

/// A new store in a temporary directory, at the start of 2026.
pub struct StoreFixture {
    pub store: Store,
    pub clock: Clock,
    directory: tempfile::TempDir,
}

/// Returns a lease owner whose worker and process have this name.
pub fn lease_owner(name: &str) -> LeaseOwner {
    LeaseOwner { worker: format!("{name}:1"), process: format!("boot/ns/{name}") }
}

impl StoreFixture {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let store = Store::open(&StoreOptions::new(directory.path().join("events.db")), &clock).unwrap();
        Self { store, clock, directory }
    }

    /// Stores an order as the server does: signed by the test, verified by the provider. Returns the event id.
    pub async fn receive(&self, webhook_id: &str, max_attempts: u32) -> i64 {
        let body = Bytes::from(crate::support::order_body(1));
        let mut headers = HeaderMap::new();
        headers.insert("x-shopify-shop-domain", SHOP.parse().unwrap());
        headers.insert("x-shopify-webhook-id", webhook_id.parse().unwrap());
        headers.insert("x-shopify-hmac-sha256", base64(&hmac_sha256(SECRET.as_bytes(), &body)).parse().unwrap());
        let secrets = vec![Secret::new(SECRET.as_bytes().to_vec())];
        let verifiers = WebhookVerifiers {
            shopify: Some(ShopifyVerifier::new([(SHOP.to_owned(), secrets)])),
            ..WebhookVerifiers::default()
        };
        let endpoint = WebhookEndpoint::Shopify { topic: "orders/create".to_owned() };
        let webhook = verifiers.verify(&endpoint, &headers, &body, self.clock.now()).unwrap();
        self.store.receive(webhook, max_attempts, ()).unwrap().committed().await.unwrap().event_id
    }

    pub fn sql(&self, query: &str) -> String {
        crate::support::sql(&self.directory.path().join("events.db"), query)
    }

    /// Returns a worker whose leases last two seconds and whose events all go to `handler`.
    pub fn worker(&self, handler: &'static dyn Handler) -> Worker {
        let backoff = Backoff::new(Duration::from_secs(15), Duration::from_hours(6));
        let options = WorkerOptions { lease_duration: Duration::from_secs(2), ..WorkerOptions::default() };
        let routes = Routes::all_to(handler);
        let processor = EventProcessor::new(self.store.clone(), routes, Destinations::default());
        Worker::new(self.store.clone(), Arc::new(processor), lease_owner("me"), backoff, options)
    }

    /// Claims one event for five minutes.
    pub async fn claim(&self, owner: &str) -> EventClaim {
        let mut claims = self.store.claim_events(&lease_owner(owner), 1, Duration::from_mins(5)).await.unwrap();
        claims.pop().expect("an event is due")
    }
}

/// A handler that calls a function.
pub struct FnHandler(pub fn(&Event<'_>) -> Result<Plan, HandlerError>);

impl Handler for FnHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        self.0(event)
    }
}

/// Returns a change that writes an order.
pub fn order_change(order_id: i64, version: &str, name: &str) -> Change {
    Change::Row(RowChange {
        table: SALES_ORDERS,
        key: vec![SHOP.into(), order_id.into()],
        row_version: version.to_owned(),
        columns: vec![("name", name.into()), ("updated_at", version.into())],
        lists: Vec::new(),
    })
}

/// Returns an outcome that writes an order.
pub fn completed_order(order_id: i64) -> Arc<Outcome> {
    let changes = vec![order_change(order_id, &format_timestamp(Timestamp::UNIX_EPOCH), "#1")];
    Arc::new(Outcome::Completed { changes, subjects: Vec::new(), deliveries: Vec::new(), note: None, redaction: None })
}
