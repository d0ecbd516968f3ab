//! `type = "http"`: a POST of the event's bytes, signed as Standard Webhooks.
//!
//! `webhook-id` is the event's id, the same on every attempt; `webhook-signature` is a list of `v1,` and the base64
//! HMAC-SHA256 of `id.timestamp.body`, one for each secret, so that a rotation needs no pause (standard-webhooks,
//! `spec/standard-webhooks.md`). A secret with `whsec_` before it is base64, as that page writes secrets; any other is taken as
//! it is. Redirects are not followed: what is signed for one address goes to no other.

use super::{Fate, Parcel};
use crate::clock::{self, Timestamp};
use crate::outbound;
use crate::proof::mac;
use crate::secret::Secret;
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait that a `Retry-After` may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// A client with the destination's address and keys.
#[derive(Clone)]
pub struct Http {
    client: Client,
    url: String,
    keys: Vec<Secret>,
}

impl Http {
    /// `ca`: a PEM file with whom to trust instead of the system's authorities. `client`: certificate and key to show.
    ///
    /// # Errors
    /// When a file cannot be read or the address is none.
    pub fn new(
        url: &str,
        secrets: &[Secret],
        ca: Option<&Path>,
        client: Option<&(PathBuf, PathBuf)>,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let config = outbound::tls(outbound::roots(ca)?)?;
        let config = match client {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key)
                    .with_context(|| format!("the private key {} cannot be read", key.display()))?;
                config
                    .with_client_auth_cert(certificates(certificate)?, private)
                    .with_context(|| format!("{} and {} are not a pair", certificate.display(), key.display()))?
            }
        };
        let client = outbound::client(config, timeout)
            // The ERP is on the LAN: an environment's proxy is for other traffic.
            .no_proxy()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        reqwest::Url::parse(url).with_context(|| format!("{url:?} is no address"))?;
        Ok(Self { client, url: url.to_owned(), keys: secrets.iter().map(key).collect() })
    }

    pub(super) async fn deliver(&self, parcel: &Parcel, now: Timestamp) -> Fate {
        let id = parcel.event_id.to_string();
        let timestamp = now.as_second().to_string();
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp)
            .header("webhook-signature", sign(&self.keys, &id, &timestamp, &parcel.body))
            .header("idempotency-key", &id)
            .header("novex-source", &parcel.source)
            .header("novex-topic", printable(&parcel.topic))
            .header("novex-shop-domain", printable(&parcel.shop_domain))
            .header("novex-attempt", parcel.attempt)
            .body(parcel.body.clone());
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return Fate::Unreachable {
                    reached: false,
                    connected: !error.is_connect(),
                    error: chain(&error),
                    at: None,
                };
            }
        };
        let status = response.status();
        let wanted = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let at = wanted
            .and_then(|text| outbound::retry_after(text, now))
            .map(|at| at.min(clock::after(now, RETRY_AFTER_MAX)));
        let error = format!("answered {status}");
        match status {
            _ if status.is_success() => Fate::Delivered,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Fate::Later { error, at }
            }
            // A proxy says these for an ERP that is not there.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Fate::Unreachable { error, at, reached: false, connected: true }
            }
            _ if status.is_server_error() => Fate::Unreachable { error, at, reached: true, connected: true },
            _ if status.is_redirection() => Fate::Refused {
                error: format!("{error}: redirects are not followed, enter the address that it leads to"),
            },
            _ => Fate::Refused { error },
        }
    }
}

/// The error with what caused it; reqwest's own text stops before the reason.
fn chain(error: &reqwest::Error) -> String {
    outbound::chain(if error.is_timeout() { "no answer in time" } else { "not reached" }.to_owned(), error)
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("the certificate {} cannot be read", path.display()))
}

/// The bytes that sign.
fn key(secret: &Secret) -> Secret {
    let decoded = std::str::from_utf8(secret.expose()).ok().and_then(|text| text.strip_prefix("whsec_"));
    match decoded.and_then(|digits| STANDARD.decode(digits).ok()) {
        Some(bytes) => Secret::new(bytes),
        None => secret.clone(),
    }
}

/// The value of `webhook-signature`.
#[must_use]
pub fn sign(keys: &[Secret], id: &str, timestamp: &str, body: &[u8]) -> String {
    let before = [id.as_bytes(), b".", timestamp.as_bytes(), b"."];
    let signatures: Vec<String> =
        keys.iter().map(|key| format!("v1,{}", STANDARD.encode(mac(key, &before, body)))).collect();
    signatures.join(" ")
}

/// What a header may hold.
fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks libraries' own tests.
    #[test]
    fn signature_as_the_published_libraries_make_it() {
        let secret = key(&Secret::new(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_vec()));
        let signature = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
