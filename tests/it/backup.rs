//! Backups made while events come, proved before they have a name, and put back only when they are sound and nobody is in the way.

use crate::disk::Disk;
use crate::util::{Home, order, sql};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

fn names(directory: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_under_load_is_one_state_and_can_be_put_back() {
    let home = Home::new("");
    let daemon = home.serve();
    let copy = home.path("copy.db").display().to_string();
    let (done, sent) = (AtomicBool::new(false), AtomicI64::new(0));
    let before = std::thread::scope(|scope| {
        for client in 0..3 {
            let (daemon, done, sent) = (&daemon, &done, &sent);
            scope.spawn(move || {
                let mut number = 0;
                while !done.load(Ordering::SeqCst) {
                    number += 1;
                    assert_eq!(daemon.deliver(&format!("{client}-{number}"), &vec![b' '; 20_000]).status, 200);
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        while sent.load(Ordering::SeqCst) < 100 {
            std::thread::yield_now();
        }
        let before = sent.load(Ordering::SeqCst);
        let said = home.ok(&["backup", &copy]);
        done.store(true, Ordering::SeqCst);
        assert!(said.contains("proved"), "{said}");
        before
    });
    let copied: i64 = sql(&home.path("copy.db"), "SELECT count(*) FROM webhook_events").parse().unwrap();
    assert!((before..=sent.load(Ordering::SeqCst)).contains(&copied), "{copied} of {before} and more");
    assert_eq!(sql(&home.path("copy.db"), "SELECT count(*) FROM webhook_payloads"), copied.to_string());
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(home.path("copy.db")).unwrap().permissions()) & 0o777,
        0o600
    );
    // Not while it is used, and nothing is changed by the attempt.
    let refused = home.run(&["restore", &copy]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in use"), "{refused:?}");
    assert_eq!(daemon.deliver("after", b"{}").status, 200);
    daemon.stop();
    assert!(home.ok(&["restore", "--check", &copy]).contains("is sound"));
    let all = home.sql("SELECT count(*) FROM webhook_events");
    let said = home.ok(&["restore", &copy]);
    assert!(said.contains("is restored") && said.contains(".before-restore-"), "{said}");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), copied.to_string());
    let aside = names(home.path("").as_path()).into_iter().find(|name| name.contains(".before-restore-")).unwrap();
    assert_eq!(sql(&home.path(&aside), "SELECT count(*) FROM webhook_events"), all, "what was there is still there");
    let daemon = home.serve();
    assert_eq!(daemon.deliver("new", b"{}").status, 200);
    daemon.stop();
    home.assert_sound();
}

#[test]
fn what_is_damaged_is_never_put_back() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 0..40 {
        daemon.deliver(&format!("w{number}"), &[b' '; 9_000]);
    }
    daemon.stop();
    let copy = home.path("copy.db");
    home.ok(&["backup", &copy.display().to_string()]);
    let sound = fs::read(&copy).unwrap();
    let events = home.sql("SELECT count(*) FROM webhook_events");
    let mut flipped = sound.clone();
    for byte in &mut flipped[20 * 8192..24 * 8192] {
        *byte ^= 0x55;
    }
    let cases: [(&str, Vec<u8>); 4] = [
        ("flipped", flipped),
        ("short", sound[..sound.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("text", b"no database".repeat(1000)),
    ];
    for (name, bytes) in cases {
        fs::write(home.path(name), bytes).unwrap();
        for command in [vec!["restore", "--check"], vec!["restore"]] {
            let path = home.path(name).display().to_string();
            let refused = home.run(&[command.as_slice(), &[path.as_str()]].concat());
            assert_eq!(refused.status.code(), Some(1), "{name}");
            assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing was changed"), "{refused:?}");
        }
    }
    // A copy in which something was taken out by hand.
    fs::write(home.path("less"), &sound).unwrap();
    sql(
        &home.path("less"),
        "PRAGMA foreign_keys = 0; DROP TRIGGER IF EXISTS x; DELETE FROM webhook_payloads; UPDATE event_counts SET events = events + 1",
    );
    assert!(
        String::from_utf8_lossy(&home.run(&["restore", &home.path("less").display().to_string()]).stderr)
            .contains("were counted")
    );
    // Newer than this program.
    fs::write(home.path("newer"), &sound).unwrap();
    sql(&home.path("newer"), "PRAGMA user_version = 99");
    assert!(
        String::from_utf8_lossy(&home.run(&["restore", &home.path("newer").display().to_string()]).stderr)
            .contains("newer version")
    );
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), events);
    assert!(
        !names(home.path("").as_path())
            .iter()
            .any(|name| name.contains("unfinished") || name.contains("before-restore"))
    );
    // The database itself is gone: then the backup is all there is.
    fs::remove_file(home.db()).unwrap();
    home.ok(&["restore", &copy.display().to_string()]);
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), events);
}

#[test]
fn a_directory_keeps_the_newest_and_nothing_half_made() {
    let home = Home::new("");
    home.serve().stop();
    let directory = home.path("backups");
    fs::create_dir(&directory).unwrap();
    // Of a clock that ran ahead: it costs nothing that is made now.
    fs::write(directory.join("novex-ingest-29990101T000000Z.db"), "x").unwrap();
    for old in
        ["novex-ingest-20250101T000000Z.db", "novex-ingest-20250102T000000Z.db", "mine.db", "novex-ingest-notes.db"]
    {
        fs::write(directory.join(old), "x").unwrap();
    }
    let path = directory.display().to_string();
    let said: serde_json::Value = serde_json::from_str(&home.ok(&["backup", &path, "--keep", "2", "--json"])).unwrap();
    assert_eq!(said["removed"], 1);
    let left = names(&directory);
    assert!(left.contains(&"novex-ingest-20250102T000000Z.db".to_owned()) && left.len() == 5, "{left:?}");
    assert!(left.contains(&"mine.db".to_owned()) && left.contains(&"novex-ingest-notes.db".to_owned()));
    let file = said["file"].as_str().unwrap();
    let again = home.run(&["backup", file]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not written over"), "{again:?}");
    assert_eq!(home.run(&["backup", &home.path("nowhere/x.db").display().to_string()]).status.code(), Some(1));
    assert_eq!(home.run(&["backup", file, "--keep", "1"]).status.code(), Some(2));
    // No room: said, and nothing is left there.
    let Some(disk) = Disk::mount(home.path("disk"), "64k") else { return };
    let full = home.run(&["backup", &disk.0.display().to_string()]);
    assert!(String::from_utf8_lossy(&full.stderr).contains("bytes free"), "{full:?}");
    assert_eq!(names(&disk.0), Vec::<String>::new());
}

/// What stands beside a database that is gone or damaged is never taken for a part of the restored one, and nothing is written over.
#[test]
fn a_restore_is_never_mixed_with_what_was_there() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 0..4 {
        daemon.deliver(&format!("w{number}"), b"{}");
    }
    home.wait_until_worked();
    let copy = home.path("copy.db").display().to_string();
    home.ok(&["backup", &copy]);
    daemon.stop();
    // A log of another database, as a kill leaves it.
    let mut daemon = home.serve();
    for number in 4..60 {
        daemon.deliver(&format!("w{number}"), &vec![b' '; 20_000]);
    }
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    assert!(fs::metadata(home.path("events.db-wal")).unwrap().len() > 0);
    // The log belongs to a file: without it a copy is not whole.
    let part = home.run(&["restore", "--check", &home.db().display().to_string()]);
    assert!(String::from_utf8_lossy(&part.stderr).contains("nothing was changed"), "{part:?}");
    fs::remove_file(home.db()).unwrap();
    home.ok(&["restore", &copy]);
    assert_eq!(home.sql("PRAGMA integrity_check; SELECT count(*) FROM webhook_events"), "ok\n4");
    // A damaged one is what a backup is for; each that was there keeps a name of its own.
    for round in 0..3 {
        let mut bytes = fs::read(home.db()).unwrap();
        bytes[100..8000].fill(round);
        fs::write(home.db(), bytes).unwrap();
        home.ok(&["restore", &copy]);
        home.assert_sound();
    }
    let kept = names(home.path("").as_path())
        .iter()
        .filter(|name| name.contains("before-restore") && !name.contains("-wal"))
        .count();
    assert!(kept >= 3, "{:?}", names(home.path("").as_path()));
    // Never through a link that somebody laid, nor over the database itself.
    let mode = fs::metadata(home.db()).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let own = home.run(&["restore", &home.db().display().to_string()]);
    assert!(String::from_utf8_lossy(&own.stderr).contains("it is the database itself"), "{own:?}");
    let companion = home.run(&["backup", &home.path("events.db-journal").display().to_string()]);
    assert!(String::from_utf8_lossy(&companion.stderr).contains("the database itself uses it"), "{companion:?}");
    assert!(!names(home.path("").as_path()).iter().any(|name| name.contains("unfinished")));
}

/// Numbers that the ERP and the retailers have seen are given out once, also after a restore.
#[test]
fn numbers_go_on_after_a_restore() {
    let home = Home::new("");
    let daemon = home.serve();
    let first = daemon.deliver("w1", &order(1)).event_id();
    home.sql("INSERT INTO edi_control_numbers VALUES ('retailer', 'group', 5)");
    let copy = home.path("copy.db").display().to_string();
    home.ok(&["backup", &copy]);
    for number in 2..6 {
        daemon.deliver(&format!("w{number}"), &order(number));
    }
    home.sql("UPDATE edi_control_numbers SET last = 9; INSERT INTO edi_control_numbers VALUES ('retailer', 'interchange', 3)");
    home.wait_until_worked();
    daemon.stop();
    home.ok(&["restore", &copy]);
    let numbers = "SELECT group_concat(kind || last, ' ') FROM (SELECT * FROM edi_control_numbers ORDER BY kind)";
    assert_eq!(home.sql(numbers), "group9 interchange3");
    let daemon = home.serve();
    assert_eq!(daemon.deliver("w9", &order(9)).event_id(), first + 5);
    home.wait_until_worked();
    daemon.stop();
    home.assert_sound();
    // Where what was there cannot be read, a gap is left.
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("events.db{end}")));
    }
    home.ok(&["restore", &copy]);
    let daemon = home.serve();
    assert_eq!(daemon.deliver("w10", &order(10)).event_id(), first + 1_000_001);
    assert_eq!(home.sql(numbers), "group1005");
}
