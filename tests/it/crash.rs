//! kill -9, a database lock and a full disk: no acknowledged event is lost, and none is acknowledged before its commit.

use crate::support::seed::seeded_rng;
use crate::support::small_disk::SmallDisk;
use crate::support::sqlite::DatabaseLock;
use crate::support::{Home, Request, WAIT_MAX, order_body, shopify_request, sql, wait_until};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn every_acknowledged_event_survives_kill_9() {
    const ROUNDS: u32 = 22;
    // A death in every round: the events in work must not wait for long.
    let home = Home::new("[worker]\nbackoff_base = \"10ms\"\nbackoff_max = \"50ms\"\nmax_attempts = 100");
    let mut rng = seeded_rng();
    // The ledger gets an id only after its 200: from then on it must be in the database.
    let ledger: Mutex<BTreeMap<u64, i64>> = Mutex::default();
    let next = AtomicU64::new(1);
    for round in 0..ROUNDS {
        let mut daemon = home.serve();
        let acknowledged_before = ledger.lock().unwrap().len();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                let (address, ledger, next) = (daemon.address, &ledger, &next);
                scope.spawn(move || {
                    let Ok(mut connection) = crate::support::Connection::open(address) else { return };
                    loop {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        let request = shopify_request(&format!("w{id}"), &order_body(id));
                        if connection.send(&request.to_bytes()).is_err() {
                            return;
                        }
                        let Ok(response) = connection.read_response() else { return };
                        ledger.lock().unwrap().insert(id, response.event_id());
                    }
                });
            }
            // The daemon is killed at a random moment, but only after new acknowledgements.
            wait_until(|| ledger.lock().unwrap().len() >= acknowledged_before + 20, || home.log());
            std::thread::sleep(Duration::from_micros(rng.u64(0..30_000)));
            daemon.child.kill().unwrap();
            daemon.child.wait().unwrap();
        });
        assert_eq!(home.sql("PRAGMA integrity_check"), "ok", "round {round}");
        let stored: BTreeMap<u64, i64> = home
            .sql("SELECT substr(webhook_id, 2) || ' ' || id FROM webhook_events")
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(id, event)| (id.parse().unwrap(), event.parse().unwrap()))
            .collect();
        for (id, event) in ledger.lock().unwrap().iter() {
            assert_eq!(stored.get(id), Some(event), "round {round}: w{id} got 200 and is missing");
        }
    }
    let ledger = ledger.into_inner().unwrap();
    println!("{} acknowledged in {ROUNDS} rounds", ledger.len());
    // The stored bytes are the sent bytes, and each event is processed once.
    let daemon = home.serve();
    home.wait_until_processed();
    for id in ledger.keys() {
        let request = daemon.request(&shopify_request(&format!("w{id}"), &order_body(*id)));
        assert!(request.is_duplicate(), "a repeated webhook is a duplicate");
        if id % 50 == 0 {
            let body =
                home.sql(&format!("SELECT CAST(body AS TEXT) FROM webhook_payloads WHERE event_id = {}", ledger[id]));
            assert_eq!(body.as_bytes(), order_body(*id));
        }
    }
    assert_eq!(home.sql("SELECT count(*) FROM conflicts"), "0", "all repetitions have the same bytes");
    assert_eq!(home.sql("SELECT DISTINCT status FROM webhook_events"), "completed");
    assert_eq!(
        home.sql("SELECT max(n) FROM (SELECT count(*) n FROM webhook_event_log WHERE to_status = 'completed' GROUP BY event_id)"),
        "1"
    );
    home.assert_consistent();
}

/// kill -9 keeps the page cache and cannot show a missing fsync. A trace of the system calls can.
#[test]
fn wal_is_synced_before_a_200_is_written() {
    const WEBHOOKS: usize = 5;
    let home = Home::new("[worker]\nin_serve = false");
    let trace = home.path("trace");
    let mut command = Command::new("strace");
    command
        .args([
            // As a grandchild: then the daemon is our child, and a signal to it does not reach the tracer.
            "-D",
            "-f",
            "-yy",
            "-s",
            "0",
            "-e",
            "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg,recvfrom,read",
        ])
        .arg("-o")
        .arg(&trace)
        .arg(crate::support::BIN)
        .arg("--config")
        .arg(home.config())
        .arg("serve");
    if Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| !status.success()) {
        println!("skipped: this environment forbids ptrace");
        return;
    }
    let daemon = home.serve_with(command);
    // The first use of a secret is recorded by a write of its own, beside that of the event.
    assert_eq!(daemon.send_order("first", &order_body(1)).status, 200);
    home.wait_for("SELECT count(*) FROM secret_uses", "1");
    let mut connection = daemon.connect();
    for id in 1..=WEBHOOKS as u64 {
        assert_eq!(connection.request(&shopify_request(&format!("w{id}"), &order_body(id))).status, 200);
    }
    let socket = format!("->127.0.0.1:{}", connection.stream.sock.local_addr().unwrap().port());
    drop(connection);
    let pid = daemon.child.id().to_string();
    daemon.stop();

    // The order in the trace: bytes from the client, a write to the WAL, the return of its sync, bytes to the client.
    let read_trace = || std::fs::read_to_string(&trace).unwrap();
    // The tracer ends after the daemon; this is its last line.
    let is_last = |line: &str| line.starts_with(&pid) && line.ends_with("+++ exited with 0 +++");
    wait_until(|| read_trace().lines().any(is_last), read_trace);
    let trace = read_trace();
    let (mut written, mut synced, mut acknowledged) = (false, false, 0);
    let mut syncing = None;
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let wal = call.contains("events.db-wal>");
        if ["read(", "recvfrom("].iter().any(|name| call.starts_with(name)) && call.contains(&socket) {
            // Writes before this request was read, such as those of the schema, are not its commit.
            (written, synced) = (false, false);
        } else if call.starts_with("pwrite64(") && wal {
            (written, synced) = (true, false);
        } else if (call.starts_with("fdatasync(") || call.starts_with("fsync(")) && wal {
            if call.contains("<unfinished") {
                syncing = Some(thread.to_owned());
            } else {
                assert!(call.ends_with("= 0"), "{line}");
                synced = true;
            }
        } else if call.contains("sync resumed>") && syncing.as_deref() == Some(thread) {
            assert!(call.ends_with("= 0"), "{line}");
            (synced, syncing) = (true, None);
        } else if is_write_call(call) && call.contains(&socket) && written {
            // The handshake sends bytes without a write to the WAL before them. After a write, only the response is
            // sent.
            assert!(synced, "a response was sent before the WAL was synced:\n{line}");
            acknowledged += 1;
            (written, synced) = (false, false);
        }
    }
    assert_eq!(acknowledged, WEBHOOKS, "each 200 follows a write to the WAL and its sync:\n{trace}");
}

fn is_write_call(call: &str) -> bool {
    ["write(", "writev(", "sendto(", "sendmsg("].iter().any(|name| call.starts_with(name))
}

#[test]
fn webhooks_wait_for_a_database_lock_without_loss() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("before", &order_body(1));
    home.wait_until_processed();
    let lock = DatabaseLock::acquire(&home);
    let released = Mutex::new(None);
    let responses = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|id| {
                let daemon = &daemon;
                scope.spawn(move || (daemon.send_order(&format!("w{id}"), &order_body(id + 10)), Instant::now()))
            })
            .collect();
        // The duration is part of the scenario, not a wait.
        std::thread::sleep(Duration::from_secs(3));
        *released.lock().unwrap() = Some(Instant::now());
        lock.release();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let released = released.into_inner().unwrap().unwrap();
    for (response, at) in &responses {
        match response.status {
            200 => assert!(*at >= released, "acknowledged while the shell had the lock"),
            503 => assert!(response.header("retry-after").is_some(), "{response:?}"),
            other => panic!("{other}: {response:?}"),
        }
    }
    let acknowledged = responses.iter().filter(|(response, _)| response.status == 200).count();
    let stored = home.count("SELECT count(*) FROM webhook_events WHERE webhook_id LIKE 'w%'");
    assert!(stored >= i64::try_from(acknowledged).unwrap(), "{stored} stored of {acknowledged} acknowledged");
    home.wait_until_processed();
    home.assert_consistent();
}

#[test]
fn long_database_lock_gives_503_until_released() {
    let home = Home::new(
        "[server]\nlisten = \"127.0.0.1:0\"\nanswer_timeout = \"700ms\"\n[store]\npath = \"DB\"\nbusy_timeout = \"300ms\"",
    );
    let daemon = home.serve();
    daemon.send_order("before", &order_body(1));
    home.wait_until_processed();
    let lock = DatabaseLock::acquire(&home);
    let refused = daemon.send_order("w", &order_body(2));
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.body.contains("locks the database"), "{refused:?}");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 503);
    assert!(home.log().contains("Close any sqlite3 shell"), "{}", home.log());
    lock.release();
    let start = Instant::now();
    while daemon.send_order("w", &order_body(2)).status != 200 {
        assert!(start.elapsed() < WAIT_MAX);
    }
    while daemon.request(&Request::new("GET", "/healthz")).status != 200 {
        assert!(start.elapsed() < WAIT_MAX);
    }
    home.wait_until_processed();
    assert_eq!(home.count("SELECT count(*) FROM sales_orders"), 2);
}

#[test]
fn nearly_full_disk_refuses_new_events_and_processes_stored_ones() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    daemon.send_order("w1", &order_body(1));
    daemon.stop();
    home.configure("[store]\npath = \"DB\"\nmin_free_bytes = 1000000000000000");
    let daemon = home.serve();
    let refused = daemon.send_order("w2", &order_body(2));
    assert_eq!((refused.status, refused.body.contains("disk is full")), (503, true), "{refused:?}");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 503);
    home.wait_for("SELECT status FROM webhook_events", "completed");
}

#[test]
fn full_disk_gives_503_and_recovers_with_room() {
    let home = Home::new("");
    let Some(disk) = SmallDisk::mount(home.path("disk"), "6m") else { return };
    let db = disk.path.join("events.db");
    home.configure(&format!("[store]\npath = {db:?}\nmin_free_bytes = 0"));
    let daemon = home.serve();
    let body = vec![b' '; 100_000];
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for id in 0.. {
        let response = daemon.send_order(&format!("w{id}"), &body);
        match response.status {
            200 => acknowledged.push(id),
            503 => refused += 1,
            other => panic!("{other}: {response:?}"),
        }
        if refused == 5 {
            break;
        }
        assert!(id < 1000, "6 MiB cannot hold a thousand bodies");
    }
    println!("{} acknowledged before the disk was full", acknowledged.len());
    assert!(!acknowledged.is_empty());
    disk.resize("64m");
    let start = Instant::now();
    while daemon.send_order("after", &order_body(1)).status != 200 {
        assert!(start.elapsed() < WAIT_MAX, "{}", home.log());
    }
    daemon.stop();
    assert_eq!(sql(&db, "PRAGMA integrity_check"), "ok");
    let stored = sql(&db, "SELECT webhook_id FROM webhook_events");
    for id in acknowledged {
        assert!(stored.lines().any(|line| line == format!("w{id}")), "w{id} got 200 and is missing");
    }
}

#[test]
fn newer_and_foreign_databases_are_refused_unchanged() {
    let home = Home::new("");
    home.serve().stop();
    home.sql("PRAGMA user_version = 99");
    let newer = home.run(&["serve"]);
    assert_eq!(newer.status.code(), Some(1));
    let error = String::from_utf8(newer.stderr).unwrap();
    assert!(error.contains("newer version") && error.contains("schema 99"), "{error}");
    assert_eq!(home.sql("PRAGMA user_version"), "99");

    let other = Home::new("");
    other.sql("CREATE TABLE theirs (a)");
    let foreign = other.run(&["serve"]);
    assert_eq!(foreign.status.code(), Some(1));
    assert!(String::from_utf8(foreign.stderr).unwrap().contains("another program"));
    assert_eq!(other.sql("SELECT name FROM sqlite_schema"), "theirs");
}
