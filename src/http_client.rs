//! Builds the HTTP clients for outgoing requests and formats their errors.
//!
//! TLS is rustls with ring, as on the public listener. A client follows no redirects: it sends a signed or authorised
//! request only to the configured address.

use crate::clock;
use crate::clock::Timestamp;
use crate::text::{escape_hidden_chars, keep_first_chars};
use anyhow::{Context, bail};
use reqwest::header::CONTENT_TYPE;
use reqwest::{ClientBuilder, Response};
use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Returns the root certificates of the system. Skips those that cannot be parsed and keeps the others.
#[must_use]
pub fn load_system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Returns the root certificates in a PEM file, or those of the system if `file` is `None`.
pub fn load_root_certificates(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let Some(file) = file else { return Ok(load_system_roots()) };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("the certificate {} cannot be read", file.display()))?;
    if certificates.is_empty() {
        bail!("{} contains no certificate", file.display());
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .with_context(|| format!("{} contains a certificate that cannot be a root", file.display()))?;
    }
    Ok(roots)
}

/// Returns a TLS configuration that trusts `roots`. Does not fail with ring.
pub fn build_tls_config(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

/// Returns a client over `tls` whose requests end after `timeout`.
pub fn http_client_builder(tls: ClientConfig, timeout: Duration) -> ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .user_agent(concat!("novex-ingest/", env!("CARGO_PKG_VERSION")))
}

/// Parses `Retry-After`: seconds, or an HTTP date (RFC 9110, 10.2.3).
#[must_use]
pub fn parse_retry_after(text: &str, now: Timestamp) -> Option<Timestamp> {
    match text.trim().parse::<u64>() {
        Ok(seconds) => Some(clock::add_duration(now, Duration::from_secs(seconds))),
        Err(_) => jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok(),
    }
}

/// Most characters of a refusal's body that are kept.
pub const ANSWER_CHARS_MAX: usize = 2_000;
/// Most bytes of a refusal's body that are read: enough for as many characters, and one more.
const ANSWER_BYTES_MAX: usize = 4 * (ANSWER_CHARS_MAX + 1);
/// Longest wait for the body of a refusal, whose status is known already.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns `first` with the text of the response's body, in which the server states why it refuses.
///
/// The text has at most [`ANSWER_CHARS_MAX`] characters, and its hidden characters are escaped. A body that breaks off
/// or hangs gives the part that arrived.
pub async fn describe_refusal(first: String, response: Response) -> String {
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let is_latin1 = ["iso-8859-1", "latin1", "windows-1252"]
        .iter()
        .any(|charset| content_type.to_ascii_lowercase().contains(&format!("charset={charset}")));
    let text = decode_answer(&read_answer(response).await, is_latin1);
    if text.is_empty() { first } else { format!("{first}: {text}") }
}

async fn read_answer(mut response: Response) -> Vec<u8> {
    let deadline = tokio::time::Instant::now() + ANSWER_TIMEOUT;
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        match tokio::time::timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]),
            Ok(Ok(None) | Err(_)) | Err(_) => break,
        }
    }
    body
}

fn decode_answer(body: &[u8], is_latin1: bool) -> String {
    let text = match std::str::from_utf8(body) {
        Err(_) if is_latin1 => body.iter().copied().map(char::from).collect(),
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    keep_first_chars(&escape_hidden_chars(text.trim()), ANSWER_CHARS_MAX)
}

/// Returns `first` and the causes of the error, separated by colons.
#[must_use]
pub fn format_error_chain(first: String, error: &reqwest::Error) -> String {
    let mut text = first;
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Describes a failed request: the address if nothing answers there, else `first` with the causes of the error.
#[must_use]
pub fn describe_request_error(first: &str, error: &reqwest::Error) -> String {
    let address = error.url().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    address
        .and_then(|address| describe_connection_error(&address, error))
        .unwrap_or_else(|| format_error_chain(first.to_owned(), error))
}

/// Describes the reason why a connection to `address` failed.
///
/// Returns `None` if no cause of the error is a refused connection or a missing route.
#[must_use]
pub fn describe_connection_error(address: &str, error: &(dyn std::error::Error + 'static)) -> Option<String> {
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .find_map(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(format!("nobody answers at {address} (connection refused)")),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Some(format!("{address} cannot be reached (no route to the host)"))
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_connection_names_the_address() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let text = describe_connection_error("127.0.0.1:9099", &refused);
        assert_eq!(text.as_deref(), Some("nobody answers at 127.0.0.1:9099 (connection refused)"));
        let wrapped = anyhow::Error::from(refused).context("client error (Connect)");
        assert_eq!(describe_connection_error("127.0.0.1:9099", wrapped.as_ref()), text);
        assert_eq!(describe_connection_error("a", &io::Error::from(io::ErrorKind::BrokenPipe)), None);
    }

    #[test]
    fn answer_is_bounded_text_without_hidden_characters() {
        assert_eq!(
            decode_answer(b" {\"error\":\r\n\"no SKU\x1b[2J\"}\n", false),
            "{\"error\":\\r\\n\"no SKU\\u{1b}[2J\"}"
        );
        assert_eq!(decode_answer(b"unbekannt: M\xfcsli", true), "unbekannt: M\u{fc}sli");
        assert_eq!(decode_answer(b"unbekannt: M\xfcsli", false), "unbekannt: M\u{fffd}sli");
        assert_eq!(decode_answer("M\u{fc}sli".as_bytes(), true), "M\u{fc}sli", "a wrong charset");
        for long in ["\u{1f36a}".repeat(ANSWER_CHARS_MAX + 1), "\u{1b}".repeat(ANSWER_CHARS_MAX)] {
            let text = decode_answer(long.as_bytes(), false);
            assert_eq!((text.chars().count(), text.chars().last()), (ANSWER_CHARS_MAX, Some('\u{2026}')));
        }
    }

    #[test]
    fn retry_after_is_parsed_as_seconds_or_date() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let parse = |header| parse_retry_after(header, now).map(clock::format_timestamp);
        assert_eq!(parse("120").unwrap(), "2026-11-24T10:02:00.000Z");
        assert_eq!(parse("Tue, 24 Nov 2026 11:00:00 GMT").unwrap(), "2026-11-24T11:00:00.000Z");
        assert_eq!(parse("soon"), None);
    }
}
