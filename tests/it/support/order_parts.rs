//! Orders with chosen parts: segments of an 850, and header, line and summary of RSX.

use crate::support::edi_files::interchange;
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::purchase_order::{DocumentOrigin, PurchaseOrder};
use novex_ingest::internals::edi::revisions::{ChangeQuantities, OrderState, ReceivedDocument, fold_documents};
use serde_json::{Value, json};
use std::fmt::Write;

/// BEG of the orders.
pub const BEGIN: &str = "BEG*00*SA*PO1**20261124";

/// Reads an 850 with these segments after BEG.
pub fn read_x12(segments: &[&str]) -> PurchaseOrder {
    let set: Vec<String> = std::iter::once(&BEGIN).chain(segments).map(|text| (*text).to_owned()).collect();
    let text = interchange("850", &[set]);
    let document = file::read_edi_file(text.as_bytes());
    document.documents[0].order.clone().unwrap_or_else(|| panic!("{:?}", document.all_faults().collect::<Vec<_>>()))
}

/// Writes a value of JSON as the element of XML with the same content.
pub fn write_xml(name: &str, value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| write_xml(name, item, text)),
        Value::Object(map) => {
            write!(text, "<{name}>").unwrap();
            map.iter().for_each(|(name, value)| write_xml(name, value, text));
            write!(text, "</{name}>").unwrap();
        }
        other => write!(text, "<{name}>{}</{name}>", other.as_str().unwrap_or_default()).unwrap(),
    }
}

/// Reads an RSX order from XML and from JSON, which give the same order.
pub fn read_rsx(header: &Value, line: &Value, summary: &Value) -> PurchaseOrder {
    let mut header = header.clone();
    header["OrderHeader"]["TradingPartnerId"] = "ACMERETAIL".into();
    header["OrderHeader"]["PurchaseOrderNumber"] = "PO1".into();
    let mut tree = json!({"Header": header, "LineItem": [line]});
    if !summary.is_null() {
        tree["Summary"] = summary.clone();
    }
    let mut xml = String::new();
    write_xml("Order", &tree, &mut xml);
    let read = |text: &str| {
        let document = file::read_edi_file(text.as_bytes());
        let order = document.documents[0].order.clone();
        let mut order = order.unwrap_or_else(|| panic!("{:?}", document.all_faults().collect::<Vec<_>>()));
        order.origin = DocumentOrigin::default();
        order
    };
    let (from_json, from_xml) = (read(&tree.to_string()), read(&xml));
    assert_eq!(from_json, from_xml);
    from_json
}

/// Returns a line of RSX: ten cases at 5.
pub fn plain_line() -> Value {
    json!({"OrderLine": {"LineSequenceNumber": "1", "VendorPartNumber": "A1", "OrderQty": "10", "OrderQtyUOM": "CA",
        "PurchasePrice": "5"}})
}

/// Adds fields to `OrderLine` of a line; null removes a field.
pub fn with_line_fields(mut line: Value, fields: &Value) -> Value {
    for (name, value) in fields.as_object().unwrap() {
        line["OrderLine"][name] = value.clone();
        if value.is_null() {
            line["OrderLine"].as_object_mut().unwrap().remove(name);
        }
    }
    line
}

/// Folds the order alone.
pub fn fold(order: &PurchaseOrder) -> OrderState {
    let received_on = "2026-11-24".to_owned();
    fold_documents(
        &[ReceivedDocument { order: order.clone(), event_id: 1, document_position: 1, received_on }],
        ChangeQuantities::Total,
    )
}

/// Returns the reason why a person must look at the order; empty if there is none.
pub fn attention(order: &PurchaseOrder) -> String {
    fold(order).attention().unwrap_or_default()
}
