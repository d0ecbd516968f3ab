//! What verifying a delivery and planning an order cost by themselves, without network and database.
//!
//! `cargo bench --bench providers`

#![expect(clippy::cast_precision_loss, reason = "figures for people, from counts far below 2^52")]

use base64::Engine;
use bytes::Bytes;
use hyper::HeaderMap;
use novex_ingest::clock::Timestamp;
use novex_ingest::handlers::{Event, Handler, shopify::orders::Orders};
use novex_ingest::proof;
use novex_ingest::providers::{
    Endpoint, Providers, easypost,
    easypost::EasyPost,
    keycloak::{Accept, Keycloak},
    shopify::Shopify,
};
use novex_ingest::secret::Secret;
use std::hint::black_box;
use std::time::{Duration, Instant};

const SHOP: &str = "acme-foods.myshopify.com";

fn main() {
    let secret = || Secret::new(b"bench".to_vec());
    let providers = Providers {
        shopify: Some(Shopify::new([(SHOP.to_owned(), vec![secret()])])),
        easypost: Some(EasyPost::new(&[secret()], Duration::from_mins(5))),
        keycloak: Some(Keycloak::new(vec![secret()], Accept::default())),
    };
    println!("{:<10} {:>8} {:>10} {:>8}", "what", "bytes", "µs", "MB/s");
    for size in [1_000, 6_000, 100_000] {
        let body =
            Bytes::from(format!(r#"{{"id":1,"description":"tracker.updated","note":"{}"}}"#, "x".repeat(size - 50)));
        let mut headers = HeaderMap::new();
        let signature = base64::engine::general_purpose::STANDARD.encode(proof::mac(&secret(), &[], &body));
        headers.insert("x-shopify-shop-domain", SHOP.parse().unwrap());
        headers.insert("x-shopify-webhook-id", "w".parse().unwrap());
        headers.insert("x-shopify-hmac-sha256", signature.parse().unwrap());
        headers.insert("x-hmac-signature", easypost::sign(&secret(), &body).parse().unwrap());
        headers.insert("authorization", "Bearer bench".parse().unwrap());
        for (name, endpoint) in [
            ("shopify", Endpoint::Shopify { topic: "orders/create".to_owned() }),
            ("easypost", Endpoint::EasyPost),
            ("keycloak", Endpoint::Keycloak),
        ] {
            report(name, body.len(), || {
                black_box(providers.verify(&endpoint, &headers, &body, Timestamp::UNIX_EPOCH).unwrap());
            });
        }
        let event = Event {
            id: 1,
            source: "shopify",
            shop_domain: SHOP,
            topic: "orders/create",
            received_at: Timestamp::UNIX_EPOCH,
            triggered_at: None,
            body_hash: 0,
            body: &body,
        };
        report("plan order", body.len(), || drop(black_box(Orders.plan(&event).unwrap())));
    }
}

/// The median of many runs.
fn report(name: &str, bytes: usize, mut work: impl FnMut()) {
    let mut times: Vec<f64> = (0..2000)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!("{name:<10} {bytes:>8} {median:>10.1} {:>8.0}", bytes as f64 / median);
}
