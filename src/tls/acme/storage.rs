//! Files of the certificate and of an unfinished order.
//!
//! The authority's URL is in a comment above the PEM, where PEM allows any text, so that both are written and replaced
//! at once.

use crate::clock;
use crate::clock::{Timestamp, add_duration};
use crate::files::{create_parent_directory, rename_and_sync, write_atomic};
use crate::tls::acme::AcmeSettings;
use crate::tls::expiry::CertificateInfo;
use crate::tls::{certificates, expiry};
use anyhow::Context;
use instant_acme::CertificateIdentifier;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const AUTHORITY_HEADER: &str = "# obtained by novex-ingest from ";
const ORDER_HEADER: &str = "# order ";
const NAMES_HEADER: &str = "# names ";
const STARTED_HEADER: &str = "# started ";
/// The renewer discards an older order, whatever prevents its completion.
const PENDING_ORDER_AGE_MAX: Duration = Duration::from_hours(24);

/// Writes a file of the state directory as a whole, for the owner only; creates the directory.
pub(crate) fn write_state_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    create_parent_directory(path)?;
    write_atomic(path, bytes, 0o600).with_context(|| format!("{} cannot be written", path.display()))
}

/// Returns the text after `header` in the first line that starts with it.
fn find_header<'t>(text: &'t str, header: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(header))
}

/// Returns whether the configured authority issued the current certificate.
#[must_use]
pub fn is_issued_by_authority(settings: &AcmeSettings) -> bool {
    let text = fs::read_to_string(settings.certificate_path()).unwrap_or_default();
    find_header(&text, AUTHORITY_HEADER) == Some(settings.directory_url.as_str())
}

/// Returns the current certificate if this authority issued it for these names; `None` if there is none yet.
#[must_use]
pub fn read_current_certificate(settings: &AcmeSettings) -> Option<CertificateInfo> {
    let files = certificates::CertificateFiles::from_single_file(settings.certificate_path());
    let info = expiry::read_certificate_info(&files).ok()?;
    (is_issued_by_authority(settings) && settings.check_certificate(&info).is_ok()).then_some(info)
}

/// Returns the identifier of the current certificate at the authority (RFC 9773, 4.1).
pub(crate) fn read_certificate_id(settings: &AcmeSettings) -> Option<CertificateIdentifier<'static>> {
    let chain = certificates::read_certificate_chain(&settings.certificate_path()).ok()?;
    CertificateIdentifier::try_from(chain.first()?).ok().map(CertificateIdentifier::into_owned)
}

/// A new certificate beside the current one. Its file is removed on drop, unless it replaced the current one.
pub(crate) struct CertificateCandidate {
    pub path: PathBuf,
    target: PathBuf,
}

impl CertificateCandidate {
    pub fn write(settings: &AcmeSettings, pem: &str) -> anyhow::Result<Self> {
        let candidate =
            Self { path: settings.state_directory.join("certificate.new"), target: settings.certificate_path() };
        write_state_file(&candidate.path, format!("{AUTHORITY_HEADER}{}\n{pem}", settings.directory_url).as_bytes())?;
        Ok(candidate)
    }

    /// Replaces the current certificate.
    pub fn install(self) -> anyhow::Result<()> {
        rename_and_sync(&self.path, &self.target)
            .with_context(|| format!("{} cannot be written", self.target.display()))
    }
}

impl Drop for CertificateCandidate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A started order: its URL, and the key of its certificate.
///
/// An issued certificate counts against the authority's limits, so the renewer resumes the order instead of starting
/// another.
pub(crate) struct PendingOrder {
    pub order_url: String,
    pub started_at: Timestamp,
    pub key: rcgen::KeyPair,
}

fn pending_order_path(settings: &AcmeSettings) -> PathBuf {
    settings.state_directory.join("pending.pem")
}

/// Returns the order that was started for these names at this authority in the last 24 hours.
pub(crate) fn load_pending_order(settings: &AcmeSettings, now: Timestamp) -> Option<PendingOrder> {
    let text = fs::read_to_string(pending_order_path(settings)).ok()?;
    let is_same = find_header(&text, AUTHORITY_HEADER)? == settings.directory_url
        && find_header(&text, NAMES_HEADER)? == settings.sorted_names().join(" ");
    let order_url = find_header(&text, ORDER_HEADER)?.to_owned();
    let started_at: Timestamp = find_header(&text, STARTED_HEADER)?.parse().ok()?;
    // A clock that was set since may make it look younger than now.
    let is_recent = started_at <= add_duration(now, PENDING_ORDER_AGE_MAX)
        && now <= add_duration(started_at, PENDING_ORDER_AGE_MAX);
    let pem = &text[text.find("-----BEGIN")?..];
    let key = rcgen::KeyPair::from_pem(pem).ok()?;
    (is_same && is_recent).then_some(PendingOrder { order_url, started_at, key })
}

pub(crate) fn save_pending_order(settings: &AcmeSettings, pending: &PendingOrder) -> anyhow::Result<()> {
    let text = format!(
        "{AUTHORITY_HEADER}{}\n{ORDER_HEADER}{}\n{STARTED_HEADER}{}\n{NAMES_HEADER}{}\n{}",
        settings.directory_url,
        pending.order_url,
        clock::format_timestamp(pending.started_at),
        settings.sorted_names().join(" "),
        pending.key.serialize_pem()
    );
    write_state_file(&pending_order_path(settings), text.as_bytes())
}

pub(crate) fn delete_pending_order(settings: &AcmeSettings) {
    let _ = fs::remove_file(pending_order_path(settings));
}
