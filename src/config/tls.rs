//! `[tls]`: files, or a certificate that the daemon gets and renews itself.

use super::reader::Table;
use crate::acme::{LETS_ENCRYPT, Settings};
use crate::secret::Secret;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Most names of one certificate that every authority takes.
const NAMES_MAX: usize = 25;

/// The certificate: files, one that is got by ACME, or a self-signed pair in the state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    Files { certificate: PathBuf, private_key: PathBuf },
    Acme(Settings),
    SelfSigned { directory: PathBuf },
}

/// `state`: the directory that the daemon may write to.
pub(super) fn read(
    mut table: Table<'_>,
    state: &Path,
    secrets: impl FnOnce(&mut Table<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Tls {
    let mut named = |key| table.text(key).map(|text| file(&text.value));
    let (certificate, private_key) = (named("certificate"), named("private_key"));
    let directory = state.join("tls");
    let acme = acme(table.table("acme"), &directory, secrets, &file);
    if acme.is_some() && (certificate.is_some() || private_key.is_some()) {
        table.mistake("has both files and [tls.acme]", "Keep one of them.");
    }
    let tls = match (certificate, private_key) {
        (Some(certificate), Some(private_key)) => Tls::Files { certificate, private_key },
        (None, None) => acme.map_or(Tls::SelfSigned { directory }, Tls::Acme),
        _ => {
            let mend = "Name both files, or neither for a self-signed pair.";
            table.mistake("has only one of certificate and private_key", mend);
            Tls::SelfSigned { directory }
        }
    };
    table.end();
    tls
}

fn acme(
    mut table: Table<'_>,
    directory: &Path,
    secrets: impl FnOnce(&mut Table<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<Settings> {
    if !table.present() {
        table.end();
        return None;
    }
    let mut names = Vec::new();
    for name in table.texts("names") {
        let lower = name.value.to_ascii_lowercase();
        if let Some((problem, mend)) = wrong_name(&lower) {
            table.mistake_at(&name, format!("{:?} {problem}", name.value), mend);
        } else if names.contains(&lower) {
            table.mistake_at(&name, format!("{lower} is there twice"), "Name it once.");
        } else {
            names.push(lower);
        }
    }
    if names.len() > NAMES_MAX {
        table.mistake(format!("has {} names", names.len()), format!("Name at most {NAMES_MAX}."));
    }
    let email = table.text("email").and_then(|email| {
        let fits = email.value.split_once('@').is_some_and(|(one, other)| !one.is_empty() && other.contains('.'))
            && !email.value.contains([' ', ',', '?', ':']);
        if !fits {
            table.mistake_at(&email, format!("{:?} is no e-mail address", email.value), "Write name@example.com.");
        }
        fits.then_some(email.value)
    });
    let url = table.text("directory").map_or_else(
        || LETS_ENCRYPT.to_owned(),
        |url| {
            if !is_directory(&url.value) {
                let mend = "Write the whole https:// address of the authority's directory.";
                table.mistake_at(&url, format!("{:?} is no directory's address", url.value), mend);
            }
            url.value
        },
    );
    let ca_file = table.text("ca_file").map(|text| file(&text.value));
    let key_id = table.text("key_id").map(|id| id.value);
    let key = if table.has("secrets") { Some(secrets(&mut table)) } else { None };
    if key_id.is_some() != key.is_some() {
        table.mistake("has only one of key_id and secrets", "The authority gives out both together.");
    }
    if !table.flag("terms_agreed", false) {
        table.mistake(
            "does not say that the authority's terms are agreed to",
            "Read them (Let's Encrypt: https://letsencrypt.org/repository/) and write terms_agreed = true.",
        );
    }
    if names.is_empty() {
        table.mistake("has no names", "Add names = [\"hooks.example.com\"]: by what the providers reach this box.");
    }
    table.end();
    let key = key.and_then(|keys| keys.into_iter().next());
    Some(Settings { names, email, directory: url, ca_file, binding: key_id.zip(key), folder: directory.join("acme") })
}

fn wrong_name(name: &str) -> Option<(&'static str, &'static str)> {
    if name.starts_with("*.") {
        return Some(("stands for many names", "Name each one: TLS-ALPN-01 proves single names."));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Some(("is an address", "Name the box: it needs a name in the DNS."));
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
        "is no name in the DNS",
        "Write it as hooks.example.com, without https:// and port, letters of other languages as xn--….",
    ))
}

/// HTTPS, or plain HTTP that does not leave the box.
fn is_directory(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| match url.scheme() {
        "https" => url.has_host(),
        "http" => matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    })
}
