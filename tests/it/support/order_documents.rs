//! One purchase order or change in each format that is read: X12, RSX in XML and RSX in JSON.

use crate::support::edi_files::interchange;
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::revisions::{
    ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, RevisionOutcome, fold_documents,
};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The formats, each with its name.
pub const FORMATS: [&str; 3] = ["x12", "rsx-xml", "rsx-json"];

/// Line of a document. Empty texts are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct LineSpec {
    pub number: &'static str,
    /// Change code; empty in an order.
    pub code: &'static str,
    pub quantity: &'static str,
    pub price: &'static str,
    /// Vendor's item.
    pub goods: &'static str,
    /// POC04; RSX has no such element.
    pub left: &'static str,
    /// `PreviousOrderQty`; X12 has no such element.
    pub before: &'static str,
}

/// Document to write.
#[derive(Debug, Clone, Default)]
pub struct DocumentSpec {
    pub is_change: bool,
    pub purpose: &'static str,
    pub ordered_on: &'static str,
    pub sequence: &'static str,
    pub changed_on: &'static str,
    pub department: &'static str,
    pub vendor: &'static str,
    /// Control number of the interchange, which is no value of the order; RSX only.
    pub control_number: &'static str,
    pub lines: Vec<LineSpec>,
}

impl DocumentSpec {
    /// Returns the bytes of the document in a format.
    pub fn write(&self, format: &str) -> String {
        match format {
            "x12" => self.write_x12(),
            "rsx-json" => self.build_rsx().to_string(),
            _ => {
                let (list, name) = if self.is_change { ("OrderChanges", "OrderChange") } else { ("Orders", "Order") };
                let mut text = format!("<?xml version=\"1.0\"?><{list} xmlns=\"http://www.spscommerce.com/RSX\">");
                write_xml(name, &self.build_rsx(), &mut text);
                text + &*format!("</{list}>")
            }
        }
    }

    /// Returns the document as it is received in a format.
    pub fn receive(&self, format: &str, event_id: i64) -> ReceivedDocument {
        let text = self.write(format);
        let file = file::read_edi_file(text.as_bytes());
        let order = file.documents.into_iter().next().and_then(|document| document.order);
        let order = order.unwrap_or_else(|| panic!("no order: {text}"));
        assert_eq!(order.is_change, self.is_change, "{text}");
        ReceivedDocument { order, event_id, document_position: 1, received_on: "2026-09-30".to_owned() }
    }

    fn write_x12(&self) -> String {
        let day = |text: &str| text.replace('-', "");
        let (purpose, ordered_on) = (self.purpose, day(self.ordered_on));
        let mut set = vec![if self.is_change {
            format!("BCH*{purpose}*SA*PO1**{}*{ordered_on}*****{}", self.sequence, day(self.changed_on))
        } else {
            format!("BEG*{purpose}*SA*PO1**{ordered_on}")
        }];
        for (qualifier, value) in [("DP", self.department), ("IA", self.vendor)] {
            if !value.is_empty() {
                set.push(format!("REF*{qualifier}*{value}"));
            }
        }
        for line in &self.lines {
            let LineSpec { number, code, quantity, price, goods, left, before: _ } = line;
            let ids = if goods.is_empty() { String::new() } else { format!("*VN*{goods}") };
            set.push(if code.is_empty() {
                format!("PO1*{number}*{quantity}*CA*{price}*PE{ids}")
            } else {
                format!("POC*{number}*{code}*{quantity}*{left}*CA*{price}*PE{ids}")
            });
        }
        interchange(if self.is_change { "860" } else { "850" }, &[set])
    }

    fn build_rsx(&self) -> Value {
        let object = |fields: &[(&str, &str)]| {
            let stated = fields.iter().filter(|(_, value)| !value.is_empty());
            Value::Object(stated.map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<Map<_, _>>())
        };
        let lines: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({"OrderLine": object(&[
                    ("LineSequenceNumber", line.number),
                    ("VendorPartNumber", line.goods),
                    ("LineChangeCode", line.code),
                    ("OrderQty", line.quantity),
                    ("OrderQtyUOM", "CA"),
                    ("PreviousOrderQty", line.before),
                    ("PurchasePrice", line.price),
                ])})
            })
            .collect();
        let change_date = if self.is_change && self.changed_on.is_empty() { "2026-09-30" } else { self.changed_on };
        json!({
            "Meta": object(&[("InterchangeControlNumber", self.control_number)]),
            "Header": {"OrderHeader": object(&[
                ("TradingPartnerId", "ACMERETAIL"),
                ("PurchaseOrderNumber", "PO1"),
                ("TsetPurposeCode", self.purpose),
                ("PrimaryPOTypeCode", "SA"),
                ("PurchaseOrderDate", self.ordered_on),
                ("ChangeOrderSeqNumber", self.sequence),
                ("POChangeDate", change_date),
                ("Department", self.department),
                ("Vendor", self.vendor),
            ])},
            "LineItem": lines,
        })
    }
}

fn write_xml(name: &str, value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| write_xml(name, item, text)),
        Value::Object(fields) => {
            write!(text, "<{name}>").unwrap();
            fields.iter().for_each(|(name, value)| write_xml(name, value, text));
            write!(text, "</{name}>").unwrap();
        }
        other => write!(text, "<{name}>{}</{name}>", other.as_str().unwrap_or_default()).unwrap(),
    }
}

/// Outcomes of rows.
pub const UNCLEAR: RevisionOutcome = RevisionOutcome::Unclear;
pub const APPLIED: RevisionOutcome = RevisionOutcome::Applied;
pub const NO_EFFECT: RevisionOutcome = RevisionOutcome::NoEffect;
/// The order without any change, as [`describe_state`] shows it.
pub const UNCHANGED: &str = "A1 10 at 1, B2 20 at 2, C3 30 at 3";

/// Rows of the history: the outcome, and a part of the message.
pub type Rows = &'static [(RevisionOutcome, &'static str)];

/// Returns a line of a change, or of an order if the code is empty.
pub fn line(code: &'static str, number: &'static str, goods: &'static str, quantity: &'static str) -> LineSpec {
    LineSpec { number, code, quantity, goods, ..LineSpec::default() }
}

/// Returns the line with a price.
pub fn with_price(line: LineSpec, price: &'static str) -> LineSpec {
    LineSpec { price, ..line }
}

/// Returns an order with the lines A1, B2 and C3.
pub fn order() -> DocumentSpec {
    let line = |number, goods, quantity, price| with_price(line("", number, goods, quantity), price);
    DocumentSpec {
        purpose: "00",
        ordered_on: "2026-09-12",
        department: "10",
        vendor: "V1",
        lines: vec![line("1", "A1", "10", "1"), line("2", "B2", "20", "2"), line("3", "C3", "30", "3")],
        ..DocumentSpec::default()
    }
}

/// Returns the first change of the order.
pub fn change(purpose: &'static str, lines: Vec<LineSpec>) -> DocumentSpec {
    DocumentSpec {
        is_change: true,
        purpose,
        ordered_on: "2026-09-12",
        sequence: "1",
        changed_on: "2026-09-14",
        lines,
        ..DocumentSpec::default()
    }
}

/// Returns the lines of an order: goods, quantity and price, or `cancelled`.
pub fn describe_state(state: &OrderState) -> String {
    let lines = state.order.lines.iter().zip(&state.line_statuses).map(|(line, status)| {
        let goods = line.ids.first().map_or("?", |id| id.value.as_str());
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        match status {
            OrderStatus::Open => format!("{goods} {} at {}", text(&line.quantity), text(&line.price)),
            _ => format!("{goods} cancelled"),
        }
    });
    lines.collect::<Vec<_>>().join(", ")
}

/// Folds the documents in each format, and compares the order and the history. Unclear rows flag the order.
pub fn check(documents: &[DocumentSpec], expected: &str, rows: Rows) {
    for format in FORMATS {
        check_format(format, documents, expected, rows);
    }
}

/// Folds the documents in one format.
pub fn check_format(format: &str, documents: &[DocumentSpec], expected: &str, rows: Rows) {
    let received: Vec<_> =
        documents.iter().zip(1..).map(|(document, event_id)| document.receive(format, event_id)).collect();
    let state = fold_documents(&received, ChangeQuantities::Total);
    let found: Vec<_> = state.revisions.iter().map(|row| (row.outcome, row.message.as_str())).collect();
    assert_eq!(describe_state(&state), expected, "{format}: {documents:?}\n{found:#?}");
    assert_eq!(found.len(), rows.len(), "{format}: {documents:?}\n{found:#?}");
    for ((outcome, message), (expected, part)) in found.iter().zip(rows) {
        assert_eq!(outcome, expected, "{format}: {message}");
        assert!(message.contains(part), "{format}: {message:?} lacks {part:?}");
    }
    let is_flagged = rows.iter().any(|(outcome, _)| *outcome == UNCLEAR);
    assert_eq!(state.attention().is_some(), is_flagged, "{format}: {found:#?}");
}
