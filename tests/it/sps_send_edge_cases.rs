//! Unusual orders and documents: nothing is sent twice, in a wrong unit, or in a form that the partner cannot accept.

use crate::support::edi_files::{change_set, interchange, order_set};
use crate::support::outbound_documents::{home_with_order, invoice, receive_file, send_document, ship_notice};
use serde_json::{Value, json};

fn short_invoice(number: &str, line: &str, quantity: u32, total: &str) -> Value {
    json!({"invoice_number": number, "invoice_date": "2026-11-25", "purchase_order": "PO1",
           "lines": [{"line": line, "quantity": quantity}], "total": total})
}

/// Sent quantities count by item, also if a replacing order numbers its lines differently, and never in another unit.
#[test]
fn replaced_order_is_not_sent_twice() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    assert_eq!(send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &[]).0, 0);
    let renumbered = interchange("850", &[order_set("PO1", 2)])
        .replace("BEG*00", "BEG*05")
        .replace("PO1*1*10*", "PO1*X*10*")
        .replace("PO1*2*20*", "PO1*1*20*")
        .replace("PO1*X*10*", "PO1*002*10*");
    receive_file(&home, &renumbered);
    let (code, printed) = send_document(&home, "810", &short_invoice("I2", "2", 10, "199.5"), &[]);
    assert!(
        code == 1 && printed.contains("line 002: 10 were ordered and 10 already invoiced; this adds 10 more"),
        "{printed}"
    );
    assert_eq!(
        send_document(&home, "810", &short_invoice("I3", "1", 20, "399"), &[]).0,
        0,
        "the other goods were not sent"
    );
    receive_file(&home, &interchange("860", &[change_set("PO1", "2", &["POC*002*CA*120**EA*1**BP*B1"])]));
    let (code, printed) = send_document(&home, "810", &short_invoice("I4", "2", 100, "100"), &[]);
    assert!(code == 1 && printed.contains("an earlier document used the unit CA"), "{printed}");
}

/// An order that a person must look at can still be invoiced and shipped.
#[test]
fn order_with_an_unclear_change_can_be_invoiced() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    receive_file(&home, &interchange("860", &[change_set("PO1", "1", &["POC*1*QD*10*7*CA", "POC*9*DI"])]));
    receive_file(&home, &interchange("850", &[order_set("PO1", 3)]));
    let attention = home.sql("SELECT attention FROM purchase_orders");
    assert!(attention.contains("changes are unclear"), "{attention}");
    let (code, printed) = send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &[]);
    assert_eq!(code, 0, "{printed}");
}

/// A test order never changes a production order, and documents for a test do not count.
#[test]
fn test_order_changes_no_order() {
    let text = interchange("850", &[order_set("PO1", 1)]);
    let trial = text.replace("*0*P*>", "*0*T*>");
    let home = home_with_order(&trial);
    let (_, printed) = send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &["--check"]);
    assert!(printed.contains("*0*T*>"), "{printed}");
    assert_eq!(send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &[]).0, 0);
    receive_file(&home, &text);
    let (code, printed) = send_document(&home, "810", &short_invoice("I2", "1", 10, "199.5"), &["--check"]);
    assert!(code == 0 && printed.contains("*0*P*>"), "{printed}");
    receive_file(&home, &trial.replace("BEG*00", "BEG*05"));
    assert!(send_document(&home, "810", &short_invoice("I2", "1", 10, "199.5"), &["--check"]).1.contains("*0*P*>"));
    assert!(home.run_ok(&["sps", "show", "PO1"]).contains("ignored: it is a test"));
}

#[test]
fn money_is_exact_to_the_cent() {
    let set = |line: &str| {
        interchange("850", &[vec!["BEG*00*SA*PO1**20261124".to_owned(), line.to_owned(), "CTT*1".to_owned()]])
    };
    let home = home_with_order(&set("PO1*1*1000*EA*100*HP*BP*B1"));
    let with = |quantity: u32, amount: Value, total: &str| {
        json!({"invoice_number": "I1", "invoice_date": "2026-11-25", "purchase_order": "PO1",
               "lines": [{"line": "1", "quantity": quantity, "amount": amount}], "total": total})
    };
    assert_eq!(
        send_document(&home, "810", &with(1000, Value::Null, "1000"), &["--check"]).0,
        0,
        "the price is per hundred"
    );
    for (amount, total, wanted) in [
        (json!("99999"), "99999", "the amount is 99999, but 1000 times 100 is 1000"),
        (json!("1000.004"), "1000", "more than 2 decimals"),
        (json!(true), "1000", "lines[0].amount: true is not a number"),
    ] {
        let (code, printed) = send_document(&home, "810", &with(1000, amount, total), &[]);
        assert!(code == 1 && printed.contains(wanted), "{wanted}: {printed}");
    }
    let mut taxed = with(1000, Value::Null, "950");
    taxed["taxes"] = json!([{"code": "ST", "amount": "-50"}]);
    assert!(send_document(&home, "810", &taxed, &[]).1.contains("the tax ST is less than 0"));
    // By weight: in X12 the ERP states the weight, so that quantity times price is the amount.
    receive_file(&home, &set("PO1*1*10*CA*2*PP*BP*B1").replace("*PO1**", "*PO2**"));
    let mut weighed = with(10, Value::Null, "500");
    weighed["purchase_order"] = json!("PO2");
    assert!(send_document(&home, "810", &weighed, &[]).1.contains("state the line's amount"));
    weighed["lines"][0]["amount"] = json!("500");
    assert!(send_document(&home, "810", &weighed, &[]).1.contains("add the line's weight"));
    weighed["lines"][0]["weight"] = json!({"value": "249", "unit": "LB"});
    assert!(send_document(&home, "810", &weighed, &[]).1.contains("the amount is 500, but 249 LB times 2 is 498"));
    weighed["lines"][0]["weight"]["value"] = json!("250");
    let (code, printed) = send_document(&home, "810", &weighed, &["--check"]);
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("IT1*1*250*LB*2*PP*BP*B1~\nIT3*10*CA~\nMEA*WT*N*250*LB~\n"), "{printed}");
    // No quantity was ordered.
    receive_file(&home, &set("PO1*1***2**BP*B1").replace("*PO1**", "*PO3**"));
    let mut open = short_invoice("I1", "1", 99, "198");
    open["purchase_order"] = json!("PO3");
    open["lines"][0]["unit"] = json!("EA");
    assert!(send_document(&home, "810", &open, &[]).1.contains("does not state the ordered quantity"));
}

/// The partner's own numbers are returned unchanged, with any characters.
#[test]
fn separators_avoid_the_content() {
    let text = interchange("850", &[order_set("PO1", 1)]).replace('*', "@").replace("BP@B1", "BP@B*1>^");
    let home = home_with_order(&text);
    let (code, printed) = send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &["--check"]);
    assert!(code == 0 && printed.contains("IT1|1|10|CA|19.95||BP|B*1>^|VN|V1"), "{printed}");
    assert!(printed.starts_with("ISA|00|") && printed.lines().next().unwrap().ends_with("|P|:~"), "{printed}");
    assert_eq!(
        novex_ingest::internals::edi::file::read_edi_file(printed.as_bytes()).all_faults().count(),
        0,
        "{printed}"
    );
}

/// A value that does not fit is refused, never truncated.
#[test]
fn too_long_values_are_refused() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    for (path, value, wanted) in [
        ("carrier", json!({"code": "FEDEX"}), "the carrier's code \"FEDEX\" cannot be sent"),
        ("carrier", json!({"code": "RBTC", "service": "ST"}), "unknown fields: carrier.service"),
        ("carrier", json!({}), "neither code nor routing"),
        ("terms", json!([{"net_days": "1000"}]), "net_days \"1000\""),
        ("terms", json!([{"net_days": "30 days"}]), "net_days \"30 days\""),
        ("terms", json!([{}]), "an entry of terms is empty"),
        ("addresses", json!([{"kind": "SF"}]), "neither name nor id"),
        ("addresses", json!([{"kind": "SF", "name": "A", "state": "Ohio"}]), "the state of the address SF \"Ohio\""),
        ("addresses", json!([{"kind": "SF", "name": "\u{5317}".repeat(60)}]), "1 to 60 characters"),
        ("currency", json!("US"), "the currency is US"),
        ("shipped_on", json!("0000-01-01"), "is not a date"),
    ] {
        let mut document = invoice("I1");
        document[path] = value;
        let (code, printed) = send_document(&home, "810", &document, &["--check"]);
        let names_currency = wanted.contains("currency") && printed.contains("currency \"US\"");
        assert!(code == 1 && (printed.contains(wanted) || names_currency), "{wanted}: {printed}");
    }
    let mut odd = ship_notice("S1");
    odd["ship_time"] = json!("T1430");
    assert!(send_document(&home, "856", &odd, &["--check"]).1.contains("is not a time"));
    odd["ship_time"] = json!("14:30");
    odd["orders"][0]["packs"]
        .as_array_mut()
        .unwrap()
        .push(json!({"kind": "carton", "tracking": "1Z999", "lines": [{"line": "2", "quantity": 1}]}));
    assert!(send_document(&home, "856", &odd, &["--check"]).1.contains("tracking 1Z999 is on two packs"));
    // A label of an earlier shipment. A byte order mark does not change the document.
    let first = ship_notice("S1");
    assert_eq!(send_document(&home, "856", &first, &[]).0, 0);
    std::fs::write(home.path("marked.json"), format!("\u{feff}{first}")).unwrap();
    assert!(
        home.run_ok(&["sps", "send", "856", &home.path("marked.json").display().to_string()])
            .contains("was sent before (queued)")
    );
    let mut second = ship_notice("S2");
    second["orders"][0]["packs"] =
        json!([{"kind": "carton", "sscc": "008627140000045025", "lines": [{"line": "1", "quantity": 0.5}]}]);
    home.sql("UPDATE edi_sent_lines SET quantity = '0'");
    assert!(send_document(&home, "856", &second, &[]).1.contains("a label identifies one pack"));
}

/// A document without a destination waits, and `sps send` reports it for one that was not delivered.
#[test]
fn document_without_destination_is_not_lost() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 1)]));
    assert_eq!(send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &[]).0, 0);
    home.edit_config("outgoing = \"out\"", "");
    home.run_ok(&["work", "--once"]);
    let state =
        "SELECT status, last_error LIKE '%configure sps.outgoing%' FROM webhook_events WHERE topic = 'send/810'";
    assert_eq!(home.sql(state), "received|1");
    home.sql("UPDATE webhook_events SET max_attempts = 2, next_attempt_at = received_at WHERE topic = 'send/810'");
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql(state), "failed|1");
    home.edit_config("[sps]\n", "[sps]\noutgoing = \"out\"\n");
    let (code, printed) = send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &[]);
    assert!(code == 1 && printed.contains("not delivered") && printed.contains("events retry"), "{printed}");
    let id = home.sql("SELECT id FROM webhook_events WHERE topic = 'send/810'");
    home.run_ok(&["events", "retry", &id]);
    home.run_ok(&["work", "--once"]);
    assert!(
        send_document(&home, "810", &short_invoice("I1", "1", 10, "199.5"), &[])
            .1
            .contains("was sent before (delivered)")
    );
}

/// Sent documents are not polled.
#[test]
fn polled_directory_is_refused_as_outgoing() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 1)]));
    for (to, wanted) in [
        ("acme:", "names no directory"),
        ("in", "is a directory that the daemon polls"),
        ("other:/in", "which does not exist"),
    ] {
        home.configure(&format!(
            "[sps]\noutgoing = {to:?}\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\n",
            home.path("in").display()
        ));
        let check = home.run(&["config", "check"]);
        assert!(String::from_utf8_lossy(&check.stderr).contains(wanted), "{to}: {check:?}");
    }
}
