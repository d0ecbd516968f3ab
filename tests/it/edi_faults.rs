//! EDI that is broken, repeated, hostile or wrapped: nothing is dropped without a report.

use crate::support::edi_files::{change_set, interchange, order_set};
use novex_ingest::internals::edi::fault::FaultSeverity;
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::revisions::{ChangeQuantities, OrderStatus, ReceivedDocument, fold_documents};
use novex_ingest::internals::edi::x12::acknowledgement;
use novex_ingest::internals::edi::x12::write::ControlNumbers;
use serde_json::json;

const NUMBERS: ControlNumbers = ControlNumbers { interchange: 1, group: 1 };
const AT: &str = "2026-11-24T10:41:00Z";

fn received_document(text: &str, event_id: i64) -> ReceivedDocument {
    let order = file::read_edi_file(text.as_bytes()).documents.remove(0).order.expect("an order");
    ReceivedDocument { order, event_id, document_position: 1, received_on: "2026-11-25".to_owned() }
}

fn rsx(number: &str, more: &serde_json::Value) -> serde_json::Value {
    let mut order = json!({
        "Header": {"OrderHeader": {"TradingPartnerId": "ACME", "PurchaseOrderNumber": number}},
        "LineItem": [{"OrderLine": {"LineSequenceNumber": "1", "OrderQty": 5, "OrderQtyUOM": "EA"}}]
    });
    for (name, value) in more.as_object().unwrap() {
        order["Header"]["OrderHeader"][name] = value.clone();
    }
    order
}

#[test]
fn every_wrapped_order_is_accepted_or_a_fault() {
    let (one, two) = (rsx("P1", &json!({})), rsx("P2", &json!({})));
    let change = rsx("P3", &json!({"TsetPurposeCode": "04"}));
    for (text, kinds) in [
        (json!([one, two]), vec!["850", "850"]),
        (json!({"Orders": [one, two]}), vec!["850", "850"]),
        (json!({"Orders": {"Order": [one, two]}}), vec!["850", "850"]),
        (json!([{"Order": one}, {"Order": two}]), vec!["850", "850"]),
        (json!([one, change]), vec!["850", "860"]),
        (json!({"Order": change}), vec!["860"]),
    ] {
        let document = file::read_edi_file(text.to_string().as_bytes());
        let found: Vec<&str> =
            document.documents.iter().filter(|part| part.order.is_some()).map(|part| part.kind.as_str()).collect();
        assert_eq!(found, kinds, "{text}");
    }
    let broken = file::read_edi_file(json!({"Orders": {"Order": [one, {"Heder": {}}]}}).to_string().as_bytes());
    assert_eq!(broken.documents.iter().filter(|part| part.is_rejected()).count(), 1, "{broken:?}");
}

/// Mainframes cut a file into records, mailboxes put lines before it, and programs write it in their own encoding.
#[test]
fn the_way_of_a_file_does_not_change_its_order() {
    let mut set = order_set("PO1", 3);
    set.insert(4, "MSG*Müller: dock 3".to_owned());
    let whole = interchange("850", &[set]);
    let read = |bytes: &[u8]| {
        let file = file::read_edi_file(bytes);
        let order = file.documents.into_iter().next().and_then(|document| document.order);
        (order.expect("an order"), file.faults)
    };
    let (expected, faults) = read(whole.as_bytes());
    assert!(faults.is_empty(), "{faults:?}");
    let stream: Vec<char> = whole.replace('\n', "").chars().collect();
    let records = |width: usize, end: &str| {
        stream.chunks(width).map(|record| record.iter().collect::<String>()).collect::<Vec<_>>().join(end)
    };
    for (text, fault) in [
        (records(80, "\r\n"), "records of 80 characters"),
        (records(132, "\n"), "records of 132 characters"),
        (format!("$$ADD ID=NOVEX BID='PO'\n{whole}"), "$$ADD ID=NOVEX"),
        (format!("{whole}\u{1a}"), ""),
        (whole.replace('~', "\r"), ""),
        (whole.replace("~\n", " \r\n"), ""),
    ] {
        let (order, faults) = read(text.as_bytes());
        assert_eq!(order, expected, "{text}");
        assert_eq!(faults.len(), usize::from(!fault.is_empty()), "{faults:?}");
        assert!(faults.iter().all(|found| found.message.contains(fault)), "{faults:?}");
    }
    let windows: Vec<u8> = whole.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, fault_count) in [(windows, 1), (utf16.clone(), 0), ([b"\xff\xfe".to_vec(), utf16].concat(), 0)] {
        let (order, faults) = read(&bytes);
        assert_eq!((order, faults.len()), (expected.clone(), fault_count), "{faults:?}");
    }
}

#[test]
fn unknown_and_unreadable_content_is_reported() {
    let mut set = order_set("PO1", 1);
    set.insert(5, "P01*2*5*EA*1".to_owned());
    set.insert(6, "POC*3*AI*5*5*EA*1".to_owned());
    set.insert(7, "SDQ*EA*92*0001*x*0002*4".to_owned());
    set.insert(8, "SAC*A*C310***12x".to_owned());
    set.push("AMT*TT*1,000.00".to_owned());
    let document = file::read_edi_file(interchange("850", &[set]).as_bytes());
    assert!(document.documents[0].order.is_some(), "no fault rejects the order");
    let printed: Vec<&str> = document.all_faults().map(|fault| fault.location.as_str()).collect();
    assert_eq!(printed, ["P01", "POC", "SDQ", "SAC05", "AMT02"]);
    let response = acknowledgement::draft_acknowledgement(&document, 0).write_interchange(NUMBERS, AT);
    assert!(response.contains("AK3*P01*7**1~\nAK3*POC*8**2~") && response.contains("AK5*E*5~"), "{response}");
}

/// The total of the lines, where the sender states it.
#[test]
fn quantities_and_totals_are_checked() {
    let faults = |stated: &str| {
        let mut set = order_set("PO1", 2);
        *set.last_mut().unwrap() = format!("CTT*2*{stated}");
        let document = file::read_edi_file(interchange("850", &[set]).as_bytes());
        assert!(document.documents[0].order.is_some());
        document.all_faults().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(faults("30.0"), Vec::<String>::new());
    assert!(faults("31")[0].ends_with("CTT02: the quantities add up to 30, CTT02 states \"31\""), "{:?}", faults("31"));
}

#[test]
fn unknown_sender_is_a_fault_and_unnumbered_groups_get_no_acknowledgement() {
    let sound = interchange("850", &[order_set("PO1", 1)]);
    let without = sound.lines().skip(1).collect::<Vec<_>>().join("\n");
    let document = file::read_edi_file(without.as_bytes());
    assert!(document.documents[0].is_rejected(), "{document:?}");
    assert!(!acknowledgement::is_acknowledgement_due(&document, 0));
    for (from, to) in [("*7*X*004010", "**X*004010"), ("*X*004010", "*X*"), ("GS*PO*", "GS**")] {
        let document = file::read_edi_file(sound.replace(from, to).as_bytes());
        assert!(!acknowledgement::is_acknowledgement_due(&document, 0), "{from} → {to}");
    }
}

/// In any sequence, a replacement outranks the original, a cancellation cancels, and a repeated change counts once.
#[test]
fn documents_rank_by_kind_and_not_by_arrival() {
    let with = |purpose: &str, lines: usize, event_id: i64| {
        let text = interchange("850", &[order_set("PO1", lines)]).replace("BEG*00", &format!("BEG*{purpose}"));
        received_document(&text, event_id)
    };
    assert_eq!(fold_documents(&[with("05", 1, 1), with("00", 2, 2)], ChangeQuantities::Total).order.lines.len(), 1);
    assert_eq!(fold_documents(&[with("00", 2, 1), with("22", 1, 2)], ChangeQuantities::Total).order.lines.len(), 2);
    assert_eq!(
        fold_documents(&[with("01", 1, 1), with("00", 2, 2)], ChangeQuantities::Total).status,
        OrderStatus::Cancelled
    );
    let change =
        |event_id| received_document(&interchange("860", &[change_set("PO1", "1", &["POC*1*QI*5**CA"])]), event_id);
    let twice = fold_documents(&[with("00", 1, 1), change(2), change(3)], ChangeQuantities::Delta);
    assert_eq!(twice.order.lines[0].quantity.as_deref(), Some("15"), "sent twice under two names");
    let replaces = interchange("860", &[change_set("PO1", "2", &["POC*2*CA*7*7*CA"])]).replace("BCH*04", "BCH*05");
    let state = fold_documents(&[with("00", 3, 1), received_document(&replaces, 2)], ChangeQuantities::Total);
    assert_eq!(state.line_statuses, [OrderStatus::Cancelled, OrderStatus::Open, OrderStatus::Cancelled]);
    let other = received_document(&interchange("860", &[change_set("PO1", "3", &["POC*1*AI*7*7*CA*1**BP*OTHER"])]), 3);
    let state = fold_documents(&[with("00", 1, 1), other], ChangeQuantities::Total);
    assert!(
        state.attention().is_some() && state.order.lines[0].buyer_item() == Some("B1"),
        "no item overwrites another"
    );
}

/// A change of thousands of lines that are all alike is folded in a short time, and flagged.
#[test]
fn large_order_of_equal_lines_is_folded() {
    let equal = |segment: &str| vec![segment.to_owned(); 5_000];
    let order = [order_set("PO1", 1), equal("PO1*1*5*EA*1**BP*B1")].concat();
    let lines = equal("POC*1*CA*6*6*EA*1**BP*B1");
    let change = change_set("PO1", "1", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let received =
        [received_document(&interchange("850", &[order]), 1), received_document(&interchange("860", &[change]), 2)];
    let state = fold_documents(&received, ChangeQuantities::Total);
    assert!(state.attention().is_some());
    assert_eq!(state.order.lines[5].quantity.as_deref(), Some("5"), "no line is guessed");
}

/// Limits that keep a hostile file from using all time and memory; each is reported.
#[test]
fn hostile_files_stop_at_the_limits() {
    let isa = interchange("850", &[]).lines().next().unwrap().to_owned();
    let groups: Vec<String> = (0..20_000).map(|number| format!("GS*PO*A*B*C*1*{number}*X*4~GE*0*{number}~")).collect();
    let many_lines = order_set("PO1", 20_001);
    let pids: Vec<String> = [order_set("PO1", 1)[..5].to_vec(), vec!["PID*F****word".to_owned(); 50_000]].concat();
    let dates: Vec<String> = [order_set("PO1", 1), vec!["DTM*002*x".to_owned(); 50_000]].concat();
    for (text, printed) in [
        (isa + &groups.concat(), "reading stopped here"),
        (interchange("850", &[many_lines]), "more than 20000 lines"),
        (format!("[{}]", "1,".repeat(1_200_000)), "more than 1000000 elements"),
    ] {
        let document = file::read_edi_file(text.as_bytes());
        let found = document
            .all_faults()
            .any(|fault| fault.severity == FaultSeverity::Error && fault.message.contains(printed));
        assert!(found, "{printed}");
        assert!(document.documents.iter().all(|part| part.order.is_none()));
    }
    let described = file::read_edi_file(interchange("850", &[pids]).as_bytes());
    assert!(described.documents[0].order.as_ref().unwrap().lines[0].description.as_ref().unwrap().len() < 1_100);
    let undated = file::read_edi_file(interchange("850", &[dates]).as_bytes());
    assert!(undated.all_faults().count() <= 1_010);
    assert!(acknowledgement::draft_acknowledgement(&undated, 0).write_interchange(NUMBERS, AT).lines().count() < 500);
}
