//! Keycloak's events, as its HTTP event listeners send them: a bearer secret and a JSON body.
//!
//! Facts, from keycloak/keycloak (`EventRepresentation`, `AdminEventRepresentation`) and p2-inc/keycloak-events: a listener
//! that makes a `uid` keeps it on retries; Keycloak's own `id` came with newer versions; older ones have neither, so the
//! body's digest has to do. Many listeners drop an event on anything but a quick 2xx: whatever is proved is stored.

use super::{Delivery, Reason, Refusal, digest_id, headers, name};
use crate::proof::bearer;
use crate::secret::Secret;
use crate::store::envelope::{Envelope, Source, Verified};
use serde::Deserialize;
use serde_json::Value;

/// The Keycloak servers that may send.
#[derive(Debug, Clone)]
pub struct Keycloak {
    secrets: Vec<Secret>,
}

/// The part of an event that names it. Values, not strings: no shape of body may fail here.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    uid: Value,
    id: Value,
    r#type: Value,
    operation_type: Value,
    resource_type: Value,
}

impl Keycloak {
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self { secrets }
    }

    /// Checks the bearer, then reads id and type from the body, if it has them.
    ///
    /// # Errors
    /// 401 for anything about the bearer.
    pub fn verify(&self, delivery: Delivery<'_>) -> Result<Verified, Refusal> {
        let authorization = headers::single(delivery.headers, "authorization")?
            .ok_or_else(|| Refusal::new(Reason::BearerMissing, "the header Authorization is missing"))?;
        let token = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| Refusal::new(Reason::BearerMissing, "the header Authorization is not `Bearer SECRET`"))?;
        let authentic = bearer(&self.secrets, token.as_bytes(), delivery.body).map_err(|_| {
            Refusal::new(Reason::BearerMismatch, format!("the bearer is none of the {} secrets", self.secrets.len()))
        })?;
        let event: Event = serde_json::from_slice(delivery.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().and_then(name).map(str::to_owned);
        let id = text(&event.id);
        // An admin event in Keycloak's own form has no type; p2-inc and vymalo write it RESOURCE-OPERATION.
        let admin_type =
            || Some(format!("{}-{}", text(&event.resource_type).unwrap_or_default(), text(&event.operation_type)?));
        let envelope = Envelope {
            source: Source::Keycloak,
            shop_domain: String::new(),
            topic: text(&event.r#type).or_else(admin_type).unwrap_or_else(|| "unknown".to_owned()),
            webhook_id: text(&event.uid).or_else(|| id.clone()).unwrap_or_else(|| digest_id(delivery.body)),
            provider_event_id: id,
            triggered_at: None,
            headers: headers::to_json(delivery.headers),
            received_at: delivery.received_at,
        };
        Ok(Verified::new(envelope, authentic))
    }
}

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
        Keycloak::new(vec![Secret::new(b"token".to_vec())])
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
}
