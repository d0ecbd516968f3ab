//! Reads the headers of a webhook request, and serializes them for the database without credentials.

use crate::providers::test_mark::TEST_MARK_HEADER;
use crate::providers::{Rejection, RejectionReason};
use hyper::HeaderMap;
use serde_json::{Map, Value};

/// Words in the names of headers with credentials or signatures, which are never stored.
///
/// Users can choose header names themselves, for example EasyPost's custom headers. A reader of a stored signature and
/// body could send both again.
const CREDENTIAL_WORDS: [&str; 30] = [
    "accesskey",
    "apikeys",
    "authkey",
    "bearer",
    "csrf",
    "hmac",
    "sig",
    "sign",
    "signature",
    "signatures",
    "pass",
    "passphrase",
    "pwd",
    "signingkey",
    "apikey",
    "auth",
    "authentication",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "key",
    "passwd",
    "password",
    "secret",
    "session",
    "sessionid",
    "token",
    "xsrf",
];

fn is_credential_header(name: &str) -> bool {
    // The test mark is an HMAC of the body under the provider's secret.
    name == TEST_MARK_HEADER
        || name.split(['-', '_']).any(|word| CREDENTIAL_WORDS.contains(&word))
        || ["token", "secret", "password", "signature", "hmac"].iter().any(|word| name.contains(word))
}

/// Returns the only value of a header, or `None` if it is missing.
///
/// # Errors
/// A rejection if the header has several different values, which would be ambiguous, or is not visible ASCII.
pub fn read_single_header<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Rejection> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(Rejection::new(
            RejectionReason::HeaderMalformed,
            format!("the header {name} has several different values"),
        ));
    }
    first
        .to_str()
        .map(|text| Some(text.trim()))
        .map_err(|_| Rejection::new(RejectionReason::HeaderMalformed, format!("the header {name} is not plain text")))
}

/// Returns the headers as a JSON object with lower-case names, without credentials. A repeated header is an array.
#[must_use]
pub fn serialize_headers(headers: &HeaderMap) -> String {
    let mut object = Map::new();
    for name in headers.keys().filter(|name| !is_credential_header(name.as_str())) {
        let mut values: Vec<Value> = headers
            .get_all(name)
            .iter()
            .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        object.insert(name.as_str().to_owned(), value);
    }
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn credential_headers_are_not_stored() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "x-auth-token",
            "x-webhooktoken",
            "my_secret",
            "x-shopify-hmac-sha256",
            "shopify-hmac-sha256",
            "x-hmac-signature",
            "x-hmac-signature-v2",
            "x-keycloak-signature",
            "x-webhooksignature",
            TEST_MARK_HEADER,
        ] {
            headers.insert(hyper::header::HeaderName::from_static(name), HeaderValue::from_static("hunter2"));
        }
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        headers.insert("x-b", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert_eq!(serialize_headers(&headers), "{\"x-a\":[\"1\",\"2\"],\"x-b\":\"caf\u{fffd}\"}");
    }

    #[test]
    fn conflicting_header_values_are_rejected() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(read_single_header(&headers, "x-a").unwrap(), Some("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        assert_eq!(read_single_header(&headers, "x-a").unwrap_err().reason, RejectionReason::HeaderMalformed);
        assert_eq!(read_single_header(&headers, "x-b").unwrap(), None);
    }
}
