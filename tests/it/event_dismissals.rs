//! `events dismiss`: failed events and deliveries that need no retry.

use crate::support::Home;
use crate::support::destinations::{home_with_destinations, http_destination, send_orders, wait_until_delivered};
use crate::support::fake_erp::{FakeErp, Reply};
use serde_json::Value;

/// Returns doctor's findings about failed events and deliveries.
fn find_failures(home: &Home) -> Vec<String> {
    let output = home.run(&["doctor", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = document["checks"].as_array().unwrap().iter();
    let texts = findings.map(|finding| finding["message"].as_str().unwrap().to_owned());
    texts.filter(|text| text.contains("failed for good")).collect()
}

/// Two failed events and one failed delivery.
fn home_with_failures(erp: &FakeErp) -> Home {
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    daemon.send_order("w1", b"no JSON").event_id();
    daemon.send_order("w2", b"no JSON either").event_id();
    send_orders(&daemon, 3..=3);
    wait_until_delivered(&home);
    daemon.stop();
    home
}

#[test]
fn dismissed_failures_keep_their_status_and_leave_doctor_quiet() {
    let erp = FakeErp::start(|_, _| Reply::StatusWithBody(422, String::new(), b"unknown item".to_vec()));
    let home = home_with_failures(&erp);
    assert_eq!(find_failures(&home).len(), 2);
    let printed = home.run_ok(&["events", "dismiss", "1", "--reason", "a test of the shop", "--by", "ada"]);
    assert_eq!(printed, "event 1 is dismissed\n");
    let marks = "SELECT status, dismissed_reason, dismissed_by LIKE 'ada@%', dismissed_at IS NOT NULL FROM webhook_events WHERE id = 1";
    assert_eq!(home.sql(marks), "failed|a test of the shop|1|1");
    assert_eq!(home.sql("SELECT group_concat(id) FROM failures"), "2");
    assert_eq!(home.sql("SELECT sum(events) FROM event_counts WHERE status = 'failed'"), "2", "the status stays");
    assert!(find_failures(&home)[0].contains("1 event failed for good; the last one is event 2"));
    let history = "SELECT from_status, to_status, error, worker LIKE 'ada@%' FROM webhook_event_log WHERE event_id = 1 ORDER BY id DESC LIMIT 1";
    assert_eq!(home.sql(history), "failed|failed|dismissed: a test of the shop|1");
    let audit =
        "SELECT type, operation, resource, resource_path, username LIKE 'ada@%', details IS NULL FROM system_log";
    assert_eq!(home.sql(audit), "EVENT-DISMISS|DISMISS|EVENT|events/1|1|1");
    home.run_ok(&["audit", "verify"]);
    let list = home.run_ok(&["events", "list", "--status", "dismissed"]);
    assert!(list.contains("a test of the shop; it failed with: the body"), "{list}");
    let shown = home.run_ok(&["events", "show", "1"]);
    assert!(shown.contains("dismissed") && shown.contains("a test of the shop") && shown.contains("ada@"), "{shown}");

    // The delivery of an event that completed.
    let printed = home.run_ok(&["events", "dismiss", "3", "--reason", "entered by hand", "--json"]);
    let line: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&line["event_dismissed"], &line["deliveries_dismissed"][0]),
        (&Value::Bool(false), &Value::from("erp"))
    );
    assert_eq!(home.sql("SELECT count(*) FROM destination_failures"), "0");
    assert_eq!(home.sql("SELECT status, dismissed_reason FROM destination_deliveries"), "failed|entered by hand");
    let shown = home.run_ok(&["events", "show", "3"]);
    assert!(shown.contains("unknown item; dismissed at 20") && shown.contains("entered by hand"), "{shown}");
    let list: Value = serde_json::from_str(&home.run_ok(&["destinations", "list", "--json"])).unwrap();
    assert_eq!(list["failed"], 0);
    // A timer sets no variable that names the user.
    let mut command = home.command(&["events", "dismiss", "2", "--reason", "a test"]);
    assert!(command.env_remove("USER").env_remove("SUDO_USER").output().unwrap().status.success());
    let user = String::from_utf8(std::process::Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let dismissed_by = home.sql("SELECT dismissed_by FROM webhook_events WHERE id = 2");
    assert!(dismissed_by.starts_with(&format!("{}@", user.trim())), "{dismissed_by}");
    assert_eq!(find_failures(&home), Vec::<String>::new());
    home.assert_consistent();

    // What is not a failure, or is dismissed, is an error that names the number; nothing else happens.
    let again = home.run(&["events", "dismiss", "1", "99", "--reason", "x"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("2 of 2 events were not dismissed"));
    for wrong in [
        &["events", "dismiss", "1"][..],
        &["events", "dismiss", "--reason", "x"],
        &["events", "dismiss", "1", "--reason", " "],
    ] {
        assert_eq!(home.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn retry_ends_a_dismissal() {
    let erp = FakeErp::start(|number, _| Reply::Status(if number == 0 { 422 } else { 200 }));
    let home = home_with_failures(&erp);
    home.run_ok(&["events", "dismiss", "1", "3", "--reason", "x"]);
    // A retry of all failed events leaves dismissed ones alone.
    assert_eq!(home.run_ok(&["events", "retry", "--status", "failed", "--dry-run"]), "event 2 would be due now\n");
    home.run_ok(&["events", "retry", "1", "3"]);
    let marked = "SELECT (SELECT count(dismissed_at) + count(dismissed_reason) + count(dismissed_by) FROM webhook_events) \
                  + (SELECT count(dismissed_at) + count(dismissed_reason) + count(dismissed_by) FROM destination_deliveries)";
    assert_eq!(home.sql(marked), "0");
    home.run_ok(&["work", "--once"]);
    let daemon = home.serve();
    wait_until_delivered(&home);
    daemon.stop();
    assert_eq!(home.sql("SELECT group_concat(id) FROM failures"), "2,1", "it failed again, undismissed");
    assert_eq!(home.sql("SELECT status FROM destination_deliveries"), "delivered");
    home.assert_consistent();
}

#[test]
fn filters_select_failures_to_dismiss() {
    let erp = FakeErp::start(|_, _| Reply::Status(422));
    let home = home_with_failures(&erp);
    let dry = home.run_ok(&["events", "dismiss", "--topic", "orders/*", "--reason", "x", "--dry-run"]);
    assert_eq!(dry, "event 2 would be dismissed\nevent 1 would be dismissed\n");
    let dry = home.run_ok(&["events", "dismiss", "--destination", "erp", "--reason", "x", "--dry-run"]);
    assert_eq!(dry, "event 3 would be dismissed\n");
    assert_eq!(home.run_ok(&["events", "dismiss", "--topic", "refunds/*", "--reason", "x"]), "No such failures.\n");
    assert_eq!(home.run_ok(&["events", "dismiss", "--destination", "crm", "--reason", "x"]), "No such failures.\n");
    assert_eq!(home.run(&["events", "dismiss", "--status", "completed", "--reason", "x"]).status.code(), Some(1));
    assert_eq!(home.sql("SELECT count(dismissed_at) FROM webhook_events"), "0");
    assert_eq!(
        home.run_ok(&["events", "dismiss", "--status", "failed", "--limit", "1", "--reason", "x"]),
        "event 2 is dismissed\n"
    );
    assert_eq!(home.run_ok(&["events", "dismiss", "--source", "shopify", "--reason", "x"]), "event 1 is dismissed\n");
    assert_eq!(home.sql("SELECT count(*) FROM destination_failures"), "1", "a filter of events selects no deliveries");
    home.run_ok(&["events", "dismiss", "--destination", "erp", "--reason", "x"]);
    assert_eq!(home.sql("SELECT count(*) FROM destination_failures"), "0");
}

/// The reason may name a person.
#[test]
fn redaction_erases_the_reason() {
    let erp = FakeErp::start(|number, _| Reply::Status(if number == 0 { 422 } else { 200 }));
    let home = home_with_failures(&erp);
    home.run_ok(&["events", "dismiss", "3", "--reason", "Ada Lovelace cancelled by phone"]);
    let redact = r#"{"shop_domain":"acme-foods.myshopify.com","customer":{"id":99},"orders_to_redact":[3]}"#;
    let daemon = home.serve();
    let request =
        crate::support::shopify_request("r", redact.as_bytes()).with_header("X-Shopify-Topic", "customers/redact");
    daemon
        .request(&crate::support::Request { path: "/api/webhooks/shopify/customers/redact".into(), ..request })
        .event_id();
    home.wait_for("SELECT count(*) FROM redactions WHERE scrubbed_at IS NOT NULL", "1");
    daemon.stop();
    assert_eq!(
        home.sql("SELECT dismissed_at IS NOT NULL, dismissed_reason FROM destination_deliveries WHERE event_id = 3"),
        "1|"
    );
    let file = std::fs::read(home.db()).unwrap();
    assert!(!file.windows(8).any(|bytes| bytes == b"Lovelace"), "the file has the reason");
}
