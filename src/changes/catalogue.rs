//! The catalogue of ERP tables: the key and the lists of each, and the effect of redactions on it.
//!
//! The projection, `shop/redact`, `customers/redact` and data requests read the same entries. A test compares them with
//! `schema.sql`, which explains the columns. Tables of EDI are not here: no redaction of Shopify reaches them.

use crate::changes::privacy::PersonalColumn::{Customer, Order, TrackingCode};
use crate::changes::privacy::PersonalRows;
use crate::changes::privacy::RedactionAction::{ClearColumns, DeleteRows};
use crate::changes::rows::TableSpec;

/// Generated columns: codes in the form in which they are compared. The store and the triggers use them, nobody else.
pub const NORMAL_FORM_COLUMNS: [&str; 5] = ["tracking_key", "number_key", "sku_key", "name_key", "reference_key"];

/// Lists whose rows each have the version of the event that stated them, because some bodies state only a part of the
/// list.
pub const VERSIONED_LISTS: [&str; 2] = ["product_variants", "customer_addresses"];

macro_rules! define_tables {
    ($(
        $(#[$doc:meta])*
        $constant:ident = $name:literal ($($key:literal),+) lists [$($list:literal),*]
        deleted_with_shop $deleted:literal
        personal [$($column:ident $(via $parent:ident)? => $action:expr),*];
    )+) => {
        $($(#[$doc])*
        pub const $constant: &TableSpec = &TableSpec {
            name: $name,
            key: &[$($key),+],
            lists: &[$($list),*],
            is_deleted_with_shop: $deleted,
            personal_rows: &[$(PersonalRows {
                column: $column,
                parent: define_tables!(@parent $($parent)?),
                action: $action,
            }),*],
        };)+

        /// Every entry of the catalogue.
        pub const ALL_TABLES: &[&TableSpec] = &[$($constant),+];
    };
    (@parent) => { None };
    (@parent $parent:ident) => { Some($parent) };
}

define_tables! {
    SALES_ORDERS = "sales_orders" ("shop_domain", "order_id") lists [
        "sales_order_lines", "sales_order_shipping_lines",
        "sales_order_addresses:shipping", "sales_order_addresses:billing",
        "sales_order_taxes:order", "sales_order_taxes:line", "sales_order_taxes:shipping",
        "sales_order_discounts:code", "sales_order_discounts:application", "sales_order_discounts:line",
        "sales_order_discounts:shipping"
    ] deleted_with_shop true personal [Order => ClearColumns(&[
        "customer_id", "email", "phone", "note", "note_attributes", "company", "po_number", "tags", "extras"
    ])];
    SALES_ORDER_LINES = "sales_order_lines" ("shop_domain", "order_id", "line_id") lists []
        deleted_with_shop true personal [Order => ClearColumns(&["properties", "extras"])];
    SALES_ORDER_ADDRESSES = "sales_order_addresses" ("shop_domain", "order_id", "kind") lists []
        deleted_with_shop true personal [Order => DeleteRows];
    SALES_ORDER_TAXES = "sales_order_taxes" ("shop_domain", "order_id", "scope", "position") lists []
        deleted_with_shop true personal [Order => ClearColumns(&["extras"])];
    /// A code or title may be made for one person.
    SALES_ORDER_DISCOUNTS = "sales_order_discounts" ("shop_domain", "order_id", "scope", "position") lists []
        deleted_with_shop true personal [Order => ClearColumns(&["code", "title", "extras"])];
    SALES_ORDER_SHIPPING_LINES = "sales_order_shipping_lines" ("shop_domain", "order_id", "position") lists []
        deleted_with_shop true personal [Order => ClearColumns(&["extras"])];
    SALES_ORDER_EDITS = "sales_order_edits" ("shop_domain", "edit_id") lists ["sales_order_edit_lines"]
        deleted_with_shop true personal [Order => ClearColumns(&["staff_note", "extras"])];
    SALES_ORDER_EDIT_LINES = "sales_order_edit_lines" ("shop_domain", "edit_id", "line_id", "change") lists []
        deleted_with_shop true personal [Order via SALES_ORDER_EDITS => ClearColumns(&["extras"])];
    ORDER_TRANSACTIONS = "order_transactions" ("shop_domain", "transaction_id") lists []
        deleted_with_shop true personal [Order => ClearColumns(&["extras"])];
    REFUNDS = "refunds" ("shop_domain", "refund_id") lists [
        "refund_lines", "refund_parts:adjustment", "refund_parts:shipping", "refund_parts:duty", "refund_parts:fee"
    ]
        deleted_with_shop true personal [Order => ClearColumns(&["note", "extras"])];
    REFUND_LINES = "refund_lines" ("shop_domain", "refund_id", "position") lists []
        deleted_with_shop true personal [Order via REFUNDS => ClearColumns(&["extras"])];
    /// A reason or title may be made for one person.
    REFUND_PARTS = "refund_parts" ("shop_domain", "refund_id", "scope", "position") lists []
        deleted_with_shop true personal [Order via REFUNDS => ClearColumns(&["reason", "title", "extras"])];
    FULFILLMENTS = "fulfillments" ("shop_domain", "fulfillment_id") lists [
        "fulfillment_lines", "fulfillment_tracking_numbers"
    ] deleted_with_shop true personal [Order => ClearColumns(&["extras"])];
    FULFILLMENT_LINES = "fulfillment_lines" ("shop_domain", "fulfillment_id", "line_id") lists []
        deleted_with_shop true personal [Order via FULFILLMENTS => ClearColumns(&["extras"])];
    /// The number stays, as the number of the order does: a shipment is found by it, and it names no person by itself.
    FULFILLMENT_TRACKING_NUMBERS = "fulfillment_tracking_numbers" ("shop_domain", "fulfillment_id", "position") lists []
        deleted_with_shop true personal [Order via FULFILLMENTS => ClearColumns(&["url", "written"])];
    FULFILLMENT_EVENTS = "fulfillment_events" ("shop_domain", "fulfillment_event_id") lists []
        deleted_with_shop true personal [Order => ClearColumns(&["message", "city", "zip", "extras"])];
    FULFILLMENT_ORDERS = "fulfillment_orders" ("shop_domain", "fulfillment_order_id") lists []
        deleted_with_shop true personal [Order => ClearColumns(&["message", "extras"])];
    FULFILLMENT_HOLDS = "fulfillment_holds" ("shop_domain", "hold_id") lists []
        deleted_with_shop true personal [Order via FULFILLMENT_ORDERS => ClearColumns(&["reason_notes", "extras"])];
    RETURNS = "returns" ("shop_domain", "return_id") lists ["return_lines"]
        deleted_with_shop true personal [Order => ClearColumns(&["decline_note", "extras"])];
    RETURN_LINES = "return_lines" ("shop_domain", "return_id", "return_line_id") lists []
        deleted_with_shop true personal [Order via RETURNS => ClearColumns(&["note", "extras"])];
    CUSTOMERS = "customers" ("shop_domain", "customer_id") lists ["customer_addresses"]
        deleted_with_shop true personal [Customer => DeleteRows];
    CUSTOMER_ADDRESSES = "customer_addresses" ("shop_domain", "customer_id", "address_id") lists []
        deleted_with_shop true personal [Customer => DeleteRows];
    PRODUCTS = "products" ("shop_domain", "product_id") lists ["product_variants"]
        deleted_with_shop true personal [];
    PRODUCT_VARIANTS = "product_variants" ("shop_domain", "product_id", "variant_id") lists []
        deleted_with_shop true personal [];
    INVENTORY_ITEMS = "inventory_items" ("shop_domain", "inventory_item_id") lists []
        deleted_with_shop true personal [];
    INVENTORY_LEVELS = "inventory_levels" ("shop_domain", "inventory_item_id", "location_id") lists []
        deleted_with_shop true personal [];
    LOCATIONS = "locations" ("shop_domain", "location_id") lists []
        deleted_with_shop true personal [];
    SHOPIFY_PRODUCT_MAPPINGS = "shopify_product_mappings" ("id") lists []
        deleted_with_shop true personal [];
    /// Numbers of Shopify and a deadline; a redaction of the customer leaves them, so that the request can be answered.
    DATA_REQUESTS = "data_requests" ("id") lists []
        deleted_with_shop true personal [];
    SHOPS = "shops" ("shop_domain") lists []
        deleted_with_shop true personal [];
    /// EasyPost's, not the shop's: `shop/redact` clears them by tracking code, and triggers clear the link to the
    /// order.
    SHIPMENTS = "shipments" ("mode", "tracker_id") lists []
        deleted_with_shop false personal [
            Order => ClearColumns(&["signed_by", "public_url", "extras"]),
            TrackingCode => ClearColumns(&["signed_by", "public_url", "extras"])
        ];
    /// Scans of packages: facts, not entities.
    TRACKING_EVENTS = "tracking_events" (
        "mode", "tracker_id", "at", "unread_time", "status", "status_detail", "message", "description", "city", "state",
        "zip", "country", "source", "carrier_code", "occurrence"
    ) lists []
        deleted_with_shop false personal [TrackingCode via SHIPMENTS => DeleteRows];
    EASYPOST_OBJECTS = "easypost_objects" ("mode", "id") lists []
        deleted_with_shop false personal [TrackingCode => ClearColumns(&["url", "message", "extras"])];
}
