//! Shopify's webhooks: base64 HMAC-SHA256 of the raw body with the app's client secret.
//!
//! Facts, from shopify.dev ("Verify webhook deliveries", "Webhook delivery structure") and Shopify/shopify-app-js
//! (`packages/apps/shopify-api/lib/webhooks`):
//! - Shopify signs only the body. The headers with topic, shop and ids are not signed, so the secret must belong to the
//!   shop of the header.
//! - After a rotation Shopify may still sign with the old secret for up to an hour. A shop can therefore have several
//!   secrets.
//! - `X-Shopify-Webhook-Id` is the same on the retries of one webhook. All webhooks of one action of the merchant share
//!   `X-Shopify-Event-Id`, also under other topics. As the only id it would drop `orders/paid` after `orders/create`.
//! - The newer event subscriptions (Events, a developer preview) send the same headers without `X-`. Their topic is an
//!   object, with the action in a header of its own: `shopify-topic: Product`, `shopify-action: update`.

use crate::event::{Envelope, EventKey, Source, VerifiedWebhook};
use crate::proof::{AuthenticBody, HMAC_TAG_BYTES, compute_hmac_sha256, verify_hmac_sha256};
use crate::providers::{Rejection, RejectionReason, WebhookRequest, headers, parse_name, parse_name_header, test_mark};
use crate::secret::Secret;
use crate::text::format_count;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use std::collections::HashMap;

/// Verifier for the webhooks of the configured shops, by domain.
#[derive(Debug, Clone)]
pub struct ShopifyVerifier {
    shops: HashMap<String, Vec<Secret>>,
    /// Largest number of secrets of a shop. Each request costs that many HMACs, so that its duration does not reveal
    /// whether the shop is known.
    secrets_max: usize,
}

impl ShopifyVerifier {
    /// Creates a verifier from pairs of a domain and its secrets.
    #[must_use]
    pub fn new(shops: impl IntoIterator<Item = (String, Vec<Secret>)>) -> Self {
        let shops: HashMap<_, _> =
            shops.into_iter().map(|(domain, secrets)| (domain.to_ascii_lowercase(), secrets)).collect();
        let secrets_max = shops.values().map(Vec::len).max().unwrap_or(0);
        Self { shops, secrets_max }
    }

    /// Checks the signature, then the headers.
    ///
    /// # Errors
    /// A rejection with status 401 if the signature or shop is wrong, 400 if a header is missing, malformed or
    /// contradicts the path.
    pub fn verify_request(&self, request: WebhookRequest<'_>) -> Result<VerifiedWebhook, Rejection> {
        let header = |suffix: &str| read_shopify_header(request.headers, suffix);
        let domain = header("shop-domain")?
            .ok_or_else(|| {
                Rejection::new(RejectionReason::HeaderMissing, "the header X-Shopify-Shop-Domain is missing")
            })?
            .to_ascii_lowercase();
        let authentic = self.verify_signature(request, &domain)?;
        let path_topic = parse_name_header("the topic in the path", Some(request.topic))?.ok_or_else(|| {
            Rejection::new(RejectionReason::HeaderMalformed, "the path has no topic after /api/webhooks/shopify/")
        })?;
        let topic = resolve_topic(path_topic, header("topic")?, header("action")?)?;
        let topic = topic.as_str();
        let event_id = parse_name_header("X-Shopify-Event-Id", header("event-id")?)?;
        let webhook_id = match (parse_name_header("X-Shopify-Webhook-Id", header("webhook-id")?)?, event_id) {
            (Some(id), _) => id.to_owned(),
            // The shop domain is part of the event's key, so its id does not repeat it.
            (None, Some(event)) => format!("event:{event}:{topic}:{}", header("name")?.unwrap_or("")),
            (None, None) => {
                let detail = "the headers X-Shopify-Webhook-Id and X-Shopify-Event-Id are missing";
                return Err(Rejection::new(RejectionReason::HeaderMissing, detail));
            }
        };
        let envelope = Envelope {
            key: EventKey { source: Source::Shopify, shop_domain: domain, topic: topic.to_owned(), webhook_id },
            provider_event_id: event_id.map(str::to_owned),
            triggered_at: header("triggered-at")?.and_then(parse_name).map(str::to_owned),
            headers: headers::serialize_headers(request.headers),
            received_at: request.received_at,
        };
        Ok(VerifiedWebhook::new(envelope, authentic))
    }

    /// Checks the signature with the secrets of the shop, in a time that depends neither on the shop nor on the
    /// signature.
    fn verify_signature(&self, request: WebhookRequest<'_>, domain: &str) -> Result<AuthenticBody, Rejection> {
        let shop = self.shops.get(domain);
        let secrets = shop.map_or(&[][..], Vec::as_slice);
        let spend_other_hmacs = || {
            for _ in secrets.len()..self.secrets_max {
                std::hint::black_box(compute_hmac_sha256(&Secret::new(Vec::new()), &[], request.body));
            }
        };
        let has_mark = test_mark::read_test_mark(request.headers).is_some();
        if has_mark {
            let proof = test_mark::prove_test_request(request, secrets);
            spend_other_hmacs();
            if let Some(authentic) = proof {
                return Ok(authentic);
            }
        }
        let signature = match read_shopify_header(request.headers, "hmac-sha256")? {
            Some(signature) => signature,
            // A test request with a mark of another secret gets another reason than a request without any proof.
            None if has_mark => "",
            None => {
                let detail = "the header X-Shopify-Hmac-Sha256 is missing";
                return Err(Rejection::new(RejectionReason::SignatureMissing, detail));
            }
        };
        // A signature that is not base64 is compared too, as zeros, so that it takes as long as a wrong one.
        let tag = STANDARD.decode(signature).ok().filter(|tag| tag.len() == HMAC_TAG_BYTES);
        let proof = verify_hmac_sha256(secrets, &[], request.body, tag.as_deref().unwrap_or(&[0; HMAC_TAG_BYTES]));
        spend_other_hmacs();
        match (shop, tag, proof) {
            (None, _, _) => {
                Err(Rejection::new(RejectionReason::UnknownShop, format!("no shop {domain:?} is configured")))
            }
            (_, None, _) if signature.is_empty() && has_mark => {
                let detail = format!("none of the {} secrets of {domain} gives X-Novex-Ingest-Test", secrets.len());
                Err(Rejection::new(RejectionReason::SignatureMismatch, detail))
            }
            (_, None, _) => Err(Rejection::new(
                RejectionReason::SignatureMalformed,
                "X-Shopify-Hmac-Sha256 is not base64 of 32 bytes",
            )),
            (_, _, Err(_)) => {
                let secrets = format_count(secrets.len(), "secret is configured", "secrets are configured");
                let detail = format!("for {domain}, {secrets}; none gives the signature");
                Err(Rejection::new(RejectionReason::SignatureMismatch, detail))
            }
            (Some(_), Some(_), Ok(authentic)) => Ok(authentic),
        }
    }
}

/// Returns the topic of the event from the path and the headers.
///
/// The Events preview states an object and an action, `Product` and `update`. They become the topic that handlers know,
/// `products/update`. The path names that topic, the object, or its plural.
fn resolve_topic(path_topic: &str, stated: Option<&str>, action: Option<&str>) -> Result<String, Rejection> {
    let mismatch = |detail: String| Err(Rejection::new(RejectionReason::TopicMismatch, detail));
    match (stated, action.map(str::trim).filter(|action| !action.is_empty())) {
        (Some(object), Some(action)) if !object.contains('/') => {
            let family = to_topic_family(object);
            // The one topic of the family whose word is another one.
            let action = action.to_ascii_lowercase();
            let action = if family == "orders" && action == "update" { "updated" } else { &action };
            let topic = format!("{family}/{action}");
            let topic = parse_name_header("X-Shopify-Topic with X-Shopify-Action", Some(&topic))?.unwrap_or(path_topic);
            if [topic, family.as_str()].contains(&path_topic) || path_topic.eq_ignore_ascii_case(object) {
                return Ok(topic.to_owned());
            }
            mismatch(format!("the topic in the path is {path_topic:?}, but the headers state {topic:?}"))
        }
        (Some(stated), _) if stated != path_topic => {
            mismatch(format!("the topic in the path is {path_topic:?}, but X-Shopify-Topic is {stated:?}"))
        }
        _ => Ok(path_topic.to_owned()),
    }
}

/// Returns the first part of the topics of an object: `InventoryItem` gives `inventory_items`.
fn to_topic_family(object: &str) -> String {
    let mut family = String::new();
    let mut after_lower_case = false;
    for letter in object.trim().chars() {
        if letter.is_ascii_uppercase() && after_lower_case {
            family.push('_');
        }
        after_lower_case = letter.is_ascii_lowercase();
        family.push(if letter == ' ' || letter == '-' { '_' } else { letter.to_ascii_lowercase() });
    }
    // Their topics are shop/update and app/uninstalled.
    if family == "shop" || family == "app" || family.ends_with('s') {
        return family;
    }
    match family.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{family}s"),
    }
}

/// Returns true if the stored headers are those of the Events preview, which state an action.
#[must_use]
pub fn is_events_preview(stored_headers: &str) -> bool {
    let headers: serde_json::Value = serde_json::from_str(stored_headers).unwrap_or_default();
    ["x-shopify-action", "shopify-action"].iter().any(|name| headers.get(name).is_some())
}

/// Returns a header with or without its prefix `X-`.
fn read_shopify_header<'h>(headers: &'h HeaderMap, suffix: &str) -> Result<Option<&'h str>, Rejection> {
    let with_prefix = headers::read_single_header(headers, &format!("x-shopify-{suffix}"))?;
    let without_prefix = headers::read_single_header(headers, &format!("shopify-{suffix}"))?;
    match (with_prefix, without_prefix) {
        (Some(one), Some(other)) if one != other => {
            let detail = format!("X-Shopify-{suffix} and Shopify-{suffix} have different values");
            Err(Rejection::new(RejectionReason::HeaderMalformed, detail))
        }
        _ => Ok(with_prefix.or(without_prefix)),
    }
}

/// Returns the value of `X-Shopify-Hmac-Sha256` for a body. `novex-ingest send` uses it.
#[must_use]
pub fn sign_shopify_body(secret: &Secret, body: &[u8]) -> String {
    STANDARD.encode(crate::proof::compute_hmac_sha256(secret, &[], body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use bytes::Bytes;
    use hyper::header::{HeaderName, HeaderValue};

    const SHOP: &str = "acme-foods.myshopify.com";
    const BODY: &[u8] = br#"{"id":820982911946154508}"#;

    fn make_secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn make_verifier() -> ShopifyVerifier {
        ShopifyVerifier::new([
            (SHOP.to_owned(), vec![make_secret("new"), make_secret("old")]),
            ("other.myshopify.com".to_owned(), vec![make_secret("theirs")]),
        ])
    }

    fn make_headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn verify(pairs: &[(&str, &str)], body: &'static [u8]) -> Result<VerifiedWebhook, Rejection> {
        make_verifier().verify_request(WebhookRequest {
            topic: "orders/create",
            headers: &make_headers(pairs),
            body: &Bytes::from_static(body),
            received_at: Timestamp::UNIX_EPOCH,
        })
    }

    fn verify_signed(secret_text: &str, extra: &[(&str, &str)]) -> Result<VerifiedWebhook, Rejection> {
        let signature = sign_shopify_body(&make_secret(secret_text), BODY);
        let mut pairs = vec![("X-Shopify-Shop-Domain", SHOP), ("X-Shopify-Hmac-Sha256", &signature)];
        pairs.extend_from_slice(extra);
        verify(&pairs, BODY)
    }

    /// Vector from openssl: `printf '{"id":1}' | openssl dgst -sha256 -hmac hush -binary | base64`.
    #[test]
    fn signature_matches_openssl_vector() {
        assert_eq!(
            sign_shopify_body(&make_secret("hush"), br#"{"id":1}"#),
            "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="
        );
    }

    #[test]
    fn both_secrets_of_a_rotation_are_accepted() {
        for secret in ["new", "old"] {
            let verified = verify_signed(secret, &[("X-Shopify-Webhook-Id", "w1")]).unwrap();
            assert_eq!(verified.envelope().key.webhook_id, "w1");
            assert_eq!(verified.body(), BODY);
        }
    }

    #[test]
    fn secret_of_another_shop_is_rejected() {
        assert_eq!(verify_signed("theirs", &[]).unwrap_err().reason, RejectionReason::SignatureMismatch);
        assert_eq!(verify_signed("", &[]).unwrap_err().reason, RejectionReason::SignatureMismatch);
    }

    #[test]
    fn unknown_shop_looks_like_a_wrong_signature() {
        let signature = sign_shopify_body(&make_secret(""), BODY);
        let pairs = [("X-Shopify-Shop-Domain", "evil.myshopify.com"), ("X-Shopify-Hmac-Sha256", &*signature)];
        let rejection = verify(&pairs, BODY).unwrap_err();
        assert_eq!(rejection.reason, RejectionReason::UnknownShop);
        assert_eq!((rejection.reason.http_status(), rejection.public_text()), (401, "unauthorized"));
    }

    #[test]
    fn headers_without_x_prefix_are_accepted() {
        let signature = sign_shopify_body(&make_secret("new"), BODY);
        let verified = verify(
            &[
                ("shopify-shop-domain", "ACME-foods.myshopify.com"),
                ("shopify-hmac-sha256", &signature),
                ("shopify-topic", "orders/create"),
                ("shopify-webhook-id", "w2"),
            ],
            BODY,
        )
        .unwrap();
        assert_eq!(verified.envelope().key.shop_domain, SHOP);
        assert_eq!(verified.envelope().key.webhook_id, "w2");
    }

    #[test]
    fn topic_mismatch_names_both_topics() {
        let rejection =
            verify_signed("new", &[("X-Shopify-Webhook-Id", "w"), ("X-Shopify-Topic", "orders/paid")]).unwrap_err();
        assert_eq!(rejection.reason, RejectionReason::TopicMismatch);
        assert!(rejection.public_text().contains("orders/create") && rejection.public_text().contains("orders/paid"));
    }

    #[test]
    fn object_and_action_give_the_topic() {
        for (object, action, topic) in [
            ("Product", "update", "products/update"),
            ("product", "UPDATE", "products/update"),
            ("Order", "update", "orders/updated"),
            ("Order", "create", "orders/create"),
            ("InventoryItem", "delete", "inventory_items/delete"),
            ("FulfillmentOrder", "update", "fulfillment_orders/update"),
            ("Company", "create", "companies/create"),
            ("Shop", "update", "shop/update"),
            ("products", "update", "products/update"),
        ] {
            for path in [topic, object, topic.split('/').next().unwrap()] {
                assert_eq!(resolve_topic(path, Some(object), Some(action)).unwrap(), topic, "{path} {object} {action}");
            }
            assert!(resolve_topic("customers/redact", Some(object), Some(action)).is_err(), "{object}");
        }
        assert_eq!(
            resolve_topic("products/update", Some("products/update"), Some("update")).unwrap(),
            "products/update"
        );
        assert_eq!(resolve_topic("products/update", None, Some("delete")).unwrap(), "products/update");
        assert!(resolve_topic("products/update", Some("Product"), Some("delete")).is_err());
        assert!(resolve_topic("products/update", Some("Product"), None).is_err());
        assert!(resolve_topic("Product", Some("Product"), Some("up\ndate")).is_err());
    }

    #[test]
    fn missing_webhook_id_is_built_from_event_id_and_topic() {
        let one = verify_signed("new", &[("X-Shopify-Event-Id", "e1")]).unwrap();
        let named = verify_signed("new", &[("X-Shopify-Event-Id", "e1"), ("X-Shopify-Name", "second")]).unwrap();
        assert_eq!(one.envelope().key.webhook_id, "event:e1:orders/create:");
        assert_ne!(one.envelope().key.webhook_id, named.envelope().key.webhook_id);
        assert_eq!(verify_signed("new", &[]).unwrap_err().reason, RejectionReason::HeaderMissing);
    }

    #[test]
    fn malformed_signatures_are_unauthorized() {
        for wrong in ["", "!!!", "aGVsbG8=", "R+9Wb8NBdzVu4HxBN0Cf"] {
            let rejection =
                verify(&[("X-Shopify-Shop-Domain", SHOP), ("X-Shopify-Hmac-Sha256", wrong)], BODY).unwrap_err();
            assert_eq!(rejection.reason, RejectionReason::SignatureMalformed);
            assert_eq!(rejection.reason.http_status(), 401);
        }
    }
}
