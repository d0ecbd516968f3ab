//! Purchase orders: stores every received document as parsed and rebuilds the order from all of them.

use crate::clock::Timestamp;
use crate::edi::document_purpose::DocumentPurpose;
use crate::edi::purchase_order::{
    AllowanceCharge, CarrierDetails, EdiAddress, EdiAmount, EdiContact, EdiDate, EdiInstruction, EdiReference,
    OrderExtra, PaymentTerms, PurchaseOrder, PurchaseOrderLine,
};
use crate::edi::revisions;
use crate::edi::revisions::{ChangeQuantities, OrderState, ReceivedDocument};
use crate::store::StoreError;
use crate::store::erp::{edi_faults, transmissions};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::json;

/// Stores a document and rebuilds its order. `position` is the document's position in the file of the event. The same
/// document again changes nothing.
pub fn add_document(
    connection: &Connection,
    (event_id, received_at): (i64, Timestamp),
    position: i64,
    order: &PurchaseOrder,
) -> Result<(), StoreError> {
    // A document without a date of its own is as of this day, also when its order is rebuilt later.
    let received_on = received_at.strftime("%Y-%m-%d").to_string();
    connection
        .prepare_cached(
            "INSERT INTO purchase_order_documents (event_id, document_position, partner, po_number, release, is_change, received_on, document) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id, document_position) DO UPDATE SET document = excluded.document",
        )?
        .execute(params![
            event_id,
            position,
            order.partner,
            order.number,
            order.release,
            order.is_change,
            received_on,
            json!(order).to_string()
        ])?;
    // A change without a release belongs to the sole release of the order. Each document may change which one that is.
    let (partner, number) = (order.partner.as_str(), order.number.as_str());
    let mut releases: Vec<String> =
        list_releases(connection, (partner, number))?.into_iter().map(|(release, _)| release).collect();
    releases.dedup();
    if releases.len() == 1 || !releases.iter().any(String::is_empty) {
        releases = vec![order.release.clone()];
    }
    for release in &releases {
        rebuild_order(connection, (partner, number, release))?;
    }
    Ok(())
}

/// Returns the releases with documents, sorted, and whether the documents are orders.
///
/// Changes, cancellations and copies are no orders: they belong to one.
fn list_releases(connection: &Connection, (partner, number): (&str, &str)) -> Result<Vec<(String, bool)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT release, is_change, document ->> '$.purpose', document ->> '$.kind' FROM purchase_order_documents \
         WHERE partner = ? AND po_number = ? ORDER BY release",
    )?;
    let rows = statement.query_map(params![partner, number], |row| {
        let (is_change, purpose, kind) =
            (row.get(1)?, row.get::<_, Option<String>>(2)?, row.get::<_, Option<String>>(3)?);
        let purpose = DocumentPurpose::new(is_change, &purpose.unwrap_or_default(), kind.as_deref());
        Ok((row.get(0)?, !is_change && purpose.is_order()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the release that owns the documents without a release: the only one whose order is here, if there is one.
fn find_sole_release(connection: &Connection, key: (&str, &str)) -> Result<Option<String>, StoreError> {
    let mut orders: Vec<String> = list_releases(connection, key)?
        .into_iter()
        .filter(|(_, is_order)| *is_order)
        .map(|(release, _)| release)
        .collect();
    orders.dedup();
    Ok(if orders.len() == 1 { orders.pop() } else { None })
}

/// Deletes an order from the tables that its documents rebuild.
fn delete_order_rows(
    connection: &Connection,
    (partner, number, release): (&str, &str, &str),
) -> Result<(), StoreError> {
    const TABLES: [&str; 5] = [
        "purchase_orders",
        "purchase_order_lines",
        "purchase_order_parts",
        "purchase_order_extras",
        "purchase_order_changes",
    ];
    for table in TABLES {
        connection
            .prepare_cached(&format!("DELETE FROM {table} WHERE partner = ? AND po_number = ? AND release = ?"))?
            .execute(params![partner, number, release])?;
    }
    Ok(())
}

/// Rebuilds the changed orders of a partner, because its mapping may give quantities another meaning. Returns their
/// number.
pub fn rebuild_orders(connection: &Connection, partner: &str) -> Result<usize, StoreError> {
    let orders: Vec<(String, String)> = connection
        .prepare_cached("SELECT po_number, release FROM purchase_orders WHERE partner = ? AND changes > 0")?
        .query_map([partner], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (number, release) in &orders {
        rebuild_order(connection, (partner, number, release))?;
    }
    Ok(orders.len())
}

/// Returns the current state of an order, folded from its documents.
pub(crate) fn load_order_state(connection: &Connection, key: (&str, &str, &str)) -> Result<OrderState, StoreError> {
    let mapping = find_partner_mapping(connection, key.0)?;
    let quantities = mapping.map_or_else(Default::default, |(_, name)| ChangeQuantities::from_name(&name));
    Ok(revisions::fold_documents(&load_documents(connection, key)?, quantities))
}

/// Returns all documents of an order.
fn load_documents(
    connection: &Connection,
    (partner, number, release): (&str, &str, &str),
) -> Result<Vec<ReceivedDocument>, StoreError> {
    let sole_release = find_sole_release(connection, (partner, number))?;
    let without_release = sole_release.filter(|sole| sole == release).map(|_| "");
    Ok(connection
        .prepare_cached(
            "SELECT event_id, document_position, received_on, document FROM purchase_order_documents WHERE partner = ? AND po_number = ? AND release IN (?, ?)",
        )?
        .query_map(params![partner, number, release, without_release.unwrap_or(release)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?))
        })?
        .map(|row| {
            let (event_id, document_position, received_on, document) = row?;
            let order = serde_json::from_str(&document)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(error)))?;
            Ok(ReceivedDocument { order, event_id, document_position, received_on })
        })
        .collect::<rusqlite::Result<_>>()?)
}

/// Returns the customer of a partner, and the meaning of its quantities.
fn find_partner_mapping(connection: &Connection, partner: &str) -> Result<Option<(String, String)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT customer, quantity FROM sps_partner_mappings WHERE partner = ?")?
        .query_row([partner], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

fn rebuild_order(connection: &Connection, key: (&str, &str, &str)) -> Result<(), StoreError> {
    let (partner, number, release) = key;
    if release.is_empty() && find_sole_release(connection, (partner, number))?.is_some_and(|sole| !sole.is_empty()) {
        // These changes belong to the order with a release.
        return delete_order_rows(connection, key);
    }
    let mapping = find_partner_mapping(connection, partner)?;
    let state = load_order_state(connection, key)?;
    delete_order_rows(connection, key)?;
    insert_order_header(connection, key, &state, mapping.as_ref().map(|(customer, _)| customer.as_str()))?;
    for (index, line) in state.order.lines.iter().enumerate() {
        let position = to_ordinal(index);
        connection
            .prepare_cached(
                "INSERT INTO purchase_order_lines (partner, po_number, release, position, line_number, status, quantity, unit, price, \
                 price_basis, currency, buyer_item, vendor_item, upc, gtin, description, pack, pack_size, inner_pack) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                partner,
                number,
                release,
                position,
                line.number,
                state.line_statuses[index].as_str(),
                line.quantity,
                line.unit,
                line.price,
                line.price_basis,
                line.currency,
                line.buyer_item(),
                line.vendor_item(),
                line.upc(),
                line.gtin(),
                line.description,
                line.pack,
                line.pack_size,
                line.inner_pack
            ])?;
        insert_line_parts(connection, key, position, line)?;
    }
    connection
        .prepare_cached(
            "INSERT INTO map_purchase_order_lines SELECT partner, po_number, release, position FROM purchase_order_lines \
             WHERE partner = ? AND po_number = ? AND release = ?",
        )?
        .execute(params![partner, number, release])?;
    for (index, revision) in state.revisions.iter().enumerate() {
        connection
            .prepare_cached(
                "INSERT INTO purchase_order_changes (partner, po_number, release, revision, event_id, sequence, changed_on, line_number, \
                 code, outcome, message) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                partner,
                number,
                release,
                to_ordinal(index),
                revision.event_id,
                revision.sequence,
                revision.changed_on,
                revision.line_number,
                revision.code,
                revision.outcome.as_str(),
                revision.message
            ])?;
    }
    Ok(())
}

/// Returns why a person must look at an order: because of its documents, and because of the answers to the documents
/// that were sent for it.
fn describe_attention(
    connection: &Connection,
    key: (&str, &str, &str),
    state: &OrderState,
) -> Result<Option<String>, StoreError> {
    let mut reasons: Vec<String> = state.attention().into_iter().collect();
    reasons.extend(edi_faults::describe_rejected_documents(connection, (key.0, key.1), state.last_event_id)?);
    reasons.extend(transmissions::describe_refused_documents(connection, key)?);
    Ok((!reasons.is_empty()).then(|| reasons.join("; ")))
}

/// Updates the attention of an order after an answer to one of its documents.
pub(crate) fn refresh_attention(connection: &Connection, key: (&str, &str, &str)) -> Result<(), StoreError> {
    let attention = describe_attention(connection, key, &load_order_state(connection, key)?)?;
    connection
        .prepare_cached("UPDATE purchase_orders SET attention = ? WHERE partner = ? AND po_number = ? AND release = ?")?
        .execute(params![attention, key.0, key.1, key.2])?;
    Ok(())
}

/// Updates the attention of the orders to which the rejected documents of an event belong.
pub(crate) fn refresh_orders_of_rejected(connection: &Connection, event_id: i64) -> Result<(), StoreError> {
    let orders: Vec<(String, String, String)> = connection
        .prepare_cached(
            "SELECT DISTINCT o.partner, o.po_number, o.release FROM edi_faults f JOIN purchase_orders o \
             USING (partner, po_number) WHERE f.event_id = ? AND f.severity = 'error'",
        )?
        .query_map([event_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (partner, number, release) in &orders {
        refresh_attention(connection, (partner, number, release))?;
    }
    Ok(())
}

fn to_ordinal(index: usize) -> i64 {
    i64::try_from(index).map_or(i64::MAX, |index| index + 1)
}

fn insert_order_header(
    connection: &Connection,
    (partner, number, release): (&str, &str, &str),
    state: &OrderState,
    customer: Option<&str>,
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
            describe_attention(connection, (partner, number, release), state)?,
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
            state.open_lines_total(),
            to_ordinal(state.change_count) - 1,
            state.event_id,
            state.last_event_id
        ])?;
    let mut parts = OrderPartWriter { connection, key: (partner, number, release), position: 0 };
    parts.insert_dates_and_references(&order.dates, &order.references)?;
    parts.insert_parties(&order.contacts, &order.addresses)?;
    parts.insert_terms_and_carriers(&order.terms, &order.carriers)?;
    parts.insert_allowances(&order.allowances, &order.amounts)?;
    parts.insert_instructions(&order.instructions, &order.notes)?;
    parts.insert_extras(&order.extras)
}

fn insert_line_parts(
    connection: &Connection,
    key: (&str, &str, &str),
    position: i64,
    line: &PurchaseOrderLine,
) -> Result<(), StoreError> {
    let mut parts = OrderPartWriter { connection, key, position };
    parts.insert_parts("id", &line.ids, |id| (Some(&id.qualifier), Some(id.value.clone())))?;
    parts.insert_dates_and_references(&line.dates, &line.references)?;
    parts.insert_parties(&line.contacts, &line.addresses)?;
    parts.insert_terms_and_carriers(&line.terms, &line.carriers)?;
    parts.insert_allowances(&line.allowances, &line.amounts)?;
    parts.insert_parts("price", &line.prices, |part| (part.kind.as_ref(), Some(part.price.clone())))?;
    parts.insert_parts("schedule", &line.schedules, |part| {
        (part.location.as_ref().or(part.on.as_ref()), Some(part.quantity.clone()))
    })?;
    parts.insert_parts("component", &line.components, |part| {
        (part.ids.first().map(|id| &id.value).or(part.number.as_ref()), part.quantity.clone())
    })?;
    parts.insert_instructions(&line.instructions, &line.notes)?;
    parts.insert_extras(&line.all_extras())
}

/// Writer of the `purchase_order_parts` of an order or a line.
struct OrderPartWriter<'c> {
    connection: &'c Connection,
    key: (&'c str, &'c str, &'c str),
    position: i64,
}

impl OrderPartWriter<'_> {
    fn insert_dates_and_references(
        &mut self,
        dates: &[EdiDate],
        references: &[EdiReference],
    ) -> Result<(), StoreError> {
        self.insert_parts("date", dates, |date| (Some(&date.qualifier), date.on.clone()))?;
        self.insert_parts("reference", references, |part| (Some(&part.qualifier), part.value.clone()))
    }

    fn insert_parties(&mut self, contacts: &[EdiContact], addresses: &[EdiAddress]) -> Result<(), StoreError> {
        self.insert_parts("contact", contacts, |part| (Some(&part.kind), part.name.clone()))?;
        self.insert_parts("address", addresses, |part| (Some(&part.kind), part.name.clone().or(part.id.clone())))
    }

    fn insert_terms_and_carriers(
        &mut self,
        terms: &[PaymentTerms],
        carriers: &[CarrierDetails],
    ) -> Result<(), StoreError> {
        self.insert_parts("terms", terms, |part| {
            (part.kind.as_ref(), part.description.clone().or(part.net_days.clone()))
        })?;
        self.insert_parts("carrier", carriers, |part| (part.code.as_ref(), part.routing.clone()))
    }

    fn insert_allowances(&mut self, allowances: &[AllowanceCharge], amounts: &[EdiAmount]) -> Result<(), StoreError> {
        self.insert_parts("allowance", allowances, |part| (part.code.as_ref(), part.describe_value()))?;
        self.insert_parts("amount", amounts, |part| (Some(&part.qualifier), Some(part.amount.clone())))
    }

    fn insert_instructions(&mut self, instructions: &[EdiInstruction], notes: &[String]) -> Result<(), StoreError> {
        self.insert_parts("instruction", instructions, |part| (Some(&part.kind), part.description.clone()))?;
        self.insert_parts("note", notes, |note| (None, Some(note.clone())))
    }

    fn insert_extras(&self, extras: &[OrderExtra]) -> Result<(), StoreError> {
        let (partner, number, release) = self.key;
        for (index, extra) in extras.iter().enumerate() {
            self.connection
                .prepare_cached(
                    "INSERT INTO purchase_order_extras (partner, po_number, release, position, ordinal, location, name, value) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    partner,
                    number,
                    release,
                    self.position,
                    to_ordinal(index),
                    extra.location,
                    extra.name,
                    extra.value
                ])?;
        }
        Ok(())
    }

    fn insert_parts<T: Serialize>(
        &mut self,
        kind: &str,
        parts: &[T],
        shown: impl Fn(&T) -> (Option<&String>, Option<String>),
    ) -> Result<(), StoreError> {
        let (partner, number, release) = self.key;
        for (index, part) in parts.iter().enumerate() {
            let (code, value) = shown(part);
            self.connection
                .prepare_cached(
                    "INSERT INTO purchase_order_parts (partner, po_number, release, position, kind, ordinal, code, value, details) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                )?
                .execute(params![
                    partner,
                    number,
                    release,
                    self.position,
                    kind,
                    to_ordinal(index),
                    code,
                    value,
                    json!(part).to_string()
                ])?;
        }
        Ok(())
    }
}
