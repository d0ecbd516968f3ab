//! EDI that is broken, repeated, hostile or in an odd wrapper: nothing is lost without a word.

use crate::edi_files::{change_set, interchange, order_set};
use novex_ingest::formats::edi;
use novex_ingest::formats::fault::Severity;
use novex_ingest::formats::history::{Status, Told, fold};
use novex_ingest::formats::x12::acknowledge;
use novex_ingest::formats::x12::write::Numbers;
use serde_json::json;

const NUMBERS: Numbers = Numbers { interchange: 1, group: 1 };
const AT: &str = "2026-11-24T10:41:00Z";

fn told(text: &str, event_id: i64) -> Told {
    let order = edi::read(text.as_bytes()).parts.remove(0).order.expect("an order");
    Told { order, event_id, part: 1 }
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
fn every_order_of_any_wrapper_is_taken_or_a_fault() {
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
        let document = edi::read(text.to_string().as_bytes());
        let found: Vec<&str> =
            document.parts.iter().filter(|part| part.order.is_some()).map(|part| part.kind.as_str()).collect();
        assert_eq!(found, kinds, "{text}");
    }
    let broken = edi::read(json!({"Orders": {"Order": [one, {"Heder": {}}]}}).to_string().as_bytes());
    assert_eq!(broken.parts.iter().filter(|part| part.is_refused()).count(), 1, "{broken:?}");
}

#[test]
fn what_is_not_known_or_cannot_be_read_is_said() {
    let mut set = order_set("PO1", 1);
    set.insert(5, "P01*2*5*EA*1".to_owned());
    set.insert(6, "POC*3*AI*5*5*EA*1".to_owned());
    set.insert(7, "SDQ*EA*92*0001*x*0002*4".to_owned());
    set.insert(8, "SAC*A*C310***12x".to_owned());
    set.push("AMT*TT*1,000.00".to_owned());
    let document = edi::read(interchange("850", &[set]).as_bytes());
    assert!(document.parts[0].order.is_some(), "none of it keeps the order from being taken");
    let said: Vec<&str> = document.all_faults().map(|fault| fault.at.as_str()).collect();
    assert_eq!(said, ["P01", "POC", "SDQ", "SAC05", "AMT02"]);
    let answer = acknowledge::draft(&document, 0).write(NUMBERS, AT);
    assert!(answer.contains("AK3*P01*7**1~\nAK3*POC*8**2~") && answer.contains("AK5*E*5~"), "{answer}");
}

/// What the lines come to, where the sender says it.
#[test]
fn the_quantities_add_up() {
    let faults = |stated: &str| {
        let mut set = order_set("PO1", 2);
        *set.last_mut().unwrap() = format!("CTT*2*{stated}");
        let document = edi::read(interchange("850", &[set]).as_bytes());
        assert!(document.parts[0].order.is_some());
        document.all_faults().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(faults("30.0"), Vec::<String>::new());
    assert!(faults("31")[0].ends_with("CTT02: the quantities come to 30, CTT02 says \"31\""), "{:?}", faults("31"));
}

#[test]
fn who_ordered_must_be_known_and_only_what_has_numbers_is_answered() {
    let sound = interchange("850", &[order_set("PO1", 1)]);
    let without = sound.lines().skip(1).collect::<Vec<_>>().join("\n");
    let document = edi::read(without.as_bytes());
    assert!(document.parts[0].is_refused(), "{document:?}");
    assert!(!acknowledge::is_due(&document, 0));
    for (from, to) in [("*7*X*004010", "**X*004010"), ("*X*004010", "*X*"), ("GS*PO*", "GS**")] {
        let document = edi::read(sound.replace(from, to).as_bytes());
        assert!(!acknowledge::is_due(&document, 0), "{from} → {to}");
    }
}

/// Whatever comes last: a replacement outranks the original, a cancellation cancels, and the same change twice is one.
#[test]
fn the_rank_of_a_document_is_its_own_and_not_its_arrivals() {
    let with = |purpose: &str, lines: usize, event_id: i64| {
        let text = interchange("850", &[order_set("PO1", lines)]).replace("BEG*00", &format!("BEG*{purpose}"));
        told(&text, event_id)
    };
    assert_eq!(fold(&[with("05", 1, 1), with("00", 2, 2)], false).order.lines.len(), 1);
    assert_eq!(fold(&[with("00", 2, 1), with("22", 1, 2)], false).order.lines.len(), 2);
    assert_eq!(fold(&[with("01", 1, 1), with("00", 2, 2)], false).status, Status::Cancelled);
    let change = |event_id| told(&interchange("860", &[change_set("PO1", "1", &["POC*1*QI*5**CA"])]), event_id);
    let twice = fold(&[with("00", 1, 1), change(2), change(3)], true);
    assert_eq!(twice.order.lines[0].quantity.as_deref(), Some("15"), "sent twice under two names");
    let replaces = interchange("860", &[change_set("PO1", "2", &["POC*2*CA*7*7*CA"])]).replace("BCH*04", "BCH*05");
    let state = fold(&[with("00", 3, 1), told(&replaces, 2)], false);
    assert_eq!(state.lines, [Status::Cancelled, Status::Open, Status::Cancelled]);
    let other = told(&interchange("860", &[change_set("PO1", "3", &["POC*1*AI*7*7*CA*1**BP*OTHER"])]), 3);
    let state = fold(&[with("00", 1, 1), other], false);
    assert!(
        state.attention().is_some() && state.order.lines[0].buyer_item() == Some("B1"),
        "no goods are written over others"
    );
}

/// Bounds that keep a hostile file from taking all time and memory; each is said.
#[test]
fn hostile_files_end_at_their_bounds() {
    let isa = interchange("850", &[]).lines().next().unwrap().to_owned();
    let groups: Vec<String> = (0..20_000).map(|number| format!("GS*PO*A*B*C*1*{number}*X*4~GE*0*{number}~")).collect();
    let many_lines = order_set("PO1", 20_001);
    let pids: Vec<String> = [order_set("PO1", 1)[..5].to_vec(), vec!["PID*F****word".to_owned(); 50_000]].concat();
    let dates: Vec<String> = [order_set("PO1", 1), vec!["DTM*002*x".to_owned(); 50_000]].concat();
    for (text, said) in [
        (isa + &groups.concat(), "the rest was not read"),
        (interchange("850", &[many_lines]), "more than 20000 lines"),
        (format!("[{}]", "1,".repeat(1_200_000)), "more than 1000000 elements"),
    ] {
        let document = edi::read(text.as_bytes());
        let found = document.all_faults().any(|fault| fault.severity == Severity::Error && fault.text.contains(said));
        assert!(found, "{said}");
        assert!(document.parts.iter().all(|part| part.order.is_none()));
    }
    let described = edi::read(interchange("850", &[pids]).as_bytes());
    assert!(described.parts[0].order.as_ref().unwrap().lines[0].description.as_ref().unwrap().len() < 1_100);
    let undated = edi::read(interchange("850", &[dates]).as_bytes());
    assert!(undated.all_faults().count() <= 1_010);
    assert!(acknowledge::draft(&undated, 0).write(NUMBERS, AT).lines().count() < 500);
}
