//! Who else uses the file, the directory and the queue: several processes that begin at once, a shell that reads for long,
//! another program's database, a directory that cannot be written, a holder that wakes up late.

use crate::attempts::{Bench, holder, sales_order};
use crate::util::{BIN, Connection, Home, order, shopify, signal};
use novex_ingest::handlers::{Done, Event, Handler, Routes, Trouble};
use novex_ingest::queue::{Backoff, Worker, WorkerOptions, process};
use novex_ingest::store::claims::Holder;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;

#[test]
fn processes_that_begin_at_once_make_the_database_once() {
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
            assert!(ready.starts_with("novex-ingest ready"), "{ready:?}");
            signal(child.id(), "TERM");
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(home.sql("PRAGMA user_version"), "1");
        home.assert_sound();
    }
}

/// The message says that it was not touched, so not a byte may differ.
#[test]
fn another_programs_database_keeps_every_byte() {
    let home = Home::new("");
    home.sql("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)");
    let before = fs::read(home.db()).unwrap();
    for arguments in [&["config", "check"][..], &["serve"], &["work", "--once"]] {
        assert_eq!(home.run(arguments).status.code(), Some(1), "{arguments:?}");
        assert!(fs::read(home.db()).unwrap() == before, "{arguments:?} changed another program's file");
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_the_mend() {
    let home = Home::new("");
    let directory = home.path("");
    let (open, shut) = (fs::Permissions::from_mode(0o755), fs::Permissions::from_mode(0o555));
    fs::set_permissions(&directory, shut).unwrap();
    // Root writes anywhere, so there the daemon is started as nobody.
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
    let said = String::from_utf8(output.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert!(
        last.contains(&directory.display().to_string().trim_end_matches('/').to_owned())
            && last.contains("belongs to the user that runs novex-ingest"),
        "{said}"
    );
}

/// SQLite opens a file that it may not write for reading, and every delivery would be a 503 with a wrong reason.
#[test]
fn a_database_that_cannot_be_written_is_refused_at_once() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: root is needed to be another user");
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
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot be written by this user") && said.contains("chown"), "{arguments:?}: {said}");
    }
}

/// A commit into a file that was deleted or moved away is lost with it, so it is not acknowledged.
#[test]
fn a_database_that_was_replaced_is_never_acknowledged_into() {
    for moved in ["events.db", "events.db-wal"] {
        let home = Home::new("");
        let mut daemon = home.serve();
        assert_eq!(daemon.deliver("w0", &order(1)).status, 200);
        home.wait_until_worked();
        fs::rename(home.path(moved), home.path("moved")).unwrap();
        // Its own upkeep may find it first; then it is gone before it can answer.
        let answer = Connection::open(daemon.address).and_then(|mut connection| {
            connection.send(&shopify("w1", &order(2)).written())?;
            connection.answer()
        });
        assert!(answer.as_ref().map_or(true, |answer| answer.status == 503), "{answer:?}");
        assert_eq!(daemon.child.wait().unwrap().code(), Some(1), "it ends, so that the service manager starts it anew");
        assert!(home.log().contains("was deleted or replaced while it was open"), "{}", home.log());
    }
}

/// Who stops must stop, whoever holds the lock: the claims are rescued at the next start.
#[test]
fn a_lock_does_not_keep_a_stopped_daemon() {
    let home = Home::new("[store]\npath = \"DB\"\nbusy_timeout = \"500ms\"\n[worker]\ngrace = \"100ms\"");
    let daemon = home.serve();
    for id in 1..50 {
        daemon.deliver(&format!("w{id}"), &order(id));
    }
    home.wait_until_worked();
    home.ok(&["events", "retry", "--status", "completed"]);
    let mut shell =
        Command::new("sqlite3").arg(home.db()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.as_mut().unwrap(), ".timeout 60000\nBEGIN IMMEDIATE;\nSELECT 1;").unwrap();
    let mut locked = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut locked).unwrap();
    daemon.stop();
    drop(shell.stdin.take());
    shell.wait().unwrap();
    let _daemon = home.serve();
    home.wait_until_worked();
    home.assert_sound();
}

/// An idle worker only reads, so nobody's lock can make it fail; nor does beginning or ending write anything.
#[test]
fn a_worker_with_nothing_to_do_needs_no_lock() {
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

/// systemd's `ProtectProc=invisible` and mounts with hidepid show a process only its own user's: what it cannot see, such
/// as a worker that root started, need not be dead.
#[test]
fn a_worker_of_another_user_that_cannot_be_seen_is_not_dead() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("skipped: another user's process cannot be hidden here (that needs root)");
        return;
    }
    let home = Home::new("");
    let daemon = home.serve();
    daemon.deliver("w", &order(1));
    home.wait_until_worked();
    daemon.stop();
    let me = process::current();
    home.sql(&format!(
        "UPDATE webhook_events SET status = 'processing', attempts = 1, claims = 9, locked_by = '{}', locked_process = '{}', \
         locked_at = '2026-01-01T00:00:00.000Z', lease_until = '9999-01-01T00:00:00.000Z', completed_at = NULL",
        me.worker, me.process
    ));
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT status, claims FROM webhook_events"), "processing|9", "seen alive, left alone");
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
        println!("skipped: /proc cannot be mounted anew here: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(home.sql("SELECT status, claims FROM webhook_events"), "processing|9", "not seen, and left alone too");
}

/// Reads never stop writes: also not while a second process ends, which empties the WAL if it can.
#[test]
fn a_shell_that_only_reads_and_a_worker_that_ends_refuse_no_delivery() {
    let worker = "[worker]\nin_serve = false";
    let home = Home::new(&format!("[store]\npath = \"DB\"\nbusy_timeout = \"1s\"\n{worker}"));
    let daemon = home.serve();
    assert_eq!(daemon.deliver("w0", &order(1)).status, 200);
    let mut shell =
        Command::new("sqlite3").arg(home.db()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(shell.stdin.as_mut().unwrap(), "BEGIN;\nSELECT count(*) FROM webhook_events;").unwrap();
    let mut seen = [0; 2];
    shell.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"1\n", "the shell reads the database as it is now, until it ends its transaction");
    // More patience for the worker than for the daemon: whatever it waits for, the daemon must not wait with it.
    home.configure(&format!("[store]\npath = \"DB\"\nbusy_timeout = \"6s\"\n{worker}"));
    for (round, command) in [&["work", "--once"][..], &["events", "retry", "1"]].into_iter().enumerate() {
        let mut child = home.command(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for id in 1.. {
            let answer = daemon.deliver(&format!("{round}-{id}"), &order(id));
            assert_eq!(answer.status, 200, "while {command:?} ran: {answer:?}");
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
    }
    drop(shell.stdin.take());
    shell.wait().unwrap();
    home.assert_sound();
}

fn worker(bench: &Bench, by: Holder, handler: &'static dyn Handler) -> Worker {
    let options = WorkerOptions { concurrency: 1, ..WorkerOptions::default() };
    let backoff = Backoff::new(Duration::from_secs(15), Duration::from_hours(6));
    Worker::new(bench.store.clone(), Routes::all_to(handler), by, backoff, options)
}

fn writes_order(order_id: i64) -> Done {
    Done { changes: vec![sales_order(order_id, "2026-01-01T00:00:00.000Z", "#1")], ..Done::default() }
}

/// Sleeps through its lease the first time, and has another result than whoever took over.
struct Sleepy;
static CALLS: AtomicU32 = AtomicU32::new(0);
static WAKE: AtomicBool = AtomicBool::new(false);

impl Handler for Sleepy {
    fn plan(&self, _: &Event<'_>) -> Result<Done, Trouble> {
        if CALLS.fetch_add(1, Ordering::SeqCst) > 0 {
            return Ok(writes_order(222));
        }
        while !WAKE.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        Ok(writes_order(111))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_after_it_was_overtaken_changes_nothing() {
    let bench = Bench::new();
    let id = bench.receive("w", 8).await;
    // `once` renews nothing, as a worker whose process was stopped and continued has not.
    let slow = tokio::spawn({
        let slow = worker(&bench, holder("slow"), &Sleepy);
        async move { slow.once().await }
    });
    while CALLS.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    bench.clock.advance(Duration::from_mins(6));
    assert_eq!(bench.store.rescue_expired(&holder("quick")).await.unwrap(), [id]);
    assert_eq!(worker(&bench, holder("quick"), &Sleepy).once().await.unwrap(), 1);
    WAKE.store(true, Ordering::SeqCst);
    slow.await.unwrap().unwrap();
    assert_eq!(bench.sql("SELECT group_concat(order_id) FROM sales_orders"), "222");
    assert_eq!(
        bench.sql("SELECT to_status, attempt, worker FROM webhook_event_log ORDER BY id"),
        "received|0|\nprocessing|1|slow:1\nreceived|1|quick:1\nprocessing|2|quick:1\ncompleted|2|quick:1",
        "the takeover is in the trail, the late outcome is not"
    );
}

/// Tells its worker to stop the first time it is called.
struct Stops;
static STOP: OnceLock<watch::Sender<bool>> = OnceLock::new();

impl Handler for Stops {
    fn plan(&self, _: &Event<'_>) -> Result<Done, Trouble> {
        STOP.get().expect("set before").send_replace(true);
        // Work that takes its time.
        std::thread::sleep(Duration::from_millis(50));
        Ok(Done::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_is_told_to_stop_gives_back_what_it_has_not_begun() {
    const EVENTS: u64 = 30;
    let bench = Bench::new();
    for id in 0..EVENTS {
        bench.receive(&format!("w{id}"), 8).await;
    }
    let (stop, stopped) = watch::channel(false);
    STOP.set(stop).unwrap();
    // By its true name: a made-up process would be found dead by its own rescue.
    let made = worker(&bench, process::current(), &Stops).drain(stopped).await.unwrap();
    assert!(made > 0);
    assert_eq!(bench.sql("SELECT count(*) FROM webhook_events WHERE status = 'processing'"), "0");
    assert_ne!(
        bench.sql("SELECT count(*) FROM webhook_events WHERE status = 'received'"),
        "0",
        "it worked all of them"
    );
    assert_eq!(bench.sql("SELECT count(*) FROM webhook_events WHERE status = 'received' AND attempts <> 0"), "0");
}
