//! `[sps]`: sources that are polled for EDI files.

use super::reader::{At, Table};
use crate::secret::Secret;
use crate::sps::transport::sftp::is_host_key;
use crate::sps::{After, Api, HostKey, Place, Sftp, Source};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Everything of `[sps]`.
#[derive(Debug, Clone)]
pub struct Sps {
    /// The bearer of `POST /api/sps/poll`.
    pub secrets: Vec<Secret>,
    /// The daemon's own schedule; `None`: only when asked.
    pub interval: Option<Duration>,
    pub sources: Vec<Source>,
    /// Where EDI documents that go out are put; `None`: none are made.
    pub outgoing: Option<Outgoing>,
}

/// A directory of this box, or one at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    Directory(PathBuf),
    /// The source with that directory in place of its own.
    Source(Box<Source>),
}

impl Outgoing {
    fn is_polled_by(&self, source: &Source) -> bool {
        let Outgoing::Source(to) = self else {
            return matches!((self, &source.place), (Outgoing::Directory(out), Place::Files { path }) if out == path);
        };
        to.name == source.name && to.directory().trim_end_matches('/') == source.directory().trim_end_matches('/')
    }
}

/// Reads the section; `secrets` reads a table's secrets, if it has the key, and is told whether what goes out needs them.
pub(super) fn read(
    mut table: Table<'_>,
    mut secrets: impl FnMut(&mut Table<'_>, bool) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<Sps> {
    if !table.present() {
        table.end();
        return None;
    }
    let own = if table.has("secrets") { secrets(&mut table, false) } else { Vec::new() };
    let interval = table.duration("interval", 600 * SECOND, Duration::ZERO..=24 * HOUR);
    let outgoing = table.text("outgoing");
    let max_file_bytes = table.number("max_file_bytes", 16 << 20, 1..=1 << 30);
    let mut sources: Vec<Source> = Vec::new();
    for mut entry in table.tables("sources") {
        let name = entry.text("name");
        let url = entry.text("url");
        // A command that needs none of them does not load them.
        let has_secrets = entry.has("secrets");
        let delivers = match (&name, &outgoing) {
            (Some(name), Some(outgoing)) => {
                outgoing.value.strip_prefix(&name.value).is_some_and(|rest| rest.starts_with(':'))
            }
            _ => false,
        };
        let keys = if has_secrets { secrets(&mut entry, delivers) } else { Vec::new() };
        let host_key = entry.text("host_key");
        let stated = entry.text("after");
        let is_api = url.as_ref().is_some_and(|url| url.value.starts_with("http"));
        let after = after(&entry, stated, is_api);
        let (settle, timeout) = (
            entry.duration("settle", 5 * SECOND, Duration::ZERO..=HOUR),
            entry.duration("timeout", 120 * SECOND, SECOND / 10..=HOUR),
        );
        match &name {
            None => {
                entry.mistake("has no name", "Add name = \"acme\": what was taken is remembered under it, so keep it.");
            }
            Some(name) if sources.iter().any(|other| other.name == name.value) => {
                entry.mistake_at(name, format!("{:?} is there twice", name.value), "Give each source its own name.");
            }
            Some(_) => {}
        }
        let place = if let Some(url) = &url {
            place(&mut entry, url, (keys, has_secrets), host_key, &file)
        } else {
            entry.mistake("has no url", "Add url = \"sftp://USER@HOST:22/out\" or \"file:///srv/sps/in\".");
            None
        };
        if let (Some(name), Some(place)) = (name, place) {
            sources.push(Source { name: name.value, place, after, max_file_bytes, settle, timeout });
        }
        entry.end();
    }
    let outgoing = outgoing.and_then(|text| {
        let to = self::outgoing(&table, &text, &sources, &file)?;
        if sources.iter().any(|source| to.is_polled_by(source)) {
            let mend = "Name another directory: what is sent would be taken back in, and never reach the partner.";
            table.mistake_at(&text, "is a directory that is polled", mend);
        }
        Some(to)
    });
    table.end();
    Some(Sps { secrets: own, interval: (!interval.is_zero()).then_some(interval), sources, outgoing })
}

/// `/srv/sps/out`, or `acme:/in`: a directory at a source.
fn outgoing(
    table: &Table<'_>,
    text: &At<String>,
    sources: &[Source],
    file: &impl Fn(&str) -> PathBuf,
) -> Option<Outgoing> {
    let Some((name, path)) = text.value.split_once(':') else { return Some(Outgoing::Directory(file(&text.value))) };
    let Some(source) = sources.iter().find(|source| source.name == name) else {
        let mend = "Write a directory of this box, or NAME:/DIRECTORY with the name of one of [[sps.sources]].";
        table.mistake_at(text, format!("names the source {name:?}, which is not there"), mend);
        return None;
    };
    let mut source = source.clone();
    if path.trim_matches('/').is_empty() {
        table.mistake_at(text, "names no directory at the source", "Write NAME:/DIRECTORY, such as \"acme:/in\".");
        return None;
    }
    match &mut source.place {
        Place::Files { .. } => return Some(Outgoing::Directory(file(path))),
        Place::Sftp(sftp) => {
            if sftp.host_key == HostKey::FirstUse {
                let mend =
                    "Write the key of the source's server as its host_key: the first poll noted it in sps_sources.";
                table.mistake_at(text, "sends invoices to a server whose key is not pinned", mend);
            }
            path.clone_into(&mut sftp.path);
        }
        // Beside the directory that is polled: …/data/out and …/data/in.
        Place::Api(api) => {
            let base = api.url.trim_end_matches('/').rsplit_once('/').map_or("", |(base, _)| base);
            api.url = format!("{base}/{}", path.trim_matches('/'));
        }
    }
    Some(Outgoing::Source(Box::new(source)))
}

fn after(table: &Table<'_>, stated: Option<At<String>>, is_api: bool) -> After {
    let Some(after) = stated else { return if is_api { After::Delete } else { After::Archive } };
    match after.value.as_str() {
        "archive" if is_api => {
            table.mistake_at(&after, "is not possible at the API", "Use \"delete\", as SPS asks for, or \"leave\".");
            After::Leave
        }
        "archive" => After::Archive,
        "delete" => After::Delete,
        "leave" => After::Leave,
        other => {
            let mend = "Use \"archive\", \"delete\" or \"leave\".";
            table.mistake_at(&after, format!("{other:?} is not known"), mend);
            After::Leave
        }
    }
}

pub(super) fn place(
    table: &mut Table<'_>,
    url: &At<String>,
    (secrets, has_secrets): (Vec<Secret>, bool),
    host_key: Option<At<String>>,
    file: &impl Fn(&str) -> PathBuf,
) -> Option<Place> {
    // Of the API only; they stand in the shipped file beside another kind of source.
    let mut key = |name: &str| table.text(name).map(|text| text.value);
    let (client_id, token_url, audience) = (key("client_id"), key("token_url"), key("audience"));
    let text = |stated: Option<String>, default: &str| stated.unwrap_or_else(|| default.to_owned());
    let Ok(parsed) = reqwest::Url::parse(&url.value) else {
        table.mistake_at(url, "is no address", "Write sftp://USER@HOST:22/out or file:///srv/sps/in.");
        return None;
    };
    let path = percent_encoding::percent_decode_str(parsed.path()).decode_utf8_lossy().into_owned();
    match parsed.scheme() {
        "file" => {
            if parsed.host_str().is_some_and(|host| !host.is_empty()) {
                table.mistake_at(url, "names a host", "A directory of this box has three slashes: file:///srv/sps/in.");
            }
            Some(Place::Files { path: file(&path) })
        }
        "sftp" => {
            let host = parsed.host_str().unwrap_or_default().to_owned();
            if host.is_empty() || parsed.username().is_empty() {
                table.mistake_at(url, "names no user or no host", "Write sftp://USER@HOST:22/out.");
            }
            if parsed.password().is_some() {
                let mend = "Put it into a file of its own and name that in secrets.";
                table.mistake_at(url, "holds a password, which everybody sees who reads this file", mend);
            }
            if !has_secrets {
                let mend = "Add secrets = [\"file:/etc/novex-ingest/secrets/sps-acme\"]: a password or a private key.";
                table.mistake("has no secrets", mend);
            }
            let host_key = match host_key {
                Some(key) if key.value == "first-use" => HostKey::FirstUse,
                Some(key) => {
                    if !is_host_key(&key.value) {
                        let mend = "Write it as `ssh-keyscan HOST` shows it, without the host: \"ssh-ed25519 AAAA…\".";
                        table.mistake_at(&key, "is no host key", mend);
                    }
                    HostKey::Pinned(key.value)
                }
                None => {
                    let mend = "Add host_key = \"ssh-ed25519 AAAA…\" as the server's operator tells it, or host_key = \"first-use\" to \
                                trust the key that it shows first.";
                    table.mistake("has no host_key: anybody could pretend to be this server", mend);
                    HostKey::FirstUse
                }
            };
            let user = percent_encoding::percent_decode_str(parsed.username()).decode_utf8_lossy().into_owned();
            let path = if path.is_empty() { "/".to_owned() } else { path };
            Some(Place::Sftp(Sftp { host, port: parsed.port().unwrap_or(22), user, path, secrets, host_key }))
        }
        "https" | "http" => {
            let is_here = matches!(parsed.host_str(), Some("127.0.0.1" | "localhost"));
            if parsed.scheme() == "http" && !is_here {
                table.mistake_at(url, "is not encrypted: everybody on the way reads the secret", "Write https://.");
            }
            if client_id.is_none() || !has_secrets {
                let mend =
                    "Add client_id = \"…\" and secrets = [\"file:…\"], as SPS gives them for a machine-to-machine app.";
                table.mistake("has no client_id or no secrets", mend);
            }
            Some(Place::Api(Api {
                url: url.value.clone(),
                client_id: client_id.unwrap_or_default(),
                secrets,
                token_url: text(token_url, "https://auth.spscommerce.com/oauth/token"),
                audience: text(audience, "https://spscommerce.com"),
                token: Arc::default(),
            }))
        }
        other => {
            let mend = "Use sftp://, https:// or file://.";
            table.mistake_at(url, format!("{other}:// is not known"), mend);
            None
        }
    }
}
