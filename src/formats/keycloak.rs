//! The bodies that Keycloak's HTTP listeners post, as one JSON object.
//!
//! Most post JSON. jessylenne/keycloak-event-listener-http and its forks post a form with one field `json`, whose value only
//! looks like JSON: single quotes, nothing escaped, `'null'` for null and a comma before a closing brace
//! (`HTTPEventListenerProvider.java`). A value may itself hold a quote, so it ends where a quote is followed by what can only
//! come after a value.
//!
//! Strangers write into such values: the user name at the login form, the client's id in its address. So a body in which a key
//! stands twice, or one that the listener never writes, is believed in its type and realm alone, which stand before anything a
//! stranger says; its text is kept.

use serde_json::{Map, Value};

/// The event as an object; `None` when the body is none.
#[must_use]
pub fn event(body: &[u8]) -> Option<Value> {
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        return value.is_object().then_some(value);
    }
    let field = std::str::from_utf8(body).ok()?.split('&').find_map(|pair| pair.strip_prefix("json="))?;
    let text = form_decoded(field)?;
    match serde_json::from_str::<Value>(&text) {
        Ok(value) => value.is_object().then_some(value),
        Err(_) => loose(text.trim()),
    }
}

/// application/x-www-form-urlencoded: + is a space, %20 too.
fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// What the listener writes, in its order (`HTTPEventListenerProvider.java`, `toString`).
const WRITTEN: [&str; 9] =
    ["type", "realmId", "clientId", "userId", "ipAddress", "resourceType", "resourcePath", "error", "details"];

fn loose(text: &str) -> Option<Value> {
    let mut reader = Loose { rest: text };
    let whole = reader.object(0).filter(|_| reader.rest.is_empty());
    whole.or_else(|| {
        // {'type': 'LOGIN_ERROR', 'realmId': 'acme', and then whatever it is.
        let mut reader = Loose { rest: text };
        reader.take('{')?;
        let mut object = Map::new();
        for wanted in ["type", "realmId"] {
            reader.skip();
            if reader.quoted("':").as_deref() != Some(wanted) {
                return None;
            }
            reader.take(':')?;
            reader.skip();
            object.insert(wanted.to_owned(), Value::String(reader.value()?));
        }
        object.insert("details".to_owned(), serde_json::json!({ "unclear": reader.rest }));
        Some(Value::Object(object))
    })
}

/// `{'key': 'value', 'details': {'key': 'value', }}`.
struct Loose<'t> {
    rest: &'t str,
}

/// Objects inside of objects; the listener writes one.
const DEPTH_MAX: usize = 4;

impl Loose<'_> {
    fn object(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut object = Map::new();
        self.take('{')?;
        loop {
            self.skip();
            if self.take('}').is_some() {
                return Some(Value::Object(object));
            }
            let key = self.quoted("':")?;
            self.take(':')?;
            self.skip();
            let value = if self.rest.starts_with('{') {
                self.object(depth + 1)?
            } else if self.rest.starts_with('\'') {
                let text = self.value()?;
                if text == "null" { Value::Null } else { Value::String(text) }
            } else {
                let end = self.rest.find([',', '}'])?;
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                serde_json::from_str(word.trim()).ok()?
            };
            if depth == 0 && (object.contains_key(&key) || !WRITTEN.contains(&key.as_str())) {
                return None;
            }
            object.entry(key).or_insert(value);
        }
    }

    fn take(&mut self, letter: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(letter)?;
        Some(())
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == ',');
    }

    /// A key: up to a quote and a colon.
    fn quoted(&mut self, end: &str) -> Option<String> {
        self.take('\'')?;
        let at = self.rest.find(end)?;
        let text = self.rest[..at].to_owned();
        self.rest = &self.rest[at + 1..];
        Some(text)
    }

    /// A value: up to a quote that is followed by a comma and the next key, by a brace, or by a comma and a brace.
    fn value(&mut self) -> Option<String> {
        self.take('\'')?;
        let ends = |after: &str| {
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(next) => next.trim_start().starts_with(['\'', '}']),
                None => after.starts_with('}'),
            }
        };
        let at = self.rest.match_indices('\'').map(|(at, _)| at).find(|at| ends(&self.rest[at + 1..]))?;
        let text = self.rest[..at].to_owned();
        self.rest = &self.rest[at + 1..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(text: &str) -> Option<Value> {
        let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
        event(format!("json={encoded}").as_bytes())
    }

    #[test]
    fn what_only_looks_like_json() {
        let body = "{'type': 'LOGIN_ERROR', 'realmId': 'acme', 'userId': 'null', 'ipAddress': '192.0.2.7', \
                    'error': 'user_not_found', 'details': {'username': 'o'brien', 'redirect_uri': 'https://a/?b=1,2', }}";
        let expected = json!({"type": "LOGIN_ERROR", "realmId": "acme", "userId": null, "ipAddress": "192.0.2.7",
            "error": "user_not_found", "details": {"username": "o'brien", "redirect_uri": "https://a/?b=1,2"}});
        assert_eq!(form(body).unwrap(), expected);
        assert_eq!(form("{'type': 'x', 'details': {}}").unwrap(), json!({"type": "x", "details": {}}));
    }

    /// What a stranger types as a user name must not become another event than the failed login that it is.
    #[test]
    fn a_user_name_forges_nothing() {
        let name =
            "x', }, 'type': 'LOGIN', 'error': 'null', 'userId': 'admin', 'id': 'seen-before', 'time': '1', 'y': 'z";
        let body = format!(
            "{{'type': 'LOGIN_ERROR', 'realmId': 'acme', 'userId': 'null', 'ipAddress': '203.0.113.9', 'error': 'user_not_found', \
             'details': {{'username': '{name}', }}}}"
        );
        let event = form(&body).unwrap();
        unclear(&event);
        let client = "x', 'userId': 'admin', 'ipAddress': '10.0.0.1', 'error': 'null', 'time': '1', 'id': 'forged', 'details': {'username': 'admin'}, 'z': '";
        let body = format!(
            "{{'type': 'LOGIN_ERROR', 'realmId': 'acme', 'clientId': '{client}', 'userId': 'null', 'ipAddress': '203.0.113.9', \
             'error': 'client_not_found', 'details': {{'redirect_uri': 'x', }}}}"
        );
        unclear(&form(&body).unwrap());
    }

    fn unclear(event: &Value) {
        assert_eq!((&event["type"], &event["realmId"]), (&json!("LOGIN_ERROR"), &json!("acme")));
        for never in ["id", "time", "userId", "ipAddress", "error"] {
            assert!(event.get(never).is_none(), "{event}");
        }
        assert!(event["details"]["unclear"].as_str().unwrap().contains("203.0.113.9"));
    }

    #[test]
    fn json_is_taken_in_both_dresses() {
        assert_eq!(event(br#"{"type":"LOGIN"}"#).unwrap(), json!({"type": "LOGIN"}));
        assert_eq!(form(r#"{"type":"LOGIN"}"#).unwrap(), json!({"type": "LOGIN"}));
        assert_eq!(event(b"x=1&json=%7B%27type%27%3A+%27b+c%27%7D").unwrap(), json!({"type": "b c"}));
    }

    #[test]
    fn what_is_no_object_is_none() {
        for body in [
            "",
            "[]",
            "7",
            "json=",
            "json=%",
            "json={'a'",
            "json={'a': 'b",
            "json={'a': {'b': {'c': {'d': {'e': {'f': '1'}}}}}}",
        ] {
            assert_eq!(event(body.as_bytes()), None, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[{}',: a-z%]{0,60}") {
            let _ = event(format!("json={text}").as_bytes());
            let _ = form(&text);
        }
    }
}
