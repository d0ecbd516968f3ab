//! What boxes do in years: a new name, a clock that jumps, a disk that is full or read-only at the start, an image put back.

use crate::disk::Disk;
use crate::util::{Home, Request, order, sql};
use std::fs;
use std::process::Command;

/// The WAL is left to another program: nothing is lost by it, and it is read at the next start.
#[test]
fn checkpoints_can_be_left_to_another_program() {
    let home = Home::new("");
    home.configure("[store]\npath = \"DB\"\ncheckpoints = false\nwal_bytes = 1048576\n");
    let daemon = home.serve();
    for number in 0..40 {
        assert_eq!(daemon.deliver(&format!("w{number}"), &vec![b' '; 200_000]).status, 200);
    }
    home.wait_until_worked();
    daemon.stop();
    let wal = || fs::metadata(home.path("events.db-wal")).map_or(0, |data| data.len());
    assert!(wal() > 8_000_000, "{}", wal());
    let daemon = home.serve();
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 40);
    daemon.stop();
    home.configure("");
    home.serve().stop();
    assert_eq!(wal(), 0, "and cut when it is ours again");
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), 40);
}

/// A disk that is full at the start: refused with a sentence, or served with 503 and taken up again.
#[test]
fn a_disk_that_is_full_at_the_start() {
    let home = Home::new("");
    let Some(disk) = Disk::mount(home.path("disk"), "6m") else { return };
    let db = disk.0.join("events.db");
    home.configure(&format!("[store]\npath = {db:?}\nmin_free_bytes = 1000000"));
    fs::write(disk.0.join("filling"), vec![0; 8 << 20]).unwrap_err();
    let refused = home.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && (said.contains("disk is full") || said.contains("No space left")),
        "{said}"
    );
    // Half full: it starts, says 503, and goes on by itself.
    fs::remove_file(disk.0.join("filling")).unwrap();
    home.serve().stop();
    let free = || {
        let disk = rustix::fs::statvfs(&disk.0).unwrap();
        usize::try_from(disk.f_bavail * disk.f_frsize).unwrap()
    };
    fs::write(disk.0.join("filling"), vec![0; free().saturating_sub(900_000)]).unwrap();
    let daemon = home.serve();
    assert_eq!(daemon.deliver("w1", &order(1)).status, 503);
    fs::remove_file(disk.0.join("filling")).unwrap();
    disk.grow("32m");
    let start = std::time::Instant::now();
    while daemon.deliver("w1", &order(1)).status != 200 {
        assert!(start.elapsed() < crate::util::PATIENCE, "{}", home.log());
    }
    daemon.stop();
    assert_eq!(sql(&db, "PRAGMA integrity_check"), "ok");
}

/// A file system that became read-only: refused with a sentence, and nothing is changed.
#[test]
fn a_read_only_file_system_is_refused_with_a_sentence() {
    let home = Home::new("");
    let Some(disk) = Disk::mount(home.path("disk"), "32m") else { return };
    let db = disk.0.join("events.db");
    home.configure(&format!("[store]\npath = {db:?}\nmin_free_bytes = 0"));
    home.serve().stop();
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(&disk.0).status().unwrap().success());
    let refused = home.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1)
            && said.contains("is mounted read-only")
            && said.contains("nothing can be stored"),
        "{said}"
    );
    assert_eq!(home.run(&["config", "check"]).status.code(), Some(1));
    let doctor = String::from_utf8_lossy(&home.run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("is mounted read-only: nothing can be stored"), "{doctor}");
    // While it serves: 503, and on again when the disk is.
    assert!(Command::new("mount").args(["-o", "remount,rw"]).arg(&disk.0).status().unwrap().success());
    let daemon = home.serve();
    assert_eq!(daemon.deliver("w1", &order(1)).status, 200);
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200);
    daemon.stop();
}

/// Another name of the box, a claim of its old name, and a clock that was set back or forward: events are worked once, and none waits
/// for ever.
#[test]
fn a_new_name_and_a_clock_that_jumped() {
    let home = Home::new("");
    home.configure("[worker]\npoll = \"20ms\"\nlease = \"1s\"\nin_serve = false\n");
    let daemon = home.serve();
    for number in 1..=3 {
        assert_eq!(daemon.deliver(&format!("w{number}"), &order(number)).status, 200);
    }
    daemon.stop();
    // As an image that was put back has it: claimed under another name and another boot, the lease long over.
    home.sql(
        "UPDATE webhook_events SET status = 'processing', locked_by = 'oldname:1', locked_process = 'boot/ns/1', next_attempt_at = NULL, \
         locked_at = '2020-01-01T00:00:00.000Z', lease_until = '2020-01-01T00:05:00.000Z', attempts = 1, claims = 1 WHERE id = 1",
    );
    // Received by a clock that was a year ahead: due by its own time only, until a person brings it back.
    home.sql("UPDATE webhook_events SET received_at = '2999-01-01T00:00:00.000Z', next_attempt_at = '2999-01-01T00:00:00.000Z' WHERE id = 2");
    home.ok(&["work", "--once"]);
    assert_eq!(
        home.sql("SELECT id, status, claims FROM webhook_events ORDER BY id"),
        "1|completed|2\n2|received|0\n3|completed|1"
    );
    assert_eq!(home.sql("SELECT count(*) FROM sales_orders"), "2");
    let said = home.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("the clock was set back"), "{said:?}");
    home.ok(&["events", "retry", "2"]);
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events WHERE status = 'completed'"), "3");
}

/// A clock that was years ahead has put things off for years: they are due when it is right again.
#[test]
fn what_a_wrong_clock_has_put_off_is_due() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 1..3 {
        daemon.deliver(&format!("w{number}"), &order(number));
    }
    home.wait_until_worked();
    daemon.stop();
    home.sql(
        "UPDATE webhook_events SET status = 'received', next_attempt_at = '2090-01-01T00:00:00.000Z', completed_at = NULL WHERE id = 1; \
         UPDATE webhook_events SET status = 'processing', locked_by = 'oldname:4242', locked_at = '2089-01-01T00:00:00.000Z', \
         lease_until = '2090-01-01T00:00:00.000Z', completed_at = NULL, attempts = 1 WHERE id = 2",
    );
    let daemon = home.serve();
    home.wait_until_worked();
    daemon.stop();
    assert_eq!(home.sql("SELECT group_concat(status) FROM webhook_events"), "completed,completed");
    assert!(home.log().contains("were put off by a clock that was far ahead"), "{}", home.log());
}

/// A file that is damaged may take the probe's row and no event: whoever watches is told.
#[test]
fn a_damaged_file_is_not_healthy() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 1..40 {
        daemon.deliver(&format!("w{number}"), &order(number));
    }
    home.wait_until_worked();
    daemon.stop();
    // The tree of webhook ids, by which duplicates are found.
    let page = home.count("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_webhook_events_1'");
    let file = fs::OpenOptions::new().write(true).open(home.db()).unwrap();
    let at = u64::try_from(page - 1).unwrap() * 8192;
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xA5; 8192], at).unwrap();
    drop(file);
    let daemon = home.serve();
    let refused = daemon.deliver("new", &order(99));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("damaged"), "{refused:?}");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 503);
    assert!(home.log().contains("put the newest backup in its place"), "{}", home.log());
}

/// A database that is gone while its backups are there: told, and no number is given out twice.
#[test]
fn a_database_that_is_lost_is_told() {
    let home = Home::new("");
    let daemon = home.serve();
    let first = daemon.deliver("w1", &order(1)).event_id();
    home.wait_until_worked();
    fs::create_dir(home.path("backups")).unwrap();
    home.ok(&["backup", &home.path("backups").display().to_string()]);
    daemon.stop();
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("events.db{end}")));
    }
    let daemon = home.serve();
    assert_eq!(daemon.deliver("w2", &order(2)).event_id(), first + 1_000_001);
    assert!(home.log().contains("backups of one are beside it: a new one is begun"), "{}", home.log());
    let doctor = String::from_utf8_lossy(&home.run(&["doctor"]).stdout).into_owned();
    assert!(doctor.contains("it was begun anew"), "{doctor}");
}
