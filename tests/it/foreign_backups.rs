//! `restore` gets files from anybody: a foreign schema or a changed body is refused before anything of it is used.

use crate::support::{Home, order_body, sql};
use std::fs;

/// Returns a home with a stopped daemon, one event, and a backup.
fn make_backup() -> (Home, std::path::PathBuf) {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w1", &order_body(1)).event_id();
    home.wait_until_processed();
    daemon.stop();
    let copy = home.path("copy.db");
    home.run_ok(&["backup", &copy.display().to_string()]);
    (home, copy)
}

/// Checks that `restore` refuses the file with this reason and changes nothing.
fn assert_refused(home: &Home, file: &std::path::Path, reason: &str) {
    let events = "SELECT id, webhook_id, status, attempts FROM webhook_events";
    let before = home.sql(events);
    for command in [&["restore", "--check"][..], &["restore"]] {
        let refused = home.run(&[command, &[&file.display().to_string()]].concat());
        let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{reason}: {printed}");
        assert!(printed.contains("nothing was restored or changed") && printed.contains(reason), "{reason}: {printed}");
        assert!(!printed.contains("unfinished"), "{printed}");
    }
    assert_eq!(home.sql(events), before);
}

#[test]
fn foreign_missing_and_changed_objects_are_named() {
    let (home, copy) = make_backup();
    for (change, reason) in [
        (
            "CREATE TRIGGER spy AFTER INSERT ON webhook_events BEGIN DELETE FROM sales_orders; END",
            "the trigger `spy` is foreign",
        ),
        ("CREATE VIEW pragma_user_version AS SELECT 1 AS user_version", "the view `pragma_user_version` is foreign"),
        ("CREATE TABLE theirs (a)", "the table `theirs` is foreign"),
        ("CREATE INDEX theirs ON sales_orders (name)", "the index `theirs` is foreign"),
        ("DROP TRIGGER system_log_refuse_delete", "the trigger `system_log_refuse_delete` is missing"),
        ("DROP VIEW queue; CREATE VIEW queue AS SELECT 1", "the view `queue` is changed"),
        (
            "CREATE TRIGGER a AFTER INSERT ON alerts BEGIN SELECT 1; END; CREATE VIEW b AS SELECT 1; DROP VIEW queue",
            "the trigger `a` is foreign; the view `b` is foreign; the view `queue` is missing",
        ),
    ] {
        let crafted = home.path("crafted.db");
        fs::copy(&copy, &crafted).unwrap();
        sql(&crafted, change);
        assert_refused(&home, &crafted, reason);
    }
    // Figures for the query planner are no foreign content.
    sql(&copy, "ANALYZE");
    home.run_ok(&["restore", "--check", &copy.display().to_string()]);
}

#[test]
fn changed_body_is_found_by_its_hash() {
    let (home, copy) = make_backup();
    let printed = home.run_ok(&["restore", "--check", &copy.display().to_string()]);
    assert!(printed.contains("schema and 1 body checked"), "{printed}");
    let crafted = home.path("crafted.db");
    fs::copy(&copy, &crafted).unwrap();
    sql(&crafted, "UPDATE webhook_payloads SET body = CAST(replace(CAST(body AS TEXT), '1', '2') AS BLOB)");
    assert_refused(&home, &crafted, "1 of 1 bodies do not fit their stored hash, the first of event 1");
    // A body that repeated the webhook id.
    fs::copy(&copy, &crafted).unwrap();
    sql(
        &crafted,
        "INSERT INTO webhook_conflicts (event_id, at, headers, body, body_sha256) VALUES (1, '', '{}', x'00', '00')",
    );
    assert_refused(&home, &crafted, "1 of 2 bodies do not fit");
}

#[test]
fn directory_is_no_damaged_backup() {
    let (home, _copy) = make_backup();
    assert_refused(&home, &home.path(""), "is a directory. Name a backup in it");
}

/// A restore would refuse the copy, so it must not push out older ones.
#[test]
fn backup_of_a_changed_schema_keeps_older_backups() {
    let (home, _copy) = make_backup();
    let directory = home.path("backups").display().to_string();
    home.run_ok(&["backup", &directory, "--keep", "1"]);
    home.sql("CREATE VIEW mine AS SELECT 1");
    let refused = home.run(&["backup", &directory, "--keep", "1"]);
    let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && printed.contains("the view `mine` is foreign"), "{printed}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
}
