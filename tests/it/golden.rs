//! What each topic writes: a body of ours in the provider's shape, and beside it the rows that stand in the tables afterwards.
//!
//! `tests/it/golden/SOURCE.TOPIC.json` is the body (a topic's slash is a dash), `….rows` the rows. After a wanted change run the
//! test with `NOVEX_BLESS=1`, which writes the rows anew, and read the difference.

use crate::attempts::Bench;
use crate::util::SHOP;
use novex_ingest::clock::Timestamp;
use novex_ingest::handlers::{Done, Event, Routes, Trouble};
use novex_ingest::store::StoreError;
use novex_ingest::store::alerts::LoginErrors;
use novex_ingest::store::changes;
use novex_ingest::store::claims::{Claim, Holder};
use novex_ingest::store::tables::ALL;
use novex_ingest::store::writer::Kind;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// One event of a story.
#[derive(Debug, Clone)]
pub struct Told {
    pub source: String,
    pub topic: String,
    pub body: Vec<u8>,
    pub triggered_at: String,
}

impl Told {
    /// Plans it as an event of `shop`.
    pub fn plan(&self, shop: &str) -> Result<Done, Trouble> {
        let shop_domain = if self.source == "shopify" { shop } else { "" };
        let body_hash = self.body.iter().fold(7_i64, |hash, byte| hash.wrapping_mul(31).wrapping_add(i64::from(*byte)));
        Routes::standard().find(&self.source, &self.topic).plan(&Event {
            id: 1,
            source: &self.source,
            shop_domain,
            topic: &self.topic,
            received_at: "2026-11-24T23:00:01Z".parse().unwrap(),
            triggered_at: Some(&self.triggered_at),
            body_hash,
            body: &self.body,
        })
    }
}

/// Completes events one after the other, as event 1 of `shop`.
pub async fn complete(bench: &Bench, shop: &str, story: Vec<Done>) {
    let claim = Claim {
        event_id: 1,
        source: "shopify".into(),
        shop_domain: shop.into(),
        topic: String::new(),
        webhook_id: String::new(),
        attempt: 1,
        max_attempts: 8,
        claim: 1,
        received_at: Timestamp::UNIX_EPOCH,
        triggered_at: None,
        holder: Holder { worker: "me:1".into(), process: String::new() },
    };
    bench
        .store
        .writer
        .submit(Kind::Upkeep, move |connection| {
            story.iter().try_for_each(|done| {
                changes::apply(connection, &claim, &done.changes, &done.subjects, &LoginErrors::default())
            })
        })
        .await
        .unwrap();
}

/// Every row of the ERP's tables, one value a line, NULL left out.
pub fn dump(bench: &Bench, condition: &str) -> String {
    let read = bench.store.reader.read(|connection| {
        let mut text = String::new();
        let tables: BTreeSet<&str> = ALL
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
            let order: Vec<String> = (1..=columns.len()).map(|place| place.to_string()).collect();
            let sql = format!("SELECT * FROM {table} WHERE {filter} ORDER BY {}", order.join(", "));
            let mut statement = connection.prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let _ = writeln!(text, "{table}");
                for (place, name) in columns.iter().enumerate() {
                    let value: rusqlite::types::Value = row.get(place)?;
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
    read.unwrap()
}

/// All bodies: file, source, topic.
pub fn bodies() -> Vec<(PathBuf, Told)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let told = files.into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let (source, topic) = name.split_once('.').unwrap();
        let body = fs::read(&path).unwrap();
        let triggered_at = "2026-11-24T23:00:00.123456Z".to_owned();
        let told = Told {
            source: source.into(),
            topic: if source == "shopify" { topic.replacen('-', "/", 1) } else { topic.into() },
            body,
            triggered_at,
        };
        (path, told)
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_topic_writes_its_rows() {
    let bless = std::env::var_os("NOVEX_BLESS").is_some();
    let mut wrong = Vec::new();
    for (path, told) in bodies() {
        let bench = Bench::new();
        let insert = "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
                      VALUES (1, 'shopify', '', '', '', '', '')";
        bench.sql(insert);
        let done = told.plan(SHOP).unwrap_or_else(|trouble| panic!("{}: {trouble:?}", path.display()));
        let note = done.note.clone().map_or(String::new(), |note| format!("note: {note}\n"));
        let subjects: String = done
            .subjects
            .iter()
            .fold(String::new(), |text, subject| text + "about " + subject.kind + " " + &subject.key + "\n");
        complete(&bench, SHOP, vec![done]).await;
        let rows = format!("{note}{subjects}{}", dump(&bench, "1"));
        let file = path.with_extension("rows");
        if bless {
            fs::write(&file, &rows).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != rows {
            wrong.push(format!("{}\n{rows}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "these rows are not as expected:\n{}", wrong.join("\n"));
}
