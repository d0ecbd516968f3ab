//! Events that are somebody's only by what their bodies say: what failed, and what nothing handles.
//!
//! Everything else is found by what it is about (`event_subjects`). These are looked through, a page at a time on a reading
//! connection, so that no delivery waits for it.

use super::events;
use super::{Store, StoreError};
use rusqlite::params;
use serde_json::Value;
use std::collections::BTreeSet;

/// Events looked at in one read.
const PAGE: i64 = 5_000;

/// Somebody, as a body may name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whom {
    /// Numbers of the customer and of orders.
    pub ids: BTreeSet<i64>,
    pub email: Option<String>,
    pub phone: Option<String>,
}

impl Whom {
    /// Whether a body names them. What is no JSON cannot be told apart: it does if it holds the text at all.
    fn is_in(&self, body: &[u8]) -> bool {
        serde_json::from_slice(body).map_or_else(|_| self.is_written_in(body), |body| self.is_said(&body, ""))
    }

    /// Whole values are compared: joann@example.com is not ann@example.com, and a quantity of 100 is not order 100.
    fn is_said(&self, value: &Value, field: &str) -> bool {
        match value {
            Value::Object(map) => map.iter().any(|(field, value)| self.is_said(value, field)),
            Value::Array(list) => list.iter().any(|value| self.is_said(value, field)),
            Value::Number(number) => {
                (field == "id" || field.ends_with("_id")) && number.as_i64().is_some_and(|id| self.ids.contains(&id))
            }
            Value::String(text) => {
                self.email.as_ref().is_some_and(|email| email.trim().eq_ignore_ascii_case(text.trim()))
                    || self.phone.as_ref().is_some_and(|phone| is_same_phone(phone, text))
                    || (text.starts_with("gid://")
                        && text
                            .rsplit('/')
                            .next()
                            .and_then(|id| id.parse().ok())
                            .is_some_and(|id| self.ids.contains(&id)))
            }
            _ => false,
        }
    }

    fn is_written_in(&self, body: &[u8]) -> bool {
        let body = String::from_utf8_lossy(body).to_lowercase();
        let ids = self.ids.iter().map(i64::to_string);
        ids.chain(self.email.clone()).chain(self.phone.clone()).any(|text| body.contains(&text.trim().to_lowercase()))
    }
}

fn is_same_phone(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let is_number = other.chars().all(|letter| letter.is_ascii_digit() || "+-(). /".contains(letter));
    is_number && digits(one).len() >= 7 && digits(one) == digits(other)
}

impl Store {
    /// The events of a shop that failed or that nothing handles, and whose bodies name `whom`. Events that wait are left out:
    /// what they are about is known when they are worked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn mentions(&self, shop: &str, whom: &Whom) -> Result<Vec<i64>, StoreError> {
        let mut found = Vec::new();
        let last: i64 = self.reader.read(|connection| {
            Ok(connection.query_row("SELECT coalesce(max(id), 0) FROM webhook_events", [], |row| row.get(0))?)
        })?;
        let mut after = 0;
        while after < last {
            self.reader.read(|connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT e.id FROM webhook_events e WHERE e.id > ?1 AND e.id <= ?2 AND e.source = 'shopify' AND e.shop_domain = ?3 \
                     AND e.erased_at IS NULL AND (e.status = 'failed' OR (e.status = 'completed' \
                       AND (NOT EXISTS (SELECT 1 FROM event_subjects s WHERE s.event_id = e.id) OR e.note LIKE 'stored only:%')))",
                )?;
                let mut rows = statement.query(params![after, after + PAGE, shop])?;
                while let Some(row) = rows.next()? {
                    let id = row.get(0)?;
                    if events::payload(connection, id)?.is_some_and(|payload| whom.is_in(&payload.body)) {
                        found.push(id);
                    }
                }
                Ok(())
            })?;
            after += PAGE;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_values_are_compared() {
        let ann =
            Whom { ids: [100].into(), email: Some("Ann@example.com".into()), phone: Some("+1 (555) 014-2200".into()) };
        for body in [
            r#"{"a":[{"email":"ann@EXAMPLE.com"}]}"#,
            r#"{"customer_id":100}"#,
            r#"{"order":{"id":100}}"#,
            r#"{"order":"gid://shopify/Order/100"}"#,
            r#"{"phone":"15550142200"}"#,
            "not json: ann@example.com",
        ] {
            assert!(ann.is_in(body.as_bytes()), "{body}");
        }
        for body in
            [r#"{"email":"joann@example.com"}"#, r#"{"quantity":100}"#, r#"{"text":"call 15550142200"}"#, "not json"]
        {
            assert!(!ann.is_in(body.as_bytes()), "{body}");
        }
        assert!(!Whom::default().is_in(b"{}") && !Whom::default().is_in(b"anything"));
    }
}
