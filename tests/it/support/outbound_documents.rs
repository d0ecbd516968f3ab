//! Invoices and ship notices of a test, and homes whose order they answer.

use super::Home;
use serde_json::{Value, json};
use std::fs;

/// Creates a home and processes an EDI file in it.
pub fn home_with_order(text: &str) -> Home {
    let home = Home::new("");
    for name in ["in", "out"] {
        fs::create_dir(home.path(name)).unwrap();
    }
    home.configure(&format!(
        "[worker]\npoll = \"20ms\"\n[sps]\ninterval = \"0s\"\noutgoing = \"out\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n",
        home.path("in").display()
    ));
    home.serve().stop();
    receive_file(&home, text);
    home
}

/// Polls and processes an EDI file.
pub fn receive_file(home: &Home, text: &str) {
    fs::write(home.path("in").join(format!("{}.edi", fastrand::u64(..))), text).unwrap();
    home.run_ok(&["sps", "poll"]);
    home.run_ok(&["work", "--once"]);
}

/// Returns an invoice for PO1 of `order_set("PO1", 2)`: 10 CA of line 1, 5 CA of line 2, at 19.95.
pub fn invoice(number: &str) -> Value {
    json!({
        "invoice_number": number, "invoice_date": "2026-11-25", "purchase_order": "PO1", "shipped_on": "2026-11-24",
        "bill_of_lading": "BOL-1", "carrier": {"code": "RBTC", "method": "M"},
        "addresses": [{"kind": "RI", "name": "Müller & Söhne", "lines": ["Dock 1"], "city": "Columbus", "state": "OH", "postal_code": "43217"}],
        "lines": [{"line": "1", "quantity": 10}, {"item": "B2", "quantity": "5", "unit": "CA"}],
        "allowances": [{"kind": "allowance", "code": "C310", "amount": 9.25, "handling": "02"}],
        "taxes": [{"code": "ST", "amount": "1.00"}],
        "total": 291.00
    })
}

/// Returns a ship notice for PO1: 10 CA of line 1 and 20 CA of line 2, in a pallet and a carton.
pub fn ship_notice(number: &str) -> Value {
    json!({
        "shipment_number": number, "shipped_on": "2026-11-24", "ship_time": "14:30", "pro_number": "P-77",
        "carrier": {"code": "RBTC", "method": "M"}, "weight": {"value": 61.5, "unit": "LB"},
        "orders": [{"purchase_order": "PO1", "packs": [
            {"kind": "pallet", "sscc": "(00)008627140000045018", "packs": [
                {"kind": "carton", "sscc": "008627140000045025", "lines": [
                    {"line": "1", "quantity": 4, "lot": "L-9", "expires_on": "2027-06-01"}, {"line": "2", "quantity": 20}]}]},
            {"kind": "carton", "tracking": "1Z999", "lines": [{"line": "1", "quantity": 6}]}]}]
    })
}

fn reference(qualifier: &str) -> Value {
    json!([{"qualifier": qualifier, "value": "R-1", "description": "Dock"}])
}

/// Returns `invoice` with references and dates that have no field of their own.
pub fn invoice_with_more_facts(number: &str) -> Value {
    let mut invoice = invoice(number);
    invoice["references"] = reference("CR");
    invoice["dates"] = json!([{"qualifier": "067", "on": "2026-12-01", "time": "08:30"}]);
    invoice["addresses"][0]["more_names"] = json!(["Accounting"]);
    invoice
}

/// Returns `ship_notice` with references and dates on every level, a trailer and its seals.
pub fn ship_notice_with_more_facts(number: &str) -> Value {
    let mut notice = ship_notice(number);
    notice["references"] = reference("SI");
    notice["dates"] = json!([{"qualifier": "067", "on": "2026-12-01"}]);
    notice["trailer"] = json!({"number": "53123", "initial": "RBTC", "seals": ["SEAL1", "SEAL2"]});
    notice["freight_payer"] = json!("PP");
    notice["orders"][0]["references"] = reference("IV");
    notice["orders"][0]["dates"] = json!([{"qualifier": "118", "on": "2026-11-23"}]);
    let line = &mut notice["orders"][0]["packs"][1]["lines"][0];
    line["references"] = json!([{"qualifier": "BT", "value": "B-7"}]);
    line["dates"] = json!([{"qualifier": "094", "on": "2026-10-01"}]);
    notice
}

/// Runs `sps send KIND`; returns the exit status and all output.
pub fn send_document(home: &Home, kind: &str, document: &Value, more: &[&str]) -> (i32, String) {
    fs::write(home.path("document.json"), document.to_string()).unwrap();
    let path = home.path("document.json").display().to_string();
    let out = home.run(&[&["sps", "send", kind, &path], more].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap(), text(&out.stdout) + &*text(&out.stderr))
}
