//! Files of which a part would be lost without a trace: a person can see each.

use crate::support::Home;
use crate::support::destinations::directory_destination;
use crate::support::edi_files::{change_set, interchange, order_set};
use novex_ingest::internals::edi::file::{EdiFile, read_edi_file};
use std::fs;

/// Returns the kind of each document of a file.
fn kinds(file: &EdiFile) -> Vec<&str> {
    file.documents.iter().map(|document| document.kind.as_str()).collect()
}

/// Returns the findings of each order of a file.
fn findings(text: &str) -> Vec<Vec<String>> {
    let file = read_edi_file(text.as_bytes());
    file.documents.into_iter().filter_map(|document| document.order).map(|order| order.findings).collect()
}

/// Returns an RSX order in JSON with two lines, and these texts in its header and its first line.
fn rsx_json(number: &str, header: &str, line: &str) -> String {
    format!(
        r#"{{"Header":{{"OrderHeader":{{"TradingPartnerId":"ACME","PurchaseOrderNumber":"{number}"{header}}}}},
        "LineItem":[{{"OrderLine":{{"LineSequenceNumber":"1","OrderQty":10,"OrderQtyUOM":"CA","PurchasePrice":2}}{line}}},
        {{"OrderLine":{{"LineSequenceNumber":"2","OrderQty":5,"OrderQtyUOM":"CA","PurchasePrice":3}}}}]}}"#
    )
}

fn rsx_xml(header: &str, lines: &str) -> String {
    format!(
        "<Order xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Header><OrderHeader><TradingPartnerId>ACME\
         </TradingPartnerId><PurchaseOrderNumber>PO1</PurchaseOrderNumber>{header}</OrderHeader></Header>{lines}</Order>"
    )
}

fn xml_line(number: u32, more: &str) -> String {
    format!(
        "<LineItem><OrderLine><LineSequenceNumber>{number}</LineSequenceNumber><OrderQty>{number}0</OrderQty>\
         <OrderQtyUOM>CA</OrderQtyUOM>{more}</OrderLine></LineItem>"
    )
}

/// Senders write each field that they do not use as an empty one.
#[test]
fn empty_fields_do_not_change_the_kind_of_a_document() {
    let lines = format!("<LineItems>{}{}</LineItems>", xml_line(1, "<LineChangeCode/>"), xml_line(2, ""));
    let acknowledged =
        lines.replacen("</LineItem>", "<LineItemAcknowledgement><A/></LineItemAcknowledgement></LineItem>", 1);
    let all_empty = "<AcknowledgementDate/><AcknowledgementNumber></AcknowledgementNumber><POChangeDate xsi:nil=\"true\"/>\
                     <ChangeOrderSeqNumber> </ChangeOrderSeqNumber>";
    let empty =
        r#","AcknowledgementDate":"","AcknowledgementNumber":{},"POChangeDate":null,"ChangeOrderSeqNumber":" ""#;
    let empty_line = r#","LineItemAcknowledgement":[{"ItemStatusCode":""}]"#;
    for text in [rsx_xml(all_empty, &lines), rsx_xml(all_empty, &acknowledged), rsx_json("PO1", empty, empty_line)] {
        let file = read_edi_file(text.as_bytes());
        assert_eq!((kinds(&file), file.kind.as_str()), (vec!["850"], "850"), "{text}");
        let order = file.documents[0].order.as_ref().expect(&text);
        assert_eq!((order.is_change, order.lines.len(), order.findings.len()), (false, 2, 0), "{text}");
    }
    for (header, line, kind) in [
        (r#","AcknowledgementDate":"2026-11-24""#, "", "855"),
        ("", r#","LineItemAcknowledgement":[{"ItemStatusCode":"IA"}]"#, "855"),
        (r#","ChangeOrderSeqNumber":1"#, "", "860"),
    ] {
        assert_eq!(kinds(&read_edi_file(rsx_json("PO1", header, line).as_bytes())), [kind]);
    }
}

#[test]
fn each_rsx_document_is_read_by_its_own_kind() {
    let order = |number: &str| rsx_json(number, "", "");
    let answer = rsx_json("PO9", r#","AcknowledgementDate":"2026-11-24""#, "");
    let shipment = r#"{"Header":{"ShipmentHeader":{"ShipmentIdentification":"1"}},"OrderLevel":[]}"#;
    let stock = r#"{"Header":{"InventoryHeader":{"Number":"1"}}}"#;
    for (documents, expected) in [
        ([answer.clone(), order("PO1")], ["855", "850"]),
        ([order("PO1"), answer.clone()], ["850", "855"]),
        ([shipment.to_owned(), order("PO1")], ["856", "850"]),
        ([stock.to_owned(), order("PO1")], ["unknown", "850"]),
        ([order("PO1"), r#"{"Heder":{}}"#.to_owned()], ["850", "850"]),
    ] {
        let list = format!("[{}]", documents.join(","));
        let wrapped = format!(r#"{{"Orders":{{"Order":{list}}}}}"#);
        for text in [&wrapped, &list] {
            let file = read_edi_file(text.as_bytes());
            if kinds(&file).len() == 2 {
                assert_eq!(kinds(&file), expected, "{text}");
            }
            let found = file.documents.iter().filter_map(|document| document.order.as_ref());
            assert_eq!(found.map(|order| order.number.as_str()).collect::<Vec<_>>(), ["PO1"], "{text}");
            assert!(file.all_faults().all(|fault| !fault.message.contains("belongs to no order")), "{text}");
        }
        assert_eq!(kinds(&read_edi_file(wrapped.as_bytes())).len(), 2, "{wrapped}");
    }
}

#[test]
fn repeated_keys_of_json_lose_no_value() {
    let whole = rsx_json("PO1", "", "");
    assert_eq!(findings(&whole), [Vec::<String>::new()]);
    for (from, to, expected) in [
        (
            r#""OrderQty":10"#,
            r#""OrderQty":10,"OrderQty":12"#,
            r#"line 1 OrderLine/OrderQty states "10" and "12": the first one is taken"#,
        ),
        (
            r#""PurchasePrice":3"#,
            r#""PurchasePrice":3,"PurchasePrice":"4""#,
            r#"line 2 OrderLine/PurchasePrice states "3" and "4": the first one is taken"#,
        ),
        (
            r#""PurchaseOrderNumber":"PO1""#,
            r#""PurchaseOrderNumber":"PO1","PurchaseOrderNumber":"PO2""#,
            r#"Header/OrderHeader/PurchaseOrderNumber states "PO1" and "PO2": the first one is taken"#,
        ),
        (
            r#"{"Header":"#,
            r#"{"Header":{"OrderHeader":{"PurchaseOrderNumber":"PO2"}},"Header":"#,
            "Header is stated 2 times: only the first one is read",
        ),
    ] {
        let text = whole.replacen(from, to, 1);
        let file = read_edi_file(text.as_bytes());
        let reported = file.documents[0].order.as_ref().map(|order| order.findings.clone());
        if to.starts_with(r#"{"Header""#) {
            // Without its partner, the first header rejects the order.
            assert!(file.has_unread_part(), "{text}");
        } else {
            assert_eq!(reported, Some(vec![expected.to_owned()]), "{text}");
        }
        assert!(file.faults.iter().any(|fault| fault.message.contains("twice with different values")), "{file:?}");
    }
    for same in [r#""OrderQty":10,"OrderQty":10"#, r#""OrderQty":10,"OrderQty":"10.0""#] {
        assert_eq!(findings(&whole.replacen(r#""OrderQty":10"#, same, 1)), [Vec::<String>::new()], "{same}");
    }
    let third = r#","LineItem":{"OrderLine":{"LineSequenceNumber":"3","OrderQty":7,"OrderQtyUOM":"CA"}}}"#;
    let file = read_edi_file(format!("{}{third}", whole.strip_suffix('}').unwrap()).as_bytes());
    assert_eq!(file.documents[0].order.as_ref().unwrap().lines.len(), 3, "{file:?}");
}

#[test]
fn repeated_elements_of_xml_lose_no_value() {
    let [one, two, three] = [1, 2, 3].map(|number| xml_line(number, ""));
    for lines in [
        format!("<LineItems>{one}{two}</LineItems><LineItems>{three}</LineItems>"),
        format!("<LineItems>{one}{two}</LineItems>{three}"),
        format!("{one}{two}{three}"),
    ] {
        let file = read_edi_file(rsx_xml("", &lines).as_bytes());
        let order = file.documents[0].order.as_ref().expect(&lines);
        let numbers: Vec<_> = order.lines.iter().filter_map(|line| line.number.as_deref()).collect();
        assert_eq!((numbers, order.findings.len()), (vec!["1", "2", "3"], 0), "{lines}");
    }
    let two_details = one.replace("</LineItem>", "<OrderLine><OrderQty>99</OrderQty></OrderLine></LineItem>");
    for (header, lines, expected) in [
        ("", two_details, "LineItem 1/OrderLine is stated 2 times: only the first one is read"),
        (
            "",
            xml_line(1, "<PurchasePrice>2</PurchasePrice><PurchasePrice>3</PurchasePrice>"),
            r#"line 1 OrderLine/PurchasePrice states "2" and "3": the first one is taken"#,
        ),
        (
            "<PurchaseOrderNumber>PO2</PurchaseOrderNumber>",
            one.clone(),
            r#"Header/OrderHeader/PurchaseOrderNumber states "PO1" and "PO2": the first one is taken"#,
        ),
        (
            "</OrderHeader></Header><Header><OrderHeader><PurchaseOrderNumber>PO2</PurchaseOrderNumber>",
            one.clone(),
            "Header is stated 2 times: only the first one is read",
        ),
    ] {
        assert_eq!(findings(&rsx_xml(header, &lines)), [[expected]], "{lines}");
    }
}

#[test]
fn missing_parts_of_an_interchange_are_findings_of_the_order_before_them() {
    let whole = interchange("850", &[order_set("PO1", 1), order_set("PO2", 1)]);
    assert_eq!(findings(&whole), [Vec::<String>::new(), Vec::new()]);
    let second = whole.find("ST*850*0002").unwrap();
    let cut_second = &whole[..whole.rfind("CTT").unwrap()];
    let ends = |text: &str| text.lines().take_while(|line| !line.starts_with("GE*")).collect::<Vec<_>>().join("\n");
    let stray = whole.replace("GE*2*7~", "PO1*2*5*CA*9**BP*B9~\nGE*2*7~");
    let stray_finding = "PO1*2*5*CA*9**BP*B9 is outside a transaction set: it is not read";
    for (text, expected) in [
        (whole[..second].to_owned(), vec![vec!["the group has no GE: the file may be cut off"]]),
        (ends(&whole), vec![vec![], vec!["the group has no GE: the file may be cut off"]]),
        (
            whole.replace("IEA*1*000000055~", ""),
            vec![vec![], vec!["the interchange has no IEA: the file may be cut off"]],
        ),
        (
            whole.replace("GE*2*7", "GE*3*7"),
            vec![vec![], vec![r#"the group has 2 documents, GE01 states "3": one may be missing"#]],
        ),
        (
            whole.replace("IEA*1*", "IEA*2*"),
            vec![vec![], vec![r#"the interchange has 1 group, IEA01 states "2": one may be missing"#]],
        ),
        (stray, vec![vec![], vec![stray_finding]]),
        (whole.replacen("ST*", "PO1*2*5*CA*9**BP*B9~\nST*", 1), vec![vec![stray_finding], vec![]]),
        // The second order is rejected, and the file fails: that is enough.
        (cut_second.to_owned(), vec![vec![]]),
    ] {
        assert_eq!(findings(&text), expected, "{text}");
    }
    assert!(read_edi_file(cut_second.as_bytes()).has_unread_part());
}

fn home_with_destination() -> Home {
    let home = Home::new("");
    for name in ["in", "copy"] {
        fs::create_dir(home.path(name)).unwrap();
    }
    home.configure(&format!(
        "[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\nsettle = \"0s\"\n{}",
        home.path("in").display(),
        directory_destination(&home.path("copy"))
    ));
    home
}

fn receive(home: &Home, name: &str, text: &str) {
    fs::write(home.path("in").join(name), text).unwrap();
    home.run_ok(&["sps", "poll"]);
    home.wait_until_processed();
}

/// The good order of a file is stored and delivered. The rejected one is named where a person looks, until a person
/// dismisses the file.
#[test]
fn rejected_order_beside_a_good_one_is_reported() {
    let home = home_with_destination();
    let daemon = home.serve();
    let mut broken = order_set("PO2", 1);
    broken[4] = "PO1*1*many*CA*19.95**BP*B1".to_owned();
    receive(&home, "two.edi", &interchange("850", &[order_set("PO1", 1), broken]));
    assert_eq!(home.sql("SELECT po_number, attention IS NULL FROM purchase_orders"), "PO1|1");
    let error = home.sql("SELECT last_error FROM webhook_events WHERE status = 'failed'");
    assert!(error.starts_with("1 of 2 orders rejected: order PO2: line ") && error.contains("PO102"), "{error}");
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivered'", "1");
    let list = || home.run_ok(&["sps", "list", "--attention"]);
    assert!(list().contains("1 file could not be read in whole") && list().contains("order PO2"), "{}", list());
    let doctor = home.run(&["doctor"]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("1 EDI file could not be read in whole") && doctor.contains("order PO2"), "{doctor}");
    home.run_ok(&["events", "dismiss", "1", "--reason", "entered by hand"]);
    assert!(!list().contains("PO2"), "{}", list());
    daemon.stop();
}

/// A rejected change is not in its order. The order says so until the next document or a dismissal.
#[test]
fn rejected_change_is_reported_at_its_order() {
    let home = home_with_destination();
    let daemon = home.serve();
    let attention = || home.sql("SELECT attention FROM purchase_orders WHERE po_number = 'PO1'");
    let broken = |sequence: &str| interchange("860", &[change_set("PO1", sequence, &["POC*1*QI*x**CA*19.95**BP*B1"])]);
    receive(&home, "order.edi", &interchange("850", &[order_set("PO1", 1)]));
    assert_eq!(attention(), "");
    receive(&home, "change.edi", &broken("1"));
    let reported = attention();
    assert!(reported.starts_with("a document with this number was rejected (event 2): POC03: "), "{reported}");
    let change = change_set("PO1", "1", &["POC*1*PC*10**CA*18.95**BP*B1"]);
    receive(&home, "corrected.edi", &interchange("860", &[change]));
    assert!(!attention().contains("rejected"), "{}", attention());
    receive(&home, "again.edi", &broken("2"));
    assert!(attention().contains("(event 4)"), "{}", attention());
    home.run_ok(&["events", "dismiss", "4", "--reason", "the buyer withdrew it"]);
    assert!(!attention().contains("rejected"), "{}", attention());
    daemon.stop();
}
