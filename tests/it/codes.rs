//! Codes that people write in their own way: tracking numbers, SKUs, names of orders. And scans without a whole time.

use crate::support::{Daemon, Home, SHOP, easypost_request, send_webhook};
use serde_json::{Value, json};

/// Ways to write one tracking number.
const TRACKING_NUMBERS: [&str; 8] = [
    "1Z 999 AA1 01 2345 6784",
    "1z999aa10123456784",
    "1Z-999-AA1-01-2345-6784",
    " 1Z999AA10123456784\r\n",
    "1Z\u{a0}999\u{2009}AA1\u{2011}01\u{2013}2345 6784",
    "\u{feff}1Z999AA1\u{200b}0123456784\u{200e}",
    "1Z.999.AA1.01.2345.6784",
    "#1Z_999_AA1_0123456784",
];

fn fulfillment(id: u64, order: u64, number: &str) -> Value {
    json!({"id": id, "order_id": order, "name": format!("#{order}.1"), "status": "success", "service": "manual",
        "created_at": "2026-11-21T10:00:00-05:00", "updated_at": "2026-11-21T10:00:00-05:00",
        "tracking_company": "UPS", "tracking_number": number, "tracking_numbers": [number], "line_items": []})
}

fn tracker_event(id: &str, code: &str, scans: &Value) -> Vec<u8> {
    let body = json!({"id": format!("evt_{id}"), "object": "Event", "mode": "production",
        "description": "tracker.updated", "created_at": "2026-11-22T10:00:00Z",
        "result": {"id": id, "object": "Tracker", "mode": "production", "tracking_code": code,
            "status": "in_transit", "carrier": "UPS", "created_at": "2026-11-21T16:00:00Z",
            "updated_at": "2026-11-22T10:00:00Z", "tracking_details": scans}});
    serde_json::to_vec(&body).unwrap()
}

fn post_easypost(daemon: &Daemon<'_>, body: &[u8]) {
    daemon.request(&easypost_request(body)).event_id();
}

#[test]
fn tracking_number_is_compared_in_its_normal_form() {
    for (index, written) in TRACKING_NUMBERS.iter().enumerate() {
        let home = Home::new("");
        let daemon = home.serve();
        let body = fulfillment(40, 4001, written).to_string().into_bytes();
        let tracker = tracker_event("trk_1", TRACKING_NUMBERS[(index + 1) % TRACKING_NUMBERS.len()], &json!([]));
        if index % 2 == 0 {
            send_webhook(&daemon, "f", "fulfillments/create", &body);
            home.wait_until_processed();
            post_easypost(&daemon, &tracker);
        } else {
            post_easypost(&daemon, &tracker);
            home.wait_until_processed();
            send_webhook(&daemon, "f", "fulfillments/create", &body);
        }
        home.wait_until_processed();
        assert_eq!(home.sql("SELECT order_id, linked_by FROM shipments"), "4001|tracking_code", "{written:?}");
        for typed in ["1Z999AA10123456784", "1z 999 aa1 01 2345 6784"] {
            let found = home.run(&["events", "search", typed, "--json"]);
            let lines = String::from_utf8(found.stdout).unwrap();
            assert_eq!(lines.matches("\"webhook_id\"").count(), 2, "{written:?}, searched as {typed}: {lines}");
        }
        let expected = "1Z999AA10123456784";
        let subjects = home.sql("SELECT DISTINCT key FROM event_subjects WHERE kind = 'tracking_code'");
        assert_eq!(subjects, expected, "a redaction of the order finds both events");
    }
}

/// People write more than one code into a field, and words beside it.
#[test]
fn every_code_in_a_field_finds_its_shipment() {
    for (field, code, rows) in [
        ("DHL AWB# 111111111", "111111111", "111111111|DHL AWB# 111111111"),
        (
            "1Z999AA10123456784, 1Z999AA10123456795",
            "1Z999AA10123456795",
            "1Z999AA10123456784|1Z999AA10123456784, 1Z999AA10123456795\n\
             1Z999AA10123456795|1Z999AA10123456784, 1Z999AA10123456795",
        ),
        ("420902109400111899223197428490", "9400111899223197428490", "420902109400111899223197428490|"),
        ("9400111899223197428490", "420902109400111899223197428490", "9400111899223197428490|"),
    ] {
        let home = Home::new("");
        let daemon = home.serve();
        send_webhook(&daemon, "f", "fulfillments/create", fulfillment(40, 4001, field).to_string().as_bytes());
        post_easypost(&daemon, &tracker_event("trk_1", code, &json!([])));
        home.wait_until_processed();
        assert_eq!(home.sql("SELECT order_id, linked_by FROM shipments"), "4001|tracking_code", "{field}");
        assert_eq!(home.sql("SELECT number, written FROM fulfillment_tracking_numbers ORDER BY position"), rows);
    }
}

#[test]
fn reference_names_its_order_in_any_spelling() {
    for reference in ["#NVX-7", "nvx-7", " NVX-7 ", "# nvx-7", "NVX-7\u{200b}"] {
        let home = Home::new("");
        let daemon = home.serve();
        let order = json!({"id": 7, "name": "#NVX-7", "currency": "USD", "total_price": "1.00", "line_items": [],
            "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-20T10:00:00Z"});
        send_webhook(&daemon, "o", "orders/create", order.to_string().as_bytes());
        let shipment = json!({"id": "evt_s", "object": "Event", "mode": "production",
            "description": "shipment.purchased", "result": {"id": "shp_1", "object": "Shipment", "mode": "production",
            "reference": reference, "tracking_code": "9405 5"}});
        post_easypost(&daemon, shipment.to_string().as_bytes());
        post_easypost(&daemon, &tracker_event("trk_1", "94055", &json!([])));
        home.wait_until_processed();
        assert_eq!(home.sql("SELECT order_id, linked_by FROM shipments"), "7|reference", "{reference:?}");
    }
}

#[test]
fn sku_is_compared_without_regard_to_capitals_and_blanks() {
    let home = Home::new("");
    let daemon = home.serve();
    let skus = ["jam 12", "JAM-12 ", "\u{feff}Jam-12", "JAM\u{a0}12", "JAM12", "TEA-1", "tea-1"];
    let lines: Vec<Value> = skus
        .iter()
        .enumerate()
        .map(|(index, sku)| json!({"id": index + 1, "sku": sku, "quantity": 1, "price": "1.00"}))
        .collect();
    let order = json!({"id": 7, "name": "#7", "currency": "USD", "total_price": "7.00", "line_items": lines,
        "created_at": "2026-11-20T10:00:00Z", "updated_at": "2026-11-20T10:00:00Z"});
    send_webhook(&daemon, "o", "orders/create", order.to_string().as_bytes());
    home.wait_until_processed();
    let items = || home.sql("SELECT coalesce(item, '-') FROM sales_order_lines ORDER BY line_id").replace('\n', " ");
    for (sku, item) in [("JAM-12", "J"), ("Tea-1", "T")] {
        let output = home.run(&["mappings", "add", "--shop", SHOP, "--sku", sku, "--item", item]);
        assert!(output.status.success(), "{output:?}");
    }
    // JAM12 may be another product.
    assert_eq!(items(), "J J J J - T T");
    home.run(&["mappings", "add", "--shop", SHOP, "--sku", "tea-1", "--item", "T2"]);
    assert_eq!(items(), "J J J J - - T2", "two mappings fit TEA-1, one is exactly tea-1");
    home.run(&["mappings", "remove", "--shop", SHOP, "--sku", "tea-1"]);
    assert_eq!(items(), "J J J J - T T");
}

/// The generated columns have the form that the daemon computes.
#[test]
fn generated_columns_have_the_normal_form() {
    use novex_ingest::internals::text::{clean_code, normalize_sku, normalize_tracking_code};
    let home = Home::new("");
    home.serve().stop();
    let usps = [
        "420902109400111899223197428490",
        "420 90210-1234 9400 1118 9922 3197 4284 90",
        "4204321792001901755477000000000011",
        "42043217987692001901755477000000000011",
        "4204321770120000000000000000",
        "42043217",
    ];
    for code in TRACKING_NUMBERS.iter().copied().chain(usps).chain(["ä-1 b", "Müsli 12", "A--1", "'"]) {
        let clean = clean_code(code).replace('\'', "''");
        home.sql(&format!(
            "INSERT INTO fulfillment_tracking_numbers (shop_domain, fulfillment_id, position, number) \
             VALUES ('s', 1, 1, '{clean}'); \
             INSERT INTO sales_order_lines (shop_domain, order_id, line_id, position, quantity, sku) \
             VALUES ('s', 1, 1, 1, 1, '{clean}')"
        ));
        let keys = home.sql("SELECT number_key, sku_key FROM fulfillment_tracking_numbers, sales_order_lines");
        assert_eq!(keys, format!("{}|{}", normalize_tracking_code(code), normalize_sku(code)));
        home.sql("DELETE FROM fulfillment_tracking_numbers; DELETE FROM sales_order_lines");
    }
}

#[test]
fn scan_without_zone_or_time_is_kept_and_marked() {
    let scan = |message: &str, time: &Value| {
        json!({"object": "TrackingDetail", "message": message, "status": "in_transit", "datetime": time,
            "description": "long text", "carrier_code": "X1"})
    };
    let mut scans = vec![
        scan("exact", &json!("2025-05-12T16:09:26-05:00")),
        scan("no zone", &json!("2025-05-12T16:09:26")),
        scan("blank", &json!("2025-05-12 16:10:00")),
        scan("day", &json!("2025-05-13")),
        scan("null", &Value::Null),
        scan("unread", &json!("13/05/2025 4pm")),
        scan("unread", &json!("14/05/2025 4pm")),
    ];
    let mut missing = scan("missing", &Value::Null);
    missing.as_object_mut().unwrap().remove("datetime");
    scans.push(missing);
    let home = Home::new("");
    let daemon = home.serve();
    post_easypost(&daemon, &tracker_event("trk_1", "94055", &json!(scans)));
    home.wait_until_processed();
    // The same scans in another order and event add nothing.
    scans.reverse();
    let again = tracker_event("trk_1", "94055", &json!(scans));
    post_easypost(&daemon, &String::from_utf8(again).unwrap().replace("evt_trk_1", "evt_2").into_bytes());
    home.wait_until_processed();
    let rows = home
        .sql("SELECT message, at, time_certainty, unread_time FROM tracking_events ORDER BY at, message, unread_time");
    let expected = "missing||none|\n\
                    null||none|\n\
                    unread||none|13/05/2025 4pm\n\
                    unread||none|14/05/2025 4pm\n\
                    no zone|2025-05-12T16:09:26.000Z|no_zone|\n\
                    blank|2025-05-12T16:10:00.000Z|no_zone|\n\
                    exact|2025-05-12T21:09:26.000Z|exact|\n\
                    day|2025-05-13T00:00:00.000Z|date|";
    assert_eq!(rows, expected);
    let others = home.sql("SELECT DISTINCT description, carrier_code FROM tracking_events");
    assert_eq!(others, "long text|X1");
}

/// Two attempts without a time are two scans, also if a later body states them again. One time is one scan.
#[test]
fn equal_scans_without_a_time_are_all_kept() {
    let scan = |time: &Value| json!({"message": "attempt", "status": "in_transit", "datetime": time});
    let (none, day, exact) = (Value::Null, json!("2025-05-13"), json!("2025-05-12T16:09:26Z"));
    let scans = [&none, &none, &day, &day, &exact, &exact].map(scan);
    let home = Home::new("");
    let daemon = home.serve();
    let first = tracker_event("trk_1", "94055", &json!(scans));
    post_easypost(&daemon, &first);
    let third = json!([scan(&none), scan(&none), scan(&none)]);
    let again = String::from_utf8(tracker_event("trk_1", "94055", &third)).unwrap();
    post_easypost(&daemon, &again.replace("evt_trk_1", "evt_2").into_bytes());
    home.wait_until_processed();
    let rows = home.sql("SELECT time_certainty, occurrence FROM tracking_events ORDER BY at, occurrence");
    assert_eq!(rows, "none|1\nnone|2\nnone|3\nexact|1\ndate|1\ndate|2");
}

#[test]
fn local_day_of_delivery_is_kept() {
    for (tracker, expected) in [
        (
            json!({"est_delivery_date": "2025-05-14", "carrier_detail": {"est_delivery_date_local": "2025-05-13",
            "est_delivery_time_local": "20:00:00"}}),
            "2025-05-14T00:00:00.000Z|2025-05-13|20:00:00",
        ),
        (
            json!({"est_delivery_date": null, "est_delivery_date_local": "2025-05-13",
            "carrier_detail": {"est_delivery_date": "2025-05-14T04:00:00Z"}}),
            "2025-05-14T04:00:00.000Z|2025-05-13|",
        ),
    ] {
        let home = Home::new("");
        let daemon = home.serve();
        let mut event: Value = serde_json::from_slice(&tracker_event("trk_1", "94055", &json!([]))).unwrap();
        event["result"].as_object_mut().unwrap().extend(tracker.as_object().unwrap().clone());
        post_easypost(&daemon, event.to_string().as_bytes());
        home.wait_until_processed();
        let columns = "est_delivery_date, est_delivery_date_local, est_delivery_time_local";
        assert_eq!(home.sql(&format!("SELECT {columns} FROM shipments")), expected);
    }
}
