//! kill -9, a lock held by somebody else, a full disk: nothing acknowledged is lost, nothing is acknowledged early.

use crate::disk::Disk;
use crate::util::{Home, PATIENCE, Request, order, shopify, sql};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn every_acknowledged_delivery_survives_kill_9() {
    const ROUNDS: u32 = 22;
    let home = Home::new("");
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    // An id is noted only after its 200: from then on it is owed.
    let ledger: Mutex<BTreeMap<u64, i64>> = Mutex::default();
    let next = AtomicU64::new(1);
    for round in 0..ROUNDS {
        let mut daemon = home.serve();
        let owed = ledger.lock().unwrap().len();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                let (address, ledger, next) = (daemon.address, &ledger, &next);
                scope.spawn(move || {
                    let Ok(mut connection) = crate::util::Connection::open(address) else { return };
                    loop {
                        let id = next.fetch_add(1, Ordering::Relaxed);
                        let request = shopify(&format!("w{id}"), &order(id));
                        if connection.send(&request.written()).is_err() {
                            return;
                        }
                        let Ok(answer) = connection.answer() else { return };
                        ledger.lock().unwrap().insert(id, answer.event_id());
                    }
                });
            }
            // Killed at a random moment, but not before there is anything to lose.
            while ledger.lock().unwrap().len() < owed + 20 {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros(dice.u64(0..30_000)));
            daemon.child.kill().unwrap();
            daemon.child.wait().unwrap();
        });
        assert_eq!(home.sql("PRAGMA integrity_check"), "ok", "seed {seed}, round {round}");
        let stored: BTreeMap<u64, i64> = home
            .sql("SELECT substr(webhook_id, 2) || ' ' || id FROM webhook_events")
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(id, event)| (id.parse().unwrap(), event.parse().unwrap()))
            .collect();
        for (id, event) in ledger.lock().unwrap().iter() {
            assert_eq!(stored.get(id), Some(event), "seed {seed}, round {round}: w{id} got 200 and is not there");
        }
    }
    let ledger = ledger.into_inner().unwrap();
    println!("{} acknowledged in {ROUNDS} rounds", ledger.len());
    // The bytes are those that were sent, and everything is worked once.
    let daemon = home.serve();
    home.wait_until_worked();
    for id in ledger.keys() {
        let request = daemon.request(&shopify(&format!("w{id}"), &order(*id)));
        assert!(request.duplicate(), "sent again it is known");
        if id % 50 == 0 {
            let body =
                home.sql(&format!("SELECT CAST(body AS TEXT) FROM webhook_payloads WHERE event_id = {}", ledger[id]));
            assert_eq!(body.as_bytes(), order(*id));
        }
    }
    assert_eq!(home.sql("SELECT count(*) FROM conflicts"), "0", "all bytes are the same");
    assert_eq!(home.sql("SELECT DISTINCT status FROM webhook_events"), "completed");
    assert_eq!(
        home.sql("SELECT max(n) FROM (SELECT count(*) n FROM webhook_event_log WHERE to_status = 'completed' GROUP BY event_id)"),
        "1"
    );
    home.assert_sound();
}

/// kill -9 leaves the page cache, so it cannot show a missing fsync; the system calls can.
#[test]
fn the_wal_is_synced_before_a_200_is_written() {
    const DELIVERIES: usize = 5;
    let home = Home::new("[worker]\nin_serve = false");
    let trace = home.path("trace");
    let mut command = Command::new("strace");
    command
        .args([
            // As a grandchild: the daemon is our child then, and a signal to it reaches it and not the tracer.
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
        .arg(crate::util::BIN)
        .arg("--config")
        .arg(home.config())
        .arg("serve");
    if Command::new("strace").args(["-o", "/dev/null", "true"]).status().is_ok_and(|status| !status.success()) {
        println!("skipped: this environment forbids ptrace");
        return;
    }
    let daemon = home.serve_by(command);
    let mut connection = daemon.connect();
    for id in 1..=DELIVERIES as u64 {
        assert_eq!(connection.request(&shopify(&format!("w{id}"), &order(id))).status, 200);
    }
    let socket = format!("->127.0.0.1:{}", connection.stream.sock.local_addr().unwrap().port());
    drop(connection);
    let pid = daemon.child.id().to_string();
    daemon.stop();

    // In the order of the trace: bytes from the client, a write to the WAL, its sync's return, bytes to the client.
    let trace = loop {
        let text = std::fs::read_to_string(&trace).unwrap();
        // The tracer ends after the daemon, and this is its last line.
        if text.lines().any(|line| line.starts_with(&pid) && line.ends_with("+++ exited with 0 +++")) {
            break text;
        }
        std::thread::yield_now();
    };
    let (mut written, mut synced, mut acknowledged) = (false, false, 0);
    let mut syncing = None;
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let wal = call.contains("events.db-wal>");
        if ["read(", "recvfrom("].iter().any(|name| call.starts_with(name)) && call.contains(&socket) {
            // What was written before this request was read, such as the schema, is not its commit.
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
        } else if is_write(call) && call.contains(&socket) && written {
            // The handshake's bytes go out without a write to the WAL before them; after one, only the answer does.
            assert!(synced, "an answer went out before the WAL was synced:\n{line}");
            acknowledged += 1;
            (written, synced) = (false, false);
        }
    }
    assert_eq!(acknowledged, DELIVERIES, "each 200 follows a write to the WAL and its sync:\n{trace}");
}

fn is_write(call: &str) -> bool {
    ["write(", "writev(", "sendto(", "sendmsg("].iter().any(|name| call.starts_with(name))
}

/// A sqlite3 shell with an open write transaction, as an operator leaves it.
pub struct Lock(std::process::Child);

impl Lock {
    pub fn take(home: &Home) -> Self {
        let mut child = Command::new("sqlite3")
            .arg(home.db())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3 is installed");
        writeln!(child.stdin.as_mut().unwrap(), ".timeout 20000\nBEGIN IMMEDIATE;\nSELECT 'locked';").unwrap();
        let mut line = [0; 7];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        assert_eq!(&line, b"locked\n");
        Self(child)
    }

    pub fn release(mut self) {
        writeln!(self.0.stdin.as_mut().unwrap(), "COMMIT;").unwrap();
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn while_a_shell_holds_the_lock_deliveries_wait_and_none_is_lost() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.deliver("before", &order(1));
    home.wait_until_worked();
    let lock = Lock::take(&home);
    let released = Mutex::new(None);
    let answers = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|id| {
                let daemon = &daemon;
                scope.spawn(move || (daemon.deliver(&format!("w{id}"), &order(id + 10)), Instant::now()))
            })
            .collect();
        // How long it is held is the scenario itself, not a wait for something.
        std::thread::sleep(Duration::from_secs(3));
        *released.lock().unwrap() = Some(Instant::now());
        lock.release();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let released = released.into_inner().unwrap().unwrap();
    for (answer, at) in &answers {
        match answer.status {
            200 => assert!(*at >= released, "acknowledged while somebody else held the lock"),
            503 => assert!(answer.header("retry-after").is_some(), "{answer:?}"),
            other => panic!("{other}: {answer:?}"),
        }
    }
    let acknowledged = answers.iter().filter(|(answer, _)| answer.status == 200).count();
    let stored = home.count("SELECT count(*) FROM webhook_events WHERE webhook_id LIKE 'w%'");
    assert!(stored >= i64::try_from(acknowledged).unwrap(), "{stored} stored of {acknowledged} acknowledged");
    home.wait_until_worked();
    home.assert_sound();
}

#[test]
fn a_lock_held_too_long_is_503_until_it_goes() {
    let home = Home::new(
        "[server]\nlisten = \"127.0.0.1:0\"\nanswer_timeout = \"700ms\"\n[store]\npath = \"DB\"\nbusy_timeout = \"300ms\"",
    );
    let daemon = home.serve();
    daemon.deliver("before", &order(1));
    home.wait_until_worked();
    let lock = Lock::take(&home);
    let refused = daemon.deliver("w", &order(2));
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.body.contains("locked"), "{refused:?}");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 503);
    assert!(home.log().contains("Close any sqlite3 shell"), "{}", home.log());
    lock.release();
    let start = Instant::now();
    while daemon.deliver("w", &order(2)).status != 200 {
        assert!(start.elapsed() < PATIENCE);
    }
    while daemon.request(&Request::new("GET", "/healthz")).status != 200 {
        assert!(start.elapsed() < PATIENCE);
    }
    home.wait_until_worked();
    assert_eq!(home.count("SELECT count(*) FROM sales_orders"), 2);
}

#[test]
fn a_nearly_full_disk_takes_nothing_new_and_finishes_what_is_there() {
    let home = Home::new("[worker]\nin_serve = false");
    let daemon = home.serve();
    daemon.deliver("w1", &order(1));
    daemon.stop();
    home.configure("[store]\npath = \"DB\"\nmin_free_bytes = 1000000000000000");
    let daemon = home.serve();
    let refused = daemon.deliver("w2", &order(2));
    assert_eq!((refused.status, refused.body.contains("disk is full")), (503, true), "{refused:?}");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 503);
    home.wait_for("SELECT status FROM webhook_events", "completed");
}

#[test]
fn a_full_disk_is_503_and_goes_on_when_there_is_room() {
    let home = Home::new("");
    let Some(disk) = Disk::mount(home.path("disk"), "6m") else { return };
    let db = disk.0.join("events.db");
    home.configure(&format!("[store]\npath = {db:?}\nmin_free_bytes = 0"));
    let daemon = home.serve();
    let body = vec![b' '; 100_000];
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for id in 0.. {
        let answer = daemon.deliver(&format!("w{id}"), &body);
        match answer.status {
            200 => acknowledged.push(id),
            503 => refused += 1,
            other => panic!("{other}: {answer:?}"),
        }
        if refused == 5 {
            break;
        }
        assert!(id < 1000, "six MiB take no thousand of these");
    }
    println!("{} acknowledged before the disk was full", acknowledged.len());
    assert!(!acknowledged.is_empty());
    disk.grow("64m");
    let start = Instant::now();
    while daemon.deliver("after", &order(1)).status != 200 {
        assert!(start.elapsed() < PATIENCE, "{}", home.log());
    }
    daemon.stop();
    assert_eq!(sql(&db, "PRAGMA integrity_check"), "ok");
    let stored = sql(&db, "SELECT webhook_id FROM webhook_events");
    for id in acknowledged {
        assert!(stored.lines().any(|line| line == format!("w{id}")), "w{id} got 200 and is not there");
    }
}

#[test]
fn a_database_that_is_not_ours_to_use_is_refused_and_left_alone() {
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
