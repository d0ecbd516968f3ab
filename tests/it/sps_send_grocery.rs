//! Invoices for grocery orders: an order that came as an 875 gets an 880.

use crate::support::Home;
use crate::support::answers::{receive_answer, state_of};
use crate::support::edi_files::{interchange, order_set};
use crate::support::grocery_documents::{grocery_file, grocery_invoice, grocery_order};
use crate::support::outbound_documents::{home_with_order, invoice, receive_file, send_document};
use serde_json::{Value, json};
use std::fs;

fn home_with_grocery_order(segments: &[&str]) -> Home {
    home_with_order(&grocery_file("875", segments))
}

/// Returns the segments between ST and SE of the file that `--check` prints.
fn check_invoice(home: &Home, document: &Value) -> Vec<String> {
    let (code, printed) = send_document(home, "810", document, &["--check"]);
    assert_eq!(code, 0, "{printed}");
    let segments = printed.lines().map(|line| line.trim_end_matches('~').to_owned());
    segments.skip_while(|line| !line.starts_with("ST*")).take_while(|line| !line.starts_with("GE*")).collect()
}

#[test]
fn grocery_order_gets_an_880() {
    let mut order = grocery_order();
    order[0] = "G50*N*20261124*UN-77**LINK9*000001*SA";
    order.splice(2..2, ["N9*PD*PROMO-4"]);
    order.insert(4, "G66*PP*M****OR*Columbus");
    let home = home_with_grocery_order(&order);
    assert_eq!(
        check_invoice(&home, &grocery_invoice("INV-1")),
        [
            "ST*880*0001",
            "G01*20261202*INV-1*20261124*UN-77**LINK9*000001",
            "N9*IA*V-501",
            "N9*PD*PROMO-4",
            "N9*BM*BOL-1",
            "G61*IC*Zoe Hart*TE*614-555-0100",
            "G62*11*20261201",
            "NTE**Dock closes at noon",
            "G27*M***RBTC",
            "G23*01*3***2**10**30",
            "G25*PP*OR",
            "N1*RI*Novex Foods",
            "N4*Columbus*OH*43217",
            "N1*ST*Grocer DC 5*9*0012345670005",
            "N3*1 Depot Road",
            "N4*Dayville*CT*06241",
            "G72*504*06******1500",
            "G73*Freight",
            "G72*501*06******100",
            "G73*tax ST",
            "G17*40*CA*18.5*001061414100*VN*A1*UP*106141410001",
            "G69*Strawberry jam",
            "G20*12*10*OZ*300*LB",
            "G72*53*02******2000",
            "G17*5*CA*20.25*001061414200*VN*B2",
            "G69*Plum jam",
            "G20****37.5*LB",
            "G31*45*CA*337.5*LB",
            "G33*83725",
            "SE*30*0001",
        ]
    );
}

/// The whole way: queued once, accepted by its group, and never beside an 810 with the same number.
#[test]
fn invoice_is_sent_once_and_its_answer_is_matched() {
    let home = home_with_grocery_order(&grocery_order());
    let (code, printed) = send_document(&home, "810", &grocery_invoice("INV-1"), &[]);
    let name = printed.split_whitespace().find(|word| word.starts_with("880-")).unwrap_or_default();
    let name = name.trim_end_matches(',').to_owned();
    assert!(code == 0 && printed.contains("is queued: 880-ACMERETAIL-INV-1-"), "{printed}");
    home.run_ok(&["work", "--once"]);
    let text = fs::read_to_string(home.path(&format!("out/{name}"))).unwrap();
    assert!(text.contains("GS*GP*NOVEX*ACMERETAIL*") && text.contains("*X*004010UCS~"), "{text}");
    assert_eq!(home.sql("SELECT kind, number, total FROM edi_sent"), "880|INV-1|837.25");
    assert_eq!(home.sql("SELECT topic FROM webhook_events ORDER BY id DESC LIMIT 1"), "send/880");
    assert_eq!(
        home.sql("SELECT kind, functional_id, group_number, state FROM edi_transmissions WHERE number = 'INV-1'"),
        "880|GP|2|waiting"
    );
    let (code, printed) = send_document(&home, "880", &grocery_invoice("INV-1"), &[]);
    assert_eq!((code, printed.contains("was sent before")), (0, true), "{printed}");
    let mut other = grocery_invoice("INV-1");
    other["invoice_date"] = json!("2026-12-03");
    let (code, printed) = send_document(&home, "810", &other, &[]);
    assert_eq!((code, printed.contains("880 INV-1 was sent to ACMERETAIL before")), (1, true), "{printed}");
    // The quantities of all invoices count together.
    let mut more = grocery_invoice("INV-2");
    more["lines"] = json!([{"item": "A1", "quantity": 1}]);
    let (code, printed) = send_document(&home, "880", &more, &[]);
    assert_eq!((code, printed.contains("40 were ordered and 40 already invoiced")), (1, true), "{printed}");
    let note = receive_answer(&home, "997", &["AK1*GP*2", "AK2*880*0001", "AK5*A", "AK9*A*1*1*1"]);
    assert_eq!((note.as_str(), state_of(&home, "INV-1").as_str()), ("invoice INV-1 is accepted", "accepted"));
    let note = receive_answer(&home, "824", &["BGN*00*A*20261203", "OTI*TR*IV*INV-1", "TED*ZZZ*unknown store"]);
    assert!(note.starts_with("invoice INV-1 is rejected"), "{note}");
    // An order of the other kind from the same partner keeps its 810.
    receive_file(&home, &interchange("850", &[order_set("PO1", 2)]));
    let (code, printed) = send_document(&home, "810", &invoice("INV-1"), &[]);
    assert_eq!((code, printed.contains("before with other content")), (1, true), "{printed}");
    let (code, printed) = send_document(&home, "880", &invoice("INV-3"), &[]);
    assert_eq!((code, printed.contains("did not come as an 875")), (1, true), "{printed}");
    let (code, printed) = send_document(&home, "810", &invoice("INV-3"), &[]);
    assert_eq!((code, printed.contains("is queued: 810-")), (0, true), "{printed}");
}

/// What an 880 needs, or has no place for, is named with the fix. Nothing is sent then.
#[test]
fn missing_and_unfit_values_are_named() {
    let bare = ["G50*N*20261124*UN-77", "G68*40*CA*18.5**ZZ", "G68*5*EA*20.25*001061414200", "G76*45*CA"];
    let home = home_with_grocery_order(&bare);
    let document = json!({
        "invoice_number": "INV-1", "invoice_date": "2026-12-02", "purchase_order": "UN-77", "currency": "CAD",
        "carrier": {"code": "RBTC"}, "contacts": [{"kind": "IC", "phone": "1"}],
        "lines": [{"line": "#1", "quantity": 40, "price": "18.5"}, {"line": "#2", "quantity": 5}],
        "allowances": [
            {"kind": "charge", "code": "53", "amount": "1", "handling": "06"},
            {"kind": "allowance", "code": "C310", "amount": "1"}],
        "total": "841.25"
    });
    let (code, printed) = send_document(&home, "810", &document, &[]);
    let expected = [
        "an 880 has no place for the currency CAD",
        "the carrier's method is missing",
        "an 880 must have them: add terms",
        "neither the document nor the order states an address",
        "the contact IC: an 880 must state a name, and has room for one number",
        "line #1: the order states no UPC and no product id",
        "the lines are in CA and in EA, and an 880 states one total quantity",
        "53: the code is not certain to be a charge in an 880",
        "\"C310\" cannot be sent: it must have 1 to 3 printable ASCII characters",
        "C310: the handling is missing",
    ];
    for part in expected {
        assert!(code == 1 && printed.contains(part), "{part}: {printed}");
    }
    assert_eq!(home.sql("SELECT count(*) FROM edi_sent"), "0");
}

/// From 005010 on the carrier is a CAD; before 004010 dates have six digits.
#[test]
fn invoice_follows_the_version_of_its_order() {
    for (version, segments) in
        [("005010UCS", ["CAD*M***RBTC", "G62*11*20261201"]), ("003040UCS", ["G27*M***RBTC", "G62*11*261201"])]
    {
        let mut order = grocery_order();
        order.insert(3, "G66*PP*M****OR*Columbus");
        let in_version = |order: &[&str]| grocery_file("875", order).replace("*004010UCS~", &format!("*{version}~"));
        let home = home_with_order(&in_version(&order));
        let written = check_invoice(&home, &grocery_invoice("INV-1"));
        for segment in segments {
            assert!(written.iter().any(|line| line == segment), "{version}: {written:?}");
        }
        let without_freight = home_with_order(&in_version(&grocery_order()));
        let (code, printed) = send_document(&without_freight, "810", &grocery_invoice("INV-1"), &["--check"]);
        let is_refused = code == 1 && printed.contains("must state the payer and the place of the freight (G25)");
        assert_eq!(is_refused, version == "003040UCS", "{printed}");
    }
}
