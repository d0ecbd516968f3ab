//! Customers of a shop. The privacy topics of customers are in [`privacy`](super::privacy).

use crate::changes::Change;
use crate::changes::catalogue::CUSTOMERS;
use crate::event::Subject;
use crate::handlers::fields::{FieldKind, JsonField};
use crate::handlers::json::read_text;
use crate::handlers::shopify::body_shapes::read_body;
use crate::handlers::shopify::{ADDRESS_FIELDS, build_list, build_resource_row, build_row, require_entity_id};
use crate::handlers::{Event, Handler, HandlerError, Plan, fields};
use crate::lenient_json::JsonValue;

const CUSTOMER_FIELDS: &[JsonField] = &[
    JsonField("email", FieldKind::Text, "email"),
    JsonField("phone", FieldKind::Text, "phone"),
    JsonField("first_name", FieldKind::Text, "first_name"),
    JsonField("last_name", FieldKind::Text, "last_name"),
    JsonField("state", FieldKind::Text, "state"),
    JsonField("note", FieldKind::Text, "note"),
    JsonField("tags", FieldKind::Text, "tags"),
    JsonField("currency", FieldKind::Text, "currency"),
    JsonField("tax_exempt", FieldKind::Boolean, "tax_exempt"),
    JsonField("verified_email", FieldKind::Boolean, "verified_email"),
    JsonField("default_address_id", FieldKind::Id, "default_address.id"),
    JsonField("created_at", FieldKind::Time, "created_at"),
    JsonField("updated_at", FieldKind::Time, "updated_at"),
];

/// Most addresses in one body (shopify.dev, "Customer" of the REST Admin API: the ten most recently updated).
const ADDRESSES_MAX: usize = 10;

/// Handles a customer. Topics: `customers/create`, `customers/update`, `customers/enable`, `customers/disable`.
///
/// Writes `customers` with `customer_addresses`. Each of these bodies is the customer.
pub struct CustomerHandler;

impl Handler for CustomerHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let id = require_entity_id(&body, "id", CUSTOMERS)?;
        let mut row = build_resource_row(event, CUSTOMERS, &body, CUSTOMER_FIELDS)?;
        let columns: Vec<JsonField> = [JsonField("address_id", FieldKind::Id, "id")]
            .into_iter()
            .chain(ADDRESS_FIELDS)
            .chain([JsonField("is_default", FieldKind::Boolean, "default")])
            .collect();
        let mut plan = Plan { subjects: vec![Subject::new("customer", id)], ..Plan::default() };
        if let Some(mut list) = build_list("customer_addresses", list_addresses(&body).as_ref(), &columns, true)? {
            // Newer API versions state the default address alone.
            list.is_partial =
                list.rows.len() >= ADDRESSES_MAX || body.get("addresses").and_then(JsonValue::as_array).is_none();
            if list.is_partial {
                plan.add_note("the body may leave out addresses: those that it does not state are unchanged");
            }
            row.lists.push(list);
        }
        plan.changes.push(Change::Row(row));
        Ok(plan)
    }
}

/// Returns the addresses with the default one, which a body may state beside the list only.
fn list_addresses(body: &JsonValue) -> Option<JsonValue> {
    let list = body.get("addresses").and_then(JsonValue::as_array);
    let read_id = |address: &JsonValue| address.get("id").and_then(fields::parse_entity_id);
    let default = body.get("default_address").filter(|default| read_id(default).is_some());
    let is_listed =
        default.is_some_and(|default| list.into_iter().flatten().any(|address| read_id(address) == read_id(default)));
    if list.is_none() && default.is_none() {
        return None;
    }
    let added = default.filter(|_| !is_listed);
    Some(JsonValue::Array(list.into_iter().flatten().chain(added).cloned().collect()))
}

/// Handles the merge of two customers. Topic: `customers/merge`.
///
/// Writes `merged_into` in the row of the deleted customer in `customers`.
pub struct CustomerMergeHandler;

impl Handler for CustomerMergeHandler {
    fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body = read_body(event)?;
        let read_id = |field| body.get(field).and_then(fields::parse_entity_id);
        let (kept, deleted) =
            (read_id("admin_graphql_api_customer_kept_id"), read_id("admin_graphql_api_customer_deleted_id"));
        let (Some(kept), Some(deleted)) = (kept, deleted) else {
            return Err(HandlerError::Permanent("the body does not name the two merged customers".to_owned()));
        };
        let subjects = vec![Subject::new("customer", kept), Subject::new("customer", deleted)];
        if read_text(&body, "status").as_deref() != Some("completed") {
            let note = Some("Shopify did not complete this merge: no change".to_owned());
            return Ok(Plan { subjects, note, ..Plan::default() });
        }
        let row = build_row(event, CUSTOMERS, vec![deleted.into()], vec![("merged_into", kept.into())]);
        Ok(Plan { changes: vec![Change::Row(row)], subjects, ..Plan::default() })
    }
}
