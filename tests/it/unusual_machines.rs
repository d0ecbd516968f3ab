//! Events of years on one machine: a new host name, a clock that jumps, a disk that is full or read-only, a restored
//! image.

use crate::support::small_disk::SmallDisk;
use crate::support::{Home, Request, order_body, sql};
use std::fs;
use std::process::Command;

/// Another program checkpoints the WAL: nothing is lost, and the next start reads it.
#[test]
fn checkpoints_can_be_left_to_another_program() {
    let home = Home::new("");
    home.configure("[store]\npath = \"DB\"\ncheckpoints = false\nwal_bytes = 1048576\n");
    let daemon = home.serve();
    for number in 0..40 {
        assert_eq!(daemon.send_order(&format!("w{number}"), &vec![b' '; 200_000]).status, 200);
    }
    home.wait_until_processed();
    daemon.stop();
    let wal = || fs::metadata(home.path("events.db-wal")).map_or(0, |data| data.len());
    assert!(wal() > 8_000_000, "{}", wal());
    let daemon = home.serve();
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 40);
    daemon.stop();
    home.configure("");
    home.serve().stop();
    assert_eq!(wal(), 0, "truncated after the next start");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 40);
}

/// A disk that is full at the start: the start fails with one line, or the daemon responds 503 and recovers.
#[test]
fn disk_full_at_the_start_is_handled() {
    let home = Home::new("");
    let Some(disk) = SmallDisk::mount(home.path("disk"), "6m") else { return };
    let db = disk.path.join("events.db");
    home.configure(&format!("[store]\npath = {db:?}\nmin_free_bytes = 1000000"));
    fs::write(disk.path.join("filling"), vec![0; 8 << 20]).unwrap_err();
    let refused = home.run(&["serve"]);
    let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && (printed.contains("disk is full") || printed.contains("No space left")),
        "{printed}"
    );
    // Nearly full: the daemon starts, responds 503, and recovers by itself.
    fs::remove_file(disk.path.join("filling")).unwrap();
    home.serve().stop();
    let free = || {
        let disk = rustix::fs::statvfs(&disk.path).unwrap();
        usize::try_from(disk.f_bavail * disk.f_frsize).unwrap()
    };
    fs::write(disk.path.join("filling"), vec![0; free().saturating_sub(900_000)]).unwrap();
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w1", &order_body(1)).status, 503);
    fs::remove_file(disk.path.join("filling")).unwrap();
    disk.resize("32m");
    let start = std::time::Instant::now();
    while daemon.send_order("w1", &order_body(1)).status != 200 {
        assert!(start.elapsed() < crate::support::WAIT_MAX, "{}", home.log());
    }
    daemon.stop();
    assert_eq!(sql(&db, "PRAGMA integrity_check"), "ok");
}

/// A read-only file system: the start fails with one line and changes nothing.
#[test]
fn read_only_file_system_is_refused() {
    let home = Home::new("");
    let Some(disk) = SmallDisk::mount(home.path("disk"), "32m") else { return };
    let db = disk.path.join("events.db");
    home.configure(&format!("[store]\npath = {db:?}\nmin_free_bytes = 0"));
    home.serve().stop();
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.path).status().unwrap().success());
    let refused = home.run(&["serve"]);
    let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1)
            && printed.contains("is mounted read-only")
            && printed.contains("the store accepts no events"),
        "{printed}"
    );
    assert_eq!(home.run(&["config", "check"]).status.code(), Some(1));
    let doctor = String::from_utf8_lossy(&home.run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("is mounted read-only: nothing can be stored"), "{doctor}");
    // While the daemon serves: 503, and success again when the disk is writable.
    assert!(Command::new("mount").args(["-o", "remount,rw"]).arg(&disk.path).status().unwrap().success());
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w1", &order_body(1)).status, 200);
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200);
    daemon.stop();
}

/// Another host name, a claim of the old name, and a clock that went back or forward: each event is processed once and
/// none waits for ever.
#[test]
fn host_rename_and_clock_jumps_process_each_event_once() {
    let home = Home::new("");
    home.configure("[worker]\npoll = \"20ms\"\nlease = \"1s\"\nin_serve = false\n");
    let daemon = home.serve();
    for number in 1..=3 {
        assert_eq!(daemon.send_order(&format!("w{number}"), &order_body(number)).status, 200);
    }
    daemon.stop();
    // The state in a restored image: claimed under another name and boot, with an expired lease.
    home.sql(
        "UPDATE webhook_events SET status = 'processing', locked_by = 'oldname:1', locked_process = 'boot/ns/1', next_attempt_at = NULL, \
         locked_at = '2020-01-01T00:00:00.000Z', lease_expires_at = '2020-01-01T00:05:00.000Z', attempts = 1, fencing_token = 1 WHERE id = 1",
    );
    // A clock a year ahead received it: it is due at its own time, until an operator retries it.
    home.sql("UPDATE webhook_events SET received_at = '2999-01-01T00:00:00.000Z', next_attempt_at = '2999-01-01T00:00:00.000Z' WHERE id = 2");
    home.run_ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT id, status, fencing_token FROM webhook_events ORDER BY id"),
        "1|completed|2\n2|received|0\n3|completed|1"
    );
    assert_eq!(home.sql("SELECT count(*) FROM sales_orders"), "2");
    let printed = home.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("the clock was set back"), "{printed:?}");
    home.run_ok(&["events", "retry", "2"]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE status = 'completed'"), "3");
}

/// A clock years ahead postponed retries by years: they are due when the clock is right.
#[test]
fn retries_postponed_by_a_wrong_clock_are_due() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 1..3 {
        daemon.send_order(&format!("w{number}"), &order_body(number));
    }
    home.wait_until_processed();
    daemon.stop();
    home.sql(
        "UPDATE webhook_events SET status = 'received', next_attempt_at = '2090-01-01T00:00:00.000Z', completed_at = NULL WHERE id = 1; \
         UPDATE webhook_events SET status = 'processing', locked_by = 'oldname:4242', locked_at = '2089-01-01T00:00:00.000Z', \
         lease_expires_at = '2090-01-01T00:00:00.000Z', completed_at = NULL, attempts = 1 WHERE id = 2",
    );
    let daemon = home.serve();
    home.wait_until_processed();
    daemon.stop();
    assert_eq!(home.sql("SELECT group_concat(status) FROM webhook_events"), "completed,completed");
    assert!(home.log().contains("a clock that was far ahead had postponed"), "{}", home.log());
}

/// A damaged file may accept the row of the health check and no event: /healthz reports the damage.
#[test]
fn damaged_database_is_not_healthy() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 1..40 {
        daemon.send_order(&format!("w{number}"), &order_body(number));
    }
    home.wait_until_processed();
    daemon.stop();
    // The index of webhook ids, which finds duplicates.
    let page = home.count("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_webhook_events_1'");
    let file = fs::OpenOptions::new().write(true).open(home.db()).unwrap();
    let at = u64::try_from(page - 1).unwrap() * 8192;
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 8192], at).unwrap();
    drop(file);
    let daemon = home.serve();
    let refused = daemon.send_order("new", &order_body(99));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("damaged"), "{refused:?}");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 503);
    assert!(home.log().contains("restore the newest backup"), "{}", home.log());
}

/// The database is gone and its backups are there: the daemon reports it and gives out no number twice.
#[test]
fn lost_database_is_reported() {
    let home = Home::new("");
    let daemon = home.serve();
    let first = daemon.send_order("w1", &order_body(1)).event_id();
    home.wait_until_processed();
    fs::create_dir(home.path("backups")).unwrap();
    home.run_ok(&["backup", &home.path("backups").display().to_string()]);
    daemon.stop();
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("events.db{end}")));
    }
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w2", &order_body(2)).event_id(), first + 1_000_001);
    assert!(home.log().contains("but backups of it do; the daemon created a new, empty database"), "{}", home.log());
    let doctor = String::from_utf8_lossy(&home.run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("of another, earlier database"), "{doctor}");
}
