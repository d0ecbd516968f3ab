//! The pages, each in its own file, and the pages of errors.

pub mod event;
pub mod events;
pub mod overview;

use crate::console::layout::build_bare_page;
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
#[must_use]
pub fn show_missing_page() -> Response {
    show_refusal(StatusCode::NOT_FOUND, "There is no such page.")
}
