//! Purchase orders: every document that came is kept as it was understood, and the order is written anew from all of them.

use super::StoreError;
use crate::formats::fault::{Fault, Severity};
use crate::formats::history::{self, State, Told};
use crate::formats::purchase_order::{Line, PurchaseOrder};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::json;

/// Keeps a document, the `part`th of its event, and writes its order anew. The same one again changes nothing.
///
/// # Errors
/// When a statement fails.
pub fn tell(connection: &Connection, event_id: i64, part: i64, order: &PurchaseOrder) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO purchase_order_documents (event_id, part, partner, po_number, release, is_change, document) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id, part) DO UPDATE SET document = excluded.document",
        )?
        .execute(params![
            event_id,
            part,
            order.partner,
            order.number,
            order.release,
            order.is_change,
            json!(order).to_string()
        ])?;
    // A change that names no release belongs to the one release that there is: what comes may decide that anew for all.
    let (partner, number) = (order.partner.as_str(), order.number.as_str());
    let mut releases = releases(connection, (partner, number), "0, 1")?;
    if releases.len() == 1 || !releases.iter().any(String::is_empty) {
        releases = vec![order.release.clone()];
    }
    for release in &releases {
        write(connection, (partner, number, release), event_id)?;
    }
    Ok(())
}

/// The releases of which there are documents: orders (0), changes (1).
fn releases(connection: &Connection, (partner, number): (&str, &str), which: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT DISTINCT release FROM purchase_order_documents WHERE partner = ? AND po_number = ? AND is_change IN ({which})"
    ))?;
    Ok(statement.query_map(params![partner, number], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Whose changes those without a release are: the one release of which the order came, where it has one.
fn heir(connection: &Connection, key: (&str, &str)) -> Result<Option<String>, StoreError> {
    let mut orders = releases(connection, key, "0")?;
    Ok(if orders.len() == 1 { orders.pop() } else { None })
}

/// Takes an order out of the tables that are written anew from its documents.
fn clear(connection: &Connection, (partner, number, release): (&str, &str, &str)) -> Result<(), StoreError> {
    for table in ["purchase_orders", "purchase_order_lines", "purchase_order_parts", "purchase_order_changes"] {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE partner = ? AND po_number = ? AND release = ?"))?
            .execute(params![partner, number, release])?;
    }
    Ok(())
}

/// Writes the orders of a partner anew: after it was said how the partner's quantities are meant.
///
/// # Errors
/// When a statement fails.
pub fn tell_again(connection: &Connection, partner: &str) -> Result<usize, StoreError> {
    let orders: Vec<(String, String, i64)> = connection
        .prepare_cached(
            "SELECT po_number, release, last_event_id FROM purchase_orders WHERE partner = ? AND changes > 0",
        )?
        .query_map([partner], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (number, release, event_id) in &orders {
        write(connection, (partner, number, release), *event_id)?;
    }
    Ok(orders.len())
}

/// An order as it stands.
///
/// # Errors
/// When a query fails.
pub(super) fn state(connection: &Connection, key: (&str, &str, &str)) -> Result<State, StoreError> {
    let delta = mapping(connection, key.0)?.is_some_and(|(_, quantity)| quantity == "delta");
    Ok(history::fold(&told(connection, key)?, delta))
}

/// All that came of an order.
fn told(connection: &Connection, (partner, number, release): (&str, &str, &str)) -> Result<Vec<Told>, StoreError> {
    let heir = heir(connection, (partner, number))?;
    let also = heir.filter(|heir| heir == release).map(|_| "");
    Ok(connection
        .prepare_cached(
            "SELECT event_id, part, document FROM purchase_order_documents WHERE partner = ? AND po_number = ? AND release IN (?, ?)",
        )?
        .query_map(params![partner, number, release, also.unwrap_or(release)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))
        })?
        .map(|row| {
            let (event_id, part, document) = row?;
            let order = serde_json::from_str(&document).unwrap_or_default();
            Ok(Told { order, event_id, part })
        })
        .collect::<rusqlite::Result<_>>()?)
}

/// A partner's customer, and how it means quantities.
fn mapping(connection: &Connection, partner: &str) -> Result<Option<(String, String)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT customer, quantity FROM sps_partner_mappings WHERE partner = ?")?
        .query_row([partner], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

fn write(connection: &Connection, key: (&str, &str, &str), last_event_id: i64) -> Result<(), StoreError> {
    let (partner, number, release) = key;
    if release.is_empty() && heir(connection, (partner, number))?.is_some_and(|heir| !heir.is_empty()) {
        // They belong to the order with a release.
        return clear(connection, key);
    }
    let mapping = mapping(connection, partner)?;
    let state = state(connection, key)?;
    clear(connection, key)?;
    header(connection, key, &state, mapping.as_ref().map(|(customer, _)| customer.as_str()), last_event_id)?;
    for (index, line) in state.order.lines.iter().enumerate() {
        let position = place(index);
        connection
            .prepare_cached(
                "INSERT INTO purchase_order_lines (partner, po_number, release, position, line_number, status, quantity, unit, price, \
                 price_basis, buyer_item, vendor_item, upc, gtin, description, pack) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                partner,
                number,
                release,
                position,
                line.number,
                state.lines[index].as_str(),
                line.quantity,
                line.unit,
                line.price,
                line.price_basis,
                line.buyer_item(),
                line.vendor_item(),
                line.upc(),
                line.gtin(),
                line.description,
                line.pack
            ])?;
        of_line(connection, key, position, line)?;
    }
    connection
        .prepare_cached(
            "UPDATE purchase_order_lines SET (item, item_unit, item_quantity) = (SELECT m.item, m.item_unit, m.item_quantity \
               FROM purchase_order_line_mappings m WHERE m.partner = purchase_order_lines.partner \
               AND m.po_number = purchase_order_lines.po_number AND m.release = purchase_order_lines.release \
               AND m.position = purchase_order_lines.position) \
             WHERE partner = ? AND po_number = ? AND release = ?",
        )?
        .execute(params![partner, number, release])?;
    for (index, step) in state.steps.iter().enumerate() {
        connection
            .prepare_cached(
                "INSERT INTO purchase_order_changes (partner, po_number, release, step, event_id, sequence, changed_on, line_number, \
                 code, outcome, said) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                partner,
                number,
                release,
                place(index),
                step.event_id,
                step.sequence,
                step.changed_on,
                step.line_number,
                step.code,
                step.outcome.as_str(),
                step.said
            ])?;
    }
    Ok(())
}

fn place(index: usize) -> i64 {
    i64::try_from(index).map_or(i64::MAX, |index| index + 1)
}

fn header(
    connection: &Connection,
    (partner, number, release): (&str, &str, &str),
    state: &State,
    customer: Option<&str>,
    last_event_id: i64,
) -> Result<(), StoreError> {
    let order = &state.order;
    connection
        .prepare_cached(
            "INSERT INTO purchase_orders (partner, po_number, release, status, customer, attention, purpose, kind, ordered_on, currency, \
             department, vendor, contract, is_test, stated_lines, stated_total, lines_total, changes, event_id, last_event_id) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            partner,
            number,
            release,
            state.status.as_str(),
            customer,
            state.attention(),
            order.purpose,
            order.kind,
            order.ordered_on,
            order.currency,
            order.department,
            order.vendor,
            order.contract,
            order.is_test,
            order.stated_lines,
            order.stated_total,
            state.total(),
            place(state.changes) - 1,
            state.event_id,
            last_event_id
        ])?;
    let mut rows = Rows { connection, key: (partner, number, release), position: 0 };
    rows.all("date", &order.dates, |date| (Some(&date.qualifier), date.on.as_ref()))?;
    rows.all("reference", &order.references, |part| (Some(&part.qualifier), part.value.as_ref()))?;
    rows.all("contact", &order.contacts, |part| (Some(&part.kind), part.name.as_ref()))?;
    rows.all("address", &order.addresses, |part| (Some(&part.kind), part.name.as_ref().or(part.id.as_ref())))?;
    rows.all("terms", &order.terms, |part| (part.kind.as_ref(), part.description.as_ref().or(part.net_days.as_ref())))?;
    rows.all("carrier", &order.carriers, |part| (part.code.as_ref(), part.routing.as_ref()))?;
    rows.all("allowance", &order.allowances, |part| (part.code.as_ref(), part.amount.as_ref()))?;
    rows.all("note", &order.notes, |note| (None, Some(note)))
}

fn of_line(connection: &Connection, key: (&str, &str, &str), position: i64, line: &Line) -> Result<(), StoreError> {
    let mut rows = Rows { connection, key, position };
    rows.all("id", &line.ids, |id| (Some(&id.qualifier), Some(&id.value)))?;
    rows.all("date", &line.dates, |date| (Some(&date.qualifier), date.on.as_ref()))?;
    rows.all("reference", &line.references, |part| (Some(&part.qualifier), part.value.as_ref()))?;
    rows.all("address", &line.addresses, |part| (Some(&part.kind), part.name.as_ref().or(part.id.as_ref())))?;
    rows.all("allowance", &line.allowances, |part| (part.code.as_ref(), part.amount.as_ref()))?;
    rows.all("schedule", &line.schedules, |part| (part.location.as_ref().or(part.on.as_ref()), Some(&part.quantity)))?;
    rows.all("note", &line.notes, |note| (None, Some(note)))
}

/// Writes `purchase_order_parts` of an order or a line.
struct Rows<'c> {
    connection: &'c Connection,
    key: (&'c str, &'c str, &'c str),
    position: i64,
}

impl Rows<'_> {
    fn all<T: Serialize>(
        &mut self,
        kind: &str,
        parts: &[T],
        shown: impl Fn(&T) -> (Option<&String>, Option<&String>),
    ) -> Result<(), StoreError> {
        let (partner, number, release) = self.key;
        for (index, part) in parts.iter().enumerate() {
            let (code, value) = shown(part);
            self.connection
                .prepare_cached(
                    "INSERT INTO purchase_order_parts (partner, po_number, release, position, kind, place, code, value, details) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    partner,
                    number,
                    release,
                    self.position,
                    kind,
                    place(index),
                    code,
                    value,
                    json!(part).to_string()
                ])?;
        }
        Ok(())
    }
}

/// Most faults of one file that are kept.
const FAULTS_MAX: usize = 1_000;

/// Keeps what was wrong with a file; `part` is 0 for the file itself.
///
/// # Errors
/// When a statement fails.
pub fn faults(connection: &Connection, event_id: i64, faults: &[(i64, Fault)]) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM edi_faults WHERE event_id = ?")?.execute([event_id])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO edi_faults (event_id, place, severity, part, line, position, at, said) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for (index, (part, fault)) in faults.iter().take(FAULTS_MAX).enumerate() {
        let severity = if fault.severity == Severity::Error { "error" } else { "warning" };
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        statement.execute(params![
            event_id,
            place(index),
            severity,
            part,
            number(fault.line),
            number(fault.position),
            fault.at,
            fault.text
        ])?;
    }
    Ok(())
}
