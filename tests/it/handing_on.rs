//! Handing on in order, and what an operator does about a destination.

use crate::destinations::{WORKER, command, deliver, home, http, program, settled};
use crate::erp::{Do, Erp};
use crate::util::{order, shopify, signal};
use std::collections::{BTreeMap, BTreeSet};

/// What the ERP got of each order, by the events' numbers in the order in which they came.
fn by_order(erp: &Erp) -> BTreeMap<i64, Vec<u64>> {
    let mut by_order: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for request in erp.taken() {
        let order = serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()["id"].as_i64().unwrap();
        by_order.entry(order).or_default().push(request.header("webhook-id").parse().unwrap());
    }
    by_order
}

/// Two events of one order are never on their way at once, and go in order; those of different orders go side by side.
#[test]
fn one_orders_events_go_one_after_the_other() {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    static OVERTAKEN: AtomicBool = AtomicBool::new(false);
    static BUSY: Mutex<BTreeSet<i64>> = Mutex::new(BTreeSet::new());
    let erp = Erp::start(|_, taken| {
        let order = serde_json::from_slice::<serde_json::Value>(&taken.body).unwrap()["id"].as_i64().unwrap();
        if !BUSY.lock().unwrap().insert(order) {
            OVERTAKEN.store(true, Ordering::SeqCst);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        BUSY.lock().unwrap().remove(&order);
        Do::Answer(200)
    });
    let home = home(|_| http("erp", &erp.url, "concurrency = 8"));
    let daemon = home.serve();
    // Held until all are there: then every order has ten to overtake each other.
    home.ok(&["destinations", "pause", "erp"]);
    for round in 0..10 {
        for id in 1..=4 {
            daemon.request(&shopify(&format!("{round}-{id}"), &order(id))).event_id();
        }
    }
    home.wait_until_worked();
    home.ok(&["destinations", "resume", "erp"]);
    settled(&home);
    assert!(!OVERTAKEN.load(Ordering::SeqCst), "two events of one order were on their way at once");
    let by_order = by_order(&erp);
    assert_eq!(by_order.len(), 4);
    assert!(by_order.values().all(|ids| ids.len() == 10 && ids.is_sorted()), "{by_order:?}");
    assert!(erp.in_flight_most() > 1, "different orders go side by side");
}

/// Events are worked several at a time; a small one that is worked before a large one that came first is not handed on before it.
#[test]
fn an_event_that_is_worked_sooner_does_not_overtake() {
    let erp = Erp::start(|_, _| Do::Answer(200));
    let home = home(|_| http("erp", &erp.url, "concurrency = 8"));
    let daemon = home.serve();
    let lines: Vec<String> = (1..6000).map(|id| format!(r#"{{"id":{id},"sku":"S","quantity":1}}"#)).collect();
    for id in 1..=12 {
        let large = format!(
            r#"{{"id":{id},"updated_at":"2026-11-23T10:00:00Z","line_items":[{}],"total_price":"1.00"}}"#,
            lines.join(",")
        );
        let mut connection = daemon.connect();
        connection.request(&shopify(&format!("{id}-large"), large.as_bytes())).event_id();
        connection.request(&shopify(&format!("{id}-small"), &order(id))).event_id();
    }
    settled(&home);
    let by_order = by_order(&erp);
    assert_eq!(by_order.len(), 12);
    assert!(by_order.values().all(|ids| ids.len() == 2 && ids.is_sorted()), "{by_order:?}");
}

#[test]
fn an_operator_holds_lets_go_and_tests_a_destination() {
    let erp = Erp::start(|_, _| Do::Answer(200));
    let home = home(|_| http("erp", &erp.url, ""));
    let daemon = home.serve();
    home.ok(&["destinations", "pause", "erp"]);
    deliver(&daemon, 1..=3);
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM destination_queue WHERE due = 'paused by hand'", "3");
    assert_eq!(home.ok(&["destinations", "test", "erp"]), "erp took it\n");
    assert_eq!(erp.taken().iter().map(|request| request.header("webhook-id").to_owned()).collect::<Vec<_>>(), ["0"]);
    let listed: serde_json::Value = serde_json::from_str(&home.ok(&["destinations", "list", "--json"])).unwrap();
    assert_eq!((listed["waiting"].as_i64(), listed["paused_at"].is_string()), (Some(3), true), "{listed}");
    home.ok(&["destinations", "resume", "erp"]);
    settled(&home);
    assert_eq!(erp.taken().len(), 4);
    let wrong = home.run(&["destinations", "pause", "epr"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("there are: erp"));
}

/// What a stopping worker gives back keeps its place in the line.
#[test]
fn a_stopped_worker_changes_no_order() {
    let erp = Erp::start(|_, _| Do::Answer(200));
    let home = home(|_| String::new());
    let worker = WORKER.replace("[worker]\n", "[worker]\nin_serve = false\nconcurrency = 1\n");
    home.configure(&format!("{worker}{}", http("erp", &erp.url, "")));
    let daemon = home.serve();
    let mut connection = daemon.connect();
    for round in 0..5 {
        for id in 1..=20 {
            // Large, so that a worker is stopped in the middle of its batch.
            let lines: Vec<String> =
                (1..400).map(|line| format!(r#"{{"id":{line},"sku":"S","quantity":1}}"#)).collect();
            let body = format!(
                r#"{{"id":{id},"updated_at":"2026-11-23T10:00:0{round}Z","line_items":[{}]}}"#,
                lines.join(",")
            );
            connection.request(&shopify(&format!("{round}-{id}"), body.as_bytes())).event_id();
        }
    }
    for _ in 0..5 {
        let before = home.count("SELECT count(*) FROM webhook_events WHERE status = 'completed'");
        let mut child = home.work();
        while home.count("SELECT count(*) FROM webhook_events WHERE status = 'completed'") == before && before < 100 {
            std::thread::yield_now();
        }
        signal(child.id(), "TERM");
        child.wait().unwrap();
    }
    home.ok(&["work", "--once"]);
    let by_order = by_order(&erp);
    assert_eq!(by_order.len(), 20);
    assert!(by_order.values().all(|ids| ids.is_sorted()), "{by_order:?}");
}

/// A destination that is gone for good: the daemon says that events wait for it, and an operator gives them up.
#[test]
fn what_waits_for_a_destination_that_is_gone_can_be_given_up() {
    let erp = Erp::start(|_, _| Do::Answer(200));
    let home = home(|_| http("erp", &erp.url, ""));
    let daemon = home.serve();
    home.ok(&["destinations", "pause", "erp"]);
    deliver(&daemon, 1..=3);
    home.wait_until_worked();
    home.wait_for("SELECT count(*) FROM destination_queue", "3");
    daemon.stop();
    home.configure("");
    let daemon = home.serve();
    assert!(home.log().contains("novex-ingest destinations drop erp"), "{}", home.log());
    assert!(home.ok(&["destinations", "list"]).contains("not configured"));
    assert!(home.ok(&["destinations", "drop", "erp"]).contains("3 deliveries to erp are given up"));
    assert_eq!(
        home.sql("SELECT count(*), min(error) FROM destination_failures"),
        "3|given up by hand: novex-ingest destinations drop"
    );
    assert_eq!(home.sql("SELECT to_status, attempt FROM destination_delivery_log"), "failed|0\nfailed|0\nfailed|0");
    assert_eq!(home.run(&["destinations", "drop", "epr"]).status.code(), Some(1), "no such destination");
    daemon.stop();
}

/// The cron way hands on too.
#[test]
fn work_once_hands_on_what_is_due() {
    let erp = Erp::start(|_, _| Do::Answer(200));
    let home = home(|_| String::new());
    home.configure(&format!(
        "{}{}",
        WORKER.replace("[worker]\n", "[worker]\nin_serve = false\n"),
        http("erp", &erp.url, "")
    ));
    let daemon = home.serve();
    deliver(&daemon, 1..=5);
    assert!(erp.taken().is_empty());
    home.ok(&["work", "--once"]);
    assert_eq!(erp.taken().len(), 5);
    assert_eq!(home.sql("SELECT DISTINCT status FROM destination_deliveries"), "delivered");
}

/// A program that is killed, as by whoever stops the service, says nothing of the event: it is tried again.
#[test]
fn a_program_that_is_killed_is_tried_again() {
    let home = home(|home| command(&home.path("import")));
    program(&home, "[ -e DIR/killed ] || { touch DIR/killed; kill -TERM $$; }; cat > /dev/null");
    let daemon = home.serve();
    deliver(&daemon, 1..=1);
    settled(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|2");
    daemon.stop();
}
