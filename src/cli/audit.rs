//! `audit`: the trail of what happened in Keycloak: look, verify, cut off what is old.

use super::output::{line, shortened, table};
use super::{Failure, Place, events, work};
use crate::config::Secrets;
use crate::store::alerts;
use crate::store::reader::Reader;
use crate::store::system_log::{self, Filter};
use anyhow::bail;
use clap::Args;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Rows of the trail, the newest first
    List(List),
    /// Check every row against the one before: status 0 only if none was altered, taken out or moved
    Verify(Verify),
    /// What looked like an attack: repeated failed logins
    Alerts(Alerts),
    /// Cut off old rows; an anchor stays, so that the rest still verifies
    Cut(CutOff),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only this user, by name or by Keycloak's id
    #[arg(long)]
    user: Option<String>,
    /// Only this type; * stands for anything: 'LOGIN*'
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only from this address
    #[arg(long)]
    address: Option<String>,
    /// Only since: a time such as 2026-11-23T20:30:00Z, or as long ago as 2h or 3d
    #[arg(long, value_parser = events::since)]
    since: Option<String>,
    /// Only before this time, written in the same way
    #[arg(long, value_parser = events::since)]
    until: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Verify {
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Alerts {
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct CutOff {
    /// Rows before this time go: a time such as 2026-11-23T20:30:00Z, or as long ago as 400d
    #[arg(long, value_parser = events::since)]
    before: String,
    /// Who signs this off; without it the user who runs the command
    #[arg(long)]
    by: Option<String>,
}

pub fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    Ok(match command {
        Command::List(arguments) => list(&place.reader()?, arguments),
        Command::Verify(arguments) => verify(&place.reader()?, arguments),
        Command::Alerts(arguments) => show_alerts(&place.reader()?, arguments),
        Command::Cut(arguments) => cut(place, arguments),
    }?)
}

fn list(reader: &Reader, arguments: &List) -> anyhow::Result<()> {
    let filter = Filter {
        user: arguments.user.clone(),
        kind: arguments.kind.clone(),
        address: arguments.address.clone(),
        since: arguments.since.clone(),
        until: arguments.until.clone(),
    };
    let rows = reader.read(|connection| system_log::list(connection, &filter, i64::MAX, arguments.limit))?;
    if arguments.json {
        return rows.iter().try_for_each(|row| Ok(line(&serde_json::to_string(row)?)?));
    }
    if rows.is_empty() {
        line("No such rows.")?;
        return Ok(());
    }
    table(
        &["ID", "AT", "TYPE", "REALM", "USER", "ADDRESS", "CLIENT", "RESOURCE", "RESULT"],
        rows.into_iter().map(|row| {
            let resource = row.resource_path.or(row.resource).unwrap_or_default();
            vec![
                row.id.to_string().into(),
                row.at.into(),
                row.r#type.into(),
                row.realm.unwrap_or_default().into(),
                row.username.or(row.user_id).unwrap_or_default().into(),
                row.ip_address.unwrap_or_default().into(),
                row.client_id.unwrap_or_default().into(),
                shortened(&resource, 50).into(),
                row.error.unwrap_or(row.result).into(),
            ]
        }),
    )?;
    Ok(())
}

fn verify(reader: &Reader, arguments: &Verify) -> anyhow::Result<()> {
    let verdict = loop {
        let cuts = reader.read(system_log::cuts)?;
        let read = |id, limit| reader.read(|connection| system_log::after(connection, id, limit));
        let verdict = system_log::verify(read, cuts.clone())?;
        // A cut while the rows were read looks like tampering: look again.
        if verdict.broken.is_none() || reader.read(system_log::cuts)? == cuts {
            break verdict;
        }
    };
    if arguments.json {
        line(&serde_json::to_string(&verdict)?)?;
    } else if let Some(cut) = &verdict.cut {
        line(&format!("up to row {} cut off at {}, signed off by {}", cut.last_id, cut.at, cut.by))?;
    }
    if let Some(broken) = verdict.broken {
        bail!(
            "row {} {}. {} rows before it are as they were written. Compare with a backup: the trail is no longer proof",
            broken.id,
            broken.what,
            verdict.rows
        );
    }
    if !arguments.json {
        match (verdict.first_id, verdict.last_id, verdict.last_hash) {
            (Some(first), Some(last), Some(hash)) => line(&format!(
                "rows {first} to {last} are as they were written; note the last hash elsewhere, so that a trail cut at its \
                 end shows too:\n{hash}"
            ))?,
            _ => line("The trail is empty.")?,
        }
    }
    Ok(())
}

fn show_alerts(reader: &Reader, arguments: &Alerts) -> anyhow::Result<()> {
    let rows = reader.read(|connection| alerts::list(connection, arguments.limit))?;
    if arguments.json {
        return rows.iter().try_for_each(|row| Ok(line(&serde_json::to_string(row)?)?));
    }
    if rows.is_empty() {
        line("No alerts.")?;
        return Ok(());
    }
    table(
        &["FIRST", "LAST", "COUNT", "MESSAGE"],
        rows.into_iter()
            .map(|row| vec![row.first_at.into(), row.last_at.into(), row.count.to_string().into(), row.message.into()]),
    )?;
    Ok(())
}

fn cut(place: &Place, arguments: &CutOff) -> anyhow::Result<()> {
    let config = place.load(Secrets::LeaveAside)?;
    let user =
        || std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned());
    let by = format!(
        "{}@{}",
        arguments.by.clone().unwrap_or_else(user),
        rustix::system::uname().nodename().to_string_lossy()
    );
    let cut = work::block_on(async {
        let store = work::open_existing(&config)?;
        let cut = store.cut_system_log(arguments.before.clone(), by).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(cut?)
    })??;
    match cut {
        Some(cut) => line(&format!("{} rows cut off, up to row {}, signed off by {}", cut.rows, cut.last_id, cut.by))?,
        None => line("Nothing is that old.")?,
    }
    Ok(())
}
