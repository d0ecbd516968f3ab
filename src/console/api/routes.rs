//! The table of all routes of the API, with the scope that each one needs.

use crate::access::TokenScope;
use crate::console::api::problem::build_problem;
use crate::console::api::{
    alerts, audit, destinations, document, etag, event_actions, events, mappings, orders, polls, rejections, stats,
};
use crate::console::router::{ConsoleRoute, RouteAccess};
use crate::console::{ConsoleState, pages};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post, put};
use std::sync::Arc;

/// Beginning of each path of the API.
const API_PREFIX: &str = "/api/";

/// Returns a route that reads. Its answer has an entity tag.
fn read(path: &'static str, handler: MethodRouter<Arc<ConsoleState>>) -> ConsoleRoute {
    ConsoleRoute::page(path, RouteAccess::Program(TokenScope::Read), handler.layer(from_fn(etag::add_entity_tag)))
}

/// Returns a route that changes something.
fn write(path: &'static str, handler: MethodRouter<Arc<ConsoleState>>) -> ConsoleRoute {
    ConsoleRoute::action(path, RouteAccess::Program(TokenScope::Write), handler)
}

/// Returns a route that saves what its path names.
fn save(path: &'static str, handler: MethodRouter<Arc<ConsoleState>>) -> ConsoleRoute {
    ConsoleRoute { method: Method::PUT, ..write(path, handler) }
}

/// Returns a route that removes what its path names.
fn remove(path: &'static str, handler: MethodRouter<Arc<ConsoleState>>) -> ConsoleRoute {
    ConsoleRoute { method: Method::DELETE, ..write(path, handler) }
}

// One route a line, so that a new one is a new line.
#[rustfmt::skip]
/// Returns every route of the API. `document` describes the same functions.
#[must_use]
pub fn list_api_routes() -> Vec<ConsoleRoute> {
    let description = get(document::send_document).layer(from_fn(etag::add_entity_tag));
    vec![
        // Public: it describes the program, and nothing of this machine.
        ConsoleRoute::page("/api/v1/openapi.json", RouteAccess::Public, description),
        read("/api/v1/stats", get(stats::send_stats)),
        read("/api/v1/events", get(events::send_events)),
        read("/api/v1/changes", get(events::send_changes)),
        read("/api/v1/events/{id}", get(events::send_event)),
        read("/api/v1/events/{id}/body", get(events::send_event_body)),
        read("/api/v1/events/{id}/rows", get(events::send_event_rows)),
        write("/api/v1/events/{id}/retry", post(event_actions::retry_event)),
        write("/api/v1/events/{id}/dismiss", post(event_actions::dismiss_event)),
        read("/api/v1/rejections", get(rejections::send_rejections)),
        read("/api/v1/orders", get(orders::send_orders)),
        read("/api/v1/orders/{shop}/{order_id}", get(orders::send_order)),
        read("/api/v1/purchase-orders", get(orders::send_purchase_orders)),
        read("/api/v1/purchase-orders/{partner}/{number}", get(orders::send_purchase_order)),
        read("/api/v1/shipments", get(orders::send_shipments)),
        read("/api/v1/shipments/{code}", get(orders::send_shipment)),
        read("/api/v1/mappings/products", get(mappings::send_product_mappings)),
        read("/api/v1/mappings/products/{shop}/variants/{variant_id}", get(mappings::send_variant_mapping)),
        save("/api/v1/mappings/products/{shop}/variants/{variant_id}", put(mappings::save_variant_mapping)),
        remove("/api/v1/mappings/products/{shop}/variants/{variant_id}", delete(mappings::remove_variant_mapping)),
        read("/api/v1/mappings/products/{shop}/skus/{sku}", get(mappings::send_sku_mapping)),
        save("/api/v1/mappings/products/{shop}/skus/{sku}", put(mappings::save_sku_mapping)),
        remove("/api/v1/mappings/products/{shop}/skus/{sku}", delete(mappings::remove_sku_mapping)),
        read("/api/v1/mappings/partners", get(mappings::send_partner_mappings)),
        read("/api/v1/mappings/partners/{partner}", get(mappings::send_partner_mapping)),
        save("/api/v1/mappings/partners/{partner}", put(mappings::save_partner_mapping)),
        remove("/api/v1/mappings/partners/{partner}", delete(mappings::remove_partner_mapping)),
        read("/api/v1/mappings/items", get(mappings::send_item_mappings)),
        write("/api/v1/mappings/items", post(mappings::save_item_mapping)),
        read("/api/v1/mappings/items/{id}", get(mappings::send_item_mapping)),
        remove("/api/v1/mappings/items/{id}", delete(mappings::remove_item_mapping)),
        read("/api/v1/destinations", get(destinations::send_destinations)),
        read("/api/v1/destinations/{name}", get(destinations::send_destination)),
        write("/api/v1/destinations/{name}/pause", post(destinations::pause_destination)),
        write("/api/v1/destinations/{name}/resume", post(destinations::resume_destination)),
        write("/api/v1/destinations/{name}/test", post(destinations::test_destination)),
        read("/api/v1/polls", get(polls::send_polls)),
        write("/api/v1/polls", post(polls::start_poll)),
        read("/api/v1/audit", get(audit::send_audit_rows)),
        read("/api/v1/audit/verification", get(audit::send_audit_verification)),
        read("/api/v1/alerts", get(alerts::send_alerts)),
    ]
}

/// Answers a request for a path that does not exist: a problem to programs, a page to people.
pub async fn send_missing_path(uri: Uri) -> Response {
    if uri.path().starts_with(API_PREFIX) {
        let text = "there is no such path: /api/v1/openapi.json lists all of them";
        return build_problem(StatusCode::NOT_FOUND, text);
    }
    pages::show_missing_page()
}

/// Answers a request with a method that its path does not have.
pub async fn send_wrong_method(uri: Uri) -> Response {
    if uri.path().starts_with(API_PREFIX) {
        return build_problem(StatusCode::METHOD_NOT_ALLOWED, "the path has other methods: see the header Allow");
    }
    StatusCode::METHOD_NOT_ALLOWED.into_response()
}
