//! Erasing what Shopify asks to be erased, from the bytes of the file too; customers' requests for their data.

use crate::util::{Daemon, Home, OTHER_SECRET, OTHER_SHOP, Request, SHOP, base64, easypost, hmac, shopify};
use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Words that stand in Ada's events and nowhere else.
const ADAS: [&str; 6] =
    ["ada@example.com", "Lovelace", "12 Analytical Row", "ring the bell twice", "+15550142", "ada-signed-here"];
const CUSTOMER: u64 = 7_115_134_935_223_412_345;

fn send(daemon: &Daemon<'_>, id: &str, topic: &str, body: &str) -> i64 {
    let request = shopify(id, body.as_bytes()).with("X-Shopify-Topic", topic);
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request }).event_id()
}

fn adas_order(id: u64, note: &str) -> String {
    format!(
        r##"{{"id":{id},"name":"#{id}","currency":"USD","total_price":"10.00","updated_at":"2026-11-23T10:00:00Z","email":"ada@example.com",
        "phone":"+15550142","note":"{note}","customer":{{"id":{CUSTOMER},"last_name":"Lovelace"}},
        "shipping_address":{{"last_name":"Lovelace","address1":"12 Analytical Row"}},
        "line_items":[{{"id":{id}1,"sku":"JAM-6","quantity":2,"price":"5.00"}}],
        "fulfillments":[{{"id":{id}7,"order_id":{id},"tracking_numbers":["1Z{id}"],"updated_at":"2026-11-23T10:00:00Z"}}]}}"##
    )
}

fn adas_events(daemon: &Daemon<'_>) {
    let customer = format!(
        r#"{{"id":{CUSTOMER},"email":"ada@example.com","last_name":"Lovelace","phone":"+15550142","updated_at":"2026-11-23T09:00:00Z","addresses":[{{"id":1,"address1":"12 Analytical Row"}}]}}"#
    );
    send(daemon, "c", "customers/update", &customer);
    send(daemon, "o", "orders/create", &adas_order(100, "ring the bell twice"));
    // The same id with other bytes: kept as a conflict.
    send(daemon, "o", "orders/create", &adas_order(100, "ring the bell twice, please"));
    // Nothing handles it, and nothing knows whose it is but its bytes.
    send(daemon, "u", "checkouts/create", r#"{"email":"ada@example.com","note":"ring the bell twice"}"#);
    // It fails: its total is no number.
    send(daemon, "f", "orders/updated", &adas_order(100, "Lovelace").replace("\"10.00\"", "\"ten\""));
    let tracker = r#"{"id":"evt_1","description":"tracker.updated","mode":"production","result":{"id":"trk_1","object":"Tracker","mode":"production","tracking_code":"1Z100","signed_by":"ada-signed-here","updated_at":"2026-11-24T00:00:00Z"}}"#;
    daemon.request(&easypost(tracker.as_bytes())).event_id();
    // Somebody else's, of the same shop.
    send(
        daemon,
        "x",
        "orders/create",
        &adas_order(200, "-")
            .replace("ada@example.com", "bob@example.com")
            .replace(&CUSTOMER.to_string(), "77")
            .replace("Lovelace", "Builder")
            .replace("12 Analytical Row", "1 Fix Street")
            .replace("+15550142", "+15550199"),
    );
}

/// Which of the words stand in the bytes of the database or its WAL.
fn found<'w>(home: &Home, words: &[&'w str]) -> Vec<&'w str> {
    let mut bytes = fs::read(home.db()).unwrap();
    bytes.extend(fs::read(home.path("events.db-wal")).unwrap_or_default());
    words.iter().copied().filter(|word| bytes.windows(word.len()).any(|part| part == word.as_bytes())).collect()
}

fn redact(daemon: &Daemon<'_>, orders: &str) -> i64 {
    let body = format!(
        r#"{{"shop_id":1,"shop_domain":"{SHOP}","customer":{{"id":{CUSTOMER},"email":"Ada@example.com","phone":"+15550142"}},"orders_to_redact":{orders}}}"#
    );
    send(daemon, "redact", "customers/redact", &body)
}

#[test]
fn a_redacted_customer_is_gone_from_the_bytes_of_the_file() {
    let home = Home::new("");
    let daemon = home.serve();
    adas_events(&daemon);
    home.wait_until_worked();
    assert_eq!(found(&home, &ADAS), ADAS, "they were there");
    let id = redact(&daemon, "[100]");
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM webhook_events WHERE erased_at IS NOT NULL", "6");
    while fs::metadata(home.path("events.db-wal")).unwrap().len() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(found(&home, &ADAS), [""; 0], "not one of them is left");
    // What came, what it was worth and what was on it stays; so does everybody else.
    assert_eq!(
        home.sql(&format!("SELECT status, erased_at IS NOT NULL FROM webhook_events WHERE id = {id}")),
        "completed|1"
    );
    assert_eq!(
        home.sql("SELECT order_id, total, email FROM sales_orders ORDER BY 1"),
        "100|10.00|\n200|10.00|bob@example.com"
    );
    assert_eq!(home.sql("SELECT count(*) FROM sales_order_lines"), "2");
    assert_eq!(home.sql("SELECT count(*) FROM customers"), "0");
    assert_eq!(found(&home, &["bob@example.com", "1 Fix Street"]).len(), 2);
    home.assert_sound();
}

/// What comes after the erasure about the same customer is erased too, whatever it says.
#[test]
fn a_late_event_of_a_redacted_customer_is_erased_too() {
    let home = Home::new("");
    let daemon = home.serve();
    redact(&daemon, "[100]");
    home.wait_until_worked();
    adas_events(&daemon);
    home.wait_until_worked();
    daemon.stop();
    let left = found(&home, &["12 Analytical Row", "+15550142"]);
    // The failed and the unhandled one are not known to be hers; the erasure had looked before they came.
    assert_eq!(home.sql("SELECT count(*) FROM customers"), "0");
    // What it was worth is known, whose it was is not.
    assert_eq!(
        home.sql("SELECT order_id, total, coalesce(email, '') FROM sales_orders ORDER BY 1"),
        "100|10.00|\n200|10.00|bob@example.com"
    );
    assert_eq!(home.sql("SELECT group_concat(webhook_id) FROM webhook_events WHERE erased_at IS NOT NULL AND webhook_id IN ('c', 'o')"), "c,o");
    assert!(left.len() <= 2, "{left:?}");
}

#[test]
fn a_redacted_shop_is_gone_and_the_others_are_not() {
    let home = Home::new("");
    let daemon = home.serve();
    adas_events(&daemon);
    for id in 1..500 {
        send(&daemon, &format!("w{id}"), "orders/create", &adas_order(1000 + id, "-"));
    }
    let body = adas_order(300, "-").replace("ada@example.com", "eve@example.com");
    let other = shopify("w", body.as_bytes())
        .with("X-Shopify-Shop-Domain", OTHER_SHOP)
        .with("X-Shopify-Hmac-Sha256", &base64(&hmac(OTHER_SECRET.as_bytes(), body.as_bytes())));
    daemon.request(&other).event_id();
    home.wait_until_worked();
    let wrong = send(&daemon, "r0", "shop/redact", &format!(r#"{{"shop_id":1,"shop_domain":"{OTHER_SHOP}"}}"#));
    home.wait_until_worked();
    let note = home.sql(&format!("SELECT note FROM webhook_events WHERE id = {wrong}"));
    assert!(note.contains("nothing was erased"), "another shop than signed: {note}");
    send(&daemon, "r1", "shop/redact", &format!(r#"{{"shop_id":1,"shop_domain":"{SHOP}"}}"#));
    home.wait_until_worked();
    daemon.stop();
    assert_eq!(
        home.sql(&format!("SELECT count(*) FROM webhook_events WHERE shop_domain = '{SHOP}' AND erased_at IS NULL")),
        "0"
    );
    assert_eq!(home.sql("SELECT shop_domain, order_id FROM sales_orders"), format!("{OTHER_SHOP}|300"));
    assert_eq!(found(&home, &["ada@example.com", "ring the bell twice"]), [""; 0]);
    assert_eq!(found(&home, &["eve@example.com"]).len(), 1);
}

/// Several handlers are at work while a shop is erased: what they had read before is not written after.
#[test]
fn nothing_of_a_shop_is_written_while_it_is_erased() {
    let home = Home::new("[worker]\nin_serve = false\nconcurrency = 8");
    let daemon = home.serve();
    let lines: Vec<String> =
        (0..800).map(|line| format!(r#"{{"id":{},"sku":"S","quantity":1}}"#, 1000 + line)).collect();
    for id in 1..=20 {
        let body = adas_order(id, "-").replace("\"line_items\":[", &format!("\"line_items\":[{},", lines.join(",")));
        send(&daemon, &format!("w{id}"), "orders/create", &body);
        if id == 10 {
            send(&daemon, "r", "shop/redact", &format!(r#"{{"shop_id":1,"shop_domain":"{SHOP}"}}"#));
        }
    }
    home.ok(&["work", "--once"]);
    daemon.stop();
    assert_eq!(home.sql("SELECT DISTINCT status, erased_at IS NOT NULL FROM webhook_events"), "completed|1");
    for table in ["sales_orders", "sales_order_lines", "sales_order_addresses"] {
        assert_eq!(home.sql(&format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
    assert_eq!(found(&home, &["ada@example.com"]), [""; 0]);
}

/// joann@example.com is not ann@example.com, and 19870 is not 987: nobody else's events go, worked or not.
#[test]
fn a_redaction_takes_nobody_elses() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    send(&daemon, "u1", "checkouts/create", r#"{"email":"joann@example.com","id":19870}"#);
    send(&daemon, "u2", "checkouts/create", r#"{"email":"ANN@example.com"}"#);
    home.ok(&["work", "--once"]);
    let body = format!(
        r#"{{"shop_domain":"{SHOP}","customer":{{"id":987,"email":"ann@example.com"}},"orders_to_redact":[]}}"#
    );
    send(&daemon, "r", "customers/redact", &body);
    send(&daemon, "o", "orders/create", &adas_order(5, "-").replace("ada@example.com", "joann@example.com"));
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT webhook_id FROM webhook_events WHERE erased_at IS NOT NULL ORDER BY id"), "u2\nr");
    assert_eq!(home.sql("SELECT email FROM sales_orders"), "joann@example.com");
    assert_eq!(home.run(&["events", "retry", "2"]).status.code(), Some(1), "there is nothing to work again");
}

/// What failed or what nothing handles is hers by her phone, and by the number of an order that the request lists.
#[test]
fn what_failed_and_what_nothing_handles_is_erased_by_phone_and_order() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    send(&daemon, "phone", "checkouts/create", r#"{"billing":{"phone":"+1 555-0142-000"}}"#);
    send(&daemon, "order", "orders/updated", r#"{"id":5550001,"total_price":"ten","note":"Ada"}"#);
    send(&daemon, "gid", "reverse_deliveries/attach", r#"{"order":{"id":"gid://shopify/Order/5550001"}}"#);
    send(&daemon, "other", "checkouts/create", r#"{"phone":"+1 555-0142-001","total":5550001}"#);
    home.ok(&["work", "--once"]);
    let body = format!(
        r#"{{"shop_domain":"{SHOP}","customer":{{"id":987,"email":"ann@example.com","phone":"+15550142000"}},"orders_to_redact":[5550001]}}"#
    );
    send(&daemon, "r", "customers/redact", &body);
    // It comes when all is done, and is known to be hers by the number where nearly all bodies have it.
    home.ok(&["work", "--once"]);
    send(&daemon, "late", "checkouts/update", r#"{"customer":{"id":987},"note":"Ada"}"#);
    home.ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT webhook_id FROM webhook_events WHERE erased_at IS NOT NULL ORDER BY id"),
        "phone\norder\ngid\nr\nlate"
    );
}

/// SQLite leaves copies of rows behind where it moves them from page to page: of many orders, none may be left either.
#[test]
fn nothing_is_left_between_the_rows_of_a_page() {
    let home = Home::new("");
    let daemon = home.serve();
    let mut connection = daemon.connect();
    let mut orders: Vec<u64> = (1000..3500).collect();
    fastrand::Rng::with_seed(7).shuffle(&mut orders);
    for id in &orders {
        let body = adas_order(*id, "-");
        connection.request(&shopify(&format!("w{id}"), body.as_bytes())).event_id();
    }
    home.wait_until_worked();
    let all: Vec<String> = orders.iter().map(u64::to_string).collect();
    let body =
        format!(r#"{{"shop_domain":"{SHOP}","customer":{{"id":{CUSTOMER}}},"orders_to_redact":[{}]}}"#, all.join(","));
    send(&daemon, "redact", "customers/redact", &body);
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM erasures WHERE scrubbed_at IS NOT NULL", "1");
    daemon.stop();
    assert_eq!(found(&home, &["@example.com", "Lovelace", "12 Analytical Row"]), [""; 0]);
    home.assert_sound();
}

/// EasyPost was given the order's name as reference: the parcel is hers as well, and what the carrier told of it.
#[test]
fn a_parcel_that_is_known_by_its_reference_is_hers() {
    let home = Home::new("");
    let daemon = home.serve();
    send(&daemon, "o", "orders/create", &adas_order(100, "-").replace("1Z100", "other"));
    for body in [
        r##"{"id":"evt_s","description":"shipment.created","mode":"production","result":{"id":"shp_1","object":"Shipment","mode":"production","reference":"#100","tracking_code":"1ZREF","to_address":{"street1":"12 Analytical Row"},"updated_at":"2026-11-24T00:00:00Z"}}"##,
        r#"{"id":"evt_t","description":"tracker.updated","mode":"production","result":{"id":"trk_1","object":"Tracker","mode":"production","tracking_code":"1ZREF","shipment_id":"shp_1","signed_by":"ada-signed-here","updated_at":"2026-11-24T00:00:00Z","created_at":"2026-11-24T00:00:00Z"}}"#,
    ] {
        daemon.request(&easypost(body.as_bytes())).event_id();
    }
    // A manifest of two parcels, hers and somebody else's.
    let manifest = r#"{"id":"evt_m","description":"scan_form.created","mode":"production","result":{"id":"sf_1","object":"ScanForm","mode":"production","tracking_codes":["1ZREF","1ZBOB"],"updated_at":"2026-11-24T00:00:00Z"}}"#;
    daemon.request(&easypost(manifest.as_bytes())).event_id();
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT linked_by FROM shipments"), "reference");
    redact(&daemon, "[100]");
    home.wait_until_worked();
    let erased =
        "SELECT group_concat(webhook_id) FROM webhook_events WHERE source = 'easypost' AND erased_at IS NOT NULL";
    assert_eq!(home.sql(erased), "evt_s,evt_t");
    let bobs = r#"{"id":"evt_b","description":"tracker.updated","mode":"production","result":{"id":"trk_2","object":"Tracker","mode":"production","tracking_code":"1ZBOB","signed_by":"bob-signed","updated_at":"2026-11-24T00:00:00Z"}}"#;
    daemon.request(&easypost(bobs.as_bytes())).event_id();
    daemon.request(&easypost(manifest.replace("evt_m", "evt_n").as_bytes())).event_id();
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT signed_by FROM shipments WHERE tracking_code = '1ZBOB'"), "bob-signed");
    assert_eq!(home.sql(erased), "evt_s,evt_t", "nobody else's");
}

/// An event that fails is about somebody all the same, whether it comes before the redaction or after.
#[test]
fn a_failed_event_that_comes_late_is_erased_too() {
    let home = Home::new("");
    let daemon = home.serve();
    redact(&daemon, "[5550001]");
    home.wait_until_worked();
    send(&daemon, "f", "orders/updated", r#"{"id":5550001,"total_price":"ten","note":"Lovelace"}"#);
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT status, erased_at IS NOT NULL FROM webhook_events WHERE webhook_id = 'f'"), "failed|1");
    home.wait_for("SELECT count(*) FROM erasures WHERE scrubbed_at IS NULL", "0");
    daemon.stop();
    assert_eq!(found(&home, &["Lovelace"]), [""; 0]);
}

/// Somebody's sqlite3 shell keeps the WAL: that is said, and the WAL is emptied when it ends.
#[test]
fn a_reader_delays_the_emptying_and_is_told_of() {
    let home = Home::new("");
    let daemon = home.serve();
    adas_events(&daemon);
    home.wait_until_worked();
    let mut shell =
        Command::new("sqlite3").arg(home.db()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.as_mut().unwrap(), "BEGIN;\nSELECT 1 FROM webhook_events LIMIT 1;").unwrap();
    let mut seen = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    redact(&daemon, "[100]");
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM webhook_events WHERE erased_at IS NOT NULL", "6");
    while !home.log().contains("traces of what was erased are still in the file") {
        std::thread::yield_now();
    }
    drop(shell.stdin.take());
    shell.wait().unwrap();
    while fs::metadata(home.path("events.db-wal")).unwrap().len() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(found(&home, &ADAS), [""; 0]);
}

#[test]
fn a_request_for_data_has_a_deadline_and_an_answer() {
    let home = Home::new("");
    let daemon = home.serve();
    adas_events(&daemon);
    let body = format!(
        r#"{{"shop_id":1,"shop_domain":"{SHOP}","orders_requested":[100],"customer":{{"id":{CUSTOMER},"email":"ada@example.com"}},"data_request":{{"id":9999}}}}"#
    );
    let request = shopify("d", body.as_bytes())
        .with("X-Shopify-Topic", "customers/data_request")
        .with("X-Shopify-Triggered-At", "2026-11-24T10:00:00Z");
    daemon.request(&Request { path: "/api/webhooks/shopify/customers/data_request".into(), ..request }).event_id();
    home.wait_until_worked();
    let listed: serde_json::Value = serde_json::from_str(home.ok(&["privacy", "list", "--json"]).trim()).unwrap();
    assert_eq!(
        (listed["due_at"].as_str(), listed["request_id"].as_i64()),
        (Some("2026-12-24T10:00:00.000Z"), Some(9999))
    );
    let export: serde_json::Value = serde_json::from_str(&home.ok(&["privacy", "export", "1"])).unwrap();
    assert_eq!(export["tables"]["customers"][0]["email"], "ada@example.com");
    assert_eq!(export["tables"]["sales_order_addresses"][0]["address1"], "12 Analytical Row");
    assert!(export["events"].as_array().unwrap().iter().any(|event| event["body"]["note"] == "ring the bell twice"));
    assert!(!export.to_string().contains("bob@example.com"));
    // The package too: what the carrier told, and the event that told it.
    assert_eq!(export["tables"]["fulfillment_tracking_numbers"][0]["number"], "1Z100");
    assert_eq!(export["tables"]["shipments"].as_array().unwrap().len(), 1);
    assert_eq!(export["tables"]["shipments"][0]["signed_by"], "ada-signed-here");
    let events = export["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["topic"] == "tracker.updated"));
    assert!(events.iter().any(|event| event["other_bodies"][0]["note"] == "ring the bell twice, please"));
    home.ok(&["privacy", "done", "1"]);
    assert!(home.ok(&["privacy", "list"]).contains("done "));
    assert_eq!(home.run(&["privacy", "export", "7"]).status.code(), Some(1));
}

/// A guest has no number at Shopify: the address in the request leads to their orders.
#[test]
fn a_guests_data_is_found_by_address() {
    let home = Home::new("");
    let daemon = home.serve();
    adas_events(&daemon);
    let body = format!(r#"{{"shop_domain":"{SHOP}","orders_requested":[],"customer":{{"email":"BOB@example.com"}}}}"#);
    send(&daemon, "d", "customers/data_request", &body);
    home.wait_until_worked();
    let export = home.ok(&["privacy", "export", "1"]);
    assert!(export.contains("bob@example.com") && export.contains("1 Fix Street"), "{export}");
    assert!(!export.contains("ada@example.com"));
}
