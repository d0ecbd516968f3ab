//! Parses the bodies that Keycloak's HTTP listeners post into one JSON object, or an array of several. The verifier
//! reads only the fields that identify an event, the handler all.
//!
//! Most listeners post JSON. jessylenne/keycloak-event-listener-http and its forks post a form with one field `json`.
//! Its value only resembles JSON: single quotes, nothing escaped, `'null'` for null and a comma before a closing brace
//! (`HTTPEventListenerProvider.java`). A value can itself contain a quote. It therefore ends at a quote that is
//! followed by text that can only follow a value.
//!
//! Anybody can write into such values: the user name of the login form, the client id in the address. If a body repeats
//! a key, or has a key that the listener never writes, only its type and realm are used. Both precede any text from
//! outside. The remaining text is stored in `details`.

use crate::clock::{self, Timestamp};
use crate::lenient_json::{
    JsonObject, JsonValue, LenientJson, parse_lenient_json, read_scalar_fields, read_text_fields, repair_plain_text,
};
use std::collections::HashMap;
use std::rc::Rc;

/// Returns the event as an object, or several events as an array, with the repairs of unreadable text; `None` if the
/// body has no event.
#[must_use]
pub fn parse_keycloak_event(body: &[u8]) -> Option<LenientJson> {
    let has_event = |event: &LenientJson| {
        event.value.is_object() || event.value.as_array().is_some_and(|events| events.iter().any(JsonValue::is_object))
    };
    if let Ok(event) = parse_lenient_json(body) {
        return has_event(&event).then_some(event);
    }
    let text = decode_form_field(body)?;
    if let Ok(event) = parse_lenient_json(&text) {
        return has_event(&event).then_some(event);
    }
    let (text, repairs) = repair_plain_text(&text);
    parse_loose_json(text.trim()).map(|value| LenientJson { value, repairs, repeated_names: Vec::new() })
}

/// Returns the text values of these fields, as [`parse_keycloak_event`] reads them, with much less memory.
#[must_use]
pub fn read_keycloak_fields<const N: usize>(body: &[u8], names: [&str; N]) -> Option<[Option<String>; N]> {
    if let Some(fields) = read_text_fields(body, names) {
        return Some(fields);
    }
    let text = decode_form_field(body)?;
    read_text_fields(&text, names).or_else(|| {
        let event = parse_loose_json(repair_plain_text(&text).0.trim())?;
        Some(names.map(|name| event.get(name)?.as_str().map(str::to_owned)))
    })
}

/// Returns the events of a body that is an array of events; `None` for every other body.
#[must_use]
pub fn read_keycloak_list(body: &[u8]) -> Option<Vec<JsonValue>> {
    let starts_array = |text: &[u8]| {
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        text.trim_ascii_start().first() == Some(&b'[')
    };
    // A single event is read without building it, see `read_keycloak_fields`.
    let is_array = starts_array(body) || decode_form_field(body).is_some_and(|text| starts_array(&text));
    let events = is_array.then(|| parse_keycloak_event(body)).flatten()?.value;
    Some(events.as_array()?.to_vec())
}

/// Returns true if equal bytes are the same event, because it has an id or a time.
#[must_use]
pub fn states_identity(event: &JsonValue) -> bool {
    let is_text =
        |field: &str| event.get(field).and_then(JsonValue::as_str).is_some_and(|text| !text.trim().is_empty());
    let has_time = |field: &&str| match event.get(field) {
        Some(JsonValue::Text(text)) => parse_event_time(text).is_some(),
        Some(JsonValue::Number(number)) => parse_event_time(&number.to_string()).is_some(),
        _ => false,
    };
    ["uid", "id"].into_iter().any(is_text) || TIME_FIELDS.iter().any(has_time)
}

/// Returns true if the event has a time of its own. Only then do equal bytes mean that the listener repeats an event.
#[must_use]
pub fn states_event_time(body: &[u8]) -> bool {
    read_event_times(body).next().is_some()
}

/// Returns true if the event has a time, and only in whole seconds. Then equal bytes can be two events of one second.
#[must_use]
pub fn states_whole_seconds(body: &[u8]) -> bool {
    let mut times = read_event_times(body).peekable();
    times.peek().is_some() && times.all(|at| at.subsec_nanosecond() == 0)
}

fn read_event_times(body: &[u8]) -> impl Iterator<Item = Timestamp> {
    // The pseudo-JSON of a form never has a time.
    let read = |text: &[u8]| read_scalar_fields(text, TIME_FIELDS);
    let fields = read(body).or_else(|| read(&decode_form_field(body)?));
    fields.into_iter().flatten().flatten().filter_map(|text| parse_event_time(&text))
}

/// Fields with the time of an event, in the order of preference.
pub const TIME_FIELDS: [&str; 2] = ["time", "timestamp"];

/// Parses the time of an event: milliseconds since 1970 in Keycloak's own events, text in those of some listeners.
///
/// Returns `None` for a time before the year 2000, which is no time of an event: zero, or seconds.
#[must_use]
pub fn parse_event_time(text: &str) -> Option<Timestamp> {
    let earliest = Timestamp::from_second(946_684_800).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = clock::parse_timestamp(text).ok().or_else(|| Timestamp::from_millisecond(text.parse().ok()?).ok())?;
    (at >= earliest).then_some(at)
}

/// Decodes the field `json` of application/x-www-form-urlencoded, in which + and %20 are a space.
#[must_use]
pub fn decode_form_field(body: &[u8]) -> Option<Vec<u8>> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let field = body.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(b"json="))?;
    let with_spaces: Vec<u8> = field.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(percent_encoding::percent_decode(&with_spaces).collect())
}

/// Keys that the listener writes, in its order (`HTTPEventListenerProvider.java`, `toString`).
const LISTENER_FIELDS: [&str; 9] =
    ["type", "realmId", "clientId", "userId", "ipAddress", "resourceType", "resourcePath", "error", "details"];

/// Parses the listener's text. If it is ambiguous, only its type and realm are read.
fn parse_loose_json(text: &str) -> Option<JsonValue> {
    let mut reader = LooseJsonReader { remaining: text };
    let complete = reader.read_object(0).filter(|_| reader.remaining.is_empty());
    complete.or_else(|| {
        // {'type': 'LOGIN_ERROR', 'realmId': 'acme', then arbitrary text.
        let mut reader = LooseJsonReader { remaining: text };
        reader.consume_char('{')?;
        let mut fields: Vec<(Rc<str>, JsonValue)> = Vec::new();
        for key in ["type", "realmId"] {
            reader.skip_separators();
            if reader.read_key("':").as_deref() != Some(key) {
                return None;
            }
            reader.consume_char(':')?;
            reader.skip_separators();
            fields.push((key.into(), JsonValue::Text(reader.read_string()?.into())));
        }
        let unclear = [("unclear".into(), JsonValue::Text(reader.remaining.into()))];
        fields.push(("details".into(), JsonValue::Object(unclear.into_iter().collect())));
        Some(JsonValue::Object(fields.into_iter().collect()))
    })
}

/// Reader of text such as `{'key': 'value', 'details': {'key': 'value', }}`.
struct LooseJsonReader<'t> {
    remaining: &'t str,
}

/// Deepest nesting of objects; the listener writes one level.
const DEPTH_MAX: usize = 4;

impl LooseJsonReader<'_> {
    fn read_object(&mut self, depth: usize) -> Option<JsonValue> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut fields: HashMap<Rc<str>, JsonValue> = HashMap::new();
        self.consume_char('{')?;
        loop {
            self.skip_separators();
            if self.consume_char('}').is_some() {
                return Some(JsonValue::Object(fields.into_iter().collect::<JsonObject>()));
            }
            let key = self.read_key("':")?;
            self.consume_char(':')?;
            self.skip_separators();
            let value = if self.remaining.starts_with('{') {
                self.read_object(depth + 1)?
            } else if self.remaining.starts_with('\'') {
                let text = self.read_string()?;
                if text == "null" { JsonValue::Null } else { JsonValue::Text(text.into()) }
            } else {
                let end = self.remaining.find([',', '}'])?;
                let (word, rest) = self.remaining.split_at(end);
                self.remaining = rest;
                word.trim().parse().ok()?
            };
            if depth == 0 && (fields.contains_key(key.as_str()) || !LISTENER_FIELDS.contains(&key.as_str())) {
                return None;
            }
            fields.entry(key.into()).or_insert(value);
        }
    }

    fn consume_char(&mut self, char: char) -> Option<()> {
        self.remaining = self.remaining.strip_prefix(char)?;
        Some(())
    }

    fn skip_separators(&mut self) {
        self.remaining = self.remaining.trim_start_matches(|char: char| char.is_whitespace() || char == ',');
    }

    /// Reads a key, which ends at a quote and a colon.
    fn read_key(&mut self, end: &str) -> Option<String> {
        self.consume_char('\'')?;
        let at = self.remaining.find(end)?;
        let text = self.remaining[..at].to_owned();
        self.remaining = &self.remaining[at + 1..];
        Some(text)
    }

    /// Reads a value, which ends at a quote followed by a comma and the next key, by a brace, or by a comma and a
    /// brace.
    fn read_string(&mut self) -> Option<String> {
        self.consume_char('\'')?;
        let is_end = |after: &str| {
            let after = after.trim_start();
            match after.strip_prefix(',') {
                Some(next) => next.trim_start().starts_with(['\'', '}']),
                None => after.starts_with('}'),
            }
        };
        let at = self.remaining.match_indices('\'').map(|(at, _)| at).find(|at| is_end(&self.remaining[at + 1..]))?;
        let text = self.remaining[..at].to_owned();
        self.remaining = &self.remaining[at + 1..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parse(body: &[u8]) -> Option<Value> {
        let event = parse_keycloak_event(body).map(|event| serde_json::from_str(&event.value.to_string()).unwrap());
        let fields = read_keycloak_fields(body, ["type", "realmId"]);
        let expected = |event: &Value| ["type", "realmId"].map(|name| event[name].as_str().map(str::to_owned));
        assert_eq!(fields, event.as_ref().map(expected));
        event
    }

    fn encode_form(text: &[u8]) -> Vec<u8> {
        format!("json={}", percent_encoding::percent_encode(text, percent_encoding::NON_ALPHANUMERIC)).into_bytes()
    }

    fn parse_form(text: &str) -> Option<Value> {
        parse(&encode_form(text.as_bytes()))
    }

    #[test]
    fn unreadable_text_does_not_fail_an_event() {
        for text in [
            &b"\xef\xbb\xbf{\"type\":\"LOGIN\",\"realmId\":\"a\"}"[..],
            b"{\"type\":\"LOGIN\",\"realmId\":\"a\",\"x\":\"\\ud800\"}",
            b"{\"type\":\"LOGIN\",\"realmId\":\"a\",\"x\":\"\xff\"}",
            b"\xef\xbb\xbf{'type': 'LOGIN', 'realmId': 'a', }",
            b"{'type': 'LOGIN', 'realmId': 'a', 'error': '\xff\0'}",
        ] {
            let form = encode_form(text);
            let bodies = if text.contains(&b'\'') { vec![form] } else { vec![form, text.to_vec()] };
            for body in bodies {
                let event = parse(&body).unwrap();
                assert_eq!((&event["type"], &event["realmId"]), (&json!("LOGIN"), &json!("a")));
                assert!(parse_keycloak_event(&body).unwrap().repairs.is_some(), "{}", body.escape_ascii());
            }
        }
        assert_eq!(parse(b"\xef\xbb\xbfx=\xff&json=%7B%7D").unwrap(), json!({}));
    }

    #[test]
    fn loose_json_is_parsed() {
        let body = "{'type': 'LOGIN_ERROR', 'realmId': 'acme', 'userId': 'null', 'ipAddress': '192.0.2.7', \
                    'error': 'user_not_found', 'details': {'username': 'o'brien', \
                    'redirect_uri': 'https://a/?b=1,2', }}";
        let expected = json!({"type": "LOGIN_ERROR", "realmId": "acme", "userId": null, "ipAddress": "192.0.2.7",
            "error": "user_not_found", "details": {"username": "o'brien", "redirect_uri": "https://a/?b=1,2"}});
        assert_eq!(parse_form(body).unwrap(), expected);
        assert_eq!(parse_form("{'type': 'x', 'details': {}}").unwrap(), json!({"type": "x", "details": {}}));
    }

    #[test]
    fn user_input_cannot_forge_fields() {
        let name =
            "x', }, 'type': 'LOGIN', 'error': 'null', 'userId': 'admin', 'id': 'seen-before', 'time': '1', 'y': 'z";
        let body = format!(
            "{{'type': 'LOGIN_ERROR', 'realmId': 'acme', 'userId': 'null', 'ipAddress': '203.0.113.9', \
             'error': 'user_not_found', 'details': {{'username': '{name}', }}}}"
        );
        let event = parse_form(&body).unwrap();
        assert_only_type_and_realm(&event);
        let client = "x', 'userId': 'admin', 'ipAddress': '10.0.0.1', 'error': 'null', 'time': '1', 'id': 'forged', \
                      'details': {'username': 'admin'}, 'z': '";
        let body = format!(
            "{{'type': 'LOGIN_ERROR', 'realmId': 'acme', 'clientId': '{client}', 'userId': 'null', \
             'ipAddress': '203.0.113.9', 'error': 'client_not_found', 'details': {{'redirect_uri': 'x', }}}}"
        );
        assert_only_type_and_realm(&parse_form(&body).unwrap());
    }

    fn assert_only_type_and_realm(event: &Value) {
        assert_eq!((&event["type"], &event["realmId"]), (&json!("LOGIN_ERROR"), &json!("acme")));
        for key in ["id", "time", "userId", "ipAddress", "error"] {
            assert!(event.get(key).is_none(), "{event}");
        }
        assert!(event["details"]["unclear"].as_str().unwrap().contains("203.0.113.9"));
    }

    #[test]
    fn json_is_accepted_raw_and_form_encoded() {
        assert_eq!(parse(br#"{"type":"LOGIN"}"#).unwrap(), json!({"type": "LOGIN"}));
        assert_eq!(parse_form(r#"{"type":"LOGIN"}"#).unwrap(), json!({"type": "LOGIN"}));
        assert_eq!(parse(b"x=1&json=%7B%27type%27%3A+%27b+c%27%7D").unwrap(), json!({"type": "b c"}));
    }

    #[test]
    fn non_objects_are_rejected() {
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
            assert_eq!(parse(body.as_bytes()), None, "{body}");
        }
    }

    proptest::proptest! {
        #![proptest_config(crate::seed::seeded_config(256))]

        #[test]
        fn arbitrary_text_does_not_panic(text in "[{}',: a-z%]{0,60}") {
            let _ = parse(format!("json={text}").as_bytes());
            let _ = parse_form(&text);
        }
    }
}
