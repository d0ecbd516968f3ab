//! The self-signed certificate that the daemon uses until there is a real one.

use crate::files::{create_parent_directory, write_atomic};
use anyhow::Context;
use std::fs;
use std::path::Path;
use tracing::info;

/// Validity of the certificate after the current year.
const VALIDITY_YEARS: i32 = 10;

/// Returns the names and addresses by which this machine reaches itself.
pub(crate) fn list_local_names() -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) && !names.contains(&host) {
        names.push(host);
    }
    names
}

/// Creates a certificate and its key, unless the certificate file exists. Both may be the same file.
pub(crate) fn create_self_signed_certificate(
    names: Vec<String>,
    certificate_path: &Path,
    private_key_path: &Path,
) -> anyhow::Result<()> {
    let directory = fs::File::open(create_parent_directory(certificate_path)?)?;
    // Processes that start at the same time wait here for each other; the second one finds the certificate.
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)?;
    if certificate_path.exists() {
        return Ok(());
    }
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "novex-ingest, self-signed");
    // As tools expect of a server's certificate: it signs no other one (RFC 5280, section 4.2.1).
    parameters.is_ca = rcgen::IsCa::ExplicitNoCa;
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    let year = i32::from(crate::clock::Clock::system().now().to_zoned_datetime(jiff::tz::TimeZone::UTC).year());
    parameters.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(year + VALIDITY_YEARS, 1, 1);
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let write = |path: &Path, pem: String, bits: u32| {
        write_atomic(path, pem.as_bytes(), bits).with_context(|| format!("{} cannot be written", path.display()))
    };
    if certificate_path == private_key_path {
        write(certificate_path, key.serialize_pem() + &certificate.pem(), 0o600)?;
    } else {
        // The key first: a process that finds the certificate finds its key too.
        write(private_key_path, key.serialize_pem(), 0o600)?;
        write(certificate_path, certificate.pem(), 0o644)?;
    }
    info!("created the self-signed certificate {}", certificate_path.display());
    Ok(())
}
