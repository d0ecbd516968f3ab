//! The golden bodies as events, and the rows that they write.

use super::{SHOP, StoreFixture};
use novex_ingest::internals::changes::catalogue::ALL_TABLES;
use novex_ingest::internals::clock::Timestamp;
use novex_ingest::internals::event::{EventIdentity, EventKey, Source};
use novex_ingest::internals::handlers::{Event, HandlerError, Plan, Routes};
use novex_ingest::internals::store::StoreError;
use novex_ingest::internals::store::audit::alerts::LoginErrorThreshold;
use novex_ingest::internals::store::db::writer::WriteClass;
use novex_ingest::internals::store::erp::changes::{self, ChangedEvent};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A provider's event.
#[derive(Debug, Clone)]
pub struct ProviderEvent {
    pub source: String,
    pub topic: String,
    pub body: Vec<u8>,
    pub triggered_at: String,
}

impl ProviderEvent {
    /// Runs its handler, as for an event of `shop`.
    pub fn plan(&self, shop: &str) -> Result<Plan, HandlerError> {
        let shop_domain = if self.source == "shopify" { shop } else { "" };
        let body_hash = self.body.iter().fold(7_i64, |hash, byte| hash.wrapping_mul(31).wrapping_add(i64::from(*byte)));
        let key = EventKey {
            source: self.source.parse().unwrap(),
            shop_domain: shop_domain.to_owned(),
            topic: self.topic.clone(),
            webhook_id: String::new(),
        };
        Routes::standard().plan(&Event {
            identity: &EventIdentity { id: 1, key },
            received_at: "2026-11-24T23:00:01Z".parse().unwrap(),
            triggered_at: Some(&self.triggered_at),
            body_hash,
            body: &self.body,
            is_events_preview: false,
            body_notes: None,
        })
    }
}

/// Returns a store with what these events of [`SHOP`] write.
pub async fn fixture_with(events: &[ProviderEvent]) -> StoreFixture {
    let fixture = StoreFixture::new();
    fixture.sql(
        "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
         VALUES (1, 'shopify', '', '', '', '', '')",
    );
    let plans = events.iter().map(|event| event.plan(SHOP).unwrap()).collect();
    apply_plans(&fixture, SHOP, plans).await;
    fixture
}

/// Applies the changes of plans one after the other, each as event 1 of `shop`.
pub async fn apply_plans(fixture: &StoreFixture, shop: &str, plans: Vec<Plan>) {
    let identity = EventIdentity {
        id: 1,
        key: EventKey {
            source: Source::Shopify,
            shop_domain: shop.into(),
            topic: String::new(),
            webhook_id: String::new(),
        },
    };
    fixture
        .store
        .writer
        .submit(WriteClass::Maintain, move |connection| {
            plans.iter().try_for_each(|plan| {
                let event = ChangedEvent {
                    identity: &identity,
                    received_at: Timestamp::UNIX_EPOCH,
                    max_attempts: 8,
                    was_claimed_before: false,
                };
                changes::apply_changes(
                    connection,
                    &event,
                    &plan.changes,
                    &plan.subjects,
                    &LoginErrorThreshold::default(),
                )
            })
        })
        .await
        .unwrap();
}

/// Returns all rows of the ERP tables that meet an SQL condition: one value a line, without NULL.
pub fn dump_erp_tables(fixture: &StoreFixture, condition: &str) -> String {
    let dump = fixture.store.reader.read(|connection| {
        let mut text = String::new();
        let tables: BTreeSet<&str> = ALL_TABLES
            .iter()
            .flat_map(|table| table.lists.iter().map(|list| list.split(':').next().unwrap()).chain([table.name]))
            .chain(["tracking_events", "system_log"])
            .collect();
        for table in tables {
            let columns: Vec<String> = connection
                .prepare(&format!("SELECT * FROM {table}"))?
                .column_names()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let filter =
                if columns.iter().any(|name| name == "order_id" || name == "shop_domain") { condition } else { "1" };
            let order: Vec<String> = (1..=columns.len()).map(|number| number.to_string()).collect();
            let sql = format!("SELECT * FROM {table} WHERE {filter} ORDER BY {}", order.join(", "));
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let _ = writeln!(text, "{table}");
                for (index, name) in columns.iter().enumerate() {
                    let value: rusqlite::types::Value = row.get(index)?;
                    let value = match value {
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(value) => format!("{value:?}"),
                        rusqlite::types::Value::Null => continue,
                        other => format!("{other:?}"),
                    };
                    let _ = writeln!(text, "  {name} = {value}");
                }
            }
        }
        Ok::<_, StoreError>(text)
    });
    dump.unwrap()
}

/// Returns the golden events with the path of each body.
pub fn golden_events() -> Vec<(PathBuf, ProviderEvent)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let events = files.into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (source, topic) = name.split_once('.').unwrap();
        let body = fs::read(&path).unwrap();
        let triggered_at = "2026-11-24T23:00:00.123456Z".to_owned();
        let event = ProviderEvent {
            source: source.into(),
            topic: if source == "shopify" { topic.replacen('-', "/", 1) } else { topic.into() },
            body,
            triggered_at,
        };
        (path, event)
    });
    events.collect()
}
