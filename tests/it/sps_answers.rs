//! Answers of partners: 997, 999, TA1 and 824 decide the state of the documents that were sent, in any order of
//! arrival; an answer that fits nothing is kept with its reason.

use crate::support::Home;
use crate::support::answers::{answer_file, answer_file_of, receive_answer, receive_answer_file, state_of};
use crate::support::edi_files::{interchange, order_set};
use crate::support::outbound_documents::{home_with_order, invoice, receive_file, send_document, ship_notice};
use serde_json::{Value, json};

/// A home with an order and its 997 (group 1), an invoice (group 2) and a ship notice (group 3), all sent.
fn home_with_sent_documents() -> Home {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    assert_eq!(send_document(&home, "810", &invoice("INV-1"), &[]).0, 0);
    assert_eq!(send_document(&home, "856", &ship_notice("SH-1"), &[]).0, 0);
    home.run_ok(&["work", "--once"]);
    home
}

fn reasons_of(home: &Home, number: &str) -> String {
    home.sql(&format!("SELECT coalesce(reasons, '') FROM edi_transmissions WHERE number = '{number}'"))
}

fn attention_of(home: &Home) -> String {
    home.sql("SELECT coalesce(attention, '') FROM purchase_orders")
}

#[test]
fn each_sent_document_has_its_control_numbers_and_waits() {
    let home = home_with_sent_documents();
    assert_eq!(
        home.sql(
            "SELECT kind, partner, number, functional_id, interchange, group_number, set_number, is_test, state \
             FROM edi_transmissions ORDER BY event_id"
        ),
        "997|ACMERETAIL|PO 7|FA|1|1|0001|0|none\n\
         810|ACMERETAIL|INV-1|IN|2|2|0001|0|waiting\n\
         856|ACMERETAIL|SH-1|SH|3|3|0001|0|waiting"
    );
    let file = home.sql("SELECT file_name FROM edi_transmissions WHERE kind = '810'");
    let text = std::fs::read_to_string(home.path("out").join(file)).unwrap();
    assert!(text.contains("*000000002*0*P*") && text.contains("GS*IN*NOVEX*ACMERETAIL*"), "{text}");
}

#[test]
fn acknowledgement_accepts_by_set_or_by_group() {
    let home = home_with_sent_documents();
    let note = receive_answer(&home, "997", &["AK1*IN*2", "AK2*810*0001", "AK5*A", "AK9*A*1*1*1"]);
    assert_eq!(note, "invoice INV-1 is accepted");
    assert_eq!((state_of(&home, "INV-1"), state_of(&home, "SH-1")), ("accepted".to_owned(), "waiting".to_owned()));
    // The group as a whole, with leading zeros and without AK2.
    assert_eq!(
        receive_answer(&home, "999", &["AK1*SH*000000003*004010", "AK9*A*1*1*1"]),
        "ship notice SH-1 is accepted"
    );
    assert_eq!(state_of(&home, "SH-1"), "accepted");
    assert_eq!(attention_of(&home), "");
    assert_eq!(home.sql("SELECT count(*) FROM edi_transmissions WHERE kind = '997'"), "1", "no 997 answers a 997");
}

#[test]
fn rejection_states_its_reasons_and_marks_the_order() {
    let home = home_with_sent_documents();
    let note = receive_answer(
        &home,
        "997",
        &["AK1*IN*2", "AK2*810*0001", "AK3*IT1*10**8", "AK4*7*234*7*V1", "AK5*R*5", "AK9*R*1*1*0"],
    );
    let reason = "997: segment 10 (IT1), element 7 (data element 234): invalid code value (7): \"V1\"";
    assert_eq!(note, format!("invoice INV-1 is rejected ({reason}; and 1 more)"));
    assert_eq!(state_of(&home, "INV-1"), "rejected");
    assert_eq!(reasons_of(&home, "INV-1"), format!("{reason}\n997: one or more segments are in error (5)"));
    assert_eq!(attention_of(&home), format!("invoice INV-1 was rejected: {reason} (and 1 more)"));
    // Another document for the order rebuilds it; the reason stays.
    receive_file(&home, &interchange("860", &[vec!["BCH*04*SA*PO1**1*20261124*****20261125".to_owned()]]));
    assert!(attention_of(&home).contains("invoice INV-1 was rejected"), "{}", attention_of(&home));
}

#[test]
fn later_rejection_wins_in_every_order_of_arrival() {
    let files = [
        answer_file("", &["TA1*000000002*261124*1200*A*000"]),
        answer_file("997", &["AK1*IN*2", "AK2*810*0001", "AK5*A", "AK9*A*1*1*1"]),
        answer_file("824", &["BGN*11*A-1*20261124", "OTI*TR*IV*INV-1*****2*0001*810", "TED*010*Total is 290.99"]),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let home = home_with_sent_documents();
        for index in order {
            receive_file(&home, &files[index]);
        }
        assert_eq!(state_of(&home, "INV-1"), "rejected", "{order:?}");
        assert_eq!(reasons_of(&home, "INV-1"), "824: total out of balance (010): Total is 290.99", "{order:?}");
        assert!(attention_of(&home).starts_with("invoice INV-1 was rejected: 824: total"), "{order:?}");
    }
}

#[test]
fn acceptance_beside_a_rejection_is_a_contradiction() {
    let accepts = answer_file("997", &["AK1*IN*2", "AK2*810*0001", "AK5*A", "AK9*A*1*1*1"]);
    let rejects = answer_file("997", &["AK1*IN*2", "AK2*810*0001", "AK5*R*5", "AK9*R*1*1*0"]);
    for files in [[&accepts, &rejects], [&rejects, &accepts]] {
        let home = home_with_sent_documents();
        for file in files {
            receive_file(&home, file);
        }
        assert_eq!(state_of(&home, "INV-1"), "unclear");
        let attention = attention_of(&home);
        assert!(attention.starts_with("invoice INV-1 has unclear answers: 997 of event "), "{attention}");
        assert!(attention.contains("accepted it, 997 of event ") && attention.contains("rejected it"), "{attention}");
    }
    // One answer can contradict itself.
    let home = home_with_sent_documents();
    receive_answer(&home, "997", &["AK1*IN*2", "AK2*810*0001", "AK5*A", "AK9*R*1*1*0"]);
    assert_eq!(state_of(&home, "INV-1"), "unclear");
}

#[test]
fn same_answer_again_changes_nothing() {
    let home = home_with_sent_documents();
    let segments = ["AK1*IN*2", "AK2*810*0001", "AK5*R*5", "AK9*R*1*1*0"];
    receive_answer(&home, "997", &segments);
    let facts = || home.sql("SELECT state, reasons, answered_at FROM edi_transmissions WHERE number = 'INV-1'");
    let (before, attention) = (facts(), attention_of(&home));
    let note = receive_answer(&home, "997", &segments);
    assert!(note.contains("invoice INV-1 is rejected") && note.contains("brought the same answer"), "{note}");
    assert_eq!((facts(), attention_of(&home)), (before, attention));
    assert_eq!(home.sql("SELECT count(*) FROM edi_answers"), "2", "one of the set, one of the group");
    let id = home.sql("SELECT min(event_id) FROM edi_answers");
    home.run_ok(&["events", "retry", &id]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT count(*) FROM edi_answers"), "2");
}

#[test]
fn answer_that_fits_nothing_is_kept_with_its_reason() {
    let home = home_with_sent_documents();
    let cases: [(String, &str); 9] = [
        (answer_file("997", &["AK1*IN*9", "AK9*A*1*1*1"]), "it answers nothing that was sent: IN group 9"),
        (
            answer_file("997", &["AK1*SH*2", "AK9*A*1*1*1"]),
            "the number is that of invoice INV-1 to ACMERETAIL, whose group is IN",
        ),
        (answer_file("997", &["AK1*IN*2", "AK2*810*0007", "AK5*R", "AK9*P*2*2*1"]), "whose only set is 0001"),
        (answer_file("997", &["AK1*IN*2", "AK2*856*0001", "AK5*R", "AK9*P*2*2*1"]), "which is a document 810"),
        (answer_file("997", &["AK1", "AK9*A*1*1*1"]), "no control number and no document"),
        (
            answer_file_of("OTHER", "P", "997", &["AK1*IN*2", "AK9*R*1*1*0"]),
            "the number is that of invoice INV-1 to ACMERETAIL",
        ),
        (
            answer_file_of("ACMERETAIL", "T", "997", &["AK1*IN*2", "AK9*R*1*1*0"]),
            "the answer is a test, but invoice INV-1 to ACMERETAIL is no test",
        ),
        (answer_file("", &["TA1*000000077*261124*1200*R*008"]), "it answers nothing that was sent: interchange 77"),
        (
            answer_file_of("OTHER", "P", "824", &["BGN*11*1*20261124", "OTI*TR*IV*INV-1"]),
            "that of invoice INV-1 to ACMERETAIL",
        ),
    ];
    for (file, reason) in &cases {
        let note = receive_answer_file(&home, file);
        assert!(note.contains(reason), "{reason}: {note}");
        let problem =
            home.sql("SELECT problem FROM edi_answers WHERE sent_event_id IS NULL ORDER BY event_id DESC LIMIT 1");
        assert!(problem.contains(reason), "{reason}: {problem}");
    }
    assert_eq!(home.sql("SELECT DISTINCT state FROM edi_transmissions WHERE number = 'SH-1'"), "waiting");
    // AK9 P alone does not state which sets are accepted.
    assert_eq!(state_of(&home, "INV-1"), "unclear");
}

#[test]
fn answer_that_arrived_before_the_document_is_not_its_answer() {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    let note = receive_answer(&home, "997", &["AK1*IN*2", "AK9*R*1*1*0"]);
    assert_eq!(note, "it answers nothing that was sent: IN group 2");
    assert_eq!(send_document(&home, "810", &invoice("INV-1"), &[]).0, 0);
    let facts = "SELECT group_number, state FROM edi_transmissions WHERE number = 'INV-1'";
    assert_eq!(home.sql(facts), "2|waiting");
    // Nor when its event is processed again.
    home.run_ok(&["events", "retry", &home.sql("SELECT event_id FROM edi_answers")]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql(facts), "2|waiting");
}

#[test]
fn interchange_answer_reaches_each_kind_of_document() {
    let home = home_with_sent_documents();
    // The topic of a file of TA1 segments is their own.
    let note = receive_answer(&home, "", &["TA1*000000001*261124*1200*A*000", "TA1*000000002*261124*1200*A*000"]);
    assert_eq!(note, "acknowledgement of PO 7 is accepted; invoice INV-1 is accepted");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE topic = 'TA1'"), "1");
    assert_eq!((state_of(&home, "PO 7"), state_of(&home, "INV-1")), ("accepted".to_owned(), "waiting".to_owned()));
    receive_answer(&home, "", &["TA1*000000003*261124*1200*R*025"]);
    assert_eq!(state_of(&home, "SH-1"), "rejected");
    assert_eq!(reasons_of(&home, "SH-1"), "TA1: control number is a duplicate (025)");
}

#[test]
fn advice_finds_documents_by_number_bill_of_lading_and_order() {
    let advice = |oti: &str, more: &[&str]| {
        let home = home_with_sent_documents();
        let segments: Vec<&str> = ["BGN*11*1*20261124", oti].into_iter().chain(more.iter().copied()).collect();
        let note = receive_answer(&home, "824", &segments);
        (state_of(&home, "INV-1"), state_of(&home, "SH-1"), note)
    };
    let states = |oti: &str, more: &[&str]| {
        let (invoice, notice, note) = advice(oti, more);
        format!("{invoice} {notice} {note}")
    };
    for (oti, more, expected) in [
        ("OTI*TR*IV*INV-1", &[][..], "rejected waiting invoice INV-1 is rejected"),
        ("OTI*IR*IV*INV-1***20261124***0001*810", &[], "rejected waiting"),
        ("OTI*TE*SI*SH-1*****99", &[], "waiting accepted-with-errors"),
        ("OTI*TA*SI*SH-1*****3*0001*856", &[], "waiting accepted"),
        ("OTI*TR*TN*T-5", &["REF*IV*INV-1"], "rejected waiting"),
        ("OTI*TR*BM*BOL-1", &[], "rejected waiting"),
        ("OTI*TR*PO*PO1*******810", &[], "rejected waiting"),
        ("OTI*BP*1Q*77*****2", &[], "unclear waiting"),
        ("OTI*TR*PO*PO1", &[], "waiting waiting it names only a purchase order, for which several documents were sent"),
        ("OTI*TR*IV*INV-1*****3", &[], "waiting waiting its control numbers are those of ship notice SH-1"),
        ("OTI*TR*IV*INV-9*****2", &[], "waiting waiting its control numbers are those of invoice INV-1"),
        ("OTI*TR*IV*INV-9", &[], "waiting waiting it answers nothing that was sent: IV INV-9"),
        ("OTI*TR*SI*INV-1", &[], "waiting waiting it answers nothing"),
        ("OTI*TR*IV*INV-1*******856", &[], "waiting waiting it answers nothing"),
        ("OTI*TZ*IV*INV-1", &[], "unclear waiting invoice INV-1 is unclear (824: OTI01 should be TA"),
    ] {
        let found = states(oti, more);
        assert!(found.starts_with(expected), "{oti}: {expected}: {found}");
    }
}

#[test]
fn test_answer_decides_a_test_document() {
    let test = interchange("850", &[order_set("PO1", 2)]).replace("*0*P*>", "*0*T*>");
    let home = home_with_order(&test);
    assert_eq!(send_document(&home, "810", &invoice("INV-1"), &[]).0, 0);
    assert!(
        receive_answer(&home, "997", &["AK1*IN*2", "AK9*A*1*1*1"])
            .contains("but invoice INV-1 to ACMERETAIL is a test")
    );
    receive_answer_file(&home, &answer_file_of("ACMERETAIL", "T", "997", &["AK1*IN*2", "AK9*A*1*1*1"]));
    assert_eq!(state_of(&home, "INV-1"), "accepted");
    assert_eq!(json!(state_of(&home, "PO 7")), json!("none"));
}

#[test]
fn answers_are_shown_by_parse_and_by_the_rows_of_their_event() {
    let home = home_with_sent_documents();
    let answer = answer_file("997", &["AK1*IN*2", "AK2*810*0001", "AK5*R*4", "AK9*R*1*1*0"]);
    std::fs::write(home.path("answer.edi"), &answer).unwrap();
    let path = home.path("answer.edi").display().to_string();
    let parsed = home.run_ok(&["sps", "parse", &path]);
    assert!(parsed.contains("997 for IN group 2, set 0001, document 810: rejected (R)"), "{parsed}");
    assert!(parsed.contains("  number of segments differs from the trailer (4)"), "{parsed}");
    let parsed: Value = serde_json::from_str(&home.run_ok(&["sps", "parse", "--json", &path])).unwrap();
    assert_eq!((&parsed["answers"][0]["verdict"], &parsed["messages"]), (&json!("rejected"), &json!([])));
    receive_answer_file(&home, &answer);
    let id = home.sql("SELECT max(event_id) FROM edi_answers");
    let shown = home.run_ok(&["events", "show", &id]);
    assert!(shown.contains("edi_answers") && shown.contains("invoice INV-1 is rejected"), "{shown}");
}
