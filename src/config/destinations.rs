//! `[[destinations]]`: where events are handed on to.

use super::reader::{At, Table};
use super::sps::Outgoing;
use crate::destinations::{Breaker, Kind, Settings};
use crate::secret::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// The name of `sps.outgoing` among the destinations.
const OUTGOING: &str = "sps-outgoing";

/// `sps.outgoing` as a destination: the same deliveries, attempts and log.
pub(super) fn outgoing(to: &Outgoing, max_attempts: u32) -> Settings {
    let kind = match to {
        Outgoing::Directory(path) => Kind::Outgoing { path: path.clone() },
        Outgoing::Source(source) => Kind::Upload { source: source.clone() },
    };
    Settings {
        name: OUTGOING.to_owned(),
        kind,
        topics: vec!["sps:send/*".to_owned()],
        timeout: 30 * SECOND,
        max_attempts,
        concurrency: 1,
        per_second: 100,
        breaker: Breaker { failures: 5, rest: 15 * SECOND, rest_max: 300 * SECOND },
    }
}

/// Reads one destination. `others`: the names that are taken; `file`: makes a path absolute; `secrets`: reads the key
/// `secrets`.
pub(super) fn read(
    table: &mut Table<'_>,
    others: &[Settings],
    max_attempts: u32,
    file: impl Fn(&str) -> PathBuf,
    secrets: impl FnOnce(&mut Table<'_>) -> Vec<Secret>,
) -> Option<Settings> {
    let name = name(table, others);
    let kind = kind(table, file, secrets);
    let topics = topics(table);
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let settings = Settings {
        name: name.unwrap_or_default(),
        kind: kind?,
        topics,
        timeout: table.duration("timeout", 30 * SECOND, SECOND / 10..=HOUR),
        max_attempts: small(table.number("max_attempts", max_attempts.into(), 1..=100)),
        concurrency: small(table.number("concurrency", 4, 1..=256)),
        per_second: small(table.number("per_second", 20, 1..=10_000)),
        breaker: Breaker {
            failures: small(table.number("breaker_failures", 5, 1..=1000)),
            rest: table.duration("breaker_rest", 15 * SECOND, SECOND / 100..=HOUR),
            rest_max: table.duration("breaker_rest_max", 300 * SECOND, SECOND / 100..=24 * HOUR),
        },
    };
    Some(settings)
}

fn name(table: &mut Table<'_>, others: &[Settings]) -> Option<String> {
    let Some(name) = table.text("name") else {
        table.mistake("has no name", "Add name = \"erp\": it tells its deliveries from others', so keep it.");
        return None;
    };
    let fits = !name.value.is_empty()
        && name.value.len() <= 64
        && name.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fits {
        table.mistake_at(&name, "is no name", "Use up to 64 letters, digits, dots, dashes and underscores.");
    } else if others.iter().any(|other| other.name == name.value) || name.value == OUTGOING {
        table.mistake_at(&name, format!("{:?} is there twice", name.value), "Give each destination its own name.");
    }
    Some(name.value)
}

fn kind(
    table: &mut Table<'_>,
    file: impl Fn(&str) -> PathBuf,
    secrets: impl FnOnce(&mut Table<'_>) -> Vec<Secret>,
) -> Option<Kind> {
    let Some(kind) = table.text("type") else {
        table.mistake("has no type", "Add type = \"http\", \"command\" or \"directory\".");
        return None;
    };
    match kind.value.as_str() {
        "http" => {
            let url = table.text("url");
            let path = |key: &str, table: &mut Table<'_>| table.text(key).map(|path| file(&path.value));
            let (ca, certificate, key) =
                (path("ca", table), path("client_certificate", table), path("client_key", table));
            let client = match (certificate, key) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                (None, None) => None,
                _ => {
                    table.mistake(
                        "has only one of client_certificate and client_key",
                        "Name both files, or neither where the other side asks for none.",
                    );
                    None
                }
            };
            let secrets = secrets(table);
            let Some(url) = url else {
                table.mistake("has no url", "Add url = \"https://erp.lan/hooks/novex\".");
                return None;
            };
            wrong_url(table, &url);
            Some(Kind::Http { url: url.value, secrets, ca, client })
        }
        "command" => {
            let words = table.texts("command");
            let Some((program, arguments)) = words.split_first() else {
                table.mistake("has no command", "Add command = [\"/usr/local/bin/import\", \"--json\"].");
                return None;
            };
            if !Path::new(&program.value).is_absolute() {
                table.mistake_at(program, "is no absolute path", "Write the program's whole path, from / on.");
            }
            let arguments = arguments.iter().map(|word| word.value.clone()).collect();
            Some(Kind::Command { program: PathBuf::from(&program.value), arguments })
        }
        "directory" => {
            let Some(path) = table.text("path") else {
                table.mistake("has no path", "Add path = \"/srv/erp/in\".");
                return None;
            };
            Some(Kind::Directory { path: file(&path.value) })
        }
        other => {
            let problem = format!("{other:?} is not known");
            table.mistake_at(&kind, problem, "Use \"http\", \"command\" or \"directory\".");
            None
        }
    }
}

fn wrong_url(table: &Table<'_>, url: &At<String>) {
    let wrong = match reqwest::Url::parse(&url.value) {
        Ok(parsed) => !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none(),
        Err(_) => true,
    };
    if wrong {
        table.mistake_at(
            url,
            "is no address",
            "Write it whole: https://HOST/PATH, or http:// inside a trusted network.",
        );
    }
}

fn topics(table: &mut Table<'_>) -> Vec<String> {
    let topics = table.texts("topics");
    if topics.is_empty() {
        table.mistake("has no topics", "Add topics = [\"shopify:orders/*\"], or [\"*\"] for everything.");
    }
    for topic in topics.iter().filter(|topic| topic.value != "*" && !topic.value.contains(':')) {
        let mend = "Write SOURCE:TOPIC, such as \"shopify:orders/*\" or \"easypost:*\".";
        table.mistake_at(topic, format!("{:?} names no source", topic.value), mend);
    }
    topics.into_iter().map(|topic| topic.value).collect()
}
