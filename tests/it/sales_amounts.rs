//! The money of orders and refunds: the parts add up to the total, or `attention` has both figures.

use crate::support::provider_events::{ProviderEvent, fixture_with, golden_events};
use crate::support::seed::seeded_rng;
use crate::support::{Home, SHOP, StoreFixture, send_webhook};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Returns the rows of a table as text, by column; NULL is left out.
fn read_rows(fixture: &StoreFixture, table: &str) -> Vec<BTreeMap<String, String>> {
    let columns = fixture.sql(&format!("SELECT group_concat(name, ', ') FROM pragma_table_info('{table}')"));
    let pairs: Vec<String> = columns.split(", ").map(|name| format!("'{name}', {name}")).collect();
    let rows = fixture.sql(&format!("SELECT json_object({}) FROM {table}", pairs.join(", ")));
    let to_text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    rows.lines()
        .map(|line| {
            let object: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
            object.into_iter().filter_map(|(name, value)| Some((name, to_text(&value)?))).collect()
        })
        .collect()
}

fn amount(row: &BTreeMap<String, String>, column: &str) -> Decimal {
    row.get(column).map_or(Decimal::ZERO, |text| text.parse().unwrap())
}

fn shopify_event(topic: &str, body: &Value) -> ProviderEvent {
    ProviderEvent {
        source: "shopify".into(),
        topic: topic.into(),
        body: serde_json::to_vec(body).unwrap(),
        triggered_at: "2026-11-24T23:00:00Z".into(),
    }
}

/// Checks each order: the columns explain the total, or `attention` is set.
fn assert_orders_are_explained(fixture: &StoreFixture, name: &str) -> usize {
    let orders = read_rows(fixture, "sales_orders");
    for order in &orders {
        let has_all = ["total", "total_items", "total_discounts", "total_shipping"]
            .iter()
            .all(|column| order.contains_key(*column));
        if !has_all {
            continue;
        }
        let tax = if amount(order, "taxes_included").is_zero() { amount(order, "total_tax") } else { Decimal::ZERO };
        let sum = amount(order, "total_items") - amount(order, "total_discounts")
            + amount(order, "total_shipping")
            + tax
            + amount(order, "total_tip")
            + amount(order, "total_duties")
            + amount(order, "total_additional_fees");
        let is_explained =
            sum == amount(order, "total") || sum + amount(order, "cash_rounding") == amount(order, "total");
        assert_eq!(is_explained, !order.contains_key("attention"), "{name}: {order:?}");
    }
    orders.len()
}

/// Checks each refund: its total is what its transactions gave back, and its parts explain it or `attention` is set.
fn assert_refunds_are_explained(fixture: &StoreFixture, name: &str) -> usize {
    let refunds = read_rows(fixture, "refunds");
    for refund in &refunds {
        let id = &refund["refund_id"];
        let given = fixture.sql(&format!(
            "SELECT shop_amount FROM order_transactions WHERE refund_id = {id} AND kind = 'refund' AND status = 'success'"
        ));
        let given: Decimal = given.lines().map(|text| text.parse::<Decimal>().unwrap()).sum();
        assert_eq!(amount(refund, "total"), given, "{name}: {refund:?}");
        let tax = if refund["taxes_included"] == "0" { amount(refund, "tax") } else { Decimal::ZERO };
        let parts = ["items", "shipping", "duties", "additional_fees", "adjustment"];
        let sum: Decimal = parts.iter().map(|column| amount(refund, column)).sum::<Decimal>() + tax;
        assert_eq!(sum == given, !refund.contains_key("attention"), "{name}: {refund:?}");
    }
    refunds.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn total_of_every_golden_event_is_explained() {
    let mut refunds = 0;
    for (path, event) in golden_events() {
        let is_money = event.topic.starts_with("orders/") || event.topic.starts_with("refunds/");
        if event.source != "shopify" || !is_money {
            continue;
        }
        let fixture = fixture_with(&[event]).await;
        assert_orders_are_explained(&fixture, &path.display().to_string());
        refunds += assert_refunds_are_explained(&fixture, &path.display().to_string());
        let attention = fixture.sql("SELECT attention FROM sales_attention");
        assert_eq!(attention, "", "{}", path.display());
    }
    assert!(refunds >= 2, "{refunds} refunds");
}

#[tokio::test(flavor = "multi_thread")]
async fn total_of_every_sample_is_explained() {
    let Some(directory) = std::env::var_os("NOVEX_SAMPLES") else {
        println!("skipped: NOVEX_SAMPLES names no directory of real payloads");
        return;
    };
    let mut checked = 0;
    for folder in fs::read_dir(Path::new(&directory).join("shopify")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let topic = path.file_stem().unwrap().to_string_lossy().replacen("__", "/", 1);
            let body: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let body = body.get("response").unwrap_or(&body);
            let is_money = topic.starts_with("orders/") || topic.starts_with("refunds/");
            if !is_money || body.get("id").is_none() || topic == "orders/edited" {
                continue;
            }
            let fixture = fixture_with(&[shopify_event(&topic, body)]).await;
            checked += assert_orders_are_explained(&fixture, &topic);
            checked += assert_refunds_are_explained(&fixture, &topic);
        }
    }
    assert!(checked > 0, "no sample of an order or refund");
}

/// An amount in the shop's currency and in one that counts three to its one.
fn set(amount: Decimal) -> Value {
    json!({"shop_money": {"amount": amount.to_string(), "currency_code": "USD"},
        "presentment_money": {"amount": (amount * Decimal::from(3)).to_string(), "currency_code": "CAD"}})
}

fn random_amount(random: &mut fastrand::Rng) -> Decimal {
    Decimal::new(random.i64(0..20_000), 2)
}

/// Returns a refund of random parts, with the amount that it gives back.
fn random_refund(random: &mut fastrand::Rng, id: u64, in_presentment: bool) -> Value {
    let mut total = Decimal::ZERO;
    let mut add = |random: &mut fastrand::Rng| {
        let amount = random_amount(random);
        total += amount;
        set(amount)
    };
    let lines: Vec<Value> = (0..random.u64(0..3))
        .map(|line| json!({"id": line, "line_item_id": line, "quantity": 1, "subtotal_set": add(random), "total_tax_set": add(random)}))
        .collect();
    let shipping: Vec<Value> = (0..random.u64(0..2))
        .map(|line| json!({"id": line, "subtotal_amount_set": add(random), "tax_amount_set": add(random)}))
        .collect();
    let duties: Vec<Value> =
        (0..random.u64(0..2)).map(|duty| json!({"duty_id": duty, "amount_set": add(random)})).collect();
    let fees: Vec<Value> = (0..random.u64(0..2)).map(|fee| json!({"id": fee, "price_set": add(random)})).collect();
    let mut adjustments = Vec::new();
    if random.bool() && total > Decimal::ONE {
        let less = Decimal::new(random.i64(1..100), 2);
        total -= less;
        adjustments
            .push(json!({"kind": "refund_discrepancy", "amount_set": set(less), "tax_amount_set": set(Decimal::ZERO)}));
    }
    let (paid, currency) = if in_presentment { (total * Decimal::from(3), "CAD") } else { (total, "USD") };
    json!({"id": id, "order_id": 7, "created_at": "2026-11-24T10:00:00Z", "refund_line_items": lines,
        "refund_shipping_lines": shipping, "duties": duties, "additional_fees": fees, "order_adjustments": adjustments,
        "transactions": [{"id": id, "order_id": 7, "kind": "refund", "status": "success", "amount": paid.to_string(),
            "currency": currency, "created_at": "2026-11-24T10:00:00Z"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn total_of_every_random_refund_is_what_it_gave_back() {
    let mut random = seeded_rng();
    let refunds: Vec<Value> = (1..200).map(|id| random_refund(&mut random, id, id % 2 == 0)).collect();
    let events: Vec<ProviderEvent> = refunds.iter().map(|refund| shopify_event("refunds/create", refund)).collect();
    let fixture = fixture_with(&events).await;
    assert_eq!(assert_refunds_are_explained(&fixture, "random"), 199);
    assert_eq!(fixture.sql("SELECT attention FROM sales_attention"), "");
    let both = "SELECT count(*) FROM order_transactions WHERE CAST(shop_amount AS REAL) * 3 - \
                CAST(presentment_amount AS REAL) NOT BETWEEN -0.001 AND 0.001 OR presentment_amount IS NULL";
    assert_eq!(fixture.sql(both), "0");
    // One cent more or less is noticed, whatever the parts are.
    let wrong: Vec<ProviderEvent> = refunds
        .into_iter()
        .map(|mut refund| {
            let paid: Decimal = refund["transactions"][0]["amount"].as_str().unwrap().parse().unwrap();
            refund["transactions"][0]["amount"] = json!((paid + Decimal::new(1, 2)).to_string());
            shopify_event("refunds/create", &refund)
        })
        .collect();
    let fixture = fixture_with(&wrong).await;
    assert_eq!(fixture.sql("SELECT count(*) FROM refunds WHERE attention IS NULL"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn total_of_every_random_order_is_explained() {
    let mut random = seeded_rng();
    let mut orders = Vec::new();
    for id in 1..200_u64 {
        let mut part = || random_amount(&mut random);
        let (items, shipping, tax, tip, duties, fees) = (part(), part(), part(), part(), part(), part());
        let taxes_included = id % 3 == 0;
        let discounts = items / Decimal::from(4);
        let discounts = discounts.round_dp(2);
        let mut total = items - discounts + shipping + tip + duties + fees;
        total += if taxes_included { Decimal::ZERO } else { tax };
        orders.push(json!({"id": id, "name": format!("#{id}"), "currency": "USD", "total_price": total.to_string(),
            "total_line_items_price": items.to_string(), "subtotal_price": (items - discounts).to_string(),
            "total_discounts": discounts.to_string(), "total_tax": tax.to_string(), "taxes_included": taxes_included,
            "total_tip_received": tip.to_string(), "total_shipping_price_set": set(shipping),
            "original_total_duties_set": set(duties), "original_total_additional_fees_set": set(fees),
            "created_at": "2026-11-24T10:00:00Z", "updated_at": "2026-11-24T10:00:00Z"}));
    }
    let to_events = |orders: &[Value]| -> Vec<ProviderEvent> {
        orders.iter().map(|order| shopify_event("orders/create", order)).collect()
    };
    let fixture = fixture_with(&to_events(&orders)).await;
    assert_eq!(assert_orders_are_explained(&fixture, "random"), 199);
    assert_eq!(fixture.sql("SELECT attention FROM sales_attention"), "");
    for order in &mut orders {
        let total: Decimal = order["total_price"].as_str().unwrap().parse().unwrap();
        order["total_price"] = json!((total + Decimal::new(1, 2)).to_string());
    }
    let fixture = fixture_with(&to_events(&orders)).await;
    assert_eq!(fixture.sql("SELECT count(*) FROM sales_orders WHERE attention IS NULL"), "0");
}

/// The columns, the parts and the redaction of an order with everything that Shopify can state.
#[test]
fn parts_of_refunds_and_details_of_orders_are_kept() {
    let home = Home::new(crate::support::NO_REDACTION_DELAY);
    let daemon = home.serve();
    let zero = Decimal::ZERO;
    let order = json!({"id": 7, "name": "#7", "currency": "USD", "total_price": "10.00", "po_number": "PO-1",
        "source_name": "web", "note_attributes": [{"name": "Delivery-Date", "value": "2026-12-01"}],
        "payment_terms": {"payment_terms_name": "Net 30", "due_in_days": 30}, "company": {"id": 5, "location_id": 6},
        "customer": {"id": 9}, "created_at": "2026-11-24T10:00:00Z", "updated_at": "2026-11-24T10:00:00Z",
        "line_items": [], "shipping_lines": [{"title": "Truck", "price": "8.00"}, {"id": 3, "title": "Van", "price": "2.00"}]});
    send_webhook(&daemon, "o", "orders/create", order.to_string().as_bytes());
    let refund = json!({"id": 8, "order_id": 7, "created_at": "2026-11-24T11:00:00Z", "refund_line_items": [],
        "refund_shipping_lines": [{"id": 1, "shipping_line": {"id": 3, "title": "Van"},
            "subtotal_amount_set": set(Decimal::TWO), "tax_amount_set": set(zero)}],
        "order_adjustments": [{"id": 2, "kind": "shipping_refund", "reason": "Shipping refund", "amount": "-2",
            "tax_amount": "0"}], "duties": [{"duty_id": 4, "amount_set": set(Decimal::ONE)}],
        "transactions": [{"id": 11, "order_id": 7, "kind": "refund", "status": "success", "amount": "9", "currency": "CAD"}]});
    send_webhook(&daemon, "r", "refunds/create", refund.to_string().as_bytes());
    home.wait_until_processed();
    assert_eq!(
        home.sql("SELECT note_attributes ->> '$[0].value', payment_terms ->> 'due_in_days', company ->> 'location_id', po_number, source_name FROM sales_orders"),
        "2026-12-01|30|6|PO-1|web"
    );
    let shipping = home.sql("SELECT position, line_id, title, price FROM sales_order_shipping_lines ORDER BY position");
    assert_eq!(shipping, "1||Truck|8.00\n2|3|Van|2.00");
    let totals = home.sql(
        "SELECT total, currency, presentment_total, presentment_currency, shipping, duties, attention FROM refunds",
    );
    assert_eq!(totals, "3|USD|9|CAD|2|1|");
    let parts =
        home.sql("SELECT scope, part_id, line_id, kind, title, amount FROM refund_parts ORDER BY scope, position");
    assert_eq!(parts, "adjustment|2||shipping_refund||-2\nduty|4||||1\nshipping|1|3||Van|2");
    let transaction =
        home.sql("SELECT refund_id, amount, currency, shop_amount, presentment_amount FROM order_transactions");
    assert_eq!(transaction, "8|9|CAD|3|9");
    let redaction = json!({"shop_id": 1, "shop_domain": SHOP, "customer": {"id": 9}, "orders_to_redact": [7]});
    send_webhook(&daemon, "x", "customers/redact", redaction.to_string().as_bytes());
    home.wait_until_processed();
    let personal = home.sql("SELECT note_attributes, company, po_number, customer_id FROM sales_orders");
    assert_eq!(personal, "|||", "a redaction clears them");
    assert_eq!(home.sql("SELECT count(*) FROM refund_parts WHERE title IS NOT NULL OR reason IS NOT NULL"), "0");
}

/// An order of 2 × 50.00 with a discount of 20.00, 8.00 tax and 10.00 shipping.
fn whole_order() -> Value {
    let set = |amount: &str| json!({"shop_money": {"amount": amount, "currency_code": "EUR"}});
    json!({"id": 5, "name": "#5", "currency": "EUR", "total_price": "98.00", "current_total_price": "98.00",
        "subtotal_price": "80.00", "current_subtotal_price": "80.00", "total_line_items_price": "100.00",
        "total_discounts": "20.00", "current_total_discounts": "20.00", "total_tax": "8.00",
        "current_total_tax": "8.00", "total_price_set": set("98.00"), "total_shipping_price_set": set("10.00"),
        "current_shipping_price_set": set("10.00"),
        "line_items": [{"id": 51, "quantity": 2, "current_quantity": 2, "price": "50.00", "price_set": set("50.00"),
            "discount_allocations": [{"amount": "20.00"}], "tax_lines": [{"rate": 0.1, "price": "8.00"}]}],
        "shipping_lines": [{"id": 59, "price": "10.00", "discounted_price": "10.00"}],
        "tax_lines": [{"rate": 0.1, "price": "8.00"}]})
}

/// Sets a field by its JSON pointer; `Null` removes it.
fn with_change(mut body: Value, (pointer, value): (&str, Value)) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(object), Value::Null) => drop(object.remove(name)),
        (Value::Object(object), value) => drop(object.insert(name.to_owned(), value)),
        (Value::Array(elements), value) => elements[name.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{other} has no {name}"),
    }
    body
}

async fn read_attention(topic: &str, body: &Value, table: &str) -> String {
    let fixture = fixture_with(&[shopify_event(topic, body)]).await;
    fixture.sql(&format!("SELECT attention FROM {table}"))
}

/// Each total names another figure than its parts, although one way to add up the order fits.
#[tokio::test(flavor = "multi_thread")]
async fn part_of_an_order_that_its_lines_do_not_make_is_noticed() {
    assert_eq!(read_attention("orders/create", &whole_order(), "sales_orders").await, "");
    for (change, expected) in [
        (
            ("/line_items/0/quantity", json!(4)),
            "the lines add up to 200.00 EUR, and total_line_items_price is 100.00 EUR",
        ),
        (("/line_items", json!([])), "the lines add up to 0 EUR, and total_line_items_price is 100.00 EUR"),
        (
            ("/total_line_items_price", json!("500.00")),
            "the items are 500.00 EUR less discounts of 20.00 EUR, and subtotal_price is 80.00 EUR",
        ),
        (
            ("/tax_lines/0", json!({"rate": 0.02, "price": "1.60"})),
            "the tax lines add up to 1.60 EUR, and total_tax is 8.00 EUR",
        ),
        (
            ("/line_items/0/discount_allocations/0/amount", json!("5.00")),
            "the discounts of the lines add up to 5.00 EUR, and total_discounts is 20.00 EUR",
        ),
        (
            ("/total_shipping_price_set/shop_money/amount", json!("70.00")),
            "the shipping lines add up to 10.00 EUR, and the order's shipping is 70.00 EUR",
        ),
        (("/total_price_set/shop_money/amount", json!("98.01")), "total_price is 98.00, and total_price_set has 98.01"),
        (
            ("/line_items/0/price_set/shop_money/amount", json!("5.00")),
            "line_items: price is 50.00, and price_set has 5.00",
        ),
        (("/line_items/0/current_quantity", json!(7)), "current_quantity of line 51 is 7, and its quantity is 2"),
        (
            ("/line_items/0/current_quantity", json!(1)),
            "the lines that are left add up to 50.00 EUR, and current_subtotal_price is 80.00 EUR",
        ),
    ] {
        let attention =
            read_attention("orders/create", &with_change(whole_order(), change.clone()), "sales_orders").await;
        assert!(attention.contains(expected), "{change:?}: {attention}");
    }
    let shipping = with_change(whole_order(), ("/shipping_lines/0", json!({"id": 59, "price": "70.00"})));
    let attention = read_attention("orders/create", &shipping, "sales_orders").await;
    assert_eq!(attention, "the shipping lines add up to 70.00 EUR, and the order's shipping is 10.00 EUR");
}

#[tokio::test(flavor = "multi_thread")]
async fn current_total_without_its_shipping_is_between_its_bounds() {
    let without_shipping = with_change(whole_order(), ("/current_shipping_price_set", Value::Null));
    for (total, is_noticed) in [("98.00", false), ("88.00", false), ("87.99", true), ("98.01", true)] {
        let order = with_change(without_shipping.clone(), ("/current_total_price", json!(total)));
        let attention = read_attention("orders/create", &order, "sales_orders").await;
        assert_eq!(attention.contains("the parts of current_total add up to"), is_noticed, "{total}: {attention}");
    }
}

/// Edits, refunds, rounding, free shipping and removed shipping lines change some of the figures, and not all.
#[tokio::test(flavor = "multi_thread")]
async fn right_order_of_every_kind_is_not_noticed() {
    let edited = [
        ("/line_items/0/current_quantity", json!(1)),
        ("/current_subtotal_price", json!("40.00")),
        ("/current_total_discounts", json!("10.00")),
        ("/current_total_tax", json!("4.00")),
        ("/current_total_price", json!("54.00")),
    ];
    let removed = json!([{"id": 58, "price": "7.00", "is_removed": true}, {"id": 59, "price": "10.00"}]);
    for changes in [
        edited.to_vec(),
        vec![("/tax_lines/0", json!({"rate": 0.1, "price": "8.01"}))],
        vec![("/tax_lines/0", json!({"rate": 0.1, "price": "10.00"}))],
        vec![("/tax_lines", json!([]))],
        vec![("/line_items/0/discount_allocations", json!([]))],
        vec![("/shipping_lines", removed)],
    ] {
        let order = changes.iter().cloned().fold(whole_order(), with_change);
        assert_eq!(read_attention("orders/create", &order, "sales_orders").await, "", "{changes:?}");
    }
}

fn whole_refund() -> Value {
    json!({"id": 6, "order_id": 5, "created_at": "2026-11-24T10:00:00Z",
        "refund_line_items": [{"id": 61, "line_item_id": 51, "quantity": 1, "subtotal": "40.00", "total_tax": "4.00",
            "line_item": {"id": 51, "sku": "JAM", "quantity": 2, "price": "50.00", "tax_lines": [{"price": "8.00"}]}}],
        "refund_shipping_lines": [{"id": 62, "shipping_line": {"id": 59, "price": "10.00"},
            "subtotal_amount_set": {"shop_money": {"amount": "10.00", "currency_code": "EUR"}}}],
        "order_adjustments": [{"id": 63, "order_id": 5, "refund_id": 6, "kind": "refund_discrepancy", "amount": "0.00"}],
        "transactions": [{"id": 64, "order_id": 5, "kind": "refund", "status": "success", "amount": "54.00",
            "currency": "EUR"}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_that_its_order_does_not_allow_is_noticed() {
    assert_eq!(read_attention("refunds/create", &whole_refund(), "refunds").await, "");
    for (change, expected) in [
        (
            ("/refund_line_items/0/subtotal", json!("400.00")),
            "the refund gives 400.00 for 1 of line 51, whose price is 50.00",
        ),
        (("/refund_line_items/0/quantity", json!(9)), "the refund takes 9 of line 51, and its quantity is 2"),
        (
            ("/refund_line_items/0/total_tax", json!("40.00")),
            "the refund gives 40.00 of tax for line 51, whose tax is 8.00",
        ),
        (
            ("/refund_shipping_lines/0/shipping_line/price", json!("1.00")),
            "the refund gives 10.00 for shipping, whose price is 1.00",
        ),
        (
            ("/transactions/0/order_id", json!(9999)),
            "a transaction of the refund names order 9999, and the refund order 5",
        ),
        (
            ("/order_adjustments/0/refund_id", json!(7)),
            "an adjustment of the refund names refund 7, and the refund refund 6",
        ),
        // A body without transactions states no total, and its lines can be wrong all the same.
        (("/transactions", Value::Null), ""),
    ] {
        let attention = read_attention("refunds/create", &with_change(whole_refund(), change.clone()), "refunds").await;
        assert!(attention.contains(expected), "{change:?}: {attention}");
    }
    let other = with_change(whole_refund(), ("/order_id", json!(8)));
    let order = with_change(whole_order(), ("/refunds", json!([other])));
    let attention = read_attention("orders/updated", &order, "refunds").await;
    assert!(attention.contains("the refund is in order 5 and names order 8"), "{attention}");
    let (one, two) = (whole_refund(), with_change(whole_refund(), ("/id", json!(7))));
    let two = with_change(two, ("/refund_line_items/0/quantity", json!(2)));
    let order = with_change(whole_order(), ("/refunds", json!([one, two])));
    let attention = read_attention("orders/updated", &order, "sales_orders").await;
    assert!(attention.contains("the refunds take 3 of line 51, and its quantity is 2"), "{attention}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refund_without_its_order_names_its_goods() {
    let refund = whole_refund();
    let fixture = fixture_with(&[shopify_event("refunds/create", &refund)]).await;
    assert_eq!(fixture.sql("SELECT extras ->> '$.line_item.sku' FROM refund_lines"), "JAM");
    let order = with_change(whole_order(), ("/refunds", json!([refund])));
    let fixture = fixture_with(&[shopify_event("orders/updated", &order)]).await;
    assert_eq!(fixture.sql("SELECT extras FROM refund_lines"), "", "sales_order_lines has the line");
}
