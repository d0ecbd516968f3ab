//! Every provider's verifier: headers and bytes as any client may send them.
//!
//! The input is a request without its request line: `Name: value` lines, an empty line, the body. A first line names
//! the endpoint: `shopify TOPIC`, `easypost` or `keycloak`. With `+` at its end the target adds a valid proof, so that
//! the fuzzer also reaches the code behind the proof.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use libfuzzer_sys::{Corpus, fuzz_target};
use novex_ingest::internals::clock::Timestamp;
use novex_ingest::internals::proof;
use novex_ingest::internals::providers::easypost::{self, EasyPostVerifier};
use novex_ingest::internals::providers::keycloak::{AcceptedProofs, KeycloakVerifier};
use novex_ingest::internals::providers::shopify::{self, ShopifyVerifier};
use novex_ingest::internals::providers::{WebhookEndpoint, WebhookVerifiers};
use novex_ingest::internals::secret::Secret;
use std::time::Duration;

const SHOP: &str = "acme-foods.myshopify.com";

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((head, body)) = split_at_first(input, b"\n\n") else { return Corpus::Reject };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (endpoint, add_proof) = first.strip_suffix('+').map_or((&*first, false), |endpoint| (endpoint, true));
    let endpoint = match endpoint.split_once(' ').unwrap_or((endpoint, "")) {
        ("shopify", topic) => WebhookEndpoint::Shopify { topic: topic.to_owned() },
        ("easypost", _) => WebhookEndpoint::EasyPost,
        ("keycloak", _) => WebhookEndpoint::Keycloak,
        _ => return Corpus::Reject,
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = split_at_first(line, b":") else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let body = Bytes::copy_from_slice(body);
    let secret = Secret::new("s\u{e9}cret".as_bytes().to_vec());
    if add_proof {
        let (name, value) = match endpoint {
            WebhookEndpoint::Shopify { .. } => ("x-shopify-hmac-sha256", shopify::sign_shopify_body(&secret, &body)),
            WebhookEndpoint::EasyPost => ("x-hmac-signature", easypost::sign_easypost_body(&secret, &body)),
            WebhookEndpoint::Keycloak => ("authorization", "Bearer s\u{e9}cret".to_owned()),
        };
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers.entry("x-shopify-shop-domain").or_insert(HeaderValue::from_static(SHOP));
    }
    let verifiers = WebhookVerifiers {
        shopify: Some(ShopifyVerifier::new([(SHOP.to_owned(), vec![secret.clone()])])),
        easypost: Some(EasyPostVerifier::new(std::slice::from_ref(&secret), Duration::from_mins(5))),
        keycloak: Some(KeycloakVerifier::new(
            vec![secret.clone()],
            AcceptedProofs { signature: true, basic: true, ..AcceptedProofs::default() },
        )),
    };
    match verifiers.verify(&endpoint, &headers, &body, Timestamp::UNIX_EPOCH) {
        Ok(verified) => {
            assert_eq!(verified.body(), &*body, "the verified body is the received body");
            let envelope = verified.envelope();
            assert!(!envelope.key.webhook_id.is_empty() && !envelope.key.topic.is_empty());
            assert!(has_valid_proof(&headers, &secret, &body), "a request without a proof was verified");
        }
        Err(rejection) => assert!((400..600).contains(&rejection.reason.http_status())),
    }
    Corpus::Keep
});

/// Checks whether any header contains a valid proof of the body. Searches the bytes; does not use the code under test.
fn has_valid_proof(headers: &HeaderMap, secret: &Secret, body: &[u8]) -> bool {
    let normalized = Secret::new("se\u{301}cret".as_bytes().to_vec());
    let proofs = [
        STANDARD.encode(proof::compute_hmac_sha256(secret, &[], body)).into_bytes(),
        hex::encode(proof::compute_hmac_sha256(&normalized, &[], body)).into_bytes(),
        secret.expose().to_vec(),
    ];
    headers.values().any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        proofs.iter().any(|proof| value.windows(proof.len()).any(|part| part == proof.to_ascii_lowercase()))
    })
}

fn split_at_first<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let index = bytes.windows(separator.len()).position(|part| part == separator)?;
    Some((&bytes[..index], &bytes[index + separator.len()..]))
}
