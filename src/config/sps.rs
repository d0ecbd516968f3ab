//! `[sps]`: the EDI sources to poll, and where outbound documents go.

use crate::config::reader::{ConfigTable, Located};
use crate::edi::outbound::partner_rules::{FactKind, PartnerRules, SsccForm, check_fact};
use crate::secret::Secret;
use crate::transfer::sftp::is_host_key;
use crate::transfer::source::{
    AfterDownload, HostKeyPolicy, SftpSettings, SourceLocation, SourceSettings, SpsApiSettings,
};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Settings of `[sps]`.
#[derive(Debug, Clone)]
pub struct SpsSettings {
    /// Bearer tokens of `POST /api/sps/poll`.
    pub secrets: Vec<Secret>,
    /// Interval of polls; `None`: the daemon polls only on request.
    pub interval: Option<Duration>,
    pub sources: Vec<SourceSettings>,
    /// Time in which a partner answers a document; `None`: no document is overdue.
    pub acknowledgement_timeout: Option<Duration>,
    /// Where outbound documents go; `None`: the daemon creates none.
    pub outbound: Option<OutboundTarget>,
    /// Demands of the partners, by partner.
    pub partners: HashMap<String, PartnerRules>,
}

/// A directory of this machine, or one at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundTarget {
    Directory(PathBuf),
    /// The source, with the outbound directory instead of its own.
    Source(Box<SourceSettings>),
}

impl OutboundTarget {
    fn is_polled_by(&self, source: &SourceSettings) -> bool {
        let target = match self {
            Self::Directory(directory) => {
                return matches!(&source.location, SourceLocation::Local { path } if path == directory);
            }
            Self::Source(target) => target,
        };
        target.name == source.name
            && target.directory().trim_end_matches('/') == source.directory().trim_end_matches('/')
    }
}

/// Secrets of a source, and whether it has the key: a command that needs no secrets does not load them.
pub(crate) struct SourceSecrets {
    pub secrets: Vec<Secret>,
    pub is_configured: bool,
}

/// Reads the section. `file` makes a path absolute. `secrets` reads the key `secrets` of a table; its flag is true if
/// deliveries need the secrets.
pub(crate) fn read_sps_section(
    mut table: ConfigTable<'_>,
    mut secrets: impl FnMut(&mut ConfigTable<'_>, bool) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<SpsSettings> {
    if !table.is_present() {
        table.finish();
        return None;
    }
    let poll_secrets = if table.has_key("secrets") { secrets(&mut table, false) } else { Vec::new() };
    let interval = table.read_duration("interval", 600 * SECOND, Duration::ZERO..=24 * HOUR);
    let outgoing = table.read_text("outgoing");
    let answer_timeout = table.read_duration("acknowledgement_timeout", 24 * HOUR, Duration::ZERO..=720 * HOUR);
    let max_file_bytes = table.read_number("max_file_bytes", 16 << 20, 1..=1 << 30);
    let mut sources: Vec<SourceSettings> = Vec::new();
    for mut entry in table.read_tables("sources") {
        let name = read_source_name(&mut entry, &sources);
        let is_for_delivery = match (&name, &outgoing) {
            (Some(name), Some(outgoing)) => {
                outgoing.value.strip_prefix(name.as_str()).is_some_and(|path| path.starts_with(':'))
            }
            _ => false,
        };
        let source = read_source(&mut entry, name, |entry| secrets(entry, is_for_delivery), max_file_bytes, &file);
        sources.extend(source);
        entry.finish();
    }
    let partners = read_partners(&mut table);
    let outbound = outgoing.and_then(|text| {
        let target = read_outbound_target(&table, &text, &sources, &file)?;
        if sources.iter().any(|source| target.is_polled_by(source)) {
            let hint = "Name another directory: the daemon would import its own documents, and they would not reach \
                        the partner.";
            table.report_error_at(&text, "is a directory that the daemon polls", hint);
        }
        Some(target)
    });
    table.finish();
    Some(SpsSettings {
        secrets: poll_secrets,
        interval: (!interval.is_zero()).then_some(interval),
        sources,
        acknowledgement_timeout: (!answer_timeout.is_zero()).then_some(answer_timeout),
        outbound,
        partners,
    })
}

fn read_partners(table: &mut ConfigTable<'_>) -> HashMap<String, PartnerRules> {
    let mut partners = HashMap::new();
    for mut entry in table.read_tables("partners") {
        let id = entry.read_text("id");
        let sscc_form = match entry.read_number("sscc_digits", 20, 18..=20) {
            18 => SsccForm::Digits18,
            19 => {
                let hint = "Set sscc_digits to 18, or to 20 with the application identifier 00 in front.";
                entry.report_error("has sscc_digits = 19, which no label has", hint);
                SsccForm::default()
            }
            _ => SsccForm::Digits20,
        };
        let rules = PartnerRules {
            sscc_form,
            invoice_requires: read_facts(&mut entry, "invoice_requires", FactKind::Invoice),
            ship_notice_requires: read_facts(&mut entry, "ship_notice_requires", FactKind::ShipNotice),
        };
        match id {
            None => {
                let hint = "Add id = \"ACMERETAIL\", the partner as novex-ingest sps list shows it.";
                entry.report_error("has no id", hint);
            }
            Some(id) if partners.contains_key(&id.value) => {
                let message = format!("{:?} appears twice", id.value);
                entry.report_error_at(&id, message, "Put all settings of a partner into one entry.");
            }
            Some(id) => {
                partners.insert(id.value, rules);
            }
        }
        entry.finish();
    }
    partners
}

/// Reads the names of facts that a partner requires.
fn read_facts(entry: &mut ConfigTable<'_>, key: &str, kind: FactKind) -> Vec<String> {
    let names = entry.read_texts(key);
    for name in &names {
        if let Err(hint) = check_fact(kind, &name.value) {
            entry.report_error_at(name, format!("{:?} is no fact", name.value), hint);
        }
    }
    names.into_iter().map(|name| name.value).collect()
}

fn read_source_name(entry: &mut ConfigTable<'_>, others: &[SourceSettings]) -> Option<String> {
    let Some(name) = entry.read_text("name") else {
        let hint = "Add name = \"acme\". Imported files are stored under the name, so do not change it later.";
        entry.report_error("has no name", hint);
        return None;
    };
    if others.iter().any(|other| other.name == name.value) {
        let message = format!("{:?} appears twice", name.value);
        entry.report_error_at(&name, message, "Give each source its own name.");
    }
    Some(name.value)
}

fn read_source(
    entry: &mut ConfigTable<'_>,
    name: Option<String>,
    secrets: impl FnOnce(&mut ConfigTable<'_>) -> Vec<Secret>,
    max_file_bytes: u64,
    file: &impl Fn(&str) -> PathBuf,
) -> Option<SourceSettings> {
    let url = entry.read_text("url");
    let is_configured = entry.has_key("secrets");
    let secrets = if is_configured { secrets(entry) } else { Vec::new() };
    let host_key = entry.read_text("host_key");
    let stated = entry.read_text("after");
    let is_api = url.as_ref().is_some_and(|url| url.value.starts_with("http"));
    let after_download = read_after_action(entry, stated, is_api);
    let settle_time = entry.read_duration("settle", 5 * SECOND, Duration::ZERO..=HOUR);
    let timeout = entry.read_duration("timeout", 120 * SECOND, SECOND / 10..=HOUR);
    let Some(url) = url else {
        entry.report_error("has no url", "Add url = \"sftp://USER@HOST:22/out\" or \"file:///srv/sps/in\".");
        return None;
    };
    let location = read_source_location(entry, &url, SourceSecrets { secrets, is_configured }, host_key, file)?;
    Some(SourceSettings { name: name?, location, after_download, max_file_bytes, settle_time, timeout })
}

/// Reads `/srv/sps/out`, or `acme:/in`: a directory at a source.
fn read_outbound_target(
    table: &ConfigTable<'_>,
    text: &Located<String>,
    sources: &[SourceSettings],
    file: &impl Fn(&str) -> PathBuf,
) -> Option<OutboundTarget> {
    let Some((name, path)) = text.value.split_once(':') else {
        return Some(OutboundTarget::Directory(file(&text.value)));
    };
    let Some(source) = sources.iter().find(|source| source.name == name) else {
        let hint = "Write a directory of this machine, or NAME:/DIRECTORY with the name of one of [[sps.sources]].";
        table.report_error_at(text, format!("names the source {name:?}, which does not exist"), hint);
        return None;
    };
    let mut source = source.clone();
    if path.trim_matches('/').is_empty() {
        table.report_error_at(text, "names no directory at the source", "Write NAME:/DIRECTORY, such as \"acme:/in\".");
        return None;
    }
    match &mut source.location {
        SourceLocation::Local { .. } => return Some(OutboundTarget::Directory(file(path))),
        SourceLocation::Sftp(sftp) => {
            if sftp.host_key == HostKeyPolicy::TrustOnFirstUse {
                let hint =
                    "Set host_key of the source to the key of its server; sps_sources has the key of the first poll.";
                table.report_error_at(text, "would send invoices to a server whose key is not pinned", hint);
            }
            path.clone_into(&mut sftp.path);
        }
        // Beside the polled directory: …/data/out and …/data/in.
        SourceLocation::SpsApi(api) => {
            let base = api.url.trim_end_matches('/').rsplit_once('/').map_or("", |(base, _)| base);
            api.url = format!("{base}/{}", path.trim_matches('/'));
        }
    }
    Some(OutboundTarget::Source(Box::new(source)))
}

fn read_after_action(table: &ConfigTable<'_>, stated: Option<Located<String>>, is_api: bool) -> AfterDownload {
    let Some(after) = stated else { return if is_api { AfterDownload::Delete } else { AfterDownload::Archive } };
    match after.value.as_str() {
        "archive" if is_api => {
            table.report_error_at(&after, "is not possible at the API", "Use \"delete\", as SPS asks, or \"leave\".");
            AfterDownload::Leave
        }
        "archive" => AfterDownload::Archive,
        "delete" => AfterDownload::Delete,
        "leave" => AfterDownload::Leave,
        other => {
            let hint = "Use \"archive\", \"delete\" or \"leave\".";
            table.report_error_at(&after, format!("{other:?} is not a valid value"), hint);
            AfterDownload::Leave
        }
    }
}

/// Reads the location of a source from its URL and the keys that the URL's scheme needs.
pub(crate) fn read_source_location(
    table: &mut ConfigTable<'_>,
    url: &Located<String>,
    secrets: SourceSecrets,
    host_key: Option<Located<String>>,
    file: &impl Fn(&str) -> PathBuf,
) -> Option<SourceLocation> {
    // Keys of the API only. Every source may have them: the shipped file lists them in one entry.
    let mut text = |name: &str| table.read_text(name).map(|text| text.value);
    let api_keys = ApiKeys { client_id: text("client_id"), token_url: text("token_url"), audience: text("audience") };
    let Ok(parsed) = Url::parse(&url.value) else {
        table.report_error_at(url, "is not a URL", "Write sftp://USER@HOST:22/out or file:///srv/sps/in.");
        return None;
    };
    match parsed.scheme() {
        "file" => {
            if parsed.host_str().is_some_and(|host| !host.is_empty()) {
                let hint = "A directory of this machine has three slashes: file:///srv/sps/in.";
                table.report_error_at(url, "names a host", hint);
            }
            Some(SourceLocation::Local { path: file(&decode_path(&parsed)) })
        }
        "sftp" => Some(SourceLocation::Sftp(read_sftp_location(table, url, &parsed, secrets, host_key))),
        "https" | "http" => Some(SourceLocation::SpsApi(read_api_location(table, url, &parsed, secrets, api_keys))),
        other => {
            let hint = "Use sftp://, https:// or file://.";
            table.report_error_at(url, format!("{other}:// is not supported"), hint);
            None
        }
    }
}

fn decode_path(url: &Url) -> String {
    percent_decode_str(url.path()).decode_utf8_lossy().into_owned()
}

fn read_sftp_location(
    table: &ConfigTable<'_>,
    url: &Located<String>,
    parsed: &Url,
    secrets: SourceSecrets,
    host_key: Option<Located<String>>,
) -> SftpSettings {
    let host = parsed.host_str().unwrap_or_default().to_owned();
    if host.is_empty() || parsed.username().is_empty() {
        table.report_error_at(url, "names no user or no host", "Write sftp://USER@HOST:22/out.");
    }
    if parsed.password().is_some() {
        let hint = "Put the password into a file of its own and name the file in secrets.";
        table.report_error_at(url, "contains a password, which every reader of this file sees", hint);
    }
    if !secrets.is_configured {
        let hint = "Add secrets = [\"file:/etc/novex-ingest/secrets/sps-acme\"]: a password or a private key.";
        table.report_error("has no secrets", hint);
    }
    let host_key = match host_key {
        Some(key) if key.value == "first-use" => HostKeyPolicy::TrustOnFirstUse,
        Some(key) => {
            if !is_host_key(&key.value) {
                let hint = "Write it as `ssh-keyscan HOST` prints it, without the host: \"ssh-ed25519 AAAA…\".";
                table.report_error_at(&key, "is not a host key", hint);
            }
            HostKeyPolicy::Pinned(key.value)
        }
        None => {
            let hint = "Add host_key = \"ssh-ed25519 AAAA…\" with the key from the server's operator, or host_key = \
                        \"first-use\" to trust the key of the first connection.";
            table.report_error("has no host_key: any machine could pretend to be this server", hint);
            HostKeyPolicy::TrustOnFirstUse
        }
    };
    let path = decode_path(parsed);
    SftpSettings {
        host,
        port: parsed.port().unwrap_or(22),
        user: percent_decode_str(parsed.username()).decode_utf8_lossy().into_owned(),
        path: if path.is_empty() { "/".to_owned() } else { path },
        secrets: secrets.secrets,
        host_key,
    }
}

/// Keys that only a source at SPS's API has.
struct ApiKeys {
    client_id: Option<String>,
    token_url: Option<String>,
    audience: Option<String>,
}

fn read_api_location(
    table: &ConfigTable<'_>,
    url: &Located<String>,
    parsed: &Url,
    secrets: SourceSecrets,
    keys: ApiKeys,
) -> SpsApiSettings {
    let is_loopback = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost"));
    if parsed.scheme() == "http" && !is_loopback {
        table.report_error_at(url, "is not encrypted: others on the network can read the secret", "Write https://.");
    }
    if keys.client_id.is_none() || !secrets.is_configured {
        let hint = "Add client_id = \"…\" and secrets = [\"file:…\"], which SPS issues for a machine-to-machine app.";
        table.report_error("has no client_id or no secrets", hint);
    }
    SpsApiSettings {
        url: url.value.clone(),
        client_id: keys.client_id.unwrap_or_default(),
        secrets: secrets.secrets,
        token_url: keys.token_url.unwrap_or_else(|| "https://auth.spscommerce.com/oauth/token".to_owned()),
        audience: keys.audience.unwrap_or_else(|| "https://spscommerce.com".to_owned()),
        token: Arc::default(),
    }
}
