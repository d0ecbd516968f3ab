//! Keycloak's events from its HTTP event listeners: JSON, or a form with JSON, and one of three proofs of one secret.
//!
//! Facts, from keycloak/keycloak (`EventRepresentation`, `AdminEventRepresentation`) and p2-inc/keycloak-events: A
//! listener with a `uid` keeps it on retries. Newer versions of Keycloak have their own `id`. Older ones have neither,
//! so the digest of the body identifies the event, because its time is part of it. A listener that writes no time
//! either (jessylenne/keycloak-event-listener-http, `HTTPEventListenerProvider.java`) never repeats an event, so each
//! body is a new event: two equal failed logins are two. Many listeners drop an event on any answer but a quick 2xx, so
//! each authenticated event is stored.

use crate::event::{Envelope, EventKey, Source, VerifiedWebhook};
use crate::keycloak_event::{read_keycloak_fields, read_keycloak_list, states_event_time, states_identity};
use crate::lenient_json::JsonValue;
use crate::proof::{AuthenticBody, HMAC_TAG_BYTES, verify_basic_auth, verify_bearer_token, verify_hmac_sha256};
use crate::providers::{
    Rejection, RejectionReason, WebhookRequest, build_digest_id, build_unique_id, headers, parse_body_id, parse_name,
    test_mark,
};
use crate::secret::Secret;
use crate::text::format_count;
use base64::Engine;

/// Verifier for the events of Keycloak.
#[derive(Debug, Clone)]
pub struct KeycloakVerifier {
    secrets: Vec<Secret>,
    accepted_proofs: AcceptedProofs,
}

/// Kinds of proof that the verifier accepts. Each shows that the sender knows one of the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedProofs {
    /// `Authorization: Bearer SECRET`.
    pub bearer: bool,
    /// `X-Keycloak-Signature`: hex HMAC-SHA256 of the raw body (p2-inc/keycloak-events, `authType` hmac).
    pub signature: bool,
    /// `Authorization: Basic`, the secret as password (vymalo/keycloak-webhook).
    pub basic: bool,
    /// User name that Basic requires; `None` accepts any.
    pub basic_user: Option<String>,
}

impl Default for AcceptedProofs {
    fn default() -> Self {
        Self { bearer: true, signature: false, basic: false, basic_user: None }
    }
}

impl KeycloakVerifier {
    /// Creates a verifier.
    #[must_use]
    pub fn new(secrets: Vec<Secret>, accepted_proofs: AcceptedProofs) -> Self {
        Self { secrets, accepted_proofs }
    }

    /// Checks the proof, then reads id and type from the body, if it has them.
    ///
    /// # Errors
    /// A rejection with status 401 if the proof is missing or wrong.
    pub fn verify_request(&self, request: WebhookRequest<'_>) -> Result<VerifiedWebhook, Rejection> {
        const FIELDS: [&str; 5] = ["uid", "id", "type", "resourceType", "operationType"];
        let authentic = match test_mark::prove_test_request(request, &self.secrets) {
            Some(authentic) => authentic,
            None => self.verify_proof(request)?,
        };
        let list = read_keycloak_list(request.body);
        let fields = read_keycloak_fields(request.body, FIELDS).unwrap_or_default();
        let [uid, id, kind, resource, operation] = &fields;
        let name = |field: &Option<String>| field.as_deref().and_then(parse_name).map(str::to_owned);
        let id = id.as_deref().and_then(parse_body_id);
        // Keycloak's own admin events have no type. The listeners p2-inc and vymalo write RESOURCE-OPERATION.
        let admin_type = || {
            let operation = name(operation)?;
            Some(name(resource).map_or_else(|| operation.clone(), |resource| format!("{resource}-{operation}")))
        };
        let envelope = Envelope {
            key: EventKey {
                source: Source::Keycloak,
                shop_domain: String::new(),
                topic: match &list {
                    Some(events) => name_list_topic(events),
                    None => name(kind).or_else(admin_type).unwrap_or_else(|| UNKNOWN_TOPIC.to_owned()),
                },
                webhook_id: uid
                    .as_deref()
                    .and_then(parse_body_id)
                    .or_else(|| id.clone())
                    .unwrap_or_else(|| build_bodys_id(request.body, list.as_deref())),
            },
            provider_event_id: id,
            triggered_at: None,
            headers: headers::serialize_headers(request.headers),
            received_at: request.received_at,
        };
        Ok(VerifiedWebhook::new(envelope, authentic))
    }

    /// Checks the headers before the body is read.
    ///
    /// # Errors
    /// The rejection that [`Self::verify_request`] would return, if the headers alone decide it.
    pub fn check_headers(&self, headers: &hyper::HeaderMap) -> Result<(), Rejection> {
        let is_signed = self.accepted_proofs.signature && headers.contains_key(SIGNATURE_HEADER);
        if is_signed || test_mark::read_test_mark(headers).is_some() {
            return Ok(());
        }
        self.verify_authorization(headers, &bytes::Bytes::new()).map(drop)
    }

    fn verify_proof(&self, request: WebhookRequest<'_>) -> Result<AuthenticBody, Rejection> {
        if self.accepted_proofs.signature
            && let Some(signature) = headers::read_single_header(request.headers, SIGNATURE_HEADER)?
        {
            // p2-inc writes only the digits. Some senders add the prefix sha256=.
            let digits = signature.strip_prefix("sha256=").unwrap_or(signature);
            let tag = hex::decode(digits).ok().filter(|tag| tag.len() == HMAC_TAG_BYTES).ok_or_else(|| {
                Rejection::new(
                    RejectionReason::SignatureMalformed,
                    "X-Keycloak-Signature is not 64 hex digits (HmacSHA256)",
                )
            })?;
            return verify_hmac_sha256(&self.secrets, &[], request.body, &tag).map_err(|_| {
                let detail = format!("{}; none gives X-Keycloak-Signature", self.count_secrets());
                Rejection::new(RejectionReason::SignatureMismatch, detail)
            });
        }
        self.verify_authorization(request.headers, request.body)
    }

    fn count_secrets(&self) -> String {
        format_count(self.secrets.len(), "secret is configured", "secrets are configured")
    }

    /// Checks `Authorization`: Bearer or Basic.
    fn verify_authorization(
        &self,
        headers: &hyper::HeaderMap,
        body: &bytes::Bytes,
    ) -> Result<AuthenticBody, Rejection> {
        let missing = |detail: &str| Rejection::new(RejectionReason::BearerMissing, detail);
        let authorization = headers::read_single_header(headers, "authorization")?
            .ok_or_else(|| missing("the header Authorization is missing"))?;
        let mismatch = |proof_name: &str| {
            Rejection::new(
                RejectionReason::BearerMismatch,
                format!("{}; the {proof_name} matches none", self.count_secrets()),
            )
        };
        let (scheme, proof) = authorization.split_once(' ').unwrap_or((authorization, ""));
        let proof = proof.trim();
        if self.accepted_proofs.bearer && scheme.eq_ignore_ascii_case("bearer") && !proof.is_empty() {
            return verify_bearer_token(&self.secrets, proof.as_bytes(), body).map_err(|_| mismatch("bearer token"));
        }
        if self.accepted_proofs.basic && scheme.eq_ignore_ascii_case("basic") {
            let pair = base64::engine::general_purpose::STANDARD.decode(proof).unwrap_or_default();
            let colon = pair.iter().position(|byte| *byte == b':');
            let colon = colon.ok_or_else(|| missing("the header Authorization is not `Basic BASE64(USER:SECRET)`"))?;
            let (user, password) = (&pair[..colon], &pair[colon + 1..]);
            let expected_user = self.accepted_proofs.basic_user.as_deref().map(str::as_bytes);
            return verify_basic_auth(&self.secrets, expected_user, (user, password), body)
                .map_err(|_| mismatch("user or password"));
        }
        Err(missing("the header Authorization has none of the kinds in keycloak.accept"))
    }
}

/// Topic of an event that states neither a type nor an operation.
const UNKNOWN_TOPIC: &str = "unknown";

/// Returns the topic of a list of events: their type if all have the same one, else `mixed`.
fn name_list_topic(events: &[JsonValue]) -> String {
    let read = |event: &JsonValue, field: &str| event.get(field)?.as_str().and_then(parse_name).map(str::to_owned);
    let name = |event: &JsonValue| {
        read(event, "type").or_else(|| {
            let operation = read(event, "operationType")?;
            Some(read(event, "resourceType").map_or_else(|| operation.clone(), |kind| format!("{kind}-{operation}")))
        })
    };
    let first = events.first().and_then(name).unwrap_or_else(|| UNKNOWN_TOPIC.to_owned());
    let is_same = events.iter().all(|event| name(event).as_ref() == Some(&first));
    if is_same { first } else { "mixed".to_owned() }
}

/// Returns the webhook id of an event that states none, or of a list of events.
fn build_bodys_id(body: &[u8], list: Option<&[JsonValue]>) -> String {
    let is_identified = list.map_or_else(|| states_event_time(body), |events| events.iter().all(states_identity));
    if is_identified { build_digest_id(body) } else { build_unique_id() }
}

const SIGNATURE_HEADER: &str = "x-keycloak-signature";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use bytes::Bytes;
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    fn verify(authorization: Option<&str>, body: &'static str) -> Result<Envelope, RejectionReason> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert("authorization", HeaderValue::from_str(value).unwrap());
        }
        KeycloakVerifier::new(vec![Secret::new(b"token".to_vec())], AcceptedProofs::default())
            .verify_request(WebhookRequest {
                topic: "",
                headers: &headers,
                body: &Bytes::from_static(body.as_bytes()),
                received_at: Timestamp::UNIX_EPOCH,
            })
            .map(|verified| verified.envelope().clone())
            .map_err(|rejection| rejection.reason)
    }

    #[test]
    fn webhook_id_prefers_uid_then_id_then_digest() {
        let id = |body| verify(Some("Bearer token"), body).unwrap().key.webhook_id;
        assert_eq!(id(r#"{"uid":"u","id":"i","type":"access.LOGIN"}"#), "u");
        assert_eq!(id(r#"{"id":"i","type":"LOGIN"}"#), "i");
        for timed in [
            r#"{"type":"LOGIN","time":1763929800000}"#,
            r#"{"type":"LOGIN","time":"1763929800000"}"#,
            r#"{"type":"LOGIN","time":null,"timestamp":"2026-11-23T20:30:00Z"}"#,
            "json=%7B%22type%22%3A%22LOGIN%22%2C%22time%22%3A1763929800000%7D",
        ] {
            assert!(id(timed).starts_with("sha256:"), "{timed}");
            assert_eq!(id(timed), id(timed));
        }
    }

    #[test]
    fn body_without_id_and_time_is_always_a_new_event() {
        for body in [
            r#"{"type":"LOGIN_ERROR","realmId":"acme"}"#,
            r#"{"type":"LOGIN_ERROR","time":0}"#,
            r#"{"type":"LOGIN_ERROR","time":{"$date":1763929800000},"id":""}"#,
            "json=%7B%27type%27%3A%20%27LOGIN_ERROR%27%2C%20%27realmId%27%3A%20%27acme%27%7D",
            "json=%7B%27type%27%3A%20%27LOGIN_ERROR%27%2C%20%27time%27%3A%20%271763929800000%27%7D",
            "json=%7B%22type%22%3A%22LOGIN_ERROR%22%7D",
            "",
            "[]",
            "not an event",
        ] {
            let ids: std::collections::HashSet<String> =
                (0..12).map(|_| verify(Some("Bearer token"), body).unwrap().key.webhook_id).collect();
            assert_eq!(ids.len(), 12, "{body}: {ids:?}");
        }
    }

    #[test]
    fn every_body_shape_is_accepted() {
        let topic = |body| verify(Some("bearer  token"), body).unwrap().key.topic;
        assert_eq!(topic(r#"{"type":"LOGIN_ERROR"}"#), "LOGIN_ERROR");
        assert_eq!(topic(r#"{"operationType":"UPDATE","resourceType":"USER"}"#), "USER-UPDATE");
        assert_eq!(topic(r#"{"operationType":"DELETE","resourcePath":"users/7/groups/8"}"#), "DELETE");
        for body in ["", "[]", "json=%7B%7D", r#"{"type":7,"uid":{}}"#] {
            assert_eq!(topic(body), "unknown");
        }
    }

    #[test]
    fn only_the_exact_token_is_accepted() {
        assert_eq!(verify(None, "{}").unwrap_err(), RejectionReason::BearerMissing);
        assert_eq!(verify(Some("Basic dG9rZW4="), "{}").unwrap_err(), RejectionReason::BearerMissing);
        assert_eq!(verify(Some("Bearer tokens"), "{}").unwrap_err(), RejectionReason::BearerMismatch);
        assert_eq!(verify(Some("Bearer "), "{}").unwrap_err(), RejectionReason::BearerMissing);
    }

    #[test]
    fn other_proofs_are_accepted_only_when_configured() {
        let body = Bytes::from_static(br#"{"type":"LOGIN"}"#);
        let tag = hex::encode(crate::proof::compute_hmac_sha256(&Secret::new(b"token".to_vec()), &[], &body));
        let all = AcceptedProofs { bearer: false, signature: true, basic: true, basic_user: Some("keycloak".into()) };
        let verify = |accept: &AcceptedProofs, name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            let keycloak = KeycloakVerifier::new(vec![Secret::new(b"token".to_vec())], accept.clone());
            let request =
                WebhookRequest { topic: "", headers: &headers, body: &body, received_at: Timestamp::UNIX_EPOCH };
            let early = keycloak.check_headers(&headers).map_err(|rejection| rejection.reason);
            let result = keycloak.verify_request(request).map(drop).map_err(|rejection| rejection.reason);
            assert!(early.is_ok() || early == result, "{early:?} {result:?}");
            result
        };
        let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        assert_eq!(verify(&all, SIGNATURE_HEADER, &tag), Ok(()));
        assert_eq!(verify(&all, SIGNATURE_HEADER, &format!("sha256={}", tag.to_uppercase())), Ok(()));
        assert_eq!(
            verify(&all, SIGNATURE_HEADER, &tag.replace(['0', '1'], "2")),
            Err(RejectionReason::SignatureMismatch)
        );
        assert_eq!(verify(&all, SIGNATURE_HEADER, "sha1=00"), Err(RejectionReason::SignatureMalformed));
        assert_eq!(verify(&all, "authorization", &basic("keycloak:token")), Ok(()));
        assert_eq!(verify(&all, "authorization", &basic("other:token")), Err(RejectionReason::BearerMismatch));
        assert_eq!(verify(&all, "authorization", &basic("keycloak:toke")), Err(RejectionReason::BearerMismatch));
        assert_eq!(verify(&all, "authorization", "Bearer token"), Err(RejectionReason::BearerMissing));
        let default = AcceptedProofs::default();
        assert_eq!(verify(&default, SIGNATURE_HEADER, &tag), Err(RejectionReason::BearerMissing));
        assert_eq!(verify(&default, "authorization", &basic("keycloak:token")), Err(RejectionReason::BearerMissing));
    }
}
