//! Orders that change after they were placed: the quantities in the ERP's unit are of what is left.

use crate::support::{Daemon, Home, SHOP, send_webhook};
use serde_json::{Value, json};

/// A line: its SKU, and the quantities that were ordered, are left and are not shipped.
type OrderLine = (&'static str, Option<i64>, Option<i64>, Option<i64>);

fn order(minute: u32, lines: &[OrderLine]) -> Value {
    let lines: Vec<Value> = lines
        .iter()
        .enumerate()
        .map(|(index, (sku, quantity, current, fulfillable))| {
            let mut line = json!({"id": index + 1, "sku": sku, "title": sku, "price": "10.00", "quantity": quantity});
            for (field, value) in [("current_quantity", current), ("fulfillable_quantity", fulfillable)] {
                if let Some(value) = value {
                    line[field] = json!(value);
                }
            }
            line
        })
        .collect();
    json!({"id": 2004, "name": "#2004", "currency": "USD", "created_at": "2026-11-20T10:00:00Z",
        "updated_at": format!("2026-11-20T10:{minute:02}:00Z"), "line_items": lines})
}

fn send_order(home: &Home, daemon: &Daemon<'_>, id: &str, order: &Value) {
    send_webhook(daemon, id, "orders/updated", order.to_string().as_bytes());
    home.wait_until_processed();
}

fn map(home: &Home, sku: &str, item: &str, factor: &str) {
    let args = ["mappings", "add", "--shop", SHOP, "--sku", sku, "--item", item, "--factor", factor];
    assert!(home.run(&args).status.success());
}

const QUANTITIES: &str = "SELECT sku, quantity, item_quantity, item_quantity_ordered, item_quantity_open \
                          FROM sales_order_lines ORDER BY line_id";

#[test]
fn quantities_in_the_erps_unit_follow_edits() {
    let home = Home::new("");
    let daemon = home.serve();
    let placed = order(1, &[("JAM", Some(5), Some(5), Some(5)), ("TEA", Some(2), Some(2), Some(2))]);
    send_order(&home, &daemon, "1", &placed);
    map(&home, "JAM", "ITEM-JAM", "12");
    map(&home, "TEA", "ITEM-TEA", "0.25");
    assert_eq!(home.sql(QUANTITIES), "JAM|5|60|60|60\nTEA|2|0.5|0.5|0.5");
    // Three cases of jam are taken off the order, one of the others is shipped; the tea is removed.
    let edited = order(2, &[("JAM", Some(5), Some(2), Some(1)), ("TEA", Some(2), Some(0), Some(0))]);
    send_order(&home, &daemon, "2", &edited);
    assert_eq!(home.sql(QUANTITIES), "JAM|5|24|60|12\nTEA|2|0|0.5|0");
    // An event of before the edit changes nothing. One that adds a line does.
    send_order(&home, &daemon, "3", &order(1, &[("JAM", Some(5), Some(5), Some(4))]));
    assert_eq!(home.sql(QUANTITIES), "JAM|5|24|60|12\nTEA|2|0|0.5|0");
    let added =
        order(4, &[("JAM", Some(5), Some(2), Some(1)), ("TEA", Some(2), Some(0), None), ("JAM", Some(1), None, None)]);
    send_order(&home, &daemon, "4", &added);
    // A body of an old API version states no quantity that is left: then all is left, and nothing is known of shipping.
    assert_eq!(home.sql(QUANTITIES), "JAM|5|24|60|12\nTEA|2|0|0.5|\nJAM|1|12|12|");
    map(&home, "JAM", "ITEM-JAM", "6");
    assert_eq!(home.sql(QUANTITIES), "JAM|5|12|30|6\nTEA|2|0|0.5|\nJAM|1|6|6|");
}

#[test]
fn removed_line_needs_no_mapping() {
    let home = Home::new("");
    let daemon = home.serve();
    let unmapped = || home.sql("SELECT sku, lines FROM unmapped_lines ORDER BY sku");
    send_order(&home, &daemon, "1", &order(1, &[("JAM", Some(5), Some(5), None), ("TEA", Some(2), None, None)]));
    assert_eq!(unmapped(), "JAM|1\nTEA|1");
    send_order(&home, &daemon, "2", &order(2, &[("JAM", Some(5), Some(0), None), ("TEA", Some(2), None, None)]));
    assert_eq!(unmapped(), "TEA|1");
    send_order(&home, &daemon, "3", &order(3, &[("JAM", Some(5), Some(1), None), ("TEA", Some(2), Some(0), None)]));
    assert_eq!(unmapped(), "JAM|1", "an edit puts the line back");
}
