//! Processes that share the database, the directory and the queue: simultaneous starts, long readers, foreign and
//! unwritable files, and a lease owner that wakes up late.

use crate::support::StoreFixture;
use crate::support::store_fixture::{lease_owner, order_change};
use crate::support::{BIN, Connection, Home, order_body, send_signal, shopify_request};
use novex_ingest::internals::backoff::Backoff;
use novex_ingest::internals::delivery::destinations::Destinations;
use novex_ingest::internals::handlers::{Event, Handler, HandlerError, Plan, Routes};
use novex_ingest::internals::processor::EventProcessor;
use novex_ingest::internals::queue::{Worker, WorkerOptions, process};
use novex_ingest::internals::store::leases::LeaseOwner;
use novex_ingest::internals::store::leases::events::EVENTS;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

#[test]
fn simultaneous_starts_create_one_database() {
    let home = Home::new("");
    for _ in 0..5 {
        for file in ["events.db", "events.db-wal", "events.db-shm"] {
            let _ = fs::remove_file(home.path(file));
        }
        let mut starting = home.command(&["serve"]);
        starting.stdout(Stdio::piped());
        let children: Vec<Child> = (0..6).map(|_| starting.spawn().unwrap()).collect();
        for mut child in children {
            let mut ready = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
            assert!(ready.starts_with("novex-ingest ready"), "{ready:?}: {}", home.log());
            send_signal(child.id(), "TERM");
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(home.sql("PRAGMA user_version"), "1");
        home.assert_consistent();
    }
}

/// The error states that the file was not changed, so every byte must be equal.
#[test]
fn foreign_database_keeps_every_byte() {
    let home = Home::new("");
    home.sql("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
    let before = fs::read(home.db()).unwrap();
    for arguments in [&["config", "check"][..], &["serve"], &["work", "--once"]] {
        assert_eq!(home.run(arguments).status.code(), Some(1), "{arguments:?}");
        assert!(fs::read(home.db()).unwrap() == before, "{arguments:?} changed another program's file");
    }
}

#[test]
fn unwritable_directory_is_reported_with_its_fix() {
    let home = Home::new("");
    let directory = home.path("");
    let (open, shut) = (fs::Permissions::from_mode(0o755), fs::Permissions::from_mode(0o555));
    fs::set_permissions(&directory, shut).unwrap();
    // Root can write anywhere, so root starts the daemon as nobody.
    let mut command = if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", BIN]);
        command
    } else {
        Command::new(BIN)
    };
    let output = command.arg("--config").arg(home.config()).arg("serve").output().expect("setpriv is installed");
    fs::set_permissions(&directory, open).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let printed = String::from_utf8(output.stderr).unwrap();
    let last = printed.lines().last().unwrap();
    assert!(
        last.contains(&directory.display().to_string().trim_end_matches('/').to_owned())
            && last.contains("belongs to the user that runs novex-ingest"),
        "{printed}"
    );
}

/// SQLite opens an unwritable file for reading only; every webhook would then get a 503 with a wrong reason.
#[test]
fn unwritable_database_is_refused_at_once() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: this test changes its user, which needs root");
        return;
    }
    let home = Home::new("");
    home.serve().stop();
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(home.path("tls/self-signed.key"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(home.path("tls"), fs::Permissions::from_mode(0o755)).unwrap();
    for arguments in [&["serve"][..], &["config", "check"], &["work", "--once"]] {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", BIN, "--config"]).arg(home.config());
        let output = command.args(arguments).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {printed}");
        assert!(printed.contains("this user cannot write") && printed.contains("chown"), "{arguments:?}: {printed}");
    }
}

/// A commit into a deleted or moved file is lost with the file, so the daemon does not acknowledge it.
#[test]
fn replaced_database_gets_no_acknowledged_event() {
    for moved in ["events.db", "events.db-wal"] {
        let home = Home::new("");
        let mut daemon = home.serve();
        assert_eq!(daemon.send_order("w0", &order_body(1)).status, 200);
        home.wait_until_processed();
        fs::rename(home.path(moved), home.path("moved")).unwrap();
        // The maintenance may find it first; then the daemon exits before it responds.
        let response = Connection::open(daemon.address).and_then(|mut connection| {
            connection.send(&shopify_request("w1", &order_body(2)).to_bytes())?;
            connection.read_response()
        });
        assert!(response.as_ref().map_or(true, |response| response.status == 503), "{response:?}");
        assert_eq!(
            daemon.child.wait().unwrap().code(),
            Some(1),
            "the daemon exits, so that the service manager restarts it"
        );
        assert!(home.log().contains("another program deleted or replaced"), "{}", home.log());
    }
}

/// A stop must not wait for a lock. The next start recovers the claims.
#[test]
fn stop_does_not_wait_for_a_lock() {
    let home = Home::new("[store]\npath = \"DB\"\nbusy_timeout = \"500ms\"\n[worker]\ngrace = \"100ms\"");
    let daemon = home.serve();
    for id in 1..50 {
        daemon.send_order(&format!("w{id}"), &order_body(id));
    }
    home.wait_until_processed();
    home.run_ok(&["events", "retry", "--status", "completed"]);
    let mut shell =
        Command::new("sqlite3").arg(home.db()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.as_mut().unwrap(), ".timeout 60000\nBEGIN IMMEDIATE;\nSELECT 1;").unwrap();
    let mut locked = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut locked).unwrap();
    daemon.stop();
    drop(shell.stdin.take());
    shell.wait().unwrap();
    let _daemon = home.serve();
    home.wait_until_processed();
    home.assert_consistent();
}

/// An idle worker only reads, so no lock can make it fail. Its start and its end write nothing.
#[test]
fn idle_worker_needs_no_lock() {
    let home = Home::new("[store]\npath = \"DB\"\nbusy_timeout = \"300ms\"");
    home.serve().stop();
    let mut shell =
        Command::new("sqlite3").arg(home.db()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.as_mut().unwrap(), "BEGIN IMMEDIATE;\nSELECT 1;").unwrap();
    let mut locked = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut locked).unwrap();
    let output = home.run(&["work", "--once"]);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// With systemd's `ProtectProc=invisible` or hidepid, a process sees only processes of its own user. A worker of root
/// is then invisible and need not be dead.
#[test]
fn invisible_worker_of_another_user_keeps_its_claims() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: this test hides processes, which needs root");
        return;
    }
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w", &order_body(1));
    home.wait_until_processed();
    daemon.stop();
    let me = process::identify_current_process();
    home.sql(&format!(
        "UPDATE webhook_events SET status = 'processing', attempts = 1, fencing_token = 9, locked_by = '{}', locked_process = '{}', \
         locked_at = '2026-01-01T00:00:00.000Z', lease_expires_at = '9999-01-01T00:00:00.000Z', completed_at = NULL",
        me.worker, me.process
    ));
    home.run_ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT status, fencing_token FROM webhook_events"),
        "processing|9",
        "a live worker keeps its claims"
    );
    fs::set_permissions(home.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    for file in ["config.toml", "events.db", "events.db-wal", "events.db-shm"] {
        if home.path(file).exists() {
            fs::set_permissions(home.path(file), fs::Permissions::from_mode(0o666)).unwrap();
        }
    }
    let hidden = format!(
        "mount -t proc -o hidepid=invisible proc /proc || exit 99; \
         exec setpriv --reuid=65534 --regid=65534 --clear-groups {BIN} --config {} work --once",
        home.config().display()
    );
    let output =
        Command::new("unshare").args(["--mount", "--propagation=private", "sh", "-c", &hidden]).output().unwrap();
    if output.status.code() == Some(99) || String::from_utf8_lossy(&output.stderr).contains("unshare failed") {
        println!("skipped: /proc cannot be mounted here: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        home.sql("SELECT status, fencing_token FROM webhook_events"),
        "processing|9",
        "an invisible worker keeps its claims"
    );
}

/// Reads never block writes, also while a second process ends and tries to empty the WAL.
#[test]
fn long_reader_and_ending_worker_block_no_webhook() {
    let worker = "[worker]\nin_serve = false";
    let home = Home::new(&format!("[store]\npath = \"DB\"\nbusy_timeout = \"1s\"\n{worker}"));
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w0", &order_body(1)).status, 200);
    let mut shell =
        Command::new("sqlite3").arg(home.db()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.as_mut().unwrap(), "BEGIN;\nSELECT count(*) FROM webhook_events;").unwrap();
    let mut seen = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"1\n", "the shell has a snapshot until its transaction ends");
    // The worker's busy timeout is longer than the daemon's: the daemon must not wait for the worker's wait.
    home.configure(&format!("[store]\npath = \"DB\"\nbusy_timeout = \"6s\"\n{worker}"));
    for (round, command) in [&["work", "--once"][..], &["events", "retry", "1"]].into_iter().enumerate() {
        let mut child = home.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for id in 1.. {
            let response = daemon.send_order(&format!("{round}-{id}"), &order_body(id));
            assert_eq!(response.status, 200, "while {command:?} ran: {response:?}");
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
    }
    drop(shell.stdin.take());
    shell.wait().unwrap();
    home.assert_consistent();
}

fn new_worker(fixture: &StoreFixture, by: LeaseOwner, handler: &'static dyn Handler) -> Worker {
    let options = WorkerOptions { concurrency: 1, ..WorkerOptions::default() };
    let backoff = Backoff::new(Duration::from_secs(15), Duration::from_hours(6));
    let processor = EventProcessor::new(fixture.store.clone(), Routes::all_to(handler), Destinations::default());
    Worker::new(fixture.store.clone(), Arc::new(processor), by, backoff, options)
}

fn plan_of_order(order_id: i64) -> Plan {
    Plan { changes: vec![order_change(order_id, "2026-01-01T00:00:00.000Z", "#1")], ..Plan::default() }
}

/// Sleeps through its lease at the first call, and has another result at the second.
struct SleepingHandler;
static CALLS: AtomicU32 = AtomicU32::new(0);
static WAKE: AtomicBool = AtomicBool::new(false);

impl Handler for SleepingHandler {
    fn plan(&self, _: &Event<'_>) -> Result<Plan, HandlerError> {
        if CALLS.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(plan_of_order(222));
        }
        while !WAKE.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Ok(plan_of_order(111))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn late_worker_changes_nothing() {
    let fixture = StoreFixture::new();
    let id = fixture.receive("w", 8).await;
    // `process_batch` renews no lease, like a worker whose process was stopped and continued.
    let slow = tokio::spawn({
        let slow = new_worker(&fixture, lease_owner("slow"), &SleepingHandler);
        async move { slow.process_batch().await }
    });
    while CALLS.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    fixture.clock.advance(Duration::from_mins(6));
    let backoff = Backoff::doubling(Duration::from_secs(15), Duration::from_hours(6));
    let recovered = fixture.store.recover_expired_leases(&EVENTS, &lease_owner("quick"), &backoff).await.unwrap();
    assert_eq!(recovered.iter().map(|row| row.id).collect::<Vec<_>>(), [id]);
    fixture.clock.advance(Duration::from_secs(15));
    assert_eq!(new_worker(&fixture, lease_owner("quick"), &SleepingHandler).process_batch().await.unwrap(), 1);
    WAKE.store(true, Ordering::SeqCst);
    slow.await.unwrap().unwrap();
    assert_eq!(fixture.sql("SELECT group_concat(order_id) FROM sales_orders"), "222");
    assert_eq!(
        fixture.sql("SELECT to_status, attempt, worker FROM webhook_event_log ORDER BY id"),
        "received|0|\nprocessing|1|slow:1\nreceived|1|quick:1\nprocessing|2|quick:1\ncompleted|2|quick:1",
        "the history has the recovery and not the late outcome"
    );
}

/// Stops its worker at the first call.
struct StoppingHandler;
static STOP: OnceLock<watch::Sender<bool>> = OnceLock::new();

impl Handler for StoppingHandler {
    fn plan(&self, _: &Event<'_>) -> Result<Plan, HandlerError> {
        STOP.get().expect("STOP is set").send_replace(true);
        // The work takes some time.
        std::thread::sleep(Duration::from_millis(50));
        Ok(Plan::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_drain_releases_unstarted_claims() {
    const EVENTS: u64 = 30;
    let fixture = StoreFixture::new();
    for id in 0..EVENTS {
        fixture.receive(&format!("w{id}"), 8).await;
    }
    let (stop, stopped) = watch::channel(false);
    STOP.set(stop).unwrap();
    // The worker has its real name, because its own recovery would find an invented process dead.
    let made =
        new_worker(&fixture, process::identify_current_process(), &StoppingHandler).drain(stopped).await.unwrap();
    assert!(made > 0);
    assert_eq!(fixture.sql("SELECT count(*) FROM webhook_events WHERE status = 'processing'"), "0");
    assert_ne!(
        fixture.sql("SELECT count(*) FROM webhook_events WHERE status = 'received'"),
        "0",
        "it processed all events"
    );
    assert_eq!(fixture.sql("SELECT count(*) FROM webhook_events WHERE status = 'received' AND attempts <> 0"), "0");
}
