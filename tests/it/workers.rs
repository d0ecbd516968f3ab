//! Worker processes: claims, deaths, recovery, and the commands that process the queue.

use crate::support::seed::seeded_rng;
use crate::support::{Home, WAIT_MAX, order_body, send_signal, shopify_request};
use std::process::Child;
use std::time::Instant;

/// Stores `events` orders through the daemon over four connections.
fn store_orders(home: &Home, events: u64) {
    let daemon = home.serve();
    std::thread::scope(|scope| {
        for first_id in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut connection = daemon.connect();
                for id in (first_id..events).step_by(4) {
                    assert_eq!(
                        connection.request(&shopify_request(&format!("w{id}"), &order_body(id + 1))).status,
                        200
                    );
                }
            });
        }
    });
    daemon.stop();
}

#[test]
fn two_thousand_events_survive_randomly_killed_workers() {
    // Twenty attempts: each kill is an attempt, and this test kills far more often than real machines do.
    let home = Home::new(
        "[worker]\nin_serve = false\nmax_attempts = 20\npoll = \"20ms\"\nbatch = 8\n\
         backoff_base = \"1ms\"\nbackoff_max = \"50ms\"",
    );
    store_orders(&home, 2000);
    let mut rng = seeded_rng();
    let mut workers: Vec<Child> = (0..8).map(|_| home.spawn_worker()).collect();
    let start = Instant::now();
    let mut kills = 0;
    while home.count("SELECT count(*) FROM webhook_events WHERE status = 'completed'") < 2000 {
        assert!(start.elapsed() < WAIT_MAX * 3, "{}", home.sql("SELECT * FROM event_counts"));
        std::thread::sleep(std::time::Duration::from_millis(rng.u64(1..80)));
        let victim = rng.usize(..workers.len());
        workers[victim].kill().unwrap();
        if rng.bool() {
            // Half of the killed workers are reaped at once; the others stay zombies until they are replaced.
            workers[victim].wait().unwrap();
        }
        let mut killed = std::mem::replace(&mut workers[victim], home.spawn_worker());
        killed.wait().unwrap();
        kills += 1;
    }
    for mut worker in workers {
        send_signal(worker.id(), "TERM");
        let end = worker.wait().unwrap();
        // A worker that was just started may not yet handle SIGTERM.
        let unready = std::os::unix::process::ExitStatusExt::signal(&end) == Some(15);
        assert!(end.success() || unready, "{end}: {}", home.log());
    }
    println!("{kills} kills");
    assert!(kills > 10, "too few kills");
    assert_eq!(home.sql("SELECT status, count(*) FROM webhook_events GROUP BY 1"), "completed|2000");
    assert_eq!(home.count("SELECT count(*) FROM sales_orders"), 2000);
    assert_eq!(home.count("SELECT count(*) FROM sales_order_lines"), 2000);
    // One completion each. Exactly one row ends each claim: completed, released or recovered.
    assert_eq!(
        home.sql("SELECT max(n), min(n) FROM (SELECT count(*) n FROM webhook_event_log WHERE to_status = 'completed' GROUP BY event_id)"),
        "1|1"
    );
    let claims = home.count("SELECT count(*) FROM webhook_event_log WHERE to_status = 'processing'");
    assert_eq!(home.count("SELECT count(*) FROM webhook_event_log WHERE from_status = 'processing'"), claims);
    assert_eq!(home.count("SELECT sum(fencing_token) FROM webhook_events"), claims);
    // Each step of a history begins with the status of the step before.
    let broken = "SELECT count(*) FROM (SELECT to_status, lead(from_status) OVER w AS next, lead(id) OVER w AS following \
                  FROM webhook_event_log WINDOW w AS (PARTITION BY event_id ORDER BY id)) \
                  WHERE following IS NOT NULL AND to_status IS NOT next";
    assert_eq!(home.count(broken), 0);
    let taken_over =
        home.count("SELECT count(*) FROM webhook_event_log WHERE error LIKE '%the worker process % died %'");
    println!("{taken_over} takeovers");
    assert!(taken_over > 0, "no worker died with a claim");
    home.assert_consistent();
}

#[test]
fn stored_events_are_processed_by_another_process_and_by_cron() {
    let home = Home::new("[worker]\nin_serve = false\npoll = \"50ms\"");
    let daemon = home.serve();
    daemon.send_order("w1", &order_body(1));
    assert_eq!(home.sql("SELECT status FROM webhook_events"), "received");
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT status FROM webhook_events"), "completed");
    let mut worker = home.spawn_worker();
    daemon.send_order("w2", &order_body(2));
    home.wait_for("SELECT count(*) FROM sales_orders", "2");
    send_signal(worker.id(), "TERM");
    assert!(worker.wait().unwrap().success());
    home.run_ok(&["work", "--once"]);
}

#[test]
fn daemon_processes_an_event_without_polling() {
    // No poll can find it: only the writer's notification can wake the worker.
    let home = Home::new("[worker]\npoll = \"1h\"");
    let daemon = home.serve();
    for id in 1..20 {
        daemon.send_order(&format!("w{id}"), &order_body(id));
        home.wait_for("SELECT count(*) FROM webhook_events WHERE status <> 'completed'", "0");
    }
}

#[test]
fn permanent_failure_fails_at_once_and_can_be_retried() {
    let home = Home::new("");
    let daemon = home.serve();
    let id = daemon.send_order("w", b"this is no JSON").event_id();
    home.wait_for("SELECT status FROM webhook_events", "failed");
    assert_eq!(
        home.sql("SELECT attempts, last_error FROM webhook_events"),
        "1|the body cannot be read: it is not JSON at line 1, column 2 of 15 bytes"
    );
    assert!(home.sql("SELECT error FROM failures").contains("not JSON"));
    assert!(home.run_ok(&["events", "retry", &id.to_string()]).contains("was failed and is due now"));
    home.wait_for("SELECT attempts, max_attempts, status FROM webhook_events", "2|9|failed");
    let by_filter = home.run_ok(&["events", "retry", "--source", "shopify", "--topic", "orders/*", "--json"]);
    assert!(by_filter.contains("\"previous_status\":\"failed\""), "{by_filter}");
    home.wait_for("SELECT attempts, status FROM webhook_events", "3|failed");
    assert_eq!(home.count("SELECT count(*) FROM webhook_event_log WHERE error = 'retried by hand'"), 2);
}

#[test]
fn dead_owner_is_recovered_at_once_and_remote_owner_after_its_lease() {
    let home = Home::new("[worker]\nin_serve = false");
    store_orders(&home, 5);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
    let namespace = namespace.trim_start_matches("pid:[").trim_end_matches(']');
    let hold = |event: u32, by: &str, process: &str, lease: &str| {
        home.sql(&format!(
            "UPDATE webhook_events SET status = 'processing', attempts = 1, fencing_token = 1, next_attempt_at = NULL, locked_by = '{by}', \
             locked_process = {process}, locked_at = '2026-01-01T00:00:00.000Z', lease_expires_at = '{lease}' WHERE id = \
             (SELECT id FROM webhook_events ORDER BY id LIMIT 1 OFFSET {event})"
        ));
    };
    let (later, past) = ("9999-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z");
    let me = std::process::id();
    hold(0, &format!("{host}:1"), "'an-earlier-boot/1/1'", later);
    hold(1, &format!("{host}:{me}"), &format!("'{}/{namespace}/1'", boot.trim()), later); // this pid, but another start
    hold(2, "elsewhere:1", "'x/y/z'", past);
    hold(3, "elsewhere:1", "'x/y/z'", later);
    hold(4, &format!("{host}:4194304"), "NULL", later); // written by hand, and there is no such pid
    home.run_ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT status, attempts FROM webhook_events ORDER BY id"),
        "completed|2\ncompleted|2\ncompleted|2\nprocessing|1\ncompleted|2",
        "deaths count as attempts; only the remote owner with a running lease keeps its event"
    );
    home.assert_consistent();
}

#[test]
fn death_at_the_last_attempt_fails_the_event() {
    let home = Home::new("[worker]\nin_serve = false");
    store_orders(&home, 1);
    home.sql(
        "UPDATE webhook_events SET status = 'processing', attempts = 8, fencing_token = 8, next_attempt_at = NULL, locked_by = 'elsewhere:1', \
         locked_at = '2026-01-01T00:00:00.000Z', lease_expires_at = '2026-01-01T00:00:00.000Z'",
    );
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT status, attempts FROM webhook_events"), "failed|8");
    assert!(home.sql("SELECT error FROM failures").contains("lease expired"));
}

#[test]
fn stop_leaves_no_event_processing() {
    let home = Home::new("[worker]\nin_serve = false\nbatch = 500\nconcurrency = 1");
    store_orders(&home, 1000);
    let mut worker = home.spawn_worker();
    home.wait_for("SELECT count(*) > 0 FROM webhook_event_log WHERE to_status = 'processing'", "1");
    send_signal(worker.id(), "TERM");
    assert!(worker.wait().unwrap().success());
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE status = 'processing'"), 0);
    // A released event has its attempt back.
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE status = 'received' AND attempts <> 0"), 0);
    home.assert_consistent();
}
