//! Products, inventory items, inventory levels and locations.

use crate::changes::Change;
use crate::changes::catalogue::{INVENTORY_ITEMS, INVENTORY_LEVELS, LOCATIONS, PRODUCTS};
use crate::changes::rows::TableSpec;
use crate::event::Subject;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::iter_array;
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::{build_list, build_resource_row, build_resource_row_with_key, require_entity_id};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

const PRODUCT_FIELDS: &[JsonField] = &[
    JsonField("title", FieldKind::Text, "title"),
    JsonField("handle", FieldKind::Text, "handle"),
    JsonField("vendor", FieldKind::Text, "vendor"),
    JsonField("product_type", FieldKind::Text, "product_type"),
    JsonField("status", FieldKind::Text, "status"),
    JsonField("tags", FieldKind::Text, "tags"),
    JsonField("published_at", FieldKind::Time, "published_at"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

const VARIANT_FIELDS: &[JsonField] = &[
    JsonField("variant_id", FieldKind::Id, "id"),
    JsonField("title", FieldKind::Text, "title"),
    JsonField("sku", FieldKind::Code, "sku"),
    JsonField("barcode", FieldKind::Code, "barcode"),
    JsonField("price", FieldKind::Money, "price"),
    JsonField("compare_at_price", FieldKind::Money, "compare_at_price"),
    JsonField("option1", FieldKind::Text, "option1"),
    JsonField("option2", FieldKind::Text, "option2"),
    JsonField("option3", FieldKind::Text, "option3"),
    JsonField("taxable", FieldKind::Boolean, "taxable"),
    JsonField("inventory_item_id", FieldKind::Id, "inventory_item_id"),
    JsonField("inventory_policy", FieldKind::Text, "inventory_policy"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

const INVENTORY_ITEM_FIELDS: &[JsonField] = &[
    JsonField("sku", FieldKind::Code, "sku"),
    JsonField("cost", FieldKind::Money, "cost"),
    JsonField("tracked", FieldKind::Boolean, "tracked"),
    JsonField("requires_shipping", FieldKind::Boolean, "requires_shipping"),
    JsonField("country_of_origin", FieldKind::Text, "country_code_of_origin"),
    JsonField("province_of_origin", FieldKind::Text, "province_code_of_origin"),
    JsonField("harmonized_system_code", FieldKind::Text, "harmonized_system_code"),
    JsonField("weight", FieldKind::Text, "weight_value"),
    JsonField("weight_unit", FieldKind::Text, "weight_unit"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

const INVENTORY_LEVEL_FIELDS: &[JsonField] =
    &[JsonField("available", FieldKind::Integer, "available"), JsonField("updated_at", FieldKind::Time, "updated_at")];

const LOCATION_FIELDS: &[JsonField] = &[
    JsonField("name", FieldKind::Text, "name"),
    JsonField("active", FieldKind::Boolean, "active"),
    JsonField("address1", FieldKind::Text, "address1"),
    JsonField("address2", FieldKind::Text, "address2"),
    JsonField("city", FieldKind::Text, "city"),
    JsonField("province_code", FieldKind::Text, "province_code"),
    JsonField("zip", FieldKind::Text, "zip"),
    JsonField("country_code", FieldKind::Text, "country_code"),
    JsonField("phone", FieldKind::Text, "phone"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

/// Handles a product. Topics: `products/create`, `products/update`. Writes `products` with `product_variants`.
pub struct ProductHandler;

impl Handler for ProductHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let mut row = build_resource_row(event, PRODUCTS, &body, PRODUCT_FIELDS)?;
        let mut plan = Plan::default();
        if let Some(mut list) = build_list("product_variants", body.get("variants"), VARIANT_FIELDS, true)? {
            list.is_partial = has_more_variants(&body);
            if list.is_partial {
                plan.add_note("the body may leave out variants: those that it does not state are unchanged");
            }
            row.lists.push(list);
        }
        plan.subjects.push(Subject::new("product", require_entity_id(&body, "id", PRODUCTS)?));
        plan.changes.push(Change::Row(row));
        Ok(plan)
    }
}

/// Most variants in one body (shopify.dev, "Product" of the REST Admin API).
const VARIANTS_MAX: usize = 100;

/// Returns true if the product may have more variants than the body states. Newer bodies name all in `variant_gids`.
fn has_more_variants(product: &JsonValue) -> bool {
    let stated = iter_array(product, "variants").count();
    match product.get("variant_gids").and_then(JsonValue::as_array) {
        Some(all) if !all.is_empty() => all.len() > stated,
        _ => stated >= VARIANTS_MAX,
    }
}

/// Handles a resource without lists. Topics: `inventory_items/create`, `inventory_items/update`, and `locations/*`
/// without `delete`, such as `create`, `update`, `activate` and `deactivate`.
///
/// Writes `inventory_items` or `locations`.
pub struct ResourceHandler {
    table: &'static TableSpec,
    fields: &'static [JsonField],
    subject: &'static str,
}

/// Handler of inventory items.
pub const INVENTORY_ITEM_HANDLER: ResourceHandler =
    ResourceHandler { table: INVENTORY_ITEMS, fields: INVENTORY_ITEM_FIELDS, subject: "inventory_item" };
/// Handler of locations.
pub const LOCATION_HANDLER: ResourceHandler =
    ResourceHandler { table: LOCATIONS, fields: LOCATION_FIELDS, subject: "location" };

impl Handler for ResourceHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let id = require_entity_id(&body, "id", self.table)?;
        let row = build_resource_row(event, self.table, &body, self.fields)?;
        Ok(Plan { changes: vec![Change::Row(row)], subjects: vec![Subject::new(self.subject, id)], ..Plan::default() })
    }
}

/// Handles the stock of an item at a location. Topics: `inventory_levels/*`: `connect`, `update`, `disconnect`.
///
/// Writes `inventory_levels`.
pub struct InventoryLevelHandler;

impl Handler for InventoryLevelHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let read_id = |field| body.get(field).and_then(fields::parse_entity_id);
        let (Some(item), Some(location)) = (read_id("inventory_item_id"), read_id("location_id")) else {
            return Ok(Plan::note_only(format!("stored only: {} names no item and location", event.topic())));
        };
        let key = vec![item.into(), location.into()];
        let mut row = build_resource_row_with_key(event, INVENTORY_LEVELS, key, &body, INVENTORY_LEVEL_FIELDS)?;
        row.columns.push(("connected", (event.topic() != "inventory_levels/disconnect").into()));
        Ok(Plan {
            changes: vec![Change::Row(row)],
            subjects: vec![Subject::new("inventory_item", item), Subject::new("location", location)],
            ..Plan::default()
        })
    }
}
