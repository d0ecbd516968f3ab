//! The files of the certificate: what serves, and an order that was not finished. Who gave it stands above the PEM, where PEM allows
//! any text, so that it is written and replaced with it.

use super::Settings;
use crate::clock::{self, Timestamp, after};
use crate::server::expiry::{self, Validity};
use crate::server::tls;
use anyhow::Context;
use instant_acme::CertificateIdentifier;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const BY: &str = "# got by novex-ingest from ";
const ORDER: &str = "# order ";
const NAMES: &str = "# names ";
const BEGUN: &str = "# begun ";
/// An order that is older is not gone on with, whatever keeps it from its end.
const TOO_OLD: Duration = Duration::from_hours(24);

/// The rest of the first line that begins so.
fn line<'t>(text: &'t str, begin: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(begin))
}

/// Whether the certificate that is there was given by the authority that is configured now.
#[must_use]
pub fn is_from(settings: &Settings) -> bool {
    let text = fs::read_to_string(settings.certificate()).unwrap_or_default();
    line(&text, BY) == Some(settings.directory.as_str())
}

/// The certificate that was got, if it is by this authority and for these names; `None` when there is none yet.
#[must_use]
pub fn current(settings: &Settings) -> Option<Validity> {
    let there = expiry::read(&tls::Files::one(settings.certificate())).ok()?;
    (is_from(settings) && settings.fits(&there).is_ok()).then_some(there)
}

/// By what the authority knows the certificate that is there (RFC 9773, 4.1).
pub(super) fn identifier(settings: &Settings) -> Option<CertificateIdentifier<'static>> {
    let chain = tls::certificates(&settings.certificate()).ok()?;
    CertificateIdentifier::try_from(chain.first()?).ok().map(CertificateIdentifier::into_owned)
}

/// A new pair beside the one that serves; removed when it goes, unless it took its place.
pub(super) struct Candidate {
    pub path: PathBuf,
    place: PathBuf,
}

impl Candidate {
    pub fn write(settings: &Settings, pem: &str) -> anyhow::Result<Self> {
        let candidate = Self { path: settings.folder.join("certificate.new"), place: settings.certificate() };
        tls::write_whole(&candidate.path, format!("{BY}{}\n{pem}", settings.directory).as_bytes(), 0o600)?;
        Ok(candidate)
    }

    pub fn rename(self) -> anyhow::Result<()> {
        fs::rename(&self.path, &self.place).with_context(|| format!("{} cannot be written", self.place.display()))
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// An order that was begun: where it is, and the key that its certificate is for. What was issued counts at the authority, so it is
/// fetched rather than asked for again.
pub(super) struct Pending {
    pub order: String,
    pub begun: Timestamp,
    pub key: rcgen::KeyPair,
}

fn pending_file(settings: &Settings) -> PathBuf {
    settings.folder.join("pending.pem")
}

/// The order that was begun for these names at this authority, not long ago.
pub(super) fn pending(settings: &Settings, now: Timestamp) -> Option<Pending> {
    let text = fs::read_to_string(pending_file(settings)).ok()?;
    let is_same = line(&text, BY)? == settings.directory && line(&text, NAMES)? == settings.sorted_names().join(" ");
    let order = line(&text, ORDER)?.to_owned();
    let begun: Timestamp = line(&text, BEGUN)?.parse().ok()?;
    let is_young = begun <= after(now, TOO_OLD) && now <= after(begun, TOO_OLD);
    let pem = &text[text.find("-----BEGIN")?..];
    (is_same && is_young).then_some(Pending { order, begun, key: rcgen::KeyPair::from_pem(pem).ok()? })
}

pub(super) fn keep_pending(settings: &Settings, pending: &Pending) -> anyhow::Result<()> {
    let text = format!(
        "{BY}{}\n{ORDER}{}\n{BEGUN}{}\n{NAMES}{}\n{}",
        settings.directory,
        pending.order,
        clock::text(pending.begun),
        settings.sorted_names().join(" "),
        pending.key.serialize_pem()
    );
    tls::write_whole(&pending_file(settings), text.as_bytes(), 0o600)
}

pub(super) fn drop_pending(settings: &Settings) {
    let _ = fs::remove_file(pending_file(settings));
}
