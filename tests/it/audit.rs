//! Keycloak's events and the audit trail: refused changes, detected tampering, truncation, alerts.

use crate::support::{Daemon, Home, KEYCLOAK_SECRET, Request, base64, hmac_sha256, keycloak_request};
use serde_json::Value;
use std::process::Command;

fn login_event(user: &str, second: u32) -> Vec<u8> {
    let time = 1_763_929_800_000_i64 + i64::from(second) * 1000;
    format!(
        r#"{{"type":"LOGIN","id":"{user}-{second}","time":{time},"realmId":"acme","userId":"{user}","ipAddress":"192.0.2.7"}}"#
    )
    .into_bytes()
}

fn failed_login_event(user: &str, address: &str, second: u32) -> Vec<u8> {
    String::from_utf8(login_event(user, second))
        .unwrap()
        .replace("LOGIN", "LOGIN_ERROR")
        .replace("192.0.2.7", address)
        .into_bytes()
}

/// Adds ten rows in the order of their times. Workers process several events at once, so each event waits for the
/// earlier one.
fn add_ten_rows(home: &Home) -> Daemon<'_> {
    let daemon = home.serve();
    for second in 0..10 {
        daemon.request(&keycloak_request(&login_event("ada", second))).event_id();
        home.wait_until_processed();
    }
    daemon
}

/// Returns the result of `audit verify --json` and its exit status.
fn verify_trail(home: &Home) -> (Value, i32) {
    let output = home.run(&["audit", "verify", "--json"]);
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn trail_refuses_changes() {
    let home = Home::new("");
    drop(add_ten_rows(&home));
    for statement in [
        "UPDATE system_log SET username = 'bob'",
        "DELETE FROM system_log WHERE id = 10",
        "DELETE FROM system_log",
        "INSERT INTO system_log (id, event_id, at, type, result, prev_hash, hash) VALUES (99, 99, '', '', 'ok', '', '')",
        "UPDATE system_log_truncations SET rows = 0",
    ] {
        let output = Command::new("sqlite3").arg(home.db()).arg(statement).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        let empty = statement.contains("truncations");
        assert!(empty || printed.contains("audit trail"), "{statement}: {printed}");
    }
    let (verdict, status) = verify_trail(&home);
    assert_eq!((verdict["rows"].as_i64(), verdict["broken"].is_null(), status), (Some(10), true, 0));
}

/// Without its triggers the table can be changed; the hash chain finds the place.
#[test]
fn altered_removed_or_moved_rows_are_detected() {
    const OPEN: &str = "DROP TRIGGER system_log_refuse_update; DROP TRIGGER system_log_refuse_delete; \
                        DROP TRIGGER system_log_append_only;";
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
        drop(add_ten_rows(&home));
        home.sql(&format!("{OPEN} {tampering}"));
        let (verdict, status) = verify_trail(&home);
        assert_eq!(status, 1, "{tampering}");
        assert_eq!(verdict["broken"]["id"], id, "{tampering}: {verdict}");
        assert!(verdict["broken"]["problem"].as_str().unwrap().contains(what), "{tampering}: {verdict}");
    }
}

#[test]
fn truncated_trail_verifies_and_continues() {
    let home = Home::new("");
    let daemon = add_ten_rows(&home);
    let printed = home.run_ok(&["audit", "truncate", "--before", "2025-11-23T20:30:04Z", "--by", "ada"]);
    assert!(printed.starts_with("Removed 4 rows, up to row 4, signed off by ada@"), "{printed}");
    assert_eq!(home.run_ok(&["audit", "truncate", "--before", "2025-11-23T20:30:04Z"]), "No rows are that old.\n");
    daemon.request(&keycloak_request(&login_event("bob", 30))).event_id();
    home.wait_until_processed();
    let (verdict, status) = verify_trail(&home);
    assert_eq!(
        (verdict["first_id"].as_i64(), verdict["last_id"].as_i64(), status),
        (Some(5), Some(11), 0),
        "{verdict}"
    );
    home.run_ok(&["audit", "truncate", "--before", "2030-01-01T00:00:00Z"]);
    assert_eq!(verify_trail(&home).1, 0);
    daemon.request(&keycloak_request(&login_event("bob", 31))).event_id();
    home.wait_until_processed();
    let (verdict, status) = verify_trail(&home);
    assert_eq!((verdict["first_id"].as_i64(), verdict["rows"].as_i64(), status), (Some(12), Some(1), 0), "{verdict}");
}

#[test]
fn repeated_failures_raise_one_alert() {
    let home = Home::new("");
    home.configure("");
    let config = std::fs::read_to_string(home.config()).unwrap();
    let watched = "[keycloak]\nlogin_errors = 5\nlogin_errors_within = \"60s\"\n";
    std::fs::write(home.config(), config.replace("[keycloak]\n", watched)).unwrap();
    let daemon = home.serve();
    let send = |user: &str, address: &str, second: u32| {
        daemon.request(&keycloak_request(&failed_login_event(user, address, second))).event_id();
    };
    for second in 0..4 {
        send("ada", &format!("192.0.2.{second}"), second);
    }
    // Four slow failures of another user: never five within a minute.
    for round in 0..8 {
        send("bob", &format!("198.51.100.{round}"), round * 20);
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM alerts"), "0");
    for second in 4..40 {
        send("ada", "203.0.113.9", second);
    }
    home.wait_until_processed();
    assert_eq!(
        home.sql("SELECT kind, subject, count FROM alerts ORDER BY kind"),
        "login_errors_from_address|203.0.113.9|36\nlogin_errors_of_user|ada|40"
    );
    let printed = home.run_ok(&["audit", "alerts"]);
    assert!(printed.contains("failed logins of the user ada"), "{printed}");
}

#[test]
fn trail_is_filtered_by_user_type_time_and_address() {
    let home = Home::new("");
    let daemon = add_ten_rows(&home);
    daemon.request(&keycloak_request(&failed_login_event("eve", "203.0.113.9", 100))).event_id();
    home.wait_until_processed();
    let count = |arguments: &[&str]| home.run_ok(&[&["audit", "list", "--json"], arguments].concat()).lines().count();
    assert_eq!(count(&["--user", "ada"]), 10);
    assert_eq!(count(&["--type", "LOGIN_*"]), 1);
    assert_eq!(count(&["--address", "203.0.113.9"]), 1);
    assert_eq!(count(&["--since", "2025-11-23T20:30:08Z", "--until", "2025-11-23T20:31:00Z"]), 2);
    assert_eq!(count(&["--limit", "3"]), 3);
    let table = home.run_ok(&["audit", "list"]);
    assert!(table.lines().nth(1).unwrap().contains("LOGIN_ERROR"), "the newest first: {table}");
}

#[test]
fn reprocessed_event_has_one_trail_row() {
    let home = Home::new("");
    let _daemon = add_ten_rows(&home);
    home.run_ok(&["events", "retry", "1"]);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*), sum(type = 'EVENT-RETRY') FROM system_log"), "11|1");
}

/// Rows that retention truncated do not return at the end of the trail.
#[test]
fn event_with_truncated_row_is_not_added_again() {
    let home = Home::new("");
    let _daemon = add_ten_rows(&home);
    home.run_ok(&["audit", "truncate", "--before", "2025-11-23T20:30:05Z"]);
    let left = home.sql("SELECT count(*), max(id) FROM system_log");
    assert_ne!(left, "10|10");
    home.run_ok(&["events", "retry", "1"]);
    home.wait_until_processed();
    let without_retry = "SELECT count(*), max(id) FROM system_log WHERE type <> 'EVENT-RETRY'";
    assert_eq!(home.sql(without_retry), left);
}

/// Keycloak's own event listener: each of the three proofs over the wire, and the default, which accepts one.
#[test]
fn signature_and_basic_are_accepted_where_configured() {
    let body = login_event("ada", 1);
    let signed = Request::post("/api/keycloak/events", &body)
        .with_header("X-Keycloak-Signature", &hex::encode(hmac_sha256(KEYCLOAK_SECRET.as_bytes(), &body)));
    let basic = Request::post("/api/keycloak/events/", &body)
        .with_header("Authorization", &format!("Basic {}", base64(format!("any:{KEYCLOAK_SECRET}").as_bytes())));
    let home = Home::new("");
    let daemon = home.serve();
    assert_eq!([&signed, &basic].map(|request| daemon.request(request).status), [401, 401]);
    daemon.stop();
    let config = std::fs::read_to_string(home.config()).unwrap();
    let accept = "[keycloak]\naccept = [\"bearer\", \"signature\", \"basic\"]\n";
    std::fs::write(home.config(), config.replace("[keycloak]\n", accept)).unwrap();
    let daemon = home.serve();
    assert_eq!(
        [&signed, &basic, &keycloak_request(&body)].map(|request| daemon.request(request).status),
        [200, 200, 200]
    );
    let wrong = signed.with_header("X-Keycloak-Signature", &hex::encode(hmac_sha256(b"other", &body)));
    assert_eq!(daemon.request(&wrong.with_header("Authorization", "Bearer x")).status, 401);
}

/// A forged anchor does not hide removed rows.
#[test]
fn forged_anchor_is_detected() {
    let home = Home::new("");
    drop(add_ten_rows(&home));
    let refused = |sql: &str| {
        let output = Command::new("sqlite3").arg(home.db()).arg(sql).output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("audit trail")
    };
    let forged = "INSERT INTO system_log_truncations (at, signed_off_by, rows, last_id, last_hash, hash) \
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
    let (verdict, status) = verify_trail(&home);
    assert_eq!(status, 1);
    assert!(
        verdict["broken"]["problem"].as_str().unwrap().contains("was not deleted as system_log_truncations states"),
        "{verdict}"
    );
}

/// A user name that any client typed reaches the trail, which limits its length. Output has no control characters.
#[test]
fn any_user_name_is_printed_safely() {
    let home = Home::new("");
    let daemon = home.serve();
    for name in ["x".repeat(100_000), "a\u{1b}[2J\u{202e}b\nforged".to_owned()] {
        let body =
            serde_json::json!({"type": "LOGIN_ERROR", "ipAddress": "203.0.113.9", "details": {"username": name}});
        daemon.request(&keycloak_request(body.to_string().as_bytes())).event_id();
    }
    home.wait_until_processed();
    let list = home.run_ok(&["audit", "list"]);
    assert_eq!(list.lines().count(), 3, "one line each: {list}");
    assert!(!list.contains('\u{1b}') && !list.contains('\u{202e}'), "{list:?}");
    assert!(list.lines().all(|line| line.chars().count() < 1_000));
    assert_eq!(home.sql("SELECT max(length(username)) FROM system_log"), "500");
}

/// p2-inc's listener retries for 15 minutes, out of order. The newest failure first raises the same alert as the oldest
/// first.
#[test]
fn failures_in_reverse_order_raise_the_alert() {
    let home = Home::new("");
    let daemon = home.serve();
    for second in (0..20).rev() {
        let name = ["Ada", "ada", "ADA"][second as usize % 3];
        daemon.request(&keycloak_request(&failed_login_event(name, &format!("192.0.2.{second}"), second))).event_id();
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT kind, subject, count FROM alerts"), "login_errors_of_user|ada|20");
}

/// Listeners that write neither id nor time repeat no event: equal failed logins are how guessing looks.
#[test]
fn equal_events_without_id_and_time_are_all_logged_and_raise_an_alert() {
    let json = r#"{"type":"LOGIN_ERROR","realmId":"acme","userId":"ada","ipAddress":"192.0.2.7"}"#;
    let loose = "{'type': 'LOGIN_ERROR', 'realmId': 'acme', 'userId': 'ada', 'ipAddress': '192.0.2.7', 'details': {}}";
    let form = |text: &str| {
        format!("json={}", percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC))
    };
    for body in [json.to_owned(), form(json), form(loose)] {
        let home = Home::new("");
        let daemon = home.serve();
        for _ in 0..12 {
            let response = daemon.request(&keycloak_request(body.as_bytes()));
            assert!(!response.is_duplicate(), "{body}");
        }
        home.wait_until_processed();
        assert_eq!(home.sql("SELECT count(*), count(DISTINCT event_id) FROM system_log"), "12|12", "{body}");
        let alerts = home.sql("SELECT kind, subject FROM alerts ORDER BY kind");
        assert_eq!(alerts, "login_errors_from_address|192.0.2.7\nlogin_errors_of_user|ada", "{body}");
    }
}

/// A body with a time and no id is one event, however often it comes. A listener whose times are whole seconds writes
/// equal bodies for different logins, so the requests count for the alert all the same.
#[test]
fn repeated_requests_of_a_failed_login_raise_an_alert() {
    let body = r#"{"type":"LOGIN_ERROR","time":"2026-11-28T10:00:00Z","ipAddress":"192.0.2.7","username":"ada"}"#;
    let home = Home::new("");
    let daemon = home.serve();
    for index in 0..12 {
        let response = daemon.request(&keycloak_request(body.as_bytes()));
        assert_eq!(response.is_duplicate(), index > 0);
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*) FROM system_log"), "1");
    assert_eq!(home.sql("SELECT repeats FROM webhook_events"), "11");
    let alerts = home.sql("SELECT kind, subject, count FROM alerts ORDER BY kind");
    assert_eq!(alerts, "login_errors_from_address|192.0.2.7|12\nlogin_errors_of_user|ada|12");
}

/// A listener with milliseconds repeats a request only if it got no answer.
#[test]
fn repeated_requests_of_an_exact_time_raise_no_alert() {
    let body = r#"{"type":"LOGIN_ERROR","time":1795255200001,"ipAddress":"192.0.2.7","username":"ada"}"#;
    let home = Home::new("");
    let daemon = home.serve();
    for _ in 0..12 {
        daemon.request(&keycloak_request(body.as_bytes()));
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT repeats, (SELECT count(*) FROM alerts) FROM webhook_events"), "0|0");
}

#[test]
fn list_of_events_is_one_row_for_each_and_raises_alerts() {
    let failure =
        |id: u32| format!(r#"{{"id":"x{id}","type":"LOGIN_ERROR","username":"ada","time":{}}}"#, 1_795_255_200_000_i64);
    let failures: Vec<String> = (0..12).map(failure).collect();
    let list = format!("[{}]", failures.join(","));
    let mixed = r#"[{"type":"LOGIN","userId":"u"},{"operationType":"DELETE","resourceType":"USER"},7]"#;
    let home = Home::new("");
    let daemon = home.serve();
    for (body, is_repeated) in [(list.as_str(), false), (&list, true), (mixed, false), (mixed, false)] {
        assert_eq!(daemon.request(&keycloak_request(body.as_bytes())).is_duplicate(), is_repeated, "{body}");
    }
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT topic FROM webhook_events ORDER BY id"), "LOGIN_ERROR\nmixed\nmixed");
    assert_eq!(
        home.sql("SELECT type, count(*) FROM system_log GROUP BY event_id, type ORDER BY min(id)"),
        "LOGIN_ERROR|12\nLOGIN|1\nUSER-DELETE|1\nunknown|1\nLOGIN|1\nUSER-DELETE|1\nunknown|1"
    );
    assert_eq!(home.sql("SELECT details FROM system_log WHERE id = 1"), r#"{"other_fields":{"id":"x0"}}"#);
    assert_eq!(home.sql("SELECT subject, count FROM alerts"), "ada|12");
    // Working the event again adds no row beside the one of the retry.
    home.run_ok(&["events", "retry", "1"]);
    home.wait_until_processed();
    assert_eq!(home.sql("SELECT count(*), count(event_id) FROM system_log"), "19|18");
    home.run_ok(&["audit", "verify"]);
}
