//! `events search` and `events tail`: finding events by what people have in hand, and watching them go by.

use super::output::{self, line, say, shortened, table};
use crate::store::envelope::Source;
use crate::store::reader::Reader;
use crate::store::search;
use clap::Args;
use serde_json::json;
use std::time::Duration;
use wildmatch::WildMatch;

#[derive(Debug, Args)]
pub struct Search {
    /// An order's name or number, a customer's address or last name, a tracking code, an SKU, any number of Shopify's
    word: String,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Tail {
    /// Only events of this source: shopify, easypost or keycloak
    #[arg(long)]
    source: Option<Source>,
    /// Only this topic; * stands for anything: 'orders/*'
    #[arg(long)]
    topic: Option<String>,
    /// End when so many steps were shown
    #[arg(long)]
    limit: Option<u64>,
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

/// How often the trail is looked at: a read of what is new.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Steps read at once.
const PAGE: u32 = 500;

pub fn search(reader: &Reader, arguments: &Search) -> anyhow::Result<()> {
    let hits = reader.read(|connection| search::search(connection, &arguments.word, arguments.limit))?;
    if arguments.json {
        for hit in &hits {
            let mut document = serde_json::to_value(&hit.event)?;
            document["about"] = json!(hit.about);
            line(&document.to_string())?;
        }
        return Ok(());
    }
    if hits.is_empty() {
        line("No event is about that.")?;
        return Ok(());
    }
    table(
        &["ID", "RECEIVED", "SOURCE", "TOPIC", "ABOUT", "STATUS", "ERROR OR NOTE"],
        hits.into_iter().map(|hit| {
            let said = hit.event.last_error.or(hit.event.note).unwrap_or_default();
            vec![
                hit.event.id.to_string().into(),
                hit.event.received_at.into(),
                hit.event.source.into(),
                hit.event.topic.into(),
                hit.about.into(),
                output::status(&hit.event.status),
                shortened(&said, 60).into(),
            ]
        }),
    )?;
    Ok(())
}

pub fn tail(reader: &Reader, arguments: &Tail) -> anyhow::Result<()> {
    let topic = arguments.topic.as_deref().map(WildMatch::new);
    let mut last = reader.read(search::last_step)?;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let steps = reader.read(|connection| search::steps_after(connection, last, PAGE))?;
        let more = steps.len() == PAGE as usize;
        for step in steps {
            last = step.id;
            let wanted = arguments.source.is_none_or(|source| source.as_str() == step.source)
                && topic.as_ref().is_none_or(|topic| topic.matches(&step.topic));
            if !wanted || left == 0 {
                continue;
            }
            left -= 1;
            if arguments.json {
                line(&serde_json::to_string(&step)?)?;
                continue;
            }
            let from = step.from_status.map_or(String::new(), |from| format!("{from} → "));
            let said = step.error.map_or(String::new(), |error| format!(": {}", shortened(&error, 100)));
            say(&format!(
                "{}  event {}  {} {}  {from}{}{said}",
                step.at, step.event_id, step.source, step.topic, step.to_status
            ))?;
        }
        if !more && left > 0 {
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(())
}
