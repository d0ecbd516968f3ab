//! `[[destinations]]`: where to deliver completed events.

use crate::backoff::BreakerSettings;
use crate::config::ConfigWarning;
use crate::config::reader::{ConfigTable, Located};
use crate::config::sps::OutboundTarget;
use crate::delivery::destinations::signing_key::{decode_signing_key, is_short_key};
use crate::delivery::destinations::{DestinationKind, DestinationSettings};
use crate::delivery::rows_payload::PayloadKind;
use crate::secret::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Name of `sps.outgoing` among the destinations.
const OUTBOUND_DESTINATION_NAME: &str = "sps-outgoing";

/// Returns `sps.outgoing` as a destination: it has deliveries, attempts and a log like others.
pub(crate) fn build_outbound_destination(target: &OutboundTarget, max_attempts: u32) -> DestinationSettings {
    let kind = match target {
        OutboundTarget::Directory(path) => DestinationKind::EdiDirectory { path: path.clone() },
        OutboundTarget::Source(source) => DestinationKind::EdiUpload { source: source.clone() },
    };
    DestinationSettings {
        name: OUTBOUND_DESTINATION_NAME.to_owned(),
        kind,
        payload: PayloadKind::Body,
        topics: vec!["sps:send/*".to_owned()],
        timeout: 30 * SECOND,
        max_attempts,
        concurrency: 1,
        rate_per_second: 100,
        breaker: BreakerSettings { failure_threshold: 5, probe_delay: 15 * SECOND, probe_delay_max: 300 * SECOND },
    }
}

/// Reads one destination. `others` are those before it; `file` makes a path absolute; `secrets` reads the key
/// `secrets` of the destination with the given name.
pub(crate) fn read_destination(
    table: &mut ConfigTable<'_>,
    others: &[DestinationSettings],
    max_attempts: u32,
    file: impl Fn(&str) -> PathBuf,
    secrets: impl FnOnce(&mut ConfigTable<'_>, &str) -> Vec<Secret>,
) -> Option<DestinationSettings> {
    let name = read_destination_name(table, others).unwrap_or_default();
    let kind = read_destination_kind(table, file, |table| secrets(table, &name));
    let topics = read_topics(table);
    let Some(kind) = kind else {
        // The type decides which other keys are valid.
        table.skip_unread_keys();
        return None;
    };
    let saturate = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let settings = DestinationSettings {
        name,
        kind,
        payload: read_payload_kind(table),
        topics,
        timeout: table.read_duration("timeout", 30 * SECOND, SECOND / 10..=HOUR),
        max_attempts: saturate(table.read_number("max_attempts", max_attempts.into(), 1..=100)),
        concurrency: saturate(table.read_number("concurrency", 4, 1..=256)),
        rate_per_second: saturate(table.read_number("per_second", 20, 1..=10_000)),
        breaker: BreakerSettings {
            failure_threshold: saturate(table.read_number("breaker_failures", 5, 1..=1000)),
            probe_delay: table.read_duration("breaker_rest", 15 * SECOND, SECOND / 100..=HOUR),
            probe_delay_max: table.read_duration("breaker_rest_max", 300 * SECOND, SECOND / 100..=24 * HOUR),
        },
    };
    Some(settings)
}

fn read_payload_kind(table: &mut ConfigTable<'_>) -> PayloadKind {
    let Some(kind) = table.read_text("payload") else { return PayloadKind::Body };
    match kind.value.as_str() {
        "body" => PayloadKind::Body,
        "rows" => PayloadKind::Rows,
        other => {
            let hint = "Use \"body\" for the bytes of the event, or \"rows\" for the ERP rows that it became.";
            table.report_error_at(&kind, format!("{other:?} is not a payload"), hint);
            PayloadKind::Body
        }
    }
}

fn read_destination_name(table: &mut ConfigTable<'_>, others: &[DestinationSettings]) -> Option<String> {
    let Some(name) = table.read_text("name") else {
        table.report_error(
            "has no name",
            "Add name = \"erp\". Deliveries are stored under the name, so do not change it later.",
        );
        return None;
    };
    let fits = !name.value.is_empty()
        && name.value.len() <= 64
        && name.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !fits {
        table.report_error_at(&name, "is not a name", "Use up to 64 letters, digits, dots, dashes and underscores.");
    } else if others.iter().any(|other| other.name == name.value) || name.value == OUTBOUND_DESTINATION_NAME {
        table.report_error_at(&name, format!("{:?} appears twice", name.value), "Give each destination its own name.");
    }
    Some(name.value)
}

fn read_destination_kind(
    table: &mut ConfigTable<'_>,
    file: impl Fn(&str) -> PathBuf,
    secrets: impl FnOnce(&mut ConfigTable<'_>) -> Vec<Secret>,
) -> Option<DestinationKind> {
    let Some(kind) = table.read_text("type") else {
        table.report_error("has no type", "Add type = \"http\", \"command\" or \"directory\".");
        return None;
    };
    match kind.value.as_str() {
        "http" => {
            let url = table.read_text("url");
            let path = |key: &str, table: &mut ConfigTable<'_>| table.read_text(key).map(|path| file(&path.value));
            let (ca, certificate, key) =
                (path("ca", table), path("client_certificate", table), path("client_key", table));
            let client = match (certificate, key) {
                (Some(certificate), Some(key)) => Some((certificate, key)),
                (None, None) => None,
                _ => {
                    table.report_error(
                        "has only one of client_certificate and client_key",
                        "Name both files, or neither if the server asks for no certificate.",
                    );
                    None
                }
            };
            let secrets = secrets(table);
            let Some(url) = url else {
                table.report_error("has no url", "Add url = \"https://erp.lan/hooks/novex\".");
                return None;
            };
            check_destination_url(table, &url);
            Some(DestinationKind::Http { url: url.value, secrets, ca_file: ca, client_certificate: client })
        }
        "command" => read_command(table, "[\"/usr/local/bin/import\", \"--json\"]"),
        "directory" => {
            let Some(path) = table.read_text("path") else {
                table.report_error("has no path", "Add path = \"/srv/erp/in\".");
                return None;
            };
            Some(DestinationKind::Directory {
                path: file(&path.value),
                has_metadata: table.read_bool("metadata", false),
            })
        }
        other => {
            let message = format!("{other:?} is not a destination type");
            table.report_error_at(&kind, message, "Use \"http\", \"command\" or \"directory\".");
            None
        }
    }
}

/// Reports a secret that the libraries of Standard Webhooks do not read as this program does. Returns a warning about a
/// short key.
pub(crate) fn check_signing_keys(
    table: &ConfigTable<'_>,
    reference: &Located<String>,
    secrets: &[Secret],
) -> Option<ConfigWarning> {
    let mut warning = None;
    for secret in secrets {
        match decode_signing_key(secret) {
            Ok(key) if is_short_key(&key) => {
                warning = Some(ConfigWarning::new(
                    format!(
                        "the key in {} is shorter than the 24 bytes that Standard Webhooks demands",
                        reference.value
                    ),
                    "make a secret with `echo whsec_$(openssl rand -base64 32)`",
                ));
            }
            Ok(_) => {}
            Err(error) => {
                table.report_error_at(reference, format!("the secret in {} {error}", reference.value), error.hint);
            }
        }
    }
    warning
}

/// Reads `command`: the full path of a program and its arguments. `example` is a value for the hint.
pub(super) fn read_command(table: &mut ConfigTable<'_>, example: &str) -> Option<DestinationKind> {
    let words = table.read_texts("command");
    let Some((program, arguments)) = words.split_first() else {
        table.report_error("has no command", format!("Add command = {example}."));
        return None;
    };
    if !Path::new(&program.value).is_absolute() {
        table.report_error_at(
            program,
            "is not an absolute path",
            "Write the full path of the program, starting with /.",
        );
    }
    let arguments = arguments.iter().map(|word| word.value.clone()).collect();
    Some(DestinationKind::Command { program: PathBuf::from(&program.value), arguments })
}

fn check_destination_url(table: &ConfigTable<'_>, url: &Located<String>) {
    let wrong = match reqwest::Url::parse(&url.value) {
        Ok(parsed) => !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none(),
        Err(_) => true,
    };
    if wrong {
        table.report_error_at(
            url,
            "is not a URL",
            "Write the full URL: https://HOST/PATH, or http:// inside a trusted network.",
        );
    }
}

fn read_topics(table: &mut ConfigTable<'_>) -> Vec<String> {
    let topics = table.read_texts("topics");
    if topics.is_empty() {
        table.report_error("has no topics", "Add topics = [\"shopify:orders/*\"], or [\"*\"] for all events.");
    }
    for topic in topics.iter().filter(|topic| topic.value != "*" && !topic.value.contains(':')) {
        let hint = "Write SOURCE:TOPIC, such as \"shopify:orders/*\" or \"easypost:*\".";
        table.report_error_at(topic, format!("{:?} names no source", topic.value), hint);
    }
    topics.into_iter().map(|topic| topic.value).collect()
}
