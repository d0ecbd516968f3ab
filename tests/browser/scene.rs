//! What the pages of a test show.

use crate::support::console::add_console_user;
use crate::support::{Daemon, Home, SHOP, easypost_request, order_body};
use novex_ingest::internals::console::{RouteAccess, list_routes};

/// Package of the scene.
const TRACKER: &[u8] = br#"{"id": "evt_1", "object": "Event", "mode": "production", "description": "tracker.updated",
    "created_at": "2026-11-24T10:00:00Z", "result": {"id": "trk_1", "object": "Tracker", "mode": "production",
    "tracking_code": "1Z999", "status": "in_transit", "carrier": "UPS", "signed_by": "ADA",
    "public_url": "https://track.example.com/1Z999", "updated_at": "2026-11-24T10:00:00Z", "tracking_details": [
    {"message": "Departed", "status": "in_transit", "datetime": "2026-11-23", "source": "UPS"}]}}"#;

/// Purchase order of the scene: a line and a partner without a mapping.
const PURCHASE_ORDER: &str = "INSERT INTO purchase_orders (partner, po_number, release, status, attention, is_test, changes, \
    event_id, last_event_id) VALUES ('ACMERETAIL', 'PO1', '', 'open', 'look at it', 0, 0, 1, 1); \
    INSERT INTO purchase_order_lines (partner, po_number, release, position, status, quantity, unit, buyer_item) \
    VALUES ('ACMERETAIL', 'PO1', '', 1, 'open', '2', 'CA', 'B1'); \
    INSERT INTO purchase_order_documents VALUES (1, 1, 'ACMERETAIL', 'PO1', '', 0, '2026-11-24', '{\"partner\": \"ACMERETAIL\", \
    \"number\": \"PO1\", \"purpose\": \"00\", \"contacts\": [{\"kind\": \"BD\", \"name\": \"Bea\"}], \"lines\": [{\"number\": \"1\", \
    \"quantity\": \"2\", \"unit\": \"CA\", \"price\": \"5\", \"ids\": [{\"qualifier\": \"BP\", \"value\": \"B1\"}]}]}'); \
    INSERT INTO shopify_product_mappings (shop_domain, sku, item) VALUES ('acme-foods.myshopify.com', 'TEA', 'FG-1')";

/// Signs up an admin and sends orders, one of which fails, and a package.
pub fn fill_console(home: &Home, daemon: &Daemon<'_>) {
    add_console_user(home, "anna", "admin");
    daemon.send_order("w-1", &order_body(1001)).event_id();
    daemon.send_order("w-2", b"{\"id\": \"no number\"}").event_id();
    daemon.request(&easypost_request(TRACKER)).event_id();
    home.sql(PURCHASE_ORDER);
    home.wait_for("SELECT count(*) FROM sales_orders, shipments", "1");
}

/// Returns the address of the page of a route. A route with parameters needs rows that exist.
fn page_address(home: &Home, route: &str) -> String {
    match route {
        "/events/{id}" => format!("/events/{}", home.sql("SELECT min(id) FROM webhook_events")),
        "/orders/{shop}/{order_id}" => format!("/orders/{SHOP}/1001"),
        "/purchase-orders/{id}" => "/purchase-orders/ACMERETAIL:PO1".to_owned(),
        "/purchase-orders/{id}/print" => "/purchase-orders/ACMERETAIL:PO1/print".to_owned(),
        "/shipments/{code}" => "/shipments/1Z999".to_owned(),
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
