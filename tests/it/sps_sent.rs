//! `sps sent`, `sps show`, `sps list --attention` and doctor: what became of the documents that were sent.

use crate::support::Home;
use crate::support::answers::{answer_file_of, receive_answer, receive_answer_file, state_of};
use crate::support::edi_files::{interchange, order_set};
use crate::support::outbound_documents::{home_with_order, invoice, send_document, ship_notice};
use serde_json::Value;

/// A home with an order, an invoice that the partner rejected (group 2), and a ship notice without an answer (group 3).
fn home_with_rejected_invoice() -> Home {
    let home = home_with_order(&interchange("850", &[order_set("PO1", 2)]));
    assert_eq!(send_document(&home, "810", &invoice("INV-1"), &[]).0, 0);
    assert_eq!(send_document(&home, "856", &ship_notice("SH-1"), &[]).0, 0);
    home.run_ok(&["work", "--once"]);
    receive_answer(&home, "997", &["AK1*IN*2", "AK2*810*0001", "AK5*R*4", "AK9*R*1*1*0"]);
    home.run_ok(&["sps", "map", "partner", "ACMERETAIL", "C-1"]);
    home.run_ok(&["sps", "map", "item", "B1", "FG-1"]);
    home.run_ok(&["sps", "map", "item", "B2", "FG-2"]);
    home
}

/// Moves the delivery of all documents to a day long ago.
fn age_deliveries(home: &Home) {
    home.sql("UPDATE destination_deliveries SET finished_at = '2020-01-01T00:00:00.000Z'");
}

/// Returns doctor's findings about answers, each its state, message and fix.
fn find_answer_findings(home: &Home) -> Vec<String> {
    let output = home.run(&["doctor", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = document["checks"].as_array().unwrap().iter();
    let words = ["sent document", "for a person"];
    findings
        .map(ToString::to_string)
        .filter(|finding| finding.contains("\"edi\"") && words.iter().any(|word| finding.contains(word)))
        .collect()
}

fn rows(home: &Home, arguments: &[&str]) -> Vec<Value> {
    let printed = home.run_ok(&[&["sps", "sent", "--json"], arguments].concat());
    printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rejected_invoice_is_listed_everywhere_until_it_is_dismissed() {
    let home = home_with_rejected_invoice();
    let reason = "997: number of segments differs from the trailer (4)";
    let listed = home.run_ok(&["sps", "sent"]);
    let line = listed.lines().find(|line| line.contains("invoice INV-1")).unwrap();
    assert!(line.contains("PO1") && line.contains("rejected") && line.contains("997: number of"), "{listed}");
    assert!(listed.contains("ship notice SH-1") && listed.contains("no answer yet"), "{listed}");
    assert!(listed.contains("acknowledgement of PO 7") && listed.contains("no answer expected"), "{listed}");
    let paper = home.run_ok(&["sps", "show", "PO1"]).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(paper.contains(&format!("sps-outgoing: delivered (event 3); rejected: {reason}")), "{paper}");
    assert!(paper.contains("(event 4); no answer yet"), "{paper}");
    let attention = home.run_ok(&["sps", "list", "--attention"]);
    assert!(attention.contains("1 sent document was rejected or not answered"), "{attention}");
    assert!(attention.contains("invoice INV-1 was rejected"), "{attention}");
    assert!(home.run_ok(&["sps", "list", "--attention", "--partner", "OTHER"]).contains("No purchase orders."));
    let findings = find_answer_findings(&home);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].contains("\"failed\"") && findings[0].contains("events dismiss 3 --reason"), "{findings:?}");
    let rejected = rows(&home, &["--rejected"]);
    assert_eq!(rejected, rows(&home, &["--attention"]));
    assert_eq!((&rejected[0]["number"], &rejected[0]["reasons"][0]), (&"INV-1".into(), &reason.into()));
    assert_eq!(rows(&home, &["--partner", "OTHER"]), Vec::<Value>::new());

    let printed = home.run_ok(&["events", "dismiss", "3", "--reason", "sent again as INV-2"]);
    assert_eq!(printed, "event 3: its EDI findings are dismissed\n");
    assert_eq!(home.sql("SELECT attention IS NULL FROM purchase_orders"), "1");
    assert_eq!(find_answer_findings(&home), Vec::<String>::new());
    assert_eq!(home.run_ok(&["sps", "list", "--attention"]), "No purchase orders.\n");
    assert!(home.run_ok(&["sps", "show", "PO1"]).contains("dismissed: sent again"));
    assert_eq!(state_of(&home, "INV-1"), "rejected", "the state stays");
    assert!(!home.run(&["events", "dismiss", "3", "--reason", "again"]).status.success());
    // A new answer ends the dismissal.
    receive_answer(&home, "824", &["BGN*11*1*20261124", "OTI*TR*IV*INV-1", "TED*006"]);
    assert!(home.sql("SELECT attention FROM purchase_orders").contains("invoice INV-1 was rejected"));
}

#[test]
fn document_without_an_answer_is_overdue_after_the_timeout() {
    let home = home_with_rejected_invoice();
    assert_eq!(rows(&home, &["--overdue"]), Vec::<Value>::new());
    age_deliveries(&home);
    let overdue = rows(&home, &["--overdue"]);
    assert_eq!(overdue.len(), 1, "the 997 needs no answer: {overdue:?}");
    assert_eq!((&overdue[0]["number"], &overdue[0]["state"]), (&"SH-1".into(), &"overdue".into()));
    assert_eq!(rows(&home, &["--attention"]).len(), 2);
    assert!(home.run_ok(&["sps", "list", "--attention"]).contains("overdue: no answer"));
    assert!(home.run_ok(&["sps", "show", "PO1"]).contains("overdue: no answer"));
    assert!(find_answer_findings(&home).iter().any(|finding| finding.contains("no answer in time")));
    // A document that was not delivered is not overdue.
    home.sql("UPDATE destination_deliveries SET status = 'failed' WHERE event_id = 4");
    assert_eq!(rows(&home, &["--overdue"]), Vec::<Value>::new());
    assert!(home.run_ok(&["sps", "sent"]).contains("not delivered yet"));
    home.sql("UPDATE destination_deliveries SET status = 'delivered'");
    home.run_ok(&["events", "dismiss", "4", "--reason", "the partner never answers"]);
    assert_eq!(rows(&home, &["--overdue"]), Vec::<Value>::new());
    home.sql("UPDATE edi_transmissions SET dismissed_at = NULL");
    let config = std::fs::read_to_string(home.path("config.toml")).unwrap();
    let never = config.replace("[sps]\n", "[sps]\nacknowledgement_timeout = \"0s\"\n");
    std::fs::write(home.path("config.toml"), never).unwrap();
    assert_eq!(rows(&home, &["--overdue"]), Vec::<Value>::new());
    assert!(home.run_ok(&["sps", "sent"]).contains("no answer yet"));
}

#[test]
fn answers_that_fit_nothing_are_listed_until_they_are_dismissed() {
    let home = home_with_rejected_invoice();
    home.run_ok(&["events", "dismiss", "3", "--reason", "corrected"]);
    receive_answer_file(&home, &answer_file_of("OTHER", "P", "997", &["AK1*IN*2", "AK9*R*1*1*0"]));
    let id = home.sql("SELECT max(event_id) FROM edi_answers");
    for command in [&["sps", "sent", "--attention"][..], &["sps", "list", "--attention"]] {
        let listed = home.run_ok(command);
        assert!(
            listed.contains("1 answer fits no sent document") && listed.contains("that of invoice INV-1"),
            "{listed}"
        );
        let csv = home.run_ok(&[command, &["--csv"]].concat());
        assert!(csv.contains("rejected") && csv.contains("answers nothing that was sent"), "{csv}");
        assert!(!home.run_ok(&[command, &["--partner", "ACMERETAIL"]].concat()).contains("fits no sent"));
    }
    let findings = find_answer_findings(&home);
    assert!(
        findings[0].contains("fit no sent document") && findings[0].contains(&format!("dismiss {id} ")),
        "{findings:?}"
    );
    assert!(home.run_ok(&["events", "dismiss", &id, "--reason", "a stranger"]).contains("findings are dismissed"));
    assert_eq!(find_answer_findings(&home), Vec::<String>::new());
    assert_eq!(home.run_ok(&["sps", "sent", "--attention"]), "No sent documents.\n");
    // Processing the event again keeps the dismissal.
    home.run_ok(&["events", "retry", &id]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.run_ok(&["sps", "sent", "--attention"]), "No sent documents.\n");
}

#[test]
fn csv_of_sent_documents_has_their_control_numbers() {
    let home = home_with_rejected_invoice();
    let csv = home.run_ok(&["sps", "sent", "--csv", "--rejected"]);
    let mut lines = csv.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let values: Vec<&str> = lines.next().unwrap().split(',').collect();
    for (name, value) in
        [("kind", "810"), ("group_number", "2"), ("interchange", "2"), ("total", "291"), ("state", "rejected")]
    {
        let column = header.iter().position(|column| *column == name).unwrap();
        assert_eq!(values[column], value, "{csv}");
    }
}

#[test]
fn messages_payments_and_debits_are_shown_until_they_are_dismissed() {
    let home = home_with_rejected_invoice();
    home.run_ok(&["events", "dismiss", "3", "--reason", "corrected"]);
    let note = receive_answer(
        &home,
        "864",
        &["BMG*00*Late ASN", "REF*PO*PO1", "MIT*M-1*Late ASN", "MSG*Send it\u{7} earlier"],
    );
    assert_eq!(note.replace('\u{7}', "?"), "for a person: message (864), M-1, Late ASN, Send it? earlier");
    let payment = ["BPR*C*500.25*C*ACH************20261130", "TRN*1*T-7", "RMR*IV*INV-1**500.25*510.25*10"];
    assert!(
        receive_answer(&home, "820", &payment).starts_with("for a person: payment advice (820), T-7, credit 500.25")
    );
    receive_answer(&home, "812", &["BCD*20261124*D-5*M*2550*D**INV-1"]);
    // The same payment advice in another file is no second one.
    receive_answer(&home, "820", &payment);
    assert_eq!(
        home.sql("SELECT kind, number, amount, direction, dated_on FROM edi_messages ORDER BY event_id"),
        "864|M-1|||\n820|T-7|500.25|credit|2026-11-30\n812|D-5|25.5|debit|2026-11-24"
    );
    let paper = home.run_ok(&["sps", "show", "PO1"]);
    for text in [
        "From the partner",
        "message (864), M-1, Late ASN",
        "Send it",
        "IV INV-1: paid 500.25, of 510.25",
        "debit 25.5",
    ] {
        assert!(paper.contains(text), "{text}: {paper}");
    }
    let listed = home.run_ok(&["sps", "list", "--attention"]);
    assert!(listed.contains("3 documents for a person") && listed.contains("credit or debit (812)"), "{listed}");
    let ids = home.sql("SELECT group_concat(event_id, ' ') FROM edi_messages");
    let first = ids.split(' ').next().unwrap();
    let shown = home.run_ok(&["events", "show", first]);
    assert!(
        shown.contains("message (864) from ACMERETAIL: M-1, Late ASN\n  Send it") && !shown.contains('\u{7}'),
        "{shown}"
    );
    assert!(home.run_ok(&["events", "show", first, "--json"]).contains("\"subject\":\"Late ASN\""));
    let findings = find_answer_findings(&home);
    assert!(findings.len() == 1 && findings[0].contains("3 EDI documents are for a person"), "{findings:?}");
    assert!(home.run_ok(&["sps", "list", "--attention", "--csv"]).contains("payment advice (820)"));
    let dismiss = ["events", "dismiss", "--reason", "read"].into_iter().chain(ids.split(' ')).collect::<Vec<_>>();
    assert_eq!(home.run_ok(&dismiss).lines().count(), 3);
    assert_eq!(find_answer_findings(&home), Vec::<String>::new());
    assert_eq!(home.run_ok(&["sps", "list", "--attention"]), "No purchase orders.\n");
    home.run_ok(&["events", "retry", first]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.run_ok(&["sps", "list", "--attention"]), "No purchase orders.\n", "the dismissal stays");
    assert_eq!(
        home.sql("SELECT count(*) FROM edi_transmissions WHERE kind = '997'"),
        "1",
        "none of them is acknowledged"
    );
}
