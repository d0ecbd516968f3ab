//! Measures the verification of a webhook and the planning of an order, without network and database.
//!
//! `cargo bench --bench providers`

#![expect(clippy::cast_precision_loss, reason = "printed figures of counts far below 2^52")]

use base64::Engine;
use bytes::Bytes;
use hyper::HeaderMap;
use novex_ingest::internals::clock::Timestamp;
use novex_ingest::internals::event::{EventIdentity, EventKey, Source};
use novex_ingest::internals::handlers::shopify::orders::OrderHandler;
use novex_ingest::internals::handlers::{Event, Handler};
use novex_ingest::internals::proof;
use novex_ingest::internals::providers::easypost::EasyPostVerifier;
use novex_ingest::internals::providers::keycloak::{AcceptedProofs, KeycloakVerifier};
use novex_ingest::internals::providers::shopify::ShopifyVerifier;
use novex_ingest::internals::providers::{WebhookEndpoint, WebhookVerifiers, easypost};
use novex_ingest::internals::secret::Secret;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SHOP: &str = "acme-foods.myshopify.com";

fn main() {
    let secret = || Secret::new(b"bench".to_vec());
    let verifiers = WebhookVerifiers {
        shopify: Some(ShopifyVerifier::new([(SHOP.to_owned(), vec![secret()])])),
        easypost: Some(EasyPostVerifier::new(&[secret()], Duration::from_mins(5))),
        keycloak: Some(KeycloakVerifier::new(vec![secret()], AcceptedProofs::default())),
    };
    println!("{:<10} {:>8} {:>10} {:>8}", "step", "bytes", "µs", "MB/s");
    for size in [1_000, 6_000, 100_000] {
        let body =
            Bytes::from(format!(r#"{{"id":1,"description":"tracker.updated","note":"{}"}}"#, "x".repeat(size - 50)));
        let mut headers = HeaderMap::new();
        let signature =
            base64::engine::general_purpose::STANDARD.encode(proof::compute_hmac_sha256(&secret(), &[], &body));
        headers.insert("x-shopify-shop-domain", SHOP.parse().unwrap());
        headers.insert("x-shopify-webhook-id", "w".parse().unwrap());
        headers.insert("x-shopify-hmac-sha256", signature.parse().unwrap());
        headers.insert("x-hmac-signature", easypost::sign_easypost_body(&secret(), &body).parse().unwrap());
        headers.insert("authorization", "Bearer bench".parse().unwrap());
        for (name, endpoint) in [
            ("shopify", WebhookEndpoint::Shopify { topic: "orders/create".to_owned() }),
            ("easypost", WebhookEndpoint::EasyPost),
            ("keycloak", WebhookEndpoint::Keycloak),
        ] {
            print_median(name, body.len(), || {
                black_box(verifiers.verify(&endpoint, &headers, &body, Timestamp::UNIX_EPOCH).unwrap());
            });
        }
        let key = EventKey {
            source: Source::Shopify,
            shop_domain: SHOP.to_owned(),
            topic: "orders/create".to_owned(),
            webhook_id: String::new(),
        };
        let event = Event {
            identity: &EventIdentity { id: 1, key },
            received_at: Timestamp::UNIX_EPOCH,
            triggered_at: None,
            body_hash: 0,
            body: &body,
            is_events_preview: false,
            body_notes: None,
        };
        print_median("plan order", body.len(), || drop(black_box(OrderHandler.plan(&event).unwrap())));
    }
}

/// The median of many runs.
fn print_median(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut times: Vec<f64> = (0..2000)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("{name:<10} {bytes:>8} {median:>10.1} {:>8.0}", bytes as f64 / median);
}
