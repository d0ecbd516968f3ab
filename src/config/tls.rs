//! `[tls]`: certificate files, or an ACME authority.

use crate::config::oidc::is_secure_url;
use crate::config::reader::ConfigTable;
use crate::secret::Secret;
use crate::tls::TlsSettings;
use crate::tls::acme::{AcmeSettings, LETS_ENCRYPT_DIRECTORY_URL};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Most names of one certificate that every authority accepts.
const CERTIFICATE_NAMES_MAX: usize = 25;

/// Reads `[tls]`. `state` is the directory that the daemon may write to; `file` makes a path absolute; `secrets` reads
/// the key `secrets`.
pub(crate) fn read_tls_section(
    mut table: ConfigTable<'_>,
    state: &Path,
    secrets: impl FnOnce(&mut ConfigTable<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> TlsSettings {
    let has_file = table.has_key("certificate") || table.has_key("private_key");
    let files = read_certificate_files(&mut table, &file);
    let directory = state.join("tls");
    let acme = read_acme_section(table.read_table("acme"), &directory, secrets, &file);
    if acme.is_some() && has_file {
        table.report_error("has both files and [tls.acme]", "Remove one of them.");
    }
    table.finish();
    files.or(acme.map(TlsSettings::Acme)).unwrap_or(TlsSettings::SelfSigned { directory })
}

/// Reads the files of a certificate and its key; None if the table has neither, or only one of them, which is an error.
pub(crate) fn read_certificate_files(
    table: &mut ConfigTable<'_>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<TlsSettings> {
    let mut named = |key| table.read_text(key).map(|text| file(&text.value));
    match (named("certificate"), named("private_key")) {
        (Some(certificate), Some(private_key)) => Some(TlsSettings::Files { certificate, private_key }),
        (None, None) => None,
        _ => {
            let hint = "Name both files, or neither for a self-signed certificate.";
            table.report_error("has only one of certificate and private_key", hint);
            None
        }
    }
}

fn read_acme_section(
    mut table: ConfigTable<'_>,
    directory: &Path,
    secrets: impl FnOnce(&mut ConfigTable<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<AcmeSettings> {
    if !table.is_present() {
        table.finish();
        return None;
    }
    let names = read_names(&mut table);
    let email = read_email(&mut table);
    let url = table.read_text("directory").map_or_else(
        || LETS_ENCRYPT_DIRECTORY_URL.to_owned(),
        |url| {
            if !is_secure_url(&url.value) {
                let hint = "Write the full https:// URL of the authority's directory.";
                table.report_error_at(&url, format!("{:?} is not the URL of a directory", url.value), hint);
            }
            url.value
        },
    );
    let ca_file = table.read_text("ca_file").map(|text| file(&text.value));
    let key_id = table.read_text("key_id").map(|id| id.value);
    let key = if table.has_key("secrets") { Some(secrets(&mut table)) } else { None };
    if key_id.is_some() != key.is_some() {
        table.report_error("has only one of key_id and secrets", "Set both: the authority issues them together.");
    }
    if !table.read_bool("terms_agreed", false) {
        table.report_error(
            "does not agree to the authority's terms",
            "Read them (Let's Encrypt: https://letsencrypt.org/repository/) and write terms_agreed = true.",
        );
    }
    if names.is_empty() {
        table.report_error(
            "has no names",
            "Add names = [\"hooks.example.com\"], the names by which providers reach this machine.",
        );
    }
    table.finish();
    let key = key.and_then(|keys| keys.into_iter().next());
    Some(AcmeSettings {
        names,
        email,
        directory_url: url,
        ca_file,
        external_account: key_id.zip(key),
        state_directory: directory.join("acme"),
    })
}

fn read_names(table: &mut ConfigTable<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for name in table.read_texts("names") {
        let lower = name.value.to_ascii_lowercase();
        if let Some((message, hint)) = check_dns_name(&lower) {
            table.report_error_at(&name, format!("{:?} {message}", name.value), hint);
        } else if names.contains(&lower) {
            table.report_error_at(&name, format!("{lower} appears twice"), "Name it once.");
        } else {
            names.push(lower);
        }
    }
    if names.len() > CERTIFICATE_NAMES_MAX {
        table.report_error(format!("has {} names", names.len()), format!("Name at most {CERTIFICATE_NAMES_MAX}."));
    }
    names
}

fn read_email(table: &mut ConfigTable<'_>) -> Option<String> {
    table.read_text("email").and_then(|email| {
        let fits = email.value.split_once('@').is_some_and(|(one, other)| !one.is_empty() && other.contains('.'))
            && !email.value.contains([' ', ',', '?', ':']);
        if !fits {
            table.report_error_at(
                &email,
                format!("{:?} is not an e-mail address", email.value),
                "Write it as name@example.com.",
            );
        }
        fits.then_some(email.value)
    })
}

fn check_dns_name(name: &str) -> Option<(&'static str, &'static str)> {
    if name.starts_with("*.") {
        return Some(("is a wildcard", "Name each one: TLS-ALPN-01 proves single names."));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Some(("is an IP address", "Write a DNS name that leads to this machine."));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() < 64
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let fits = name.len() < 254 && name.contains('.') && name.split('.').all(is_label);
    (!fits).then_some((
        "is not a DNS name",
        "Write it as hooks.example.com, without https:// and port; other letters than a to z as xn--….",
    ))
}
