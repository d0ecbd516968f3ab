//! Keycloak's events, as its HTTP event listeners send them: JSON, or a form with it, and one of three proofs of one secret.
//!
//! Facts, from keycloak/keycloak (`EventRepresentation`, `AdminEventRepresentation`) and p2-inc/keycloak-events: a listener
//! that makes a `uid` keeps it on retries; Keycloak's own `id` came with newer versions; older ones have neither, so the
//! body's digest has to do. Many listeners drop an event on anything but a quick 2xx: whatever is proved is stored.

use super::{Delivery, Reason, Refusal, digest_id, headers, name};
use crate::formats;
use crate::proof::{Authentic, TAG_BYTES, basic, bearer, hmac_sha256};
use crate::secret::Secret;
use crate::store::envelope::{Envelope, Source, Verified};
use base64::Engine;
use serde_json::Value;

/// The Keycloak servers that may send.
#[derive(Debug, Clone)]
pub struct Keycloak {
    secrets: Vec<Secret>,
    accept: Accept,
}

/// Which proofs are taken. All three show that the sender knows one of the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// `Authorization: Bearer SECRET`.
    pub bearer: bool,
    /// `X-Keycloak-Signature`: hex HMAC-SHA256 of the raw body (p2-inc/keycloak-events, `authType` hmac).
    pub signature: bool,
    /// `Authorization: Basic`, the secret as password (vymalo/keycloak-webhook).
    pub basic: bool,
    /// The user name that Basic must come with; `None`: any.
    pub basic_user: Option<String>,
}

impl Default for Accept {
    fn default() -> Self {
        Self { bearer: true, signature: false, basic: false, basic_user: None }
    }
}

impl Keycloak {
    #[must_use]
    pub fn new(secrets: Vec<Secret>, accept: Accept) -> Self {
        Self { secrets, accept }
    }

    /// Checks the proof, then reads id and type from the body, if it has them.
    ///
    /// # Errors
    /// 401 for anything about the proof.
    pub fn verify(&self, delivery: Delivery<'_>) -> Result<Verified, Refusal> {
        let authentic = self.prove(delivery)?;
        let event = formats::keycloak::event(delivery.body).unwrap_or_default();
        let text = |field: &str| event.get(field).and_then(Value::as_str).and_then(name).map(str::to_owned);
        let id = text("id");
        // An admin event in Keycloak's own form has no type; p2-inc and vymalo write it RESOURCE-OPERATION.
        let admin_type = || Some(format!("{}-{}", text("resourceType").unwrap_or_default(), text("operationType")?));
        let envelope = Envelope {
            source: Source::Keycloak,
            shop_domain: String::new(),
            topic: text("type").or_else(admin_type).unwrap_or_else(|| "unknown".to_owned()),
            webhook_id: text("uid").or_else(|| id.clone()).unwrap_or_else(|| digest_id(delivery.body)),
            provider_event_id: id,
            triggered_at: None,
            headers: headers::to_json(delivery.headers),
            received_at: delivery.received_at,
        };
        Ok(Verified::new(envelope, authentic))
    }

    /// True when the headers alone show that the delivery will be refused: asked before the body is read.
    ///
    /// # Errors
    /// The refusal.
    pub fn precheck(&self, headers: &hyper::HeaderMap) -> Result<(), Refusal> {
        let signed = self.accept.signature && headers.contains_key(SIGNATURE);
        if signed {
            return Ok(());
        }
        self.password(headers, &bytes::Bytes::new()).map(drop)
    }

    fn prove(&self, delivery: Delivery<'_>) -> Result<Authentic, Refusal> {
        if self.accept.signature
            && let Some(signature) = headers::single(delivery.headers, SIGNATURE)?
        {
            // p2-inc writes bare digits; receivers in the wild are sent sha256= before them too.
            let digits = signature.strip_prefix("sha256=").unwrap_or(signature);
            let tag = hex::decode(digits).ok().filter(|tag| tag.len() == TAG_BYTES).ok_or_else(|| {
                Refusal::new(Reason::SignatureMalformed, "X-Keycloak-Signature is not 64 hex digits (HmacSHA256)")
            })?;
            return hmac_sha256(&self.secrets, &[], delivery.body, &tag).map_err(|_| {
                let detail = format!("none of the {} secrets gives X-Keycloak-Signature", self.secrets.len());
                Refusal::new(Reason::SignatureMismatch, detail)
            });
        }
        self.password(delivery.headers, delivery.body)
    }

    /// Bearer or Basic.
    fn password(&self, headers: &hyper::HeaderMap, body: &bytes::Bytes) -> Result<Authentic, Refusal> {
        let missing = |detail: &str| Refusal::new(Reason::BearerMissing, detail);
        let authorization =
            headers::single(headers, "authorization")?.ok_or_else(|| missing("the header Authorization is missing"))?;
        let mismatch = |what: &str| {
            Refusal::new(Reason::BearerMismatch, format!("the {what} is none of the {} secrets", self.secrets.len()))
        };
        let (scheme, proof) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let proof = proof.trim();
        if self.accept.bearer && scheme.eq_ignore_ascii_case("bearer") && !proof.is_empty() {
            return bearer(&self.secrets, proof.as_bytes(), body).map_err(|_| mismatch("bearer"));
        }
        if self.accept.basic && scheme.eq_ignore_ascii_case("basic") {
            let pair = base64::engine::general_purpose::STANDARD.decode(proof).unwrap_or_default();
            let at = pair.iter().position(|byte| *byte == b':');
            let at = at.ok_or_else(|| missing("the header Authorization is not `Basic BASE64(USER:SECRET)`"))?;
            let (user, password) = (&pair[..at], &pair[at + 1..]);
            let wanted = self.accept.basic_user.as_deref().map(str::as_bytes);
            return basic(&self.secrets, wanted, (user, password), body).map_err(|_| mismatch("user or password"));
        }
        Err(missing("the header Authorization is none of the kinds in keycloak.accept"))
    }
}

const SIGNATURE: &str = "x-keycloak-signature";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    fn verify(authorization: Option<&str>, body: &'static str) -> Result<Envelope, Reason> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert("authorization", HeaderValue::from_str(value).unwrap());
        }
        Keycloak::new(vec![Secret::new(b"token".to_vec())], Accept::default())
            .verify(Delivery {
                topic: "",
                headers: &headers,
                body: &Bytes::from_static(body.as_bytes()),
                received_at: Timestamp::UNIX_EPOCH,
            })
            .map(|verified| verified.envelope().clone())
            .map_err(|refusal| refusal.reason)
    }

    #[test]
    fn uid_before_id_before_digest() {
        let taken = |body| verify(Some("Bearer token"), body).unwrap();
        assert_eq!(taken(r#"{"uid":"u","id":"i","type":"access.LOGIN"}"#).webhook_id, "u");
        assert_eq!(taken(r#"{"id":"i","type":"LOGIN"}"#).webhook_id, "i");
        assert!(taken(r#"{"type":"LOGIN"}"#).webhook_id.starts_with("sha256:"));
    }

    #[test]
    fn no_shape_of_body_is_refused() {
        let topic = |body| verify(Some("bearer  token"), body).unwrap().topic;
        assert_eq!(topic(r#"{"type":"LOGIN_ERROR"}"#), "LOGIN_ERROR");
        assert_eq!(topic(r#"{"operationType":"UPDATE","resourceType":"USER"}"#), "USER-UPDATE");
        for odd in ["", "[]", "json=%7B%7D", r#"{"type":7,"uid":{}}"#] {
            assert_eq!(topic(odd), "unknown");
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        assert_eq!(verify(None, "{}").unwrap_err(), Reason::BearerMissing);
        assert_eq!(verify(Some("Basic dG9rZW4="), "{}").unwrap_err(), Reason::BearerMissing);
        assert_eq!(verify(Some("Bearer tokens"), "{}").unwrap_err(), Reason::BearerMismatch);
        assert_eq!(verify(Some("Bearer "), "{}").unwrap_err(), Reason::BearerMissing);
    }

    #[test]
    fn the_other_proofs_are_taken_when_they_are_configured() {
        let body = Bytes::from_static(br#"{"type":"LOGIN"}"#);
        let tag = hex::encode(crate::proof::mac(&Secret::new(b"token".to_vec()), &[], &body));
        let all = Accept { bearer: false, signature: true, basic: true, basic_user: Some("keycloak".into()) };
        let verify = |accept: &Accept, name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            let keycloak = Keycloak::new(vec![Secret::new(b"token".to_vec())], accept.clone());
            let delivery = Delivery { topic: "", headers: &headers, body: &body, received_at: Timestamp::UNIX_EPOCH };
            let early = keycloak.precheck(&headers).map_err(|refusal| refusal.reason);
            let result = keycloak.verify(delivery).map(drop).map_err(|refusal| refusal.reason);
            assert!(early.is_ok() || early == result, "{early:?} {result:?}");
            result
        };
        let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        assert_eq!(verify(&all, SIGNATURE, &tag), Ok(()));
        assert_eq!(verify(&all, SIGNATURE, &format!("sha256={}", tag.to_uppercase())), Ok(()));
        assert_eq!(verify(&all, SIGNATURE, &tag.replace(['0', '1'], "2")), Err(Reason::SignatureMismatch));
        assert_eq!(verify(&all, SIGNATURE, "sha1=00"), Err(Reason::SignatureMalformed));
        assert_eq!(verify(&all, "authorization", &basic("keycloak:token")), Ok(()));
        assert_eq!(verify(&all, "authorization", &basic("other:token")), Err(Reason::BearerMismatch));
        assert_eq!(verify(&all, "authorization", &basic("keycloak:toke")), Err(Reason::BearerMismatch));
        assert_eq!(verify(&all, "authorization", "Bearer token"), Err(Reason::BearerMissing));
        let default = Accept::default();
        assert_eq!(verify(&default, SIGNATURE, &tag), Err(Reason::BearerMissing));
        assert_eq!(verify(&default, "authorization", &basic("keycloak:token")), Err(Reason::BearerMissing));
    }
}
