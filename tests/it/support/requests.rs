//! Signed requests of each provider.
//!
//! The `hmac` crate makes the signatures, not the code under test: an error would have to be in both.

use super::{Daemon, KEYCLOAK_SECRET, Request, SECRET, SHOP};
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns the HMAC-SHA256 tag.
pub fn hmac_sha256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Returns a signed `orders/create` of [`SHOP`].
pub fn shopify_request(webhook_id: &str, body: &[u8]) -> Request {
    Request::post("/api/webhooks/shopify/orders/create", body)
        .with_header("content-type", "application/json")
        .with_header("X-Shopify-Topic", "orders/create")
        .with_header("X-Shopify-Shop-Domain", SHOP)
        .with_header("X-Shopify-Webhook-Id", webhook_id)
        .with_header("X-Shopify-Hmac-Sha256", &base64(&hmac_sha256(SECRET.as_bytes(), body)))
}

/// Sends a signed webhook of [`SHOP`] with a topic; returns the event id.
pub fn send_webhook(daemon: &Daemon<'_>, webhook_id: &str, topic: &str, body: &[u8]) -> i64 {
    let request = shopify_request(webhook_id, body).with_header("X-Shopify-Topic", topic);
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request }).event_id()
}

/// Returns a signed EasyPost event. The key is the secret in NFKD, spelled out here.
pub fn easypost_request(body: &[u8]) -> Request {
    let tag = hex::encode(hmac_sha256("se\u{301}cret-of-easypost".as_bytes(), body));
    Request::post("/api/webhooks/easypost", body).with_header("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}"))
}

/// Returns a Keycloak event with its bearer token.
pub fn keycloak_request(body: &[u8]) -> Request {
    Request::post("/api/keycloak/events", body).with_header("Authorization", &format!("Bearer {KEYCLOAK_SECRET}"))
}

/// Returns an order that its handler accepts; id and name are the number.
pub fn order_body(id: u64) -> Vec<u8> {
    format!(
        r##"{{"id":{id},"name":"#{id}","currency":"USD","total_price":"10.00","created_at":"2026-11-23T10:00:00-05:00","updated_at":"2026-11-23T10:00:00-05:00","line_items":[{{"id":{id}1,"sku":"JAM-6","quantity":2,"price":"5.00"}}]}}"##
    )
    .into_bytes()
}
