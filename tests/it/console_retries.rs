//! Retrying all events that match a filter, from the console.

use crate::support::console::{ConsoleClient, add_console_user, insert_failed_events};
use crate::support::{Home, wait_until};

/// The retried events stay in the queue, so that a test can count them.
const NO_WORKER: &str = "[worker]\nin_serve = false";
/// A retry of this number of events takes several seconds: a test can stop it before its end.
const MANY: u32 = 40_000;

const RECEIVED: &str = "SELECT count(*) FROM webhook_events WHERE status = 'received'";
const RETRIED: &str = "SELECT retried FROM bulk_retries ORDER BY id DESC LIMIT 1";

/// Starts a retry of all failed events and returns its page.
fn start_retry(anna: &ConsoleClient, fields: &str) -> String {
    let answer = anna.post("/retries", fields);
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("location").unwrap().to_owned()
}

fn wait_until_begun(home: &Home) {
    wait_until(|| home.count(RETRIED) > 0, || home.log());
}

#[test]
fn all_matching_events_are_retried_once() {
    let home = Home::new(NO_WORKER);
    let daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    insert_failed_events(&home, 900);
    home.sql(
        "UPDATE webhook_events SET last_error = 'the disk is full' WHERE id % 2; \
         DELETE FROM webhook_payloads WHERE event_id = 7",
    );
    let question = anna.get("/retries/new?error=disk").body;
    assert!(question.contains("450 events match") && question.contains("status failed, error disk"), "{question}");
    let page = start_retry(&anna, "status=failed&error=disk");
    assert_eq!(page, "/retries/1");
    // An event that fails after the start is not touched.
    home.sql("UPDATE webhook_events SET webhook_id = 'late' || id WHERE id = 2");
    home.wait_for("SELECT state FROM bulk_retries", "completed");
    assert_eq!(home.sql(RETRIED), "449");
    assert_eq!(home.sql("SELECT skipped FROM bulk_retries"), "1", "the event without a body");
    assert_eq!(home.sql(RECEIVED), "449");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE id % 2 = 0 AND status = 'failed'"), "450");
    let retries = "SELECT max(n) FROM (SELECT count(*) AS n FROM webhook_event_log WHERE to_status = 'received' GROUP BY event_id)";
    assert_eq!(home.sql(retries), "1", "no event is retried twice");
    let shown = anna.get(&page).body;
    assert!(shown.contains("completed") && shown.contains("449") && !shown.contains("http-equiv"), "{shown}");
    let audit = "SELECT username, resource_path, result FROM system_log WHERE type = 'EVENT-RETRY-ALL'";
    assert_eq!(home.sql(audit), "anna|retries/1: 449 events of status=failed&error=disk, completed|ok");
    assert_eq!(home.count("SELECT count(*) FROM system_log WHERE type = 'EVENT-RETRY'"), 3, "one for each batch");
    home.run_ok(&["audit", "verify"]);
    home.assert_consistent();
}

#[test]
fn retry_stops_half_way() {
    let home = Home::new(NO_WORKER);
    let daemon = home.serve();
    for (name, role) in [("anna", "operator"), ("vera", "viewer"), ("otto", "operator")] {
        add_console_user(&home, name, role);
    }
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    insert_failed_events(&home, MANY);
    let question = anna.get("/retries/new").body;
    assert!(question.contains("10,000+ events match"), "{question}");
    let page = start_retry(&anna, "status=failed");
    wait_until_begun(&home);
    let running = anna.get(&page).body;
    assert!(running.contains("http-equiv=\"refresh\"") && running.contains(">Stop<"), "{running}");
    assert_eq!(anna.post("/retries", "status=failed").status, 409, "one runs at a time");
    let vera = ConsoleClient::signed_in(&daemon, "vera");
    assert!(!vera.get(&page).body.contains(">Stop<"));
    assert_eq!(vera.post(&format!("{page}/stop"), "").status, 403);
    let otto = ConsoleClient::signed_in(&daemon, "otto");
    assert_eq!(otto.post(&format!("{page}/stop"), "").status, 303);

    let stopped = anna.get(&page).body;
    assert!(stopped.contains("stopped") && stopped.contains("Retry the others"), "{stopped}");
    let retried = home.count(RETRIED);
    assert!(retried > 0 && retried < i64::from(MANY), "{retried} were retried");
    assert_eq!(home.count(RECEIVED), retried);
    let audit = "SELECT username, type, resource_path FROM system_log WHERE type LIKE 'EVENT-RETRY-%' ORDER BY id";
    let entry = format!("retries/1: {retried} events of status=failed, stopped");
    assert_eq!(home.sql(audit), format!("anna|EVENT-RETRY-ALL|{entry}\notto|EVENT-RETRY-STOP|retries/1"));

    // The place is free again, and the others can be retried.
    let mut next = anna.post("/retries", "status=failed");
    wait_until(
        || {
            if next.status != 303 {
                next = anna.post("/retries", "status=failed");
            }
            next.status == 303
        },
        || home.log(),
    );
    home.wait_for("SELECT count(*) FROM bulk_retries WHERE id = 2 AND retried > 0", "1");
    assert!(home.count(RECEIVED) > retried);
}

#[test]
fn end_of_the_daemon_ends_a_retry() {
    let home = Home::new(NO_WORKER);
    let mut daemon = home.serve();
    add_console_user(&home, "anna", "operator");
    let anna = ConsoleClient::signed_in(&daemon, "anna");
    insert_failed_events(&home, MANY);
    let first = start_retry(&anna, "status=failed");
    wait_until_begun(&home);
    daemon.stop();
    let state = "SELECT state, error FROM bulk_retries ORDER BY id DESC LIMIT 1";
    assert_eq!(home.sql(state), "interrupted|the daemon stopped");
    let retried = home.count(RETRIED);
    assert_eq!(home.count(RECEIVED), retried);

    daemon = home.serve();
    let anna = ConsoleClient { address: crate::support::console::console_address(&daemon), cookie: anna.cookie };
    let page = anna.get(&first).body;
    assert!(page.contains("interrupted") && page.contains("the daemon stopped"), "{page}");
    assert_eq!(home.count(RECEIVED), retried, "nothing goes on by itself");

    let second = start_retry(&anna, "status=failed");
    wait_until_begun(&home);
    daemon.send_signal("KILL");
    drop(daemon);
    let retried = home.count(RECEIVED);
    daemon = home.serve();
    let anna = ConsoleClient { address: crate::support::console::console_address(&daemon), cookie: anna.cookie };
    let page = anna.get(&second).body;
    assert!(page.contains("interrupted") && page.contains("Retry the others"), "{page}");
    assert_eq!(home.count(RECEIVED), retried);
    let audit = "SELECT count(*) FROM system_log WHERE type = 'EVENT-RETRY-ALL' AND result = 'error'";
    home.wait_for(audit, "2");
    home.run_ok(&["audit", "verify"]);
}
