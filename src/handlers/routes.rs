//! The table of routes: from source and topic to the handler.

use crate::changes::catalogue::{CUSTOMERS, INVENTORY_ITEMS, LOCATIONS, PRODUCTS, SALES_ORDERS};
use crate::handlers::easypost::objects::EasyPostObjectHandler;
use crate::handlers::easypost::trackers::TrackerHandler;
use crate::handlers::edi::{EdiFileHandler, OutboundDocumentHandler};
use crate::handlers::fallback::FallbackHandler;
use crate::handlers::json::BodyNotes;
use crate::handlers::keycloak::KeycloakEventHandler;
use crate::handlers::repeated_rows::describe_repeated_rows;
use crate::handlers::shopify::DeletionHandler;
use crate::handlers::shopify::customers::{CustomerHandler, CustomerMergeHandler};
use crate::handlers::shopify::fulfillment_orders::{FulfillmentHoldHandler, FulfillmentOrderHandler};
use crate::handlers::shopify::fulfillments::{FulfillmentEventHandler, FulfillmentHandler};
use crate::handlers::shopify::orders::{OrderEditHandler, OrderHandler};
use crate::handlers::shopify::payments::OrderTransactionHandler;
use crate::handlers::shopify::privacy::{CustomerRedactHandler, DataRequestHandler, ShopRedactHandler};
use crate::handlers::shopify::products::{
    INVENTORY_ITEM_HANDLER, InventoryLevelHandler, LOCATION_HANDLER, ProductHandler,
};
use crate::handlers::shopify::refunds::RefundHandler;
use crate::handlers::shopify::returns::ReturnHandler;
use crate::handlers::shopify::shops::ShopHandler;
use crate::handlers::{Event, Handler, HandlerError, Plan};

/// Source, topic and handler. `*` at the end of a topic matches anything. The first match counts.
type HandlerRoute = (&'static str, &'static str, &'static dyn Handler);

const STANDARD_ROUTES: &[HandlerRoute] = &[
    ("shopify", "orders/create", &OrderHandler),
    ("shopify", "orders/updated", &OrderHandler),
    ("shopify", "orders/paid", &OrderHandler),
    ("shopify", "orders/cancelled", &OrderHandler),
    ("shopify", "orders/fulfilled", &OrderHandler),
    ("shopify", "orders/partially_fulfilled", &OrderHandler),
    ("shopify", "orders/edited", &OrderEditHandler),
    ("shopify", "orders/delete", &DeletionHandler { table: SALES_ORDERS, subject: "order" }),
    ("shopify", "order_transactions/create", &OrderTransactionHandler),
    ("shopify", "refunds/create", &RefundHandler),
    ("shopify", "returns/*", &ReturnHandler),
    ("shopify", "fulfillments/*", &FulfillmentHandler),
    ("shopify", "fulfillment_events/*", &FulfillmentEventHandler),
    ("shopify", "fulfillment_orders/*", &FulfillmentOrderHandler),
    ("shopify", "fulfillment_holds/*", &FulfillmentHoldHandler),
    ("shopify", "customers/create", &CustomerHandler),
    ("shopify", "customers/update", &CustomerHandler),
    ("shopify", "customers/enable", &CustomerHandler),
    ("shopify", "customers/disable", &CustomerHandler),
    ("shopify", "customers/merge", &CustomerMergeHandler),
    ("shopify", "customers/redact", &CustomerRedactHandler),
    ("shopify", "customers/data_request", &DataRequestHandler),
    ("shopify", "shop/redact", &ShopRedactHandler),
    ("shopify", "customers/delete", &DeletionHandler { table: CUSTOMERS, subject: "customer" }),
    ("shopify", "products/create", &ProductHandler),
    ("shopify", "products/update", &ProductHandler),
    ("shopify", "products/delete", &DeletionHandler { table: PRODUCTS, subject: "product" }),
    ("shopify", "inventory_items/create", &INVENTORY_ITEM_HANDLER),
    ("shopify", "inventory_items/update", &INVENTORY_ITEM_HANDLER),
    ("shopify", "inventory_items/delete", &DeletionHandler { table: INVENTORY_ITEMS, subject: "inventory_item" }),
    ("shopify", "inventory_levels/*", &InventoryLevelHandler),
    ("shopify", "locations/delete", &DeletionHandler { table: LOCATIONS, subject: "location" }),
    ("shopify", "locations/*", &LOCATION_HANDLER),
    ("shopify", "shop/update", &ShopHandler),
    ("shopify", "app/uninstalled", &ShopHandler),
    ("easypost", "tracker.*", &TrackerHandler),
    ("easypost", "*", &EasyPostObjectHandler),
    ("keycloak", "*", &KeycloakEventHandler),
    ("sps", "send/*", &OutboundDocumentHandler),
    ("sps", "*", &EdiFileHandler),
];

/// Table of routes.
#[derive(Clone)]
pub struct Routes(Vec<HandlerRoute>);

impl Routes {
    /// Returns the standard table.
    #[must_use]
    pub fn standard() -> Self {
        Self(STANDARD_ROUTES.to_vec())
    }

    /// Returns a table that routes each event to one handler, for tests of the queue.
    #[must_use]
    pub fn all_to(handler: &'static dyn Handler) -> Self {
        Self(vec![("", "", handler)])
    }

    /// Runs the handler of an event. The note names the parts of the body that could not be read, its repeated
    /// keys, and the rows that it states twice.
    ///
    /// # Errors
    /// The handler's own.
    pub fn plan(&self, event: &Event<'_>) -> Result<Plan, HandlerError> {
        let body_notes = BodyNotes::default();
        let event = Event { body_notes: Some(&body_notes), ..*event };
        let mut plan = self.find_handler(event.source(), event.topic()).plan(&event)?;
        for note in body_notes.take() {
            plan.add_note(&note);
        }
        for note in describe_repeated_rows(&plan) {
            plan.add_note(&note);
        }
        Ok(plan)
    }

    /// Returns the handler of an event; [`FallbackHandler`] if no route matches.
    fn find_handler(&self, source: &str, topic: &str) -> &'static dyn Handler {
        let matches = |(wanted, pattern, _): &&HandlerRoute| {
            wanted.is_empty()
                || (*wanted == source
                    && pattern.strip_suffix('*').map_or(*pattern == topic, |start| topic.starts_with(start)))
        };
        self.0.iter().find(matches).map_or(&FallbackHandler, |route| route.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::shopify::body_shapes::find_body_kind;

    /// Without a shape, a body of any other object would be worked under the topic.
    #[test]
    fn every_topic_of_shopify_has_a_body_shape() {
        for (_, topic, _) in STANDARD_ROUTES.iter().filter(|(source, ..)| *source == "shopify") {
            assert!(find_body_kind(topic).is_some(), "add {topic} to SHAPES in src/handlers/shopify/body_shapes.rs");
        }
    }

    #[test]
    fn no_route_is_shadowed_by_an_earlier_one() {
        for (index, (source, topic, _)) in STANDARD_ROUTES.iter().enumerate() {
            let is_shadowed = STANDARD_ROUTES[..index].iter().any(|(earlier, pattern, _)| {
                earlier == source
                    && pattern.strip_suffix('*').map_or(pattern == topic, |start| topic.starts_with(start))
            });
            assert!(!is_shadowed, "{source} {topic} is never reached");
        }
    }
}
