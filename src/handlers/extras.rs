//! Fields of a body that no column takes: the JSON column `extras` keeps them, so that no fact of an object is lost.
//!
//! A field that repeats another one is left out: the id as `gid://…`, the set of an amount in one currency, and another
//! path of the same column with the same value. So is a field that another table has ([`ELSEWHERE`]). A field without a
//! value states nothing.

use crate::changes::rows::{CellValue, TableSpec};
use crate::handlers::HandlerError;
use crate::handlers::fields::{FieldKind, JsonField, parse_entity_id, read_path};
use crate::handlers::json::read_id_text;
use crate::lenient_json::{JsonObject, JsonValue};
use rust_decimal::Decimal;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Tables with the column `extras`, each with the fields that other tables or columns have.
///
/// `name` is a field that is elsewhere whatever it is. The others are elsewhere only in the shape that the other table
/// reads: `name{}` is an object, `name[]` an array of objects. With `id` in the brackets, each object has a number
/// there; with `text:id`, a text. What has another shape, such as an element without an id, stays in `extras`. So does
/// an element whose id a later one repeats.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "sales_orders",
        "id line_items[id] shipping_lines[] shipping_address{} billing_address{} tax_lines[] discount_codes[] \
         discount_applications[] fulfillments[id] refunds[id]",
    ),
    ("sales_order_lines", "tax_lines[] discount_allocations[]"),
    ("sales_order_shipping_lines", "tax_lines[] discount_allocations[]"),
    ("sales_order_taxes", ""),
    ("sales_order_discounts", ""),
    ("order_transactions", "id"),
    (
        "refunds",
        "id refund_line_items[] transactions[id] order_adjustments[] refund_shipping_lines[] duties[] \
         additional_fees[]",
    ),
    // A refund in its order leaves out `line_item`, which sales_order_lines has.
    ("refund_lines", ""),
    // The shipping line of the order, and the keys of the refund and its order.
    ("refund_parts", "shipping_line refund_id order_id"),
    ("fulfillments", "id line_items[id] tracking_number tracking_numbers tracking_url tracking_urls"),
    ("fulfillment_lines", "admin_graphql_api_id"),
    ("fulfillment_events", "id"),
    ("fulfillment_orders", "id fulfillment_holds[id]"),
    ("fulfillment_holds", "id event.fulfillment_order.id"),
    ("returns", "id admin_graphql_api_id order_id order.id return_line_items[id|admin_graphql_api_id]"),
    ("return_lines", "admin_graphql_api_id"),
    ("sales_order_addresses", ""),
    ("sales_order_edits", "id line_items.additions[id] line_items.removals[id]"),
    ("sales_order_edit_lines", ""),
    ("shops", "myshopify_domain"),
    ("customers", "id addresses[id] default_address{id}"),
    ("customer_addresses", "customer_id"),
    ("products", "id variants[id]"),
    ("product_variants", "product_id"),
    ("inventory_items", "id"),
    ("inventory_levels", "inventory_item_id location_id admin_graphql_api_id"),
    ("locations", "id"),
    ("shipments", "id object mode tracking_details[]"),
    ("tracking_events", "object tracking_location.object"),
    ("easypost_objects", "id mode shipments[text:id]"),
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
    // An order can have half a million lines with a few plain fields. Only if another field states something, each
    // path of each column is read.
    let mut columns_read: Option<(Vec<&str>, Vec<&'static str>)> = None;
    let mut text = String::new();
    for (name, value) in object.as_object().into_iter().flat_map(JsonObject::iter) {
        if is_empty(value) || is_plain_field(object, name, elsewhere, columns)? {
            continue;
        }
        if columns_read.is_none() {
            let mut paths = Vec::new();
            for column in columns {
                add_read_paths(object, column, &mut paths)?;
            }
            columns_read = Some((elsewhere.split_whitespace().collect(), paths));
        }
        if let Some((elsewhere, read_paths)) = &columns_read {
            write_unread_field(object, (name, value), (elsewhere, read_paths), &mut text);
        }
    }
    if !text.is_empty() {
        text.push('}');
    }
    Ok((!text.is_empty()).then_some(text).into())
}

/// Returns true if the field is the first source of a column, or is in another table whatever it is.
fn is_plain_field(
    object: &JsonValue,
    name: &str,
    elsewhere: &str,
    columns: &[JsonField],
) -> Result<bool, HandlerError> {
    if elsewhere.split_whitespace().any(|field| field == name) {
        return Ok(true);
    }
    let is_first = |paths: &str| paths.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('|'));
    match columns.iter().find(|JsonField(_, _, paths)| is_first(paths)) {
        Some(JsonField(_, kind, _)) => Ok(read_path(object, *kind, name)?.is_some()),
        None => Ok(false),
    }
}

/// Adds the paths of a column whose values the column has: the first with a value, and those that repeat it.
fn add_read_paths(
    object: &JsonValue,
    JsonField(_, kind, paths): &JsonField,
    read_paths: &mut Vec<&'static str>,
) -> Result<(), HandlerError> {
    let mut taken: Option<CellValue> = None;
    for path in paths.split('|') {
        match (read_path(object, *kind, path)?, &taken) {
            (None, _) => {}
            (Some(CellValue::Null), _) => read_paths.push(path),
            (Some(cell), None) => {
                read_paths.push(path);
                taken = Some(cell);
            }
            (Some(cell), Some(taken)) => {
                if is_same_value(*kind, &cell, taken) {
                    read_paths.push(path);
                }
            }
        }
    }
    Ok(())
}

/// Returns true for the same value, as text or as an amount of money.
fn is_same_value(kind: FieldKind, one: &CellValue, other: &CellValue) -> bool {
    let parse = |cell: &CellValue| match cell {
        CellValue::Text(text) if kind == FieldKind::Money => Decimal::from_str_exact(text).ok(),
        _ => None,
    };
    one == other || parse(one).is_some_and(|amount| parse(other) == Some(amount))
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
fn write_unread_fields(object: &JsonValue, paths: (&[&str], &[&str]), text: &mut String) {
    let mut inner = String::new();
    for field in object.as_object().into_iter().flat_map(JsonObject::iter) {
        write_unread_field(object, field, paths, &mut inner);
    }
    if !inner.is_empty() {
        text.push_str(&inner);
        text.push('}');
    }
}

/// Writes a field of an object, with the brace or comma before it, if it is not read. `text` is empty before the first
/// field.
fn write_unread_field(
    object: &JsonValue,
    (name, value): (&str, &JsonValue),
    (elsewhere, read_paths): (&[&str], &[&str]),
    text: &mut String,
) {
    if read_paths.contains(&name) || is_empty(value) || is_repeated(object, name, value, read_paths) {
        return;
    }
    let Some(value) = remove_elsewhere(name, value, elsewhere) else { return };
    let (inner_elsewhere, inner_paths) = (list_inner_paths(name, elsewhere), list_inner_paths(name, read_paths));
    let mut stated = String::new();
    if value.is_object() && !(inner_paths.is_empty() && inner_elsewhere.is_empty()) {
        write_unread_fields(&value, (&inner_elsewhere, &inner_paths), &mut stated);
        if stated.is_empty() {
            return;
        }
    } else {
        stated = value.to_string();
    }
    text.push(if text.is_empty() { '{' } else { ',' });
    text.push_str(&JsonValue::Text(name.into()).to_string());
    text.push(':');
    text.push_str(&stated);
}

/// Returns the paths that begin with a field, without it.
fn list_inner_paths<'p>(name: &str, paths: &[&'p str]) -> Vec<&'p str> {
    paths.iter().filter_map(|path| path.strip_prefix(name)?.strip_prefix('.')).collect()
}

/// Returns the value without what another table has of it; `None` if that is all. [`ELSEWHERE`] explains the shapes.
fn remove_elsewhere<'v>(name: &str, value: &'v JsonValue, elsewhere: &[&str]) -> Option<Cow<'v, JsonValue>> {
    let shapes = elsewhere.iter().filter_map(|field| field.strip_prefix(name));
    let Some(shape) = shapes.into_iter().find(|shape| shape.is_empty() || shape.starts_with(['[', '{'])) else {
        return Some(Cow::Borrowed(value));
    };
    let ids = shape.trim_matches(['[', ']', '{', '}']);
    let is_taken = |object: &JsonValue| object.is_object() && (ids.is_empty() || has_id(object, ids));
    match value {
        _ if shape.is_empty() => None,
        JsonValue::Object(_) if shape.starts_with('{') && is_taken(value) => None,
        JsonValue::Array(elements) if shape.starts_with('[') => {
            // Of two elements with one id, the other table has the last.
            let is_overwritten = find_overwritten_elements(elements, ids);
            let left = elements.iter().enumerate().filter(|(index, element)| {
                (!is_taken(element) || is_overwritten.binary_search(index).is_ok()) && !is_empty(element)
            });
            let left: Box<[JsonValue]> = left.map(|(_, element)| element.clone()).collect();
            (!left.is_empty()).then_some(Cow::Owned(JsonValue::Array(left)))
        }
        _ => Some(Cow::Borrowed(value)),
    }
}

/// Returns the indexes of the elements whose id a later element repeats, in ascending order.
fn find_overwritten_elements(elements: &[JsonValue], ids: &str) -> Vec<usize> {
    let read_key = |element: &JsonValue| {
        ids.split('|').find_map(|field| match field.strip_prefix("text:") {
            Some(field) => read_id_text(element, field),
            None => element.get(field).and_then(parse_entity_id).map(|id| id.to_string()),
        })
    };
    let digest = |key: String| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    };
    let keys = elements.iter().enumerate().filter_map(|(index, element)| Some((digest(read_key(element)?), index)));
    let mut keys: Vec<(u64, usize)> = keys.collect();
    keys.sort_unstable();
    let mut overwritten: Vec<usize> =
        keys.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].1).collect();
    overwritten.sort_unstable();
    overwritten
}

/// Returns true if one of the fields, separated by `|`, is an id.
fn has_id(element: &JsonValue, fields: &str) -> bool {
    fields.split('|').any(|field| match field.strip_prefix("text:") {
        Some(field) => read_id_text(element, field).is_some(),
        None => element.get(field).and_then(parse_entity_id).is_some(),
    })
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
    if name == "name" {
        let part = |field: &str| object.get(field).and_then(JsonValue::as_str).unwrap_or_default().trim().to_owned();
        let whole = format!("{} {}", part("first_name"), part("last_name"));
        return value.as_str().is_some_and(|name| name.trim() == whole.trim());
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
                r#"{"name": "a", "customer": {"id": 7}, "line_items": [{"id": 1}], "x": null, "y": [], "z": ""}"#
                    .to_owned(),
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
            // What another table cannot read stays.
            (
                r#"{"line_items": [{"id": 1}, {"sku": "A"}, {"id": "gid://shopify/LineItem/2"}], "refunds": {}}"#
                    .to_owned(),
                Some(r#"{"line_items":[{"sku":"A"}]}"#),
            ),
            (
                r#"{"line_items": [{"id": 1, "sku": "A"}, {"id": 2}, {"id": "1", "sku": "B"}]}"#.to_owned(),
                Some(r#"{"line_items":[{"id":1,"sku":"A"}]}"#),
            ),
            (
                r#"{"line_items": {"added": [1]}, "shipping_address": "Main St 1", "tax_lines": [5, {"rate": 1}]}"#
                    .to_owned(),
                Some(r#"{"line_items":{"added":[1]},"shipping_address":"Main St 1","tax_lines":[5]}"#),
            ),
            // The first path counts; another one is kept if it says something else.
            (format!(r#"{{"total": "1.00", "total_set": {one}}}"#), None),
            (format!(r#"{{"total": "1.01", "total_set": {one}}}"#), Some(r#"{"total":"1.01"}"#)),
            (
                r#"{"first_name": "A", "last_name": "B", "name": "A B"}"#.to_owned(),
                Some(r#"{"first_name":"A","last_name":"B"}"#),
            ),
        ] {
            let cell = collect_extras("sales_orders", &body.parse().unwrap(), COLUMNS).unwrap();
            assert_eq!(cell, expected.map(str::to_owned).into(), "{body}");
        }
    }
}
