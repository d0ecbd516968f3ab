//! Which handler an event goes to: the whole table.

use super::Handler;
use super::orders::Orders;
use super::unhandled::Unhandled;

/// Source, topic, handler; the first row that fits is taken.
type Route = (&'static str, &'static str, &'static dyn Handler);

const STANDARD: &[Route] = &[
    // These six carry the whole order, so one handler serves them: the newest `updated_at` stays.
    ("shopify", "orders/create", &Orders),
    ("shopify", "orders/updated", &Orders),
    ("shopify", "orders/paid", &Orders),
    ("shopify", "orders/cancelled", &Orders),
    ("shopify", "orders/fulfilled", &Orders),
    ("shopify", "orders/partially_fulfilled", &Orders),
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
        let fits = |route: &&Route| route.0.is_empty() || (route.0 == source && route.1 == topic);
        self.0.iter().find(fits).map_or(&Unhandled, |route| route.2)
    }
}
