//! The ERP's tables do not depend on the order of events, nor on how often each comes.

use crate::attempts::Bench;
use crate::golden::{Told, bodies, complete, dump};
use novex_ingest::handlers::Done;
use novex_ingest::store::changes::Change;
use novex_ingest::store::projection::{Cell, List, Row};
use novex_ingest::store::tables::SALES_ORDERS;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What the same events in two orders left, compared without the column that tells which event wrote a row last.
async fn same_rows(first: Vec<Done>, second: Vec<Done>) -> (String, String) {
    let mut left = Vec::new();
    for (story, shop) in [(first, "shop.myshopify.com"), (second, "shop.myshopify.com")] {
        let bench = Bench::new();
        bench.sql(
            "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
             VALUES (1, 'shopify', '', '', '', '', '')",
        );
        complete(&bench, shop, story).await;
        left.push(dump(&bench, "1"));
        bench.store.writer.close().await;
    }
    let second = left.pop().unwrap();
    (left.pop().unwrap(), second)
}

/// A permutation in which some come twice.
fn shuffled<T: Clone + std::fmt::Debug + 'static>(all: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    let all = all.to_vec();
    let twice = prop::collection::vec(any::<bool>(), all.len());
    twice.prop_flat_map(move |twice| {
        let again = all.iter().zip(twice).filter(|(_, twice)| *twice).map(|(one, _)| one.clone());
        Just(all.iter().cloned().chain(again).collect::<Vec<T>>()).prop_shuffle()
    })
}

fn row(version: u8, states: u8) -> Done {
    const COLUMNS: [&str; 5] = ["name", "currency", "total", "note", "deleted_at"];
    let has = |place: usize| states & (1 << place) != 0;
    let columns = COLUMNS.into_iter().enumerate().filter(|(place, _)| has(*place));
    let cell =
        |place: usize| if version.is_multiple_of(3) { Cell::Null } else { format!("{place} as of {version}").into() };
    let lists = has(5).then(|| List {
        table: "sales_order_lines",
        part: None,
        columns: vec!["line_id", "position", "quantity"],
        rows: (0..i64::from(version % 3))
            .map(|line| vec![line.into(), (line + 1).into(), version.into_cell()])
            .collect(),
    });
    let row = Row {
        table: SALES_ORDERS,
        key: vec!["shop.myshopify.com".into(), Cell::Integer(7)],
        version: format!("{version:03}"),
        columns: columns.map(|(place, name)| (name, cell(place))).collect(),
        lists: lists.into_iter().collect(),
    };
    Done { changes: vec![Change::Row(row)], ..Done::default() }
}

trait IntoCell {
    fn into_cell(self) -> Cell;
}

impl IntoCell for u8 {
    fn into_cell(self) -> Cell {
        Cell::Integer(self.into())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any columns may be missing from any event: each column ends as of the newest event that stated it.
    #[test]
    fn partial_rows_merge_to_the_same_in_any_order(
        (story, other) in prop::collection::vec(any::<u8>(), 1..8).prop_flat_map(|states| {
            let rows: Vec<Done> = (1..).zip(states).map(|(version, states)| row(version, states)).collect();
            (Just(rows.clone()), shuffled(&rows))
        })
    ) {
        let (first, second) = runtime().block_on(same_rows(story, other));
        prop_assert_eq!(first, second);
    }
}

/// All fixtures but Keycloak's: a trail is in the order of arrival, whatever that is.
fn of_the_tables() -> Vec<Told> {
    bodies().into_iter().map(|(_, told)| told).filter(|told| told.source != "keycloak").collect()
}

/// The fixtures of one order and its goods, each as sent at its own time.
fn story() -> Vec<Told> {
    let mut told = of_the_tables();
    // One more order update, with the little that `include_fields` leaves, and the same second as the payment.
    let partial =
        json!({"id": 5_820_982_911_946_154_508_i64, "updated_at": "2026-11-23T15:30:05-05:00", "tags": "rush"});
    told.push(Told {
        body: serde_json::to_vec(&partial).unwrap(),
        ..told.iter().find(|one| one.topic == "orders/paid").unwrap().clone()
    });
    for (minute, one) in told.iter_mut().enumerate() {
        one.triggered_at = format!("2026-11-24T22:{minute:02}:00.000{minute:03}Z");
    }
    told
}

fn planned(told: &[Told]) -> Vec<Done> {
    told.iter().map(|one| one.plan("shop.myshopify.com").unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_orders_true_events_end_in_the_same_rows_in_any_order(other in shuffled(&story())) {
        let (first, second) = runtime().block_on(same_rows(planned(&story()), planned(&other)));
        prop_assert_eq!(first, second);
    }

    /// Unknown fields, missing fields, other types, new values: a handler may refuse a body, and never panics.
    #[test]
    fn no_change_to_a_body_panics(
        which in 0..of_the_tables().len(), cut in any::<prop::sample::Index>(), by in prop_oneof![
            Just(Value::Null), Just(json!("")), Just(json!(-1)), Just(json!(1.5)), Just(json!([])), Just(json!({"new": "shape"})),
            Just(json!(["x"])), Just(json!(true)), Just(json!("gid://shopify/New/x")),
        ],
    ) {
        let mut told = of_the_tables().swap_remove(which);
        let mut body: Value = serde_json::from_slice(&told.body).unwrap();
        let mut places = 0;
        visit(&mut body, &mut |_| places += 1);
        let (wanted, mut place) = (cut.index(places), 0);
        visit(&mut body, &mut |value| {
            if place == wanted {
                *value = by.clone();
            }
            place += 1;
        });
        told.body = serde_json::to_vec(&body).unwrap();
        let _ = told.plan("shop.myshopify.com");
    }
}

fn visit(value: &mut Value, each: &mut dyn FnMut(&mut Value)) {
    each(value);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| visit(item, each)),
        Value::Object(map) => map.values_mut().for_each(|item| visit(item, each)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_update_does_not_bring_a_deleted_order_back() {
    let bench = Bench::new();
    bench.sql(
        "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
         VALUES (1, 'shopify', '', '', '', '', '')",
    );
    let all = bodies();
    let of = |topic: &str, at: &str| {
        let mut told = all.iter().find(|(_, told)| told.topic == topic).unwrap().1.clone();
        told.triggered_at = at.to_owned();
        told.plan("shop.myshopify.com").unwrap()
    };
    let story = vec![of("orders/delete", "2026-11-25T00:00:00Z"), of("orders/updated", "2026-11-24T00:00:00Z")];
    complete(&bench, "shop.myshopify.com", story).await;
    let found = bench.sql("SELECT deleted_at, name FROM sales_orders");
    assert_eq!(found, "2026-11-25T00:00:00.000Z|#1001", "deleted, and what it was is known");
}

/// A child that comes before its parent is kept and joined; a shipment finds its order by code or by reference, whichever of
/// the two comes first; nothing of the test mode is linked.
#[tokio::test(flavor = "multi_thread")]
async fn a_shipment_finds_its_order_whichever_comes_first() {
    let all = bodies();
    let plan = |topic: &str| all.iter().find(|(_, told)| told.topic == topic).unwrap().1.plan("s").unwrap();
    let linked = "SELECT coalesce(order_id, ''), coalesce(linked_by, '') FROM shipments";
    for (story, by) in [
        (["tracker.updated", "fulfillments/create"], "tracking_code"),
        (["fulfillments/create", "tracker.updated"], "tracking_code"),
        (["tracker.updated", "orders/fulfilled"], "tracking_code"),
    ] {
        let bench = Bench::new();
        complete(&bench, "s", Vec::new()).await;
        complete_all(&bench, story.map(plan).to_vec()).await;
        assert_eq!(bench.sql(linked), format!("5820982911946154508|{by}"), "{story:?}");
    }
    for story in [
        ["tracker.updated", "shipment.purchased", "orders/create"],
        ["orders/create", "tracker.updated", "shipment.purchased"],
        ["shipment.purchased", "orders/create", "tracker.updated"],
    ] {
        let bench = Bench::new();
        complete_all(&bench, story.map(plan).to_vec()).await;
        assert_eq!(bench.sql(linked), "5820982911946154508|reference", "{story:?}");
    }
    let bench = Bench::new();
    complete_all(&bench, ["tracker.created", "fulfillments/create"].map(plan).to_vec()).await;
    assert_eq!(bench.sql("SELECT mode, order_id IS NULL FROM shipments"), "test|1");
}

async fn complete_all(bench: &Bench, story: Vec<Done>) {
    bench.sql(
        "INSERT INTO webhook_events (id, source, shop_domain, topic, webhook_id, next_attempt_at, received_at) \
         VALUES (1, 'shopify', '', '', '', '', '')",
    );
    complete(bench, "s", story).await;
}

/// The mapping completes orders that came before it, the variant's goes before the SKU's, and taking it away shows again.
#[tokio::test(flavor = "multi_thread")]
async fn a_mapping_completes_the_orders_that_waited_for_it() {
    let bench = Bench::new();
    let order = bodies().into_iter().find(|(_, told)| told.topic == "orders/create").unwrap().1.plan("s").unwrap();
    complete_all(&bench, vec![order]).await;
    assert_eq!(bench.sql("SELECT sku, lines FROM unmapped_lines WHERE sku IS NOT NULL"), "GRANOLA-12|1");
    let items = "SELECT item, item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'";
    bench.sql(
        "INSERT INTO shopify_product_mappings (shop_domain, sku, item, factor) VALUES ('s', 'GRANOLA-12', 'G-1', '12')",
    );
    assert_eq!(bench.sql(items), "G-1|24");
    bench.sql(
        "INSERT INTO shopify_product_mappings (shop_domain, variant_id, item) VALUES ('s', 43212345678901234, 'G-12')",
    );
    assert_eq!(bench.sql(items), "G-12|2");
    bench.sql("DELETE FROM shopify_product_mappings WHERE variant_id IS NOT NULL");
    bench.sql("UPDATE shopify_product_mappings SET factor = '0.25'");
    assert_eq!(bench.sql(items), "G-1|0.5");
    bench.sql("DELETE FROM shopify_product_mappings");
    assert_eq!(bench.sql(items), "|");
}

/// Carriers use codes again, and two shops may have an order of one name: an old shipment stays where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_shipment_never_moves_to_a_younger_order() {
    let told = |source: &str, topic: &str, body: Value| Told {
        source: source.into(),
        topic: topic.into(),
        body: serde_json::to_vec(&body).unwrap(),
        triggered_at: "2026-11-24T22:00:00Z".into(),
    };
    let fulfillment = |id: i64, order: i64, at: &str| {
        told(
            "shopify",
            "fulfillments/create",
            json!({"id": id, "order_id": order, "created_at": at, "updated_at": at, "tracking_numbers": ["REC1"]}),
        )
    };
    let tracker = |id: &str, at: &str| {
        let result = json!({"id": id, "object": "Tracker", "mode": "production", "tracking_code": "REC1", "created_at": at, "updated_at": at});
        told("easypost", "tracker.updated", json!({"mode": "production", "result": result}))
    };
    let story = [
        fulfillment(1, 1, "2025-01-01T00:00:00Z"),
        tracker("trk_old", "2025-01-01T01:00:00Z"),
        fulfillment(2, 2, "2026-01-01T00:00:00Z"),
        tracker("trk_new", "2026-01-01T01:00:00Z"),
    ];
    let bench = Bench::new();
    complete_all(&bench, story.iter().map(|one| one.plan("s").unwrap()).collect()).await;
    assert_eq!(bench.sql("SELECT tracker_id, order_id FROM shipments ORDER BY 1"), "trk_new|2\ntrk_old|1");

    let order = |id: i64, at: &str| {
        told("shopify", "orders/create", json!({"id": id, "name": "#1001", "created_at": at, "updated_at": at}))
    };
    let bought = json!({"id": "shp_1", "object": "Shipment", "mode": "production", "reference": "1001", "created_at": "2026-01-02T00:00:00Z"});
    let shipment = told("easypost", "shipment.purchased", json!({"mode": "production", "result": bought}));
    // It names its tracking code nowhere; the tracker names it.
    let mine = json!({"id": "trk_ref", "object": "Tracker", "mode": "production", "tracking_code": "REF1", "shipment_id": "shp_1", "created_at": "2026-01-02T00:00:00Z"});
    let mine = told("easypost", "tracker.created", json!({"mode": "production", "result": mine}));
    let bench = Bench::new();
    let story = [order(701, "2026-01-01T00:00:00Z"), shipment, mine];
    complete_all(&bench, story.iter().map(|one| one.plan("s").unwrap()).collect()).await;
    complete(&bench, "other", vec![order(702, "2026-03-01T00:00:00Z").plan("other").unwrap()]).await;
    let linked = "SELECT shop_domain, order_id, linked_by FROM shipments";
    assert_eq!(bench.sql(linked), "s|701|reference", "an order that is younger than the label is not in it");
    complete(&bench, "third", vec![order(703, "2026-01-01T12:00:00Z").plan("third").unwrap()]).await;
    assert_eq!(bench.sql(linked), "||", "two orders fit: neither is guessed");
}

/// Each field of a body states its own part of a list and takes nothing else away.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_down_body_takes_nothing_away() {
    let bench = Bench::new();
    let whole = bodies().into_iter().find(|(_, told)| told.topic == "orders/updated").unwrap().1;
    let before = |bench: &Bench| {
        bench.sql(
            "SELECT (SELECT group_concat(kind) FROM sales_order_addresses), (SELECT count(*) FROM sales_order_taxes), \
             (SELECT count(*) FROM sales_order_discounts), (SELECT count(*) FROM sales_order_lines), name, total FROM sales_orders",
        )
    };
    complete_all(&bench, vec![whole.plan("s").unwrap()]).await;
    let was = before(&bench);
    assert!(was.contains("billing") && was.contains("shipping"), "{was}");
    for (minute, field) in
        ["shipping_address", "tax_lines", "discount_codes", "financial_status"].into_iter().enumerate()
    {
        let full: Value = serde_json::from_slice(&whole.body).unwrap();
        let body =
            json!({"id": full["id"], "updated_at": format!("2026-12-01T00:{minute:02}:00Z"), field: full[field]});
        let told = Told { body: serde_json::to_vec(&body).unwrap(), ..whole.clone() };
        complete(&bench, "s", vec![told.plan("s").unwrap()]).await;
        assert_eq!(before(&bench), was, "{field}");
    }
    // A line that cannot be told from others, or not counted, is no reason to lose the order, nor to change its lines.
    let odd = json!({"id": 5_820_982_911_946_154_508_i64, "updated_at": "2026-12-02T00:00:00Z", "financial_status": "refunded", "line_items": [{"sku": "A"}]});
    let done = Told { body: serde_json::to_vec(&odd).unwrap(), ..whole }.plan("s").unwrap();
    assert!(done.note.as_deref().is_some_and(|note| note.contains("lines were left as they were")));
    complete(&bench, "s", vec![done]).await;
    assert_eq!(before(&bench), was);
    assert_eq!(bench.sql("SELECT financial_status FROM sales_orders"), "refunded");
}

/// Quantities in the ERP's unit are exact, whatever the factor.
#[tokio::test(flavor = "multi_thread")]
async fn quantities_in_the_erps_unit_are_exact() {
    let bench = Bench::new();
    let order = bodies().into_iter().find(|(_, told)| told.topic == "orders/create").unwrap().1.plan("s").unwrap();
    complete_all(&bench, vec![order]).await;
    bench.sql("INSERT INTO shopify_product_mappings (shop_domain, sku, item) VALUES ('s', 'GRANOLA-12', 'G-1')");
    for (factor, expected) in
        [("12", "24"), ("0.000001", "0.000002"), ("123456.123456", "246912.246912"), ("0.5", "1"), ("1.25", "2.5")]
    {
        bench.sql(&format!("UPDATE shopify_product_mappings SET factor = '{factor}'"));
        assert_eq!(
            bench.sql("SELECT item_quantity FROM sales_order_lines WHERE sku = 'GRANOLA-12'"),
            expected,
            "{factor}"
        );
    }
    for wrong in ["0", "1.2.3", "99999999999", "-1", "1e3", "", "1.", "0.0000001"] {
        let sql = format!(
            "UPDATE OR IGNORE shopify_product_mappings SET factor = '{wrong}'; SELECT factor FROM shopify_product_mappings"
        );
        assert_eq!(bench.sql(&sql), "1.25", "{wrong:?}");
    }
}
