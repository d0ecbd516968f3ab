//! Events that are somebody's only by what their bodies say: what failed, and what nothing handles.
//!
//! Everything else is found by what it is about (`event_subjects`). These are looked through, a page at a time on a reading
//! connection, so that no delivery waits for it.

use super::StoreError;
use super::events;
use super::reader::Reader;
use rusqlite::params;
use serde_json::Value;
use std::collections::BTreeSet;

/// Events looked at in one read.
const PAGE: i64 = 5_000;

/// Somebody, as a body may name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whom {
    /// Numbers of the customer.
    pub customers: BTreeSet<i64>,
    /// Numbers of their orders.
    pub orders: BTreeSet<i64>,
    pub email: Option<String>,
    pub phone: Option<String>,
}

impl Whom {
    /// Whether the body of an event of `topic` names them. What is no JSON cannot be told apart: it does if it holds the text at all.
    fn is_in(&self, topic: &str, body: &[u8]) -> bool {
        let Ok(body) = serde_json::from_slice(body) else { return self.is_written_in(body) };
        // The family of the topic says whose number the outermost id is.
        let outermost = topic.split('/').next().unwrap_or("").trim_end_matches('s');
        self.is_said(&body, outermost, "")
    }

    /// Whole values are compared: joann@example.com is not ann@example.com, and product 987 is not customer 987. `object` is the
    /// name of what the value is part of.
    fn is_said(&self, value: &Value, object: &str, field: &str) -> bool {
        let numbers = |object: &str| match object {
            "customer" => Some(&self.customers),
            "order" => Some(&self.orders),
            _ => None,
        };
        match value {
            Value::Object(map) => {
                let object = if field.is_empty() { object } else { field };
                map.iter().any(|(field, value)| self.is_said(value, object, field))
            }
            Value::Array(list) => list.iter().any(|value| self.is_said(value, object, field.trim_end_matches('s'))),
            Value::Number(number) => {
                let whose = if field == "id" { object } else { field.strip_suffix("_id").unwrap_or("") };
                numbers(whose).zip(number.as_i64()).is_some_and(|(numbers, id)| numbers.contains(&id))
            }
            Value::String(text) => {
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

    /// As a whole word: 39870 is not 987.
    fn is_written_in(&self, body: &[u8]) -> bool {
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

/// The events of a shop that failed or that nothing handles, and whose bodies name `whom`. Events that wait are left out:
/// what they are about is known when they are worked.
///
/// # Errors
/// When the file cannot be read.
pub fn find(reader: &Reader, shop: &str, whom: &Whom) -> Result<Vec<i64>, StoreError> {
    let mut found = Vec::new();
    let last: i64 = reader.read(|connection| {
        Ok(connection.query_row("SELECT coalesce(max(id), 0) FROM webhook_events", [], |row| row.get(0))?)
    })?;
    let mut after = 0;
    while after < last {
        reader.read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT e.id, e.topic FROM webhook_events e WHERE e.id > ?1 AND e.id <= ?2 AND e.source = 'shopify' AND e.shop_domain = ?3 \
                     AND e.erased_at IS NULL AND (e.status = 'failed' OR (e.status = 'completed' \
                       AND (NOT EXISTS (SELECT 1 FROM event_subjects s WHERE s.event_id = e.id) OR e.note LIKE 'stored only:%')))",
                )?;
                let mut rows = statement.query(params![after, after + PAGE, shop])?;
                while let Some(row) = rows.next()? {
                    let (id, topic): (i64, String) = (row.get(0)?, row.get(1)?);
                    if events::payload(connection, id)?.is_some_and(|payload| whom.is_in(&topic, &payload.body)) {
                        found.push(id);
                    }
                }
                Ok(())
            })?;
        after += PAGE;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_are_compared() {
        let ann = Whom {
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
        ] {
            assert!(ann.is_in(topic, body.as_bytes()), "{body}");
        }
        for (topic, body) in [
            ("x", r#"{"email":"joann@example.com"}"#),
            ("x", r#"{"quantity":100,"product_id":987,"location":{"id":987}}"#),
            ("products/update", r#"{"id":987,"variants":[{"id":100}]}"#),
            ("orders/updated", r#"{"id":5,"line_items":[{"id":100}]}"#),
            ("x", r#"{"text":"call 15550142200","gid":"gid://shopify/Product/987"}"#),
            ("x", "not json 39870"),
        ] {
            assert!(!ann.is_in(topic, body.as_bytes()), "{body}");
        }
        assert!(!Whom::default().is_in("x", b"{}") && !Whom::default().is_in("x", b"anything"));
    }
}
