//! The order of deliveries, and an operator's commands for a destination.

use crate::support::destinations::{
    WORKER, command_destination, home_with_destinations, http_destination, send_orders, wait_until_delivered,
    write_program,
};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::{order_body, send_signal, shopify_request, wait_until};
use std::collections::{BTreeMap, BTreeSet};

/// Returns the event ids that the ERP received, by order and in the sequence of their arrival.
fn received_by_order(erp: &FakeErp) -> BTreeMap<i64, Vec<u64>> {
    let mut by_order: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for request in erp.requests() {
        let order = serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()["id"].as_i64().unwrap();
        by_order.entry(order).or_default().push(request.header("webhook-id").parse().unwrap());
    }
    by_order
}

/// Deliveries with one ordering key go one at a time and in order. Those with different keys go in parallel.
#[test]
fn deliveries_with_one_ordering_key_are_serial() {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    static OVERTAKEN: AtomicBool = AtomicBool::new(false);
    static BUSY: Mutex<BTreeSet<i64>> = Mutex::new(BTreeSet::new());
    let erp = FakeErp::start(|_, requests| {
        let order = serde_json::from_slice::<serde_json::Value>(&requests.body).unwrap()["id"].as_i64().unwrap();
        if !BUSY.lock().unwrap().insert(order) {
            OVERTAKEN.store(true, Ordering::SeqCst);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
        BUSY.lock().unwrap().remove(&order);
        Reply::Status(200)
    });
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, "concurrency = 8"));
    let daemon = home.serve();
    // The destination is paused until all events are there, so that each order has ten deliveries that could overtake.
    home.run_ok(&["destinations", "pause", "erp"]);
    for round in 0..10 {
        for id in 1..=4 {
            daemon.request(&shopify_request(&format!("{round}-{id}"), &order_body(id))).event_id();
        }
    }
    home.wait_until_processed();
    home.run_ok(&["destinations", "resume", "erp"]);
    wait_until_delivered(&home);
    assert!(!OVERTAKEN.load(Ordering::SeqCst), "two deliveries of one order were in flight at once");
    let by_order = received_by_order(&erp);
    assert_eq!(by_order.len(), 4);
    assert!(by_order.values().all(|ids| ids.len() == 10 && ids.is_sorted()), "{by_order:?}");
    assert!(erp.in_flight_max() > 1, "deliveries of different orders are concurrent");
}

/// Workers process several events at once. A small event that is processed before a large earlier one is not delivered
/// before it.
#[test]
fn faster_processed_event_does_not_overtake() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, "concurrency = 8"));
    let daemon = home.serve();
    let lines: Vec<String> = (1..6000).map(|id| format!(r#"{{"id":{id},"sku":"S","quantity":1}}"#)).collect();
    for id in 1..=12 {
        let large = format!(
            r#"{{"id":{id},"updated_at":"2026-11-23T10:00:00Z","line_items":[{}],"total_price":"1.00"}}"#,
            lines.join(",")
        );
        let mut connection = daemon.connect();
        connection.request(&shopify_request(&format!("{id}-large"), large.as_bytes())).event_id();
        connection.request(&shopify_request(&format!("{id}-small"), &order_body(id))).event_id();
    }
    wait_until_delivered(&home);
    let by_order = received_by_order(&erp);
    assert_eq!(by_order.len(), 12);
    assert!(by_order.values().all(|ids| ids.len() == 2 && ids.is_sorted()), "{by_order:?}");
}

#[test]
fn operator_pauses_resumes_and_tests_a_destination() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    home.run_ok(&["destinations", "pause", "erp"]);
    send_orders(&daemon, 1..=3);
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destination_queue WHERE due = 'paused by hand'", "3");
    assert_eq!(home.run_ok(&["destinations", "test", "erp"]), "erp accepted the test event.\n");
    assert_eq!(erp.requests().iter().map(|request| request.header("webhook-id").to_owned()).collect::<Vec<_>>(), ["0"]);
    let listed: serde_json::Value = serde_json::from_str(&home.run_ok(&["destinations", "list", "--json"])).unwrap();
    assert_eq!((listed["waiting"].as_i64(), listed["paused_at"].is_string()), (Some(3), true), "{listed}");
    home.run_ok(&["destinations", "resume", "erp"]);
    wait_until_delivered(&home);
    assert_eq!(erp.requests().len(), 4);
    let wrong = home.run(&["destinations", "pause", "epr"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("configured: erp"));
}

/// Deliveries that a stopping worker releases keep their place in the queue.
#[test]
fn stopped_worker_keeps_the_delivery_order() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| String::new());
    let worker = WORKER.replace("[worker]\n", "[worker]\nin_serve = false\nconcurrency = 1\n");
    home.configure(&format!("{worker}{}", http_destination("erp", &erp.url, "")));
    let daemon = home.serve();
    let mut connection = daemon.connect();
    for round in 0..5 {
        for id in 1..=20 {
            // Large bodies, so that a worker is stopped in the middle of its batch.
            let lines: Vec<String> =
                (1..400).map(|line| format!(r#"{{"id":{line},"sku":"S","quantity":1}}"#)).collect();
            let body = format!(
                r#"{{"id":{id},"updated_at":"2026-11-23T10:00:0{round}Z","line_items":[{}]}}"#,
                lines.join(",")
            );
            connection.request(&shopify_request(&format!("{round}-{id}"), body.as_bytes())).event_id();
        }
    }
    for _ in 0..5 {
        let count_completed = || home.count("SELECT count(*) FROM webhook_events WHERE status = 'completed'");
        let before = count_completed();
        let mut child = home.spawn_worker();
        wait_until(|| before >= 100 || count_completed() > before, || home.log());
        send_signal(child.id(), "TERM");
        child.wait().unwrap();
    }
    home.run_ok(&["work", "--once"]);
    let by_order = received_by_order(&erp);
    assert_eq!(by_order.len(), 20);
    assert!(by_order.values().all(|ids| ids.is_sorted()), "{by_order:?}");
}

/// A removed destination: the daemon logs that deliveries wait for it, and an operator discards them.
#[test]
fn deliveries_to_a_removed_destination_can_be_discarded() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| http_destination("erp", &erp.url, ""));
    let daemon = home.serve();
    home.run_ok(&["destinations", "pause", "erp"]);
    send_orders(&daemon, 1..=3);
    home.wait_until_processed();
    home.wait_for("SELECT count(*) FROM destination_queue", "3");
    daemon.stop();
    home.configure("");
    let daemon = home.serve();
    assert!(home.log().contains("novex-ingest destinations drop erp"), "{}", home.log());
    assert!(home.run_ok(&["destinations", "list"]).contains("not configured"));
    assert!(home.run_ok(&["destinations", "drop", "erp"]).contains("Dropped 3 deliveries to erp"));
    assert_eq!(
        home.sql(
            "SELECT count(*), min(last_error), count(dismissed_by) FROM destination_deliveries WHERE status = 'failed'"
        ),
        "3|an operator dropped the delivery: novex-ingest destinations drop|3"
    );
    assert_eq!(home.sql("SELECT to_status, attempt FROM destination_delivery_log"), "failed|0\nfailed|0\nfailed|0");
    assert_eq!(
        home.sql("SELECT type, min(resource_path) FROM system_log WHERE event_id IS NULL GROUP BY type ORDER BY type"),
        "DESTINATION-PAUSE|destinations/erp\nEVENT-DISMISS|events/1/destinations/erp"
    );
    // An operator settled them, so nothing counts them as failures.
    assert_eq!(home.sql("SELECT count(*) FROM destination_failures"), "0");
    let doctor = home.run(&["doctor", "--json"]);
    let findings = String::from_utf8_lossy(&doctor.stdout);
    assert!(findings.contains("\"check\"") && !findings.contains("failed for good"), "{findings}");
    assert_eq!(home.run(&["destinations", "drop", "epr"]).status.code(), Some(1), "no such destination");
    daemon.stop();
}

/// `work --once` delivers too.
#[test]
fn work_once_delivers_due_deliveries() {
    let erp = FakeErp::start(|_, _| Reply::Status(200));
    let home = home_with_destinations(|_| String::new());
    home.configure(&format!(
        "{}{}",
        WORKER.replace("[worker]\n", "[worker]\nin_serve = false\n"),
        http_destination("erp", &erp.url, "")
    ));
    let daemon = home.serve();
    send_orders(&daemon, 1..=5);
    assert!(erp.requests().is_empty());
    home.run_ok(&["work", "--once"]);
    assert_eq!(erp.requests().len(), 5);
    assert_eq!(home.sql("SELECT DISTINCT status FROM destination_deliveries"), "delivered");
}

/// A signal that kills the program, as at a stop of the service, is no result: the delivery is sent again.
#[test]
fn killed_program_is_retried() {
    let home = home_with_destinations(|home| command_destination(&home.path("import")));
    write_program(&home, "[ -e DIR/killed ] || { touch DIR/killed; kill -TERM $$; }; cat > /dev/null");
    let daemon = home.serve();
    send_orders(&daemon, 1..=1);
    wait_until_delivered(&home);
    assert_eq!(home.sql("SELECT status, attempts FROM destination_deliveries"), "delivered|2");
    daemon.stop();
}
