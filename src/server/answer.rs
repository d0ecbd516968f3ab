//! Every answer the public listener gives.

use crate::providers::Refusal;
use crate::store::StoreError;
use crate::store::receive::Receipt;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
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

/// 200 of `/healthz`.
#[must_use]
pub fn healthy() -> Answer {
    json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned())
}

/// A whole HTTP/1.1 answer for a connection that hyper has given up: the client took too long over its headers.
pub const HEADERS_TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\n\
    content-length: 37\r\nconnection: close\r\n\r\n{\"error\":\"the headers took too long\"}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handmade_answer_states_its_own_length() {
        let text = std::str::from_utf8(HEADERS_TOO_SLOW).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
