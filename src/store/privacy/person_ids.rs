//! Events that name a person only in their bodies: failed events, and events without a handler.
//!
//! `event_subjects` finds all other events. This search reads bodies page by page on a reading connection, so that no
//! write waits for it.

use crate::lenient_json::{JsonValue, parse_lenient_json};
use crate::store::StoreError;
use crate::store::db::reader::Reader;
use crate::store::events::records;
use rusqlite::params;
use std::collections::BTreeSet;

/// Events read in one query.
const EVENTS_PER_READ: i64 = 5_000;

/// The numbers and addresses by which a body may name a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonIds {
    /// Customer numbers.
    pub customers: BTreeSet<i64>,
    /// Order numbers.
    pub orders: BTreeSet<i64>,
    pub email: Option<String>,
    pub phone: Option<String>,
}

impl PersonIds {
    /// Returns true if the body of an event of `topic` names the person. A body that is not JSON matches by its text.
    fn matches_body(&self, topic: &str, body: &[u8]) -> bool {
        let Ok(body) = parse_lenient_json(body).map(|read| read.value) else { return self.matches_text(body) };
        // The first part of the topic names the object of the outermost id: `orders/updated` has an order.
        let outermost = topic.split('/').next().unwrap_or("").trim_end_matches('s');
        self.matches_json(&body, outermost, "")
    }

    /// Compares whole values: joann@example.com is not ann@example.com, and product 987 is not customer 987. `object`
    /// is the name of the object that has the value.
    fn matches_json(&self, value: &JsonValue, object: &str, field: &str) -> bool {
        let numbers = |object: &str| match object {
            "customer" => Some(&self.customers),
            "order" => Some(&self.orders),
            _ => None,
        };
        match value {
            JsonValue::Object(map) => {
                let object = if field.is_empty() { object } else { field };
                map.iter().any(|(field, value)| self.matches_json(value, object, field))
            }
            JsonValue::Array(list) => {
                list.iter().any(|value| self.matches_json(value, object, field.trim_end_matches('s')))
            }
            JsonValue::Number(number) => {
                let owner = if field == "id" { object } else { field.strip_suffix("_id").unwrap_or("") };
                numbers(owner).zip(number.as_i64()).is_some_and(|(numbers, id)| numbers.contains(&id))
            }
            JsonValue::Text(text) => {
                self.email.as_ref().is_some_and(|email| email.trim().eq_ignore_ascii_case(text.trim()))
                    || self.phone.as_ref().is_some_and(|phone| is_same_phone(phone, text))
                    || [("gid://shopify/Customer/", &self.customers), ("gid://shopify/Order/", &self.orders)]
                        .iter()
                        .any(|(start, numbers)| {
                            let id = text.strip_prefix(start).and_then(|id| id.parse().ok());
                            id.is_some_and(|id| numbers.contains(&id))
                        })
            }
            _ => false,
        }
    }

    /// Returns true if the text has one of the values as a whole word: 39870 is not 987.
    fn matches_text(&self, body: &[u8]) -> bool {
        let body = String::from_utf8_lossy(body).to_lowercase();
        let ids = self.customers.iter().chain(&self.orders).map(i64::to_string);
        ids.chain(self.email.clone()).chain(self.phone.clone()).any(|text| {
            let text = text.trim().to_lowercase();
            let is_part = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
            body.match_indices(&text).any(|(at, _)| {
                !is_part(body[..at].chars().next_back()) && !is_part(body[at + text.len()..].chars().next())
            })
        })
    }
}

fn is_same_phone(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let is_number = other.chars().all(|letter| letter.is_ascii_digit() || "+-(). /".contains(letter));
    is_number && digits(one).len() >= 7 && digits(one) == digits(other)
}

/// Returns the failed events and the events without a handler whose bodies name the person.
///
/// It leaves out events that are not finished: their processing finds their subjects.
pub fn find_events_mentioning(reader: &Reader, shop: &str, person: &PersonIds) -> Result<Vec<i64>, StoreError> {
    let mut found = Vec::new();
    let last: i64 = reader.read(|connection| {
        Ok(connection.query_row("SELECT coalesce(max(id), 0) FROM webhook_events", [], |row| row.get(0))?)
    })?;
    let mut after = 0;
    while after < last {
        reader.read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT e.id, e.topic FROM webhook_events e WHERE e.id > ?1 AND e.id <= ?2 AND e.source = 'shopify' AND e.shop_domain = ?3 \
                     AND e.redacted_at IS NULL AND (e.status = 'failed' OR (e.status = 'completed' \
                       AND (NOT EXISTS (SELECT 1 FROM event_subjects s WHERE s.event_id = e.id) OR e.note LIKE 'stored only:%')))",
                )?;
                let mut rows = statement.query(params![after, after + EVENTS_PER_READ, shop])?;
                while let Some(row) = rows.next()? {
                    let (id, topic): (i64, String) = (row.get(0)?, row.get(1)?);
                    if records::read_payload(connection, id)?.is_some_and(|payload| person.matches_body(&topic, &payload.body)) {
                        found.push(id);
                    }
                }
                Ok(())
            })?;
        after += EVENTS_PER_READ;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_values_do_not_match() {
        let ann = PersonIds {
            customers: [987].into(),
            orders: [100].into(),
            email: Some("Ann@example.com".into()),
            phone: Some("+1 (555) 014-2200".into()),
        };
        for (topic, body) in [
            ("x", r#"{"a":[{"email":"ann@EXAMPLE.com"}]}"#),
            ("x", r#"{"customer_id":987}"#),
            ("x", r#"{"order":{"id":100}}"#),
            ("x", r#"{"orders":[{"id":100}]}"#),
            ("orders/updated", r#"{"id":100}"#),
            ("x", r#"{"order":"gid://shopify/Order/100"}"#),
            ("x", r#"{"phone":"15550142200"}"#),
            ("x", "not json: ann@example.com"),
            ("x", "not json: 987,"),
            ("orders/updated", "\u{feff}{\"id\":100,\"note\":\"\\ud800\"}"),
        ] {
            assert!(ann.matches_body(topic, body.as_bytes()), "{body}");
        }
        for (topic, body) in [
            ("x", r#"{"email":"joann@example.com"}"#),
            ("x", r#"{"quantity":100,"product_id":987,"location":{"id":987}}"#),
            ("products/update", r#"{"id":987,"variants":[{"id":100}]}"#),
            ("orders/updated", r#"{"id":5,"line_items":[{"id":100}]}"#),
            ("x", r#"{"text":"call 15550142200","gid":"gid://shopify/Product/987"}"#),
            ("x", "not json 39870"),
        ] {
            assert!(!ann.matches_body(topic, body.as_bytes()), "{body}");
        }
        assert!(!PersonIds::default().matches_body("x", b"{}") && !PersonIds::default().matches_body("x", b"anything"));
    }
}
