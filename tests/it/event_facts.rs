//! What an event became: its order, customer and total, its rows, and its state at each destination, in `events show`
//! and `events search`.

use crate::support::destinations::{
    WORKER, home_with_destinations, http_destination, send_orders, wait_until_delivered,
};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::outbound_documents::{home_with_order, invoice, send_document};
use crate::support::{Daemon, Home, Request, SHOP, easypost_request, order_body, shopify_request};
use serde_json::{Value, json};
use std::fs;

fn golden_body(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/it/golden/{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn send_webhook(daemon: &Daemon<'_>, topic: &str) -> i64 {
    let body = golden_body(&format!("shopify.{}", topic.replace('/', "-")));
    let request = shopify_request(topic, &body).with_header("X-Shopify-Topic", topic);
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request }).event_id()
}

fn show(home: &Home, id: i64) -> Value {
    serde_json::from_str(&home.run_ok(&["events", "show", &id.to_string(), "--json"])).unwrap()
}

/// Returns the state of event 1 at the destination `erp`, as text and as JSON.
fn state_at_erp(home: &Home) -> (String, Value) {
    let text = home.run_ok(&["events", "show", "1"]);
    let line = text.lines().find_map(|line| line.strip_prefix("erp ")).unwrap_or_else(|| panic!("{text}"));
    let document = show(home, 1);
    let states = document["destinations"].as_array().unwrap();
    let state = states.iter().find(|state| state["destination"] == "erp").unwrap();
    (line.trim().to_owned(), state.clone())
}

/// Why did #1001 not reach the ERP? One command shows the order, its rows and the answer of the ERP.
#[test]
fn one_command_shows_why_an_order_did_not_reach_the_erp() {
    let erp = FakeErp::start(|_, _| {
        Reply::StatusWithBody(422, String::new(), b"{\"error\":\"no item GRANOLA-12\"}".to_vec())
    });
    let crm = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|home| {
        http_destination("erp", &erp.url, "")
            + &http_destination("crm", &crm.url, "").replace("shopify:orders/*", "shopify:customers/*")
            + &crate::support::destinations::directory_destination(&home.path("files"))
    });
    let daemon = home.serve();
    send_webhook(&daemon, "orders/create");
    wait_until_delivered(&home);
    for text in [home.run_ok(&["events", "search", "#1001"]), home.run_ok(&["events", "show", "1"])] {
        for expected in [
            "#1001, Ada Example, 127.11 USD",
            "sales_orders",
            "acme-foods.myshopify.com 5820982911946154508",
            "failed at 20",
            "after 1 attempt: answered 422 Unprocessable Entity: {\"error\":\"no item GRANOLA-12\"}",
            "not subscribed",
            "delivered at 20",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
    let hit: Value = serde_json::from_str(&home.run_ok(&["events", "search", "#1001", "--json"])).unwrap();
    for document in [hit, show(&home, 1)] {
        assert_eq!(document["order_number"], "#1001", "{document}");
        assert_eq!(
            (&document["customer"], &document["total"], &document["currency"]),
            (&json!("Ada Example"), &json!("127.11"), &json!("USD"))
        );
        let order = document["rows"].as_array().unwrap().iter().find(|row| row["table"] == "sales_orders").unwrap();
        assert_eq!(order["key"], json!({"shop_domain": SHOP, "order_id": 5_820_982_911_946_154_508_i64}));
        assert_eq!(order["event_id"], 1);
        let states: Vec<(&str, &str)> = document["destinations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|state| (state["destination"].as_str().unwrap(), state["state"].as_str().unwrap()))
            .collect();
        assert_eq!(states, [("erp", "failed"), ("crm", "not subscribed"), ("files", "delivered")]);
    }
}

/// A pending delivery shows why it waits; a dropped one, and a missing one, their reason.
#[test]
fn each_state_at_a_destination_has_its_reason() {
    let erp = FakeErp::start(|number, _| match number {
        0 => Reply::StatusWithBody(429, "retry-after: 3600\r\n".into(), b"too many".to_vec()),
        1 => Reply::Hang,
        _ => Reply::Status(200),
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, "").replace("\"5s\"", "\"10m\""));
    let without_destinations = format!("{WORKER}grace = \"100ms\"\n");
    let configured = fs::read_to_string(home.config()).unwrap();
    home.configure(&without_destinations);
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    home.wait_until_processed();
    daemon.stop();
    fs::write(home.config(), configured.replace("[worker]\n", "[worker]\ngrace = \"100ms\"\n")).unwrap();
    let (text, state) = state_at_erp(&home);
    assert_eq!(state["state"], "not sent");
    let advice = format!("`novex-ingest --config {} events retry 1`", home.config().display());
    assert!(text.contains(&format!("no subscription when the event completed; {advice}")), "{text}");

    home.run_ok(&["destinations", "pause", "erp"]);
    home.run_ok(&["events", "retry", "1"]);
    let (text, state) = state_at_erp(&home);
    assert_eq!((text.as_str(), &state["state"]), ("waiting: the event is received", &json!("waiting")));
    let daemon = home.serve();
    home.wait_until_processed();
    let (text, state) = state_at_erp(&home);
    assert_eq!(state["state"], "pending");
    assert!(text.starts_with("pending: the destination is paused since 20"), "{text}");

    home.run_ok(&["destinations", "resume", "erp"]);
    home.wait_for("SELECT attempts FROM destination_deliveries WHERE last_error IS NOT NULL", "1");
    let (text, state) = state_at_erp(&home);
    assert_eq!(state["at"], home.sql("SELECT next_attempt_at FROM destination_deliveries"));
    assert!(
        text.starts_with("pending, next attempt at 20")
            && text.ends_with("after 1 attempt: answered 429 Too Many Requests: too many"),
        "{text}"
    );

    home.run_ok(&["destinations", "drop", "erp"]);
    let (text, state) = state_at_erp(&home);
    assert!(text.starts_with("dropped at 20") && state["state"] == "dropped", "{text}");

    home.run_ok(&["events", "retry", "1"]);
    erp.wait_for(2);
    let (text, state) = state_at_erp(&home);
    assert!(text.starts_with("delivering since 20") && state["state"] == "delivering", "{text}");
    daemon.stop();

    home.configure(&without_destinations);
    let (text, _) = state_at_erp(&home);
    assert!(text.ends_with("the destination is not configured"), "{text}");
}

#[test]
fn failed_event_and_destination_that_is_down_have_their_reason() {
    let home = home_with_destinations(|_| {
        // No probe is in flight while the state is read.
        let destination = http_destination("erp", "http://127.0.0.1:1/", "");
        destination.replace("rest = \"20ms\"", "rest = \"1h\"").replace("rest_max = \"40ms\"", "rest_max = \"1h\"")
    });
    let daemon = home.serve();
    daemon.send_order("w1", b"no JSON").event_id();
    home.wait_until_processed();
    let (text, state) = state_at_erp(&home);
    assert_eq!((text.as_str(), &state["state"]), ("not sent: the event failed", &json!("not sent")));
    daemon.send_order("w2", &order_body(2)).event_id();
    home.wait_for("SELECT down_since IS NOT NULL FROM destinations", "1");
    let text = home.run_ok(&["events", "show", "2"]);
    assert!(
        text.contains("the destination is down since 20") && text.contains("nobody answers at 127.0.0.1:1"),
        "{text}"
    );
}

/// The same for refunds, packages, customers, products and stock: the rows, and the order that they belong to.
#[test]
fn events_of_every_kind_show_rows_and_order() {
    let home = Home::new("");
    let daemon = home.serve();
    send_webhook(&daemon, "orders/create");
    home.wait_until_processed();
    let mut events = Vec::new();
    for (topic, table) in [
        ("fulfillments/create", "fulfillments"),
        ("refunds/create", "refunds"),
        ("customers/update", "customers"),
        ("products/update", "products"),
        ("inventory_levels/update", "inventory_levels"),
        ("order_transactions/create", "order_transactions"),
        ("orders/edited", "sales_order_edits"),
    ] {
        events.push((send_webhook(&daemon, topic), table));
    }
    let request = br#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99},"orders_requested":[],"data_request":{"id":7}}"#;
    let request = shopify_request("data", request).with_header("X-Shopify-Topic", "customers/data_request");
    let request = Request { path: "/api/webhooks/shopify/customers/data_request".into(), ..request };
    events.push((daemon.request(&request).event_id(), "data_requests"));
    events.push((daemon.request(&easypost_request(&golden_body("easypost.tracker.updated"))).event_id(), "shipments"));
    home.wait_until_processed();
    for (id, table) in events {
        let document = show(&home, id);
        let rows = document["rows"].as_array().unwrap();
        assert!(rows.iter().any(|row| row["table"] == table), "{table}: {document}");
        if ["fulfillments", "refunds", "shipments", "order_transactions"].contains(&table) {
            assert_eq!(document["order_number"], "#1001", "{table}: {document}");
        }
        if table == "customers" {
            assert_eq!(document["customer"], "Ada Example");
        }
        assert!(home.run_ok(&["events", "show", &id.to_string()]).contains(table));
    }
}

#[test]
fn purchase_order_and_its_invoice_show_the_order() {
    let home = home_with_order(&crate::support::edi_files::interchange(
        "850",
        &[crate::support::edi_files::order_set("PO1", 2)],
    ));
    let document = show(&home, 1);
    assert_eq!(document["order_number"], "PO1", "{document}");
    assert!(document["customer"].as_str().unwrap().starts_with(&home.sql("SELECT partner FROM purchase_orders")));
    assert_eq!(document["total"], home.sql("SELECT lines_total FROM purchase_orders"));
    assert_eq!(document["rows"][0]["table"], "purchase_orders");
    let (status, printed) = send_document(&home, "810", &invoice("I1"), &[]);
    assert_eq!(status, 0, "{printed}");
    let id = home.count("SELECT event_id FROM edi_sent");
    let document = show(&home, id);
    assert_eq!(
        (&document["order_number"], &document["rows"][0]["table"]),
        (&json!("PO1"), &json!("edi_sent")),
        "{document}"
    );
}

/// A delivery behind an earlier one of its order names that event, and no time that is already past.
#[test]
fn delivery_that_waits_for_its_turn_names_the_earlier_event() {
    let erp = FakeErp::start(|_, _| Reply::StatusWithHeaders(429, "retry-after: 3600\r\n".into()));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    let send = |price: &str| {
        let body = String::from_utf8(order_body(7)).unwrap().replace("\"19.95\"", &format!("\"{price}\""));
        daemon.request(&shopify_request(price, body.as_bytes())).event_id()
    };
    let first = send("1.00");
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE not_before IS NOT NULL", "1");
    let second = send("2.00");
    home.wait_until_processed();
    let document = show(&home, second);
    assert_eq!(document["deliveries"][0]["waits_for_event"], json!(first), "{document}");
    assert_eq!(document["destinations"][0]["at"], Value::Null);
    let text = home.run_ok(&["events", "show", &second.to_string()]);
    assert!(text.contains(&format!("pending: waits for event {first} of the same order or record")), "{text}");
}

/// A test event and a failed event changed no row and reach no destination, and no advice promises otherwise.
#[test]
fn events_without_effect_list_no_rows() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    let order = send_webhook(&daemon, "orders/create");
    home.wait_until_processed();
    // An order's body as the deletion of the order is refused.
    let body = golden_body("shopify.orders-create");
    let request = shopify_request("orders/delete", &body)
        .with_header("X-Shopify-Topic", "orders/delete")
        .with_header("X-Shopify-Webhook-Id", "another");
    let refused =
        daemon.request(&Request { path: "/api/webhooks/shopify/orders/delete".to_owned(), ..request }).event_id();
    let to = daemon.address.to_string();
    home.run_ok(&["send", "shopify", "orders/create", "--to", &to]);
    home.wait_until_processed();
    let test_event: i64 = home.sql("SELECT id FROM webhook_events WHERE test = 1").parse().unwrap();
    assert_ne!(show(&home, order)["rows"], json!([]));
    for id in [refused, test_event] {
        let document = show(&home, id);
        assert_eq!(document["rows"], json!([]), "{document}");
    }
    let printed = home.run_ok(&["events", "show", &test_event.to_string()]);
    assert!(printed.contains("not sent: it is a test event") && !printed.contains("events retry"), "{printed}");
}
