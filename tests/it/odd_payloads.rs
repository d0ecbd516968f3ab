//! Bodies that are rare and right: deleted products, large ids, other currencies, exchanges, equal times, late events.

use crate::support::StoreFixture;
use crate::support::odd_events::odd_events;
use crate::support::provider_events::{ProviderEvent, dump_erp_tables, fixture_with};
use serde_json::{Value, json};

fn shopify_event(topic: &str, body: &Value) -> ProviderEvent {
    ProviderEvent {
        source: "shopify".into(),
        topic: topic.into(),
        body: serde_json::to_vec(body).unwrap(),
        triggered_at: "2026-11-24T22:00:00Z".into(),
    }
}

/// Checks that the events give equal rows in every order of two halves and backwards.
async fn assert_same_rows_in_any_order(events: &[ProviderEvent]) -> StoreFixture {
    let fixture = fixture_with(events).await;
    let expected = dump_erp_tables(&fixture, "1");
    for turn in 1..events.len() {
        let mut others = events.to_vec();
        others.rotate_left(turn);
        assert_eq!(dump_erp_tables(&fixture_with(&others).await, "1"), expected, "from {turn}");
    }
    let backwards: Vec<ProviderEvent> = events.iter().rev().cloned().collect();
    assert_eq!(dump_erp_tables(&fixture_with(&backwards).await, "1"), expected, "backwards");
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_products_custom_items_and_large_ids_are_exact() {
    let order = json!({"id": i64::MAX, "name": "#1", "currency": "USD", "total_price": "6.00", "line_items": [
        {"id": 9_007_199_254_740_993_i64, "quantity": 1, "price": "1.00", "sku": "GONE", "product_id": null,
            "variant_id": null, "product_exists": false, "title": "Deleted"},
        {"id": i64::MAX - 1, "quantity": 2, "price": "2.50", "sku": null, "product_id": null, "variant_id": null,
            "product_exists": false, "title": "Custom cut", "vendor": null},
        {"id": "9223372036854775805", "quantity": 1, "price": "0.00", "sku": ""}]});
    let refund = json!({"id": i64::MAX, "order_id": i64::MAX, "created_at": "2026-11-24T10:00:00Z", "transactions": [],
        "refund_line_items": [{"id": i64::MAX, "line_item_id": i64::MAX - 1, "quantity": 1, "subtotal": "2.50"}]});
    let fixture =
        fixture_with(&[shopify_event("orders/create", &order), shopify_event("refunds/create", &refund)]).await;
    let lines =
        fixture.sql("SELECT line_id, sku, product_id, variant_id, title FROM sales_order_lines ORDER BY position");
    let expected = "9007199254740993|GONE|||Deleted\n9223372036854775806||||Custom cut\n9223372036854775805||||";
    assert_eq!(lines, expected);
    assert_eq!(
        fixture.sql("SELECT order_id, line_id FROM refund_lines JOIN refunds USING (refund_id)"),
        "9223372036854775807|9223372036854775806"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn currencies_without_and_with_three_decimals_are_exact() {
    for (currency, price, total, back) in
        [("JPY", "1500", "3000", "1500"), ("KWD", "1.505", "3.010", "1.505"), ("BHD", "0.001", "0.002", "0.001")]
    {
        let money = |amount: &str| {
            json!({"shop_money": {"amount": amount, "currency_code": currency},
            "presentment_money": {"amount": amount, "currency_code": currency}})
        };
        let order = json!({"id": 7, "name": "#7", "currency": currency, "presentment_currency": currency,
            "total_price": total, "subtotal_price": total, "total_tax": "0", "total_discounts": "0",
            "total_line_items_price": total, "total_shipping_price_set": money("0"), "total_price_set": money(total),
            "line_items": [{"id": 1, "quantity": 2, "price": price}]});
        let refund = json!({"id": 8, "order_id": 7, "created_at": "2026-11-24T10:00:00Z", "refund_line_items":
            [{"id": 1, "line_item_id": 1, "quantity": 1, "subtotal_set": money(back), "total_tax_set": money("0")}],
            "transactions": [{"id": 9, "order_id": 7, "kind": "refund", "status": "success", "amount": back,
                "currency": currency}]});
        let events = [shopify_event("orders/create", &order), shopify_event("refunds/create", &refund)];
        let fixture = fixture_with(&events).await;
        assert_eq!(
            fixture.sql("SELECT total, presentment_total, currency, attention FROM sales_orders"),
            format!("{total}|{total}|{currency}|")
        );
        assert_eq!(fixture.sql("SELECT price FROM sales_order_lines"), price);
        assert_eq!(
            fixture.sql("SELECT total, presentment_total, currency, attention FROM refunds"),
            format!("{back}|{back}|{currency}|")
        );
        assert_eq!(fixture.sql("SELECT amount, shop_amount FROM order_transactions"), format!("{back}|{back}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_times_give_one_result_in_any_order_of_arrival() {
    let order = |tags: &str, lines: u64| {
        let lines: Vec<Value> = (1..=lines).map(|id| json!({"id": id, "quantity": id, "price": "1.00"})).collect();
        shopify_event(
            "orders/updated",
            &json!({"id": 7, "name": "#7", "updated_at": "2026-11-24T10:00:00Z",
            "tags": tags, "line_items": lines}),
        )
    };
    for count in 1..=4 {
        let events = [order("a", count), order("b", 5 - count), order("c", 2)];
        let fixture = assert_same_rows_in_any_order(&events).await;
        // The tags and the lines are of one body.
        let found = fixture.sql("SELECT tags, (SELECT count(*) FROM sales_order_lines) FROM sales_orders");
        let bodies = [format!("a|{count}"), format!("b|{}", 5 - count), "c|2".to_owned()];
        assert!(bodies.contains(&found), "{found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_equal_whatever_event_arrives_first() {
    let order = |topic: &str, minute: u32, changes: &Value| {
        let mut body = json!({"id": 7, "name": "#7", "financial_status": "pending", "cancelled_at": null,
            "updated_at": format!("2026-11-24T10:{minute:02}:00Z"), "line_items": [{"id": 1, "quantity": 5,
            "current_quantity": 5, "price": "1.00"}]});
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        shopify_event(topic, &body)
    };
    let events = [
        order("orders/create", 1, &json!({})),
        order("orders/paid", 2, &json!({"financial_status": "paid"})),
        order(
            "orders/cancelled",
            3,
            &json!({"financial_status": "refunded", "cancel_reason": "customer",
            "cancelled_at": "2026-11-24T10:03:00Z", "line_items": [{"id": 1, "quantity": 5, "current_quantity": 0,
            "price": "1.00"}]}),
        ),
        shopify_event("orders/delete", &json!({"id": 7})),
    ];
    let fixture = assert_same_rows_in_any_order(&events).await;
    let columns = "financial_status, cancel_reason, cancelled_at, deleted_at, current_quantity";
    assert_eq!(
        fixture.sql(&format!("SELECT {columns} FROM sales_orders JOIN sales_order_lines USING (order_id)")),
        "refunded|customer|2026-11-24T10:03:00.000Z|2026-11-24T22:00:00.000Z|0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_are_complete_and_the_status_newest_in_any_order() {
    let scan = |hour: u32, status: &str| {
        json!({"message": status, "status": status, "source": "UPS",
        "datetime": format!("2026-11-24T{hour:02}:00:00Z")})
    };
    let tracker = |hour: u32, status: &str, scans: &[Value]| {
        let body = json!({"id": format!("evt_{hour}"), "object": "Event", "description": "tracker.updated",
            "mode": "production", "result": {"id": "trk_1", "object": "Tracker", "tracking_code": "1Z9",
            "status": status, "updated_at": format!("2026-11-24T{hour:02}:30:00Z"), "tracking_details": scans}});
        ProviderEvent { source: "easypost".into(), ..shopify_event("tracker.updated", &body) }
    };
    let events = [
        tracker(8, "pre_transit", &[scan(8, "pre_transit")]),
        tracker(9, "in_transit", &[scan(9, "in_transit"), scan(8, "pre_transit")]),
        // The carrier leaves out what it stated before.
        tracker(10, "delivered", &[scan(10, "delivered")]),
        tracker(9, "in_transit", &[scan(7, "unknown"), scan(9, "in_transit")]),
    ];
    let fixture = assert_same_rows_in_any_order(&events).await;
    assert_eq!(fixture.sql("SELECT status FROM shipments"), "delivered");
    let scans = fixture.sql("SELECT group_concat(status, ' ') FROM (SELECT status FROM tracking_events ORDER BY at)");
    assert_eq!(scans, "unknown pre_transit in_transit delivered");
}

#[tokio::test(flavor = "multi_thread")]
async fn exchange_keeps_its_lines_and_negative_quantities() {
    let exchange = json!({"id": 40, "order": {"id": 7}, "status": "open", "total_return_line_items": 1,
        "return_line_items": [{"id": 1, "quantity": 1, "fulfillment_line_item": {"line_item": {"id": 5}},
            "restocking_fee": {"percentage": 10.0}}],
        "exchange_line_items": [{"id": 8, "quantity": -1, "line_item": {"id": 9}}], "total_exchange_line_items": 1});
    let order = json!({"id": 7, "updated_at": "2026-11-24T10:00:00Z", "total_outstanding": "-4.00", "line_items": [
        {"id": 5, "quantity": 1, "current_quantity": 0, "price": "10.00"},
        {"id": 9, "quantity": 1, "current_quantity": 1, "price": "6.00"},
        {"id": 10, "quantity": -1, "current_quantity": -1, "price": "6.00"}]});
    let events = [shopify_event("returns/approve", &exchange), shopify_event("orders/updated", &order)];
    let fixture = assert_same_rows_in_any_order(&events).await;
    let kept = "SELECT extras ->> '$.exchange_line_items[0].quantity', extras ->> '$.total_exchange_line_items', \
                (SELECT line_id || ' ' || extras FROM return_lines) FROM returns";
    assert_eq!(fixture.sql(kept), r#"-1|1|5 {"restocking_fee":{"percentage":10.0}}"#);
    let lines = fixture.sql("SELECT line_id, quantity, current_quantity FROM sales_order_lines ORDER BY position");
    assert_eq!(lines, "5|1|0\n9|1|1\n10|-1|-1");
    assert_eq!(fixture.sql("SELECT total_outstanding FROM sales_orders"), "-4.00");
}

/// What each rare shape becomes.
#[tokio::test(flavor = "multi_thread")]
async fn odd_shapes_are_read_or_kept() {
    let fixture = fixture_with(&odd_events()).await;
    for (sql, expected) in [
        ("SELECT order_id, note, tags FROM sales_orders WHERE name = '#1'", "9007199254740993|5|"),
        (
            "SELECT extras ->> 'test', extras ->> 'billing_address' FROM sales_orders WHERE name = '#1'",
            "no|Main St 1, Berlin",
        ),
        ("SELECT zip, extras FROM sales_order_addresses", r#"10115|{"name":"Ann Other"}"#),
        (
            "SELECT discounted_price, extras ->> '$.discounted_price_set.shop_money.amount' \
          FROM sales_order_shipping_lines",
            "6.00|6.50",
        ),
        (
            "SELECT extras ->> '$.price_set.presentment_money.amount' FROM sales_order_taxes WHERE line_id IS NULL",
            "10.80",
        ),
        (
            "SELECT amount, code, extras ->> 'discount_application_index' FROM sales_order_discounts \
          WHERE scope = 'line' ORDER BY position",
            "5.00|SPRING|\n0.50||9",
        ),
        ("SELECT extras ->> '$.line_items[0].sku' FROM sales_orders WHERE order_id = 3", "A"),
        (
            "SELECT change, quantity, extras FROM sales_order_edit_lines ORDER BY change",
            "added|2|{\"reason\":\"swap\"}\nremoved|1|",
        ),
        ("SELECT extras ->> '$.line_items.additions[0].delta' FROM sales_order_edits", "3"),
        (
            "SELECT number, url FROM fulfillment_tracking_numbers WHERE fulfillment_id = 30 ORDER BY position",
            "94001|\nB 2|https://x/3\nC|\n|https://x/2",
        ),
        ("SELECT number FROM fulfillment_tracking_numbers WHERE fulfillment_id = 5", "1Z 9"),
        ("SELECT total, duties, attention FROM refunds WHERE refund_id = 11", "3.00|3.00|"),
        // 9.00 and 1.00 for goods, 2.00 for shipping, less 1.00 for restocking; paid back over two gateways.
        (
            "SELECT total, items, shipping, adjustment, attention FROM refunds WHERE refund_id = 12",
            "11.00|10.00|2.00|-1.00|",
        ),
        ("SELECT count(*) FROM order_transactions WHERE refund_id = 12", "2"),
        ("SELECT variant_id, price FROM product_variants", "1|2"),
        ("SELECT extras ->> '$.variants[0].sku' FROM products", "no id"),
        ("SELECT address_id, city FROM customer_addresses ORDER BY address_id", "61|Berlin\n62|Bonn\n64|Berlin"),
        ("SELECT available, updated_at FROM inventory_levels", "5|2026-11-24T00:00:00.000Z"),
        ("SELECT return_line_id, extras FROM return_lines", r#"7|{"restocking_fee":{"percentage":10.0}}"#),
        ("SELECT tracking_code, weight_oz FROM shipments", "94001|3.5"),
        (
            "SELECT extras ->> 'est_delivery_date', extras ->> '$.tracking_location.name' FROM tracking_events",
            "2026-11-27|Depot",
        ),
        ("SELECT tracking_code FROM easypost_objects WHERE object = 'Refund'", "94"),
    ] {
        assert_eq!(fixture.sql(sql), expected, "{sql}");
    }
}

/// Two elements of a list with one id: which of them is right is not known, so the note names both.
#[tokio::test(flavor = "multi_thread")]
async fn repeated_id_in_a_list_is_noted_and_nothing_is_lost() {
    let pair = |one: Value, two: Value| json!([{"id": 8, "sku": "C", "quantity": 1, "price": "3.00"}, one, two]);
    let (one, two) = (
        json!({"id": 7, "sku": "A", "quantity": 1, "price": "1.00"}),
        json!({"id": "7", "sku": "B", "quantity": 5, "price": "2.00"}),
    );
    for (topic, body, note, rows, kept) in [
        (
            "products/update",
            json!({"id": 1, "variants": pair(one.clone(), two.clone())}),
            "the body repeats elements of product_variants, variant_id 7 at the places 2 and 3: the last one counts",
            "SELECT sku FROM product_variants ORDER BY variant_id",
            ("products", "$.variants[0].sku"),
        ),
        (
            "fulfillments/create",
            json!({"id": 1, "order_id": 2, "line_items": pair(one.clone(), two.clone())}),
            "the body repeats elements of fulfillment_lines, line_id 7 at the places 2 and 3: the last one counts",
            "SELECT sku FROM fulfillment_lines ORDER BY line_id",
            ("fulfillments", "$.line_items[0].sku"),
        ),
    ] {
        let event = shopify_event(topic, &body);
        assert_eq!(event.plan("s").unwrap().note.as_deref(), Some(note));
        let fixture = fixture_with(&[event]).await;
        assert_eq!(fixture.sql(rows), "B\nC");
        let (table, path) = kept;
        assert_eq!(fixture.sql(&format!("SELECT extras ->> '{path}' FROM {table}")), "A");
    }
    let refund = json!({"id": 3, "order_id": 2, "created_at": "2026-11-24T10:00:00Z", "refund_line_items":
        [{"id": 7, "line_item_id": 4, "quantity": 1}, {"id": 7, "line_item_id": 4, "quantity": 2}],
        "transactions": [{"id": 9, "kind": "sale", "amount": "1.00"}, {"id": 9, "kind": "sale", "amount": "2.00"}]});
    let note = shopify_event("refunds/create", &refund).plan("s").unwrap().note.unwrap();
    assert_eq!(
        note,
        "the body states two different rows of order_transactions with transaction_id 9: the last one counts; \
         the body repeats elements of refund_lines, refund_line_id 7 at the places 1 and 2: each counts"
    );
}

/// Half of an order is worse than an order that waits, so no line of the body counts.
#[tokio::test(flavor = "multi_thread")]
async fn order_with_a_repeated_line_keeps_its_lines_and_is_noticed() {
    let order = |minute: u32, lines: Value| {
        let body = json!({"id": 7, "name": "#7", "updated_at": format!("2026-11-24T10:{minute:02}:00Z"),
            "line_items": lines});
        shopify_event("orders/updated", &body)
    };
    let good = order(1, json!([{"id": 1, "quantity": 3, "sku": "A", "price": "1.00"}]));
    let bad = order(2, json!([{"id": 1, "quantity": 2, "sku": "A"}, {"id": 1, "quantity": 9, "sku": "B"}]));
    let problem = "two lines have the id 1: 2 × A and 9 × B";
    let note = bad.plan("s").unwrap().note.unwrap();
    assert_eq!(note, format!("the order's lines are unchanged: {problem}"));
    let fixture = assert_same_rows_in_any_order(&[good, bad]).await;
    assert_eq!(fixture.sql("SELECT quantity, sku FROM sales_order_lines"), "3|A");
    assert_eq!(fixture.sql("SELECT attention FROM sales_attention"), problem);
}

#[tokio::test(flavor = "multi_thread")]
async fn return_whose_lines_do_not_make_its_total_is_noted() {
    let lines = json!([{"id": 1, "quantity": 3}, {"id": 2, "quantity": 1}]);
    for (total, is_noted) in [(4, false), (2, false), (5, true)] {
        let body = json!({"id": 40, "order": {"id": 7}, "total_return_line_items": total, "return_line_items": lines});
        let note = shopify_event("returns/approve", &body).plan("s").unwrap().note;
        let expected = "the lines of the return have 4 units, and total_return_line_items is 5";
        assert_eq!(note.as_deref(), is_noted.then_some(expected));
    }
}
