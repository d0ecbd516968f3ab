//! Workers as processes: claims, deaths, takeovers, and the commands that work the queue.

use crate::util::{Home, PATIENCE, order, shopify, signal};
use std::process::Child;
use std::time::Instant;

/// Stores `events` orders through the daemon, over a few connections.
fn store_orders(home: &Home, events: u64) {
    let daemon = home.serve();
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let daemon = &daemon;
            scope.spawn(move || {
                let mut connection = daemon.connect();
                for id in (lane..events).step_by(4) {
                    assert_eq!(connection.request(&shopify(&format!("w{id}"), &order(id + 1))).status, 200);
                }
            });
        }
    });
    daemon.stop();
}

#[test]
fn two_thousand_events_survive_workers_that_are_killed_at_random() {
    // Twenty attempts: a kill is an attempt, and this test kills far more than a box ever would.
    let home = Home::new("[worker]\nin_serve = false\nmax_attempts = 20\npoll = \"20ms\"\nbatch = 8");
    store_orders(&home, 2000);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut workers: Vec<Child> = (0..8).map(|_| home.work()).collect();
    let start = Instant::now();
    let mut kills = 0;
    while home.count("SELECT count(*) FROM webhook_events WHERE status = 'completed'") < 2000 {
        assert!(start.elapsed() < PATIENCE * 3, "seed {seed}: {}", home.sql("SELECT * FROM event_counts"));
        std::thread::sleep(std::time::Duration::from_millis(dice.u64(1..80)));
        let victim = dice.usize(..workers.len());
        workers[victim].kill().unwrap();
        if dice.bool() {
            // Half of the dead are reaped at once, half stay as zombies until their place is taken.
            workers[victim].wait().unwrap();
        }
        let mut dead = std::mem::replace(&mut workers[victim], home.work());
        dead.wait().unwrap();
        kills += 1;
    }
    for mut worker in workers {
        signal(worker.id(), "TERM");
        let end = worker.wait().unwrap();
        // One that has only just been started may not have come to the point where it listens to it.
        let unready = std::os::unix::process::ExitStatusExt::signal(&end) == Some(15);
        assert!(end.success() || unready, "{end}: {}", home.log());
    }
    println!("{kills} kills");
    assert!(kills > 10, "too few to show anything");
    assert_eq!(home.sql("SELECT status, count(*) FROM webhook_events GROUP BY 1"), "completed|2000");
    assert_eq!(home.count("SELECT count(*) FROM sales_orders"), 2000);
    assert_eq!(home.count("SELECT count(*) FROM sales_order_lines"), 2000);
    // One completion each, and every claim ended by exactly one row after it: completed, given back or taken over.
    assert_eq!(
        home.sql("SELECT max(n), min(n) FROM (SELECT count(*) n FROM webhook_event_log WHERE to_status = 'completed' GROUP BY event_id)"),
        "1|1"
    );
    let claims = home.count("SELECT count(*) FROM webhook_event_log WHERE to_status = 'processing'");
    assert_eq!(home.count("SELECT count(*) FROM webhook_event_log WHERE from_status = 'processing'"), claims);
    assert_eq!(home.count("SELECT sum(claims) FROM webhook_events"), claims);
    // … and in every trail each step begins where the one before it ended.
    let broken = "SELECT count(*) FROM (SELECT to_status, lead(from_status) OVER w AS next, lead(id) OVER w AS following \
                  FROM webhook_event_log WINDOW w AS (PARTITION BY event_id ORDER BY id)) \
                  WHERE following IS NOT NULL AND to_status IS NOT next";
    assert_eq!(home.count(broken), 0);
    let taken_over = home.count("SELECT count(*) FROM webhook_event_log WHERE error LIKE '%died while it held%'");
    println!("{taken_over} takeovers");
    assert!(taken_over > 0, "no worker died while it held an event");
    home.assert_sound();
}

#[test]
fn what_a_daemon_stored_is_worked_by_a_second_process_and_by_cron() {
    let home = Home::new("[worker]\nin_serve = false\npoll = \"50ms\"");
    let daemon = home.serve();
    daemon.deliver("w1", &order(1));
    assert_eq!(home.sql("SELECT status FROM webhook_events"), "received");
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT status FROM webhook_events"), "completed");
    let mut worker = home.work();
    daemon.deliver("w2", &order(2));
    home.wait_for("SELECT count(*) FROM sales_orders", "2");
    signal(worker.id(), "TERM");
    assert!(worker.wait().unwrap().success());
    home.ok(&["work", "--once"]);
}

#[test]
fn in_the_daemon_an_event_is_worked_without_looking_for_it() {
    // Nobody polls: only the writer's word that something came can wake the worker.
    let home = Home::new("[worker]\npoll = \"1h\"");
    let daemon = home.serve();
    for id in 1..20 {
        daemon.deliver(&format!("w{id}"), &order(id));
        home.wait_for("SELECT count(*) FROM webhook_events WHERE status <> 'completed'", "0");
    }
}

#[test]
fn an_event_that_can_never_work_fails_at_once_and_is_brought_back_by_hand() {
    let home = Home::new("");
    let daemon = home.serve();
    let id = daemon.deliver("w", b"this is no JSON").event_id();
    home.wait_for("SELECT status FROM webhook_events", "failed");
    assert_eq!(
        home.sql("SELECT attempts, last_error FROM webhook_events"),
        "1|the body cannot be read: it is not JSON at line 1, column 2 of 15 bytes"
    );
    assert!(home.sql("SELECT error FROM failures").contains("not JSON"));
    assert!(home.ok(&["events", "retry", &id.to_string()]).contains("was failed and is due now"));
    home.wait_for("SELECT attempts, max_attempts, status FROM webhook_events", "2|9|failed");
    let by_filter = home.ok(&["events", "retry", "--source", "shopify", "--topic", "orders/*", "--json"]);
    assert!(by_filter.contains("\"was\":\"failed\""), "{by_filter}");
    home.wait_for("SELECT attempts, status FROM webhook_events", "3|failed");
    assert_eq!(home.count("SELECT count(*) FROM webhook_event_log WHERE error = 'retried by hand'"), 2);
}

#[test]
fn a_dead_holder_is_replaced_at_once_a_distant_one_after_its_lease() {
    let home = Home::new("[worker]\nin_serve = false");
    store_orders(&home, 5);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap().display().to_string();
    let namespace = namespace.trim_start_matches("pid:[").trim_end_matches(']');
    let hold = |event: u32, by: &str, process: &str, lease: &str| {
        home.sql(&format!(
            "UPDATE webhook_events SET status = 'processing', attempts = 1, claims = 1, next_attempt_at = NULL, locked_by = '{by}', \
             locked_process = {process}, locked_at = '2026-01-01T00:00:00.000Z', lease_until = '{lease}' WHERE id = \
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
    home.ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT status, attempts FROM webhook_events ORDER BY id"),
        "completed|2\ncompleted|2\ncompleted|2\nprocessing|1\ncompleted|2",
        "the deaths counted; only the distant holder with a running lease keeps its event"
    );
    home.assert_sound();
}

#[test]
fn a_death_at_the_last_attempt_ends_in_failed() {
    let home = Home::new("[worker]\nin_serve = false");
    store_orders(&home, 1);
    home.sql(
        "UPDATE webhook_events SET status = 'processing', attempts = 8, claims = 8, next_attempt_at = NULL, locked_by = 'elsewhere:1', \
         locked_at = '2026-01-01T00:00:00.000Z', lease_until = '2026-01-01T00:00:00.000Z'",
    );
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT status, attempts FROM webhook_events"), "failed|8");
    assert!(home.sql("SELECT error FROM failures").contains("lease ended"));
}

#[test]
fn stopping_leaves_nothing_in_work() {
    let home = Home::new("[worker]\nin_serve = false\nbatch = 500\nconcurrency = 1");
    store_orders(&home, 1000);
    let mut worker = home.work();
    home.wait_for("SELECT count(*) > 0 FROM webhook_event_log WHERE to_status = 'processing'", "1");
    signal(worker.id(), "TERM");
    assert!(worker.wait().unwrap().success());
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE status = 'processing'"), 0);
    // What was given back has its attempt back.
    assert_eq!(home.count("SELECT count(*) FROM webhook_events WHERE status = 'received' AND attempts <> 0"), 0);
    home.assert_sound();
}
