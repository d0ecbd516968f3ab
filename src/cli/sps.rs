//! `sps`: polling for EDI files, purchase orders, and reading any EDI file.

use super::output::{line, shortened, table};
use super::{Failure, Place, work};
use crate::config::{Config, Secrets};
use crate::formats::edi;
use crate::formats::purchase_order::PurchaseOrder;
use crate::formats::sending::Document;
use crate::sps::poll::{AskedBy, Poller};
use crate::store::purchase_order_views::{self as views, Filter};
use crate::store::reader::Reader;
use crate::store::sent::{Answer, Request};
use crate::store::sps_files::Poll;
use crate::store::sps_mappings::{self, ItemMapping, PartnerMapping};
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Look at the sources now, take what is there, and print what was found
    Poll(PollArguments),
    /// Purchase orders, the newest first
    List(List),
    /// One purchase order as it stands, with its changes
    Show(Show),
    /// Read any EDI file, say what is in it and what is wrong with it; nothing is stored
    Parse(Parse),
    /// Send an invoice (810) or a ship notice (856) for a purchase order
    Send(Send),
    /// What retailers order, and who orders, that has no item or customer in the ERP
    Unmapped(Json),
    /// Say who a partner is in the ERP, or what a retailer's goods are
    #[command(subcommand)]
    Map(Map),
}

#[derive(Debug, Args)]
pub struct Json {
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct PollArguments {
    /// Only this source
    #[arg(long)]
    source: Option<String>,
    /// A JSON line for each source
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only of this partner
    #[arg(long)]
    partner: Option<String>,
    /// Only those that a person must look at: flagged, waiting, or not mapped
    #[arg(long)]
    attention: bool,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The purchase order's number
    number: String,
    /// Where several partners have the number
    #[arg(long)]
    partner: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Parse {
    /// The file; - for standard input
    file: PathBuf,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Send {
    /// 810: an invoice; 856: a ship notice
    #[arg(value_parser = ["810", "856"])]
    kind: String,
    /// The document in JSON, as the README shows it; - for standard input
    file: PathBuf,
    /// Only look whether it can be sent, and print the file as it would be
    #[arg(long)]
    check: bool,
    /// Send it although prices, quantities or check digits differ from what they should be; its total must add up all the same
    #[arg(long)]
    force: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
pub enum Map {
    /// A partner's customer number in the ERP
    Partner(MapPartner),
    /// The ERP's item of a number that stands on lines
    Item(MapItem),
}

#[derive(Debug, Args)]
pub struct MapPartner {
    /// As `sps list` shows it
    partner: String,
    /// The ERP's customer number
    customer: String,
    /// In changes of quantity (QI, QD) this partner writes the new total, or what is added or taken
    /// [default: as before, total at first]
    #[arg(long, value_parser = ["total", "delta"])]
    quantity: Option<String>,
}

#[derive(Debug, Args)]
pub struct MapItem {
    /// The number on the line
    value: String,
    /// The ERP's item number
    item: String,
    /// Whose number it is
    #[arg(long, value_parser = ["buyer", "vendor", "upc", "gtin"], default_value = "buyer")]
    by: String,
    /// Only for this partner
    #[arg(long, default_value = "")]
    partner: String,
    /// Only for lines in this unit
    #[arg(long, default_value = "")]
    unit: String,
    /// The ERP's unit
    #[arg(long)]
    item_unit: Option<String>,
    /// ERP units in one unit of the line: 12 for a case that the ERP counts in pieces
    #[arg(long, default_value = "1")]
    factor: String,
}

pub fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    Ok(match command {
        Command::Poll(arguments) => poll(&place.load(Secrets::Load)?, arguments),
        Command::List(arguments) => list(&place.reader()?, arguments),
        Command::Show(arguments) => show(&place.reader()?, arguments),
        Command::Parse(arguments) => parse(arguments),
        Command::Send(arguments) => send(&place.load(Secrets::LeaveAside)?, arguments),
        Command::Unmapped(arguments) => unmapped(&place.reader()?, arguments.json),
        Command::Map(map) => self::map(&place.load(Secrets::LeaveAside)?, map),
    }?)
}

fn poll(config: &Config, arguments: &PollArguments) -> anyhow::Result<()> {
    let sps = config.sps.as_ref().filter(|sps| !sps.sources.is_empty());
    let sps =
        sps.with_context(|| format!("{} has no [[sps.sources]]: there is nothing to poll", config.path.display()))?;
    let sources: Vec<_> =
        sps.sources.iter().filter(|source| arguments.source.as_ref().is_none_or(|name| *name == source.name)).collect();
    if sources.is_empty() {
        let names: Vec<&str> = sps.sources.iter().map(|source| source.name.as_str()).collect();
        bail!("there is no source {:?}; there are: {}", arguments.source.as_deref().unwrap_or(""), names.join(", "));
    }
    crate::logging::start(&config.log);
    let polls = work::on_runtime(async {
        let store = work::open_existing(config)?;
        let poller = work::poller(config, store.clone());
        let mut polls = Vec::new();
        for source in sources {
            polls.push(one(&poller, source, arguments.json).await);
        }
        store.writer.close().await;
        polls.into_iter().collect::<anyhow::Result<Vec<Poll>>>()
    })?;
    let failed: Vec<String> = polls
        .iter()
        .filter_map(|poll| poll.error.as_ref().map(|error| format!("{} could not be polled: {error}", poll.source)))
        .collect();
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

async fn one(poller: &Poller, source: &crate::sps::Source, as_json: bool) -> anyhow::Result<Poll> {
    // Shown on a terminal only.
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos} of {len} files");
    let bar = ProgressBar::new(0)
        .with_prefix(source.name.clone())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let shown = bar.clone();
    let poll = poller
        .poll(source, AskedBy::Command, &move |done, all| {
            shown.set_length(all);
            shown.set_position(done);
        })
        .await;
    bar.finish_and_clear();
    let poll = poll?;
    line(&if as_json {
        serde_json::to_string(&poll)?
    } else {
        format!(
            "{}: {} found, {} taken, {} known already, {} skipped, {} failed{}",
            poll.source,
            poll.found,
            poll.taken,
            poll.duplicates,
            poll.skipped,
            poll.failed,
            poll.error.as_ref().map_or(String::new(), |error| format!("; {error}"))
        )
    })?;
    Ok(poll)
}

fn list(reader: &Reader, arguments: &List) -> anyhow::Result<()> {
    let filter = Filter { partner: arguments.partner.clone(), attention: arguments.attention, limit: arguments.limit };
    let orders = reader.read(|connection| views::list(connection, &filter))?;
    if arguments.json {
        return orders.iter().try_for_each(|order| Ok(line(&serde_json::to_string(order)?)?));
    }
    if orders.is_empty() {
        line("No purchase orders.")?;
        return Ok(());
    }
    table(
        &["PO", "PARTNER", "CUSTOMER", "STATUS", "ORDERED", "LINES", "UNMAPPED", "CHANGES", "TOTAL", "LOOK AT"],
        orders.iter().map(|order| {
            vec![
                order.po_number.clone().into(),
                order.partner.clone().into(),
                order.customer.clone().unwrap_or_else(|| "not mapped".to_owned()).into(),
                order.status.clone().into(),
                order.ordered_on.clone().unwrap_or_default().into(),
                order.lines.to_string().into(),
                order.unmapped.to_string().into(),
                order.changes.to_string().into(),
                order.lines_total.clone().unwrap_or_default().into(),
                shortened(order.attention.as_deref().unwrap_or_default(), 50).into(),
            ]
        }),
    )?;
    Ok(())
}

fn show(reader: &Reader, arguments: &Show) -> anyhow::Result<()> {
    let found = reader.read(|connection| views::find(connection, &arguments.number, arguments.partner.as_deref()))?;
    if found.is_empty() {
        bail!("there is no purchase order {}; `novex-ingest sps list` shows them", arguments.number);
    }
    if arguments.json {
        return found.iter().try_for_each(|order| Ok(line(&serde_json::to_string_pretty(order)?)?));
    }
    for paper in &found {
        line(&paper.to_string())?;
    }
    Ok(())
}

fn parse(arguments: &Parse) -> anyhow::Result<()> {
    let bytes = contents(&arguments.file)?;
    let document = edi::read(&bytes);
    if arguments.json {
        let orders: Vec<&PurchaseOrder> = document.parts.iter().filter_map(|part| part.order.as_ref()).collect();
        let faults: Vec<_> = document.all_faults().collect();
        let parts: Vec<_> = document
            .parts
            .iter()
            .map(|part| json!({"kind": part.kind, "control": part.control, "taken": part.order.is_some()}))
            .collect();
        line(&serde_json::to_string_pretty(&json!({
            "dialect": document.dialect.as_str(), "kind": document.kind, "parts": parts, "orders": orders, "faults": faults
        }))?)?;
    } else {
        line(&format!("{}: {}, {} part(s)", document.dialect.as_str(), document.kind, document.parts.len()))?;
        for part in &document.parts {
            line("")?;
            match &part.order {
                Some(order) => line(&views::paper(order).to_string())?,
                None if part.is_refused() => line(&format!("{} {}: cannot be taken", part.kind, part.control))?,
                None => line(&format!("{} {}: no order, it would be stored only", part.kind, part.control))?,
            }
            for fault in &part.faults {
                line(&format!("  {} {fault}", if fault.severity == edi::Severity::Error { "ERROR" } else { "note" }))?;
            }
        }
        let outer: Vec<_> =
            document.faults.iter().chain(document.groups.iter().flat_map(|group| &group.faults)).collect();
        if !outer.is_empty() {
            line("")?;
        }
        for fault in outer {
            line(&format!("{} {fault}", if fault.severity == edi::Severity::Error { "ERROR" } else { "note" }))?;
        }
    }
    let refused = document.parts.iter().filter(|part| part.is_refused()).count();
    let unreadable =
        document.parts.is_empty() && document.faults.iter().any(|fault| fault.severity == edi::Severity::Error);
    if document.dialect == edi::Dialect::Unknown || unreadable {
        bail!("{} is no EDI file that can be read here", arguments.file.display());
    }
    if refused > 0 {
        bail!("{refused} order(s) of this file cannot be taken, see the faults above");
    }
    Ok(())
}

fn contents(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))
}

fn send(config: &Config, arguments: &Send) -> anyhow::Result<()> {
    let is_input = arguments.file.as_os_str() == "-";
    let file = if is_input { "standard input".to_owned() } else { arguments.file.display().to_string() };
    let kind = &arguments.kind;
    if !arguments.check && config.sps.as_ref().is_none_or(|sps| sps.outgoing.is_none()) {
        bail!("{} has no outgoing in [sps]: nothing would carry it to the partner", config.path.display());
    }
    let given = String::from_utf8(contents(&arguments.file)?).with_context(|| format!("{file} is no UTF-8"))?;
    let given = given.trim_start_matches('\u{feff}').to_owned();
    let document = Document::read(kind, &given).map_err(|error| anyhow::anyhow!("{file} is no {kind}: {error}"))?;
    let number = document.number().to_owned();
    let request = Request {
        document,
        given,
        lenient: arguments.force,
        check: arguments.check,
        max_attempts: config.worker.max_attempts,
    };
    let answer = work::block_on(async {
        let store = work::open_existing(config)?;
        let answer = store.send_document(request).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(answer?)
    })??;
    let (sent, known) = match answer {
        Answer::Refused(problems) => {
            if arguments.json {
                line(&json!({"refused": problems}).to_string())?;
            }
            bail!("{kind} {number} was not sent, and nothing was changed:\n  {}", problems.join("\n  "));
        }
        Answer::Sound(text) if arguments.json => return Ok(line(&json!({"file": text}).to_string())?),
        Answer::Sound(text) => return Ok(line(text.trim_end())?),
        Answer::Queued(sent) => (sent, None),
        Answer::Known(sent, said, false) => (sent, Some(said)),
        Answer::Known(sent, said, true) => {
            bail!("{kind} {number} was queued before as event {} and is {said}", sent.event_id)
        }
    };
    let said = if arguments.json {
        let json = json!({"event_id": sent.event_id, "file": sent.name, "partner": sent.partner, "known": known.is_some(), "state": known});
        json.to_string()
    } else {
        let how = known.map_or("is queued".to_owned(), |said| format!("was sent before ({said})"));
        format!("{kind} {number} to {} {how}: {}, event {}", sent.partner, sent.name, sent.event_id)
    };
    Ok(line(&said)?)
}

fn unmapped(reader: &Reader, as_json: bool) -> anyhow::Result<()> {
    let (partners, lines) = reader.read(|connection| {
        Ok((sps_mappings::unmapped_partners(connection)?, sps_mappings::unmapped_lines(connection)?))
    })?;
    if as_json {
        for partner in &partners {
            line(&json!({"partner": partner.0, "orders": partner.1}).to_string())?;
        }
        return lines.iter().try_for_each(|row| Ok(line(&serde_json::to_string(row)?)?));
    }
    if partners.is_empty() && lines.is_empty() {
        line("Everybody and everything is mapped.")?;
        return Ok(());
    }
    for (partner, orders) in &partners {
        line(&format!("partner {partner} ({orders} orders): novex-ingest sps map partner {partner} CUSTOMER"))?;
    }
    if !lines.is_empty() {
        table(
            &["PARTNER", "BUYER", "VENDOR", "UPC", "GTIN", "UNIT", "LINES", "DESCRIPTION"],
            lines.iter().map(|row| {
                let text = |text: &Option<String>| text.clone().unwrap_or_default();
                vec![
                    row.partner.clone().into(),
                    text(&row.buyer_item).into(),
                    text(&row.vendor_item).into(),
                    text(&row.upc).into(),
                    text(&row.gtin).into(),
                    text(&row.unit).into(),
                    row.lines.to_string().into(),
                    shortened(row.description.as_deref().unwrap_or_default(), 40).into(),
                ]
            }),
        )?;
    }
    Ok(())
}

fn map(config: &Config, map: &Map) -> anyhow::Result<()> {
    let said = work::block_on(async {
        let store = work::open_existing(config)?;
        let result = match map {
            Map::Partner(partner) => {
                let mapping = PartnerMapping {
                    partner: partner.partner.clone(),
                    customer: partner.customer.clone(),
                    quantity: partner.quantity.clone(),
                };
                store
                    .map_partner(mapping)
                    .await
                    .map(|orders| format!("{} is customer {}; {orders} orders", partner.partner, partner.customer))
            }
            Map::Item(item) => {
                let mapping = ItemMapping {
                    partner: item.partner.clone(),
                    kind: item.by.clone(),
                    value: item.value.clone(),
                    unit: item.unit.clone(),
                    item: item.item.clone(),
                    item_unit: item.item_unit.clone(),
                    factor: item.factor.clone(),
                };
                store
                    .map_item(mapping)
                    .await
                    .map(|lines| format!("{} is item {}; {lines} lines", item.value, item.item))
            }
        };
        store.writer.close().await;
        Ok::<_, anyhow::Error>(result?)
    })?;
    let said = said.map_err(|error| match error.downcast_ref::<crate::store::StoreError>() {
        Some(crate::store::StoreError::Sqlite(inner)) if inner.to_string().contains("CHECK") => {
            anyhow::anyhow!("this mapping cannot be: a factor has at most 6 digits before its point and 6 behind it, and nothing is empty")
        }
        _ => error,
    })?;
    line(&said)?;
    Ok(())
}
