//! Errors of the API, as RFC 9457 defines them.

use crate::presentation::program::complete_commands;
use crate::store::StoreError;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Returns an error as `application/problem+json`.
#[must_use]
pub fn build_problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Returns an error of the database.
#[must_use]
pub fn build_store_problem(error: &StoreError) -> Response {
    build_problem(StatusCode::SERVICE_UNAVAILABLE, &complete_commands(&error.to_string()))
}
