//! Signed bodies that somebody sends again under another topic, shop or id, and times that nobody signed.

use crate::support::{
    Daemon, Home, NO_REDACTION_DELAY, OTHER_SHOP, Request, Response, SECRET, SHOP, base64, hmac_sha256, send_webhook,
    shopify_request,
};
use std::fs;

/// A home whose redactions run at once.
fn home_without_delay() -> Home {
    Home::new(NO_REDACTION_DELAY)
}

fn golden_body(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/it/golden/shopify.{name}.json", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn post(daemon: &Daemon<'_>, id: &str, topic: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let request = shopify_request(id, body).with_header("X-Shopify-Topic", topic);
    let request = headers.iter().fold(request, |request, (name, value)| request.with_header(name, value));
    daemon.request(&Request { path: format!("/api/webhooks/shopify/{topic}"), ..request })
}

/// The rows of the shop's objects, and the stored bodies.
fn count_rows(home: &Home) -> String {
    let tables = [
        "sales_orders",
        "sales_order_addresses",
        "customers",
        "products",
        "refunds",
        "fulfillments",
        "returns",
        "order_transactions",
        "inventory_items",
        "locations",
        "shops",
        "redactions",
        "data_requests",
    ];
    let counts = tables.map(|table| format!("SELECT '{table}', count(*) FROM {table}"));
    let personal = "SELECT email, deleted_at FROM sales_orders";
    format!("{}\n{}", home.sql(&counts.join(" UNION ALL ")), home.sql(personal))
}

const WORKED_TOPICS: [&str; 27] = [
    "customers/redact",
    "shop/redact",
    "orders/delete",
    "products/delete",
    "customers/delete",
    "inventory_items/delete",
    "locations/delete",
    "fulfillment_events/delete",
    "app/uninstalled",
    "customers/merge",
    "customers/data_request",
    "orders/edited",
    "order_transactions/create",
    "refunds/create",
    "returns/close",
    "fulfillments/create",
    "fulfillments/update",
    "fulfillment_events/create",
    "customers/create",
    "customers/update",
    "products/create",
    "products/update",
    "inventory_items/update",
    "inventory_levels/update",
    "locations/update",
    "locations/activate",
    "shop/update",
];

/// The order arrives first, or only its copies do: neither way do they erase, delete or write anything.
#[test]
fn order_sent_again_under_any_other_topic_changes_nothing() {
    for original_first in [true, false] {
        let home = home_without_delay();
        let daemon = home.serve();
        let body = golden_body("orders-create");
        if original_first {
            send_webhook(&daemon, "original", "orders/create", &body);
            home.wait_until_processed();
        }
        let before = count_rows(&home);
        let copies: Vec<i64> =
            WORKED_TOPICS.iter().map(|topic| send_webhook(&daemon, &format!("copy {topic}"), topic, &body)).collect();
        home.wait_until_processed();
        for copy in &copies {
            home.assert_refused(*copy, "");
        }
        assert_eq!(count_rows(&home), before);
        // A retry by hand looks again and finds the same.
        home.run_ok(&["events", "retry", "--status", "failed", "--topic", "orders/delete"]);
        home.wait_until_processed();
        assert!(home.outcome(copies[2]).starts_with("failed: nothing was changed"));
        assert_eq!(count_rows(&home), before);
        assert_eq!(home.sql("SELECT count(*) FROM webhook_payloads"), (27 + i64::from(original_first)).to_string());
    }
}

/// Every golden body under every other topic of another object writes nothing.
#[test]
fn body_of_one_topic_never_fits_another_object() {
    let home = home_without_delay();
    let daemon = home.serve();
    let bodies = [
        "customers-update",
        "products-update",
        "refunds-create",
        "fulfillments-create",
        "order_transactions-create",
        "fulfillment_events-create",
        "returns-request",
        "inventory_items-update",
        "locations-update",
        "shop-update",
    ];
    for name in bodies {
        let body = golden_body(name);
        let family = name.split('-').next().unwrap();
        for topic in WORKED_TOPICS.iter().chain(&["orders/create", "orders/cancelled"]) {
            // A shop that is updated and one that uninstalled the app have the same body.
            if topic.starts_with(&format!("{family}/")) && !topic.ends_with("/delete")
                || name == "shop-update" && *topic == "app/uninstalled"
                || name == "fulfillment_events-create" && *topic == "fulfillment_events/create"
            {
                continue;
            }
            send_webhook(&daemon, &format!("{name} {topic}"), topic, &body);
        }
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT webhook_id, note FROM webhook_events WHERE status <> 'failed'"), "");
    assert!(count_rows(&home).lines().all(|line| line.is_empty() || line.ends_with("|0")), "{}", count_rows(&home));
}

#[test]
fn small_body_is_not_worked_under_a_second_topic_or_by_a_second_copy() {
    let home = home_without_delay();
    let daemon = home.serve();
    for name in ["orders-create", "products-create"] {
        send_webhook(&daemon, name, &name.replace('-', "/"), &golden_body(name));
    }
    home.wait_until_processed();
    let order = br#"{"id":5820982911946154508}"#;
    let deleted = send_webhook(&daemon, "d1", "orders/delete", order);
    home.wait_until_processed();
    assert_eq!(home.outcome(deleted), "completed:");
    // A second subscription asks for the same; other topics, and other kinds of objects, do not.
    let again = send_webhook(&daemon, "d2", "orders/delete", order);
    home.wait_until_processed();
    assert!(home.outcome(again).starts_with("completed: nothing to do: event"), "{}", home.outcome(again));
    assert!(post(&daemon, "d1", "orders/delete", &[], order).is_duplicate());
    for topic in
        ["products/delete", "customers/delete", "locations/delete", "inventory_items/delete", "products/update"]
    {
        let copy = send_webhook(&daemon, topic, topic, order);
        home.wait_until_processed();
        home.assert_refused(copy, "arrived before as event");
    }
    assert_eq!(home.sql("SELECT count(*) FROM products WHERE deleted_at IS NULL"), "1");
    assert_eq!(home.sql("SELECT (SELECT count(*) FROM customers) + (SELECT count(*) FROM locations)"), "0");
}

#[test]
fn copies_of_an_uninstallation_and_a_merge_are_refused() {
    let home = home_without_delay();
    let daemon = home.serve();
    let shop = golden_body("shop-update");
    send_webhook(&daemon, "s", "shop/update", &shop);
    home.wait_until_processed();
    let copy = send_webhook(&daemon, "u", "app/uninstalled", &shop);
    home.wait_until_processed();
    home.assert_refused(copy, "(shop/update)");
    let update = String::from_utf8(shop).unwrap().replace(SHOP, OTHER_SHOP);
    let of_other = send_webhook(&daemon, "s2", "shop/update", update.replace("Acme", "Evil").as_bytes());
    home.wait_until_processed();
    assert!(home.outcome(of_other).contains("name different shops"), "{}", home.outcome(of_other));
    assert_eq!(home.sql("SELECT count(*) FROM shops WHERE name LIKE '%Evil%'"), "0");
    assert_eq!(home.sql("SELECT count(*) FROM shops WHERE uninstalled_at IS NULL"), "1");

    let merge = golden_body("customers-merge");
    let first = send_webhook(&daemon, "m1", "customers/merge", &merge);
    home.wait_until_processed();
    assert!(home.outcome(first).starts_with("completed"), "{}", home.outcome(first));
    let second = send_webhook(&daemon, "m2", "customers/merge", &merge);
    home.wait_until_processed();
    home.assert_refused(second, "(customers/merge)");
}

/// Two shops of one app share its secret.
#[test]
fn body_that_names_another_shop_is_refused() {
    let home = home_without_delay();
    fs::write(home.path("other"), SECRET).unwrap();
    let daemon = home.serve();
    let order = golden_body("orders-create");
    let to_other = |id: &str, topic: &str, body: &[u8]| {
        post(&daemon, id, topic, &[("X-Shopify-Shop-Domain", OTHER_SHOP)], body).event_id()
    };
    to_other("o", "orders/create", &order);
    let redact = format!(
        r#"{{"shop_domain":"{SHOP}","customer":{{"id":7115134935223412345}},"orders_to_redact":[5820982911946154508]}}"#
    );
    let refused = [
        to_other("r", "customers/redact", redact.as_bytes()),
        to_other("s", "shop/redact", format!(r#"{{"shop_id":1,"shop_domain":"{SHOP}"}}"#).as_bytes()),
        to_other("u", "app/uninstalled", &golden_body("app-uninstalled")),
    ];
    home.wait_until_processed();
    for event in refused {
        home.assert_refused(event, "is not the shop of the header");
    }
    assert_eq!(home.sql("SELECT count(*) FROM redactions"), "0");
    assert_eq!(home.sql("SELECT count(*) FROM sales_orders WHERE email IS NOT NULL"), "1");
}

/// Nobody signs X-Shopify-Triggered-At. A body's own time counts, unless it is in the future.
#[test]
fn time_in_the_future_keeps_no_later_value_out() {
    let home = home_without_delay();
    let daemon = home.serve();
    let header = [("X-Shopify-Triggered-At", "2099-01-01T00:00:00Z")];
    let disconnect = br#"{"inventory_item_id":1,"location_id":2,"available":7}"#;
    post(&daemon, "i1", "inventory_levels/update", &header, disconnect);
    home.wait_until_processed();
    send_webhook(&daemon, "i2", "inventory_levels/update", br#"{"inventory_item_id":1,"location_id":2,"available":3}"#);
    post(&daemon, "d", "orders/delete", &header, br#"{"id":17}"#);
    let product = |title: &str, at: &str| format!(r#"{{"id":9,"title":"{title}","updated_at":"{at}","vendor":"v"}}"#);
    send_webhook(&daemon, "p1", "products/update", product("far", "2098-05-05T00:00:00Z").as_bytes());
    home.wait_until_processed();
    let now = home.sql("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '+1 hour')");
    send_webhook(&daemon, "p2", "products/update", product("near", &now).as_bytes());
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT available FROM inventory_levels"), "3");
    assert_eq!(home.sql("SELECT deleted_at < '2098' FROM sales_orders WHERE order_id = 17"), "1");
    assert_eq!(home.sql("SELECT title FROM products"), "near");
}

/// A reader of the database or of an export cannot send a request again.
#[test]
fn signatures_are_neither_stored_nor_exported() {
    let home = home_without_delay();
    let daemon = home.serve();
    let body = golden_body("orders-create");
    let signature = base64(&hmac_sha256(SECRET.as_bytes(), &body));
    send_webhook(&daemon, "o", "orders/create", &body);
    // The same id with other bytes: the conflict has headers too.
    let other = [&body[..], b" "].concat();
    send_webhook(&daemon, "o", "orders/create", &other);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM webhook_conflicts"), "1");
    let exported = home.run_ok(&["events", "export"]) + &home.run_ok(&["events", "show", "1", "--json"]);
    let stored = home.sql("SELECT headers FROM webhook_payloads UNION ALL SELECT headers FROM webhook_conflicts");
    for text in [&exported, &stored] {
        assert!(text.contains("x-shopify-topic"), "{text}");
        assert!(!text.contains("hmac") && !text.contains(&signature), "{text}");
        assert!(!text.contains(&base64(&hmac_sha256(SECRET.as_bytes(), &other))), "{text}");
    }
}

/// The Events preview states an object and an action in headers without `X-`.
#[test]
fn events_preview_is_routed_by_object_and_action() {
    let home = home_without_delay();
    let daemon = home.serve();
    let body = golden_body("products-update");
    let deliver = |path: &str, id: &str, prefix: &str, object: &str, action: &str, body: &[u8]| {
        let request = Request::post(&format!("/api/webhooks/shopify/{path}"), body)
            .with_header(&format!("{prefix}shopify-topic"), object)
            .with_header(&format!("{prefix}shopify-action"), action)
            .with_header(&format!("{prefix}shopify-shop-domain"), SHOP)
            .with_header(&format!("{prefix}shopify-webhook-id"), id)
            .with_header(&format!("{prefix}shopify-hmac-sha256"), &base64(&hmac_sha256(SECRET.as_bytes(), body)));
        daemon.request(&request)
    };
    for (number, path) in ["products/update", "Product", "products"].into_iter().enumerate() {
        for prefix in ["", "x-"] {
            deliver(path, &format!("p{prefix}{number}"), prefix, "Product", "update", &body).event_id();
        }
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT DISTINCT topic, status FROM webhook_events"), "products/update|completed");
    assert_eq!(home.sql("SELECT count(*) FROM products"), "1");
    let wrong = deliver("orders/create", "x", "", "Product", "update", &body);
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("products/update"), "{wrong:?}");

    // A body of another shape is kept for later, and nothing is guessed from it.
    let own_shape = br#"{"fields_changed":["product.title"],"data":{"product":{"id":"gid://shopify/Product/1"}}}"#;
    let other_bytes = [&own_shape[..], b" "].concat();
    for (id, action, body) in [("e1", "update", &own_shape[..]), ("e2", "delete", &other_bytes)] {
        let event = deliver("Product", id, "", "Product", action, body).event_id();
        home.wait_until_processed();
        let found = home.outcome(event);
        assert!(found.starts_with("completed: stored only: the body of the Events preview"), "{found}");
    }
    assert_eq!(home.sql("SELECT count(*), count(deleted_at) FROM products"), "1|0");
}
