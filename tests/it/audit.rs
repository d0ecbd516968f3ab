//! Keycloak's events and their trail: what is refused, what tampering shows, what a cut leaves, what raises an alert.

use crate::util::{Daemon, Home, KEYCLOAK_SECRET, Request, base64, hmac, keycloak};
use serde_json::Value;
use std::process::Command;

fn login(user: &str, second: u32) -> Vec<u8> {
    let time = 1_763_929_800_000_i64 + i64::from(second) * 1000;
    format!(
        r#"{{"type":"LOGIN","id":"{user}-{second}","time":{time},"realmId":"acme","userId":"{user}","ipAddress":"192.0.2.7"}}"#
    )
    .into_bytes()
}

fn failed_login(user: &str, address: &str, second: u32) -> Vec<u8> {
    String::from_utf8(login(user, second))
        .unwrap()
        .replace("LOGIN", "LOGIN_ERROR")
        .replace("192.0.2.7", address)
        .into_bytes()
}

fn ten_rows(home: &Home) -> Daemon<'_> {
    let daemon = home.serve();
    for second in 0..10 {
        daemon.request(&keycloak(&login("ada", second))).event_id();
    }
    home.wait_until_worked();
    daemon
}

/// What `audit verify --json` finds, and its exit status.
fn verify(home: &Home) -> (Value, i32) {
    let output = home.run(&["audit", "verify", "--json"]);
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn the_trail_refuses_to_be_changed() {
    let home = Home::new("");
    drop(ten_rows(&home));
    for statement in [
        "UPDATE system_log SET username = 'bob'",
        "DELETE FROM system_log WHERE id = 10",
        "DELETE FROM system_log",
        "INSERT INTO system_log (id, event_id, at, type, result, prev_hash, hash) VALUES (99, 99, '', '', 'ok', '', '')",
        "UPDATE system_log_anchors SET rows = 0",
    ] {
        let output = Command::new("sqlite3").arg(home.db()).arg(statement).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let empty = statement.contains("anchors");
        assert!(empty || said.contains("audit trail"), "{statement}: {said}");
    }
    let (verdict, status) = verify(&home);
    assert_eq!((verdict["rows"].as_i64(), verdict["broken"].is_null(), status), (Some(10), true, 0));
}

/// Whoever drops the triggers can change the file; the chain says where.
#[test]
fn what_was_altered_taken_out_or_moved_is_found() {
    const OPEN: &str = "DROP TRIGGER system_log_is_not_changed; DROP TRIGGER system_log_is_not_deleted; \
                        DROP TRIGGER system_log_only_grows;";
    for (tampering, id, what) in [
        ("UPDATE system_log SET ip_address = '192.0.2.8' WHERE id = 4", 4, "altered"),
        ("UPDATE system_log SET details = '{}' WHERE id = 10", 10, "altered"),
        ("DELETE FROM system_log WHERE id = 5", 5, "missing"),
        ("DELETE FROM system_log WHERE id < 3", 1, "missing"),
        (
            "UPDATE system_log SET id = -1 WHERE id = 6; UPDATE system_log SET id = 6 WHERE id = 7; \
             UPDATE system_log SET id = 7 WHERE id = -1",
            6,
            "does not follow",
        ),
        ("UPDATE system_log SET prev_hash = hash WHERE id = 8", 8, "does not follow"),
    ] {
        let home = Home::new("");
        drop(ten_rows(&home));
        home.sql(&format!("{OPEN} {tampering}"));
        let (verdict, status) = verify(&home);
        assert_eq!(status, 1, "{tampering}");
        assert_eq!(verdict["broken"]["id"], id, "{tampering}: {verdict}");
        assert!(verdict["broken"]["what"].as_str().unwrap().contains(what), "{tampering}: {verdict}");
    }
}

#[test]
fn what_stays_after_a_cut_still_verifies_and_goes_on() {
    let home = Home::new("");
    let daemon = ten_rows(&home);
    let said = home.ok(&["audit", "cut", "--before", "2025-11-23T20:30:04Z", "--by", "ada"]);
    assert!(said.starts_with("4 rows cut off, up to row 4, signed off by ada@"), "{said}");
    assert_eq!(home.ok(&["audit", "cut", "--before", "2025-11-23T20:30:04Z"]), "Nothing is that old.\n");
    daemon.request(&keycloak(&login("bob", 30))).event_id();
    home.wait_until_worked();
    let (verdict, status) = verify(&home);
    assert_eq!(
        (verdict["first_id"].as_i64(), verdict["last_id"].as_i64(), status),
        (Some(5), Some(11), 0),
        "{verdict}"
    );
    home.ok(&["audit", "cut", "--before", "2030-01-01T00:00:00Z"]);
    assert_eq!(verify(&home).1, 0);
    daemon.request(&keycloak(&login("bob", 31))).event_id();
    home.wait_until_worked();
    let (verdict, status) = verify(&home);
    assert_eq!((verdict["first_id"].as_i64(), verdict["rows"].as_i64(), status), (Some(12), Some(1), 0), "{verdict}");
}

#[test]
fn repeated_failures_raise_one_alert_and_no_flood() {
    let home = Home::new("");
    home.configure("");
    let config = std::fs::read_to_string(home.config()).unwrap();
    let watched = "[keycloak]\nlogin_errors = 5\nlogin_errors_within = \"60s\"\n";
    std::fs::write(home.config(), config.replace("[keycloak]\n", watched)).unwrap();
    let daemon = home.serve();
    let send = |user: &str, address: &str, second: u32| {
        daemon.request(&keycloak(&failed_login(user, address, second))).event_id();
    };
    for second in 0..4 {
        send("ada", &format!("192.0.2.{second}"), second);
    }
    // Four slow ones of another user: never five within a minute.
    for round in 0..8 {
        send("bob", &format!("198.51.100.{round}"), round * 20);
    }
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT count(*) FROM alerts"), "0");
    for second in 4..40 {
        send("ada", "203.0.113.9", second);
    }
    home.wait_until_worked();
    assert_eq!(
        home.sql("SELECT kind, subject, count FROM alerts ORDER BY kind"),
        "login_errors_from_address|203.0.113.9|36\nlogin_errors_of_user|ada|40"
    );
    let said = home.ok(&["audit", "alerts"]);
    assert!(said.contains("failed logins of the user ada"), "{said}");
}

#[test]
fn the_trail_is_listed_by_user_type_time_and_address() {
    let home = Home::new("");
    let daemon = ten_rows(&home);
    daemon.request(&keycloak(&failed_login("eve", "203.0.113.9", 100))).event_id();
    home.wait_until_worked();
    let count = |arguments: &[&str]| home.ok(&[&["audit", "list", "--json"], arguments].concat()).lines().count();
    assert_eq!(count(&["--user", "ada"]), 10);
    assert_eq!(count(&["--type", "LOGIN_*"]), 1);
    assert_eq!(count(&["--address", "203.0.113.9"]), 1);
    assert_eq!(count(&["--since", "2025-11-23T20:30:08Z", "--until", "2025-11-23T20:31:00Z"]), 2);
    assert_eq!(count(&["--limit", "3"]), 3);
    let table = home.ok(&["audit", "list"]);
    assert!(table.lines().nth(1).unwrap().contains("LOGIN_ERROR"), "the newest first: {table}");
}

#[test]
fn an_event_that_is_worked_again_is_not_logged_twice() {
    let home = Home::new("");
    let _daemon = ten_rows(&home);
    home.ok(&["events", "retry", "1"]);
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT count(*) FROM system_log"), "10");
}

/// Rows that retention cut off do not come back at the trail's end.
#[test]
fn an_event_whose_row_was_cut_off_is_not_logged_again() {
    let home = Home::new("");
    let _daemon = ten_rows(&home);
    home.ok(&["audit", "cut", "--before", "2025-11-23T20:30:05Z"]);
    let left = home.sql("SELECT count(*), max(id) FROM system_log");
    assert_ne!(left, "10|10");
    home.ok(&["events", "retry", "1"]);
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT count(*), max(id) FROM system_log"), left);
}

/// The listener that a user has: each of the three proofs over the wire, and the default that takes one.
#[test]
fn signature_and_basic_are_taken_where_configured() {
    let body = login("ada", 1);
    let signed = Request::post("/api/keycloak/events", &body)
        .with("X-Keycloak-Signature", &hex::encode(hmac(KEYCLOAK_SECRET.as_bytes(), &body)));
    let basic = Request::post("/api/keycloak/events/", &body)
        .with("Authorization", &format!("Basic {}", base64(format!("any:{KEYCLOAK_SECRET}").as_bytes())));
    let home = Home::new("");
    let daemon = home.serve();
    assert_eq!([&signed, &basic].map(|request| daemon.request(request).status), [401, 401]);
    daemon.stop();
    let config = std::fs::read_to_string(home.config()).unwrap();
    let accept = "[keycloak]\naccept = [\"bearer\", \"signature\", \"basic\"]\n";
    std::fs::write(home.config(), config.replace("[keycloak]\n", accept)).unwrap();
    let daemon = home.serve();
    assert_eq!([&signed, &basic, &keycloak(&body)].map(|request| daemon.request(request).status), [200, 200, 200]);
    let wrong = signed.with("X-Keycloak-Signature", &hex::encode(hmac(b"other", &body)));
    assert_eq!(daemon.request(&wrong.with("Authorization", "Bearer x")).status, 401);
}

/// An anchor that somebody wrote does not hide what they took out.
#[test]
fn a_forged_anchor_hides_nothing() {
    let home = Home::new("");
    drop(ten_rows(&home));
    let refused = |sql: &str| {
        let output = Command::new("sqlite3").arg(home.db()).arg(sql).output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("audit trail")
    };
    let forged = "INSERT INTO system_log_anchors (at, signed_off_by, rows, last_id, last_hash, hash) \
                  SELECT '2026-01-01T00:00:00.000Z', 'root@box', 10, 10, hash, 'x' FROM system_log WHERE id = 10";
    assert!(
        refused(&forged.replace("10, 10, hash", "10, 10, 'x'"))
            && refused(&forged.replace("10, 10, hash", "3, 10, hash"))
    );
    assert!(refused(
        "INSERT OR REPLACE INTO system_log SELECT 11, event_id, at, type, realm, user_id, username, client_id, ip_address, \
                     session_id, operation, resource, resource_path, result, error, details, prev_hash, hash FROM system_log WHERE id = 5"
    ));
    home.sql(&format!("{forged}; DELETE FROM system_log WHERE id = 5"));
    let (verdict, status) = verify(&home);
    assert_eq!(status, 1);
    assert!(verdict["broken"]["what"].as_str().unwrap().contains("was not cut off as its anchor says"), "{verdict}");
}

/// What strangers type as a user name reaches the trail, and neither a terminal's controls nor its width.
#[test]
fn a_user_name_of_any_kind_can_be_looked_at() {
    let home = Home::new("");
    let daemon = home.serve();
    for name in ["x".repeat(100_000), "a\u{1b}[2J\u{202e}b\nforged".to_owned()] {
        let body =
            serde_json::json!({"type": "LOGIN_ERROR", "ipAddress": "203.0.113.9", "details": {"username": name}});
        daemon.request(&keycloak(body.to_string().as_bytes())).event_id();
    }
    home.wait_until_worked();
    let list = home.ok(&["audit", "list"]);
    assert_eq!(list.lines().count(), 3, "a line each: {list}");
    assert!(!list.contains('\u{1b}') && !list.contains('\u{202e}'), "{list:?}");
    assert!(list.lines().all(|line| line.chars().count() < 500));
    assert_eq!(home.sql("SELECT max(length(username)) FROM system_log"), "500");
}

/// p2-inc's retries come up to 15 minutes late and out of order: the newest first is as many as the oldest first.
#[test]
fn failures_that_come_newest_first_raise_the_alert_too() {
    let home = Home::new("");
    let daemon = home.serve();
    for second in (0..20).rev() {
        let name = ["Ada", "ada", "ADA"][second as usize % 3];
        daemon.request(&keycloak(&failed_login(name, &format!("192.0.2.{second}"), second))).event_id();
    }
    home.wait_until_worked();
    assert_eq!(home.sql("SELECT kind, subject, count FROM alerts"), "login_errors_of_user|ada|20");
}
