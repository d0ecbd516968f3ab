//! The shape of body that each topic must have.
//!
//! Shopify signs the body and not the headers. So anybody who sees one signed request can send its body again under
//! another topic, shop or id. A handler therefore works only on a body that has the shape of its topic: an order is
//! never a redaction or a deletion. A body that does not fit fails its event at once and changes nothing.
//!
//! Facts: the example bodies of shopify.dev ("Webhooks", "References"). `include_fields` of a subscription can reduce
//! the body of a resource, so only the destructive topics require more than the id.

use crate::handlers::json::{parse_body, parse_event_body, read_text};
use crate::handlers::{Event, HandlerError, fields};
use crate::lenient_json::{JsonObject, JsonValue};

/// Kind of object that a body states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    Order,
    OrderEdit,
    Customer,
    CustomerMerge,
    CustomerRedaction,
    CustomerDataRequest,
    ShopRedaction,
    Product,
    Refund,
    OrderTransaction,
    Fulfillment,
    FulfillmentEvent,
    FulfillmentOrder,
    Return,
    InventoryItem,
    InventoryLevel,
    Location,
    Shop,
    /// An object that no handler reads, such as a checkout.
    Unhandled,
}

use BodyKind::{
    Customer, CustomerDataRequest, CustomerMerge, CustomerRedaction, Fulfillment, FulfillmentEvent, FulfillmentOrder,
    InventoryItem, InventoryLevel, Location, Order, OrderEdit, OrderTransaction, Product, Refund, Return, Shop,
    ShopRedaction, Unhandled,
};

impl BodyKind {
    /// Returns the words for the kind in messages.
    fn noun(self) -> &'static str {
        match self {
            Order => "an order",
            OrderEdit => "an edit of an order",
            Customer => "a customer",
            CustomerMerge => "a merge of customers",
            CustomerRedaction => "a redaction of a customer",
            CustomerDataRequest => "a request for data",
            ShopRedaction => "a redaction of a shop",
            Product => "a product",
            Refund => "a refund",
            OrderTransaction => "a transaction",
            Fulfillment => "a fulfillment",
            FulfillmentEvent => "an event of a fulfillment",
            FulfillmentOrder => "a fulfillment order",
            Return => "a return",
            InventoryItem => "an inventory item",
            InventoryLevel => "an inventory level",
            Location => "a location",
            Shop => "a shop",
            Unhandled => "another object",
        }
    }

    /// Returns the type in the `gid://shopify/TYPE/…` of the object; `None` if its bodies have none.
    fn gid_type(self) -> Option<&'static str> {
        Some(match self {
            Order => "Order",
            Customer => "Customer",
            Product => "Product",
            Refund => "Refund",
            OrderTransaction => "OrderTransaction",
            Fulfillment => "Fulfillment",
            FulfillmentEvent => "FulfillmentEvent",
            Return => "Return",
            InventoryItem => "InventoryItem",
            Location => "Location",
            Shop => "Shop",
            _ => return None,
        })
    }
}

/// Outermost fields that only some kinds have, separated by spaces. A body with a field of another kind is not of this
/// kind.
const FIELD_OWNERS: &[(&[BodyKind], &str)] = &[
    (
        &[Order],
        "billing_address browser_ip buyer_accepts_marketing cancel_reason cancelled_at checkout_id \
         checkout_token client_details closed_at confirmation_number confirmed contact_email \
         current_subtotal_price current_total_discounts current_total_price current_total_price_set \
         current_total_tax customer_locale discount_applications discount_codes estimated_taxes \
         financial_status fulfillment_status fulfillments landing_site line_item_groups note_attributes \
         order_number order_status_url payment_gateway_names payment_terms po_number presentment_currency \
         refunds returns shipping_address shipping_lines subtotal_price subtotal_price_set tax_lines \
         total_discounts total_line_items_price total_outstanding total_price total_price_set \
         total_shipping_price_set total_tax total_tip_received total_weight",
    ),
    (&[Order, Fulfillment], "line_items"),
    (&[Order, CustomerRedaction, CustomerDataRequest], "customer"),
    (&[OrderEdit, Refund, OrderTransaction, Fulfillment, FulfillmentEvent, Return], "order_id"),
    (&[OrderEdit], "committed_at order_edit staff_note"),
    (
        &[Customer],
        "addresses accepts_marketing default_address email_marketing_consent first_name last_name \
         last_order_id multipass_identifier orders_count sms_marketing_consent tax_exemptions total_spent \
         verified_email",
    ),
    (&[CustomerMerge], "admin_graphql_api_customer_deleted_id admin_graphql_api_customer_kept_id"),
    (&[CustomerRedaction], "orders_to_redact"),
    (&[CustomerDataRequest], "data_request orders_requested"),
    (&[CustomerRedaction, CustomerDataRequest, ShopRedaction], "shop_domain"),
    (
        &[Product],
        "body_html handle image images options product_type published_at published_scope template_suffix \
         variants vendor",
    ),
    (&[Refund], "duties order_adjustments refund_line_items refund_shipping_lines restock return transactions"),
    (&[OrderTransaction], "amount authorization error_code gateway kind parent_id payment_details"),
    (
        &[Fulfillment],
        "destination origin_address service shipment_status tracking_company tracking_number tracking_numbers \
         tracking_url tracking_urls",
    ),
    (&[FulfillmentEvent], "estimated_delivery_at fulfillment_id happened_at"),
    (
        &[FulfillmentOrder],
        "created_fulfillment_hold fulfillment_hold fulfillment_order fulfillment_order_merges \
         held_fulfillment_order_line_items merge_intents moved_fulfillment_order original_fulfillment_order \
         remaining_fulfillment_order replacement_fulfillment_order split_line_items submitted_fulfillment_order \
         unsubmitted_fulfillment_order",
    ),
    (
        &[Return],
        "decline exchange_line_items order restocking_fees return_line_items return_shipping_fees \
         total_return_line_items",
    ),
    (&[InventoryItem], "cost country_code_of_origin harmonized_system_code province_code_of_origin sku tracked"),
    (&[InventoryLevel], "available inventory_item_id"),
    (&[Location], "active legacy localized_country_name"),
    (
        &[Shop],
        "customer_email domain iana_timezone money_format myshopify_domain plan_display_name plan_name \
         primary_locale primary_location_id shop_owner timezone",
    ),
    (&[Shop, Location], "address1 address2"),
    (&[Unhandled], "abandoned_checkout_url applied_discount disjunctive invoice_sent_at invoice_url rules"),
];

/// Most fields of a body without any field of its own kind. A subscription with `include_fields` makes such bodies.
const FIELDS_WITHOUT_MARK_MAX: usize = 8;

/// Topics and their bodies. `*` at the end of a topic matches anything. The first match counts.
const SHAPES: &[(&str, BodyKind)] = &[
    ("orders/edited", OrderEdit),
    ("orders/*", Order),
    ("order_transactions/*", OrderTransaction),
    ("refunds/*", Refund),
    ("returns/*", Return),
    ("fulfillments/*", Fulfillment),
    ("fulfillment_events/*", FulfillmentEvent),
    ("fulfillment_orders/*", FulfillmentOrder),
    ("fulfillment_holds/*", FulfillmentOrder),
    ("customers/merge", CustomerMerge),
    ("customers/redact", CustomerRedaction),
    ("customers/data_request", CustomerDataRequest),
    ("customers/*", Customer),
    ("shop/redact", ShopRedaction),
    ("shop/update", Shop),
    ("app/uninstalled", Shop),
    ("products/*", Product),
    ("inventory_items/*", InventoryItem),
    ("inventory_levels/*", InventoryLevel),
    ("locations/*", Location),
];

/// Fields of the body of `customers/merge`.
const MERGE_FIELDS: &[&str] = &[
    "admin_graphql_api_customer_kept_id",
    "admin_graphql_api_customer_deleted_id",
    "admin_graphql_api_job_id",
    "status",
    "errors",
];

/// Returns the kind of object that the bodies of a topic state; `None` for a topic without a handler.
#[must_use]
pub fn find_body_kind(topic: &str) -> Option<BodyKind> {
    let matches = |pattern: &str| pattern.strip_suffix('*').map_or(pattern == topic, |start| topic.starts_with(start));
    SHAPES.iter().find(|(pattern, _)| matches(pattern)).map(|(_, kind)| *kind)
}

/// Returns true for the deletion of one object, such as `orders/delete`.
#[must_use]
pub fn is_deletion(topic: &str) -> bool {
    topic.ends_with("/delete") && find_body_kind(topic).is_some()
}

/// Returns true for a topic whose handler erases, deletes or ends something.
#[must_use]
pub fn is_destructive(topic: &str) -> bool {
    is_deletion(topic) || ["customers/redact", "shop/redact", "customers/merge", "app/uninstalled"].contains(&topic)
}

/// Parses the body of an event and checks that it has the shape of the event's topic.
///
/// # Errors
/// [`HandlerError::Permanent`] if it is not JSON or does not have the shape. The message quotes no value of the body.
pub fn read_body(event: &Event<'_>) -> Result<JsonValue, HandlerError> {
    let body = parse_event_body(event)?;
    let topic = event.topic();
    if let Some(kind) = find_body_kind(topic) {
        check_shape(kind, topic, event.shop_domain(), &body).map_err(|reason| {
            HandlerError::Permanent(format!(
                "nothing was changed: the body does not fit {topic}: {reason}. Shopify signs the body and not the \
                 topic, so somebody may have sent a body again under another topic"
            ))
        })?;
    }
    Ok(body)
}

/// Returns true if an event with this topic and shop can have this body.
#[must_use]
pub fn fits_topic(topic: &str, shop: &str, body: &JsonValue) -> bool {
    match (find_body_kind(topic), body.as_object()) {
        (Some(kind), _) => check_shape(kind, topic, shop, body).is_ok(),
        (None, Some(object)) => check_gid_of_family(topic, object).is_ok(),
        (None, None) => true,
    }
}

/// Returns true if a body has no field of any object that a handler reads. Shopify's Events preview has such bodies.
#[must_use]
pub fn states_no_resource(body: &[u8]) -> bool {
    let is_known = |name: &str| {
        ["id", "admin_graphql_api_id"].contains(&name)
            || FIELD_OWNERS.iter().any(|(_, names)| names.split(' ').any(|known| known == name))
    };
    parse_body(body)
        .is_ok_and(|body| body.as_object().is_some_and(|object| !object.iter().any(|(name, _)| is_known(name))))
}

fn check_shape(kind: BodyKind, topic: &str, shop: &str, body: &JsonValue) -> Result<(), String> {
    let Some(object) = body.as_object() else { return Err("it is not a JSON object".to_owned()) };
    check_gid(kind, object)?;
    check_owners(kind, object)?;
    if is_deletion(topic) {
        return check_deletion(kind, object);
    }
    match kind {
        CustomerRedaction => {
            require_fields(object, &["shop_domain", "customer", "orders_to_redact"])?;
            require_shop(object, "shop_domain", shop)
        }
        CustomerDataRequest => {
            require_fields(object, &["shop_domain", "orders_requested", "data_request"])?;
            require_shop(object, "shop_domain", shop)
        }
        ShopRedaction => {
            require_fields(object, &["shop_domain"])?;
            require_only(object, &["shop_id", "shop_domain"])?;
            require_shop(object, "shop_domain", shop)
        }
        CustomerMerge => {
            require_fields(object, &["admin_graphql_api_customer_kept_id", "admin_graphql_api_customer_deleted_id"])?;
            require_only(object, MERGE_FIELDS)
        }
        // The level of a location that no longer stocks the item has no quantity.
        InventoryLevel
            if topic == "inventory_levels/disconnect" && object.get("available").is_some_and(|v| !v.is_null()) =>
        {
            Err("it has available, as the level of a connected location has".to_owned())
        }
        Shop if topic == "app/uninstalled" => {
            if !has_own_field(Shop, object) {
                return Err("it has no field that only a shop has".to_owned());
            }
            require_shop(object, "myshopify_domain", shop)
        }
        _ => Ok(()),
    }
}

/// Checks the types in the global ids of the object, such as `gid://shopify/Order/1`.
fn check_gid(kind: BodyKind, object: &JsonObject) -> Result<(), String> {
    let Some(expected) = kind.gid_type() else { return Ok(()) };
    match iter_gid_types(object).find(|(_, found)| *found != expected) {
        Some((field, _)) => Err(format!("its {field} is not the id of {}", kind.noun())),
        None => Ok(()),
    }
}

/// Checks that the global id of an object without a handler is not that of a kind whose topics begin otherwise.
fn check_gid_of_family(topic: &str, object: &JsonObject) -> Result<(), String> {
    let find_family = |topic: &'static str| topic.split('/').next();
    let family = topic.split('/').next();
    for (field, found) in iter_gid_types(object) {
        let mut owners = SHAPES.iter().filter(|(_, kind)| kind.gid_type() == Some(found)).peekable();
        if let Some((_, kind)) = owners.peek().copied()
            && owners.all(|(pattern, _)| find_family(pattern) != family)
        {
            return Err(format!("its {field} is the id of {}", kind.noun()));
        }
    }
    Ok(())
}

/// Returns the fields with a global id of the object, and the types in them.
fn iter_gid_types(object: &JsonObject) -> impl Iterator<Item = (&'static str, &str)> {
    ["id", "admin_graphql_api_id"].into_iter().filter_map(|field| {
        let gid = object.get(field)?.as_str()?.strip_prefix("gid://shopify/")?;
        Some((field, gid.split('/').next().unwrap_or(gid)))
    })
}

/// Checks that no field belongs to another kind, and that a body with many fields has one of its own kind.
fn check_owners(kind: BodyKind, object: &JsonObject) -> Result<(), String> {
    for (owners, names) in FIELD_OWNERS.iter().filter(|(owners, _)| !owners.contains(&kind)) {
        if let Some(name) = names.split(' ').find(|name| object.contains_key(name)) {
            return Err(format!("it has {name}, as {} has", owners[0].noun()));
        }
    }
    if object.len() > FIELDS_WITHOUT_MARK_MAX && !has_own_field(kind, object) {
        return Err(format!("it has {} fields and none that only {} has", object.len(), kind.noun()));
    }
    Ok(())
}

fn has_own_field(kind: BodyKind, object: &JsonObject) -> bool {
    FIELD_OWNERS
        .iter()
        .filter(|(owners, _)| owners.contains(&kind))
        .any(|(_, names)| names.split(' ').any(|name| object.contains_key(name)))
}

/// Checks the body of a deletion: ids, and fields without a value.
fn check_deletion(kind: BodyKind, object: &JsonObject) -> Result<(), String> {
    if object.get("id").and_then(fields::parse_entity_id).is_none() {
        return Err("it has no id".to_owned());
    }
    require_only(
        object,
        match kind {
            Customer => &["id", "admin_graphql_api_id", "tax_exemptions"],
            FulfillmentEvent => {
                require_fields(object, &["fulfillment_id"])?;
                &["id", "admin_graphql_api_id", "fulfillment_id", "order_id", "shop_id"]
            }
            _ => &["id", "admin_graphql_api_id", "shop_id"],
        },
    )
}

fn require_fields(object: &JsonObject, names: &[&str]) -> Result<(), String> {
    match names.iter().find(|name| object.get(name).is_none_or(JsonValue::is_null)) {
        Some(name) => Err(format!("it has no {name}")),
        None => Ok(()),
    }
}

/// Checks that every other field has no value: null, or an empty text, list or object.
fn require_only(object: &JsonObject, names: &[&str]) -> Result<(), String> {
    let is_empty = |value: &JsonValue| match value {
        JsonValue::Null => true,
        JsonValue::Text(text) => text.is_empty(),
        JsonValue::Array(list) => list.is_empty(),
        JsonValue::Object(map) => map.is_empty(),
        JsonValue::Bool(_) | JsonValue::Number(_) => false,
    };
    let extra = object.iter().filter(|(name, value)| !names.contains(name) && !is_empty(value)).count();
    match extra {
        0 => Ok(()),
        1 => Err("it states a value in a field that such a body does not have".to_owned()),
        _ => Err(format!("it states values in {extra} fields that such a body does not have")),
    }
}

/// Checks that the shop of the body, if it names one, is the shop of the unsigned header.
fn require_shop(object: &JsonObject, field: &str, shop: &str) -> Result<(), String> {
    match object.get(field).and_then(JsonValue::as_str) {
        Some(domain) if !domain.eq_ignore_ascii_case(shop) && !is_sample_domain(domain) => {
            Err(format!("its {field} is not the shop of the header"))
        }
        _ => Ok(()),
    }
}

/// Returns true for the placeholder in Shopify's sample bodies, which `shopify app webhook trigger` sends.
fn is_sample_domain(domain: &str) -> bool {
    domain == "{shop}.myshopify.com"
}

/// Returns true if the body is one of Shopify's samples: it names no shop, so nothing is done for it.
#[must_use]
pub fn names_no_real_shop(body: &JsonValue) -> bool {
    read_text(body, "shop_domain").is_none_or(|domain| is_sample_domain(&domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "a.myshopify.com";

    fn check(topic: &str, body: &str) -> Result<(), String> {
        check_shape(find_body_kind(topic).unwrap(), topic, SHOP, &body.parse().unwrap())
    }

    #[test]
    fn destructive_bodies_fit_only_their_topics() {
        let bodies = [
            (
                "customers/redact",
                r#"{"shop_id":1,"shop_domain":"a.myshopify.com","customer":{"id":1,"email":"x"},"orders_to_redact":[2]}"#,
            ),
            (
                "customers/data_request",
                r#"{"shop_id":1,"shop_domain":"a.myshopify.com","customer":{"id":1},"orders_requested":[2],"data_request":{"id":3}}"#,
            ),
            ("shop/redact", r#"{"shop_id":1,"shop_domain":"A.myshopify.com"}"#),
            (
                "customers/delete",
                r#"{"id":1,"tax_exemptions":["X"],"admin_graphql_api_id":"gid://shopify/Customer/1"}"#,
            ),
            (
                "customers/merge",
                r#"{"admin_graphql_api_customer_kept_id":"gid://shopify/Customer/1","admin_graphql_api_customer_deleted_id":"gid://shopify/Customer/2","admin_graphql_api_job_id":null,"status":"completed","errors":[]}"#,
            ),
            ("fulfillment_events/delete", r#"{"id":1,"fulfillment_id":2,"order_id":3}"#),
            ("app/uninstalled", r#"{"id":1,"name":"A","myshopify_domain":"a.myshopify.com","plan_name":"basic"}"#),
        ];
        let topics =
            bodies.map(|(topic, _)| topic).into_iter().chain(["orders/delete", "products/delete", "refunds/create"]);
        for topic in topics {
            for (own, body) in bodies {
                assert_eq!(check(topic, body).is_ok(), topic == own, "{topic} {body} {:?}", check(topic, body));
            }
        }
    }

    #[test]
    fn deletion_states_only_the_id() {
        for body in [
            r#"{"id":1}"#,
            r#"{"id":"gid://shopify/Order/1"}"#,
            r#"{"id":1,"note":null,"tags":"","list":[],"object":{}}"#,
        ] {
            check("orders/delete", body).unwrap();
        }
        for body in [
            "[1]",
            "1",
            "{}",
            r#"{"id":null}"#,
            r#"{"id":"gid://shopify/Product/1"}"#,
            r#"{"id":1,"admin_graphql_api_id":"gid://shopify/DraftOrder/1"}"#,
            r#"{"id":1,"updated_at":"2026-11-23T10:00:00Z"}"#,
            r#"{"id":1,"test":false}"#,
            r#"{"id":1,"line_items":[{}]}"#,
        ] {
            assert!(check("orders/delete", body).is_err(), "{body}");
        }
        let item = r#"{"id":1,"country_code_of_origin":null,"country_harmonized_system_codes":[],"admin_graphql_api_id":"gid://shopify/InventoryItem/1"}"#;
        check("inventory_items/delete", item).unwrap();
    }

    /// `include_fields` of a subscription leaves out any field but the id.
    #[test]
    fn reduced_resource_fits_its_topic() {
        for (topic, body) in [
            ("orders/updated", r#"{"id":1}"#),
            ("orders/updated", r#"{"id":1,"updated_at":"2026-11-23T10:00:00Z","email":"x","tags":"","name":"n"}"#),
            ("customers/update", r#"{"id":1,"email":"x"}"#),
            ("refunds/create", r#"{"id":1,"note":"x"}"#),
            ("returns/process", "{}"),
            ("inventory_levels/update", "{}"),
        ] {
            check(topic, body).unwrap_or_else(|error| panic!("{topic} {body}: {error}"));
        }
        let foreign = r#"{"id":1,"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1}"#;
        assert!(check("orders/updated", foreign).is_err(), "many fields, and none of an order");
    }

    #[test]
    fn each_field_has_one_entry() {
        let mut names: Vec<&str> = FIELD_OWNERS.iter().flat_map(|(_, names)| names.split(' ')).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
