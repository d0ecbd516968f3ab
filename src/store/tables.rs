//! The entities that events are projected to. `schema.sql` explains their columns.

use super::projection::Table;

macro_rules! tables {
    ($($(#[$doc:meta])* $constant:ident = $name:literal ($($key:literal),+) [$($list:literal),*];)+) => {
        $($(#[$doc])*
        pub const $constant: &Table = &Table { name: $name, key: &[$($key),+], lists: &[$($list),*] };)+

        /// All of them.
        pub const ALL: &[&Table] = &[$($constant),+];
    };
}

tables! {
    SALES_ORDERS = "sales_orders" ("shop_domain", "order_id") [
        "sales_order_lines", "sales_order_shipping_lines",
        "sales_order_addresses:shipping", "sales_order_addresses:billing",
        "sales_order_taxes:order", "sales_order_taxes:line", "sales_order_taxes:shipping",
        "sales_order_discounts:code", "sales_order_discounts:application", "sales_order_discounts:line",
        "sales_order_discounts:shipping"
    ];
    SALES_ORDER_EDITS = "sales_order_edits" ("shop_domain", "edit_id") ["sales_order_edit_lines"];
    ORDER_TRANSACTIONS = "order_transactions" ("shop_domain", "transaction_id") [];
    REFUNDS = "refunds" ("shop_domain", "refund_id") ["refund_lines"];
    FULFILLMENTS = "fulfillments" ("shop_domain", "fulfillment_id") [
        "fulfillment_lines", "fulfillment_tracking_numbers"
    ];
    FULFILLMENT_EVENTS = "fulfillment_events" ("shop_domain", "fulfillment_event_id") [];
    FULFILLMENT_ORDERS = "fulfillment_orders" ("shop_domain", "fulfillment_order_id") [];
    FULFILLMENT_HOLDS = "fulfillment_holds" ("shop_domain", "hold_id") [];
    RETURNS = "returns" ("shop_domain", "return_id") ["return_lines"];
    CUSTOMERS = "customers" ("shop_domain", "customer_id") ["customer_addresses"];
    PRODUCTS = "products" ("shop_domain", "product_id") ["product_variants"];
    INVENTORY_ITEMS = "inventory_items" ("shop_domain", "inventory_item_id") [];
    INVENTORY_LEVELS = "inventory_levels" ("shop_domain", "inventory_item_id", "location_id") [];
    LOCATIONS = "locations" ("shop_domain", "location_id") [];
    SHOPS = "shops" ("shop_domain") [];
    SHIPMENTS = "shipments" ("mode", "tracker_id") [];
    EASYPOST_OBJECTS = "easypost_objects" ("mode", "id") [];
}

/// Scans of packages: facts, not entities.
pub const TRACKING_EVENTS: &str = "tracking_events";
