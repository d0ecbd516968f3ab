//! Reading and keeping a delivery's headers.

use super::{Reason, Refusal};
use hyper::HeaderMap;
use serde_json::{Map, Value};

/// Words in the names of headers that carry credentials, also those that a user makes up, such as EasyPost's custom headers:
/// checked where needed, never stored.
const CREDENTIALS: [&str; 25] = [
    "accesskey",
    "apikeys",
    "authkey",
    "bearer",
    "csrf",
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

fn is_credential(name: &str) -> bool {
    name.split(['-', '_']).any(|word| CREDENTIALS.contains(&word))
        || ["token", "secret", "password"].iter().any(|word| name.contains(word))
}

/// The one value of a header; `None` when it did not come.
///
/// # Errors
/// When it came twice with different values or is not visible ASCII: which one would be believed is anyone's guess.
pub fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|other| other != first) {
        return Err(Refusal::new(Reason::HeaderMalformed, format!("the header {name} came more than once")));
    }
    first
        .to_str()
        .map(|text| Some(text.trim()))
        .map_err(|_| Refusal::new(Reason::HeaderMalformed, format!("the header {name} is not plain text")))
}

/// The headers as a JSON object with lower-case names, credentials left out; a repeated header is an array.
#[must_use]
pub fn to_json(headers: &HeaderMap) -> String {
    let mut object = Map::new();
    for name in headers.keys().filter(|name| !is_credential(name.as_str())) {
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
    fn credentials_are_left_out() {
        let mut headers = HeaderMap::new();
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "x-auth-token",
            "x-webhooktoken",
            "my_secret",
        ] {
            headers.insert(hyper::header::HeaderName::from_static(name), HeaderValue::from_static("hunter2"));
        }
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        headers.insert("x-b", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert_eq!(to_json(&headers), "{\"x-a\":[\"1\",\"2\"],\"x-b\":\"caf\u{fffd}\"}");
    }

    #[test]
    fn a_header_that_came_twice_differently_is_refused() {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("1"));
        assert_eq!(single(&headers, "x-a").unwrap(), Some("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        assert_eq!(single(&headers, "x-a").unwrap_err().reason, Reason::HeaderMalformed);
        assert_eq!(single(&headers, "x-b").unwrap(), None);
    }
}
