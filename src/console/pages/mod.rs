//! The pages, each in its own file, and the pages of errors.

pub mod audit;
pub mod destinations;
pub mod event;
pub mod event_actions;
pub mod events;
pub mod failure_groups;
pub mod mapping_actions;
pub mod mapping_forms;
pub mod mapping_import;
pub mod mappings;
pub mod order;
pub mod orders;
pub mod overview;
pub mod privacy;
pub mod purchase_order;
pub mod purchase_order_paper;
pub mod purchase_orders;
pub mod rejections;
pub mod retries;
pub mod settings;
pub mod shipments;

use crate::console::components::build_notice;
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_bare_page, build_page};
use crate::presentation::program::complete_commands;
use crate::store::StoreError;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use maud::html;

/// Returns a page that says why nothing was done.
#[must_use]
pub fn show_refusal(status: StatusCode, text: &str) -> Response {
    let content = html! {
        h1 { (status.canonical_reason().unwrap_or("Error")) }
        p class="notice failed" role="alert" { (text) }
        p { a href="/" { "Back to the overview" } }
    };
    (status, build_bare_page("Error", &content)).into_response()
}

/// Returns a page that says why a sign-in was refused.
#[must_use]
pub fn show_login_refusal(status: StatusCode, text: &str) -> Response {
    let content = html! {
        div class="card login" {
            h1 { "Sign in" }
            p class="notice failed" role="alert" { (text) }
            p { a href="/login" { "Sign in" } }
        }
    };
    (status, build_bare_page("Sign in", &content)).into_response()
}

/// Returns a page with the result of an action, in the frame of the page `path`.
#[must_use]
pub fn show_result(title: &str, path: &str, user: &CurrentUser, is_done: bool, text: &str) -> Response {
    let content = html! {
        h1 { (title) }
        (build_notice(is_done, text))
        p { a href=(path) { "Back" } }
    };
    build_page(title, path, user, &content).into_response()
}

/// Returns a page about an error of the database.
#[must_use]
pub fn show_store_error(error: &StoreError) -> Response {
    show_refusal(StatusCode::SERVICE_UNAVAILABLE, &complete_commands(&error.to_string()))
}

/// Sends the browser to a page after an action.
#[must_use]
pub fn redirect_to(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, path)]).into_response()
}

/// Returns the page for an unknown path.
pub async fn show_missing_page() -> Response {
    show_refusal(StatusCode::NOT_FOUND, "There is no such page.")
}
