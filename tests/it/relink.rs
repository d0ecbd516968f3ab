//! Links that triggers of schema.sql keep: shipments to orders, lines to items, purchase orders to customers.
//!
//! An operator's sqlite3 makes every change, so the daemon's code cannot repair what a trigger misses.

use crate::support::home::Home;
use crate::support::seed;
use std::fmt::Write;

/// Shipments: the stored link of each, if it is not the one that `shipment_orders` finds.
const WRONG_SHIPMENTS: &str = "SELECT s.tracker_id, s.order_id, s.linked_by, o.order_id, o.linked_by FROM shipments s \
    LEFT JOIN shipment_orders o ON o.mode = s.mode AND o.tracker_id = s.tracker_id \
    WHERE (s.shop_domain, s.order_id, s.linked_by) IS NOT (o.shop_domain, o.order_id, o.linked_by);";
/// Order lines: the stored item of each, if it is not the one that `sales_order_line_mappings` finds.
const WRONG_LINES: &str = "SELECT l.line_id, l.item, m.item FROM sales_order_lines l JOIN sales_order_line_mappings m \
    USING (shop_domain, order_id, line_id) WHERE (l.item, l.item_quantity, l.item_quantity_ordered, l.item_quantity_open) \
    IS NOT (m.item, m.item_quantity, m.item_quantity_ordered, m.item_quantity_open);";
/// Purchase order lines: the stored item of each, if it is not the one that `purchase_order_line_mappings` finds.
const WRONG_PURCHASE_LINES: &str = "SELECT l.position, l.item, m.item FROM purchase_order_lines l \
    LEFT JOIN purchase_order_line_mappings m USING (partner, po_number, release, position) \
    WHERE (l.item, l.item_unit, l.item_quantity) IS NOT (m.item, m.item_unit, m.item_quantity);";
/// Purchase orders: the stored customer of each, if it is not the partner's.
const WRONG_CUSTOMERS: &str = "SELECT o.po_number, o.customer, m.customer FROM purchase_orders o \
    LEFT JOIN sps_partner_mappings m USING (partner) WHERE o.customer IS NOT m.customer;";
/// Number of random changes in each test.
const CHANGES: usize = 400;

/// Returns a home whose database has the schema and no rows.
fn empty_home() -> Home {
    let home = Home::new("");
    home.serve().stop();
    home
}

/// Adds an order that is older than every shipment of these tests.
fn add_order(home: &Home, order_id: i64, name: &str) {
    home.sql(&format!(
        "INSERT INTO sales_orders (shop_domain, order_id, name, created_at, row_version, event_id) \
         VALUES ('s', {order_id}, '{name}', '2026-01-01T00:00:00Z', '1', 1)"
    ));
}

/// Adds a fulfillment of an order with one tracking number.
fn add_fulfillment(home: &Home, fulfillment_id: i64, order_id: i64, number: &str) {
    home.sql(&format!(
        "INSERT INTO fulfillments (shop_domain, fulfillment_id, order_id, created_at, row_version, event_id) \
         VALUES ('s', {fulfillment_id}, {order_id}, '2026-01-0{fulfillment_id}T00:00:00Z', '1', 1); \
         INSERT INTO fulfillment_tracking_numbers (shop_domain, fulfillment_id, position, number) \
         VALUES ('s', {fulfillment_id}, 1, '{number}')"
    ));
}

/// Adds the one shipment of a test: tracking code `T1`, EasyPost shipment `shp_1`.
fn add_shipment(home: &Home) {
    home.sql(
        "INSERT INTO shipments (mode, tracker_id, tracking_code, shipment_id, created_at, row_version, event_id) \
         VALUES ('production', 'trk_1', 'T1', 'shp_1', '2026-01-05T00:00:00Z', '1', 1)",
    );
}

/// Adds the EasyPost object that carries a reference for the shipment.
fn add_reference(home: &Home, reference: &str) {
    home.sql(&format!(
        "INSERT INTO easypost_objects (mode, id, reference, row_version, event_id) \
         VALUES ('production', 'shp_1', '{reference}', '1', 1)"
    ));
}

/// Returns the order that the shipment is linked to, and how it was found; `|` if there is none.
fn link(home: &Home) -> String {
    home.sql("SELECT order_id, linked_by FROM shipments")
}

#[test]
fn renamed_order_loses_its_shipment() {
    let home = empty_home();
    add_order(&home, 1, "#1001");
    add_reference(&home, "1001");
    add_shipment(&home);
    assert_eq!(link(&home), "1|reference");
    home.sql("UPDATE sales_orders SET name = '#1002'");
    assert_eq!(link(&home), "|", "no order has the name 1001");
    home.sql("UPDATE sales_orders SET name = '#1001'");
    assert_eq!(link(&home), "1|reference");
    home.sql("UPDATE sales_orders SET name = NULL");
    assert_eq!(link(&home), "|");
}

#[test]
fn renamed_order_leaves_its_shipment_to_the_other_of_that_name() {
    let home = empty_home();
    add_order(&home, 1, "#1001");
    add_order(&home, 2, "#1001");
    add_reference(&home, "#1001");
    add_shipment(&home);
    assert_eq!(link(&home), "|", "two orders fit");
    home.sql("UPDATE sales_orders SET name = '#1002' WHERE order_id = 1");
    assert_eq!(link(&home), "2|reference");
}

#[test]
fn deleted_order_leaves_its_shipment_to_the_other_of_that_name() {
    let home = empty_home();
    add_order(&home, 1, "#1001");
    add_order(&home, 2, "#1001");
    add_reference(&home, "1001");
    add_shipment(&home);
    home.sql("DELETE FROM sales_orders WHERE order_id = 1");
    assert_eq!(link(&home), "2|reference");
    home.sql("DELETE FROM sales_orders");
    assert_eq!(link(&home), "|");
}

#[test]
fn order_name_with_two_number_signs_is_found_by_reference() {
    let home = empty_home();
    add_reference(&home, "#7");
    add_shipment(&home);
    add_order(&home, 1, "##7");
    assert_eq!(link(&home), "1|reference");
}

#[test]
fn changed_reference_moves_the_shipment() {
    let home = empty_home();
    add_order(&home, 1, "#1001");
    add_order(&home, 2, "#1002");
    add_reference(&home, "1001");
    add_shipment(&home);
    home.sql("UPDATE easypost_objects SET reference = '1002'");
    assert_eq!(link(&home), "2|reference");
    home.sql("UPDATE easypost_objects SET id = 'shp_2'");
    assert_eq!(link(&home), "|", "the object is about another shipment");
    home.sql("UPDATE easypost_objects SET tracking_code = 'T1'");
    assert_eq!(link(&home), "2|reference", "the object names the tracking code");
    home.sql("DELETE FROM easypost_objects");
    assert_eq!(link(&home), "|");
}

#[test]
fn changed_tracking_number_moves_the_shipment() {
    let home = empty_home();
    add_fulfillment(&home, 1, 1, "T1");
    add_fulfillment(&home, 2, 2, "T2");
    add_shipment(&home);
    assert_eq!(link(&home), "1|tracking_code");
    home.sql("UPDATE fulfillment_tracking_numbers SET number = 'T3' WHERE number = 'T1'");
    assert_eq!(link(&home), "|");
    home.sql("UPDATE shipments SET tracking_code = 'T2'");
    assert_eq!(link(&home), "2|tracking_code");
    home.sql("UPDATE fulfillment_tracking_numbers SET fulfillment_id = 1, position = 2 WHERE number = 'T2'");
    assert_eq!(link(&home), "1|tracking_code", "the number belongs to another fulfillment");
    home.sql("UPDATE fulfillments SET order_id = 3 WHERE fulfillment_id = 1");
    assert_eq!(link(&home), "3|tracking_code");
    home.sql("DELETE FROM fulfillments WHERE fulfillment_id = 1");
    assert_eq!(link(&home), "|");
    home.sql(
        "INSERT INTO fulfillments (shop_domain, fulfillment_id, order_id, row_version, event_id) VALUES ('s', 1, 4, '1', 1)",
    );
    assert_eq!(link(&home), "4|tracking_code", "the number was there before its fulfillment");
    home.sql("DELETE FROM fulfillment_tracking_numbers");
    assert_eq!(link(&home), "|");
}

#[test]
fn changed_product_mapping_moves_the_lines() {
    let home = empty_home();
    home.sql(
        "INSERT INTO sales_order_lines (shop_domain, order_id, line_id, position, sku, variant_id, quantity) \
         VALUES ('s', 1, 1, 1, 'JAM', 10, 2), ('s', 1, 2, 2, 'TEA', 20, 3)",
    );
    let items = || home.sql("SELECT item, item_quantity FROM sales_order_lines ORDER BY line_id");
    home.sql("INSERT INTO shopify_product_mappings (shop_domain, sku, item, factor) VALUES ('s', 'JAM', 'J', '6')");
    assert_eq!(items(), "J|12\n|");
    home.sql("UPDATE shopify_product_mappings SET sku = 'TEA'");
    assert_eq!(items(), "|\nJ|18");
    home.sql("UPDATE shopify_product_mappings SET sku = NULL, variant_id = 10");
    assert_eq!(items(), "J|12\n|");
    home.sql("UPDATE shopify_product_mappings SET variant_id = 20, item = 'T', factor = '1'");
    assert_eq!(items(), "|\nT|3");
    home.sql("UPDATE shopify_product_mappings SET shop_domain = 'other'");
    assert_eq!(items(), "|\n|");
    home.sql("UPDATE shopify_product_mappings SET shop_domain = 's'; DELETE FROM shopify_product_mappings");
    assert_eq!(items(), "|\n|");
}

#[test]
fn changed_item_mapping_moves_the_lines() {
    let home = empty_home();
    home.sql(
        "INSERT INTO purchase_order_lines (partner, po_number, release, position, status, quantity, unit, buyer_item, upc) \
         VALUES ('p', '1', '', 1, 'open', '2', 'CA', 'B1', 'U1'), ('p', '1', '', 2, 'open', '3', 'EA', 'B2', 'U2')",
    );
    let items = || home.sql("SELECT item, item_unit, item_quantity FROM purchase_order_lines ORDER BY position");
    home.sql(
        "INSERT INTO sps_item_mappings (kind, value, item, item_unit, factor) VALUES ('buyer', 'B1', 'I', 'EA', '12')",
    );
    assert_eq!(items(), "I|EA|24\n||");
    home.sql("UPDATE sps_item_mappings SET value = 'B2'");
    assert_eq!(items(), "||\nI|EA|36");
    home.sql("UPDATE sps_item_mappings SET kind = 'upc', value = 'U1', factor = '1'");
    assert_eq!(items(), "I|EA|2\n||");
    home.sql("UPDATE sps_item_mappings SET partner = 'q'");
    assert_eq!(items(), "||\n||");
    home.sql("UPDATE sps_item_mappings SET partner = 'p'; DELETE FROM sps_item_mappings");
    assert_eq!(items(), "||\n||");
}

#[test]
fn changed_partner_mapping_moves_the_customer() {
    let home = empty_home();
    home.sql(
        "INSERT INTO purchase_orders (partner, po_number, release, status, is_test, changes, last_event_id) \
         VALUES ('p', '1', '', 'open', 0, 0, 1), ('q', '2', '', 'open', 0, 0, 1)",
    );
    let customers = || home.sql("SELECT customer FROM purchase_orders ORDER BY partner");
    home.sql("INSERT INTO sps_partner_mappings (partner, customer) VALUES ('p', 'C1')");
    assert_eq!(customers(), "C1");
    home.sql("UPDATE sps_partner_mappings SET partner = 'q'");
    assert_eq!(customers(), "\nC1");
    home.sql("UPDATE sps_partner_mappings SET customer = 'C2'");
    assert_eq!(customers(), "\nC2");
    home.sql("DELETE FROM sps_partner_mappings");
    assert_eq!(customers(), "");
}

/// Runs the statements in one sqlite3, with every check after each, and reports the first check that finds a wrong
/// link.
fn assert_links_after_each(home: &Home, statements: &[String], checks: &[&str]) {
    let mut script = String::from(".bail off\n");
    for (number, statement) in statements.iter().enumerate() {
        let _ = writeln!(script, "{statement};\n.print #{number}");
        for check in checks {
            let _ = writeln!(script, "{check}");
        }
    }
    let file = home.path("changes.sql");
    std::fs::write(&file, script).unwrap();
    let printed = home.sql(&format!(".read {}", file.display()));
    let mut last = 0;
    for line in printed.lines() {
        match line.strip_prefix('#').and_then(|number| number.parse().ok()) {
            Some(number) => last = number,
            None => panic!("{line} is wrong after:\n{}", statements[..=last].join(";\n")),
        }
    }
    assert_eq!(last, statements.len() - 1, "sqlite3 ran every statement");
}

/// Returns one of the values.
fn pick<'a>(random: &mut fastrand::Rng, values: &[&'a str]) -> &'a str {
    values[random.usize(..values.len())]
}

#[test]
fn shipments_follow_every_change() {
    const DAYS: [&str; 4] = ["NULL", "'2026-01-01T00:00:00Z'", "'2026-01-05T00:00:00Z'", "'2026-03-01T00:00:00Z'"];
    const NAMES: [&str; 6] = ["NULL", "'1'", "'#1'", "'2'", "'##1'", "' 2'"];
    const CODES: [&str; 6] = ["NULL", "'T1'", "'T2'", "'T3'", "'t-1'", "'T 2 '"];
    const OBJECTS: [&str; 3] = ["'shp_1'", "'shp_2'", "'trk_1'"];
    let home = empty_home();
    let mut random = seed::seeded_rng();
    let mut statements = Vec::new();
    for _ in 0..CHANGES {
        let (id, other) = (random.u8(1..4), random.u8(1..4));
        let (day, name) = (pick(&mut random, &DAYS), pick(&mut random, &NAMES));
        let (code, number) = (pick(&mut random, &CODES), pick(&mut random, &CODES[1..]));
        let (object, shop) = (pick(&mut random, &OBJECTS), pick(&mut random, &["s", "t"]));
        let statement = match random.u8(..14) {
            0 => format!(
                "INSERT OR IGNORE INTO sales_orders (shop_domain, order_id, name, created_at, row_version, event_id) \
                 VALUES ('{shop}', {id}, {name}, {day}, '', 1)"
            ),
            1 => format!("UPDATE sales_orders SET name = {name} WHERE order_id = {id}"),
            2 => format!("UPDATE sales_orders SET created_at = {day} WHERE order_id = {id}"),
            3 => format!("DELETE FROM sales_orders WHERE order_id = {id} AND shop_domain = '{shop}'"),
            4 => format!(
                "INSERT OR IGNORE INTO fulfillments (shop_domain, fulfillment_id, order_id, created_at, row_version, event_id) \
                 VALUES ('{shop}', {id}, {other}, {day}, '', 1)"
            ),
            5 => format!(
                "UPDATE fulfillments SET order_id = nullif({other}, 3), created_at = {day} WHERE fulfillment_id = {id}"
            ),
            6 => format!("DELETE FROM fulfillments WHERE fulfillment_id = {id}"),
            7 => format!(
                "INSERT OR IGNORE INTO fulfillment_tracking_numbers (shop_domain, fulfillment_id, position, number) \
                 VALUES ('{shop}', {id}, {other}, {number})"
            ),
            8 => format!(
                "UPDATE OR IGNORE fulfillment_tracking_numbers SET number = {number}, fulfillment_id = {id} WHERE position = {other}"
            ),
            9 => format!("DELETE FROM fulfillment_tracking_numbers WHERE position = {id}"),
            10 => format!(
                "INSERT OR IGNORE INTO easypost_objects (mode, id, reference, tracking_code, row_version, event_id) \
                 VALUES ('production', {object}, {name}, {code}, '', 1)"
            ),
            11 => format!("UPDATE easypost_objects SET reference = {name}, tracking_code = {code} WHERE id = {object}"),
            12 => format!("DELETE FROM easypost_objects WHERE id = {object}"),
            _ => format!(
                "INSERT INTO shipments (mode, tracker_id, tracking_code, shipment_id, created_at, row_version, event_id) \
                 VALUES ('production', 'trk_{id}', {code}, {object}, {day}, '', 1) ON CONFLICT DO UPDATE SET \
                 tracking_code = excluded.tracking_code, shipment_id = excluded.shipment_id, created_at = excluded.created_at"
            ),
        };
        statements.push(statement);
    }
    assert_links_after_each(&home, &statements, &[WRONG_SHIPMENTS]);
    assert_ne!(home.sql("SELECT count(*) FROM shipments"), "0");
}

#[test]
fn lines_and_customers_follow_every_change() {
    const SKUS: [&str; 5] = ["'A'", "'B'", "'C'", "'a'", "'b '"];
    let home = empty_home();
    home.sql(
        "INSERT INTO sales_order_lines (shop_domain, order_id, line_id, position, sku, variant_id, quantity) \
         VALUES ('s', 1, 1, 1, 'A', 1, 2), ('s', 1, 2, 2, 'B', NULL, 3), ('t', 2, 3, 1, NULL, 2, 4), ('t', 2, 4, 2, 'A', 1, 5); \
         INSERT INTO purchase_orders (partner, po_number, release, status, is_test, changes, last_event_id) \
         VALUES ('s', '1', '', 'open', 0, 0, 1), ('t', '2', '', 'open', 0, 0, 1); \
         INSERT INTO purchase_order_lines (partner, po_number, release, position, status, quantity, unit, buyer_item, vendor_item, upc, gtin) \
         VALUES ('s', '1', '', 1, 'open', '2', 'CA', 'A', 'B', 'C', 'A'), ('s', '1', '', 2, 'open', '3', 'EA', 'B', NULL, NULL, 'C'), \
                ('t', '2', '', 1, 'open', NULL, NULL, NULL, 'A', 'B', NULL)",
    );
    let mut random = seed::seeded_rng();
    let mut statements = Vec::new();
    for _ in 0..CHANGES {
        let id = random.u8(1..5);
        let (shop, sku) = (pick(&mut random, &["s", "t"]), pick(&mut random, &SKUS));
        let (item, factor) = (pick(&mut random, &["I1", "I2"]), pick(&mut random, &["1", "12", "0.25"]));
        let (kind, unit) =
            (pick(&mut random, &["buyer", "vendor", "upc", "gtin"]), pick(&mut random, &["", "EA", "CA"]));
        let partner = pick(&mut random, &["", "s", "t"]);
        let (variant, sku_or_null) = if random.bool() { (id.to_string(), "NULL") } else { ("NULL".to_owned(), sku) };
        let statement = match random.u8(..9) {
            0 => format!(
                "INSERT OR IGNORE INTO shopify_product_mappings (id, shop_domain, variant_id, sku, item, factor) \
                 VALUES ({id}, '{shop}', {variant}, {sku_or_null}, '{item}', '{factor}')"
            ),
            1 => format!(
                "UPDATE OR IGNORE shopify_product_mappings SET shop_domain = '{shop}', variant_id = {variant}, sku = {sku_or_null}, \
                 item = '{item}', factor = '{factor}' WHERE id = {id}"
            ),
            2 => format!("DELETE FROM shopify_product_mappings WHERE id = {id}"),
            3 => format!(
                "INSERT OR IGNORE INTO sps_item_mappings (id, partner, kind, value, unit, item, factor) \
                 VALUES ({id}, '{partner}', '{kind}', {sku}, '{unit}', '{item}', '{factor}')"
            ),
            4 => format!(
                "UPDATE OR IGNORE sps_item_mappings SET partner = '{partner}', kind = '{kind}', value = {sku}, unit = '{unit}', \
                 item = '{item}', item_unit = 'EA', factor = '{factor}' WHERE id = {id}"
            ),
            5 => format!("DELETE FROM sps_item_mappings WHERE id = {id}"),
            6 => format!("INSERT OR IGNORE INTO sps_partner_mappings (partner, customer) VALUES ('{shop}', '{item}')"),
            7 => format!(
                "UPDATE OR IGNORE sps_partner_mappings SET partner = '{shop}', customer = '{item}' WHERE customer <> '{item}'"
            ),
            _ => format!("DELETE FROM sps_partner_mappings WHERE partner = '{shop}'"),
        };
        statements.push(statement);
    }
    assert_links_after_each(&home, &statements, &[WRONG_LINES, WRONG_PURCHASE_LINES, WRONG_CUSTOMERS]);
}
