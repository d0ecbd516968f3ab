//! Strong entity tags (RFC 9110, section 8.8.3): a program that has a document asks whether it changed.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Bytes of the digest in a tag.
const TAG_BYTES: usize = 16;

/// Returns the tag of a document's bytes.
fn compute_tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(&Sha256::digest(bytes)[..TAG_BYTES]))
}

/// Returns the tag of a document, as a GET of it states it.
#[must_use]
pub fn compute_document_tag(document: &impl Serialize) -> String {
    compute_tag(&serde_json::to_vec(document).unwrap_or_default())
}

/// Returns whether a condition names a tag; `None`: the request has no such condition. A weak tag counts as its strong
/// one, as section 13.1.2 demands for `If-None-Match`.
#[must_use]
pub fn names_tag(headers: &HeaderMap, condition: &HeaderName, tag: &str) -> Option<bool> {
    let mut values = headers.get_all(condition).iter().peekable();
    values.peek()?;
    let listed = |value: &HeaderValue| {
        let tags = value.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.map(|listed| listed.strip_prefix("W/").unwrap_or(listed)).any(|listed| listed == "*" || listed == tag)
    };
    Some(values.any(listed))
}

/// Adds the tag to a document, or answers 304 if the program has it already.
pub async fn add_entity_tag(request: Request, next: Next) -> Response {
    let conditions: HeaderMap =
        request.headers().get_all(IF_NONE_MATCH).iter().map(|value| (IF_NONE_MATCH, value.clone())).collect();
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // The document is in memory already, and its route limits it.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let tag = compute_tag(&bytes);
    head.headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits are valid in a header"));
    head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if names_tag(&conditions, &IF_NONE_MATCH, &tag) == Some(true) {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(CONTENT_TYPE);
        head.headers.remove(CONTENT_LENGTH);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_tags_in_lists_and_by_star() {
        let tag = compute_tag(b"{}");
        assert_eq!(tag.len(), 2 * TAG_BYTES + 2);
        let names = |value: &str| {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())]);
            names_tag(&headers, &IF_NONE_MATCH, &tag)
        };
        assert_eq!(names(&tag), Some(true));
        assert_eq!(names(&format!("\"x\", W/{tag}")), Some(true));
        assert_eq!(names("*"), Some(true));
        assert_eq!(names("\"x\""), Some(false));
        assert_eq!(names_tag(&HeaderMap::new(), &IF_NONE_MATCH, &tag), None);
    }
}
