//! Which handler an event goes to: the whole table.

use super::Handler;
use super::easypost::{objects::Objects, trackers::Trackers};
use super::keycloak::SystemLog;
use super::shopify::catalogue::{INVENTORY_ITEM, Levels, PLACE, Products};
use super::shopify::customers::{Customers, Merged};
use super::shopify::fulfillment_orders::{FulfillmentOrders, Holds};
use super::shopify::fulfillments::{Fulfillments, Steps};
use super::shopify::orders::{Edited, Orders};
use super::shopify::payments::{Refunds, Transactions};
use super::shopify::privacy::{DataRequest, RedactCustomer, RedactShop};
use super::shopify::returns::Returns;
use super::shopify::{Deleted, shops::Shops};
use super::sps::{Files, Sent};
use super::unhandled::Unhandled;
use crate::store::tables::{CUSTOMERS, INVENTORY_ITEMS, LOCATIONS, PRODUCTS, SALES_ORDERS};

/// Source, topic (`*` at its end stands for anything), handler; the first row that fits is taken.
type Route = (&'static str, &'static str, &'static dyn Handler);

const STANDARD: &[Route] = &[
    ("shopify", "orders/create", &Orders),
    ("shopify", "orders/updated", &Orders),
    ("shopify", "orders/paid", &Orders),
    ("shopify", "orders/cancelled", &Orders),
    ("shopify", "orders/fulfilled", &Orders),
    ("shopify", "orders/partially_fulfilled", &Orders),
    ("shopify", "orders/edited", &Edited),
    ("shopify", "orders/delete", &Deleted { table: SALES_ORDERS, subject: "order" }),
    ("shopify", "order_transactions/create", &Transactions),
    ("shopify", "refunds/create", &Refunds),
    ("shopify", "returns/*", &Returns),
    ("shopify", "fulfillments/*", &Fulfillments),
    ("shopify", "fulfillment_events/*", &Steps),
    ("shopify", "fulfillment_orders/*", &FulfillmentOrders),
    ("shopify", "fulfillment_holds/*", &Holds),
    ("shopify", "customers/create", &Customers),
    ("shopify", "customers/update", &Customers),
    ("shopify", "customers/enable", &Customers),
    ("shopify", "customers/disable", &Customers),
    ("shopify", "customers/merge", &Merged),
    ("shopify", "customers/redact", &RedactCustomer),
    ("shopify", "customers/data_request", &DataRequest),
    ("shopify", "shop/redact", &RedactShop),
    ("shopify", "customers/delete", &Deleted { table: CUSTOMERS, subject: "customer" }),
    ("shopify", "products/create", &Products),
    ("shopify", "products/update", &Products),
    ("shopify", "products/delete", &Deleted { table: PRODUCTS, subject: "product" }),
    ("shopify", "inventory_items/create", &INVENTORY_ITEM),
    ("shopify", "inventory_items/update", &INVENTORY_ITEM),
    ("shopify", "inventory_items/delete", &Deleted { table: INVENTORY_ITEMS, subject: "inventory_item" }),
    ("shopify", "inventory_levels/*", &Levels),
    ("shopify", "locations/delete", &Deleted { table: LOCATIONS, subject: "location" }),
    ("shopify", "locations/*", &PLACE),
    ("shopify", "shop/update", &Shops),
    ("shopify", "app/uninstalled", &Shops),
    ("easypost", "tracker.*", &Trackers),
    ("easypost", "*", &Objects),
    ("keycloak", "*", &SystemLog),
    ("sps", "send/*", &Sent),
    ("sps", "*", &Files),
];

/// A table of routes.
#[derive(Clone)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// The table above.
    #[must_use]
    pub fn standard() -> Self {
        Self(STANDARD.to_vec())
    }

    /// Everything to one handler: for tests of the queue.
    #[must_use]
    pub fn all_to(handler: &'static dyn Handler) -> Self {
        Self(vec![("", "", handler)])
    }

    /// The handler of an event; one that no row fits is completed with a note.
    #[must_use]
    pub fn find(&self, source: &str, topic: &str) -> &'static dyn Handler {
        let fits = |(wanted, pattern, _): &&Route| {
            wanted.is_empty()
                || (*wanted == source
                    && pattern.strip_suffix('*').map_or(*pattern == topic, |start| topic.starts_with(start)))
        };
        self.0.iter().find(fits).map_or(&Unhandled, |route| route.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_is_hidden_by_one_above_it() {
        for (place, (source, topic, _)) in STANDARD.iter().enumerate() {
            let hidden = STANDARD[..place].iter().any(|(earlier, pattern, _)| {
                earlier == source
                    && pattern.strip_suffix('*').map_or(pattern == topic, |start| topic.starts_with(start))
            });
            assert!(!hidden, "{source} {topic} is never reached");
        }
    }
}
