//! The bodies that Keycloak's HTTP listeners post, as one JSON object.
//!
//! Most post JSON. jessylenne/keycloak-event-listener-http and its forks post a form with one field `json`, whose value only
//! looks like JSON: single quotes, nothing escaped, `'null'` for null and a comma before a closing brace
//! (`HTTPEventListenerProvider.java`). A value may itself hold a quote, so it ends where a quote is followed by what can only
//! come after a value. Whoever stands at the login form writes the user name into such a value: so the first of two equal
//! keys counts, and nothing behind the details does, for the listener writes them last.

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
        Err(_) => Loose { rest: text.trim() }.object(0),
    }
}

/// application/x-www-form-urlencoded: + is a space, %20 too.
fn form_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
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
            if self.take('}').is_some() || (depth == 0 && object.values().any(Value::is_object)) {
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
        assert_eq!(form("{'a': 'x', 'details': {}}").unwrap(), json!({"a": "x", "details": {}}));
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
        assert_eq!(
            (&event["type"], &event["error"], &event["userId"]),
            (&json!("LOGIN_ERROR"), &json!("user_not_found"), &Value::Null)
        );
        assert!(event.get("id").is_none() && event.get("time").is_none(), "{event}");
    }

    #[test]
    fn json_is_taken_in_both_dresses() {
        assert_eq!(event(br#"{"type":"LOGIN"}"#).unwrap(), json!({"type": "LOGIN"}));
        assert_eq!(form(r#"{"type":"LOGIN"}"#).unwrap(), json!({"type": "LOGIN"}));
        assert_eq!(event(b"x=1&json=%7B%27a%27%3A+%27b+c%27%7D").unwrap(), json!({"a": "b c"}));
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
