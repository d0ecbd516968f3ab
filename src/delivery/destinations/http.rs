//! `type = "http"`: a POST of the event's bytes, signed as Standard Webhooks.
//!
//! `webhook-id` is the event id, the same on each attempt. `webhook-signature` has one signature for each secret:
//! [`crate::delivery::destinations::signing_key`]. Redirects are not followed, so that no other address receives a
//! signed request.

use crate::clock;
use crate::clock::Timestamp;
use crate::delivery::destinations::signing_key::{decode_signing_key, sign_standard_webhook};
use crate::delivery::destinations::{OutboundEvent, SendResult};
use crate::delivery::payload::to_header_value;
use crate::http_client;
use crate::secret::Secret;
use crate::store::leases::delivery_outcomes::Cause;
use anyhow::Context;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait that a `Retry-After` can request.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// HTTP client with the destination's address and signing keys.
#[derive(Clone)]
pub struct HttpDestination {
    client: Client,
    url: String,
    signing_keys: Vec<Secret>,
}

impl HttpDestination {
    /// Builds the client.
    ///
    /// `ca_file` is a PEM file with the authorities to trust instead of the system's. `client_certificate` is the
    /// certificate file and key file of the client.
    ///
    /// # Errors
    /// A message if a file cannot be read, or the address or a secret is not valid.
    pub fn new(
        url: &str,
        secrets: &[Secret],
        ca_file: Option<&Path>,
        client_certificate: Option<&(PathBuf, PathBuf)>,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let config = http_client::build_tls_config(http_client::load_root_certificates(ca_file)?)?;
        let config = match client_certificate {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key)
                    .with_context(|| format!("the private key {} cannot be read", key.display()))?;
                config
                    .with_client_auth_cert(load_certificates(certificate)?, private)
                    .with_context(|| format!("{} and {} are not a pair", certificate.display(), key.display()))?
            }
        };
        let client = http_client::http_client_builder(config, timeout)
            // The ERP is on the LAN; a proxy of the environment is for other traffic.
            .no_proxy()
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        reqwest::Url::parse(url).with_context(|| format!("{url:?} is not a valid address"))?;
        let signing_keys: Result<Vec<Secret>, _> = secrets.iter().map(decode_signing_key).collect();
        Ok(Self { client, url: url.to_owned(), signing_keys: signing_keys.context("a secret cannot sign deliveries")? })
    }

    pub(crate) async fn send(&self, outbound: &OutboundEvent, now: Timestamp) -> SendResult {
        let id = outbound.event.id.to_string();
        let timestamp = now.as_second().to_string();
        let mut request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, outbound.format.media_type())
            .header("webhook-id", &id)
            .header("webhook-timestamp", &timestamp)
            .header("idempotency-key", &id)
            .header("novex-source", outbound.source_name())
            .header("novex-topic", to_header_value(&outbound.event.key.topic))
            .header("novex-shop-domain", to_header_value(&outbound.event.key.shop_domain))
            .header("novex-file-name", to_header_value(&outbound.file_name()))
            .header("novex-attempt", outbound.attempt);
        if !self.signing_keys.is_empty() {
            let signature = sign_standard_webhook(&self.signing_keys, &id, &timestamp, &outbound.body);
            request = request.header("webhook-signature", signature);
        }
        if let Some(edi) = &outbound.edi {
            request = request.header("novex-document-type", to_header_value(&edi.document_type));
            if let Some(partner) = &edi.partner {
                request = request.header("novex-partner", to_header_value(partner));
            }
        }
        let response = match request.body(outbound.body.clone()).send().await {
            Ok(response) => response,
            Err(error) => {
                return SendResult::Unavailable {
                    cause: if error.is_connect() { Cause::NotReached } else { Cause::NotReceived },
                    error: describe_send_error(&error),
                    retry_at: None,
                };
            }
        };
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_at = retry_after
            .and_then(|text| http_client::parse_retry_after(text, now))
            .map(|at| at.min(clock::add_duration(now, RETRY_AFTER_MAX)));
        if status.is_success() {
            return SendResult::Delivered;
        }
        if status.is_redirection() {
            let error = format!("answered {status}: redirects are not followed, configure the target address");
            return SendResult::Rejected { error };
        }
        let error = http_client::describe_refusal(format!("answered {status}"), response).await;
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                SendResult::RetryLater { error, retry_at }
            }
            // A proxy answers with these if the ERP is not reachable.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                SendResult::Unavailable { error, retry_at, cause: Cause::NotReceived }
            }
            _ if status.is_server_error() => {
                SendResult::Unavailable { error, retry_at, cause: Cause::FailedOnDelivery }
            }
            _ => SendResult::Rejected { error },
        }
    }
}

fn describe_send_error(error: &reqwest::Error) -> String {
    http_client::describe_request_error(if error.is_timeout() { "no answer in time" } else { "not reached" }, error)
}

fn load_certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("the certificate {} cannot be read", path.display()))
}
