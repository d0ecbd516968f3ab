//! The table of all routes of the console, with the right that each one needs.

use crate::access::{Role, TokenScope};
use crate::console::{ConsoleState, api, assets, guard, login, metrics, pages, reveals};
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

/// Returns every route.
#[must_use]
pub fn list_routes() -> Vec<ConsoleRoute> {
    use RouteAccess::{LocalProgram, Public, User};
    let mut routes = vec![
        ConsoleRoute::page("/login", Public, get(login::show_login_page)),
        ConsoleRoute::action("/login", Public, post(login::sign_in)),
        ConsoleRoute::page(assets::STYLE_PATH, Public, get(assets::send_style)),
        ConsoleRoute::page(assets::SCRIPT_PATH, Public, get(assets::send_script)),
        ConsoleRoute::action("/logout", User(Role::Viewer), post(login::sign_out)),
        ConsoleRoute::page("/", User(Role::Viewer), get(pages::overview::show_overview)),
        ConsoleRoute::action("/checks", User(Role::Operator), post(pages::overview::run_checks_now)),
        ConsoleRoute::page("/events", User(Role::Viewer), get(pages::events::show_events)),
        ConsoleRoute::page("/events/{id}", User(Role::Viewer), get(pages::event::show_event)),
        ConsoleRoute::action("/events/{id}/retry", User(Role::Operator), post(pages::event::retry_event)),
        ConsoleRoute::action("/reveal", User(Role::Operator), post(reveals::reveal_page)),
        ConsoleRoute::page("/metrics", LocalProgram(TokenScope::Metrics), get(metrics::send_metrics)),
    ];
    routes.extend(api::routes::list_api_routes());
    routes
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
