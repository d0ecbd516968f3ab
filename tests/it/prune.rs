//! Retention: bodies before rows, by source and status; never what failed, waits, or became something in the ERP's tables.

use crate::util::{Home, order};
use std::fs;

/// A home with so many worked orders, all of them so many days old.
fn home(count: usize, days: u32, more: &str) -> Home {
    let home = Home::new("");
    home.configure(more);
    let daemon = home.serve();
    for number in 0..count {
        assert_eq!(daemon.deliver(&format!("w{number}"), &order(u64::try_from(number).unwrap() + 1)).status, 200);
    }
    home.wait_until_worked();
    daemon.stop();
    age(&home, "1", days);
    home
}

fn age(home: &Home, which: &str, days: u32) {
    let time = format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days')");
    home.sql(&format!("UPDATE webhook_events SET received_at = {time}, completed_at = {time} WHERE {which}"));
}

fn left(home: &Home) -> String {
    home.sql("SELECT (SELECT count(*) FROM webhook_events), (SELECT count(*) FROM webhook_payloads)")
}

fn pruned(home: &Home, more: &[&str]) -> [u64; 2] {
    let said = home.ok(&[&["prune", "--json"], more].concat());
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    ["bodies", "events"].map(|name| said[name].as_u64().unwrap())
}

#[test]
fn bodies_go_before_rows_and_what_they_became_stays() {
    let home = home(5, 100, "");
    age(&home, "id = 1", 500);
    age(&home, "id = 2", 10);
    home.sql("INSERT INTO webhook_conflicts (event_id, at, headers, body, body_sha256) VALUES (3, '2020-01-01T00:00:00.000Z', '{}', x'31', 'x')");
    assert_eq!(pruned(&home, &["--dry-run"]), [4, 1]);
    assert_eq!(left(&home), "5|5", "a dry run takes nothing");
    assert_eq!(pruned(&home, &[]), [4, 1]);
    assert_eq!(left(&home), "4|1");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_conflicts"), "0", "other bytes under its id are bodies too");
    assert_eq!(home.sql("SELECT count(*) FROM sales_orders"), "5");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_event_log WHERE event_id = 1"), "0", "its trail goes with it");
    assert_eq!(pruned(&home, &[]), [0, 0]);
    home.assert_sound();
    // A delivery that comes again is known by its row, also without its body.
    let daemon = home.serve();
    let answer = daemon.deliver("w3", &order(4));
    assert!(answer.status == 200 && answer.body.contains("duplicate"), "{answer:?}");
    daemon.stop();
    // Without its body there is nothing to work again.
    let retried = home.run(&["events", "retry", "4"]);
    assert!(
        !retried.status.success() && String::from_utf8_lossy(&retried.stderr).contains("have no body any more"),
        "{retried:?}"
    );
    assert_eq!(home.sql("SELECT status FROM webhook_events WHERE id = 4"), "completed");
    assert!(home.ok(&["events", "show", "4"]).contains("pruned"), "{}", home.ok(&["events", "show", "4"]));
}

#[test]
fn rules_are_by_source_and_status() {
    let rules = "[[retention.rules]]\nsource = \"easypost\"\nbodies = \"1d\"\n[[retention.rules]]\nstatus = \"failed\"\nbodies = \"50d\"\n";
    let home = home(3, 100, rules);
    assert_eq!(pruned(&home, &[]), [0, 0], "there is no rule for completed events of Shopify");
    home.sql("UPDATE webhook_events SET status = 'failed' WHERE id = 1");
    assert_eq!(pruned(&home, &["--dry-run"]), [1, 0]);
    // Back in the queue, or on its way to a destination: it is left alone.
    home.sql("UPDATE webhook_events SET status = 'received', next_attempt_at = received_at WHERE id = 1");
    assert_eq!(pruned(&home, &[]), [0, 0]);
    home.configure("[[retention.rules]]\nbodies = \"1d\"\nrows = \"30d\"\n");
    home.sql(
        "INSERT INTO destination_deliveries (event_id, destination, ordering_key, status, max_attempts, next_attempt_at, created_at) \
         VALUES (2, 'erp', '', 'pending', 8, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
    );
    assert_eq!(pruned(&home, &[]), [1, 1]);
    assert_eq!(home.sql("SELECT group_concat(id) FROM webhook_events"), "1,2");
    for (rules, wanted) in [
        ("[[retention.rules]]\nrows = \"7d\"", "Keep rows for 30 days"),
        ("[[retention.rules]]\nstatus = \"received\"", "cannot be taken off"),
        ("[[retention.rules]]\nsource = \"shop\"", "is no source"),
        ("[[retention.rules]]\n[[retention.rules]]\nsource = \"*\"", "says the same"),
    ] {
        home.configure(rules);
        let check = home.run(&["config", "check"]);
        assert!(String::from_utf8_lossy(&check.stderr).contains(wanted), "{wanted}: {check:?}");
    }
}

/// When the disk fills, more goes, and the room goes back to the disk.
#[test]
fn a_squeeze_takes_more_and_gives_the_disk_its_room() {
    let home = home(3, 20, "");
    let daemon = home.serve();
    for number in 0..60 {
        let mut body = order(number + 100);
        body.splice(1..1, format!("\"filling\":\"{}\",", "x".repeat(200_000)).into_bytes());
        assert_eq!(daemon.deliver(&format!("large{number}"), &body).status, 200);
    }
    home.wait_until_worked();
    daemon.stop();
    age(&home, "webhook_id LIKE 'large%'", 20);
    assert_eq!(pruned(&home, &[]), [0, 0]);
    let before = fs::metadata(home.db()).unwrap().len();
    assert_eq!(pruned(&home, &["--squeeze"]), [63, 0]);
    let after = fs::metadata(home.db()).unwrap().len();
    assert!(after + 10_000_000 < before, "{before} → {after}");
    assert_eq!(home.sql("PRAGMA freelist_count"), "0");
    home.assert_sound();
}
