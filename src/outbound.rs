//! HTTP to others: one way to make a client and to say what went wrong with it.
//!
//! TLS is rustls with ring, as for what comes in. Redirects are not followed: what is signed or authorised for one address goes to
//! no other.

use crate::clock::{self, Timestamp};
use anyhow::{Context, bail};
use reqwest::ClientBuilder;
use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The authorities that this system trusts. Some of a system's hundred may be odd; that is no reason to trust none.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The authorities in a PEM file, or those of the system without one.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn roots(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let Some(file) = file else { return Ok(system_roots()) };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("the certificate {} cannot be read", file.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate", file.display());
    }
    for certificate in certificates {
        roots.add(certificate).with_context(|| format!("{} holds no authority's certificate", file.display()))?;
    }
    Ok(roots)
}

/// TLS that trusts `roots`.
///
/// # Errors
/// When rustls has no protocol version in common with ring: never.
pub fn tls(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots))
}

/// A client over `tls` whose requests end after `timeout`.
pub fn client(tls: ClientConfig, timeout: Duration) -> ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .user_agent(concat!("novex-ingest/", env!("CARGO_PKG_VERSION")))
}

/// What a `Retry-After` asks for: seconds, or an HTTP date (RFC 9110, 10.2.3).
#[must_use]
pub fn retry_after(text: &str, now: Timestamp) -> Option<Timestamp> {
    match text.trim().parse::<u64>() {
        Ok(seconds) => Some(clock::after(now, Duration::from_secs(seconds))),
        Err(_) => jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok(),
    }
}

/// `first`, and every cause behind the error.
#[must_use]
pub fn chain(first: String, error: &reqwest::Error) -> String {
    let mut text = first;
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let text = |wanted| retry_after(wanted, now).map(clock::text);
        assert_eq!(text("120").unwrap(), "2026-11-24T10:02:00.000Z");
        assert_eq!(text("Tue, 24 Nov 2026 11:00:00 GMT").unwrap(), "2026-11-24T11:00:00.000Z");
        assert_eq!(text("soon"), None);
    }
}
