//! Changes that repeat an earlier statement, state empty parts, or state values that their code does not change.

use crate::support::edi_files::interchange;
use crate::support::order_parts::BEGIN;
use novex_ingest::internals::edi::file;
use novex_ingest::internals::edi::revisions::{
    ChangeQuantities, OrderState, ReceivedDocument, RevisionOutcome, fold_documents,
};

const LINE: &str = "PO1*1*50*EA*10*PE*VN*A1";
const BEGIN_CHANGE: &str = "BCH*04*SA*PO1***20261124";

/// Returns the segments as a document that was sent at a time; `850`, or `860` after a BCH.
fn receive(segments: &[&str], sent_at: &str, event_id: i64) -> ReceivedDocument {
    let kind = match &segments[0][..3] {
        "BCH" => "860",
        "G50" => "875",
        "G92" => "876",
        _ => "850",
    };
    let set: Vec<String> = segments.iter().map(|segment| (*segment).to_owned()).collect();
    let mut order = file::read_edi_file(interchange(kind, &[set]).as_bytes()).documents.remove(0).order.unwrap();
    order.origin.sent_at = Some(sent_at.to_owned()).filter(|time| !time.is_empty());
    ReceivedDocument { order, event_id, document_position: 1, received_on: "2026-11-28".to_owned() }
}

/// Folds documents that were sent one after the other. The sequence of arrival decides nothing.
fn fold(documents: &[&[&str]]) -> OrderState {
    let times = ["2026-11-24T09", "2026-11-25T09", "2026-11-25T11", "2026-11-25T15"];
    let mut received: Vec<_> =
        documents.iter().zip(times).zip(1..).map(|((segments, time), id)| receive(segments, time, id)).collect();
    let state = fold_documents(&received, ChangeQuantities::Total);
    received.reverse();
    assert_eq!(fold_documents(&received, ChangeQuantities::Total), state);
    state
}

fn quantity(state: &OrderState) -> &str {
    state.order.lines[0].quantity.as_deref().unwrap_or_default()
}

/// Returns the rows that need a person, and the findings.
fn doubts(state: &OrderState) -> String {
    let unclear = state.revisions.iter().filter(|row| row.outcome == RevisionOutcome::Unclear);
    unclear.map(|row| row.message.clone()).chain(state.findings()).collect::<Vec<_>>().join("; ")
}

#[test]
fn statement_that_is_sent_again_after_another_one_is_the_newest() {
    let order: &[&str] = &[BEGIN, LINE];
    let change = |quantity: &'static str| [BEGIN_CHANGE.to_owned(), format!("POC*1*CA*{quantity}**EA*10*PE*VN*A1")];
    let (sixty, other) = (change("60"), change("55"));
    let (sixty, other) = (sixty.each_ref().map(String::as_str), other.each_ref().map(String::as_str));
    let state = fold(&[order, &sixty, &other, &sixty]);
    assert_eq!((quantity(&state), doubts(&state)), ("60", String::new()));
    let state = fold(&[order, &sixty, &other, &other]);
    assert_eq!((quantity(&state), doubts(&state)), ("55", String::new()), "a plain repetition");
    let delete: &[&str] = &[BEGIN_CHANGE, "POC*1*DI*50**EA*10*PE*VN*A1"];
    let add: &[&str] = &[BEGIN_CHANGE, "POC*1*AI*50**EA*10*PE*VN*A1"];
    assert!(fold(&[order, delete, add, delete]).list_statuses().starts_with("cancelled"));
    let (early, late): (&[&str], &[&str]) = (&[BEGIN_CHANGE, "DTM*002*20261208"], &[BEGIN_CHANGE, "DTM*002*20261215"]);
    let state = fold(&[order, early, late, early]);
    assert_eq!((state.order.dates[0].on.as_deref(), doubts(&state)), (Some("2026-12-08"), String::new()));
    let replacement = |line: &'static str| ["BEG*05*SA*PO1**20261124", line];
    let (sixty, other) = (replacement("PO1*1*60*EA*10*PE*VN*A1"), replacement("PO1*1*55*EA*10*PE*VN*A1"));
    let state = fold(&[order, &sixty, &other, &sixty]);
    assert_eq!((quantity(&state), doubts(&state)), ("60", String::new()));
    let change: &[&str] = &[BEGIN_CHANGE, "POC*1*QD*40**EA*10*PE*VN*A1"];
    let state = fold(&[order, &sixty, change, &sixty]);
    assert_eq!(quantity(&state), "60", "the replacement takes the place of the change");
}

/// Without a time of the sender, only the days of arrival state a sequence, and a file may be sent again at any time.
#[test]
fn repetition_after_another_statement_is_unclear_without_times() {
    let change = |quantity: &str, day: &str, event_id| {
        let line = format!("POC*1*CA*{quantity}**EA*10*PE*VN*A1");
        ReceivedDocument { received_on: day.to_owned(), ..receive(&[BEGIN_CHANGE, &line], "", event_id) }
    };
    let order = receive(&[BEGIN, LINE], "", 1);
    let documents =
        [order, change("60", "2026-11-28", 2), change("55", "2026-11-29", 3), change("60", "2026-11-30", 4)];
    let state = fold_documents(&documents, ChangeQuantities::Total);
    assert_eq!(quantity(&state), "55");
    assert!(doubts(&state).contains("not applied: repeats the change of event 2, but the change of event 3 arrived"));
    let state = fold_documents(&documents[..3], ChangeQuantities::Total);
    assert_eq!((quantity(&state), doubts(&state)), ("55", String::new()));
}

#[test]
fn empty_or_unreadable_part_of_a_change_deletes_nothing() {
    let order: &[&str] = &[
        BEGIN,
        "REF*CT*K-77",
        "DTM*002*20261201",
        "ITD*01*3*2**10**30",
        "SAC*A*C310***3000",
        "TD5**2*RBTC*M",
        "N1*ST*DC*92*1",
        "N4*COLUMBUS",
        LINE,
        "REF*LI*77",
        "DTM*002*20261203",
    ];
    let poc = "POC*1*QI*60**EA*10*PE*VN*A1";
    for (segment, stays) in [
        ("DTM*002*20261345", "delivery requested (002) without a value that can be read: 2026-12-01 stays"),
        ("DTM*002**1300", "delivery requested (002) without a value that can be read: 2026-12-01 stays"),
        ("REF*CT", "contract (CT) without a value that can be read: K-77 stays"),
        ("REF*CT**SEE CONTRACT", "contract (CT) without a value that can be read: K-77 stays"),
        ("ITD*01", "terms without a value that can be read: net 30 days stays"),
        ("ITD*01*3*X**10**30", "a change cannot be read in whole: ITD03: \"X\" is neither a number nor a date"),
        ("SAC*A*C310", "without a value that can be read: 30 stays"),
        ("SAC*A*C310***4O00", "without a value that can be read: 30 stays"),
        ("TD5**", "carrier without a value that can be read: RBTC stays"),
        ("N1*ST", "ship to (ST) without a value that can be read: 1 stays"),
    ] {
        let state = fold(&[order, &[BEGIN_CHANGE, segment, poc]]);
        let found = doubts(&state);
        assert!(found.contains(stays), "{segment}: {found}");
        let before = fold(&[order]).order;
        let (now, is_partial) = (&state.order, segment.ends_with("10**30"));
        assert_eq!(
            (&now.dates, &now.addresses, &now.allowances),
            (&before.dates, &before.addresses, &before.allowances)
        );
        assert_eq!(now.references[0].value, before.references[0].value, "{segment}");
        assert!(is_partial || now.terms == before.terms, "{segment}");
        assert_eq!((quantity(&state), &now.carriers), ("60", &before.carriers), "{segment}");
    }
    for (segment, code) in [("DTM*002*20261299", "CT"), ("REF*LI", "CA"), ("DTM*002*20261299", "RZ"), ("N1*ST", "CA")] {
        let poc = format!("POC*1*{code}*50**EA*10*PE*VN*A1");
        let state = fold(&[order, &[BEGIN_CHANGE, &poc, segment]]);
        let line = &state.order.lines[0];
        let has_date = line.dates.iter().any(|date| date.on.as_deref() == Some("2026-12-03"));
        assert!(has_date && (code == "RZ" || line.references[0].value.as_deref() == Some("77")), "{segment} {code}");
        assert!(segment == "N1*ST" || !doubts(&state).is_empty(), "{segment} {code}");
    }
}

#[test]
fn change_code_refuses_what_it_does_not_change() {
    let order: &[&str] = &[
        BEGIN,
        "CUR*BY*USD",
        "DTM*002*20261201",
        "N1*ST*DC*92*1",
        LINE,
        "PID*F****Jam",
        "PO4*6*12*OZ",
        "SDQ*EA*92*1*20*2*30",
        "SLN*1**I*2*EA****VN*JAM",
    ];
    let poc = |code: &str, quantity: &str, price: &str, basis: &str| {
        format!("POC*1*{code}*{quantity}**EA*{price}*{basis}*VN*A1")
    };
    for (line, segment, problem) in [
        (poc("QI", "60", "10", "HP"), "", "price basis PE → HP"),
        (poc("CT", "50", "10", "TP"), "", "price basis PE → TP"),
        (poc("CT", "50", "10", "PE"), "CUR*BY*CAD", "currency USD → CAD"),
        (poc("QD", "40", "10", "PE"), "DTM*002*20270115", "delivery requested (002) 2026-12-01 → 2027-01-15"),
        (poc("PC", "50", "11", "PE"), "SDQ*EA*92*1*50", "schedule"),
        (poc("PC", "50", "11", "PE"), "N1*ST*S9*92*9", "ship to (ST)"),
        (poc("PQ", "60", "11", "PE"), "PID*F****Motor oil", "description Jam → Motor oil"),
        (poc("PC", "50", "11", "PE"), "PO4*6*99*OZ", "pack size 12 OZ → 99 OZ"),
        (poc("QD", "40", "10", "PE"), "SLN*1**I*9*EA****VN*JAM", "component 1 quantity 2 → 9"),
        (poc("DI", "50", "99", "PE"), "", "DI does not change the price: expected 10, found 99"),
    ] {
        let segments: Vec<&str> = [BEGIN_CHANGE, &line, segment].into_iter().filter(|text| !text.is_empty()).collect();
        let state = fold(&[order, &segments]);
        let found = doubts(&state);
        assert!(found.contains("not applied: ") && found.contains(problem), "{line} {segment}: {found}");
        assert_eq!(
            (state.order.lines[0].clone(), state.list_statuses()),
            (fold(&[order]).order.lines[0].clone(), "open".into())
        );
    }
    for (line, segment) in [
        (poc("QI", "60", "10", "PE"), "SDQ*EA*92*1*20*2*40"),
        (poc("QD", "40", "10", "PE"), "DTM*002*20261201"),
        (poc("PC", "50", "11", "HP"), "DTM*002*20261208"),
        (poc("CT", "50", "10", "PE"), "DTM*002*20261208"),
        (poc("PC", "50", "11", "PE"), "N1*ST*DC EAST*92*1"),
        (poc("PC", "50", "11", "PE"), "PID*F****JAM"),
        (poc("DI", "50", "0", "PE"), ""),
    ] {
        let segments: Vec<&str> = [BEGIN_CHANGE, &line, segment].into_iter().filter(|text| !text.is_empty()).collect();
        let state = fold(&[order, &segments]);
        let unclear = state.revisions.iter().any(|row| row.outcome == RevisionOutcome::Unclear);
        assert!(!unclear, "{line} {segment}: {}", doubts(&state));
    }
    let cancellation = ["BCH*01*SA*PO1***20261124", "POC*1*DI*50**EA*99*PE*VN*A1"];
    assert!(doubts(&fold(&[order, &cancellation])).contains("line 1 states the price 99, and the order has 10"));
}

/// A percentage in a change is one of the order after it, or before it.
#[test]
fn percentages_of_a_change_fit_the_order() {
    let order: &[&str] = &[BEGIN, "SAC*A*C310***2500*3*5", LINE];
    let line = "POC*1*QI*60**EA*10*PE*VN*A1";
    for (allowance, is_right) in [
        ("SAC*A*C310***3000*3*5", true),
        ("SAC*A*C310***2500*3*5", true),
        ("SAC*A*C310***99900*3*5", false),
        ("ITD*01*3*2**10**30*1200", true),
        ("ITD*01*3*2**10**30*99900", false),
    ] {
        let found = doubts(&fold(&[order, &[BEGIN_CHANGE, allowance, line]]));
        assert_eq!(found.is_empty(), is_right, "{allowance}: {found}");
    }
}

trait ListStatuses {
    fn list_statuses(&self) -> String;
}

impl ListStatuses for OrderState {
    fn list_statuses(&self) -> String {
        self.line_statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ")
    }
}
