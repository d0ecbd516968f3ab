//! Search for events by words that people know: an order's name, a customer, a tracking code, an SKU, any number, or a
//! part of one.
//!
//! The search finds the subjects that the ERP tables have for the words. The table `event_subjects` gives the events
//! about these subjects. Four steps keep the cost independent of the size of the database:
//!
//! 1. [`LOOKUPS`] find the whole text in an index, [`PREFIX_LOOKUPS`] its start, both among all rows.
//! 2. [`SCANS`] compare each word with the newest [`SCAN_ROWS_MAX`] rows of a table, also in the middle of a text.
//! 3. An event that failed or waits has no rows. Its body is compared, within [`BODIES_MAX`] and [`BODY_BYTES_MAX`].
//! 4. At most [`SUBJECTS_PER_LOOKUP_MAX`] subjects of each lookup count.

use crate::store::StoreError;
use crate::store::events::records;
use crate::store::events::records::EventRecord;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, ToSql, params};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most subjects that one lookup returns.
const SUBJECTS_PER_LOOKUP_MAX: usize = 500;
/// Most rows of a table in which a part of a word is searched, the newest ones.
pub const SCAN_ROWS_MAX: usize = 20_000;
/// Most bodies of failed and of waiting events that are searched, the newest ones of each.
const BODIES_MAX: u32 = 200;
/// Most bytes of bodies that are searched, and one body more.
const BODY_BYTES_MAX: usize = 32 << 20;

/// Events that match, the best and newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchResult {
    pub hits: Vec<SearchHit>,
    /// True if more events match than the limit.
    pub has_more: bool,
    /// True if a table has older rows, in which no part of a word was searched.
    pub skipped_old_rows: bool,
}

/// An event and the subject by which the search found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHit {
    pub event: EventRecord,
    /// Kind and key of the subject: `order 820982911946154508`; or `its body`.
    pub about: String,
}

/// Subject by which events are found; without a shop, subjects of every shop count.
type FoundSubject = (String, String, Option<String>);

/// The lookups of the whole text: the kind of the subject, and the query for it, whose columns are shop domain and key.
const LOOKUPS: &[(&str, &str)] = &[
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE name IN (?1, '#' || ?1) LIMIT ?2"),
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE email = ?1 COLLATE NOCASE LIMIT ?2"),
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE po_number = ?1 LIMIT ?2"),
    ("customer", "SELECT shop_domain, customer_id FROM customers WHERE email = ?1 COLLATE NOCASE LIMIT ?2"),
    ("customer", "SELECT shop_domain, customer_id FROM customers WHERE last_name = ?1 COLLATE NOCASE LIMIT ?2"),
    // The query reads the index from its end, because an SKU can be on very many lines: the newest are enough.
    (
        "order",
        "SELECT shop_domain, order_id FROM sales_order_lines WHERE sku_key = upper(replace(?1, ' ', '-')) \
         ORDER BY shop_domain DESC, rowid DESC LIMIT ?2",
    ),
    ("product", "SELECT shop_domain, product_id FROM product_variants WHERE sku = ?1 LIMIT ?2"),
    ("tracking_code", "SELECT NULL, upper(replace(replace(?1, ' ', ''), '-', '')) WHERE ?2 > 0"),
    (
        "order",
        "SELECT f.shop_domain, f.order_id FROM fulfillment_tracking_numbers n JOIN fulfillments f USING (shop_domain, \
         fulfillment_id) WHERE n.number_key = upper(replace(replace(?1, ' ', ''), '-', '')) LIMIT ?2",
    ),
    (
        "order",
        "SELECT shop_domain, order_id FROM shipments WHERE tracking_key = upper(replace(replace(?1, ' ', ''), '-', '')) AND order_id IS NOT NULL \
         LIMIT ?2",
    ),
    ("purchase_order", "SELECT NULL, po_number FROM purchase_orders WHERE po_number = ?1 LIMIT ?2"),
];

/// The lookups of the start of a text: all texts from ?1 to ?3.
const PREFIX_LOOKUPS: &[(&str, &str)] = &[
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE name >= ?1 AND name < ?3 LIMIT ?2"),
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE name >= '#' || ?1 AND name < '#' || ?3 LIMIT ?2"),
    ("order", "SELECT shop_domain, order_id FROM sales_orders WHERE po_number >= ?1 AND po_number < ?3 LIMIT ?2"),
    (
        "order",
        "SELECT shop_domain, order_id FROM sales_orders WHERE email >= ?1 COLLATE NOCASE AND email < ?3 COLLATE NOCASE \
         LIMIT ?2",
    ),
    (
        "customer",
        "SELECT shop_domain, customer_id FROM customers WHERE email >= ?1 COLLATE NOCASE AND email < ?3 COLLATE NOCASE \
         LIMIT ?2",
    ),
    (
        "customer",
        "SELECT shop_domain, customer_id FROM customers WHERE last_name >= ?1 COLLATE NOCASE \
         AND last_name < ?3 COLLATE NOCASE LIMIT ?2",
    ),
    (
        "order",
        "SELECT shop_domain, order_id FROM sales_order_lines WHERE sku_key >= upper(replace(?1, ' ', '-')) AND sku_key < upper(replace(?3, ' ', '-')) \
         LIMIT ?2",
    ),
    ("product", "SELECT shop_domain, product_id FROM product_variants WHERE sku >= ?1 AND sku < ?3 LIMIT ?2"),
    (
        "tracking_code",
        "SELECT NULL, tracking_key FROM shipments WHERE tracking_key >= upper(replace(replace(?1, ' ', ''), '-', '')) \
         AND tracking_key < upper(replace(replace(?3, ' ', ''), '-', '')) LIMIT ?2",
    ),
    (
        "tracking_code",
        "SELECT NULL, number_key FROM fulfillment_tracking_numbers WHERE number_key >= upper(replace(replace(?1, ' ', ''), '-', '')) \
         AND number_key < upper(replace(replace(?3, ' ', ''), '-', '')) LIMIT ?2",
    ),
    ("purchase_order", "SELECT NULL, po_number FROM purchase_orders WHERE po_number >= ?1 AND po_number < ?3 LIMIT ?2"),
];

/// The lookup of a first and a last name.
const FULL_NAME_LOOKUP: &str = "SELECT shop_domain, customer_id FROM customers WHERE last_name = ?1 COLLATE NOCASE \
                                AND first_name = ?3 COLLATE NOCASE LIMIT ?2";

/// The newest rows of each table with texts that people know: the kind of the subject, and the query, whose columns are
/// shop domain, key and the texts.
const SCANS: &[(&str, &str)] = &[
    ("order", "SELECT shop_domain, order_id, name, email, po_number FROM sales_orders ORDER BY rowid DESC LIMIT ?"),
    (
        "order",
        "SELECT shop_domain, order_id, first_name, last_name, company FROM sales_order_addresses ORDER BY rowid DESC LIMIT ?",
    ),
    (
        "order",
        "SELECT shop_domain, order_id, title, variant_title, sku FROM sales_order_lines ORDER BY rowid DESC LIMIT ?",
    ),
    (
        "customer",
        "SELECT shop_domain, customer_id, first_name, last_name, email FROM customers ORDER BY rowid DESC LIMIT ?",
    ),
    (
        "customer",
        "SELECT shop_domain, customer_id, first_name, last_name, company FROM customer_addresses ORDER BY rowid DESC LIMIT ?",
    ),
    ("product", "SELECT shop_domain, product_id, title FROM products ORDER BY rowid DESC LIMIT ?"),
    (
        "product",
        "SELECT shop_domain, product_id, title, sku, barcode FROM product_variants ORDER BY rowid DESC LIMIT ?",
    ),
    ("tracking_code", "SELECT NULL, tracking_key, tracking_code FROM shipments ORDER BY rowid DESC LIMIT ?"),
    ("tracking_code", "SELECT NULL, number_key, number FROM fulfillment_tracking_numbers ORDER BY rowid DESC LIMIT ?"),
    ("easypost", "SELECT NULL, id, reference FROM easypost_objects ORDER BY rowid DESC LIMIT ?"),
    (
        "purchase_order",
        "SELECT NULL, po_number, po_number, partner, customer FROM purchase_orders ORDER BY rowid DESC LIMIT ?",
    ),
    (
        "purchase_order",
        "SELECT NULL, po_number, description, vendor_item, buyer_item, upc, gtin, item FROM purchase_order_lines \
         ORDER BY rowid DESC LIMIT ?",
    ),
    // The names of its addresses are among the parts of a purchase order.
    ("purchase_order", "SELECT NULL, po_number, value FROM purchase_order_parts ORDER BY rowid DESC LIMIT ?"),
    ("purchase_order", "SELECT NULL, po_number, value FROM purchase_order_extras ORDER BY rowid DESC LIMIT ?"),
];

/// Returns the events about the subjects that `text` names: those of the whole text first, then those of a part.
pub fn search_events(connection: &Connection, text: &str, limit: u32) -> Result<SearchResult, StoreError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(SearchResult::default());
    }
    let mut whole = find_whole_text(connection, text)?;
    let (mut partial, skipped_old_rows) = find_parts(connection, text)?;
    add_related_subjects(connection, &mut whole)?;
    add_related_subjects(connection, &mut partial)?;
    let mut found: BTreeMap<i64, (u8, String)> = BTreeMap::new();
    for (rank, subjects) in [(0, &whole), (1, &partial)] {
        for subject in subjects {
            for id in list_events_about(connection, subject, limit)? {
                found.entry(id).or_insert_with(|| (rank, format!("{} {}", subject.0, subject.1)));
            }
        }
    }
    for id in find_bodies(connection, text)? {
        found.entry(id).or_insert_with(|| (1, "its body".to_owned()));
    }
    let mut ranked: Vec<(u8, Reverse<i64>, String)> =
        found.into_iter().map(|(id, (rank, about))| (rank, Reverse(id), about)).collect();
    ranked.sort();
    let has_more = ranked.len() > limit as usize;
    ranked.truncate(limit as usize);
    let mut hits = Vec::new();
    for (_, Reverse(id), about) in ranked {
        hits.extend(records::find_event(connection, id)?.map(|event| SearchHit { event, about }));
    }
    Ok(SearchResult { hits, has_more, skipped_old_rows })
}

/// Returns the subjects of one kind that `text` names, or a part of it: key and shop; without a shop, those of every
/// shop.
pub fn find_subjects(
    connection: &Connection,
    text: &str,
    kind: &str,
) -> Result<Vec<(String, Option<String>)>, StoreError> {
    let mut subjects = find_whole_text(connection, text)?;
    subjects.extend(find_parts(connection, text)?.0);
    add_related_subjects(connection, &mut subjects)?;
    Ok(subjects.into_iter().filter(|subject| subject.0 == kind).map(|(_, key, shop)| (key, shop)).collect())
}

/// Returns the newest events about a subject; one more than the limit, which shows that there are more.
fn list_events_about(connection: &Connection, subject: &FoundSubject, limit: u32) -> Result<Vec<i64>, StoreError> {
    let (kind, key, shop_domain) = subject;
    let limit = i64::from(limit) + 1;
    let ids = match shop_domain {
        Some(shop_domain) => connection
            .prepare_cached(
                "SELECT event_id FROM event_subjects WHERE key = ? AND kind = ? AND shop_domain = ? \
                 ORDER BY event_id DESC LIMIT ?",
            )?
            .query_map(params![key, kind, shop_domain, limit], |row| row.get(0))?
            .collect::<Result<_, _>>()?,
        None => connection
            .prepare_cached(
                "SELECT event_id FROM event_subjects WHERE key = ? AND kind = ? ORDER BY event_id DESC LIMIT ?",
            )?
            .query_map(params![key, kind, limit], |row| row.get(0))?
            .collect::<Result<_, _>>()?,
    };
    Ok(ids)
}

fn find_whole_text(connection: &Connection, text: &str) -> Result<BTreeSet<FoundSubject>, StoreError> {
    let mut subjects = BTreeSet::new();
    for (kind, sql) in LOOKUPS {
        collect_subjects(connection, kind, sql, &[&text, &SUBJECTS_PER_LOOKUP_MAX], &mut subjects)?;
    }
    for (index, _) in text.match_indices(char::is_whitespace) {
        let (before, after) = (text[..index].trim_matches(is_separator), text[index..].trim_matches(is_separator));
        for (first_name, last_name) in [(before, after), (after, before)] {
            let values: [&dyn ToSql; 3] = [&last_name, &SUBJECTS_PER_LOOKUP_MAX, &first_name];
            collect_subjects(connection, "customer", FULL_NAME_LOOKUP, &values, &mut subjects)?;
        }
    }
    // The text itself may be the key of a subject of any kind.
    let mut direct = connection.prepare_cached("SELECT DISTINCT kind FROM event_subjects WHERE key = ? LIMIT 100")?;
    let kinds: Vec<String> = direct.query_map([text], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for kind in kinds {
        subjects.insert((kind, text.to_owned(), None));
    }
    Ok(subjects)
}

/// Returns the subjects that have each word, and true if a scan skipped old rows.
fn find_parts(connection: &Connection, text: &str) -> Result<(BTreeSet<FoundSubject>, bool), StoreError> {
    let mut subjects = BTreeSet::new();
    let end = format!("{text}\u{10ffff}");
    for (kind, sql) in PREFIX_LOOKUPS {
        collect_subjects(connection, kind, sql, &[&text, &SUBJECTS_PER_LOOKUP_MAX, &end], &mut subjects)?;
    }
    let words = text.split(is_separator).filter(|word| !word.is_empty()).map(str::to_lowercase);
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        return Ok((subjects, false));
    }
    let mut skipped_old_rows = false;
    for (kind, sql) in SCANS {
        let mut statement = connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([SCAN_ROWS_MAX])?;
        let (mut row_count, mut subject_count) = (0, 0);
        while let Some(row) = rows.next()? {
            row_count += 1;
            let mut haystack = String::new();
            for column in 2..columns {
                if let Ok(value) = row.get_ref(column)?.as_str() {
                    haystack.push_str(value);
                    haystack.push(' ');
                }
            }
            let haystack = haystack.to_lowercase();
            if words.iter().all(|word| haystack.contains(word)) {
                subjects.insert(((*kind).to_owned(), read_key(row.get(1)?), row.get(0)?));
                subject_count += 1;
                if subject_count >= SUBJECTS_PER_LOOKUP_MAX {
                    break;
                }
            }
        }
        skipped_old_rows |= row_count >= SCAN_ROWS_MAX;
    }
    Ok((subjects, skipped_old_rows))
}

/// Returns true for a character between two words: `Lovelace, Ada`.
fn is_separator(letter: char) -> bool {
    letter.is_whitespace() || letter == ','
}

fn collect_subjects(
    connection: &Connection,
    kind: &str,
    sql: &str,
    values: &[&dyn ToSql],
    subjects: &mut BTreeSet<FoundSubject>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        subjects.insert((kind.to_owned(), read_key(row.get(1)?), row.get(0)?));
    }
    Ok(())
}

fn read_key(value: SqlValue) -> String {
    match value {
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Text(text) => text,
        _ => String::new(),
    }
}

/// Adds the orders of found customers and packages.
fn add_related_subjects(connection: &Connection, subjects: &mut BTreeSet<FoundSubject>) -> Result<(), StoreError> {
    let mut orders = BTreeSet::new();
    for (kind, key, shop_domain) in &*subjects {
        let (sql, values): (_, &[&dyn ToSql]) = match kind.as_str() {
            "customer" => (
                "SELECT shop_domain, order_id FROM sales_orders WHERE shop_domain = ?2 AND customer_id = ?1 LIMIT 500",
                &[key, shop_domain],
            ),
            "tracking_code" => (
                "SELECT shop_domain, order_id FROM shipments WHERE tracking_key = ?1 AND order_id IS NOT NULL UNION \
                 SELECT f.shop_domain, f.order_id FROM fulfillment_tracking_numbers n JOIN fulfillments f \
                 USING (shop_domain, fulfillment_id) WHERE n.number_key = ?1 AND f.order_id IS NOT NULL LIMIT 500",
                &[key],
            ),
            _ => continue,
        };
        collect_subjects(connection, "order", sql, values, &mut orders)?;
    }
    subjects.append(&mut orders);
    Ok(())
}

/// Returns the failed and the waiting events whose body has the text.
fn find_bodies(connection: &Connection, text: &str) -> Result<Vec<i64>, StoreError> {
    let needle = text.to_lowercase();
    let mut ids = Vec::new();
    let mut bytes = 0;
    for (status, index, order) in [
        ("failed", "webhook_events_failed", "id"),
        ("received", "webhook_events_due", "next_attempt_at"),
        ("processing", "webhook_events_leased", "lease_expires_at"),
    ] {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT p.event_id, p.body FROM (SELECT id FROM webhook_events INDEXED BY {index} WHERE status = '{status}' \
             ORDER BY {order} DESC LIMIT ?) e CROSS JOIN webhook_payloads p ON p.event_id = e.id"
        ))?;
        let mut rows = statement.query([BODIES_MAX])?;
        while bytes < BODY_BYTES_MAX
            && let Some(row) = rows.next()?
        {
            let body: Vec<u8> = row.get(1)?;
            bytes += body.len();
            if has_text(&String::from_utf8_lossy(&body).to_lowercase(), &needle) {
                ids.push(row.get(0)?);
            }
        }
    }
    Ok(ids)
}

/// Returns true if `body` has `needle`. A number must be a whole one there, because bodies are full of long numbers.
fn has_text(body: &str, needle: &str) -> bool {
    let is_number = needle.trim_start_matches('#').bytes().all(|byte| byte.is_ascii_digit());
    let is_word_char = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    body.match_indices(needle).any(|(start, found)| {
        !is_number
            || !(is_word_char(body[..start].chars().next_back())
                || is_word_char(body[start + found.len()..].chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_in_a_body_is_a_whole_one() {
        let body = r##"{"name":"#1234","id":512345,"tag":"x1234","po":"77-1234-a"}"##;
        assert!(has_text(body, "#1234") && has_text(body, "1234") && has_text(body, "512345"));
        assert!(!has_text(body, "123") && !has_text(body, "#123") && !has_text(body, "51234"));
        assert!(has_text(body, "x12"), "a part of a word");
    }
}
