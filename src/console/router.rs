//! The table of all routes of the console, with the right that each one needs.

use crate::access::{Role, TokenScope};
use crate::config::oidc::CALLBACK_PATH;
use crate::console::pages::settings::{self, account, tokens, totp, users};
use crate::console::pages::{audit, destinations, mapping_actions, mapping_import, privacy};
use crate::console::{ConsoleState, api, assets, guard, live, login, metrics, oidc, pages, reveals, second_step};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;

/// Most bytes of a form.
pub const FORM_BYTES_MAX: usize = 1 << 20;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAccess {
    /// Everybody who reaches the listener.
    Public,
    /// Users with at least this role.
    User(Role),
    /// Programs with a token of this scope.
    Program(TokenScope),
    /// Programs on this machine; from another one, with a token of this scope.
    LocalProgram(TokenScope),
}

/// A route of the console.
pub struct ConsoleRoute {
    pub method: Method,
    pub path: &'static str,
    pub access: RouteAccess,
    pub(super) handler: MethodRouter<Arc<ConsoleState>>,
}

impl ConsoleRoute {
    pub(super) fn page(path: &'static str, access: RouteAccess, handler: MethodRouter<Arc<ConsoleState>>) -> Self {
        Self { method: Method::GET, path, access, handler }
    }

    pub(super) fn action(path: &'static str, access: RouteAccess, handler: MethodRouter<Arc<ConsoleState>>) -> Self {
        Self { method: Method::POST, path, access, handler }
    }
}

// One route a line, so that a new page is a new line.
#[rustfmt::skip]
/// Returns every route.
#[must_use]
pub fn list_routes() -> Vec<ConsoleRoute> {
    use RouteAccess::{LocalProgram, Public, User};
    let mut routes = vec![
        ConsoleRoute::page("/login", Public, get(login::show_login_page)),
        ConsoleRoute::action("/login", Public, post(login::sign_in)),
        ConsoleRoute::page("/login/code", Public, get(second_step::show_code_page)),
        ConsoleRoute::action("/login/code", Public, post(second_step::check_code)),
        ConsoleRoute::page("/login/oidc", Public, get(oidc::sign_in::begin_oidc_sign_in)),
        ConsoleRoute::page(CALLBACK_PATH, Public, get(oidc::sign_in::end_oidc_sign_in)),
        ConsoleRoute::page(assets::STYLE_PATH, Public, get(assets::send_style)),
        ConsoleRoute::page(assets::SCRIPT_PATH, Public, get(assets::send_script)),
        ConsoleRoute::action("/logout", User(Role::Viewer), post(login::sign_out)),
        ConsoleRoute::page("/", User(Role::Viewer), get(pages::overview::show_overview)),
        ConsoleRoute::action("/checks", User(Role::Operator), post(pages::overview::run_checks_now)),
        ConsoleRoute::page("/events", User(Role::Viewer), get(pages::events::show_events)),
        ConsoleRoute::page("/events/stream", User(Role::Viewer), get(live::stream_events)),
        ConsoleRoute::action("/events/retry", User(Role::Operator), post(pages::event_actions::retry_chosen)),
        ConsoleRoute::page("/events/{id}", User(Role::Viewer), get(pages::event::show_event)),
        ConsoleRoute::page("/orders", User(Role::Viewer), get(pages::orders::show_orders)),
        ConsoleRoute::page("/orders/{shop}/{order_id}", User(Role::Viewer), get(pages::order::show_order)),
        ConsoleRoute::page("/purchase-orders", User(Role::Viewer), get(pages::purchase_orders::show_purchase_orders)),
        ConsoleRoute::page(
            "/purchase-orders/{id}",
            User(Role::Viewer),
            get(pages::purchase_order::show_purchase_order),
        ),
        ConsoleRoute::page(
            "/purchase-orders/{id}/print",
            User(Role::Viewer),
            get(pages::purchase_order::print_purchase_order),
        ),
        ConsoleRoute::page("/shipments", User(Role::Viewer), get(pages::shipments::show_shipments)),
        ConsoleRoute::page("/shipments/{code}", User(Role::Viewer), get(pages::shipments::show_shipment)),
        ConsoleRoute::page("/mappings", User(Role::Viewer), get(pages::mappings::show_mappings)),
        ConsoleRoute::action("/mappings/products", User(Role::Operator), post(mapping_actions::save_product_mapping)),
        ConsoleRoute::action(
            "/mappings/products/remove",
            User(Role::Operator),
            post(mapping_actions::remove_product_mapping),
        ),
        ConsoleRoute::action("/mappings/items", User(Role::Operator), post(mapping_actions::save_item_mapping)),
        ConsoleRoute::action(
            "/mappings/items/remove",
            User(Role::Operator),
            post(mapping_actions::remove_item_mapping),
        ),
        ConsoleRoute::action("/mappings/partners", User(Role::Operator), post(mapping_actions::save_partner_mapping)),
        ConsoleRoute::action(
            "/mappings/partners/remove",
            User(Role::Operator),
            post(mapping_actions::remove_partner_mapping),
        ),
        ConsoleRoute::action("/mappings/import", User(Role::Operator), post(mapping_import::preview_import)),
        ConsoleRoute::action("/mappings/import/confirm", User(Role::Operator), post(mapping_import::confirm_import)),
        ConsoleRoute::page("/events/{id}/body", User(Role::Operator), get(pages::event::send_body)),
        ConsoleRoute::action("/events/{id}/retry", User(Role::Operator), post(pages::event_actions::retry_event)),
        ConsoleRoute::action("/events/{id}/dismiss", User(Role::Operator), post(pages::event_actions::dismiss_event)),
        ConsoleRoute::action("/events/{id}/resend", User(Role::Operator), post(pages::event_actions::resend_event)),
        ConsoleRoute::page("/retries/new", User(Role::Operator), get(pages::retries::confirm_retry)),
        ConsoleRoute::action("/retries", User(Role::Operator), post(pages::retries::start_retry)),
        ConsoleRoute::page("/retries/{id}", User(Role::Viewer), get(pages::retries::show_retry)),
        ConsoleRoute::action("/retries/{id}/stop", User(Role::Operator), post(pages::retries::stop_retry)),
        ConsoleRoute::page("/rejections", User(Role::Viewer), get(pages::rejections::show_rejections)),
        ConsoleRoute::page("/alerts", User(Role::Viewer), get(pages::alerts::show_alerts)),
        ConsoleRoute::action("/alerts/{id}/dismiss", User(Role::Operator), post(pages::alerts::dismiss_alert)),
        ConsoleRoute::action("/reveal", User(Role::Operator), post(reveals::reveal_page)),
        ConsoleRoute::page("/metrics", LocalProgram(TokenScope::Metrics), get(metrics::send_metrics)),
    ];
    routes.extend(list_machine_routes());
    routes.extend(api::routes::list_api_routes());
    routes
}

/// Returns the routes of destinations, the audit trail, privacy requests and settings.
#[rustfmt::skip]
fn list_machine_routes() -> Vec<ConsoleRoute> {
    use RouteAccess::User;
    vec![
        ConsoleRoute::page("/destinations", User(Role::Viewer), get(destinations::show_destinations)),
        ConsoleRoute::action("/destinations/{name}/pause", User(Role::Operator), post(destinations::pause_destination)),
        ConsoleRoute::action("/destinations/{name}/resume", User(Role::Operator), post(destinations::resume_destination)),
        ConsoleRoute::action("/destinations/{name}/test", User(Role::Operator), post(destinations::test_destination)),
        ConsoleRoute::page("/audit", User(Role::Viewer), get(audit::show_audit_trail)),
        ConsoleRoute::action("/audit/verify", User(Role::Operator), post(audit::verify_audit_trail)),
        ConsoleRoute::page("/privacy", User(Role::Viewer), get(privacy::show_requests)),
        ConsoleRoute::action("/privacy/{event}/stop", User(Role::Admin), post(privacy::stop_request)),
        ConsoleRoute::action("/privacy/{event}/run", User(Role::Admin), post(privacy::run_request)),
        ConsoleRoute::action("/privacy/requests/{id}/done", User(Role::Admin), post(privacy::complete_request)),
        ConsoleRoute::page("/settings", User(Role::Viewer), get(settings::show_settings)),
        ConsoleRoute::action("/settings/backup", User(Role::Admin), post(settings::back_up_now)),
        ConsoleRoute::page("/settings/account", User(Role::Viewer), get(account::show_account)),
        ConsoleRoute::action("/settings/account/password", User(Role::Viewer), post(account::set_own_password)),
        ConsoleRoute::action("/settings/account/end-sessions", User(Role::Viewer), post(account::end_other_sessions)),
        ConsoleRoute::page("/settings/totp", User(Role::Viewer), get(totp::show_totp_page)),
        ConsoleRoute::action("/settings/totp", User(Role::Viewer), post(totp::begin_totp)),
        ConsoleRoute::action("/settings/totp/confirm", User(Role::Viewer), post(totp::confirm_totp)),
        ConsoleRoute::action("/settings/totp/remove", User(Role::Viewer), post(totp::remove_totp)),
        ConsoleRoute::page("/settings/users", User(Role::Admin), get(users::show_users)),
        ConsoleRoute::action("/settings/users", User(Role::Admin), post(users::add_user)),
        ConsoleRoute::action("/settings/users/{name}/role", User(Role::Admin), post(users::set_role)),
        ConsoleRoute::action("/settings/users/{name}/password", User(Role::Admin), post(users::set_password)),
        ConsoleRoute::action("/settings/users/{name}/totp", User(Role::Admin), post(users::reset_totp)),
        ConsoleRoute::action("/settings/users/{name}/remove", User(Role::Admin), post(users::remove_user)),
        ConsoleRoute::page("/settings/tokens", User(Role::Admin), get(tokens::show_tokens)),
        ConsoleRoute::action("/settings/tokens", User(Role::Admin), post(tokens::create_token)),
        ConsoleRoute::action("/settings/tokens/{id}/revoke", User(Role::Admin), post(tokens::revoke_token)),
    ]
}

/// Builds the service of the console.
pub fn build_router(state: Arc<ConsoleState>) -> Router {
    let mut router = Router::new();
    for route in list_routes() {
        let guarded = from_fn_with_state((state.clone(), route.access), guard::check_request);
        router = router.route(route.path, route.handler.layer(guarded));
    }
    router
        .fallback(api::routes::send_missing_path)
        .method_not_allowed_fallback(api::routes::send_wrong_method)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn(guard::add_security_headers))
        .with_state(state)
}
