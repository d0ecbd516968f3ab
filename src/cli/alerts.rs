//! `alerts`: lists alerts with their messages, and tests the channels.

use crate::cli::output::{print_line, print_untrusted_line};
use crate::cli::rows::RowFormatArgs;
use crate::cli::table::{free_text, print_table, time_cell};
use crate::cli::{CliError, GlobalArgs};
use crate::clock::Clock;
use crate::config::{Config, SecretLoading};
use crate::delivery::destinations::{ALERT_CHANNEL_PREFIX, Destination, DestinationSettings, SendResult};
use crate::runtime;
use crate::store::audit::alerts::{self, Alert, AlertSelection};
use anyhow::bail;
use clap::Args;

#[derive(Debug, clap::Subcommand)]
pub enum AlertsCommand {
    /// List open alerts, newest first
    List(AlertsListArgs),
    /// Send a test message to one channel or to all, and print the result
    Test(AlertsTestArgs),
}

#[derive(Debug, Args)]
pub struct AlertsListArgs {
    /// List also alerts that are over or dismissed
    #[arg(long)]
    all: bool,
    /// Most alerts to list
    #[arg(long, default_value_t = 50, value_parser = crate::cli::filters::parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

#[derive(Debug, Args)]
pub struct AlertsTestArgs {
    /// Name of the channel in the configuration [default: all channels]
    channel: Option<String>,
}

/// Columns of alerts in CSV.
pub(crate) const ALERT_COLUMNS: [&str; 13] = [
    "id",
    "kind",
    "subject",
    "first_at",
    "last_at",
    "count",
    "message",
    "fix",
    "notified_at",
    "recovered_at",
    "dismissed_at",
    "dismissed_by",
    "dismissed_reason",
];

pub fn run_alerts(global: &GlobalArgs, command: &AlertsCommand) -> Result<(), CliError> {
    Ok(match command {
        AlertsCommand::List(args) => print_alerts(global, args),
        AlertsCommand::Test(args) => test_channels(&global.load_config(SecretLoading::DestinationsOnly)?, args),
    }?)
}

fn print_alerts(global: &GlobalArgs, args: &AlertsListArgs) -> anyhow::Result<()> {
    let selection = if args.all { AlertSelection::All } else { AlertSelection::Open };
    let rows = global.open_reader()?.read(|connection| alerts::list_alerts(connection, selection, args.limit))?;
    if args.format.print_rows(&ALERT_COLUMNS, &rows)? {
        return Ok(());
    }
    if rows.is_empty() {
        print_line(if args.all { "No alerts." } else { "No open alerts; --all lists those that are over." })?;
        return Ok(());
    }
    let times = global.time_format();
    print_table(
        &["ID", "STATE", "SINCE", "LAST MESSAGE", "ALERT"],
        rows.into_iter().map(|row| {
            vec![
                row.id.to_string().into(),
                row.state().into(),
                time_cell(&times, Some(&row.first_at)),
                time_cell(&times, row.notified_at.as_deref()),
                free_text(describe_alert(&row)),
            ]
        }),
    )?;
    Ok(())
}

fn describe_alert(alert: &Alert) -> String {
    match (&alert.dismissed_reason, alert.is_open() && !alert.fix.is_empty()) {
        (Some(reason), _) => format!("dismissed ({reason}): {}", alert.message),
        (None, true) => format!("{} → {}", alert.message, alert.fix),
        (None, false) => alert.message.clone(),
    }
}

fn test_channels(config: &Config, args: &AlertsTestArgs) -> anyhow::Result<()> {
    let name_of = |settings: &DestinationSettings| settings.name.trim_start_matches(ALERT_CHANNEL_PREFIX).to_owned();
    let wanted = args.channel.as_deref().map(|name| name.trim_start_matches(ALERT_CHANNEL_PREFIX));
    let channels: Vec<&DestinationSettings> =
        config.alert_channels().filter(|settings| wanted.is_none_or(|wanted| name_of(settings) == wanted)).collect();
    if channels.is_empty() {
        let names: Vec<String> = config.alert_channels().map(name_of).collect();
        match wanted {
            Some(wanted) if !names.is_empty() => {
                bail!("there is no channel {wanted:?} in {}; configured: {}", config.path.display(), names.join(", "))
            }
            _ => bail!("{} has no [[alerts.channels]], so nobody gets a message about an alert", config.path.display()),
        }
    }
    let mut failed = Vec::new();
    for settings in channels {
        let name = name_of(settings);
        match send_test_message(settings)? {
            None => print_untrusted_line(&format!("{name}: the message was accepted; see whether it arrived."))?,
            Some(error) => failed.push(format!("{name}: {error}")),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("the test message was not sent, and alerts would not arrive either: {}", failed.join("; "))
}

/// Sends the test message to a channel. Returns the error if the channel did not accept it.
pub(crate) fn send_test_message(settings: &DestinationSettings) -> anyhow::Result<Option<String>> {
    let channel = Destination::new(settings.clone())?;
    let sent = runtime::block_on(channel.send(&settings.build_test_event(), Clock::system().now()))?;
    Ok(match sent {
        SendResult::Delivered => None,
        SendResult::Rejected { error }
        | SendResult::Unavailable { error, .. }
        | SendResult::RetryLater { error, .. } => Some(error),
    })
}
