//! Signed bodies that somebody sends again under another topic of the same object, under a topic without a handler,
//! with the headers of the Events preview, under a used webhook id, or after retention deleted the first.

use crate::support::destinations::{directory_destination, home_with_destinations, wait_until_delivered};
use crate::support::{Daemon, Home, NO_REDACTION_DELAY, Request, Response, SHOP, send_webhook, shopify_request};
use std::fs;

fn golden_body(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/it/golden/shopify.{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Sends a body under a topic with a new webhook id, waits, and returns its event.
fn send_and_wait(home: &Home, daemon: &Daemon<'_>, topic: &str, body: &[u8]) -> i64 {
    let id = format!("{topic} {}", home.sql("SELECT count(*) FROM webhook_events"));
    let event = send_webhook(daemon, &id, topic, body);
    home.wait_until_processed();
    event
}

fn post_with_headers(daemon: &Daemon<'_>, id: &str, topic: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let request = shopify_request(id, body).with_header("X-Shopify-Topic", topic);
    let request = headers.iter().fold(request, |request, (name, value)| request.with_header(name, value));
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request })
}

fn assert_worked(home: &Home, event: i64) {
    assert!(home.outcome(event).starts_with("completed"), "{}", home.outcome(event));
}

/// A copy that was refused takes nothing from the true events that come after it.
#[test]
fn refused_copy_does_not_keep_later_true_events_out() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    let order = golden_body("orders-create");
    for copy_topic in ["locations/update", "products/delete", "fulfillment_orders/cancelled"] {
        let copy = send_and_wait(&home, &daemon, copy_topic, &order);
        home.assert_refused(copy, "");
    }
    for topic in ["orders/create", "orders/paid", "orders/updated"] {
        let copy = send_and_wait(&home, &daemon, "products/delete", &order);
        home.assert_refused(copy, "does not fit products/delete");
        let event = send_and_wait(&home, &daemon, topic, &order);
        assert_worked(&home, event);
    }
    assert_eq!(home.sql("SELECT count(*), count(deleted_at) FROM sales_orders"), "1|0");
    // A deletion that was copied to another object still covers a second subscription.
    let deletion = br#"{"id":5820982911946154508}"#;
    let deleted = send_and_wait(&home, &daemon, "orders/delete", deletion);
    let copy = send_and_wait(&home, &daemon, "products/delete", deletion);
    home.assert_refused(copy, "(orders/delete)");
    let again = send_and_wait(&home, &daemon, "orders/delete", deletion);
    assert_eq!(home.outcome(deleted), "completed:");
    assert!(home.outcome(again).contains("nothing to do"), "{}", home.outcome(again));
}

/// Somebody who saw a request that was not stored uses its id first, under another topic.
#[test]
fn webhook_id_that_another_topic_has_loses_no_event() {
    let home = Home::new("");
    let daemon = home.serve();
    let order = golden_body("orders-create");
    let post = |topic: &str| post_with_headers(&daemon, "w", topic, &[], &order);
    for copy_topic in ["carts/update", "Orders/Create"] {
        post(copy_topic).event_id();
    }
    let first = post("orders/create");
    assert!(!first.is_duplicate());
    for retry in [post("orders/create"), post("orders/create")] {
        assert_eq!((retry.is_duplicate(), retry.event_id()), (true, first.event_id()));
    }
    assert!(post("carts/update").is_duplicate());
    home.wait_until_processed();
    assert_worked(&home, first.event_id());
    assert_eq!(home.sql("SELECT count(*) FROM sales_orders"), "1");
    let ids = "SELECT group_concat(webhook_id, '; ') FROM (SELECT webhook_id FROM webhook_events ORDER BY id)";
    assert_eq!(home.sql(ids), "w; w · Orders/Create; w · orders/create");
    assert_eq!(home.sql("SELECT count(*) FROM conflicts"), "0");
    home.wait_for_log("has the webhook id", 2);
    home.assert_consistent();
}

/// The topic alone says what happened: a body of another topic of the same object is refused, until an operator runs
/// it.
#[test]
fn body_of_one_topic_is_refused_under_another_of_the_same_object() {
    let home = Home::new("");
    let daemon = home.serve();
    let state = "SELECT (SELECT coalesce(released_at, 'held') FROM fulfillment_holds WHERE hold_id = 2), \
                 (SELECT connected FROM inventory_levels), (SELECT last_topic || ' ' || status FROM returns), \
                 (SELECT group_concat(last_topic || ' ' || status) FROM fulfillment_orders WHERE \
                   fulfillment_order_id = 1046000780), (SELECT uninstalled_at IS NOT NULL FROM shops)";
    for topic in [
        "fulfillment_holds/added",
        "inventory_levels/update",
        "returns/request",
        "fulfillment_orders/placed_on_hold",
        "app/uninstalled",
    ] {
        let event = send_and_wait(&home, &daemon, topic, &golden_body(&topic.replace('/', "-")));
        assert_worked(&home, event);
    }
    let before = home.sql(state);
    assert_eq!(before, "held|1|returns/request requested|fulfillment_orders/placed_on_hold on_hold|1");
    let copies = [
        ("fulfillment_holds-added", "fulfillment_holds/released"),
        ("inventory_levels-update", "inventory_levels/disconnect"),
        ("returns-request", "returns/approve"),
        ("returns-request", "returns/cancel"),
        ("returns-request", "returns/reopen"),
        ("fulfillment_orders-placed_on_hold", "fulfillment_orders/hold_released"),
        ("fulfillment_orders-placed_on_hold", "fulfillment_orders/cancelled"),
    ];
    let events = copies.map(|(name, topic)| send_and_wait(&home, &daemon, topic, &golden_body(name)));
    for event in events {
        home.assert_refused(event, "");
    }
    assert_eq!(home.sql(state), before);
    for (name, topic) in
        [("fulfillment_orders-placed_on_hold", "fulfillment_holds/released"), ("app-uninstalled", "shop/update")]
    {
        let event = send_and_wait(&home, &daemon, topic, &golden_body(name));
        assert!(home.outcome(event).starts_with("completed: stored only"), "{}", home.outcome(event));
    }
    assert_eq!(home.sql(state), before);
    // The hold was really released: its body is the same, and one command works it.
    let released = events[0].to_string();
    assert!(home.outcome(events[0]).contains(&format!("novex-ingest privacy run {released}")));
    home.run_ok(&["privacy", "run", &released]);
    home.wait_until_processed();
    assert_worked(&home, events[0]);
    assert_eq!(home.sql("SELECT released_at IS NOT NULL FROM fulfillment_holds WHERE hold_id = 2"), "1");
}

/// Shopify really sends one body under these topics.
#[test]
fn one_body_under_several_true_topics_is_worked() {
    let home = Home::new("");
    let daemon = home.serve();
    let open = golden_body("fulfillment_orders-hold_released");
    for topic in ["fulfillment_orders/order_routing_complete", "fulfillment_orders/hold_released"] {
        let event = send_and_wait(&home, &daemon, topic, &open);
        assert_worked(&home, event);
    }
    assert_eq!(home.sql("SELECT last_topic FROM fulfillment_orders"), "fulfillment_orders/hold_released");
    let level = golden_body("inventory_levels-connect");
    for topic in ["inventory_levels/connect", "inventory_levels/update"] {
        let event = send_and_wait(&home, &daemon, topic, &level);
        assert_worked(&home, event);
    }
    let paid = golden_body("orders-paid");
    for topic in ["orders/create", "orders/updated", "orders/paid"] {
        let event = send_and_wait(&home, &daemon, topic, &paid);
        assert_worked(&home, event);
    }
    let cart = br#"{"id":"c1","line_items":[]}"#;
    for topic in ["carts/create", "carts/update"] {
        let event = send_and_wait(&home, &daemon, topic, cart);
        assert_worked(&home, event);
    }
}

/// Retention deletes the body and keeps its hash with the event.
#[test]
fn copy_is_recognised_after_retention_deleted_the_body() {
    let home = Home::new("[[retention.rules]]\nbodies = \"1s\"");
    let daemon = home.serve();
    let deletion = br#"{"id":8001}"#;
    let first = send_and_wait(&home, &daemon, "orders/delete", deletion);
    home.wait_for("SELECT julianday('now') > julianday(completed_at) + 1.5 / 86400 FROM webhook_events", "1");
    home.run_ok(&["prune"]);
    assert_eq!(home.sql("SELECT count(*) FROM webhook_payloads"), "0");
    let copy = send_and_wait(&home, &daemon, "products/delete", deletion);
    home.assert_refused(copy, "(orders/delete)");
    assert_eq!(home.sql(&format!("SELECT same_body_as FROM webhook_events WHERE id = {copy}")), first.to_string());
    assert_eq!(home.sql("SELECT count(*) FROM products"), "0");
}

/// A destination acts on the topic, also on one that no handler reads.
#[test]
fn copy_reaches_no_destination_under_a_false_topic() {
    let home = home_with_destinations(|home| directory_destination(&home.path("files")));
    let daemon = home.serve();
    let order = golden_body("orders-create");
    let deletion = br#"{"id":8001}"#;
    // The order itself did not arrive yet.
    for topic in ["fulfillment_orders/cancelled", "fulfillment_holds/released"] {
        let copy = send_and_wait(&home, &daemon, topic, &order);
        home.assert_refused(copy, "does not fit");
    }
    let assert_noted = |topic: &str, body: &[u8], note: &str| {
        let copy = send_and_wait(&home, &daemon, topic, body);
        let outcome = home.outcome(copy);
        assert!(outcome.starts_with("completed: stored only, and handed to no destination"), "{topic}: {outcome}");
        assert!(outcome.contains(note), "{topic}: {outcome}");
    };
    for topic in ["draft_orders/delete", "ORDERS/delete", "carts/update"] {
        assert_noted(topic, &order, "that of another topic");
    }
    send_and_wait(&home, &daemon, "orders/create", &order);
    send_and_wait(&home, &daemon, "orders/delete", deletion);
    let copy = send_and_wait(&home, &daemon, "returns/cancel", deletion);
    home.assert_refused(copy, "arrived before as event");
    assert_noted("fulfillment_orders/cancelled", deletion, "arrived before as event");
    // The order itself states that it is not cancelled.
    assert_noted("orders/cancelled", &order, "arrived before as event");
    for topic in ["checkouts/delete", "collections/delete", "draft_orders/delete"] {
        assert_noted(topic, deletion, "arrived before as event");
    }
    wait_until_delivered(&home);
    let delivered = "SELECT group_concat(topic) FROM (SELECT topic FROM destination_deliveries d \
                     JOIN webhook_events e ON e.id = d.event_id ORDER BY e.id)";
    assert_eq!(home.sql(delivered), "orders/create,orders/delete");
}

/// Nobody signs the headers of the Events preview.
#[test]
fn headers_of_the_events_preview_hide_no_refusal() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    let redaction = format!(r#"{{"shop_domain":"{SHOP}","customer":{{"id":1}},"orders_to_redact":[2]}}"#);
    let order = golden_body("orders-create");
    let preview = br#"{"fields_changed":["product.title"],"data":{"product":{"id":"gid://shopify/Product/1"}}}"#;
    let post = |id: &str, topic: &str, body: &[u8]| {
        let event = post_with_headers(&daemon, id, topic, &[("shopify-action", "x")], body).event_id();
        home.wait_until_processed();
        event
    };
    let refused = [
        post("1", "customers/redact", &order),
        post("2", "products/delete", &order),
        post("3", "products/update", redaction.as_bytes()),
        post("4", "orders/create", b"{\"id\":"),
    ];
    for event in refused {
        assert!(home.outcome(event).starts_with("failed"), "{}", home.outcome(event));
    }
    let update = post("5", "products/update", preview);
    assert!(home.outcome(update).starts_with("completed: stored only"), "{}", home.outcome(update));
    let delete = post("6", "products/delete", preview);
    assert!(home.outcome(delete).contains("(products/update)"), "{}", home.outcome(delete));
}
