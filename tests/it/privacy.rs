//! Redaction that Shopify requests, also in the bytes of the file; customers' requests for their data.

use crate::support::seed::seeded_rng;
use crate::support::{
    Daemon, Home, NO_REDACTION_DELAY, OTHER_SECRET, OTHER_SHOP, Request, SHOP, base64, easypost_request, hmac_sha256,
    shopify_request,
};
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Words that occur in Ada's events only.
const ADA_WORDS: [&str; 6] =
    ["ada@example.com", "Lovelace", "12 Analytical Row", "ring the bell twice", "+15550142", "ada-signed-here"];
const CUSTOMER: u64 = 7_115_134_935_223_412_345;

fn send_webhook(daemon: &Daemon<'_>, id: &str, topic: &str, body: &str) -> i64 {
    crate::support::send_webhook(daemon, id, topic, body.as_bytes())
}

fn ada_order(id: u64, note: &str) -> String {
    format!(
        r##"{{"id":{id},"name":"#{id}","currency":"USD","total_price":"10.00","updated_at":"2026-11-23T10:00:00Z","email":"ada@example.com",
        "phone":"+15550142","note":"{note}","customer":{{"id":{CUSTOMER},"last_name":"Lovelace"}},
        "shipping_address":{{"last_name":"Lovelace","address1":"12 Analytical Row"}},
        "line_items":[{{"id":{id}1,"sku":"JAM-6","quantity":2,"price":"5.00"}}],
        "fulfillments":[{{"id":{id}7,"order_id":{id},"tracking_numbers":["1Z{id}"],"updated_at":"2026-11-23T10:00:00Z"}}]}}"##
    )
}

fn send_ada_events(daemon: &Daemon<'_>) {
    let customer = format!(
        r#"{{"id":{CUSTOMER},"email":"ada@example.com","last_name":"Lovelace","phone":"+15550142","updated_at":"2026-11-23T09:00:00Z","addresses":[{{"id":1,"address1":"12 Analytical Row"}}]}}"#
    );
    send_webhook(daemon, "c", "customers/update", &customer);
    send_webhook(daemon, "o", "orders/create", &ada_order(100, "ring the bell twice"));
    // The same id with other bytes: stored as a conflict.
    send_webhook(daemon, "o", "orders/create", &ada_order(100, "ring the bell twice, please"));
    // An unknown topic: only its bytes contain the person.
    send_webhook(daemon, "u", "checkouts/create", r#"{"email":"ada@example.com","note":"ring the bell twice"}"#);
    // It fails: its total is not a number.
    send_webhook(daemon, "f", "orders/updated", &ada_order(100, "Lovelace").replace("\"10.00\"", "\"ten\""));
    let tracker = r#"{"id":"evt_1","description":"tracker.updated","mode":"production","result":{"id":"trk_1","object":"Tracker","mode":"production","tracking_code":"1Z100","signed_by":"ada-signed-here","updated_at":"2026-11-24T00:00:00Z"}}"#;
    daemon.request(&easypost_request(tracker.as_bytes())).event_id();
    // An order of another customer of the same shop.
    send_webhook(
        daemon,
        "x",
        "orders/create",
        &ada_order(200, "-")
            .replace("ada@example.com", "bob@example.com")
            .replace(&CUSTOMER.to_string(), "77")
            .replace("Lovelace", "Builder")
            .replace("12 Analytical Row", "1 Fix Street")
            .replace("+15550142", "+15550199"),
    );
}

/// Returns the words that occur in the bytes of the database or its WAL.
fn find_words<'w>(home: &Home, words: &[&'w str]) -> Vec<&'w str> {
    let mut bytes = fs::read(home.db()).unwrap();
    bytes.extend(fs::read(home.path("events.db-wal")).unwrap_or_default());
    words.iter().copied().filter(|word| bytes.windows(word.len()).any(|part| part == word.as_bytes())).collect()
}

fn redact(daemon: &Daemon<'_>, orders: &str) -> i64 {
    let body = format!(
        r#"{{"shop_id":1,"shop_domain":"{SHOP}","customer":{{"id":{CUSTOMER},"email":"Ada@example.com","phone":"+15550142"}},"orders_to_redact":{orders}}}"#
    );
    send_webhook(daemon, "redact", "customers/redact", &body)
}

#[test]
fn redacted_customer_is_removed_from_the_bytes_of_the_file() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    send_ada_events(&daemon);
    home.wait_until_processed();
    assert_eq!(find_words(&home, &ADA_WORDS), ADA_WORDS, "the words were stored before");
    let id = redact(&daemon, "[100]");
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM webhook_events WHERE redacted_at IS NOT NULL", "6");
    // The mark is written after the daemon has emptied the WAL.
    home.wait_for("SELECT count(*) FROM redactions WHERE scrubbed_at IS NULL", "0");
    assert_eq!(find_words(&home, &ADA_WORDS), [""; 0], "no event is left");
    // The event, its amounts and its lines stay; so do the data of other people.
    assert_eq!(
        home.sql(&format!("SELECT status, redacted_at IS NOT NULL FROM webhook_events WHERE id = {id}")),
        "completed|1"
    );
    assert_eq!(
        home.sql("SELECT order_id, total, email FROM sales_orders ORDER BY 1"),
        "100|10.00|\n200|10.00|bob@example.com"
    );
    assert_eq!(home.sql("SELECT count(*) FROM sales_order_lines"), "2");
    assert_eq!(home.sql("SELECT count(*) FROM customers"), "0");
    assert_eq!(find_words(&home, &["bob@example.com", "1 Fix Street"]).len(), 2);
    home.assert_consistent();
}

/// A later event about the same customer is redacted too.
#[test]
fn late_event_of_a_redacted_customer_is_redacted() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    redact(&daemon, "[100]");
    home.wait_until_processed();
    send_ada_events(&daemon);
    home.wait_until_processed();
    daemon.stop();
    let left = find_words(&home, &["12 Analytical Row", "+15550142"]);
    // Only the bytes of the failed and the unhandled event name her; the redaction searched before they arrived.
    assert_eq!(home.sql("SELECT count(*) FROM customers"), "0");
    // The amounts are known, the person is not.
    assert_eq!(
        home.sql("SELECT order_id, total, coalesce(email, '') FROM sales_orders ORDER BY 1"),
        "100|10.00|\n200|10.00|bob@example.com"
    );
    assert_eq!(home.sql("SELECT group_concat(webhook_id) FROM webhook_events WHERE redacted_at IS NOT NULL AND webhook_id IN ('c', 'o')"), "c,o");
    assert!(left.len() <= 2, "{left:?}");
}

#[test]
fn redacted_shop_is_removed_and_others_stay() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    send_ada_events(&daemon);
    for id in 1..500 {
        send_webhook(&daemon, &format!("w{id}"), "orders/create", &ada_order(1000 + id, "-"));
    }
    let body = ada_order(300, "-").replace("ada@example.com", "eve@example.com");
    let other = shopify_request("w", body.as_bytes())
        .with_header("X-Shopify-Shop-Domain", OTHER_SHOP)
        .with_header("X-Shopify-Hmac-Sha256", &base64(&hmac_sha256(OTHER_SECRET.as_bytes(), body.as_bytes())));
    daemon.request(&other).event_id();
    home.wait_until_processed();
    let wrong = send_webhook(&daemon, "r0", "shop/redact", &format!(r#"{{"shop_id":1,"shop_domain":"{OTHER_SHOP}"}}"#));
    home.wait_until_processed();
    let error = home.sql(&format!("SELECT last_error FROM webhook_events WHERE id = {wrong}"));
    assert!(error.contains("nothing was changed"), "the body names another shop than the signature: {error}");
    send_webhook(&daemon, "r1", "shop/redact", &format!(r#"{{"shop_id":1,"shop_domain":"{SHOP}"}}"#));
    home.wait_until_processed();
    daemon.stop();
    assert_eq!(
        home.sql(&format!("SELECT count(*) FROM webhook_events WHERE shop_domain = '{SHOP}' AND redacted_at IS NULL")),
        "0"
    );
    assert_eq!(home.sql("SELECT shop_domain, order_id FROM sales_orders"), format!("{OTHER_SHOP}|300"));
    assert_eq!(find_words(&home, &["ada@example.com", "ring the bell twice"]), [""; 0]);
    assert_eq!(find_words(&home, &["eve@example.com"]).len(), 1);
}

/// Several handlers run while a shop is redacted: no handler writes afterwards what it read before.
#[test]
fn redacted_shop_gets_no_writes_of_running_handlers() {
    let home = Home::new(&format!("{NO_REDACTION_DELAY}[worker]\nin_serve = false\nconcurrency = 8"));
    let daemon = home.serve();
    let lines: Vec<String> =
        (0..800).map(|line| format!(r#"{{"id":{},"sku":"S","quantity":1}}"#, 1000 + line)).collect();
    for id in 1..=20 {
        let body = ada_order(id, "-").replace("\"line_items\":[", &format!("\"line_items\":[{},", lines.join(",")));
        send_webhook(&daemon, &format!("w{id}"), "orders/create", &body);
        if id == 10 {
            send_webhook(&daemon, "r", "shop/redact", &format!(r#"{{"shop_id":1,"shop_domain":"{SHOP}"}}"#));
        }
    }
    home.run_ok(&["work", "--once"]);
    daemon.stop();
    assert_eq!(home.sql("SELECT DISTINCT status, redacted_at IS NOT NULL FROM webhook_events"), "completed|1");
    for table in ["sales_orders", "sales_order_lines", "sales_order_addresses"] {
        assert_eq!(home.sql(&format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
    assert_eq!(find_words(&home, &["ada@example.com"]), [""; 0]);
}

/// joann@example.com is not ann@example.com, and 19870 is not 987: no event of another person is redacted, processed or
/// not.
#[test]
fn redaction_keeps_data_of_other_people() {
    let home = Home::new(&format!("{NO_REDACTION_DELAY}[worker]\nin_serve = false"));
    let daemon = home.serve();
    send_webhook(&daemon, "u1", "checkouts/create", r#"{"email":"joann@example.com","id":19870}"#);
    send_webhook(&daemon, "u2", "checkouts/create", r#"{"email":"ANN@example.com"}"#);
    home.run_ok(&["work", "--once"]);
    let body = format!(
        r#"{{"shop_domain":"{SHOP}","customer":{{"id":987,"email":"ann@example.com"}},"orders_to_redact":[]}}"#
    );
    send_webhook(&daemon, "r", "customers/redact", &body);
    send_webhook(&daemon, "o", "orders/create", &ada_order(5, "-").replace("ada@example.com", "joann@example.com"));
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT webhook_id FROM webhook_events WHERE redacted_at IS NOT NULL ORDER BY id"), "u2\nr");
    assert_eq!(home.sql("SELECT email FROM sales_orders"), "joann@example.com");
    assert_eq!(
        home.run(&["events", "retry", "2"]).status.code(),
        Some(1),
        "a redacted event cannot be processed again"
    );
}

/// A failed or unhandled event is hers by her phone number, or by an order number in the request.
#[test]
fn failed_and_unhandled_events_are_redacted_by_phone_and_order() {
    let home = Home::new(&format!("{NO_REDACTION_DELAY}[worker]\nin_serve = false"));
    let daemon = home.serve();
    send_webhook(&daemon, "phone", "checkouts/create", r#"{"billing":{"phone":"+1 555-0142-000"}}"#);
    send_webhook(&daemon, "order", "orders/updated", r#"{"id":5550001,"total_price":"ten","note":"Ada"}"#);
    send_webhook(&daemon, "gid", "reverse_deliveries/attach", r#"{"order":{"id":"gid://shopify/Order/5550001"}}"#);
    send_webhook(&daemon, "other", "checkouts/create", r#"{"phone":"+1 555-0142-001","total":5550001}"#);
    home.run_ok(&["work", "--once"]);
    let body = format!(
        r#"{{"shop_domain":"{SHOP}","customer":{{"id":987,"email":"ann@example.com","phone":"+15550142000"}},"orders_to_redact":[5550001]}}"#
    );
    send_webhook(&daemon, "r", "customers/redact", &body);
    // It arrives after the redaction; the customer's number, where nearly all bodies have it, shows that it is hers.
    home.run_ok(&["work", "--once"]);
    send_webhook(&daemon, "late", "checkouts/update", r#"{"customer":{"id":987},"note":"Ada"}"#);
    home.run_ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT webhook_id FROM webhook_events WHERE redacted_at IS NOT NULL ORDER BY id"),
        "phone\norder\ngid\nr\nlate"
    );
}

/// SQLite leaves copies of rows where it moves them between pages. With many orders, no copy may remain.
#[test]
fn redaction_leaves_no_copies_in_database_pages() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    let mut connection = daemon.connect();
    let mut orders: Vec<u64> = (1000..3500).collect();
    seeded_rng().shuffle(&mut orders);
    for id in &orders {
        let body = ada_order(*id, "-");
        connection.request(&shopify_request(&format!("w{id}"), body.as_bytes())).event_id();
    }
    home.wait_until_processed();
    let all: Vec<String> = orders.iter().map(u64::to_string).collect();
    let body =
        format!(r#"{{"shop_domain":"{SHOP}","customer":{{"id":{CUSTOMER}}},"orders_to_redact":[{}]}}"#, all.join(","));
    send_webhook(&daemon, "redact", "customers/redact", &body);
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM redactions WHERE scrubbed_at IS NOT NULL", "1");
    daemon.stop();
    assert_eq!(find_words(&home, &["@example.com", "Lovelace", "12 Analytical Row"]), [""; 0]);
    home.assert_consistent();
}

/// EasyPost got the order's name as reference: the shipment is hers too, and so are the carrier's scans.
#[test]
fn package_found_by_reference_is_redacted() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    send_webhook(&daemon, "o", "orders/create", &ada_order(100, "-").replace("1Z100", "other"));
    for body in [
        r##"{"id":"evt_s","description":"shipment.created","mode":"production","result":{"id":"shp_1","object":"Shipment","mode":"production","reference":"#100","tracking_code":"1ZREF","to_address":{"street1":"12 Analytical Row"},"updated_at":"2026-11-24T00:00:00Z"}}"##,
        r#"{"id":"evt_t","description":"tracker.updated","mode":"production","result":{"id":"trk_1","object":"Tracker","mode":"production","tracking_code":"1ZREF","shipment_id":"shp_1","signed_by":"ada-signed-here","updated_at":"2026-11-24T00:00:00Z","created_at":"2026-11-24T00:00:00Z"}}"#,
    ] {
        daemon.request(&easypost_request(body.as_bytes())).event_id();
    }
    // A manifest of two packages, hers and another person's.
    let manifest = r#"{"id":"evt_m","description":"scan_form.created","mode":"production","result":{"id":"sf_1","object":"ScanForm","mode":"production","tracking_codes":["1ZREF","1ZBOB"],"updated_at":"2026-11-24T00:00:00Z"}}"#;
    daemon.request(&easypost_request(manifest.as_bytes())).event_id();
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT linked_by FROM shipments"), "reference");
    redact(&daemon, "[100]");
    home.wait_until_processed();
    let redacted =
        "SELECT group_concat(webhook_id) FROM webhook_events WHERE source = 'easypost' AND redacted_at IS NOT NULL";
    assert_eq!(home.sql(redacted), "evt_s,evt_t");
    let bobs = r#"{"id":"evt_b","description":"tracker.updated","mode":"production","result":{"id":"trk_2","object":"Tracker","mode":"production","tracking_code":"1ZBOB","signed_by":"bob-signed","updated_at":"2026-11-24T00:00:00Z"}}"#;
    daemon.request(&easypost_request(bobs.as_bytes())).event_id();
    daemon.request(&easypost_request(manifest.replace("evt_m", "evt_n").as_bytes())).event_id();
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT signed_by FROM shipments WHERE tracking_code = '1ZBOB'"), "bob-signed");
    assert_eq!(home.sql(redacted), "evt_s,evt_t", "no data of other people");
}

/// A failed event is about a person too, before the redaction and after.
#[test]
fn late_failed_event_is_redacted() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    redact(&daemon, "[5550001]");
    home.wait_until_processed();
    send_webhook(&daemon, "f", "orders/updated", r#"{"id":5550001,"total_price":"ten","note":"Lovelace"}"#);
    home.wait_until_processed();
    assert_eq!(
        home.sql("SELECT status, redacted_at IS NOT NULL FROM webhook_events WHERE webhook_id = 'f'"),
        "failed|1"
    );
    home.wait_for("SELECT count(*) FROM redactions WHERE scrubbed_at IS NULL", "0");
    daemon.stop();
    assert_eq!(find_words(&home, &["Lovelace"]), [""; 0]);
}

/// A sqlite3 shell keeps the WAL open: the daemon reports it, and empties the WAL when the shell ends.
#[test]
fn reader_that_delays_the_scrub_is_logged() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    send_ada_events(&daemon);
    home.wait_until_processed();
    let mut shell =
        Command::new("sqlite3").arg(home.db()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.as_mut().unwrap(), "BEGIN;\nSELECT 1 FROM webhook_events LIMIT 1;").unwrap();
    let mut seen = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    redact(&daemon, "[100]");
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM webhook_events WHERE redacted_at IS NOT NULL", "6");
    home.wait_for_log("still holds traces of redacted data", 1);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    // The mark is written after the daemon has emptied the WAL.
    home.wait_for("SELECT count(*) FROM redactions WHERE scrubbed_at IS NULL", "0");
    assert_eq!(find_words(&home, &ADA_WORDS), [""; 0]);
}

#[test]
fn data_request_has_a_deadline_and_an_export() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    send_ada_events(&daemon);
    let body = format!(
        r#"{{"shop_id":1,"shop_domain":"{SHOP}","orders_requested":[100],"customer":{{"id":{CUSTOMER},"email":"ada@example.com"}},"data_request":{{"id":9999}}}}"#
    );
    let request = shopify_request("d", body.as_bytes())
        .with_header("X-Shopify-Topic", "customers/data_request")
        .with_header("X-Shopify-Triggered-At", "2026-11-24T10:00:00Z");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/data_request".into(), ..request }).event_id();
    home.wait_until_processed();
    let listed: serde_json::Value = serde_json::from_str(home.run_ok(&["privacy", "list", "--json"]).trim()).unwrap();
    assert_eq!(listed["kind"], "data_request");
    assert_eq!(
        (listed["due_at"].as_str(), listed["request_id"].as_i64()),
        (Some("2026-12-24T10:00:00.000Z"), Some(9999))
    );
    let export: serde_json::Value = serde_json::from_str(&home.run_ok(&["privacy", "export", "1"])).unwrap();
    assert_eq!(export["tables"]["customers"][0]["email"], "ada@example.com");
    assert_eq!(export["tables"]["sales_order_addresses"][0]["address1"], "12 Analytical Row");
    assert!(export["events"].as_array().unwrap().iter().any(|event| event["body"]["note"] == "ring the bell twice"));
    assert!(!export.to_string().contains("bob@example.com"));
    // The package too: the carrier's scans, and the event with them.
    assert_eq!(export["tables"]["fulfillment_tracking_numbers"][0]["number"], "1Z100");
    assert_eq!(export["tables"]["shipments"].as_array().unwrap().len(), 1);
    assert_eq!(export["tables"]["shipments"][0]["signed_by"], "ada-signed-here");
    let events = export["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["topic"] == "tracker.updated"));
    assert!(events.iter().any(|event| event["other_bodies"][0]["note"] == "ring the bell twice, please"));
    home.run_ok(&["privacy", "done", "1"]);
    assert!(home.run_ok(&["privacy", "list"]).contains("done "));
    assert_eq!(home.run(&["privacy", "export", "7"]).status.code(), Some(1));
}

/// A guest has no number at Shopify: the address in the request finds the orders.
#[test]
fn guests_data_is_found_by_email() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    send_ada_events(&daemon);
    let body = format!(
        r#"{{"shop_domain":"{SHOP}","orders_requested":[],"customer":{{"email":"BOB@example.com"}},"data_request":{{"id":7}}}}"#
    );
    send_webhook(&daemon, "d", "customers/data_request", &body);
    home.wait_until_processed();
    let export = home.run_ok(&["privacy", "export", "1"]);
    assert!(export.contains("bob@example.com") && export.contains("1 Fix Street"), "{export}");
    assert!(!export.contains("ada@example.com"));
}
