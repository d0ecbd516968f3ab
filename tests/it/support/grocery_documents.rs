//! Orders and changes of the grocery sets: 875 and 876.

use crate::support::edi_files::interchange;
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::purchase_order::PurchaseOrder;
use novex_ingest::internals::edi::revisions::ReceivedDocument;
use serde_json::{Value, json};

/// Returns an interchange with one order or change in the version of the grocery sets.
pub fn grocery_file(kind: &str, segments: &[&str]) -> String {
    let set = segments.iter().map(|segment| (*segment).to_owned()).collect();
    interchange(kind, &[set]).replace("*X*004010~", "*X*004010UCS~")
}

/// Returns the segments of an order: 40 CA of A1 at 18.5 and 10 CA of B2 at 20.25, 942.50 together.
pub fn grocery_order() -> Vec<&'static str> {
    vec![
        "G50*N*20261124*UN-77****SA",
        "N9*IA*V-501",
        "G62*02*20261201",
        "G23*01*3***2**10**30",
        "N1*ST*Grocer DC 5*9*0012345670005",
        "N3*1 Depot Road",
        "N4*Dayville*CT*06241",
        "G68*40*CA*18.5*001061414100*VN*A1*UP*106141410001",
        "G69*Strawberry jam",
        "G70*12*10*OZ",
        "G68*10*CA*20.25*001061414200*VN*B2",
        "G69*Plum jam",
        "G76*50*CA******94250",
    ]
}

/// Returns an invoice for 40 CA at 18.5 and 5 CA at 20.25, with an allowance, a charge and a tax: 837.25 together.
pub fn grocery_invoice(number: &str) -> Value {
    json!({
        "invoice_number": number, "invoice_date": "2026-12-02", "purchase_order": "UN-77", "shipped_on": "2026-12-01",
        "contacts": [{"kind": "IC", "name": "Zoë Hart", "phone": "614-555-0100"}], "notes": ["Dock closes at noon"],
        "bill_of_lading": "BOL-1", "carrier": {"code": "RBTC", "method": "M"},
        "addresses": [{"kind": "RI", "name": "Novex Foods", "city": "Columbus", "state": "OH", "postal_code": "43217"}],
        "lines": [
            {"item": "A1", "quantity": 40, "weight": {"value": "300", "unit": "LB"},
             "allowances": [{"kind": "allowance", "code": "53", "amount": "20", "handling": "02"}]},
            {"line": "#2", "quantity": 5, "weight": {"value": "37.5", "unit": "LB"}}],
        "allowances": [{"kind": "charge", "code": "504", "amount": "15", "handling": "06", "description": "Freight"}],
        "taxes": [{"code": "ST", "amount": "1.00"}],
        "total": "837.25"
    })
}

/// Reads the only document of a file.
pub fn read_order(text: &str) -> PurchaseOrder {
    let file = file::read_edi_file(text.as_bytes());
    let faults: Vec<String> = file.all_faults().map(ToString::to_string).collect();
    file.documents[0].order.clone().unwrap_or_else(|| panic!("no order: {faults:?}"))
}

/// Returns a document as it is received in an event.
pub fn receive_grocery(kind: &str, segments: &[&str], event_id: i64) -> ReceivedDocument {
    let order = read_order(&grocery_file(kind, segments));
    ReceivedDocument { order, event_id, document_position: 1, received_on: "2026-11-25".to_owned() }
}
