//! The ERP tables depend neither on the sequence of events nor on repetitions.

use crate::support::provider_events::{ProviderEvent, apply_plans, dump_erp_tables, golden_events};
use crate::support::seed::seeded_config;
use crate::support::{SHOP, StoreFixture};
use novex_ingest::internals::changes::Change;
use novex_ingest::internals::changes::catalogue::{PRODUCTS, SALES_ORDERS};
use novex_ingest::internals::changes::rows::{CellValue, ListChange, RowChange};
use novex_ingest::internals::handlers::Plan;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Returns the rows that the same events leave in two sequences, without the column of the last event.
async fn rows_of_both(first: Vec<Plan>, second: Vec<Plan>) -> (String, String) {
    let mut left = Vec::new();
    for (events, shop) in [(first, SHOP), (second, SHOP)] {
        let fixture = StoreFixture::new();
        fixture.sql(
            "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
             VALUES (1, 'shopify', '', '', '', '', '')",
        );
        apply_plans(&fixture, shop, events).await;
        left.push(dump_erp_tables(&fixture, "1"));
        fixture.store.writer.close().await;
    }
    let second = left.pop().unwrap();
    (left.pop().unwrap(), second)
}

/// Returns a permutation in which some elements occur twice.
fn shuffle_with_repeats<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    let all = all.to_vec();
    let twice = prop::collection::vec(any::<bool>(), all.len());
    twice.prop_flat_map(move |twice| {
        let again = all.iter().zip(twice).filter(|(_, twice)| *twice).map(|(one, _)| one.clone());
        Just(all.iter().cloned().chain(again).collect::<Vec<T>>()).prop_shuffle()
    })
}

fn partial_row(version: u8, states: u8) -> Plan {
    const COLUMNS: [&str; 5] = ["name", "currency", "total", "note", "deleted_at"];
    let has = |place: usize| states & (1 << place) != 0;
    let columns = COLUMNS.into_iter().enumerate().filter(|(place, _)| has(*place));
    let cell = |place: usize| {
        if version.is_multiple_of(3) { CellValue::Null } else { format!("{place} as of {version}").into() }
    };
    let lists = has(5).then(|| ListChange {
        table: "sales_order_lines",
        partition: None,
        columns: vec!["line_id", "position", "quantity"],
        rows: (0..i64::from(version % 3))
            .map(|line| vec![line.into(), (line + 1).into(), version.into_cell()])
            .collect(),
        is_partial: false,
    });
    let row = RowChange {
        table: SALES_ORDERS,
        key: vec![SHOP.into(), CellValue::Integer(7)],
        row_version: format!("{version:03}"),
        columns: columns.map(|(place, name)| (name, cell(place))).collect(),
        lists: lists.into_iter().collect(),
    };
    Plan { changes: vec![Change::Row(row)], ..Plan::default() }
}

/// A product whose body has some of its variants, or all of them, each with the number of the event as its title.
fn partial_product(version: u8, states: u8) -> Plan {
    let variants = (0..6_i64).filter(|variant| states & (1 << variant) != 0);
    let cells = |variant: i64| vec![variant.into(), version.into_cell(), format!("as of {version}").into()];
    let list = ListChange {
        table: "product_variants",
        partition: None,
        columns: vec!["variant_id", "position", "title"],
        rows: variants.map(cells).collect(),
        is_partial: states & (1 << 6) != 0,
    };
    let row = RowChange {
        table: PRODUCTS,
        key: vec![SHOP.into(), CellValue::Integer(7)],
        row_version: format!("{version:03}"),
        columns: vec![("title", format!("as of {version}").into())],
        lists: if states & (1 << 7) != 0 { vec![list] } else { Vec::new() },
    };
    Plan { changes: vec![Change::Row(row)], ..Plan::default() }
}

trait IntoCell {
    fn into_cell(self) -> CellValue;
}

impl IntoCell for u8 {
    fn into_cell(self) -> CellValue {
        CellValue::Integer(self.into())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(seeded_config(64))]

    /// Any columns may be missing in any event: each column ends as of the newest event that states it.
    #[test]
    fn partial_rows_merge_equally_in_any_sequence(
        (events, other) in prop::collection::vec(any::<u8>(), 1..8).prop_flat_map(|states| {
            let rows: Vec<Plan> = (1..).zip(states).map(|(version, states)| partial_row(version, states)).collect();
            (Just(rows.clone()), shuffle_with_repeats(&rows))
        })
    ) {
        let (first, second) = runtime().block_on(rows_of_both(events, other));
        prop_assert_eq!(first, second);
    }

    /// A body with some of the variants takes none away and adds none that a newer whole list left out.
    #[test]
    fn partial_lists_merge_equally_in_any_sequence(
        (events, other) in prop::collection::vec(any::<u8>(), 1..8).prop_flat_map(|states| {
            let rows: Vec<Plan> = (1..).zip(states).map(|(version, states)| partial_product(version, states)).collect();
            (Just(rows.clone()), shuffle_with_repeats(&rows))
        })
    ) {
        let (first, second) = runtime().block_on(rows_of_both(events, other));
        prop_assert_eq!(first, second);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn body_that_may_leave_out_variants_or_addresses_deletes_none() {
    let product = |minute: u32, variants: std::ops::Range<u64>, all: u64| {
        let variants: Vec<Value> = variants.map(|id| json!({"id": id, "title": format!("at {minute}")})).collect();
        let gids: Vec<Value> =
            (0..all).map(|id| json!({"admin_graphql_api_id": format!("gid://shopify/ProductVariant/{id}")})).collect();
        let mut body = json!({"id": 7, "title": "Jam", "variants": variants, "updated_at": format!("2026-11-24T10:{minute:02}:00Z")});
        if all > 0 {
            body["variant_gids"] = json!(gids);
        }
        ("products/update", body)
    };
    let customer = |minute: u32, addresses: std::ops::Range<u64>| {
        let addresses: Vec<Value> = addresses.map(|id| json!({"id": id, "city": format!("at {minute}")})).collect();
        (
            "customers/update",
            json!({"id": 9, "addresses": addresses, "updated_at": format!("2026-11-24T10:{minute:02}:00Z")}),
        )
    };
    let counts = async |bodies: Vec<(&'static str, Value)>| {
        let fixture = StoreFixture::new();
        fixture.sql(
            "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
             VALUES (1, 'shopify', '', '', '', '', '')",
        );
        let event = |(topic, body): (&str, Value)| ProviderEvent {
            source: "shopify".into(),
            topic: topic.into(),
            body: serde_json::to_vec(&body).unwrap(),
            triggered_at: "2026-11-24T23:00:00Z".into(),
        };
        apply_plans(&fixture, SHOP, plan_all(&bodies.into_iter().map(event).collect::<Vec<_>>())).await;
        fixture.sql("SELECT (SELECT count(*) FROM product_variants), (SELECT count(*) FROM customer_addresses)")
    };
    assert_eq!(counts(vec![product(1, 0..120, 120), product(2, 0..100, 0)]).await, "120|0", "old bodies state 100");
    assert_eq!(counts(vec![product(1, 0..120, 120), product(2, 0..100, 120)]).await, "120|0");
    assert_eq!(counts(vec![product(1, 0..120, 120), product(2, 0..100, 100)]).await, "100|0", "20 were deleted");
    assert_eq!(counts(vec![product(1, 0..120, 120), product(2, 0..99, 0)]).await, "99|0");
    assert_eq!(counts(vec![customer(1, 0..5), customer(2, 3..13)]).await, "0|13", "only the ten newest are stated");
    assert_eq!(counts(vec![customer(1, 0..5), customer(2, 3..12)]).await, "0|9");
}

/// Returns all golden events but Keycloak's: the audit trail is in the sequence of arrival.
fn table_events() -> Vec<ProviderEvent> {
    golden_events().into_iter().map(|(_, event)| event).filter(|event| event.source != "keycloak").collect()
}

/// Returns the golden events of one order and its products, each at its own time.
fn events() -> Vec<ProviderEvent> {
    let mut events = table_events();
    // One more order update with a few fields only, as `include_fields` sends it, in the same second as the payment.
    let partial =
        json!({"id": 5_820_982_911_946_154_508_i64, "updated_at": "2026-11-23T15:30:05-05:00", "tags": "rush"});
    events.push(ProviderEvent {
        body: serde_json::to_vec(&partial).unwrap(),
        ..events.iter().find(|one| one.topic == "orders/paid").unwrap().clone()
    });
    for (minute, one) in events.iter_mut().enumerate() {
        one.triggered_at = format!("2026-11-24T22:{minute:02}:00.000{minute:03}Z");
    }
    events
}

fn plan_all(events: &[ProviderEvent]) -> Vec<Plan> {
    events.iter().map(|one| one.plan(SHOP).unwrap()).collect()
}

proptest! {
    #![proptest_config(seeded_config(24))]

    #[test]
    fn real_events_of_an_order_give_equal_rows_in_any_sequence(other in shuffle_with_repeats(&events())) {
        let (first, second) = runtime().block_on(rows_of_both(plan_all(&events()), plan_all(&other)));
        prop_assert_eq!(first, second);
    }

    /// Unknown fields, missing fields, other types, new values: a handler may refuse a body and never panics.
    #[test]
    fn changed_bodies_never_panic(
        which in 0..table_events().len(), cut in any::<prop::sample::Index>(), by in prop_oneof![
            Just(Value::Null), Just(json!("")), Just(json!(-1)), Just(json!(1.5)), Just(json!([])), Just(json!({"new": "shape"})),
            Just(json!(["x"])), Just(json!(true)), Just(json!("gid://shopify/New/x")),
        ],
    ) {
        let mut event = table_events().swap_remove(which);
        let mut body: Value = serde_json::from_slice(&event.body).unwrap();
        let mut places = 0;
        visit_values(&mut body, &mut |_| places += 1);
        let (wanted, mut place) = (cut.index(places), 0);
        visit_values(&mut body, &mut |value| {
            if place == wanted {
                *value = by.clone();
            }
            place += 1;
        });
        event.body = serde_json::to_vec(&body).unwrap();
        let _ = event.plan(SHOP);
    }
}

fn visit_values(value: &mut Value, each: &mut dyn FnMut(&mut Value)) {
    each(value);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| visit_values(item, each)),
        Value::Object(map) => map.values_mut().for_each(|item| visit_values(item, each)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_update_does_not_restore_a_deleted_order() {
    let fixture = StoreFixture::new();
    fixture.sql(
        "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
         VALUES (1, 'shopify', '', '', '', '', '')",
    );
    let all = golden_events();
    let of = |topic: &str, at: &str| {
        let mut event = all.iter().find(|(_, event)| event.topic == topic).unwrap().1.clone();
        event.triggered_at = at.to_owned();
        event.plan(SHOP).unwrap()
    };
    let events = vec![of("orders/delete", "2026-11-24T22:00:00Z"), of("orders/updated", "2026-11-24T00:00:00Z")];
    apply_plans(&fixture, SHOP, events).await;
    let found = fixture.sql("SELECT deleted_at, name FROM sales_orders");
    assert_eq!(found, "2026-11-24T22:00:00.000Z|#1001", "deleted, with its earlier values");
}

/// A child that arrives before its parent is stored and joined. A shipment finds its order by code or by reference,
/// whichever arrives first. Test mode is not linked.
#[tokio::test(flavor = "multi_thread")]
async fn shipment_finds_its_order_in_any_sequence() {
    let all = golden_events();
    let plan = |topic: &str| all.iter().find(|(_, event)| event.topic == topic).unwrap().1.plan("s").unwrap();
    let linked = "SELECT coalesce(order_id, ''), coalesce(linked_by, '') FROM shipments";
    for (events, by) in [
        (["tracker.updated", "fulfillments/create"], "tracking_code"),
        (["fulfillments/create", "tracker.updated"], "tracking_code"),
        (["tracker.updated", "orders/fulfilled"], "tracking_code"),
    ] {
        let fixture = StoreFixture::new();
        apply_plans(&fixture, "s", Vec::new()).await;
        apply_to_new_event(&fixture, events.map(plan).to_vec()).await;
        assert_eq!(fixture.sql(linked), format!("5820982911946154508|{by}"), "{events:?}");
    }
    for events in [
        ["tracker.updated", "shipment.purchased", "orders/create"],
        ["orders/create", "tracker.updated", "shipment.purchased"],
        ["shipment.purchased", "orders/create", "tracker.updated"],
    ] {
        let fixture = StoreFixture::new();
        apply_to_new_event(&fixture, events.map(plan).to_vec()).await;
        assert_eq!(fixture.sql(linked), "5820982911946154508|reference", "{events:?}");
    }
    let fixture = StoreFixture::new();
    apply_to_new_event(&fixture, ["tracker.created", "fulfillments/create"].map(plan).to_vec()).await;
    assert_eq!(fixture.sql("SELECT mode, order_id IS NULL FROM shipments"), "test|1");
}

async fn apply_to_new_event(fixture: &StoreFixture, events: Vec<Plan>) {
    fixture.sql(
        "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
         VALUES (1, 'shopify', '', '', '', '', '')",
    );
    apply_plans(fixture, "s", events).await;
}

/// A mapping completes earlier orders. The variant's mapping has priority over the SKU's. A removed mapping uncovers
/// the other.
#[tokio::test(flavor = "multi_thread")]
async fn mapping_completes_earlier_orders() {
    let fixture = StoreFixture::new();
    let order =
        golden_events().into_iter().find(|(_, event)| event.topic == "orders/create").unwrap().1.plan("s").unwrap();
    apply_to_new_event(&fixture, vec![order]).await;
    assert_eq!(fixture.sql("SELECT sku, lines FROM unmapped_lines WHERE sku IS NOT NULL"), "GRANOLA-12|1");
    let items = "SELECT item, item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'";
    fixture.sql(
        "INSERT INTO shopify_product_mappings (shop_domain, sku, item, factor) VALUES ('s', 'GRANOLA-12', 'G-1', '12')",
    );
    assert_eq!(fixture.sql(items), "G-1|24");
    fixture.sql(
        "INSERT INTO shopify_product_mappings (shop_domain, variant_id, item) VALUES ('s', 43212345678901234, 'G-12')",
    );
    assert_eq!(fixture.sql(items), "G-12|2");
    fixture.sql("DELETE FROM shopify_product_mappings WHERE variant_id IS NOT NULL");
    fixture.sql("UPDATE shopify_product_mappings SET factor = '0.25'");
    assert_eq!(fixture.sql(items), "G-1|0.5");
    fixture.sql("DELETE FROM shopify_product_mappings");
    assert_eq!(fixture.sql(items), "|");
}

/// Carriers reuse codes, and two shops may have an order of one name: an old shipment keeps its order.
#[tokio::test(flavor = "multi_thread")]
async fn shipment_never_moves_to_a_younger_order() {
    let event = |source: &str, topic: &str, body: Value| ProviderEvent {
        source: source.into(),
        topic: topic.into(),
        body: serde_json::to_vec(&body).unwrap(),
        triggered_at: "2026-11-24T22:00:00Z".into(),
    };
    let fulfillment = |id: i64, order: i64, at: &str| {
        event(
            "shopify",
            "fulfillments/create",
            json!({"id": id, "order_id": order, "created_at": at, "updated_at": at, "tracking_numbers": ["REC1"]}),
        )
    };
    let tracker = |id: &str, at: &str| {
        let result = json!({"id": id, "object": "Tracker", "mode": "production", "tracking_code": "REC1", "created_at": at, "updated_at": at});
        event("easypost", "tracker.updated", json!({"mode": "production", "result": result}))
    };
    let events = [
        fulfillment(1, 1, "2025-01-01T00:00:00Z"),
        tracker("trk_old", "2025-01-01T01:00:00Z"),
        fulfillment(2, 2, "2026-01-01T00:00:00Z"),
        tracker("trk_new", "2026-01-01T01:00:00Z"),
    ];
    let fixture = StoreFixture::new();
    apply_to_new_event(&fixture, events.iter().map(|one| one.plan("s").unwrap()).collect()).await;
    assert_eq!(fixture.sql("SELECT tracker_id, order_id FROM shipments ORDER BY 1"), "trk_new|2\ntrk_old|1");

    let order = |id: i64, at: &str| {
        event("shopify", "orders/create", json!({"id": id, "name": "#1001", "created_at": at, "updated_at": at}))
    };
    let bought = json!({"id": "shp_1", "object": "Shipment", "mode": "production", "reference": "1001", "created_at": "2026-01-02T00:00:00Z"});
    let shipment = event("easypost", "shipment.purchased", json!({"mode": "production", "result": bought}));
    // Only the tracker names the tracking code.
    let mine = json!({"id": "trk_ref", "object": "Tracker", "mode": "production", "tracking_code": "REF1", "shipment_id": "shp_1", "created_at": "2026-01-02T00:00:00Z"});
    let mine = event("easypost", "tracker.created", json!({"mode": "production", "result": mine}));
    let fixture = StoreFixture::new();
    let events = [order(701, "2026-01-01T00:00:00Z"), shipment, mine];
    apply_to_new_event(&fixture, events.iter().map(|one| one.plan("s").unwrap()).collect()).await;
    apply_plans(&fixture, "other", vec![order(702, "2026-03-01T00:00:00Z").plan("other").unwrap()]).await;
    let linked = "SELECT shop_domain, order_id, linked_by FROM shipments";
    assert_eq!(fixture.sql(linked), "s|701|reference", "a younger order is not linked to the label");
    apply_plans(&fixture, "third", vec![order(703, "2026-01-01T12:00:00Z").plan("third").unwrap()]).await;
    assert_eq!(fixture.sql(linked), "||", "two orders fit: no link");
}

/// Each field of a body states its own part of a list and removes nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn partial_body_removes_nothing() {
    let fixture = StoreFixture::new();
    let whole = golden_events().into_iter().find(|(_, event)| event.topic == "orders/updated").unwrap().1;
    let before = |fixture: &StoreFixture| {
        fixture.sql(
            "SELECT (SELECT group_concat(kind) FROM sales_order_addresses), (SELECT count(*) FROM sales_order_taxes), \
             (SELECT count(*) FROM sales_order_discounts), (SELECT count(*) FROM sales_order_lines), name, total FROM sales_orders",
        )
    };
    apply_to_new_event(&fixture, vec![whole.plan("s").unwrap()]).await;
    let was = before(&fixture);
    assert!(was.contains("billing") && was.contains("shipping"), "{was}");
    for (minute, field) in
        ["shipping_address", "tax_lines", "discount_codes", "financial_status"].into_iter().enumerate()
    {
        let full: Value = serde_json::from_slice(&whole.body).unwrap();
        let body =
            json!({"id": full["id"], "updated_at": format!("2026-12-01T00:{minute:02}:00Z"), field: full[field]});
        let event = ProviderEvent { body: serde_json::to_vec(&body).unwrap(), ..whole.clone() };
        apply_plans(&fixture, "s", vec![event.plan("s").unwrap()]).await;
        assert_eq!(before(&fixture), was, "{field}");
    }
    // A line that cannot be identified or counted loses neither the order nor its other lines.
    let odd = json!({"id": 5_820_982_911_946_154_508_i64, "updated_at": "2026-12-02T00:00:00Z", "financial_status": "refunded", "line_items": [{"sku": "A"}]});
    let done = ProviderEvent { body: serde_json::to_vec(&odd).unwrap(), ..whole }.plan("s").unwrap();
    assert!(done.note.as_deref().is_some_and(|note| note.contains("lines are unchanged")));
    apply_plans(&fixture, "s", vec![done]).await;
    assert_eq!(before(&fixture), was);
    assert_eq!(fixture.sql("SELECT financial_status FROM sales_orders"), "refunded");
}

/// Quantities in the ERP's unit are exact for every factor.
#[tokio::test(flavor = "multi_thread")]
async fn quantities_in_erp_units_are_exact() {
    let fixture = StoreFixture::new();
    let order =
        golden_events().into_iter().find(|(_, event)| event.topic == "orders/create").unwrap().1.plan("s").unwrap();
    apply_to_new_event(&fixture, vec![order]).await;
    fixture.sql("INSERT INTO shopify_product_mappings (shop_domain, sku, item) VALUES ('s', 'GRANOLA-12', 'G-1')");
    for (factor, expected) in
        [("12", "24"), ("0.000001", "0.000002"), ("123456.123456", "246912.246912"), ("0.5", "1"), ("1.25", "2.5")]
    {
        fixture.sql(&format!("UPDATE shopify_product_mappings SET factor = '{factor}'"));
        assert_eq!(
            fixture.sql("SELECT item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'"),
            expected,
            "{factor}"
        );
    }
    for wrong in ["0", "1.2.3", "99999999999", "-1", "1e3", "", "1.", "0.0000001"] {
        let sql = format!(
            "UPDATE OR IGNORE shopify_product_mappings SET factor = '{wrong}'; SELECT factor FROM shopify_product_mappings"
        );
        assert_eq!(fixture.sql(&sql), "1.25", "{wrong:?}");
    }
}
