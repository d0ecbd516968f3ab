//! Shopify's webhooks: base64 HMAC-SHA256 of the raw body under the app's client secret.
//!
//! Facts, from shopify.dev ("Verify webhook deliveries", "Webhook delivery structure") and Shopify/shopify-app-js
//! (`packages/apps/shopify-api/lib/webhooks`):
//! - Only the body is signed. Topic, shop and ids stand in headers outside of the signature, so the secret must belong to
//!   the shop that the header names.
//! - After a rotation the old secret may still sign for up to an hour: a shop may have several secrets.
//! - `X-Shopify-Webhook-Id` is the same on the retries of one delivery. `X-Shopify-Event-Id` is shared by all deliveries
//!   that one action of the merchant causes, also under other topics: by itself it would drop `orders/paid` after
//!   `orders/create`.
//! - The newer event subscriptions send the same headers without `X-`.

use super::{Delivery, Reason, Refusal, headers, name, named};
use crate::proof::{TAG_BYTES, hmac_sha256, mac};
use crate::secret::Secret;
use crate::store::envelope::{Envelope, Source, Verified};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;

/// The shops that may send, by domain.
#[derive(Debug, Clone)]
pub struct Shopify {
    shops: HashMap<String, Vec<Secret>>,
    /// The most secrets that any shop has. Every delivery costs that many HMACs, whichever shop it names, so that the
    /// time taken does not tell a known shop from an unknown one.
    most_secrets: usize,
}

impl Shopify {
    /// Takes pairs of a domain and its secrets.
    #[must_use]
    pub fn new(shops: impl IntoIterator<Item = (String, Vec<Secret>)>) -> Self {
        let shops: HashMap<_, _> =
            shops.into_iter().map(|(domain, secrets)| (domain.to_ascii_lowercase(), secrets)).collect();
        let most_secrets = shops.values().map(Vec::len).max().unwrap_or(0);
        Self { shops, most_secrets }
    }

    /// Checks the signature, then the headers.
    ///
    /// # Errors
    /// 401 for anything about the proof, 400 for a header that is missing, malformed or at odds with the path.
    pub fn verify(&self, delivery: Delivery<'_>) -> Result<Verified, Refusal> {
        let header = |suffix: &str| -> Result<Option<&str>, Refusal> {
            let old = headers::single(delivery.headers, &format!("x-shopify-{suffix}"))?;
            let new = headers::single(delivery.headers, &format!("shopify-{suffix}"))?;
            match (old, new) {
                (Some(old), Some(new)) if old != new => {
                    let detail = format!("X-Shopify-{suffix} and Shopify-{suffix} say different things");
                    Err(Refusal::new(Reason::HeaderMalformed, detail))
                }
                _ => Ok(old.or(new)),
            }
        };
        let domain = header("shop-domain")?
            .ok_or_else(|| Refusal::new(Reason::HeaderMissing, "the header X-Shopify-Shop-Domain is missing"))?
            .to_ascii_lowercase();
        let Some(signature) = header("hmac-sha256")? else {
            return Err(Refusal::new(Reason::SignatureMissing, "the header X-Shopify-Hmac-Sha256 is missing"));
        };
        // A signature that is no base64 is compared too, as one that cannot fit: it costs what a wrong one costs.
        let tag = STANDARD.decode(signature).ok().filter(|tag| tag.len() == TAG_BYTES);
        let known = self.shops.get(&domain);
        let secrets = known.map_or(&[][..], Vec::as_slice);
        let proof = hmac_sha256(secrets, &[], delivery.body, tag.as_deref().unwrap_or(&[0; TAG_BYTES]));
        for _ in secrets.len()..self.most_secrets {
            std::hint::black_box(mac(&Secret::new(Vec::new()), &[], delivery.body));
        }
        let authentic = match (known, tag, proof) {
            (None, _, _) => return Err(Refusal::new(Reason::UnknownShop, format!("no shop {domain:?} is configured"))),
            (_, None, _) => {
                return Err(Refusal::new(
                    Reason::SignatureMalformed,
                    "X-Shopify-Hmac-Sha256 is not base64 of 32 bytes",
                ));
            }
            (_, _, Err(_)) => {
                let detail = format!("none of the {} secrets of {domain} gives the signature", secrets.len());
                return Err(Refusal::new(Reason::SignatureMismatch, detail));
            }
            (Some(_), Some(_), Ok(authentic)) => authentic,
        };
        let topic = named("the topic in the path", Some(delivery.topic))?.ok_or_else(|| {
            Refusal::new(Reason::HeaderMalformed, "the path has no topic after /api/webhooks/shopify/")
        })?;
        if let Some(stated) = header("topic")?
            && stated != topic
        {
            let detail = format!("the path says topic {topic:?}, the header X-Shopify-Topic says {stated:?}");
            return Err(Refusal::new(Reason::TopicMismatch, detail));
        }
        let event_id = named("X-Shopify-Event-Id", header("event-id")?)?;
        let webhook_id = match (named("X-Shopify-Webhook-Id", header("webhook-id")?)?, event_id) {
            (Some(id), _) => id.to_owned(),
            // The shop is part of what makes an event unique, so it need not be repeated in its id.
            (None, Some(event)) => format!("event:{event}:{topic}:{}", header("name")?.unwrap_or("")),
            (None, None) => {
                let detail = "the header X-Shopify-Webhook-Id is missing, and X-Shopify-Event-Id too";
                return Err(Refusal::new(Reason::HeaderMissing, detail));
            }
        };
        let envelope = Envelope {
            source: Source::Shopify,
            shop_domain: domain,
            topic: topic.to_owned(),
            webhook_id,
            provider_event_id: event_id.map(str::to_owned),
            triggered_at: header("triggered-at")?.and_then(name).map(str::to_owned),
            headers: headers::to_json(delivery.headers),
            received_at: delivery.received_at,
        };
        Ok(Verified::new(envelope, authentic))
    }
}

/// The value of `X-Shopify-Hmac-Sha256` for a body, as `novex-ingest send` sends it.
#[must_use]
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    STANDARD.encode(crate::proof::mac(secret, &[], body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    const SHOP: &str = "acme-foods.myshopify.com";
    const BODY: &[u8] = br#"{"id":820982911946154508}"#;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn shopify() -> Shopify {
        Shopify::new([
            (SHOP.to_owned(), vec![secret("new"), secret("old")]),
            ("other.myshopify.com".to_owned(), vec![secret("theirs")]),
        ])
    }

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn verify(pairs: &[(&str, &str)], body: &'static [u8]) -> Result<Verified, Refusal> {
        shopify().verify(Delivery {
            topic: "orders/create",
            headers: &map(pairs),
            body: &Bytes::from_static(body),
            received_at: Timestamp::UNIX_EPOCH,
        })
    }

    fn signed(secret_text: &str, extra: &[(&str, &str)]) -> Result<Verified, Refusal> {
        let signature = sign(&secret(secret_text), BODY);
        let mut pairs = vec![("X-Shopify-Shop-Domain", SHOP), ("X-Shopify-Hmac-Sha256", &signature)];
        pairs.extend_from_slice(extra);
        verify(&pairs, BODY)
    }

    /// A vector that openssl made: `printf '{"id":1}' | openssl dgst -sha256 -hmac hush -binary | base64`.
    #[test]
    fn signature_as_openssl_makes_it() {
        assert_eq!(sign(&secret("hush"), br#"{"id":1}"#), "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=");
    }

    #[test]
    fn either_secret_of_a_rotation_is_taken() {
        for secret in ["new", "old"] {
            let verified = signed(secret, &[("X-Shopify-Webhook-Id", "w1")]).unwrap();
            assert_eq!(verified.envelope().webhook_id, "w1");
            assert_eq!(verified.body(), BODY);
        }
    }

    #[test]
    fn the_secret_must_belong_to_the_shop() {
        assert_eq!(signed("theirs", &[]).unwrap_err().reason, Reason::SignatureMismatch);
        assert_eq!(signed("", &[]).unwrap_err().reason, Reason::SignatureMismatch);
    }

    #[test]
    fn an_unknown_shop_is_a_wrong_signature_to_the_sender() {
        let signature = sign(&secret(""), BODY);
        let pairs = [("X-Shopify-Shop-Domain", "evil.myshopify.com"), ("X-Shopify-Hmac-Sha256", &*signature)];
        let refusal = verify(&pairs, BODY).unwrap_err();
        assert_eq!(refusal.reason, Reason::UnknownShop);
        assert_eq!((refusal.reason.http_status(), refusal.public_text()), (401, "unauthorized"));
    }

    #[test]
    fn names_without_x_are_the_same() {
        let signature = sign(&secret("new"), BODY);
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
        assert_eq!(verified.envelope().shop_domain, SHOP);
        assert_eq!(verified.envelope().webhook_id, "w2");
    }

    #[test]
    fn a_topic_at_odds_with_the_path_names_both() {
        let refusal = signed("new", &[("X-Shopify-Webhook-Id", "w"), ("X-Shopify-Topic", "orders/paid")]).unwrap_err();
        assert_eq!(refusal.reason, Reason::TopicMismatch);
        assert!(refusal.public_text().contains("orders/create") && refusal.public_text().contains("orders/paid"));
    }

    #[test]
    fn without_a_webhook_id_the_event_id_is_not_enough() {
        let one = signed("new", &[("X-Shopify-Event-Id", "e1")]).unwrap();
        let named = signed("new", &[("X-Shopify-Event-Id", "e1"), ("X-Shopify-Name", "second")]).unwrap();
        assert_eq!(one.envelope().webhook_id, "event:e1:orders/create:");
        assert_ne!(one.envelope().webhook_id, named.envelope().webhook_id);
        assert_eq!(signed("new", &[]).unwrap_err().reason, Reason::HeaderMissing);
    }

    #[test]
    fn malformed_signatures_are_unauthorized() {
        for wrong in ["", "!!!", "aGVsbG8=", "R+9Wb8NBdzVu4HxBN0Cf"] {
            let refusal =
                verify(&[("X-Shopify-Shop-Domain", SHOP), ("X-Shopify-Hmac-Sha256", wrong)], BODY).unwrap_err();
            assert_eq!(refusal.reason, Reason::SignatureMalformed);
            assert_eq!(refusal.reason.http_status(), 401);
        }
    }
}
