//! The console's pages of sales orders and shipments.

use super::support::console::{ATTACK, ConsoleClient, add_console_user, assert_escaped, encode_form, follow_pages};
use super::support::{Daemon, Home, OTHER_SHOP, SHOP, easypost_request, order_body, send_webhook};
use serde_json::{Value, json};

/// An order of a customer, with a line that has no mapping.
fn order(id: u64, name: &str, customer: &str) -> Value {
    let mut order: Value = serde_json::from_slice(&order_body(id)).unwrap();
    order["name"] = name.into();
    order["email"] = "ada@example.com".into();
    order["note"] = customer.into();
    order["customer"] = json!({"id": 7, "first_name": customer, "last_name": "Lovelace", "email": "ada@example.com"});
    order["shipping_address"] = json!({"first_name": customer, "last_name": "Lovelace", "address1": "1 Secret Street",
        "city": "Columbus", "zip": "43217", "country": "United States", "phone": "+1 614 555 0100"});
    order["line_items"][0]["title"] = "Jam".into();
    order["line_items"][0]["properties"] = json!([{"name": "engraving", "value": "For Charles"}]);
    order
}

fn refund(order: u64) -> Value {
    json!({"id": 500, "order_id": order, "created_at": "2026-11-25T10:00:00-05:00", "note": "Ada's box was damaged",
        "refund_line_items": [{"id": 501, "line_item_id": format!("{order}1").parse::<u64>().unwrap(), "quantity": 1,
            "subtotal": 5.0, "total_tax": 0.0}],
        "transactions": [{"id": 502, "order_id": order, "kind": "refund", "status": "success", "amount": "5.00",
            "currency": "USD"}], "order_adjustments": []})
}

fn fulfillment(order: u64, number: &str) -> Value {
    json!({"id": 40, "order_id": order, "name": format!("#{order}.1"), "status": "success", "service": "manual",
        "created_at": "2026-11-21T10:00:00-05:00", "updated_at": "2026-11-21T10:00:00-05:00",
        "tracking_company": "UPS", "tracking_number": number, "tracking_numbers": [number], "line_items": []})
}

/// A tracker whose scans have a time, a time without a zone, a day, and no time that can be read.
fn tracker(code: &str, message: &str) -> Vec<u8> {
    let scan = |at: Value, message: &str| {
        json!({"object": "TrackingDetail", "message": message, "status": "in_transit", "datetime": at, "source": "UPS",
            "tracking_location": {"city": "Louisville", "state": "KY", "country": "US", "zip": null}})
    };
    let scans = [
        scan("2026-11-21T20:00:00Z".into(), message),
        scan("2026-11-22T20:00:00".into(), "Arrived without a zone"),
        scan("2026-11-23".into(), "Arrived on a day"),
        scan("some day".into(), "Arrived at no time"),
    ];
    let body = json!({"id": format!("evt_{code}"), "object": "Event", "mode": "production",
        "description": "tracker.updated", "created_at": "2026-11-24T10:00:00Z",
        "result": {"id": "trk_1", "object": "Tracker", "mode": "production", "tracking_code": code, "signed_by": "A LOVELACE",
            "status": "in_transit", "carrier": "UPS", "created_at": "2026-11-21T16:00:00Z", "public_url": "javascript:alert(3)",
            "updated_at": "2026-11-24T10:00:00Z", "tracking_details": scans}});
    serde_json::to_vec(&body).unwrap()
}

fn send_all(home: &Home, daemon: &Daemon<'_>, name: &str, customer: &str, (code, message): (&str, &str)) {
    send_webhook(daemon, "o", "orders/create", order(1001, name, customer).to_string().as_bytes());
    send_webhook(daemon, "r", "refunds/create", refund(1001).to_string().as_bytes());
    send_webhook(daemon, "f", "fulfillments/create", fulfillment(1001, code).to_string().as_bytes());
    daemon.request(&easypost_request(&tracker(code, message))).event_id();
    home.wait_until_processed();
    let failed = home.sql("SELECT id, last_error FROM webhook_events WHERE status <> 'completed'");
    assert_eq!(failed, "");
}

#[test]
fn order_has_its_lines_refunds_packages_and_events() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    assert!(anna.get("/orders").body.contains("No orders match."));
    send_all(&home, &daemon, "#1001", "Ada", ("1Z 999-AA1", "Departed"));
    let path = format!("/orders/{SHOP}/1001");

    let list = anna.get("/orders").body;
    for text in [&format!("href=\"{path}\">#1001<"), "10.00 USD", "1 line has no item"] {
        assert!(list.contains(text), "{text} in {list}");
    }
    let page = anna.get(&path).body;
    for text in [
        "Jam",
        "JAM-6",
        "5.00 USD",
        "1 × Jam",
        "href=\"/shipments/1Z999AA1\">1Z 999-AA1<",
        "orders/create",
        "refunds/create",
        "fulfillments/create",
        "in_transit",
        "/mappings/products",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert_eq!(anna.get(&format!("/orders/{OTHER_SHOP}/1001")).status, 404);
    assert_eq!(anna.get("/orders/x/y").status, 400);

    // The form of the line completes the order and returns to it.
    let form = encode_form(&[("shop", SHOP), ("sku", "JAM-6"), ("item", "FG-1"), ("factor", "6"), ("back", &path)]);
    assert_eq!(anna.post("/mappings/products", &form).header("location"), Some(path.as_str()));
    let page = anna.get(&path).body;
    assert!(page.contains("FG-1 × 12") && !page.contains("no item"), "{page}");

    for found in ["q=%231001", "q=ada%40example.com", "q=JAM-6", "q=1z999aa1", &format!("shop={SHOP}")] {
        assert!(anna.get(&format!("/orders?{found}")).body.contains(&path), "{found}");
    }
    for other in ["q=%231002", &format!("shop={OTHER_SHOP}"), "attention=yes"] {
        assert!(anna.get(&format!("/orders?{other}")).body.contains("No orders match."), "{other}");
    }
}

#[test]
fn customer_is_masked_until_somebody_asks_for_it() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    add_console_user(&home, "vera", "viewer");
    send_all(&home, &daemon, "#1001", "Ada", ("1Z999", "Departed"));
    let (anna, vera) = (ConsoleClient::signed_in(&daemon, "anna"), ConsoleClient::signed_in(&daemon, "vera"));
    let pages = [
        ("/orders".to_owned(), vec!["Ada Lovelace"]),
        (
            format!("/orders/{SHOP}/1001"),
            vec!["Ada Lovelace", "ada@example.com", "1 Secret Street", "614 555", "For Charles", "Ada&#39;s box"],
        ),
        ("/shipments/1Z999".to_owned(), vec!["A LOVELACE"]),
    ];
    for (path, secrets) in &pages {
        let masked = anna.get(path).body;
        for secret in ["Ada", "ada@", "Lovelace", "LOVELACE", "Street", "614 555", "Charles"] {
            assert!(!masked.contains(secret), "{secret} on {path}: {masked}");
        }
        assert!(!vera.get(path).body.contains("Show personal data"), "a viewer has no button on {path}");
        let field = encode_form(&[("path", path)]);
        assert_eq!(anna.post("/reveal", &field).header("location"), Some(path.as_str()));
        let shown = anna.get(path).body;
        for secret in secrets {
            let secret = secret.replace("&#39;", "'");
            assert!(shown.contains(&secret), "{secret} on {path}: {shown}");
        }
    }
    assert_eq!(
        home.sql("SELECT username, resource_path FROM system_log WHERE type = 'PERSONAL-DATA-VIEW' ORDER BY id"),
        pages.map(|(path, _)| format!("anna|{path}")).join("\n")
    );
    assert!(!vera.get("/orders").body.contains("/mappings/products"));
}

#[test]
fn shipment_has_its_scans_with_marks_at_uncertain_times() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "vera", "viewer");
    let vera = ConsoleClient::signed_in(&daemon, "vera");
    assert!(vera.get("/shipments").body.contains("No shipments match."));
    send_all(&home, &daemon, "#1001", "Ada", ("1Z 999-AA1", "Departed"));
    let order = format!("href=\"/orders/{SHOP}/1001\">#1001<");
    for query in ["", "?q=1z999aa1", "?q=1z9", "?q=%231001", "?status=in_transit", "?q=1Z-999&status=in_transit"] {
        let list = vera.get(&format!("/shipments{query}")).body;
        assert!(list.contains(">1Z 999-AA1<") && list.contains("UPS") && list.contains(&order), "{query}: {list}");
    }
    for query in ["?q=1Z998", "?status=delivered", "?q=%231002"] {
        assert!(vera.get(&format!("/shipments{query}")).body.contains("No shipments match."), "{query}");
    }
    for spelling in ["1Z999AA1", "1z%20999-aa1"] {
        let page = vera.get(&format!("/shipments/{spelling}")).body;
        assert!(page.contains(&order) && page.contains("found by tracking code"), "{page}");
        for text in [
            "Departed",
            "Louisville, KY, US",
            "no time zone: up to 14 hours off",
            "only the day is known",
            "no time that can be read</span> some day",
        ] {
            assert!(page.contains(text), "{text} in {page}");
        }
        assert!(!page.contains("javascript:"), "only addresses of the web are links");
        let places = ["at no time", "Departed", "without a zone", "on a day"].map(|text| page.find(text).unwrap());
        assert!(places.is_sorted(), "the oldest scan is first: {places:?}");
    }
    assert_eq!(vera.get("/shipments/1Z998").status, 404);
}

#[test]
fn orders_and_shipments_show_text_of_others_as_text() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    send_all(&home, &daemon, ATTACK, ATTACK, (ATTACK, ATTACK));
    let text = ATTACK.replace('\'', "''");
    home.sql(&format!(
        "UPDATE sales_orders SET attention = '{text}', currency = '{text}'; UPDATE sales_order_lines SET sku = '{text}', \
         title = '{text}'; UPDATE shipments SET carrier = '{text}', public_url = 'https://x/{text}'"
    ));
    let code = anna.get("/shipments").body;
    let code = &code[code.find("href=\"/shipments/").unwrap() + "href=\"".len()..];
    let shipment = code[..code.find('"').unwrap()].to_owned();
    let order = format!("/orders/{SHOP}/1001");
    for path in ["/orders", &order, &shipment] {
        anna.post("/reveal", &encode_form(&[("path", path)]));
    }
    let query = encode_form(&[("q", ATTACK), ("shop", ATTACK), ("status", ATTACK), ("before", ATTACK)]);
    for path in ["/orders", &order, "/shipments", &shipment, &format!("/orders?{query}"), "/mappings"] {
        assert_escaped(path, &anna.get(path));
    }
}

/// Returns the numbers of the orders that a page links, in its order.
fn list_linked_orders(page: &str) -> Vec<(u64, String)> {
    let links = page.split("href=\"/orders/").skip(1).filter_map(|rest| rest[..rest.find('"')?].split_once('/'));
    links.map(|(shop, id)| (id.parse().unwrap(), shop.to_owned())).collect()
}

#[test]
fn pages_of_orders_and_shipments_have_each_row_once() {
    let home = Home::new("");
    let daemon = home.serve();
    add_console_user(&home, "vera", "viewer");
    let vera = ConsoleClient::signed_in(&daemon, "vera");
    home.sql(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120) INSERT INTO sales_orders (shop_domain, \
         order_id, name, attention, row_version, event_id) SELECT iif(i % 3 = 0, '{OTHER_SHOP}', '{SHOP}'), i / 2, '#' || i, \
         iif(i % 2 = 0, 'sums differ', NULL), '1', 1 FROM n WHERE true ON CONFLICT DO NOTHING; \
         INSERT INTO refunds (shop_domain, refund_id, order_id, attention, row_version, event_id) \
         SELECT shop_domain, rowid, order_id, 'refund differs', '1', 1 FROM sales_orders WHERE order_id % 10 = 1; \
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120) INSERT INTO shipments (mode, tracker_id, \
         tracking_code, status, created_at, row_version, event_id) SELECT 'production', 'trk_' || i, 'C' || i, \
         iif(i % 2 = 0, 'delivered', 'failure'), '2026-01-01', '1', 1 FROM n"
    ));
    for (path, condition) in [
        ("/orders".to_owned(), "1"),
        (format!("/orders?shop={SHOP}"), "shop_domain LIKE 'acme%'"),
        (
            "/orders?attention=yes".to_owned(),
            "attention IS NOT NULL OR (shop_domain, order_id) IN (SELECT shop_domain, order_id FROM refunds)",
        ),
    ] {
        let pages = follow_pages(&vera, &path);
        let found: Vec<_> = pages.iter().flat_map(|page| list_linked_orders(page)).collect();
        assert!(found.is_sorted_by(|one, other| one > other), "{path}: {found:?}");
        let expected = home.count(&format!("SELECT count(*) FROM sales_orders WHERE {condition}"));
        assert_eq!(i64::try_from(found.len()).unwrap(), expected, "{path}");
        assert_eq!(i64::try_from(pages.len()).unwrap(), (expected + 49) / 50, "{path}");
    }
    for (path, count) in [("/shipments", 120), ("/shipments?status=delivered", 60), ("/shipments?q=C1", 32)] {
        let pages = follow_pages(&vera, path);
        let found: Vec<u32> = (pages.iter().flat_map(|page| page.split("href=\"/shipments/C").skip(1)))
            .map(|rest| rest[..rest.find('"').unwrap()].parse().unwrap())
            .collect();
        assert!(found.is_sorted_by(|one, other| one > other) && found.len() == count, "{path}: {found:?}");
    }
}
