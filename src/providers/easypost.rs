//! EasyPost's webhooks: hex HMAC-SHA256 under the webhook secret in Unicode form NFKD.
//!
//! Facts:
//! - `X-Hmac-Signature: hmac-sha256-hex=HEX` over the raw body (EasyPost/easypost-python `easypost/util.py`,
//!   EasyPost/easypost-node `src/utils/util.js`; the official fixture's secret has an accent, and only NFKD gives its
//!   signature).
//! - The second scheme: `X-Hmac-Signature-V2` in the same form over `X-Timestamp` + method + `X-Path` + raw body, with the
//!   time as RFC 2822 ("Webhook HMAC Validation" on support.easypost.com). Senders in the wild write RFC 3339 too.
//! - Whichever header comes is checked; when both come, both must hold. Retries are signed anew, so a tolerance of minutes
//!   does not refuse a late retry.
//! - The event's own id (`evt_…`) is the same on retries. Its `description` is the topic.

use super::{Delivery, Reason, Refusal, digest_id, headers, name};
use crate::clock::{Timestamp, between};
use crate::proof::{Authentic, hmac_sha256, mac};
use crate::secret::Secret;
use crate::store::envelope::{Envelope, Source, Verified};
use serde::Deserialize;
use std::time::Duration;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

const PREFIX: &str = "hmac-sha256-hex=";
/// The method is part of the second scheme's message, and deliveries are always posted.
const METHOD: &[u8] = b"POST";

/// One EasyPost account's webhook.
#[derive(Debug, Clone)]
pub struct EasyPost {
    secrets: Vec<Secret>,
    tolerance: Duration,
}

/// The part of an event that names it.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default)]
    id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    description: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    created_at: Option<std::borrow::Cow<'a, str>>,
}

impl EasyPost {
    /// `tolerance`: how far the second scheme's timestamp may be from this box's clock, to either side.
    #[must_use]
    pub fn new(secrets: &[Secret], tolerance: Duration) -> Self {
        Self { secrets: secrets.iter().map(normalized).collect(), tolerance }
    }

    /// Checks the signature or signatures, then reads id and topic from the body.
    ///
    /// # Errors
    /// 401 for anything about the proof. A body that is signed but no event is not refused: it is EasyPost's, so it is
    /// stored under its digest, and its handler says what is wrong with it.
    pub fn verify(&self, delivery: Delivery<'_>) -> Result<Verified, Refusal> {
        let first = headers::single(delivery.headers, "x-hmac-signature")?;
        let second = headers::single(delivery.headers, "x-hmac-signature-v2")?;
        let authentic = match (first, second) {
            (None, None) => {
                return Err(Refusal::new(Reason::SignatureMissing, "the header X-Hmac-Signature is missing"));
            }
            (Some(first), None) => self.first_scheme(delivery, first)?,
            (None, Some(second)) => self.second_scheme(delivery, second)?,
            (Some(first), Some(second)) => {
                let proof = self.first_scheme(delivery, first)?;
                self.second_scheme(delivery, second)?;
                proof
            }
        };
        let event: Option<Event<'_>> = serde_json::from_slice(delivery.body).ok();
        let text = |value: Option<&std::borrow::Cow<'_, str>>| value.and_then(|text| name(text)).map(str::to_owned);
        let id = text(event.as_ref().and_then(|event| event.id.as_ref()));
        let envelope = Envelope {
            source: Source::EasyPost,
            shop_domain: String::new(),
            topic: text(event.as_ref().and_then(|event| event.description.as_ref()))
                .unwrap_or_else(|| "unknown".to_owned()),
            webhook_id: id.clone().unwrap_or_else(|| digest_id(delivery.body)),
            provider_event_id: id,
            triggered_at: text(event.as_ref().and_then(|event| event.created_at.as_ref())),
            headers: headers::to_json(delivery.headers),
            received_at: delivery.received_at,
        };
        Ok(Verified::new(envelope, authentic))
    }

    fn first_scheme(&self, delivery: Delivery<'_>, signature: &str) -> Result<Authentic, Refusal> {
        let tag = tag(signature, "X-Hmac-Signature")?;
        hmac_sha256(&self.secrets, &[], delivery.body, &tag).map_err(|_| self.mismatch("X-Hmac-Signature"))
    }

    fn second_scheme(&self, delivery: Delivery<'_>, signature: &str) -> Result<Authentic, Refusal> {
        let required = |header: &str| {
            headers::single(delivery.headers, header)?.ok_or_else(|| {
                let detail = format!("X-Hmac-Signature-V2 came without {header}");
                Refusal::new(Reason::SignatureMalformed, detail)
            })
        };
        let (timestamp, path) = (required("x-timestamp")?, required("x-path")?);
        let tag = tag(signature, "X-Hmac-Signature-V2")?;
        let before = [timestamp.as_bytes(), METHOD, path.as_bytes()];
        let proof = hmac_sha256(&self.secrets, &before, delivery.body, &tag)
            .map_err(|_| self.mismatch("X-Hmac-Signature-V2"))?;
        let signed_at = parse_timestamp(timestamp).ok_or_else(|| {
            Refusal::new(Reason::SignatureMalformed, format!("X-Timestamp {timestamp:?} is not a time"))
        })?;
        let now = delivery.received_at;
        let apart = between(signed_at, now).max(between(now, signed_at));
        if apart > self.tolerance {
            let detail = format!("signed at {timestamp}, {} s from this box's clock", apart.as_secs());
            return Err(Refusal::new(Reason::TimestampOutOfRange, detail));
        }
        Ok(proof)
    }

    fn mismatch(&self, header: &str) -> Refusal {
        let detail = format!("none of the {} secrets gives {header}", self.secrets.len());
        Refusal::new(Reason::SignatureMismatch, detail)
    }
}

/// EasyPost keys its HMAC with the secret in NFKD; a secret that is not text stays as it is.
fn normalized(secret: &Secret) -> Secret {
    match std::str::from_utf8(secret.expose()) {
        Ok(text) => Secret::new(Zeroizing::new(text.nfkd().collect::<String>()).as_bytes().to_vec()),
        Err(_) => secret.clone(),
    }
}

/// The bytes of `hmac-sha256-hex=HEX`, in either case.
fn tag(signature: &str, header: &str) -> Result<Vec<u8>, Refusal> {
    let malformed = || Refusal::new(Reason::SignatureMalformed, format!("{header} is not {PREFIX} and 64 hex digits"));
    let (prefix, digits) = signature.split_at_checked(PREFIX.len()).ok_or_else(malformed)?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return Err(malformed());
    }
    hex::decode(digits).ok().filter(|tag| tag.len() == crate::proof::TAG_BYTES).ok_or_else(malformed)
}

/// RFC 2822 as documented, RFC 3339 and Unix seconds as seen in the wild.
fn parse_timestamp(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(text)
        .ok()
        .or_else(|| text.parse().ok())
        .or_else(|| text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

/// The value of `X-Hmac-Signature` for a body, as `novex-ingest send` sends it.
#[must_use]
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    format!("{PREFIX}{}", hex::encode(mac(&normalized(secret), &[], body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    const BODY: &[u8] = br#"{"description":"tracker.updated","id":"evt_1","result":{"object":"Tracker"}}"#;
    const SENT: &str = "Tue, 19 Aug 2025 20:37:09 -0000";

    fn secret() -> Secret {
        Secret::new("s\u{e9}cret".as_bytes().to_vec())
    }

    fn v2(timestamp: &str, path: &str) -> String {
        let before = [timestamp.as_bytes(), METHOD, path.as_bytes()];
        format!("{PREFIX}{}", hex::encode(mac(&normalized(&secret()), &before, BODY)))
    }

    fn verify(pairs: &[(&str, &str)]) -> Result<Verified, Reason> {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let received_at = parse_timestamp(SENT).unwrap() + Duration::from_mins(1);
        EasyPost::new(&[secret()], Duration::from_mins(5))
            .verify(Delivery { topic: "", headers: &headers, body: &Bytes::from_static(BODY), received_at })
            .map_err(|refusal| refusal.reason)
    }

    #[test]
    fn id_and_topic_come_from_the_body() {
        let verified = verify(&[("x-hmac-signature", &sign(&secret(), BODY))]).unwrap();
        assert_eq!(verified.envelope().webhook_id, "evt_1");
        assert_eq!(verified.envelope().topic, "tracker.updated");
    }

    #[test]
    fn the_secret_is_used_in_nfkd() {
        let decomposed = Secret::new("se\u{301}cret".as_bytes().to_vec());
        assert_eq!(sign(&secret(), BODY), sign(&decomposed, BODY));
        let raw = format!("{PREFIX}{}", hex::encode(mac(&secret(), &[], BODY)));
        assert_ne!(sign(&secret(), BODY), raw);
    }

    #[test]
    fn hex_in_either_case() {
        assert!(verify(&[("x-hmac-signature", &sign(&secret(), BODY).to_uppercase())]).is_ok());
    }

    #[test]
    fn malformed_and_wrong_signatures() {
        let good = sign(&secret(), BODY);
        let bare = good.trim_start_matches(PREFIX);
        for wrong in ["", bare, &good[..good.len() - 1], &good[..good.len() - 2], "hmac-sha256-hex="] {
            assert_eq!(verify(&[("x-hmac-signature", wrong)]).unwrap_err(), Reason::SignatureMalformed, "{wrong:?}");
        }
        let other = sign(&Secret::new(b"other".to_vec()), BODY);
        assert_eq!(verify(&[("x-hmac-signature", &other)]).unwrap_err(), Reason::SignatureMismatch);
        assert_eq!(verify(&[]).unwrap_err(), Reason::SignatureMissing);
    }

    #[test]
    fn second_scheme_alone_and_beside_the_first() {
        let signature = v2(SENT, "/api/webhooks/easypost");
        let mut pairs =
            vec![("x-hmac-signature-v2", &*signature), ("x-timestamp", SENT), ("x-path", "/api/webhooks/easypost")];
        assert!(verify(&pairs).is_ok());
        let first = sign(&secret(), BODY);
        pairs.push(("x-hmac-signature", &first));
        assert!(verify(&pairs).is_ok());
        let wrong = sign(&Secret::new(b"other".to_vec()), BODY);
        pairs.pop();
        pairs.push(("x-hmac-signature", &wrong));
        assert_eq!(verify(&pairs).unwrap_err(), Reason::SignatureMismatch);
    }

    #[test]
    fn second_scheme_refuses_what_is_old_or_was_moved() {
        for (timestamp, reason) in [
            ("Tue, 19 Aug 2025 20:30:09 -0000", Reason::TimestampOutOfRange),
            ("Tue, 19 Aug 2025 21:30:09 -0000", Reason::TimestampOutOfRange),
            ("yesterday", Reason::SignatureMalformed),
        ] {
            let signature = v2(timestamp, "/p");
            let pairs = [("x-hmac-signature-v2", &*signature), ("x-timestamp", timestamp), ("x-path", "/p")];
            assert_eq!(verify(&pairs).unwrap_err(), reason, "{timestamp}");
        }
        let signature = v2(SENT, "/p");
        let moved = [("x-hmac-signature-v2", &*signature), ("x-timestamp", SENT), ("x-path", "/q")];
        assert_eq!(verify(&moved).unwrap_err(), Reason::SignatureMismatch);
        let bare = [("x-hmac-signature-v2", &*signature)];
        assert_eq!(verify(&bare).unwrap_err(), Reason::SignatureMalformed);
    }

    #[test]
    fn times_in_every_form_seen() {
        for text in [
            SENT,
            "Tue, 19 Aug 2025 20:37:09 +0000",
            "Tue, 19 Aug 2025 20:37:09 GMT",
            "2025-08-19T20:37:09Z",
            "1755635829",
        ] {
            assert_eq!(parse_timestamp(text).map(Timestamp::as_second), Some(1_755_635_829), "{text}");
        }
    }
}
