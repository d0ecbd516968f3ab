//! The rows that each topic writes: a body in the provider's shape, and the expected rows beside it.
//!
//! `tests/it/golden/SOURCE.TOPIC.json` is the body (a slash in the topic is a dash), `….rows` the rows. After an
//! intended change, run the test with `NOVEX_BLESS=1`, which writes the rows, and review the difference.

use crate::support::SHOP;
use crate::support::StoreFixture;
use crate::support::provider_events::{apply_plans, dump_erp_tables, golden_events};
use novex_ingest::internals::changes::Change;
use novex_ingest::internals::changes::rows::CellValue;
use novex_ingest::internals::store::erp::event_summary::find_event_summary;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn each_topic_writes_its_rows() {
    let is_blessing = std::env::var_os("NOVEX_BLESS").is_some();
    let mut differences = Vec::new();
    for (path, event) in golden_events() {
        let fixture = StoreFixture::new();
        let insert = "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
                      VALUES (1, 'shopify', '', '', '', '', '')";
        fixture.sql(insert);
        let plan = event.plan(SHOP).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        let note = plan.note.clone().map_or(String::new(), |note| format!("note: {note}\n"));
        let subjects: String = plan
            .subjects
            .iter()
            .fold(String::new(), |text, subject| text + "about " + subject.kind + " " + &subject.key + "\n");
        apply_plans(&fixture, SHOP, vec![plan]).await;
        let rows = format!("{note}{subjects}{}", dump_erp_tables(&fixture, "1"));
        let file = path.with_extension("rows");
        if is_blessing {
            fs::write(&file, &rows).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != rows {
            differences.push(format!("{}\n{rows}", file.display()));
        }
    }
    assert!(differences.is_empty(), "unexpected rows:\n{}", differences.join("\n"));
}

/// The subjects of an event lead to each row that it became: `events show` and `events search` list them.
#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_found_by_its_event() {
    let mut compared = 0;
    for (path, event) in golden_events() {
        let fixture = StoreFixture::new();
        fixture.sql(
            "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
             VALUES (1, 'shopify', '', '', '', '', '')",
        );
        let plan = event.plan(SHOP).unwrap();
        let mut written = Vec::new();
        for change in &plan.changes {
            match change {
                Change::Row(row) => written.push((row.table.name, format_key(&row.key))),
                Change::DataRequest(_) => written.push(("data_requests", "1".to_owned())),
                Change::AuditEntries(_) => written.push(("system_log", "1".to_owned())),
                // Scans are part of their shipment.
                Change::Fact(_) => {}
                other => panic!("{}: {other:?}", path.display()),
            }
        }
        apply_plans(&fixture, SHOP, vec![plan]).await;
        let found = fixture.store.reader.read(|connection| find_event_summary(connection, 1, SHOP)).unwrap();
        let found: Vec<(&str, &str)> = found.rows.iter().map(|row| (row.table, row.key_text())).collect();
        for (table, key) in written {
            assert!(found.contains(&(table, key.as_str())), "{}: {table} {key} is not in {found:?}", path.display());
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared} rows");
}

fn format_key(key: &[CellValue]) -> String {
    let text = |cell: &CellValue| match cell {
        CellValue::Integer(number) => number.to_string(),
        CellValue::Text(text) => text.clone(),
        CellValue::Null => panic!("a key without a value"),
    };
    key.iter().map(text).collect::<Vec<_>>().join(" ")
}
