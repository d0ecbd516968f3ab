//! `audit`: lists, verifies and truncates the audit trail of Keycloak, and lists alerts.

use crate::cli::filters::parse_number;
use crate::cli::output::print_line;
use crate::cli::rows::RowFormatArgs;
use crate::cli::store::{name_operator, with_store};
use crate::cli::table::{free_text, print_table, time_cell};
use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use crate::presentation::times::{TimeArg, TimeFormat, parse_time_arg};
use crate::store::audit::audit_lists::{AuditFilter, list_audit_records};
use crate::store::audit::{alerts, system_log};
use crate::store::db::reader::Reader;
use crate::text::{format_count, parse_reason};
use anyhow::bail;
use clap::Args;
use std::collections::BTreeSet;

#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// List rows of the trail, newest first
    List(AuditListArgs),
    /// Check the hash chain; exits 0 only if no row was altered, removed or moved
    Verify(AuditVerifyArgs),
    /// List alerts about repeated failed logins
    Alerts(AuditAlertsArgs),
    /// Dismiss alerts that a person has looked at; `doctor` does not report them any more
    Dismiss(AuditDismissArgs),
    /// Remove old rows and keep their last hash, so that the remaining rows still verify
    Truncate(AuditTruncateArgs),
}

#[derive(Debug, Args)]
pub struct AuditListArgs {
    /// Only this user, by name or Keycloak id
    #[arg(long)]
    user: Option<String>,
    /// Only this type; * matches anything: 'LOGIN*'
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only from this IP address
    #[arg(long)]
    address: Option<String>,
    /// Only since this time: '2026-11-23 20:30', yesterday, or an age such as 2h or '3 days ago'
    #[arg(long, value_name = "TIME", value_parser = parse_time_arg)]
    since: Option<TimeArg>,
    /// Only before this time, in the same form
    #[arg(long, value_name = "TIME", value_parser = parse_time_arg)]
    until: Option<TimeArg>,
    /// Most rows to list
    #[arg(long, default_value_t = 50, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

#[derive(Debug, Args)]
pub struct AuditVerifyArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct AuditAlertsArgs {
    /// Most alerts to list
    #[arg(long, default_value_t = 20, value_parser = parse_number::<u32>)]
    limit: u32,
    #[command(flatten)]
    format: RowFormatArgs,
}

#[derive(Debug, Args)]
pub struct AuditDismissArgs {
    /// Ids of alerts
    #[arg(value_name = "ID", value_parser = parse_number::<i64>, required_unless_present = "all")]
    ids: Vec<i64>,
    /// Dismiss all alerts
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Reason, which stays with the alert
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// Person who dismisses them [default: the user who runs the command]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

/// Columns of the audit trail in CSV.
const AUDIT_COLUMNS: [&str; 18] = [
    "id",
    "at",
    "type",
    "realm",
    "username",
    "user_id",
    "ip_address",
    "client_id",
    "session_id",
    "operation",
    "resource",
    "resource_path",
    "result",
    "error",
    "details",
    "event_id",
    "prev_hash",
    "hash",
];

/// Columns of alerts in CSV.
const ALERT_COLUMNS: [&str; 10] = [
    "id",
    "kind",
    "subject",
    "first_at",
    "last_at",
    "count",
    "message",
    "dismissed_at",
    "dismissed_by",
    "dismissed_reason",
];

#[derive(Debug, Args)]
pub struct AuditTruncateArgs {
    /// Remove rows before this time: 2025-01-01, or an age such as 400d
    #[arg(long, value_name = "TIME", value_parser = parse_time_arg)]
    before: TimeArg,
    /// Person who signs this off [default: the user who runs the command]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub fn run_audit(global: &GlobalArgs, command: &AuditCommand) -> Result<(), CliError> {
    Ok(match command {
        AuditCommand::List(args) => print_audit_trail(&global.open_reader()?, args, &global.time_format()),
        AuditCommand::Verify(args) => verify_audit_trail(&global.open_reader()?, args, &global.time_format()),
        AuditCommand::Alerts(args) => print_alerts(&global.open_reader()?, args, &global.time_format()),
        AuditCommand::Dismiss(args) => dismiss_alerts(global, args),
        AuditCommand::Truncate(args) => truncate_audit_trail(global, args),
    }?)
}

fn print_audit_trail(reader: &Reader, args: &AuditListArgs, times: &TimeFormat) -> anyhow::Result<()> {
    let filter = AuditFilter {
        user: args.user.clone(),
        kind: args.kind.clone(),
        realm: None,
        address: args.address.clone(),
        since: args.since.as_ref().map(|since| since.resolve(times)),
        until: args.until.as_ref().map(|until| until.resolve(times)),
    };
    let rows = reader.read(|connection| list_audit_records(connection, &filter, i64::MAX, args.limit))?;
    if args.format.print_rows(&AUDIT_COLUMNS, &rows)? {
        return Ok(());
    }
    if rows.is_empty() {
        print_line("No such rows.")?;
        return Ok(());
    }
    print_table(
        &["ID", "AT", "TYPE", "REALM", "USER", "ADDRESS", "CLIENT", "RESOURCE", "RESULT"],
        rows.into_iter().map(|row| {
            let resource = row.resource_path.or(row.resource).unwrap_or_default();
            vec![
                row.id.to_string().into(),
                time_cell(times, Some(&row.at)),
                row.r#type.into(),
                row.realm.unwrap_or_default().into(),
                free_text(row.username.or(row.user_id).unwrap_or_default()),
                row.ip_address.unwrap_or_default().into(),
                free_text(row.client_id.unwrap_or_default()),
                free_text(resource),
                free_text(row.error.unwrap_or(row.result)),
            ]
        }),
    )?;
    Ok(())
}

fn verify_audit_trail(reader: &Reader, args: &AuditVerifyArgs, times: &TimeFormat) -> anyhow::Result<()> {
    let verification = system_log::verify_stored_chain(reader)?;
    if args.json {
        print_line(&serde_json::to_string(&verification)?)?;
    } else if let Some(truncation) = &verification.truncation {
        print_line(&format!(
            "Rows up to {} were removed at {}, signed off by {}.",
            truncation.last_id,
            times.format_time_with_age(&truncation.at),
            truncation.by
        ))?;
    }
    if let Some(broken) = verification.broken {
        let rows = format_count(verification.rows, "row before it is", "rows before it are");
        bail!(
            "row {} {}. {rows} unchanged. The trail is no longer proof: compare it with a backup",
            broken.id,
            broken.problem
        );
    }
    if !args.json {
        match (verification.first_id, verification.last_id, verification.last_hash) {
            (Some(first), Some(last), Some(hash)) => print_line(&format!(
                "Rows {first} to {last} are unchanged. Store the last hash elsewhere: only it shows that rows at the \
                 end were removed.\n{hash}"
            ))?,
            _ => print_line("The trail is empty.")?,
        }
    }
    Ok(())
}

fn print_alerts(reader: &Reader, args: &AuditAlertsArgs, times: &TimeFormat) -> anyhow::Result<()> {
    let rows = reader.read(|connection| alerts::list_alerts(connection, args.limit))?;
    if args.format.print_rows(&ALERT_COLUMNS, &rows)? {
        return Ok(());
    }
    if rows.is_empty() {
        print_line("No alerts.")?;
        return Ok(());
    }
    print_table(
        &["ID", "FIRST", "LAST", "COUNT", "MESSAGE"],
        rows.into_iter().map(|row| {
            let (first, last) = (time_cell(times, Some(&row.first_at)), time_cell(times, Some(&row.last_at)));
            let message = match row.dismissed_reason {
                Some(reason) => format!("dismissed ({reason}): {}", row.message),
                None => row.message,
            };
            vec![row.id.to_string().into(), first, last, row.count.to_string().into(), free_text(message)]
        }),
    )?;
    Ok(())
}

fn truncate_audit_trail(global: &GlobalArgs, args: &AuditTruncateArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let by = name_operator(args.by.as_deref());
    let before = args.before.resolve(&global.time_format());
    let truncation = with_store(&config, async |store| Ok(store.truncate_audit_trail(before, by).await?))?;
    match truncation {
        Some(truncation) => print_line(&format!(
            "Removed {}, up to row {}, signed off by {}.",
            format_count(truncation.rows, "row", "rows"),
            truncation.last_id,
            truncation.by
        ))?,
        None => print_line("No rows are that old.")?,
    }
    Ok(())
}

fn dismiss_alerts(global: &GlobalArgs, args: &AuditDismissArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let (reason, by) = (args.reason.clone(), name_operator(args.by.as_deref()));
    let ids: BTreeSet<i64> = args.ids.iter().copied().collect();
    let selected = (!args.all).then(|| ids.iter().copied().collect());
    let dismissed = with_store(&config, async |store| Ok(store.dismiss_alerts(selected, reason, by).await?))?;
    for id in &dismissed {
        print_line(&format!("alert {id} is dismissed"))?;
    }
    let unknown: Vec<String> = ids.iter().filter(|id| !dismissed.contains(id)).map(i64::to_string).collect();
    if !unknown.is_empty() {
        bail!("not dismissed, because they do not exist or are dismissed already: {}", unknown.join(", "));
    }
    if dismissed.is_empty() {
        print_line("No such alerts.")?;
    }
    Ok(())
}
