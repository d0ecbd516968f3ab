//! Every answer the public listener gives.

use crate::providers::Refusal;
use crate::store::StoreError;
use crate::store::receive::Receipt;
use crate::store::sps_files::Poll;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

/// All bodies are small and whole.
pub type Answer = Response<Full<Bytes>>;

/// Seconds after which a sender may come again when the box is too busy.
const RETRY_SOON: &str = "5";
/// … and when a person has to do something first.
const RETRY_LATER: &str = "60";

fn json(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn error(status: StatusCode, text: &str) -> Answer {
    json(status, serde_json::json!({ "error": text }).to_string())
}

/// 200: the event is on the disk.
#[must_use]
pub fn received(receipt: Receipt) -> Answer {
    let Receipt { event_id, duplicate, .. } = receipt;
    json(StatusCode::OK, format!(r#"{{"status":"received","event_id":{event_id},"duplicate":{duplicate}}}"#))
}

/// What a refusal is to its sender.
#[must_use]
pub fn refused(refusal: &Refusal) -> Answer {
    let status = StatusCode::from_u16(refusal.reason.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut answer = error(status, refusal.public_text());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_LATER));
    }
    answer
}

/// 405, with what is allowed.
#[must_use]
pub fn not_allowed(refusal: &Refusal, allow: &'static str) -> Answer {
    let mut answer = refused(refusal);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

/// 503: it cannot be stored now. The sender learns the kind of reason and no path of this box.
#[must_use]
pub fn not_stored(reason: &StoreError) -> Answer {
    match reason {
        StoreError::Busy { .. } => unavailable("the database is locked by another program"),
        StoreError::DiskFull { .. } => unavailable("the disk is full"),
        StoreError::Damaged(_) => unavailable("the database is damaged"),
        StoreError::ShuttingDown => unavailable("shutting down"),
        StoreError::Overloaded => unavailable("overloaded"),
        _ => unavailable("the event cannot be stored now"),
    }
}

/// 503, to come again soon.
#[must_use]
pub fn unavailable(text: &str) -> Answer {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, text);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SOON));
    answer
}

/// What a poll found: in all, and at each source.
#[must_use]
pub fn polled(polls: &[Poll]) -> Answer {
    let sum = |count: fn(&Poll) -> u64| polls.iter().map(count).sum::<u64>();
    let body = serde_json::json!({
        "status": "polled",
        "found": sum(|poll| poll.found),
        "taken": sum(|poll| poll.taken),
        "duplicates": sum(|poll| poll.duplicates),
        "skipped": sum(|poll| poll.skipped),
        "failed": sum(|poll| poll.failed),
        "sources": polls,
    });
    json(StatusCode::OK, body.to_string())
}

/// The poll takes longer than anybody waits for an answer.
#[must_use]
pub fn polling() -> Answer {
    json(StatusCode::OK, r#"{"status":"polling"}"#.to_owned())
}

/// 200 of `/healthz`.
#[must_use]
pub fn healthy() -> Answer {
    json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned())
}

/// The bytes of an HTTP/1.1 answer on a connection that hyper has given up: the request could not be read, or never came.
#[must_use]
pub fn last_words(refusal: &Refusal) -> Vec<u8> {
    let status = StatusCode::from_u16(refusal.reason.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let body = serde_json::json!({ "error": refusal.public_text() }).to_string();
    let (reason, length) = (status.canonical_reason().unwrap_or(""), body.len());
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}",
        status.as_u16()
    )
    .into_bytes()
}

/// An answer as HEAD gets it: the length of the body, and no body. HTTP/2 takes anything else for a fault.
#[must_use]
pub fn without_body(mut answer: Answer) -> Answer {
    if let Some(length) = answer.body().size_hint().exact() {
        answer.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *answer.body_mut() = Full::new(Bytes::new());
    answer
}
