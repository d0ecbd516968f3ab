//! What the pages of a test show.

use crate::support::console::add_console_user;
use crate::support::{Daemon, Home, order_body};
use novex_ingest::internals::console::{RouteAccess, list_routes};

/// Signs up an admin and sends orders, one of which fails.
pub fn fill_console(home: &Home, daemon: &Daemon<'_>) {
    add_console_user(home, "anna", "admin");
    daemon.send_order("w-1", &order_body(1001)).event_id();
    daemon.send_order("w-2", b"{\"id\": \"no number\"}").event_id();
    home.wait_for("SELECT status FROM webhook_events WHERE id = 1", "completed");
}

/// Returns the address of the page of a route. A route with parameters needs rows that exist.
fn page_address(home: &Home, route: &str) -> String {
    match route {
        "/events/{id}" => format!("/events/{}", home.sql("SELECT min(id) FROM webhook_events")),
        _ if route.contains('{') => panic!("{route} has parameters: state here the page that the tests open"),
        _ => route.to_owned(),
    }
}

/// Returns the addresses of all pages for people.
pub fn list_pages(home: &Home) -> Vec<String> {
    let routes = list_routes();
    let pages = routes.iter().filter(|route| {
        route.method == "GET" && !matches!(route.access, RouteAccess::Program(_)) && !route.path.starts_with("/assets/")
    });
    pages.map(|route| page_address(home, route.path)).collect()
}
