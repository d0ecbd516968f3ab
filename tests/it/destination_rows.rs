//! `payload = "rows"`: a destination gets the ERP rows that an event became.

use crate::support::answers::answer_file;
use crate::support::destinations::{home_with_destinations, http_destination, wait_until_delivered};
use crate::support::edi_files::{interchange, order_set};
use crate::support::fake_erp::{FakeErp, ReceivedRequest, Reply};
use crate::support::outbound_documents::{invoice, send_document};
use crate::support::provider_events::{apply_plans, golden_events};
use crate::support::root;
use crate::support::{Home, Request, SHOP, StoreFixture, keycloak_request, shopify_request};
use novex_ingest::internals::changes::catalogue::ALL_TABLES;
use novex_ingest::internals::store::erp::event_rows::EventRowsResult;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// Each golden event is alone in its database, so every row that is there must be in its payload.
#[tokio::test(flavor = "multi_thread")]
async fn every_row_that_an_event_wrote_is_in_its_payload() {
    for (path, event) in golden_events() {
        let fixture = StoreFixture::new();
        let shop = if event.source == "shopify" { SHOP } else { "" };
        fixture.sql(&format!(
            "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
             VALUES (1, '{}', '{shop}', '{}', 'w1', '', '')",
            event.source, event.topic
        ));
        apply_plans(&fixture, shop, vec![event.plan(SHOP).unwrap()]).await;
        let EventRowsResult::Rows(rows) = fixture.store.read_event_rows(1, 1 << 20).unwrap() else {
            panic!("{}: no rows", path.display())
        };
        let tables: Value = serde_json::from_str(&rows.tables).unwrap();
        let all: BTreeSet<&str> = ALL_TABLES.iter().map(|table| table.name).chain(["system_log"]).collect();
        for table in all {
            let stored: usize = fixture.sql(&format!("SELECT count(*) FROM {table}")).parse().unwrap();
            let delivered = tables[table].as_array().map_or(0, Vec::len);
            assert_eq!(delivered, stored, "{table} of {}: {tables}", path.display());
        }
    }
}

fn rows_destination(erp: &FakeErp, topics: &str) -> String {
    http_destination("erp", &erp.url, "payload = \"rows\"").replace("shopify:orders/*", topics)
}

fn send_topic(daemon: &crate::support::Daemon<'_>, topic: &str, webhook_id: &str, body: &Value) {
    let request = shopify_request(webhook_id, body.to_string().as_bytes()).with_header("X-Shopify-Topic", topic);
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request }).event_id();
}

fn payload_of(requests: &[ReceivedRequest], event: &str) -> Value {
    let request = requests.iter().rev().find(|request| request.header("webhook-id") == event).unwrap();
    assert_eq!(request.header("content-type"), "application/json");
    serde_json::from_slice(&request.body).unwrap()
}

fn order(total: &str, updated_at: &str) -> Value {
    json!({"id": 5_820_982_911_946_154_508_i64, "name": "#1001", "currency": "USD", "total_price": total,
        "created_at": "2026-11-23T10:00:00Z", "updated_at": updated_at,
        "line_items": [{"id": 11, "sku": "JAM-6", "quantity": 2, "price": "5.00"}]})
}

#[test]
fn refund_comes_with_its_order_and_a_later_attempt_with_the_newer_state() {
    let erp = FakeErp::start(|_, request| {
        // The ERP refuses the refund until the order has changed.
        let is_refund = request.header("novex-topic") == "refunds/create";
        let is_new = String::from_utf8_lossy(&request.body).contains("\"total\":\"99.00\"");
        Reply::Status(if is_refund && !is_new { 422 } else { 200 })
    });
    let home = home_with_destinations(|_| rows_destination(&erp, "shopify:*"));
    let daemon = home.serve();
    send_topic(&daemon, "orders/create", "w1", &order("10.00", "2026-11-23T10:00:00Z"));
    wait_until_delivered(&home);
    let created = payload_of(&erp.requests(), "1");
    assert_eq!(created["event"]["topic"], "orders/create");
    assert_eq!((&created["event"]["id"], &created["event"]["shop_domain"]), (&json!(1), &json!(SHOP)));
    let row = &created["rows"]["sales_orders"][0];
    assert_eq!((&row["order_id"], &row["total"]), (&json!(5_820_982_911_946_154_508_i64), &json!("10.00")));
    assert!(row["row_version"].as_str().unwrap().starts_with("2026-11-23T10:00:00.000Z"), "{row}");
    let line = &created["rows"]["sales_order_lines"][0];
    assert_eq!((&line["sku"], &line["quantity"], &line["price"]), (&json!("JAM-6"), &json!(2), &json!("5.00")));
    assert_eq!(created["rows"]["refunds"], json!([]), "a table without a row is an empty list");
    assert_eq!((&created["deleted"], &created["redacted"]), (&json!([]), &json!([])));
    // The names of the columns are those of the schema, in its order.
    let columns = home.sql("SELECT name FROM pragma_table_info('sales_orders') WHERE name <> 'column_versions'");
    let text = String::from_utf8(erp.requests()[0].body.clone()).unwrap();
    let places: Vec<usize> = columns
        .lines()
        .map(|name| text.split("\"sales_orders\":").nth(1).unwrap().find(&format!("\"{name}\":")).unwrap())
        .collect();
    assert!(places.is_sorted() && row.as_object().unwrap().len() == places.len(), "{text}");

    send_topic(
        &daemon,
        "refunds/create",
        "w2",
        &json!({"id": 21, "order_id": 5_820_982_911_946_154_508_i64, "created_at": "2026-11-24T10:00:00Z",
            "refund_line_items": [{"id": 31, "line_item_id": 11, "quantity": 1, "subtotal_set": {"shop_money": {"amount": "5.00"}},
                "subtotal": "5.00", "total_tax": "0.40"}]}),
    );
    home.wait_for("SELECT status FROM destination_deliveries WHERE event_id = 2", "failed");
    home.sql("UPDATE sales_orders SET total = '99.00'");
    home.run_ok(&["events", "retry", "2"]);
    wait_until_delivered(&home);
    let refund = payload_of(&erp.requests(), "2");
    assert_eq!(refund["rows"]["refunds"][0]["refund_id"], 21);
    assert_eq!(refund["rows"]["refund_lines"][0]["subtotal"], "5.00");
    assert_eq!(refund["rows"]["sales_orders"][0]["total"], "99.00", "the state of the last attempt");
    assert_eq!(refund["rows"]["sales_order_lines"][0]["sku"], "JAM-6");
}

#[test]
fn deletions_and_redactions_are_stated() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| rows_destination(&erp, "shopify:*"));
    let daemon = home.serve();
    let product = json!({"id": 41, "title": "Jam", "updated_at": "2026-11-23T10:00:00Z", "variants": [{"id": 42, "sku": "JAM-6"}]});
    send_topic(&daemon, "products/create", "w1", &product);
    wait_until_delivered(&home);
    send_topic(&daemon, "products/delete", "w2", &json!({"id": 41}));
    wait_until_delivered(&home);
    let deleted = payload_of(&erp.requests(), "2");
    assert_eq!(deleted["deleted"][0]["table"], "products");
    assert_eq!(deleted["deleted"][0]["key"], json!({"shop_domain": SHOP, "product_id": 41}));
    assert_eq!(deleted["deleted"][0]["deleted_at"], deleted["rows"]["products"][0]["deleted_at"]);
    assert!(deleted["deleted"][0]["deleted_at"].is_string());

    send_topic(&daemon, "orders/create", "w3", &order("10.00", "2026-11-23T10:00:00Z"));
    wait_until_delivered(&home);
    let redact = json!({"shop_domain": SHOP, "customer": {"id": 99, "email": "ada@example.com"},
        "orders_to_redact": [5_820_982_911_946_154_508_i64]});
    send_topic(&daemon, "customers/redact", "w4", &redact);
    wait_until_delivered(&home);
    let requests = erp.requests();
    let redaction = payload_of(&requests, "4");
    assert_eq!(redaction["redaction"]["customer"], json!({"id": 99}));
    assert_eq!(redaction["redaction"]["orders_to_redact"], json!([5_820_982_911_946_154_508_i64]));
    assert_eq!(redaction["rows"], json!({}));
    assert!(!redaction.to_string().contains("ada@example.com"));
    assert_eq!(home.sql("SELECT DISTINCT status FROM destination_deliveries"), "delivered");
}

/// Returns a home that polls the directory `in`.
fn home_with_edi_source(erp: &FakeErp) -> Home {
    home_with_destinations(|home| {
        for name in ["in", "out"] {
            fs::create_dir(home.path(name)).unwrap();
        }
        format!(
            "[sps]\ninterval = \"0s\"\noutgoing = \"out\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n",
            home.path("in").display()
        ) + &rows_destination(erp, "*")
    })
}

#[test]
fn purchase_orders_and_audit_entries_are_rows_too() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_edi_source(&erp);
    let daemon = home.serve();
    fs::write(home.path("in/PO1.edi"), interchange("850", &[order_set("PO1", 2)])).unwrap();
    home.run_ok(&["sps", "poll"]);
    wait_until_delivered(&home);
    let requests = erp.requests();
    let request = requests.iter().find(|request| request.header("novex-topic") == "850").unwrap();
    let headers = ["novex-document-type", "novex-partner", "novex-file-name"].map(|name| request.header(name));
    assert_eq!(headers, ["850", "ACMERETAIL", "PO1.edi"]);
    let rows = &payload_of(&requests, request.header("webhook-id"))["rows"];
    assert_eq!(rows["purchase_orders"][0]["lines_total"], "598.5");
    assert_eq!(rows["purchase_order_lines"].as_array().unwrap().len(), 2);
    assert!(!rows["purchase_order_parts"].as_array().unwrap().is_empty());

    // An answer comes with the document that it answers.
    assert_eq!(send_document(&home, "810", &invoice("INV-1"), &[]).0, 0);
    wait_until_delivered(&home);
    fs::write(home.path("in/answer.edi"), answer_file("997", &["AK1*IN*2", "AK9*R*1*1*0"])).unwrap();
    home.run_ok(&["sps", "poll"]);
    wait_until_delivered(&home);
    let requests = erp.requests();
    let request = requests.iter().find(|request| request.header("novex-topic") == "997").unwrap();
    let rows = &payload_of(&requests, request.header("webhook-id"))["rows"];
    assert_eq!(
        (&rows["edi_answers"][0]["verdict"], &rows["edi_answers"][0]["scope"]),
        (&json!("rejected"), &json!("group"))
    );
    let sent = &rows["edi_transmissions"][0];
    assert_eq!((&sent["number"], &sent["state"]), (&json!("INV-1"), &json!("rejected")));

    let id = daemon.request(&keycloak_request(br#"{"id":"k1","type":"LOGIN","time":1795725000000}"#)).event_id();
    wait_until_delivered(&home);
    let entry = payload_of(&erp.requests(), &id.to_string());
    assert_eq!(entry["rows"]["system_log"][0]["type"], "LOGIN");
}

#[test]
fn config_check_refuses_another_payload() {
    let home = home_with_destinations(|_| http_destination("erp", "http://127.0.0.1:9", "payload = \"row\""));
    let output = home.run(&["config", "check"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.code() == Some(1) && text.contains("\"row\" is not a payload"), "{text}");
}

/// The sample of docs/erp-integration.md is what a destination gets for this refund, except the times of this run.
#[test]
fn sample_of_the_document_is_a_real_payload() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| rows_destination(&erp, "shopify:*"));
    let daemon = home.serve();
    let order = json!({"id": 5_820_982_911_946_154_508_i64, "name": "#1001", "currency": "USD", "total_price": "404.96",
        "subtotal_price": "404.96", "total_tax": "0.00", "financial_status": "paid", "email": "ada@example.com",
        "created_at": "2026-11-23T10:00:00-05:00", "updated_at": "2026-11-23T10:00:05-05:00",
        "line_items": [{"id": 14_890_213_756_428_i64, "sku": "GRANOLA-12", "title": "Granola", "quantity": 2,
            "current_quantity": 2, "price": "202.48", "variant_id": 43_212_345_678_901_235_i64}]});
    send_topic(&daemon, "orders/create", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", &order);
    wait_until_delivered(&home);
    let refund = json!({"id": 929_361_464_i64, "order_id": 5_820_982_911_946_154_508_i64, "note": "broken jar",
        "restock": false, "created_at": "2026-11-24T09:30:00-05:00", "processed_at": "2026-11-24T09:30:00-05:00",
        "refund_line_items": [{"id": 104_689_539_i64, "line_item_id": 14_890_213_756_428_i64, "quantity": 1,
            "restock_type": "no_restock", "subtotal": "202.48", "total_tax": "0.00",
            "subtotal_set": {"shop_money": {"amount": "202.48"}}, "total_tax_set": {"shop_money": {"amount": "0.00"}}}]});
    send_topic(&daemon, "refunds/create", "d8f6c1a2-1f0e-4a49-9a57-51f0f5a3f1a0", &refund);
    wait_until_delivered(&home);
    let page = fs::read_to_string(root().join("docs/erp-integration.md")).unwrap();
    let section = page.split("\n### Rows\n").nth(1).unwrap();
    let sample = section.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let requests = erp.requests();
    let request = requests.iter().find(|request| request.header("webhook-id") == "2").unwrap();
    let text = String::from_utf8(request.body.clone()).unwrap();
    let normalize = |text: &str| {
        let mut payload: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        hide_times_of_run(&mut payload);
        payload
    };
    let (sample, payload) = (normalize(sample), normalize(&text));
    assert!(is_contained(&sample, &payload), "the sample is not in this payload: {text}");
    assert!(sample["rows"]["refund_lines"][0]["subtotal"].is_string() && sample["rows"]["sales_orders"][0].is_object());
}

/// Returns true if each value of `part` is in `whole`, at the same place. A new column need not be in the document.
fn is_contained(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|other| is_contained(value, other)))
        }
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(value, other)| is_contained(value, other))
        }
        _ => part == whole,
    }
}

/// Replaces the times at which this run received the event and read the rows. They are also in row versions.
fn hide_times_of_run(payload: &mut Value) {
    payload["read_at"] = json!("");
    payload["event"]["received_at"] = json!("");
    for row in payload["rows"].as_object_mut().unwrap().values_mut().flat_map(|table| table.as_array_mut().unwrap()) {
        if let Some(Value::String(version)) = row.get_mut("row_version") {
            let parts: Vec<&str> = version.split(' ').collect();
            *version = format!("{} {}", parts[0], parts[2]);
        }
    }
}
