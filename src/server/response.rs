//! Every response of the public listener.

use crate::providers::Rejection;
use crate::store::StoreError;
use crate::store::events::polls::PollRecord;
use crate::store::events::receive::Receipt;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

/// A response; its body is small and complete.
pub type HttpResponse = Response<Full<Bytes>>;

/// `Retry-After` in seconds if the machine is too busy.
const RETRY_AFTER_BUSY_SECONDS: &str = "5";
/// `Retry-After` in seconds if an operator must act first.
const RETRY_AFTER_OPERATOR_SECONDS: &str = "60";

fn json_response(status: StatusCode, body: String) -> HttpResponse {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn error_response(status: StatusCode, text: &str) -> HttpResponse {
    json_response(status, serde_json::json!({ "error": text }).to_string())
}

/// Returns 200: the event is synced to the disk.
#[must_use]
pub fn received_response(receipt: Receipt) -> HttpResponse {
    let Receipt { event_id, is_test, .. } = receipt;
    let duplicate = receipt.is_duplicate();
    let test = if is_test { r#","test":true"# } else { "" };
    let answer = format!(r#"{{"status":"received","event_id":{event_id},"duplicate":{duplicate}{test}}}"#);
    json_response(StatusCode::OK, answer)
}

/// Returns the response to a rejected request.
#[must_use]
pub fn rejection_response(rejection: &Rejection) -> HttpResponse {
    let status = StatusCode::from_u16(rejection.reason.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = error_response(status, rejection.public_text());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_OPERATOR_SECONDS));
    }
    response
}

/// Returns 405 with the allowed methods.
#[must_use]
pub fn method_not_allowed_response(rejection: &Rejection, allow: &'static str) -> HttpResponse {
    let mut response = rejection_response(rejection);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// Returns 503: the daemon cannot store the event now. The text names the kind of reason, and no path of this machine.
#[must_use]
pub fn store_error_response(reason: &StoreError) -> HttpResponse {
    match reason {
        StoreError::Busy { .. } => unavailable_response("another program locks the database"),
        StoreError::DiskFull { .. } => unavailable_response("the disk is full"),
        StoreError::Damaged(_) => unavailable_response("the database is damaged"),
        StoreError::ShuttingDown => unavailable_response("shutting down"),
        StoreError::Overloaded => unavailable_response("overloaded"),
        _ => unavailable_response("the daemon cannot store the event now"),
    }
}

/// Returns 503 with a short `Retry-After`.
#[must_use]
pub fn unavailable_response(text: &str) -> HttpResponse {
    let mut response = error_response(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_BUSY_SECONDS));
    response
}

/// Returns the result of a poll: the sums, and the record of each source.
#[must_use]
pub fn poll_finished_response(polls: &[PollRecord]) -> HttpResponse {
    let sum = |count: fn(&PollRecord) -> u64| polls.iter().map(count).sum::<u64>();
    let body = serde_json::json!({
        "status": "polled",
        "found": sum(|poll| poll.found),
        "stored": sum(|poll| poll.stored),
        "duplicates": sum(|poll| poll.duplicates),
        "skipped": sum(|poll| poll.skipped),
        "failed": sum(|poll| poll.failed),
        "orders": sum(|poll| poll.orders),
        "unreadable": sum(|poll| poll.unreadable),
        "sources": polls,
    });
    json_response(StatusCode::OK, body.to_string())
}

/// Returns 200 for a poll that takes longer than the daemon lets the client wait.
#[must_use]
pub fn poll_running_response() -> HttpResponse {
    json_response(StatusCode::OK, r#"{"status":"polling"}"#.to_owned())
}

/// Returns 200 of `/healthz`.
#[must_use]
pub fn healthy_response() -> HttpResponse {
    json_response(StatusCode::OK, r#"{"status":"ok"}"#.to_owned())
}

/// Returns the bytes of an HTTP/1.1 response for a connection that hyper gave up: hyper could not read the request, or
/// it did not arrive in time.
#[must_use]
pub fn raw_error_response(rejection: &Rejection) -> Vec<u8> {
    let status = StatusCode::from_u16(rejection.reason.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = serde_json::json!({ "error": rejection.public_text() }).to_string();
    let (reason, length) = (status.canonical_reason().unwrap_or(""), body.len());
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16()
    )
    .into_bytes()
}

/// Returns the response to a HEAD request: the length of the body without the body. HTTP/2 treats a body as an error.
#[must_use]
pub fn strip_body(mut response: HttpResponse) -> HttpResponse {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Full::new(Bytes::new());
    response
}
