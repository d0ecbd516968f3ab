//! Every provider's verifier: headers and bytes as a stranger may send them.
//!
//! The input is a request without its first line: `Name: value` lines, an empty line, the body. A first line of its own
//! says to whom: `shopify TOPIC`, `easypost` or `keycloak`; with `+` behind it the right proof is added, so that what lies
//! behind the proof is reached too.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use libfuzzer_sys::{Corpus, fuzz_target};
use novex_ingest::clock::Timestamp;
use novex_ingest::proof;
use novex_ingest::providers::easypost::{self, EasyPost};
use novex_ingest::providers::keycloak::{Accept, Keycloak};
use novex_ingest::providers::shopify::{self, Shopify};
use novex_ingest::providers::{Endpoint, Providers};
use novex_ingest::secret::Secret;
use std::time::Duration;

const SHOP: &str = "acme-foods.myshopify.com";

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((head, body)) = split(input, b"\n\n") else { return Corpus::Reject };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (to, prove) = first.strip_suffix('+').map_or((&*first, false), |to| (to, true));
    let endpoint = match to.split_once(' ').unwrap_or((to, "")) {
        ("shopify", topic) => Endpoint::Shopify { topic: topic.to_owned() },
        ("easypost", _) => Endpoint::EasyPost,
        ("keycloak", _) => Endpoint::Keycloak,
        _ => return Corpus::Reject,
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = split(line, b":") else { continue };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let body = Bytes::copy_from_slice(body);
    let secret = Secret::new("s\u{e9}cret".as_bytes().to_vec());
    if prove {
        let (name, value) = match endpoint {
            Endpoint::Shopify { .. } => ("x-shopify-hmac-sha256", shopify::sign(&secret, &body)),
            Endpoint::EasyPost => ("x-hmac-signature", easypost::sign(&secret, &body)),
            Endpoint::Keycloak => ("authorization", "Bearer s\u{e9}cret".to_owned()),
        };
        headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers.entry("x-shopify-shop-domain").or_insert(HeaderValue::from_static(SHOP));
    }
    let providers = Providers {
        shopify: Some(Shopify::new([(SHOP.to_owned(), vec![secret.clone()])])),
        easypost: Some(EasyPost::new(std::slice::from_ref(&secret), Duration::from_mins(5))),
        keycloak: Some(Keycloak::new(
            vec![secret.clone()],
            Accept { signature: true, basic: true, ..Accept::default() },
        )),
    };
    match providers.verify(&endpoint, &headers, &body, Timestamp::UNIX_EPOCH) {
        Ok(verified) => {
            assert_eq!(verified.body(), &*body, "what is stored is what came");
            let envelope = verified.envelope();
            assert!(!envelope.webhook_id.is_empty() && !envelope.topic.is_empty());
            assert!(proved(&headers, &secret, &body), "taken without a proof");
        }
        Err(refusal) => assert!((400..600).contains(&refusal.reason.http_status())),
    }
    Corpus::Keep
});

/// Whether any header holds a right proof of the body: found by looking, not by the code under test.
fn proved(headers: &HeaderMap, secret: &Secret, body: &[u8]) -> bool {
    let normalized = Secret::new("se\u{301}cret".as_bytes().to_vec());
    let known = [
        STANDARD.encode(proof::mac(secret, &[], body)).into_bytes(),
        hex::encode(proof::mac(&normalized, &[], body)).into_bytes(),
        secret.expose().to_vec(),
    ];
    headers.values().any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        known.iter().any(|known| value.windows(known.len()).any(|part| part == known.to_ascii_lowercase()))
    })
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(at.len()).position(|part| part == at)?;
    Some((&bytes[..place], &bytes[place + at.len()..]))
}
