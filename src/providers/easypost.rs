//! EasyPost's webhooks: hex HMAC-SHA256 with the webhook secret in Unicode normalization form NFKD.
//!
//! Facts:
//! - `X-Hmac-Signature: hmac-sha256-hex=HEX` over the raw body (EasyPost/easypost-python `easypost/util.py`,
//!   EasyPost/easypost-node `src/utils/util.js`; the secret of the official fixture has an accent, and only NFKD gives
//!   its signature).
//! - The second scheme is `X-Hmac-Signature-V2` in the same format over `X-Timestamp` + method + `X-Path` + raw body,
//!   with the time as RFC 2822 ("Webhook HMAC Validation" on support.easypost.com). Some senders write RFC 3339.
//! - The verifier checks each of the two headers that is present. EasyPost signs each retry again, so a tolerance of
//!   minutes does not reject a late retry.
//! - The event's own id (`evt_…`) is the same on retries. Its `description` is the topic.

use crate::clock::{Timestamp, duration_between};
use crate::event::{Envelope, EventKey, Source, VerifiedWebhook};
use crate::lenient_json::read_text_fields;
use crate::proof::{AuthenticBody, compute_hmac_sha256, verify_hmac_sha256};
use crate::providers::{
    Rejection, RejectionReason, WebhookRequest, build_digest_id, headers, parse_body_id, parse_name, test_mark,
};
use crate::secret::Secret;
use crate::text::format_count;
use std::time::Duration;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

const SIGNATURE_PREFIX: &str = "hmac-sha256-hex=";
/// HTTP method in the signed message of the second scheme; webhooks are always POST requests.
const SIGNED_METHOD: &[u8] = b"POST";

/// Verifier for the webhooks of EasyPost.
#[derive(Debug, Clone)]
pub struct EasyPostVerifier {
    secrets: Vec<Secret>,
    tolerance: Duration,
}

impl EasyPostVerifier {
    /// Creates a verifier. `tolerance` is the largest difference between the signed time and the clock of this machine.
    #[must_use]
    pub fn new(secrets: &[Secret], tolerance: Duration) -> Self {
        Self { secrets: secrets.iter().map(normalize_secret).collect(), tolerance }
    }

    /// Checks the signatures, then reads id and topic from the body.
    ///
    /// A signed body that is not an event is accepted, because it is EasyPost's. It is stored under its digest, and its
    /// handler reports the error.
    ///
    /// # Errors
    /// A rejection with status 401 if a signature is missing, malformed or wrong; 400 if a header is malformed.
    pub fn verify_headers(&self, request: WebhookRequest<'_>) -> Result<VerifiedWebhook, Rejection> {
        let authentic = match test_mark::prove_test_request(request, &self.secrets) {
            Some(authentic) => authentic,
            None => self.verify_signatures(request)?,
        };
        let fields = read_text_fields(request.body, ["id", "description", "created_at"]).unwrap_or_default();
        let [id, description, created_at] = &fields;
        let name = |field: &Option<String>| field.as_deref().and_then(parse_name).map(str::to_owned);
        let id = id.as_deref().and_then(parse_body_id);
        let envelope = Envelope {
            key: EventKey {
                source: Source::EasyPost,
                shop_domain: String::new(),
                topic: name(description).unwrap_or_else(|| "unknown".to_owned()),
                webhook_id: id.clone().unwrap_or_else(|| build_digest_id(request.body)),
            },
            provider_event_id: id,
            triggered_at: name(created_at),
            headers: headers::serialize_headers(request.headers),
            received_at: request.received_at,
        };
        Ok(VerifiedWebhook::new(envelope, authentic))
    }

    fn verify_signatures(&self, request: WebhookRequest<'_>) -> Result<AuthenticBody, Rejection> {
        let first = headers::read_single_header(request.headers, "x-hmac-signature")?;
        let second = headers::read_single_header(request.headers, "x-hmac-signature-v2")?;
        match (first, second) {
            (None, None) if test_mark::read_test_mark(request.headers).is_some() => {
                Err(self.reject_mismatch("X-Novex-Ingest-Test"))
            }
            (None, None) => {
                Err(Rejection::new(RejectionReason::SignatureMissing, "the header X-Hmac-Signature is missing"))
            }
            (Some(first), None) => self.verify_v1(request, first),
            (None, Some(second)) => self.verify_v2(request, second),
            (Some(first), Some(second)) => {
                let proof = self.verify_v1(request, first)?;
                self.verify_v2(request, second)?;
                Ok(proof)
            }
        }
    }

    fn verify_v1(&self, request: WebhookRequest<'_>, signature: &str) -> Result<AuthenticBody, Rejection> {
        let tag = parse_signature(signature, "X-Hmac-Signature")?;
        verify_hmac_sha256(&self.secrets, &[], request.body, &tag).map_err(|_| self.reject_mismatch("X-Hmac-Signature"))
    }

    fn verify_v2(&self, request: WebhookRequest<'_>, signature: &str) -> Result<AuthenticBody, Rejection> {
        let required = |header: &str| {
            headers::read_single_header(request.headers, header)?.ok_or_else(|| {
                let detail = format!("X-Hmac-Signature-V2 needs {header}, which is missing");
                Rejection::new(RejectionReason::SignatureMalformed, detail)
            })
        };
        let (timestamp, path) = (required("x-timestamp")?, required("x-path")?);
        let tag = parse_signature(signature, "X-Hmac-Signature-V2")?;
        let prefix = [timestamp.as_bytes(), SIGNED_METHOD, path.as_bytes()];
        let proof = verify_hmac_sha256(&self.secrets, &prefix, request.body, &tag)
            .map_err(|_| self.reject_mismatch("X-Hmac-Signature-V2"))?;
        let signed_at = parse_signed_time(timestamp).ok_or_else(|| {
            Rejection::new(RejectionReason::SignatureMalformed, format!("X-Timestamp {timestamp:?} is not a time"))
        })?;
        let now = request.received_at;
        let difference = duration_between(signed_at, now).max(duration_between(now, signed_at));
        if difference > self.tolerance {
            let detail = format!("signed at {timestamp}, {} s from the clock of this machine", difference.as_secs());
            return Err(Rejection::new(RejectionReason::TimestampOutOfRange, detail));
        }
        Ok(proof)
    }

    fn reject_mismatch(&self, header: &str) -> Rejection {
        let detail = format!(
            "{}; none gives {header}",
            format_count(self.secrets.len(), "secret is configured", "secrets are configured")
        );
        Rejection::new(RejectionReason::SignatureMismatch, detail)
    }
}

/// Returns the secret in NFKD, which EasyPost uses as HMAC key. A secret that is not text stays unchanged.
fn normalize_secret(secret: &Secret) -> Secret {
    match std::str::from_utf8(secret.expose()) {
        Ok(text) => Secret::new(Zeroizing::new(text.nfkd().collect::<String>()).as_bytes().to_vec())
            .with_reference(secret.reference().cloned()),
        Err(_) => secret.clone(),
    }
}

/// Parses `hmac-sha256-hex=HEX`, in upper or lower case.
fn parse_signature(signature: &str, header: &str) -> Result<Vec<u8>, Rejection> {
    let malformed = || {
        Rejection::new(
            RejectionReason::SignatureMalformed,
            format!("{header} is not {SIGNATURE_PREFIX} and 64 hex digits"),
        )
    };
    let (prefix, digits) = signature.split_at_checked(SIGNATURE_PREFIX.len()).ok_or_else(malformed)?;
    if !prefix.eq_ignore_ascii_case(SIGNATURE_PREFIX) {
        return Err(malformed());
    }
    hex::decode(digits).ok().filter(|tag| tag.len() == crate::proof::HMAC_TAG_BYTES).ok_or_else(malformed)
}

/// Parses the signed time: RFC 2822 as documented, RFC 3339 and Unix seconds as some senders write.
fn parse_signed_time(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(text)
        .ok()
        .or_else(|| text.parse().ok())
        .or_else(|| text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

/// Returns the value of `X-Hmac-Signature` for a body. `novex-ingest send` uses it.
#[must_use]
pub fn sign_easypost_body(secret: &Secret, body: &[u8]) -> String {
    format!("{SIGNATURE_PREFIX}{}", hex::encode(compute_hmac_sha256(&normalize_secret(secret), &[], body)))
}

/// Returns the test mark of a body. `novex-ingest send` uses it.
#[must_use]
pub fn sign_easypost_test_mark(secret: &Secret, body: &[u8]) -> String {
    test_mark::sign_test_mark(&normalize_secret(secret), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};

    const BODY: &[u8] = br#"{"description":"tracker.updated","id":"evt_1","result":{"object":"Tracker"}}"#;
    const SENT_AT: &str = "Tue, 19 Aug 2025 20:37:09 -0000";

    fn test_secret() -> Secret {
        Secret::new("s\u{e9}cret".as_bytes().to_vec())
    }

    fn sign_v2(timestamp: &str, path: &str) -> String {
        let prefix = [timestamp.as_bytes(), SIGNED_METHOD, path.as_bytes()];
        format!(
            "{SIGNATURE_PREFIX}{}",
            hex::encode(compute_hmac_sha256(&normalize_secret(&test_secret()), &prefix, BODY))
        )
    }

    fn verify(pairs: &[(&str, &str)]) -> Result<VerifiedWebhook, RejectionReason> {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let received_at = parse_signed_time(SENT_AT).unwrap() + Duration::from_mins(1);
        EasyPostVerifier::new(&[test_secret()], Duration::from_mins(5))
            .verify_headers(WebhookRequest {
                topic: "",
                headers: &headers,
                body: &Bytes::from_static(BODY),
                received_at,
            })
            .map_err(|rejection| rejection.reason)
    }

    #[test]
    fn id_and_topic_come_from_the_body() {
        let verified = verify(&[("x-hmac-signature", &sign_easypost_body(&test_secret(), BODY))]).unwrap();
        assert_eq!(verified.envelope().key.webhook_id, "evt_1");
        assert_eq!(verified.envelope().key.topic, "tracker.updated");
    }

    #[test]
    fn secret_is_normalized_to_nfkd() {
        let decomposed = Secret::new("se\u{301}cret".as_bytes().to_vec());
        assert_eq!(sign_easypost_body(&test_secret(), BODY), sign_easypost_body(&decomposed, BODY));
        let raw = format!("{SIGNATURE_PREFIX}{}", hex::encode(compute_hmac_sha256(&test_secret(), &[], BODY)));
        assert_ne!(sign_easypost_body(&test_secret(), BODY), raw);
    }

    #[test]
    fn signature_hex_case_is_ignored() {
        assert!(verify(&[("x-hmac-signature", &sign_easypost_body(&test_secret(), BODY).to_uppercase())]).is_ok());
    }

    #[test]
    fn malformed_and_wrong_signatures_are_rejected() {
        let good = sign_easypost_body(&test_secret(), BODY);
        let bare = good.trim_start_matches(SIGNATURE_PREFIX);
        for wrong in ["", bare, &good[..good.len() - 1], &good[..good.len() - 2], "hmac-sha256-hex="] {
            assert_eq!(
                verify(&[("x-hmac-signature", wrong)]).unwrap_err(),
                RejectionReason::SignatureMalformed,
                "{wrong:?}"
            );
        }
        let other = sign_easypost_body(&Secret::new(b"other".to_vec()), BODY);
        assert_eq!(verify(&[("x-hmac-signature", &other)]).unwrap_err(), RejectionReason::SignatureMismatch);
        assert_eq!(verify(&[]).unwrap_err(), RejectionReason::SignatureMissing);
    }

    #[test]
    fn v2_signature_works_alone_and_with_v1() {
        let signature = sign_v2(SENT_AT, "/api/webhooks/easypost");
        let mut pairs =
            vec![("x-hmac-signature-v2", &*signature), ("x-timestamp", SENT_AT), ("x-path", "/api/webhooks/easypost")];
        assert!(verify(&pairs).is_ok());
        let first = sign_easypost_body(&test_secret(), BODY);
        pairs.push(("x-hmac-signature", &first));
        assert!(verify(&pairs).is_ok());
        let wrong = sign_easypost_body(&Secret::new(b"other".to_vec()), BODY);
        pairs.pop();
        pairs.push(("x-hmac-signature", &wrong));
        assert_eq!(verify(&pairs).unwrap_err(), RejectionReason::SignatureMismatch);
    }

    #[test]
    fn v2_signature_rejects_old_times_and_other_paths() {
        for (timestamp, reason) in [
            ("Tue, 19 Aug 2025 20:30:09 -0000", RejectionReason::TimestampOutOfRange),
            ("Tue, 19 Aug 2025 21:30:09 -0000", RejectionReason::TimestampOutOfRange),
            ("yesterday", RejectionReason::SignatureMalformed),
        ] {
            let signature = sign_v2(timestamp, "/p");
            let pairs = [("x-hmac-signature-v2", &*signature), ("x-timestamp", timestamp), ("x-path", "/p")];
            assert_eq!(verify(&pairs).unwrap_err(), reason, "{timestamp}");
        }
        let signature = sign_v2(SENT_AT, "/p");
        let moved = [("x-hmac-signature-v2", &*signature), ("x-timestamp", SENT_AT), ("x-path", "/q")];
        assert_eq!(verify(&moved).unwrap_err(), RejectionReason::SignatureMismatch);
        let bare = [("x-hmac-signature-v2", &*signature)];
        assert_eq!(verify(&bare).unwrap_err(), RejectionReason::SignatureMalformed);
    }

    #[test]
    fn every_known_time_format_is_parsed() {
        for text in [
            SENT_AT,
            "Tue, 19 Aug 2025 20:37:09 +0000",
            "Tue, 19 Aug 2025 20:37:09 GMT",
            "2025-08-19T20:37:09Z",
            "1755635829",
        ] {
            assert_eq!(parse_signed_time(text).map(Timestamp::as_second), Some(1_755_635_829), "{text}");
        }
    }
}
