//! `[alerts]`: when a condition becomes an alert, and the channels that get the messages.

use crate::backoff::BreakerSettings;
use crate::config::destinations::{check_signing_keys, read_command};
use crate::config::reader::{ConfigTable, Located};
use crate::delivery::destinations::smtp::{SmtpLogin, SmtpSecurity, SmtpSettings, check_mail_address};
use crate::delivery::destinations::{ALERT_CHANNEL_PREFIX, DestinationKind, DestinationSettings};
use crate::delivery::rows_payload::PayloadKind;
use crate::secret::Secret;
use crate::store::audit::alerts::AlertKind;
use crate::store::leases::alert_rounds::{ALERT_TOPIC, NoticeTimes};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Settings of `[alerts]`, without the channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSettings {
    /// Time between two rounds.
    pub check_interval: Duration,
    pub notice_times: NoticeTimes,
    /// Longest time that an event is due while a worker runs.
    pub overdue_after: Duration,
    /// Greatest age of the newest backup. The timer makes one each night.
    pub backup_age_max: Duration,
    /// True if a source that is silent against its rhythm is reported.
    pub is_silence_checked: bool,
    /// Conditions that raise no alert.
    pub ignored: Vec<AlertKind>,
    /// Address of the console for the link in messages.
    pub console_url: Option<String>,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            check_interval: 60 * SECOND,
            notice_times: NoticeTimes { message_interval: 600 * SECOND, repeat_interval: DAY },
            overdue_after: 900 * SECOND,
            backup_age_max: 2 * DAY,
            is_silence_checked: true,
            ignored: Vec::new(),
            console_url: None,
        }
    }
}

/// Reads the section and its channels. `file` makes a path absolute; `secrets` reads the references of a key and loads
/// their secrets.
pub(crate) fn read_alerts_section(
    mut table: ConfigTable<'_>,
    max_attempts: u32,
    file: impl Fn(&str) -> PathBuf,
    mut secrets: impl FnMut(&mut ConfigTable<'_>, &str) -> (Vec<Located<String>>, Vec<Secret>),
) -> (AlertSettings, Vec<DestinationSettings>) {
    let defaults = AlertSettings::default();
    let settings = AlertSettings {
        check_interval: table.read_duration("check_interval", defaults.check_interval, SECOND / 10..=HOUR),
        notice_times: NoticeTimes {
            message_interval: table.read_duration(
                "message_interval",
                defaults.notice_times.message_interval,
                Duration::ZERO..=DAY,
            ),
            repeat_interval: table.read_duration(
                "repeat_interval",
                defaults.notice_times.repeat_interval,
                SECOND..=365 * DAY,
            ),
        },
        overdue_after: table.read_duration("overdue_after", defaults.overdue_after, SECOND..=30 * DAY),
        backup_age_max: table.read_duration("backup_age", defaults.backup_age_max, HOUR..=365 * DAY),
        is_silence_checked: table.read_bool("silence", defaults.is_silence_checked),
        ignored: read_ignored_kinds(&mut table),
        console_url: read_console_url(&mut table),
    };
    let mut channels: Vec<DestinationSettings> = Vec::new();
    for mut entry in table.read_tables("channels") {
        if let Some(channel) = read_channel(&mut entry, &channels, max_attempts, &file, &mut secrets) {
            channels.push(channel);
        }
        entry.finish();
    }
    table.finish();
    (settings, channels)
}

fn read_ignored_kinds(table: &mut ConfigTable<'_>) -> Vec<AlertKind> {
    let mut kinds = Vec::new();
    for name in table.read_texts("ignore") {
        if let Some(kind) = AlertKind::from_name(&name.value) {
            kinds.push(kind);
        } else {
            let all = AlertKind::ALL.map(AlertKind::as_str).join(", ");
            let message = format!("{:?} is not a condition", name.value);
            table.report_error_at(&name, message, format!("Use some of {all}."));
        }
    }
    kinds
}

fn read_console_url(table: &mut ConfigTable<'_>) -> Option<String> {
    let url = table.read_text("console_url")?;
    let is_url = reqwest::Url::parse(&url.value).is_ok_and(|url| url.scheme() == "https" && url.host_str().is_some());
    if !is_url {
        table.report_error_at(
            &url,
            "is not the address of a console",
            "Write it like \"https://box.example.com:8444\".",
        );
    }
    Some(url.value)
}

/// Reads one channel. It becomes a destination, so that the dispatcher sends its messages as other deliveries.
fn read_channel(
    table: &mut ConfigTable<'_>,
    others: &[DestinationSettings],
    max_attempts: u32,
    file: &impl Fn(&str) -> PathBuf,
    secrets: &mut impl FnMut(&mut ConfigTable<'_>, &str) -> (Vec<Located<String>>, Vec<Secret>),
) -> Option<DestinationSettings> {
    let name = read_channel_name(table, others);
    let timeout = table.read_duration("timeout", 30 * SECOND, SECOND / 10..=HOUR);
    let Some(kind) = table.read_text("type") else {
        table.report_error("has no type", "Add type = \"smtp\", \"webhook\" or \"command\".");
        table.skip_unread_keys();
        return None;
    };
    let kind = match kind.value.as_str() {
        "smtp" => read_smtp(table, file, secrets)?,
        "webhook" => read_webhook(table, file, secrets)?,
        "command" => read_command(table, "[\"/usr/local/bin/notify\"]")?,
        other => {
            let message = format!("{other:?} is not a type of channel");
            table.report_error_at(&kind, message, "Use \"smtp\", \"webhook\" or \"command\".");
            table.skip_unread_keys();
            return None;
        }
    };
    Some(DestinationSettings {
        name: format!("{ALERT_CHANNEL_PREFIX}{}", name?),
        kind,
        payload: PayloadKind::Body,
        topics: vec![format!("local:{ALERT_TOPIC}")],
        timeout,
        max_attempts,
        concurrency: 1,
        rate_per_second: 20,
        breaker: BreakerSettings { failure_threshold: 5, probe_delay: 15 * SECOND, probe_delay_max: 300 * SECOND },
    })
}

fn read_channel_name(table: &mut ConfigTable<'_>, others: &[DestinationSettings]) -> Option<String> {
    let Some(name) = table.read_text("name") else {
        table.report_error("has no name", "Add name = \"mail\".");
        return None;
    };
    let is_name = !name.value.is_empty()
        && name.value.len() <= 50
        && name.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name {
        table.report_error_at(&name, "is not a name", "Use up to 50 letters, digits, dots, dashes and underscores.");
    } else if others.iter().any(|other| other.name.strip_prefix(ALERT_CHANNEL_PREFIX) == Some(&name.value)) {
        table.report_error_at(&name, format!("{:?} appears twice", name.value), "Give each channel its own name.");
    }
    Some(name.value)
}

fn read_smtp(
    table: &mut ConfigTable<'_>,
    file: &impl Fn(&str) -> PathBuf,
    secrets: &mut impl FnMut(&mut ConfigTable<'_>, &str) -> (Vec<Located<String>>, Vec<Secret>),
) -> Option<DestinationKind> {
    let host = table.read_text("host");
    let security = read_smtp_security(table, host.as_ref());
    let port = table.read_number("port", u64::from(security.default_port()), 1..=65_535);
    let ca_file = table.read_text("ca").map(|path| file(&path.value));
    let user = table.read_text("user");
    let (references, passwords) = secrets(table, "password");
    let login = match (user, references.is_empty()) {
        (Some(user), false) => {
            // Without a secret, this command does not load any.
            let password = passwords.into_iter().next().unwrap_or_else(|| Secret::new(Vec::new()));
            Some(SmtpLogin { user: user.value, password })
        }
        (None, true) => None,
        _ => {
            table.report_error(
                "has only one of user and password",
                "Name both, or neither if the server asks for none.",
            );
            None
        }
    };
    let from = read_mail_addresses(table, "from");
    let to = read_mail_addresses(table, "to");
    let Some(host) = host else {
        table.report_error("has no host", "Add host = \"smtp.example.com\".");
        return None;
    };
    let [from] = from.as_slice() else {
        table.report_error("has no sender", "Add from = \"novex-ingest@example.com\".");
        return None;
    };
    if to.is_empty() {
        table.report_error("has no recipients", "Add to = [\"ops@example.com\"].");
        return None;
    }
    let port = u16::try_from(port).unwrap_or(u16::MAX);
    let settings = SmtpSettings { host: host.value, port, security, ca_file, login, from: from.clone(), to };
    Some(DestinationKind::Smtp(Box::new(settings)))
}

fn read_smtp_security(table: &mut ConfigTable<'_>, host: Option<&Located<String>>) -> SmtpSecurity {
    let Some(text) = table.read_text("tls") else { return SmtpSecurity::StartTls };
    match text.value.as_str() {
        "starttls" => SmtpSecurity::StartTls,
        "implicit" => SmtpSecurity::Implicit,
        "none" => {
            let is_loopback = host.is_none_or(|host| {
                host.value == "localhost" || host.value.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            });
            if !is_loopback {
                let hint = "Use \"starttls\" or \"implicit\": \"none\" is for a server on this machine only.";
                table.report_error_at(&text, "would send the password and the messages in clear text", hint);
            }
            SmtpSecurity::None
        }
        other => {
            let hint = "Use \"starttls\" (port 587), \"implicit\" (port 465) or \"none\".";
            table.report_error_at(&text, format!("{other:?} is not a kind of TLS"), hint);
            SmtpSecurity::StartTls
        }
    }
}

fn read_mail_addresses(table: &mut ConfigTable<'_>, key: &str) -> Vec<String> {
    let addresses = table.read_texts(key);
    for address in &addresses {
        if let Err(error) = check_mail_address(&address.value) {
            let message = format!("{:?} is not an e-mail address: {error}", address.value);
            table.report_error_at(address, message, "Write it like \"ops@example.com\" or \"Ops <ops@example.com>\".");
        }
    }
    addresses.into_iter().map(|address| address.value).collect()
}

fn read_webhook(
    table: &mut ConfigTable<'_>,
    file: &impl Fn(&str) -> PathBuf,
    secrets: &mut impl FnMut(&mut ConfigTable<'_>, &str) -> (Vec<Located<String>>, Vec<Secret>),
) -> Option<DestinationKind> {
    let url = table.read_text("url");
    let ca_file = table.read_text("ca").map(|path| file(&path.value));
    let (references, loaded) = secrets(table, "secrets");
    for reference in &references {
        check_signing_keys(table, reference, &loaded);
    }
    let Some(url) = url else {
        table.report_error("has no url", "Add url = \"https://chat.example.com/hooks/novex\".");
        return None;
    };
    let is_url = reqwest::Url::parse(&url.value)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    if !is_url {
        table.report_error_at(&url, "is not a URL", "Write the full URL: https://HOST/PATH.");
        return None;
    }
    Some(DestinationKind::Http { url: url.value, secrets: loaded, ca_file, client_certificate: None })
}
