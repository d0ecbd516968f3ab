//! Redactions wait, and an operator stops or runs them.

use crate::support::{Daemon, Home, NO_REDACTION_DELAY, SHOP, send_webhook};
use serde_json::Value;

const CUSTOMER: i64 = 7_115_134_935_223_412_345;

fn redact_body(order: i64) -> Vec<u8> {
    format!(
        r#"{{"shop_id":1,"shop_domain":"{SHOP}","customer":{{"id":{CUSTOMER},"email":"ada@example.com"}},"orders_to_redact":[{order}]}}"#
    )
    .into_bytes()
}

/// Sends an order of the customer, and waits until it is in the tables.
fn send_ada_order(home: &Home, daemon: &Daemon<'_>) {
    let order = format!(
        r##"{{"id":100,"name":"#100","email":"ada@example.com","customer":{{"id":{CUSTOMER}}},"updated_at":"2026-11-23T10:00:00Z"}}"##
    );
    send_webhook(daemon, "o", "orders/create", order.as_bytes());
    home.wait_until_processed();
}

const WAITING: &str = "SELECT count(*) FROM destructive_requests WHERE state = 'waiting'";
const EMAIL: &str = "SELECT coalesce(email, '') FROM sales_orders";

fn list_requests(home: &Home) -> Vec<Value> {
    home.run_ok(&["privacy", "list", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn redaction_waits_is_announced_and_can_be_stopped() {
    let home = Home::new("");
    let daemon = home.serve();
    send_ada_order(&home, &daemon);
    let event = send_webhook(&daemon, "r", "customers/redact", &redact_body(100));
    let id = event.to_string();
    home.wait_for(WAITING, "1");
    home.wait_for_log(&format!("`novex-ingest privacy stop {event} --reason TEXT` stops it"), 1);
    let due = "SELECT status, attempts, round((julianday(next_attempt_at) - julianday(received_at)) * 24) FROM webhook_events \
               WHERE topic = 'customers/redact'";
    assert_eq!(home.sql(due), "received|0|24.0");
    let listed = &list_requests(&home)[0];
    assert_eq!((listed["kind"].as_str(), listed["event_id"].as_i64()), (Some("destructive_request"), Some(event)));
    assert_eq!(listed["state"], "waiting");
    let printed = home.run_ok(&["privacy", "list"]);
    assert!(printed.contains("customers/redact") && printed.contains("waits until"), "{printed}");
    let doctor = String::from_utf8(home.run(&["doctor", "--json"]).stdout).unwrap();
    assert!(doctor.contains("1 redaction waits; the first is worked at"), "{doctor}");
    assert_eq!(home.run(&["events", "retry", &id]).status.code(), Some(1), "a retry does not start it");
    assert!(home.run_ok(&["stats", "--json"]).contains("\"oldest_pending_at\":null"));

    assert_eq!(home.run(&["privacy", "stop", &id]).status.code(), Some(2), "a reason is required");
    assert_eq!(home.run(&["privacy", "stop", &id, "--reason", " "]).status.code(), Some(2));
    home.run_ok(&["privacy", "stop", &id, "--reason", "a copy of an old request", "--by", "ada"]);
    let stopped = home.outcome(event);
    assert!(
        stopped.starts_with("failed: stopped by ada@") && stopped.ends_with(": a copy of an old request"),
        "{stopped}"
    );
    assert_eq!(list_requests(&home)[0]["state"], "stopped");
    assert_eq!(home.run(&["events", "retry", &id]).status.code(), Some(1));
    home.run_ok(&["events", "retry", "--status", "failed"]);
    home.wait_until_processed();
    assert_eq!(home.sql(EMAIL), "ada@example.com");
    let log =
        format!("SELECT count(*) FROM webhook_event_log WHERE event_id = {event} AND error LIKE 'stopped by ada@%'");
    assert_eq!(home.sql(&log), "1");

    let audit = "SELECT type || ' ' || resource_path FROM system_log WHERE username LIKE 'ada@%'";
    assert_eq!(home.sql(audit), format!("EVENT-STOP events/{event}"));
    assert_eq!(home.sql("SELECT count(*) FROM failures"), "0", "a stopped request is dismissed");

    home.run_ok(&["privacy", "run", &id]);
    home.wait_for("SELECT count(*) FROM redactions", "1");
    home.wait_until_processed();
    assert_eq!(home.sql(EMAIL), "");
    assert_eq!(list_requests(&home)[0]["state"], "done");
    for command in [&["privacy", "run", &id][..], &["privacy", "stop", &id, "--reason", "x"]] {
        assert_eq!(home.run(command).status.code(), Some(1), "it was worked");
    }
    assert_eq!(home.run(&["privacy", "run", "1"]).status.code(), Some(1), "an order is no request");
    home.assert_consistent();
}

#[test]
fn redaction_runs_when_its_time_has_come() {
    let home = Home::new("[privacy]\nredaction_delay = \"2s\"");
    let daemon = home.serve();
    send_ada_order(&home, &daemon);
    send_webhook(&daemon, "r", "customers/redact", &redact_body(100));
    home.wait_for("SELECT count(*) FROM redactions", "1");
    home.wait_until_processed();
    assert_eq!(home.sql(EMAIL), "");
    let waited = "SELECT count(*) FROM redactions r JOIN webhook_events e ON e.id = r.event_id \
                  WHERE julianday(r.at) - julianday(e.received_at) >= 1.9 / 86400";
    assert_eq!(home.sql(waited), "1");
    assert_eq!(home.sql("SELECT state FROM destructive_requests"), "done");
}

/// Nothing waits while a person decides before a worker has seen the request.
#[test]
fn redaction_is_stopped_before_a_worker_sees_it() {
    let home = Home::new(&format!("{NO_REDACTION_DELAY}[worker]\nin_serve = false"));
    let daemon = home.serve();
    send_ada_order_unprocessed(&daemon);
    let event = send_webhook(&daemon, "r", "customers/redact", &redact_body(100));
    home.run_ok(&["privacy", "stop", &event.to_string(), "--reason", "false"]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql(EMAIL), "ada@example.com");
    assert!(home.outcome(event).starts_with("failed: stopped by"), "{}", home.outcome(event));
}

fn send_ada_order_unprocessed(daemon: &Daemon<'_>) {
    let order = format!(r#"{{"id":100,"email":"ada@example.com","customer":{{"id":{CUSTOMER}}}}}"#);
    send_webhook(daemon, "o", "orders/create", order.as_bytes());
}

/// A copy of a redaction is refused before and after the redaction erased its body. A person can run it after all.
#[test]
fn copy_of_a_redaction_is_refused_until_an_operator_runs_it() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    send_ada_order(&home, &daemon);
    let body = redact_body(100);
    send_webhook(&daemon, "r1", "customers/redact", &body);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM redactions"), "1");
    // The customer orders again, and somebody sends the old request again.
    let order = r#"{"id":200,"email":"ada@example.com","customer":{"id":55},"updated_at":"2026-11-23T10:00:00Z"}"#;
    send_webhook(&daemon, "o2", "orders/create", order.as_bytes());
    home.wait_until_processed();
    let copy = send_webhook(&daemon, "r2", "customers/redact", &body);
    home.wait_until_processed();
    home.assert_refused(copy, "arrived before as event");
    let id = copy.to_string();
    assert!(home.outcome(copy).contains(&format!("novex-ingest privacy run {id}")));
    assert_eq!(home.sql("SELECT email FROM sales_orders WHERE order_id = 200"), "ada@example.com");
    assert_eq!(home.run(&["events", "retry", &id]).status.code(), Some(1));
    let doctor = String::from_utf8(home.run(&["doctor", "--json"]).stdout).unwrap();
    assert!(
        doctor.contains(&format!("event {id} (customers/redact) was refused; Shopify's time limit is")),
        "{doctor}"
    );
    home.run_ok(&["privacy", "run", &id]);
    home.wait_until_processed();
    assert!(home.outcome(copy).starts_with("completed"), "{}", home.outcome(copy));
    assert_eq!(home.sql("SELECT coalesce(email, '') FROM sales_orders WHERE order_id = 200"), "");
}

/// Two subscriptions to one topic: the second request waits with the first.
#[test]
fn equal_redaction_while_the_first_waits_asks_for_nothing_new() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = format!(r#"{{"shop_id":1,"shop_domain":"{SHOP}"}}"#);
    send_webhook(&daemon, "r1", "shop/redact", body.as_bytes());
    home.wait_for(WAITING, "1");
    let second = send_webhook(&daemon, "r2", "shop/redact", body.as_bytes());
    home.wait_for("SELECT status FROM webhook_events WHERE webhook_id = 'r2'", "completed");
    assert!(home.outcome(second).contains("nothing to do: event"), "{}", home.outcome(second));
}

#[test]
fn refused_deletion_can_be_run_or_closed() {
    let home = Home::new(NO_REDACTION_DELAY);
    let daemon = home.serve();
    let body = br#"{"id":77}"#;
    send_webhook(&daemon, "o", "orders/updated", body);
    home.wait_until_processed();
    let (first, second) =
        (send_webhook(&daemon, "d1", "orders/delete", body), send_webhook(&daemon, "d2", "orders/delete", body));
    home.wait_until_processed();
    for event in [first, second] {
        home.assert_refused(event, "(orders/updated)");
    }
    let (first, second) = (first.to_string(), second.to_string());
    home.run_ok(&["privacy", "stop", &second, "--reason", "sent twice"]);
    home.run_ok(&["privacy", "run", &first]);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM sales_orders WHERE deleted_at IS NOT NULL"), "1");
    let states = "SELECT group_concat(state) FROM (SELECT state FROM destructive_requests ORDER BY event_id)";
    assert_eq!(home.sql(states), "done,stopped");
    let doctor = String::from_utf8(home.run(&["doctor", "--json"]).stdout).unwrap();
    assert!(!doctor.contains("was refused"), "{doctor}");
}

/// A test event erases nothing, so it does not wait; a real event with its body is no copy.
#[test]
fn test_event_does_not_wait_and_makes_no_real_one_a_copy() {
    let home = Home::new("");
    let daemon = home.serve();
    let body = redact_body(100);
    let file = home.path("body");
    std::fs::write(&file, &body).unwrap();
    let to = daemon.address.to_string();
    home.run_ok(&["send", "shopify", "customers/redact", "--file", file.to_str().unwrap(), "--to", &to]);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT status, test FROM webhook_events"), "completed|1");
    assert_eq!(home.sql("SELECT count(*) FROM destructive_requests"), "0");
    send_webhook(&daemon, "r", "customers/redact", &body);
    home.wait_for(WAITING, "1");
}
