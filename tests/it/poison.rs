//! Deaths of real processes: a death counts against the work that had begun, and against nothing that was only claimed.

use crate::support::destinations::{home_with_destinations, http_destination, send_orders, wait_until_delivered};
use crate::support::fake_erp::{FakeErp, Reply};
use crate::support::{Home, WAIT_MAX, order_body};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes of a record before its slots, and of a slot: row id and fencing token.
const HEADER_BYTES: usize = 64;
const SLOT_BYTES: usize = 16;
/// Lines of a large order.
const LINES: usize = 10_000;

fn record_files(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.file_name().unwrap().to_str().is_some_and(|name| name.starts_with("events.db-begun-")))
        .collect()
}

/// Returns the rows that the records beside the database mark as begun.
fn begun_rows(home: &Home) -> BTreeSet<i64> {
    let mut rows = BTreeSet::new();
    for record in record_files(home) {
        let content = fs::read(&record).unwrap_or_default();
        let slots = content.get(HEADER_BYTES..).unwrap_or_default().chunks_exact(SLOT_BYTES);
        rows.extend(slots.map(|slot| i64::from_le_bytes(slot[..8].try_into().unwrap())).filter(|row| *row != 0));
    }
    rows
}

fn ids(home: &Home, query: &str) -> BTreeSet<i64> {
    home.sql(query).lines().map(|line| line.parse().unwrap()).collect()
}

fn signal_process(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).unwrap();
}

/// Stops all threads of a process.
fn pause(process: &Child) {
    signal_process(process, Signal::STOP);
    let is_stopped = |task: &fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['T', 'Z', 'X']))
    };
    let tasks = || fs::read_dir(format!("/proc/{}/task", process.id())).unwrap().flatten().collect::<Vec<_>>();
    let start = Instant::now();
    while !tasks().iter().all(is_stopped) {
        assert!(start.elapsed() < WAIT_MAX, "the process does not stop");
        std::thread::yield_now();
    }
}

/// Lets a process run in short steps until its record marks a row as begun, and kills it there; or kills it when
/// `is_done`. Returns the rows that are marked at its death.
fn kill_in_work(home: &Home, mut process: Child, is_done: impl Fn() -> bool) -> BTreeSet<i64> {
    let start = Instant::now();
    for step in 1.. {
        assert!(start.elapsed() < WAIT_MAX, "no work began: {}", home.log());
        std::thread::sleep(Duration::from_millis(1));
        if process.try_wait().unwrap().is_some() || (step % 200 == 0 && is_done()) {
            break;
        }
        pause(&process);
        if !begun_rows(home).is_empty() {
            break;
        }
        signal_process(&process, Signal::CONT);
    }
    let _ = process.kill();
    process.wait().unwrap();
    begun_rows(home)
}

/// Returns an order whose handler takes about a second in a debug build.
fn large_order(id: u64) -> Vec<u8> {
    let lines: Vec<String> =
        (0..LINES).map(|line| format!(r#"{{"id":{id}{line:05},"sku":"JAM-6","quantity":2,"price":"5.00"}}"#)).collect();
    let body = String::from_utf8(order_body(id)).unwrap();
    let (head, _) = body.split_once("\"line_items\":[").unwrap();
    format!("{head}\"line_items\":[{}]}}", lines.join(",")).into_bytes()
}

/// What a worker had when it died.
#[derive(Debug)]
struct WorkerDeath {
    begun: BTreeSet<i64>,
    claimed: BTreeSet<i64>,
}

/// Kills workers until one dies with an event in work. `prepare` makes the events due.
fn kill_worker_in_work(home: &Home, prepare: impl Fn()) -> WorkerDeath {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < WAIT_MAX * 3, "no worker died as it should: {}", home.log());
        prepare();
        let is_done = || home.count("SELECT count(*) FROM queue WHERE status = 'processing' OR due = 'now'") == 0;
        let marked = kill_in_work(home, home.spawn_worker(), is_done);
        let claimed = ids(home, "SELECT id FROM webhook_events WHERE status = 'processing'");
        // The outcome of a marked event may be written already.
        let begun: BTreeSet<i64> = marked.intersection(&claimed).copied().collect();
        if !begun.is_empty() {
            return WorkerDeath { begun, claimed };
        }
    }
}

#[test]
fn event_that_kills_its_worker_takes_no_healthy_event_with_it() {
    const EVENTS: u64 = 8;
    let home = Home::new(
        "[worker]\nin_serve = false\nconcurrency = 1\nmax_attempts = 3\npoll = \"20ms\"\n\
         backoff_base = \"1h\"\nbackoff_max = \"1h\"",
    );
    let daemon = home.serve();
    for id in 1..=EVENTS {
        daemon.send_order(&format!("w{id}"), &large_order(id)).event_id();
    }
    daemon.stop();
    let death = kill_worker_in_work(&home, || {});
    assert!(death.claimed.len() > death.begun.len(), "one handler ran at a time: {death:?}");
    for record in record_files(&home) {
        assert_eq!(fs::metadata(&record).unwrap().permissions().mode() & 0o777, 0o640);
    }
    home.run_ok(&["work", "--once"]);
    let waiting = ids(&home, "SELECT id FROM webhook_events WHERE status = 'received'");
    assert_eq!(waiting, death.begun, "only what had begun waits");
    assert_eq!(
        home.sql(
            "SELECT DISTINCT attempts, deaths, next_attempt_at > strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+30 minutes') \
             FROM webhook_events WHERE status = 'received'"
        ),
        "1|1|1",
        "the attempt counts, and the event waits for the backoff"
    );
    let given_back = "SELECT event_id FROM webhook_event_log WHERE error LIKE '%died before it ran this handler%'";
    assert_eq!(ids(&home, given_back), death.claimed.difference(&death.begun).copied().collect());
    assert_eq!(home.sql("SELECT DISTINCT attempts, deaths FROM webhook_events WHERE status = 'completed'"), "1|0");
    assert_eq!(record_files(&home), Vec::<PathBuf>::new(), "no record stays");
    let poison = death.begun.first().unwrap().to_string();
    let show = home.run_ok(&["events", "show", &poison]);
    assert!(show.contains("died while it ran this handler (1 of 3)"), "{show}");
    check_that_poison_stays_alone(&home, &poison);
    home.assert_consistent();
}

/// The event goes on to kill its worker. It is claimed alone, and at last it fails.
fn check_that_poison_stays_alone(home: &Home, poison: &str) {
    let read = |columns: &str| home.sql(&format!("SELECT {columns} FROM webhook_events WHERE id = {poison}"));
    while read("status") != "failed" {
        // The poison is due first, and the others right after it.
        let death = kill_worker_in_work(home, || {
            home.run_ok(&["events", "retry", poison]);
            home.run_ok(&["events", "retry", "--status", "completed"]);
        });
        assert_eq!(death.claimed.iter().map(i64::to_string).collect::<Vec<_>>(), [poison], "it is claimed alone");
        let attempts = read("attempts");
        let log = String::from_utf8(home.run(&["work", "--once"]).stderr).unwrap();
        let end = if read("status") == "failed" { "failed for good" } else { "runs alone at its next attempt" };
        assert!(log.contains(&format!("event {poison} {end}")), "{log}");
        assert_eq!(read("attempts"), attempts, "the death keeps the attempt");
    }
    let limit = read("max_attempts");
    let failure = home.sql("SELECT error FROM failures");
    assert!(failure.contains(&format!("died while it ran this handler ({limit} of {limit})")), "{failure}");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE status = 'failed'"), "1");
}

/// Deliveries that were in flight at a death are sent one at a time; a death in one does not count against the next.
#[test]
fn death_in_one_delivery_does_not_count_against_the_others() {
    let works = Arc::new(AtomicBool::new(false));
    let erp_works = works.clone();
    let erp =
        FakeErp::start(move |_, _| if erp_works.load(Ordering::SeqCst) { Reply::Status(200) } else { Reply::Hang });
    let home = home_with_destinations(|_| {
        http_destination("erp", &erp.url, "concurrency = 3").replace("timeout = \"5s\"", "timeout = \"10m\"")
    });
    let mut daemon = home.serve();
    send_orders(&daemon, 1..=3);
    erp.wait_for(3);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    let mut daemon = home.serve();
    erp.wait_for(4);
    home.wait_for("SELECT count(*) FROM destination_deliveries WHERE status = 'delivering'", "3");
    assert_eq!(erp.requests().len(), 4, "the others wait while one is in flight");
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    works.store(true, Ordering::SeqCst);
    let daemon = home.serve();
    wait_until_delivered(&home);
    daemon.stop();
    assert_eq!(
        home.sql("SELECT attempts, deaths, status FROM destination_deliveries ORDER BY attempts"),
        "2|0|delivered\n2|0|delivered\n3|0|delivered"
    );
    let count = |text: &str| {
        home.count(&format!("SELECT count(*) FROM destination_delivery_log WHERE error LIKE '%died {text} it made%'"))
    };
    assert_eq!((count("while"), count("before")), (4, 2));
    assert_eq!(record_files(&home), Vec::<PathBuf>::new(), "a daemon that stops leaves no record");
}

/// A poller that dies while it fetches a file: this file waits, and no other one does.
#[test]
fn death_in_one_file_does_not_count_against_the_others() {
    const FILES: u64 = 6;
    let home = Home::new("");
    fs::create_dir(home.path("in")).unwrap();
    home.configure(&format!(
        "[worker]\nin_serve = false\n[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\nurl = \"file://{}\"\n\
         settle = \"0s\"\n",
        home.path("in").display()
    ));
    home.serve().stop();
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < WAIT_MAX * 3, "no poller died as it should: {}", home.log());
        for file in 0..FILES {
            // New content, so that each round has files to fetch.
            fs::write(home.path("in").join(format!("{file}.edi")), format!("{:?}", Instant::now())).unwrap();
        }
        let mut command = home.command(&["sps", "poll"]);
        let poller = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let marked = kill_in_work(&home, poller, || false);
        let fetching = ids(&home, "SELECT id FROM sps_files WHERE status = 'fetching'");
        // A poller that died after it deleted the file at the source leaves nothing to fetch.
        let names = home.sql("SELECT name FROM sps_files WHERE status = 'fetching'");
        let is_at_source = names.lines().all(|name| home.path("in").join(name).exists());
        if !marked.is_empty() && marked == fetching && is_at_source {
            let output = home.run(&["sps", "poll"]);
            let log = String::from_utf8_lossy(&output.stderr);
            assert_eq!(log.matches("runs alone at its next attempt").count(), 1, "{log}");
            assert!(log.contains("died while it fetched this file"), "{log}");
            break;
        }
    }
    assert_eq!(home.sql("SELECT DISTINCT status, attempts, deaths FROM sps_files"), "done|0|0");
    assert_eq!(record_files(&home), Vec::<PathBuf>::new(), "a poll that ends leaves no record");
}
