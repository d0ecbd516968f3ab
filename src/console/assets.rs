//! The style sheet and the script. They are part of the program; their names change with their content.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// Path of the style sheet.
pub const STYLE_PATH: &str = concat!("/assets/console-", env!("CARGO_PKG_VERSION"), ".css");
/// Path of the script.
pub const SCRIPT_PATH: &str = concat!("/assets/console-", env!("CARGO_PKG_VERSION"), ".js");

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
/// A new version has new paths, and a day bounds the rest.
const CACHE_POLICY: &str = "private, max-age=86400";

/// Sends the style sheet.
pub async fn send_style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, CACHE_POLICY)], STYLE).into_response()
}

/// Sends the script.
pub async fn send_script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, CACHE_POLICY)], SCRIPT).into_response()
}
