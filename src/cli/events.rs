//! `events`: look at events, bring them back, take them out.

use super::output::{self, line, say, shortened, table};
use super::{Failure, Place, clock, retry, search};
use crate::clock as time;
use crate::config::reader::parse_duration;
use crate::providers::Reason;
use crate::store::destination_states;
use crate::store::envelope::Source;
use crate::store::events::{self, Event, Filter, Status};
use crate::store::reader::Reader;
use crate::store::rejections::{self, Rejection};
use anyhow::Context;
use base64::Engine;
use clap::Args;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Events, the newest first
    List(List),
    /// One event with its trail, or the bytes as they came
    Show(Show),
    /// Bring events back: failed ones get new attempts, waiting ones are due now
    Retry(retry::Retry),
    /// Find events by an order's name, a customer, a tracking code, an SKU or a number
    Search(search::Search),
    /// Watch what happens to events as it happens
    Tail(search::Tail),
    /// Events with headers and body, a JSON line each
    Export(Export),
    /// Deliveries that were refused, why, and what to check
    Rejected(Rejected),
}

/// Which events.
#[derive(Debug, Clone, Args)]
pub(super) struct Which {
    /// Only events in this status
    #[arg(long, value_enum)]
    pub(super) status: Option<Status>,
    /// Only events of this source: shopify, easypost, keycloak or sps
    #[arg(long)]
    source: Option<Source>,
    /// Only this topic; * stands for anything: 'orders/*'
    #[arg(long)]
    topic: Option<String>,
    /// Only events received since: a time such as 2026-11-23T20:30:00Z, or as long ago as 2h or 3d
    #[arg(long, value_parser = since)]
    since: Option<String>,
}

#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The event's number
    id: i64,
    /// Write the body to standard output, byte for byte, and nothing else
    #[arg(long, conflicts_with = "json")]
    body: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    which: Which,
    /// At most so many, the newest
    #[arg(long)]
    limit: Option<u32>,
    /// A JSON line each, as always
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Rejected {
    /// Only those answered with this HTTP status: 401
    #[arg(long)]
    status: Option<u16>,
    /// Only those sent to this source's address: shopify, easypost or keycloak
    #[arg(long)]
    source: Option<Source>,
    /// Only those sent to this topic's address; * stands for anything: 'orders/*'
    #[arg(long)]
    topic: Option<String>,
    /// Only since: a time such as 2026-11-23T20:30:00Z, or as long ago as 2h or 3d
    #[arg(long, value_parser = since)]
    since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

/// Events read in one short transaction while paging: a long one would keep the WAL from shrinking.
pub(super) const PAGE: u32 = 500;

pub fn run(place: &Place, command: Command) -> Result<(), Failure> {
    Ok(match command {
        Command::List(arguments) => list(&place.reader()?, &arguments),
        Command::Show(arguments) => show(&place.reader()?, &arguments),
        Command::Retry(arguments) => retry::run(place, &arguments),
        Command::Search(arguments) => search::search(&place.reader()?, &arguments),
        Command::Tail(arguments) => search::tail(&place.reader()?, &arguments),
        Command::Export(arguments) => export(&place.reader()?, &arguments),
        Command::Rejected(arguments) => rejected(&place.reader()?, &arguments),
    }?)
}

impl Which {
    pub(super) fn filter(&self) -> Filter {
        Filter { status: self.status, source: self.source, topic: self.topic.clone(), since: self.since.clone() }
    }
}

pub(super) fn since(text: &str) -> Result<String, String> {
    if let Ok(at) = time::parse(text) {
        return Ok(time::text(at));
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let back = days.and_then(|days| days.checked_mul(24)).map(|hours| format!("{hours}h"));
    let back = parse_duration(back.as_deref().unwrap_or(text))
        .ok_or("write a time such as 2026-11-23T20:30:00Z, or how long ago: 30m, 2h, 3d")?;
    Ok(time::text(clock().now().checked_sub(back).map_err(|error| error.to_string())?))
}

/// Calls `each` for every event that fits, newest first, a page at a time; `before`: only those with a lower
/// number.
pub(super) fn pages(
    reader: &Reader,
    filter: &Filter,
    before: Option<i64>,
    limit: Option<u32>,
    mut each: impl FnMut(Event) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut left = limit.unwrap_or(u32::MAX);
    let mut before = before;
    while left > 0 {
        let page = reader.read(|connection| events::list(connection, filter, before, left.min(PAGE)))?;
        let read = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let full = read == left.min(PAGE);
        left = left.saturating_sub(read);
        before = page.last().map(|event| event.id);
        page.into_iter().try_for_each(&mut each)?;
        if !full {
            break;
        }
    }
    Ok(())
}

fn list(reader: &Reader, arguments: &List) -> anyhow::Result<()> {
    let filter = arguments.which.filter();
    if arguments.json {
        return pages(reader, &filter, None, Some(arguments.limit), |event| Ok(line(&serde_json::to_string(&event)?)?));
    }
    let mut rows = Vec::new();
    pages(reader, &filter, None, Some(arguments.limit), |event| {
        rows.push(event);
        Ok(())
    })?;
    if rows.is_empty() {
        line("No such events.")?;
        return Ok(());
    }
    table(
        &["ID", "RECEIVED", "SOURCE", "TOPIC", "SHOP", "STATUS", "ATTEMPTS", "ERROR OR NOTE"],
        rows.into_iter().map(|event| {
            let said = event.last_error.or(event.note).unwrap_or_default();
            vec![
                event.id.to_string().into(),
                event.received_at.into(),
                event.source.into(),
                event.topic.into(),
                event.shop_domain.into(),
                output::status(&event.status),
                format!("{} of {}", event.attempts, event.max_attempts).into(),
                shortened(&said, 80).into(),
            ]
        }),
    )?;
    Ok(())
}

fn show(reader: &Reader, arguments: &Show) -> anyhow::Result<()> {
    let id = arguments.id;
    let (event, steps, payload, deliveries) = reader.read(|connection| {
        Ok((
            events::get(connection, id)?,
            events::steps(connection, id)?,
            events::payload(connection, id)?,
            destination_states::of_event(connection, id)?,
        ))
    })?;
    let event =
        event.with_context(|| format!("there is no event {id}; `novex-ingest events list` shows the newest"))?;
    if arguments.body {
        let payload = payload.with_context(|| format!("the payload of event {id} is gone: it was erased or pruned"))?;
        output::out().write_all(&payload.body)?;
        return Ok(());
    }
    if arguments.json {
        let mut document = serde_json::to_value(&event)?;
        document["steps"] = serde_json::to_value(&steps)?;
        document["deliveries"] = serde_json::to_value(&deliveries)?;
        document["headers"] = payload.as_ref().map_or(Value::Null, |payload| headers(&payload.headers));
        document["body_bytes"] = json!(payload.as_ref().map(|payload| payload.body.len()));
        line(&document.to_string())?;
        return Ok(());
    }
    let field = |name: &str, value: Option<String>| match value {
        Some(value) => say(&format!("{name:<18} {value}")),
        None => Ok(()),
    };
    field("event", Some(event.id.to_string()))?;
    field("source", Some(event.source))?;
    field("topic", Some(event.topic))?;
    field("shop", Some(event.shop_domain).filter(|shop| !shop.is_empty()))?;
    field("webhook id", Some(event.webhook_id))?;
    field("provider event id", event.provider_event_id)?;
    field("status", Some(event.status))?;
    field("attempts", Some(format!("{} of {}", event.attempts, event.max_attempts)))?;
    field("received at", Some(event.received_at))?;
    field("triggered at", event.triggered_at)?;
    field("next attempt at", event.next_attempt_at)?;
    field("held by", event.locked_by)?;
    field("lease until", event.lease_until)?;
    field("finished at", event.completed_at)?;
    field("error", event.last_error)?;
    field("note", event.note)?;
    field("erased at", event.erased_at)?;
    field("same body as", event.same_body_as.map(|other| format!("event {other}")))?;
    field(
        "body",
        Some(payload.map_or("gone: it was pruned or erased".to_owned(), |payload| {
            format!("{} bytes (`novex-ingest events show {id} --body`)", payload.body.len())
        })),
    )?;
    line("")?;
    table(
        &["AT", "STEP", "ATTEMPT", "WORKER", "MS", "ERROR"],
        steps.into_iter().map(|step| {
            let from = step.from_status.map_or(String::new(), |from| format!("{from} → "));
            vec![
                step.at.into(),
                format!("{from}{}", step.to_status).into(),
                step.attempt.to_string().into(),
                step.worker.unwrap_or_default().into(),
                step.duration_ms.map_or(String::new(), |ms| ms.to_string()).into(),
                step.error.unwrap_or_default().into(),
            ]
        }),
    )?;
    if !deliveries.is_empty() {
        line("")?;
        table(
            &["DESTINATION", "STATUS", "ATTEMPTS", "DUE OR DONE", "ERROR"],
            deliveries.into_iter().map(|delivery| {
                vec![
                    delivery.destination.into(),
                    output::status(&delivery.status),
                    format!("{} of {}", delivery.attempts, delivery.max_attempts).into(),
                    delivery.next_attempt_at.or(delivery.finished_at).unwrap_or_default().into(),
                    delivery.last_error.unwrap_or_default().into(),
                ]
            }),
        )?;
    }
    Ok(())
}

fn export(reader: &Reader, arguments: &Export) -> anyhow::Result<()> {
    pages(reader, &arguments.which.filter(), None, arguments.limit, |event| {
        let payload = reader.read(|connection| events::payload(connection, event.id))?;
        let mut document = serde_json::to_value(&event)?;
        if let Some(payload) = payload {
            document["headers"] = headers(&payload.headers);
            // Base64, not text: a body is any bytes, and comes out as it went in.
            document["body_base64"] = base64::engine::general_purpose::STANDARD.encode(&payload.body).into();
        }
        Ok(line(&document.to_string())?)
    })
}

fn rejected(reader: &Reader, arguments: &Rejected) -> anyhow::Result<()> {
    let path = match (&arguments.topic, arguments.source) {
        (Some(topic), None | Some(Source::Shopify)) => Some(format!("/api/webhooks/shopify/{topic}")),
        // Only Shopify's addresses have a topic.
        (Some(_), Some(_)) => Some(String::new()),
        (None, Some(Source::Keycloak)) => Some("/api/keycloak/*".to_owned()),
        (None, Some(Source::Sps)) => Some("/api/sps/*".to_owned()),
        (None, Some(source)) => Some(format!("/api/webhooks/{}*", source.as_str())),
        (None, None) => None,
    };
    let filter = rejections::Filter { http_status: arguments.status, path, since: arguments.since.clone() };
    let rows = reader.read(|connection| rejections::list(connection, &filter, arguments.limit))?;
    if arguments.json {
        for row in &rows {
            let mut document = serde_json::to_value(row)?;
            document["what_to_check"] = what_to_check(row).into();
            line(&document.to_string())?;
        }
        return Ok(());
    }
    if rows.is_empty() {
        line("Nothing was refused.")?;
    }
    for row in &rows {
        say(&format!("{}  {} {}  from {}", row.at, row.method, row.path, row.remote_addr))?;
        say(&format!("    {} {}: {}", row.http_status, row.reason, row.detail.as_deref().unwrap_or("")))?;
        say(&format!("    check: {}", what_to_check(row)))?;
        let digest = row.body_sha256.as_deref().map_or(String::new(), |digest| format!(", sha256 {digest}"));
        say(&format!("    headers: {}; body: {} bytes{digest}", row.header_names, row.body_bytes))?;
        if row.unrecorded > 0 {
            say(&format!("    and {} more refusals before it, too many at once to note", row.unrecorded))?;
        }
    }
    Ok(())
}

fn what_to_check(row: &Rejection) -> &'static str {
    Reason::ALL.into_iter().find(|reason| reason.as_str() == row.reason).map_or("", Reason::what_to_check)
}

fn headers(stored: &str) -> Value {
    serde_json::from_str(stored).unwrap_or(Value::Null)
}
