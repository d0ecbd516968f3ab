//! Purchase orders for people: a list, and one as on paper.

use super::StoreError;
use crate::formats::purchase_order::PurchaseOrder;
use rusqlite::{Connection, params};
use serde::Serialize;
use std::fmt;

/// Which ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub partner: Option<String>,
    pub attention: bool,
    pub limit: u32,
}

/// One of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub partner: String,
    pub po_number: String,
    pub release: String,
    pub status: String,
    pub customer: Option<String>,
    pub ordered_on: Option<String>,
    pub lines: u64,
    pub unmapped: u64,
    pub changes: u64,
    pub lines_total: Option<String>,
    pub attention: Option<String>,
    pub event_id: Option<i64>,
}

/// A line of a paper.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct PaperLine {
    pub line_number: Option<String>,
    pub status: String,
    pub quantity: Option<String>,
    pub unit: Option<String>,
    pub price: Option<String>,
    pub number: Option<String>,
    pub description: Option<String>,
    pub item: Option<String>,
    pub item_quantity: Option<String>,
}

/// An order as on paper.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Paper {
    pub partner: String,
    pub po_number: String,
    pub release: String,
    pub status: String,
    pub customer: Option<String>,
    pub ordered_on: Option<String>,
    pub currency: Option<String>,
    pub total: Option<String>,
    pub attention: Option<String>,
    /// Addresses, dates, terms and notes: what it is, and the text.
    pub details: Vec<(String, String)>,
    pub lines: Vec<PaperLine>,
    pub changes: Vec<String>,
    /// Invoices and ship notices that went out for it, and how far each is.
    pub sent: Vec<String>,
}

/// The newest orders that fit.
///
/// # Errors
/// When the query fails.
pub fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Row>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT o.partner, o.po_number, o.release, o.status, o.customer, o.ordered_on, \
           (SELECT count(*) FROM purchase_order_lines l WHERE l.partner = o.partner AND l.po_number = o.po_number AND l.release = o.release), \
           (SELECT count(*) FROM purchase_order_lines l WHERE l.partner = o.partner AND l.po_number = o.po_number AND l.release = o.release \
              AND l.item IS NULL AND l.status = 'open') AS unmapped, \
           o.changes, o.lines_total, o.attention, o.event_id FROM purchase_orders o \
         WHERE (?1 IS NULL OR o.partner = ?1) AND (NOT ?2 OR o.attention IS NOT NULL OR o.customer IS NULL OR unmapped > 0) \
         ORDER BY o.last_event_id DESC, o.po_number LIMIT ?3",
    )?;
    let rows = statement.query_map(params![filter.partner, filter.attention, filter.limit], |row| {
        Ok(Row {
            partner: row.get(0)?,
            po_number: row.get(1)?,
            release: row.get(2)?,
            status: row.get(3)?,
            customer: row.get(4)?,
            ordered_on: row.get(5)?,
            lines: row.get(6)?,
            unmapped: row.get(7)?,
            changes: row.get(8)?,
            lines_total: row.get(9)?,
            attention: row.get(10)?,
            event_id: row.get(11)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The orders of a number, of one partner or of all.
///
/// # Errors
/// When a query fails.
pub fn find(connection: &Connection, number: &str, partner: Option<&str>) -> Result<Vec<Paper>, StoreError> {
    let mut papers: Vec<Paper> = connection
        .prepare_cached(
            "SELECT partner, po_number, release, status, customer, ordered_on, currency, coalesce(lines_total, stated_total), attention \
             FROM purchase_orders WHERE po_number = ?1 AND (?2 IS NULL OR partner = ?2) ORDER BY partner, release",
        )?
        .query_map(params![number, partner], |row| {
            Ok(Paper {
                partner: row.get(0)?,
                po_number: row.get(1)?,
                release: row.get(2)?,
                status: row.get(3)?,
                customer: row.get(4)?,
                ordered_on: row.get(5)?,
                currency: row.get(6)?,
                total: row.get(7)?,
                attention: row.get(8)?,
                ..Paper::default()
            })
        })?
        .collect::<Result<_, _>>()?;
    for paper in &mut papers {
        let key = params![paper.partner, paper.po_number, paper.release];
        paper.lines = connection
            .prepare_cached(
                "SELECT line_number, status, quantity, unit, price, coalesce(vendor_item, buyer_item, gtin, upc), description, item, \
                 item_quantity || coalesce(' ' || item_unit, '') FROM purchase_order_lines \
                 WHERE partner = ? AND po_number = ? AND release = ? ORDER BY position",
            )?
            .query_map(key, |row| {
                Ok(PaperLine {
                    line_number: row.get(0)?,
                    status: row.get(1)?,
                    quantity: row.get(2)?,
                    unit: row.get(3)?,
                    price: row.get(4)?,
                    number: row.get(5)?,
                    description: row.get(6)?,
                    item: row.get(7)?,
                    item_quantity: row.get(8)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        paper.details = connection
            .prepare_cached(
                "SELECT kind || coalesce(' ' || code, ''), coalesce(value, '') FROM purchase_order_parts \
                 WHERE partner = ? AND po_number = ? AND release = ? AND position = 0 ORDER BY kind, place",
            )?
            .query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        paper.changes = connection
            .prepare_cached(
                "SELECT coalesce(changed_on || ' ', '') || coalesce('change ' || sequence || ', ', '') \
                 || coalesce('line ' || line_number || ', ', '') || coalesce(code || ': ', '') || said \
                 || CASE outcome WHEN 'applied' THEN '' ELSE ' [' || outcome || ']' END || ' (event ' || event_id || ')' \
                 FROM purchase_order_changes WHERE partner = ? AND po_number = ? AND release = ? ORDER BY step",
            )?
            .query_map(key, |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        paper.sent = connection
            .prepare_cached(
                "SELECT substr(s.sent_at, 1, 10) || CASE s.kind WHEN '810' THEN ' invoice ' ELSE ' ship notice ' END || s.number \
                 || coalesce(' of ' || s.total, '') || ', ' \
                 || coalesce((SELECT group_concat(d.destination || ': ' || d.status, ', ') FROM destination_deliveries d \
                              WHERE d.event_id = s.event_id), 'not handed on yet') || ' (event ' || s.event_id || ')' \
                 FROM edi_sent s WHERE (s.kind, s.partner, s.number) IN (SELECT l.kind, l.partner, l.number FROM edi_sent_lines l \
                 WHERE l.partner = ?1 AND l.po_number = ?2 AND l.release = ?3) ORDER BY s.sent_at, s.event_id",
            )?
            .query_map(key, |row| row.get(0))?
            .collect::<Result<_, _>>()?;
    }
    Ok(papers)
}

/// An order as it was read, not stored.
#[must_use]
pub fn paper(order: &PurchaseOrder) -> Paper {
    let mut details = Vec::new();
    for date in &order.dates {
        details.push((format!("date {}", date.qualifier), date.on.clone().unwrap_or_default()));
    }
    for address in &order.addresses {
        let parts = [&address.name, &address.id, &address.city, &address.state].into_iter().flatten();
        let text: Vec<&str> = parts.map(String::as_str).chain(address.lines.iter().map(String::as_str)).collect();
        details.push((format!("address {}", address.kind), text.join(", ")));
    }
    for part in &order.allowances {
        let amount = part.amount.clone().or_else(|| part.percent.as_ref().map(|percent| format!("{percent} %")));
        details.push((
            format!("allowance {} {}", part.kind, part.code.as_deref().unwrap_or("")),
            amount.unwrap_or_default(),
        ));
    }
    details.extend(order.notes.iter().map(|note| ("note".to_owned(), note.clone())));
    Paper {
        partner: order.partner.clone(),
        po_number: order.number.clone(),
        release: order.release.clone(),
        status: if order.is_change { "change" } else { "order" }.to_owned(),
        customer: None,
        ordered_on: order.ordered_on.clone(),
        currency: order.currency.clone(),
        total: order.stated_total.clone(),
        attention: order.is_test.then(|| "a test: not to be shipped".to_owned()),
        details,
        lines: order
            .lines
            .iter()
            .map(|line| PaperLine {
                line_number: line.number.clone(),
                status: line.change.clone().unwrap_or_default(),
                quantity: line.quantity.clone(),
                unit: line.unit.clone(),
                price: line.price.clone(),
                number: line.vendor_item().or(line.buyer_item()).or(line.gtin()).or(line.upc()).map(str::to_owned),
                description: line.description.clone(),
                item: None,
                item_quantity: None,
            })
            .collect(),
        changes: Vec::new(),
        sent: Vec::new(),
    }
}

impl fmt::Display for Paper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        // People read it on a terminal: nothing in it may steer that.
        let safe = |text: String| text.replace(|letter: char| letter.is_control(), " ");
        let release = if self.release.is_empty() { String::new() } else { format!(", release {}", self.release) };
        writeln!(f, "{}", safe(format!("PURCHASE ORDER {}{release}   {}", self.po_number, self.status)))?;
        let customer = self.customer.as_ref().map_or(String::new(), |customer| format!(" (customer {customer})"));
        writeln!(f, "{}", safe(format!("from {}{customer}   ordered {}", self.partner, text(&self.ordered_on))))?;
        if let Some(attention) = &self.attention {
            writeln!(f, "LOOK AT: {}", safe(attention.clone()))?;
        }
        for (what, said) in &self.details {
            writeln!(f, "  {}", safe(format!("{what:<16} {said}")))?;
        }
        for line in &self.lines {
            let item = match (&line.item, &line.item_quantity) {
                (Some(item), Some(quantity)) => format!("  → {item} {quantity}"),
                (Some(item), None) => format!("  → {item}"),
                _ => String::new(),
            };
            let status = if ["open", ""].contains(&line.status.as_str()) {
                String::new()
            } else {
                format!("  [{}]", line.status)
            };
            let said = format!(
                "  {:>5} {:>10} {:<3} {:>10}  {:<20} {}{item}{status}",
                text(&line.line_number),
                text(&line.quantity),
                text(&line.unit),
                text(&line.price),
                text(&line.number),
                text(&line.description)
            );
            writeln!(f, "{}", safe(said))?;
        }
        if let Some(total) = &self.total {
            writeln!(f, "  total {}", safe(format!("{total} {}", text(&self.currency))))?;
        }
        for said in self.changes.iter().chain(&self.sent) {
            writeln!(f, "  {}", safe(said.clone()))?;
        }
        Ok(())
    }
}
