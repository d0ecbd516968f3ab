//! Errors of the API, as RFC 9457 defines them.

use crate::presentation::program::complete_commands;
use crate::store::StoreError;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Media type of an error.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// An error of the API (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `about:blank`: `title` is the phrase of `status`.
    #[schema(example = "about:blank")]
    r#type: &'static str,
    #[schema(example = "Bad Request")]
    title: &'static str,
    #[schema(example = 400)]
    status: u16,
    /// The fact and the fix.
    #[schema(example = "status is received, processing, completed, failed or dismissed")]
    detail: String,
}

/// Why a request of the API has no other answer.
#[derive(Debug)]
pub enum ApiError {
    /// The status, and the fact with the fix.
    Refused(StatusCode, String),
    Store(StoreError),
}

/// The answer of a route of the API.
pub type ApiResult = Result<Response, ApiError>;

impl ApiError {
    /// Returns the error of a request that cannot be understood.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::Refused(StatusCode::BAD_REQUEST, detail.into())
    }

    /// Returns the error of a resource that does not exist.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::Refused(StatusCode::NOT_FOUND, detail.into())
    }

    /// Returns the error of a change that the state of the resource does not allow.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::Refused(StatusCode::CONFLICT, detail.into())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(status, detail) => build_problem(status, &detail),
            Self::Store(error) => build_store_problem(&error),
        }
    }
}

/// Returns an error as `application/problem+json`.
#[must_use]
pub fn build_problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = Problem { r#type: "about:blank", title, status: status.as_u16(), detail: detail.to_owned() };
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
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
