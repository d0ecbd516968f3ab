//! Answers in the version of the order: separators, dates, and the values that answers repeat.

use crate::support::Home;
use crate::support::edi_files::{interchange, order_set};
use crate::support::outbound_documents::{home_with_order, invoice, receive_file, send_document, ship_notice};
use serde_json::json;
use std::fs;

/// Returns the interchange with other versions in ISA12 and GS08.
fn with_versions(text: &str, isa12: &str, gs08: &str) -> String {
    text.replace("*00401*", &format!("*{isa12}*")).replace("*004010~", &format!("*{gs08}~"))
}

fn read_acknowledgement(home: &Home) -> String {
    let names = fs::read_dir(home.path("out")).unwrap().map(|entry| entry.unwrap().path());
    let texts =
        names.filter(|path| path.display().to_string().contains("997")).map(|path| fs::read_to_string(path).unwrap());
    texts.last().unwrap_or_default()
}

/// ISA12 names the version of the interchange, and GS08 the one of the group: an answer repeats both.
#[test]
fn answers_repeat_both_versions_of_the_order() {
    for (isa12, gs08, standard, day) in [
        ("00304", "003040", "U", "261124"),
        ("00401", "004010", "U", "20261124"),
        ("00403", "004030", "^", "20261124"),
        ("00401", "005010", "U", "20261124"),
        ("00501", "005010", "^", "20261124"),
    ] {
        let text = interchange("850", &[order_set("PO1", 2)]);
        let home = home_with_order(&with_versions(&text, isa12, gs08));
        let (code, invoice) = send_document(&home, "810", &invoice("I1"), &["--check"]);
        assert_eq!(code, 0, "{invoice}");
        let notice = send_document(&home, "856", &ship_notice("S1"), &["--check"]).1;
        for answer in [&invoice, &notice, &read_acknowledgement(&home)] {
            let isa = answer.lines().find(|line| line.starts_with("ISA*")).unwrap();
            assert!(isa.contains(&format!("*{standard}*{isa12}*")), "{isa12} {gs08}: {isa}");
            let gs = answer.lines().find(|line| line.starts_with("GS*")).unwrap();
            assert!(gs.ends_with(&format!("*X*{gs08}~")), "{gs}");
            assert_eq!(gs.split('*').nth(4).unwrap().len(), day.len(), "{gs}");
        }
        assert!(invoice.contains(&format!("*I1*{day}*PO1***DR~")), "{invoice}");
        assert!(invoice.contains(&format!("DTM*011*{day}~")), "{invoice}");
        assert!(notice.contains(&format!("PRF*PO1***{day}~")), "{notice}");
    }
}

/// A partial invoice grants the percentage of its own total, not the amount that the whole order states.
#[test]
fn discount_of_the_terms_is_computed_for_each_invoice() {
    let mut set = order_set("PO1", 2);
    set.insert(1, "ITD*08*3*2*20261231*10**30*1197".to_owned());
    let home = home_with_order(&interchange("850", &[set]));
    let printed = send_document(&home, "810", &invoice("I1"), &["--check"]).1;
    assert!(printed.contains("ITD*08*3*2*20261231*10**30*582~"), "2 % of 291.00: {printed}");
    let mut own = invoice("I1");
    own["terms"] = json!([{"kind": "08", "discount_percent": "2", "discount_amount": "1.5"}]);
    assert!(send_document(&home, "810", &own, &["--check"]).1.contains("ITD*08**2*****150~"));
}

/// The buyer's own numbers of the order, its freight terms and its packs come back.
#[test]
fn answers_repeat_what_names_the_order() {
    let mut set = order_set("PO1", 2);
    set.insert(1, "REF*MR*0073".to_owned());
    set.insert(2, "FOB*CC".to_owned());
    let line = set.iter().position(|segment| segment.starts_with("PO1*2")).unwrap();
    set.insert(line, "PO4*6*340*GR***********3".to_owned());
    let home = home_with_order(&interchange("850", &[set]));
    let invoice = send_document(&home, "810", &invoice("I1"), &["--check"]).1;
    for segment in ["REF*MR*0073~", "FOB*CC~", "PO4*6*340*GR***********3~", "ISS*15*CA~"] {
        assert!(invoice.contains(segment), "{segment}: {invoice}");
    }
    let mut document = ship_notice("S1");
    document["orders"][0]["packs"][1]["lines"][0]["weight"] = json!({"value": "12.5", "unit": "LB"});
    let notice = send_document(&home, "856", &document, &["--check"]).1;
    for segment in
        ["TD1*PLT*1****G*61.5*LB~", "TD1*CTN*2~", "REF*MR*0073~", "PO4*6*340*GR***********3~", "MEA*WT*N*12.5*LB~"]
    {
        assert!(notice.contains(segment), "{segment}: {notice}");
    }
}

/// X12 has room for two characters of a unit. An order with another one is answered by no document.
#[test]
fn unit_that_no_answer_can_state_is_refused() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    let mut set = order_set("PO2", 1);
    for segment in &mut set {
        *segment = segment.replace("*CA*", "*INVALID*");
    }
    receive_file(&home, &interchange("850", &[set]));
    let mut document = invoice("I1");
    document["purchase_order"] = json!("PO2");
    document["lines"] = json!([{"line": "1", "quantity": 10}]);
    let (code, printed) = send_document(&home, "810", &document, &[]);
    assert!(code == 1 && printed.contains("the unit of the order, INVALID, is no code of two characters"), "{printed}");
    assert!(read_acknowledgement(&home).contains("AK4*3*355*5*INVALID~"), "{}", read_acknowledgement(&home));
}
