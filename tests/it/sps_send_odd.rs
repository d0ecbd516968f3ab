//! Odd orders and odd documents: nothing is sent twice, in the wrong unit, or so that the partner could not take it.

use crate::edi_files::{change_set, interchange, order_set};
use crate::sps_send::{home_with, invoice, send, shipment, take};
use serde_json::{Value, json};

fn bill(number: &str, line: &str, quantity: u32, total: &str) -> Value {
    json!({"invoice_number": number, "invoice_date": "2026-11-25", "purchase_order": "PO1",
           "lines": [{"line": line, "quantity": quantity}], "total": total})
}

/// What was sent counts by the goods, however a replacing order numbers its lines; and never in another unit.
#[test]
fn a_replaced_order_opens_no_door_to_sending_twice() {
    let home = home_with(&interchange("850", &[order_set("PO1", 2)]));
    assert_eq!(send(&home, "810", &bill("I1", "1", 10, "199.5"), &[]).0, 0);
    let renumbered = interchange("850", &[order_set("PO1", 2)])
        .replace("BEG*00", "BEG*05")
        .replace("PO1*1*10*", "PO1*X*10*")
        .replace("PO1*2*20*", "PO1*1*20*")
        .replace("PO1*X*10*", "PO1*002*10*");
    take(&home, &renumbered);
    let (code, said) = send(&home, "810", &bill("I2", "2", 10, "199.5"), &[]);
    assert!(code == 1 && said.contains("line 002: 10 and 10 before, but 10 was ordered"), "{said}");
    assert_eq!(send(&home, "810", &bill("I3", "1", 20, "399"), &[]).0, 0, "the other goods were not sent");
    take(&home, &interchange("860", &[change_set("PO1", "2", &["POC*002*CA*120**EA*1**BP*B1"])]));
    let (code, said) = send(&home, "810", &bill("I4", "2", 100, "100"), &[]);
    assert!(code == 1 && said.contains("it was sent in CA before"), "{said}");
}

/// A test never changes an order in earnest, and what was sent for a test does not count.
#[test]
fn a_test_is_no_order() {
    let text = interchange("850", &[order_set("PO1", 1)]);
    let trial = text.replace("*0*P*>", "*0*T*>");
    let home = home_with(&trial);
    let (_, said) = send(&home, "810", &bill("I1", "1", 10, "199.5"), &["--check"]);
    assert!(said.contains("*0*T*>"), "{said}");
    assert_eq!(send(&home, "810", &bill("I1", "1", 10, "199.5"), &[]).0, 0);
    take(&home, &text);
    let (code, said) = send(&home, "810", &bill("I2", "1", 10, "199.5"), &["--check"]);
    assert!(code == 0 && said.contains("*0*P*>"), "{said}");
    take(&home, &trial.replace("BEG*00", "BEG*05"));
    assert!(send(&home, "810", &bill("I2", "1", 10, "199.5"), &["--check"]).1.contains("*0*P*>"));
    assert!(home.ok(&["sps", "show", "PO1"]).contains("is a test: it was left aside"));
}

#[test]
fn money_is_exact_to_the_cent() {
    let set = |line: &str| {
        interchange("850", &[vec!["BEG*00*SA*PO1**20261124".to_owned(), line.to_owned(), "CTT*1".to_owned()]])
    };
    let home = home_with(&set("PO1*1*1000*EA*100*HP*BP*B1"));
    let with = |quantity: u32, amount: Value, total: &str| {
        json!({"invoice_number": "I1", "invoice_date": "2026-11-25", "purchase_order": "PO1",
               "lines": [{"line": "1", "quantity": quantity, "amount": amount}], "total": total})
    };
    assert_eq!(send(&home, "810", &with(1000, Value::Null, "1000"), &["--check"]).0, 0, "the price is for a hundred");
    for (amount, total, wanted) in [
        (json!("99999"), "99999", "is 1000, but the amount is 99999"),
        (json!("1000.004"), "1000", "more than 2 decimals"),
        (json!(true), "1000", "lines[0].amount: true stands where a number belongs"),
    ] {
        let (code, said) = send(&home, "810", &with(1000, amount, total), &[]);
        assert!(code == 1 && said.contains(wanted), "{wanted}: {said}");
    }
    let mut taxed = with(1000, Value::Null, "950");
    taxed["taxes"] = json!([{"code": "ST", "amount": "-50"}]);
    assert!(send(&home, "810", &taxed, &[]).1.contains("the tax ST is below 0"));
    // By weight: nobody here can reckon it, so the ERP says it.
    take(&home, &set("PO1*1*10*CA*2*PP*BP*B1").replace("*PO1**", "*PO2**"));
    let mut weighed = with(10, Value::Null, "500");
    weighed["purchase_order"] = json!("PO2");
    assert!(send(&home, "810", &weighed, &[]).1.contains("state the line's amount"));
    weighed["lines"][0]["amount"] = json!("500");
    assert_eq!(send(&home, "810", &weighed, &["--check"]).0, 0);
    // Nobody said how many.
    take(&home, &set("PO1*1***2**BP*B1").replace("*PO1**", "*PO3**"));
    let mut open = bill("I1", "1", 99, "198");
    open["purchase_order"] = json!("PO3");
    open["lines"][0]["unit"] = json!("EA");
    assert!(send(&home, "810", &open, &[]).1.contains("does not say how much was ordered"));
}

/// The partner's own numbers are sent back as they are, whatever letters stand in them.
#[test]
fn separators_make_way_for_what_is_sent() {
    let text = interchange("850", &[order_set("PO1", 1)]).replace('*', "@").replace("BP@B1", "BP@B*1>^");
    let home = home_with(&text);
    let (code, said) = send(&home, "810", &bill("I1", "1", 10, "199.5"), &["--check"]);
    assert!(code == 0 && said.contains("IT1|1|10|CA|19.95||BP|B*1>^|VN|V1"), "{said}");
    assert!(said.starts_with("ISA|00|") && said.lines().next().unwrap().ends_with("|P|:~"), "{said}");
    assert_eq!(novex_ingest::formats::edi::read(said.as_bytes()).all_faults().count(), 0, "{said}");
}

/// What does not fit is refused, never cut.
#[test]
fn nothing_is_cut() {
    let home = home_with(&interchange("850", &[order_set("PO1", 2)]));
    for (path, value, wanted) in [
        ("carrier", json!({"code": "FEDEX"}), "the carrier's code \"FEDEX\" cannot be sent"),
        ("carrier", json!({"code": "RBTC", "service": "ST"}), "not known here: carrier.service"),
        ("carrier", json!({}), "neither code nor routing"),
        ("terms", json!([{"net_days": "1000"}]), "net_days \"1000\""),
        ("terms", json!([{"net_days": "30 days"}]), "net_days \"30 days\""),
        ("terms", json!([{}]), "terms that say nothing"),
        ("addresses", json!([{"kind": "SF"}]), "neither name nor id"),
        ("addresses", json!([{"kind": "SF", "name": "A", "state": "Ohio"}]), "the state of the address SF \"Ohio\""),
        ("addresses", json!([{"kind": "SF", "name": "\u{5317}".repeat(60)}]), "1 to 60 characters"),
        ("currency", json!("US"), "the currency is US"),
        ("shipped_on", json!("0000-01-01"), "is no day"),
    ] {
        let mut document = invoice("I1");
        document[path] = value;
        let (code, said) = send(&home, "810", &document, &["--check"]);
        let said_of_currency = wanted.contains("currency") && said.contains("currency \"US\"");
        assert!(code == 1 && (said.contains(wanted) || said_of_currency), "{wanted}: {said}");
    }
    let mut odd = shipment("S1");
    odd["ship_time"] = json!("T1430");
    assert!(send(&home, "856", &odd, &["--check"]).1.contains("is no time"));
    odd["ship_time"] = json!("14:30");
    odd["orders"][0]["packs"]
        .as_array_mut()
        .unwrap()
        .push(json!({"kind": "carton", "tracking": "1Z999", "lines": [{"line": "2", "quantity": 1}]}));
    assert!(send(&home, "856", &odd, &["--check"]).1.contains("tracking 1Z999 is on two packs"));
    // A label of an earlier shipment; with a mark of the encoding in front the document is the same.
    let first = shipment("S1");
    assert_eq!(send(&home, "856", &first, &[]).0, 0);
    std::fs::write(home.path("marked.json"), format!("\u{feff}{first}")).unwrap();
    assert!(
        home.ok(&["sps", "send", "856", &home.path("marked.json").display().to_string()])
            .contains("was sent before (on its way)")
    );
    let mut second = shipment("S2");
    second["orders"][0]["packs"] =
        json!([{"kind": "carton", "sscc": "008627140000045025", "lines": [{"line": "1", "quantity": 0.5}]}]);
    home.sql("UPDATE edi_sent_lines SET quantity = '0'");
    assert!(send(&home, "856", &second, &[]).1.contains("a label stands for one pack"));
}

/// A document that nobody carries waits, and it is said of one that has not arrived.
#[test]
fn what_nobody_carries_is_not_lost() {
    let home = home_with(&interchange("850", &[order_set("PO1", 1)]));
    assert_eq!(send(&home, "810", &bill("I1", "1", 10, "199.5"), &[]).0, 0);
    home.edit("outgoing = \"out\"", "");
    home.ok(&["work", "--once"]);
    let state = "SELECT status, last_error LIKE '%sps.outgoing is not configured%' FROM webhook_events WHERE topic = 'send/810'";
    assert_eq!(home.sql(state), "received|1");
    home.sql("UPDATE webhook_events SET max_attempts = 2, next_attempt_at = received_at WHERE topic = 'send/810'");
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql(state), "failed|1");
    home.edit("[sps]\n", "[sps]\noutgoing = \"out\"\n");
    let (code, said) = send(&home, "810", &bill("I1", "1", 10, "199.5"), &[]);
    assert!(code == 1 && said.contains("is not delivered") && said.contains("events retry"), "{said}");
    let id = home.sql("SELECT id FROM webhook_events WHERE topic = 'send/810'");
    home.ok(&["events", "retry", &id]);
    home.ok(&["work", "--once"]);
    assert!(send(&home, "810", &bill("I1", "1", 10, "199.5"), &[]).1.contains("was sent before (delivered)"));
}

/// What is sent is not taken back in.
#[test]
fn a_polled_directory_is_no_place_to_send_to() {
    let home = home_with(&interchange("850", &[order_set("PO1", 1)]));
    for (to, wanted) in
        [("acme:", "names no directory"), ("in", "is a directory that is polled"), ("other:/in", "which is not there")]
    {
        home.configure(&format!(
            "[sps]\noutgoing = {to:?}\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\n",
            home.path("in").display()
        ));
        let check = home.run(&["config", "check"]);
        assert!(String::from_utf8_lossy(&check.stderr).contains(wanted), "{to}: {check:?}");
    }
}
