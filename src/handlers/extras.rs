//! Fields of a body that no column takes: the JSON column `extras` keeps them, so that no fact of an object is lost.
//!
//! A field that repeats another one is left out: the id as `gid://…`, and the set of an amount in one currency. So is a
//! field that another table has ([`ELSEWHERE`]). A field without a value states nothing.

use crate::changes::rows::{CellValue, TableSpec};
use crate::handlers::HandlerError;
use crate::handlers::fields::{JsonField, is_field_read, parse_entity_id};
use crate::lenient_json::{JsonObject, JsonValue};

/// Tables with the column `extras`, each with the fields that other tables or columns have.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "sales_orders",
        "id line_items shipping_lines shipping_address billing_address tax_lines discount_codes discount_applications \
         fulfillments refunds",
    ),
    ("sales_order_lines", "tax_lines discount_allocations"),
    ("sales_order_shipping_lines", "tax_lines discount_allocations"),
    ("order_transactions", "id"),
    (
        "refunds",
        "id refund_line_items transactions order_adjustments refund_shipping_lines duties additional_fees \
         total_duties_set total_additional_fees_set",
    ),
    // The line of the order, which sales_order_lines has.
    ("refund_lines", "line_item"),
    ("fulfillments", "id line_items tracking_number tracking_numbers tracking_url tracking_urls"),
    ("fulfillment_lines", "admin_graphql_api_id"),
    ("fulfillment_events", "id"),
    ("returns", "id admin_graphql_api_id order_id order return_line_items"),
    ("return_lines", "admin_graphql_api_id"),
    ("sales_order_addresses", "name"),
    ("sales_order_edits", "id line_items"),
    ("shops", "myshopify_domain"),
    ("customers", "id addresses default_address"),
    ("customer_addresses", "customer_id"),
    ("products", "id variants"),
    ("product_variants", "product_id"),
    ("inventory_items", "id"),
    ("locations", "id"),
    ("shipments", "id object mode tracking_details"),
    ("easypost_objects", "id mode shipments"),
];

/// Returns true if the table has the column `extras`.
pub fn has_extras(table: &str) -> bool {
    ELSEWHERE.iter().any(|(name, _)| *name == table)
}

/// Returns the fields of `object` that no column of `table` takes, as JSON text; NULL if there are none.
///
/// # Errors
/// [`HandlerError::Permanent`] for money that is not a decimal number.
pub fn collect_extras(table: &str, object: &JsonValue, columns: &[JsonField]) -> Result<CellValue, HandlerError> {
    let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == table).map_or("", |(_, fields)| fields);
    let mut read_paths = Vec::new();
    for JsonField(_, kind, paths) in columns {
        for path in paths.split('|') {
            if is_field_read(object, *kind, path)? {
                read_paths.push(path);
            }
        }
    }
    let mut text = String::new();
    write_unread_fields(object, elsewhere, &read_paths, &mut text);
    Ok((!text.is_empty()).then_some(text).into())
}

/// Adds the column `extras` to the columns that `object` states, if the table has it and there are any.
///
/// A body that `include_fields` cut down states few fields, so a body without extras leaves those of earlier events.
///
/// # Errors
/// As [`collect_extras`].
pub fn add_extras(
    cells: &mut Vec<(&'static str, CellValue)>,
    table: &TableSpec,
    object: &JsonValue,
    columns: &[JsonField],
) -> Result<(), HandlerError> {
    if has_extras(table.name) {
        let extras = collect_extras(table.name, object, columns)?;
        cells.extend((extras != CellValue::Null).then_some(("extras", extras)));
    }
    Ok(())
}

/// Writes the object with the fields that are not read; nothing if there are none.
fn write_unread_fields(object: &JsonValue, elsewhere: &str, read_paths: &[&str], text: &mut String) {
    let start = text.len();
    for (name, value) in object.as_object().into_iter().flat_map(JsonObject::iter) {
        let is_elsewhere = elsewhere.split_whitespace().any(|other| other == name);
        let is_read = read_paths.contains(&name);
        if is_elsewhere || is_read || is_empty(value) || is_repeated(object, name, value, read_paths) {
            continue;
        }
        let inner: Vec<&str> =
            read_paths.iter().filter_map(|path| path.strip_prefix(name)?.strip_prefix('.')).collect();
        let written = text.len();
        text.push(if written == start { '{' } else { ',' });
        text.push_str(&JsonValue::Text(name.into()).to_string());
        text.push(':');
        if inner.is_empty() {
            text.push_str(&value.to_string());
            continue;
        }
        let before = text.len();
        write_unread_fields(value, "", &inner, text);
        if text.len() == before {
            text.truncate(written);
        }
    }
    if text.len() > start {
        text.push('}');
    }
}

/// Returns true for a value that states nothing.
fn is_empty(value: &JsonValue) -> bool {
    match value {
        JsonValue::Null => true,
        JsonValue::Text(text) => text.is_empty(),
        JsonValue::Array(elements) => elements.iter().all(is_empty),
        JsonValue::Object(object) => object.iter().all(|(_, field)| is_empty(field)),
        JsonValue::Bool(_) | JsonValue::Number(_) => false,
    }
}

/// Returns true for a field that repeats another one of the object.
fn is_repeated(object: &JsonValue, name: &str, value: &JsonValue, read_paths: &[&str]) -> bool {
    if name == "admin_graphql_api_id" {
        return parse_entity_id(value).is_some()
            && parse_entity_id(value) == object.get("id").and_then(parse_entity_id);
    }
    let Some(plain) = name.strip_suffix("_set") else { return false };
    let is_amount_kept =
        read_paths.iter().any(|path| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
            || object.get(plain).and_then(read_digits) == read_shop_amount(value);
    is_amount_kept && value.get("shop_money") == value.get("presentment_money")
}

fn read_shop_amount(set: &JsonValue) -> Option<String> {
    set.get("shop_money")?.get("amount").and_then(read_digits)
}

fn read_digits(value: &JsonValue) -> Option<String> {
    match value {
        JsonValue::Text(text) => Some(text.to_string()),
        JsonValue::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::fields::FieldKind;

    #[test]
    fn extras_have_what_no_column_takes() {
        const COLUMNS: &[JsonField] = &[
            JsonField("name", FieldKind::Text, "name"),
            JsonField("customer_id", FieldKind::Id, "customer.id"),
            JsonField("created_at", FieldKind::Time, "created_at"),
            JsonField("total", FieldKind::Money, "total_set.shop_money.amount|total"),
        ];
        let one = r#"{"shop_money": {"amount": "1.0"}, "presentment_money": {"amount": "1.0"}}"#;
        let two = r#"{"shop_money": {"amount": "1.0"}, "presentment_money": {"amount": "2.0"}}"#;
        for (body, expected) in [
            (
                r#"{"name": "a", "customer": {"id": 7}, "line_items": [1], "x": null, "y": [], "z": ""}"#.to_owned(),
                None,
            ),
            (r#"{"name": ["a"], "created_at": "soon"}"#.to_owned(), Some(r#"{"created_at":"soon","name":["a"]}"#)),
            (
                r#"{"customer": {"id": 7, "email": "a"}, "test": false}"#.to_owned(),
                Some(r#"{"customer":{"email":"a"},"test":false}"#),
            ),
            (r#"{"id": 7, "admin_graphql_api_id": "gid://shopify/Order/7"}"#.to_owned(), None),
            (
                r#"{"id": 7, "admin_graphql_api_id": "gid://shopify/Order/8"}"#.to_owned(),
                Some(r#"{"admin_graphql_api_id":"gid://shopify/Order/8"}"#),
            ),
            (format!(r#"{{"total_set": {one}}}"#), None),
            (format!(r#"{{"total_set": {two}}}"#), Some(r#"{"total_set":{"presentment_money":{"amount":"2.0"}}}"#)),
            (format!(r#"{{"tax": "1.0", "tax_set": {one}}}"#), Some(r#"{"tax":"1.0"}"#)),
        ] {
            let cell = collect_extras("sales_orders", &body.parse().unwrap(), COLUMNS).unwrap();
            assert_eq!(cell, expected.map(str::to_owned).into(), "{body}");
        }
    }
}
