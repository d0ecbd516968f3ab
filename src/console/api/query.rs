//! Reads the parameters and bodies of requests; each fault is a problem that names the parameter.

use crate::clock;
use crate::console::ConsoleState;
use crate::console::api::problem::ApiError;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Rows of a page, unless the request names another number.
pub const PAGE_ROWS: u32 = 100;
/// Most rows of a page.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// The parameters after the question mark. A parameter that the route does not know is an error.
pub struct ApiQuery<T>(pub T);

/// The parameters in the path.
pub struct ApiPath<T>(pub T);

/// A JSON body.
pub struct ApiBody<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<ConsoleState>> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &Arc<ConsoleState>) -> Result<Self, ApiError> {
        let query = Query::<T>::try_from_uri(&parts.uri);
        query.map(|Query(query)| Self(query)).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<ConsoleState>> for ApiPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ConsoleState>) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(path)| Self(path)).map_err(|error| {
            ApiError::not_found(format!("the path names nothing that can exist: {}", error.body_text()))
        })
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<ConsoleState>> for ApiBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &Arc<ConsoleState>) -> Result<Self, ApiError> {
        let body = axum::Json::<T>::from_request(request, state).await;
        body.map(|axum::Json(body)| Self(body)).map_err(|error| {
            // 415 and 413 keep their status; a body with other fields is a bad request like any other.
            let status = match error.status() {
                StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                status => status,
            };
            ApiError::Refused(status, error.body_text())
        })
    }
}

/// Returns the number of rows of a page.
#[must_use]
pub fn clamp_limit(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE_ROWS).clamp(1, PAGE_ROWS_MAX)
}

/// Returns a time of RFC 3339 in the form of the database.
///
/// # Errors
/// The message that names the parameter.
pub fn parse_time(name: &str, text: Option<&String>) -> Result<Option<String>, ApiError> {
    let parse = |text: &String| {
        clock::parse_timestamp(text).map(clock::format_timestamp).map_err(|_| {
            ApiError::bad_request(format!("{name} is a time of RFC 3339, such as 2026-11-23T20:30:00Z (a + is %2B)"))
        })
    };
    text.map(parse).transpose()
}
