//! Retention: bodies before rows, by source and status; never failed or queued events, and never rows of ERP tables.

use crate::support::{Home, order_body};
use std::fs;

/// Creates a home with `count` processed orders that are `days` days old.
fn home_with_old_orders(count: usize, days: u32, more: &str) -> Home {
    let home = Home::new("");
    home.configure(more);
    let daemon = home.serve();
    for number in 0..count {
        assert_eq!(
            daemon.send_order(&format!("w{number}"), &order_body(u64::try_from(number).unwrap() + 1)).status,
            200
        );
    }
    home.wait_until_processed();
    daemon.stop();
    set_age(&home, "1", days);
    home
}

fn set_age(home: &Home, which: &str, days: u32) {
    let time = format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days')");
    home.sql(&format!("UPDATE webhook_events SET received_at = {time}, completed_at = {time} WHERE {which}"));
}

fn remaining(home: &Home) -> String {
    home.sql("SELECT (SELECT count(*) FROM webhook_events), (SELECT count(*) FROM webhook_payloads)")
}

fn prune(home: &Home, more: &[&str]) -> [u64; 2] {
    let printed = home.run_ok(&[&["prune", "--json"], more].concat());
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    ["bodies", "events"].map(|name| printed[name].as_u64().unwrap())
}

#[test]
fn bodies_are_deleted_before_rows_and_erp_rows_stay() {
    let home = home_with_old_orders(5, 100, "");
    set_age(&home, "id = 1", 500);
    set_age(&home, "id = 2", 10);
    home.sql("INSERT INTO webhook_conflicts (event_id, at, headers, body, body_sha256) VALUES (3, '2020-01-01T00:00:00.000Z', '{}', x'31', 'x')");
    assert_eq!(prune(&home, &["--dry-run"]), [4, 1]);
    assert_eq!(remaining(&home), "5|5", "a dry run deletes nothing");
    assert_eq!(prune(&home, &[]), [4, 1]);
    assert_eq!(remaining(&home), "4|1");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_conflicts"), "0", "bodies of conflicts are deleted too");
    assert_eq!(home.sql("SELECT count(*) FROM sales_orders"), "5");
    assert_eq!(
        home.sql("SELECT count(*) FROM webhook_event_log WHERE event_id = 1"),
        "0",
        "its history is deleted with it"
    );
    assert_eq!(prune(&home, &[]), [0, 0]);
    home.assert_consistent();
    // The row identifies a repeated webhook, also without the body.
    let daemon = home.serve();
    let response = daemon.send_order("w3", &order_body(4));
    assert!(response.status == 200 && response.body.contains("duplicate"), "{response:?}");
    daemon.stop();
    // Without its body an event cannot be processed again.
    let retried = home.run(&["events", "retry", "4"]);
    assert!(
        !retried.status.success() && String::from_utf8_lossy(&retried.stderr).contains("have no body any more"),
        "{retried:?}"
    );
    assert_eq!(home.sql("SELECT status FROM webhook_events WHERE id = 4"), "completed");
    assert!(home.run_ok(&["events", "show", "4"]).contains("pruned"), "{}", home.run_ok(&["events", "show", "4"]));
}

#[test]
fn rules_select_by_source_and_status() {
    let rules = "[[retention.rules]]\nsource = \"easypost\"\nbodies = \"1d\"\n[[retention.rules]]\nstatus = \"failed\"\nbodies = \"50d\"\n";
    let home = home_with_old_orders(3, 100, rules);
    assert_eq!(prune(&home, &[]), [0, 0], "there is no rule for completed events of Shopify");
    home.sql("UPDATE webhook_events SET status = 'failed' WHERE id = 1");
    assert_eq!(prune(&home, &["--dry-run"]), [1, 0]);
    // An event that is queued again, or that has a queued delivery, stays.
    home.sql("UPDATE webhook_events SET status = 'received', next_attempt_at = received_at WHERE id = 1");
    assert_eq!(prune(&home, &[]), [0, 0]);
    home.configure("[[retention.rules]]\nbodies = \"1d\"\nrows = \"30d\"\n");
    home.sql(
        "INSERT INTO destination_deliveries (event_id, destination, ordering_key, status, max_attempts, next_attempt_at, created_at) \
         VALUES (2, 'erp', '', 'pending', 8, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
    );
    assert_eq!(prune(&home, &[]), [1, 1]);
    assert_eq!(home.sql("SELECT group_concat(id) FROM webhook_events"), "1,2");
    for (rules, wanted) in [
        ("[[retention.rules]]\nrows = \"7d\"", "Keep rows for at least 30 days"),
        ("[[retention.rules]]\nstatus = \"received\"", "does not delete events with status"),
        ("[[retention.rules]]\nsource = \"shop\"", "is not a source"),
        ("[[retention.rules]]\n[[retention.rules]]\nsource = \"*\"", "has the same source and status"),
    ] {
        home.configure(rules);
        let check = home.run(&["config", "check"]);
        assert!(String::from_utf8_lossy(&check.stderr).contains(wanted), "{wanted}: {check:?}");
    }
}

/// When the disk fills up, retention deletes more and returns the space.
#[test]
fn squeeze_deletes_more_and_shrinks_the_file() {
    let home = home_with_old_orders(3, 20, "");
    let daemon = home.serve();
    for number in 0..60 {
        let mut body = order_body(number + 100);
        body.splice(1..1, format!("\"filling\":\"{}\",", "x".repeat(200_000)).into_bytes());
        assert_eq!(daemon.send_order(&format!("large{number}"), &body).status, 200);
    }
    home.wait_until_processed();
    daemon.stop();
    set_age(&home, "webhook_id LIKE 'large%'", 20);
    assert_eq!(prune(&home, &[]), [0, 0]);
    let before = fs::metadata(home.db()).unwrap().len();
    assert_eq!(prune(&home, &["--squeeze"]), [63, 0]);
    let after = fs::metadata(home.db()).unwrap().len();
    assert!(after + 10_000_000 < before, "{before} → {after}");
    assert_eq!(home.sql("PRAGMA freelist_count"), "0");
    home.assert_consistent();
}
