//! `privacy`: customers' requests for their data, with their deadlines.

use super::output::{line, table};
use super::{Failure, Place, clock, work};
use crate::clock::{self as time};
use crate::config::Secrets;
use crate::store::privacy::{self, DataRequest};
use crate::store::reader::Reader;
use crate::store::scrub::Scrubbed;
use anyhow::{Context, bail};
use clap::Args;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Requests for a customer's data, the next due first
    List(List),
    /// Everything that is kept about the customer of a request, as one JSON document
    Export(Which),
    /// Note that a request was answered
    Done(Which),
    /// Write the database anew, so that no trace of what was erased is left in it: deliveries wait meanwhile
    Scrub,
}

#[derive(Debug, Args)]
pub struct List {
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Which {
    /// The request's number, as `list` shows it
    id: i64,
}

pub fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    Ok(match command {
        Command::List(arguments) => list(&place.reader()?, arguments),
        Command::Export(which) => export(&place.reader()?, which.id),
        Command::Scrub => scrub(place),
        Command::Done(which) => done(place, which.id),
    }?)
}

fn list(reader: &Reader, arguments: &List) -> anyhow::Result<()> {
    let requests = reader.read(privacy::list)?;
    if arguments.json {
        return requests.iter().try_for_each(|request| Ok(line(&serde_json::to_string(request)?)?));
    }
    if requests.is_empty() {
        line("Nobody has asked for their data.")?;
        return Ok(());
    }
    let now = clock().now();
    let left = |request: &DataRequest| match (&request.done_at, time::parse(&request.due_at)) {
        (Some(at), _) => format!("done {at}"),
        (None, Ok(due)) if due < now => "OVERDUE".to_owned(),
        (None, Ok(due)) => format!("{} days left", time::between(now, due).as_secs() / 86_400),
        (None, Err(_)) => String::new(),
    };
    table(
        &["ID", "SHOP", "CUSTOMER", "REQUESTED", "DUE", "STATE"],
        requests.iter().map(|request| {
            vec![
                request.id.to_string().into(),
                request.shop_domain.clone().into(),
                request.customer_id.map_or(String::new(), |id| id.to_string()).into(),
                request.requested_at.clone().into(),
                request.due_at.clone().into(),
                left(request).into(),
            ]
        }),
    )?;
    Ok(())
}

fn export(reader: &Reader, id: i64) -> anyhow::Result<()> {
    let document =
        reader.read(|connection| Ok(privacy::list(connection)?.into_iter().find(|request| request.id == id)))?;
    let document = document.map(|request| privacy::export(reader, &request)).transpose()?;
    let document =
        document.with_context(|| format!("there is no request {id}; `novex-ingest privacy list` shows them"))?;
    line(&serde_json::to_string_pretty(&document)?)?;
    Ok(())
}

fn done(place: &Place, id: i64) -> anyhow::Result<()> {
    let config = place.load(Secrets::LeaveAside)?;
    let found = work::block_on(async {
        let store = work::open_existing(&config)?;
        let found = store.data_request_done(id).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(found?)
    })??;
    if !found {
        bail!("there is no request {id}; `novex-ingest privacy list` shows them");
    }
    line(&format!("request {id} is answered"))?;
    Ok(())
}

fn scrub(place: &Place) -> anyhow::Result<()> {
    let config = place.load(Secrets::LeaveAside)?;
    let scrubbed = work::block_on(async {
        let store = work::open_existing(&config)?;
        let scrubbed = store.scrub(true).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(scrubbed?)
    })??;
    match scrubbed {
        Scrubbed::Clean => line("No trace of what was erased is left in the database.")?,
        Scrubbed::Later | Scrubbed::TooLarge => {
            bail!("somebody uses the database at this moment: try again, or stop what reads it")
        }
    }
    Ok(())
}
