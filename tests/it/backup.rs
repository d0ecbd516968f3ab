//! Backups made under load, verified before they get their name. A restore needs a sound backup and an unused database.

use crate::support::small_disk::SmallDisk;
use crate::support::{Home, SetOnDrop, order_body, sql, wait_until};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

fn file_names(directory: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn backup_under_load_is_consistent_and_restores() {
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
                    assert_eq!(daemon.send_order(&format!("{client}-{number}"), &vec![b' '; 20_000]).status, 200);
                    sent.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let stop = SetOnDrop(&done);
        wait_until(|| sent.load(Ordering::SeqCst) >= 100, || home.log());
        let before = sent.load(Ordering::SeqCst);
        let printed = home.run_ok(&["backup", &copy]);
        drop(stop);
        assert!(printed.contains("verified"), "{printed}");
        before
    });
    let copied: i64 = sql(&home.path("copy.db"), "SELECT count(*) FROM webhook_events").parse().unwrap();
    assert!((before..=sent.load(Ordering::SeqCst)).contains(&copied), "{copied} copied, {before} stored before");
    assert_eq!(sql(&home.path("copy.db"), "SELECT count(*) FROM webhook_payloads"), copied.to_string());
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(home.path("copy.db")).unwrap().permissions()) & 0o777,
        0o600
    );
    // A restore of a database in use fails and changes nothing.
    let refused = home.run(&["restore", &copy]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is in use"), "{refused:?}");
    assert_eq!(daemon.send_order("after", b"{}").status, 200);
    daemon.stop();
    assert!(home.run_ok(&["restore", "--check", &copy]).contains("is sound"));
    let directory = home.run(&["restore", "--check", &home.path("").display().to_string()]);
    assert!(
        String::from_utf8_lossy(&directory.stderr).contains("is a directory. Name a backup in it"),
        "{directory:?}"
    );
    let all = home.sql("SELECT count(*) FROM webhook_events");
    let printed = home.run_ok(&["restore", &copy]);
    assert!(printed.contains("is restored") && printed.contains(".before-restore-"), "{printed}");
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), copied.to_string());
    let aside = file_names(home.path("").as_path()).into_iter().find(|name| name.contains(".before-restore-")).unwrap();
    assert_eq!(sql(&home.path(&aside), "SELECT count(*) FROM webhook_events"), all, "the existing file is unchanged");
    let daemon = home.serve();
    assert_eq!(daemon.send_order("new", b"{}").status, 200);
    daemon.stop();
    home.assert_consistent();
}

#[test]
fn damaged_backup_is_not_restored() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 0..40 {
        daemon.send_order(&format!("w{number}"), &[b' '; 9_000]);
    }
    daemon.stop();
    let copy = home.path("copy.db");
    home.run_ok(&["backup", &copy.display().to_string()]);
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
            assert!(
                String::from_utf8_lossy(&refused.stderr).contains("nothing was restored or changed"),
                "{refused:?}"
            );
        }
    }
    // A backup from which a row was deleted by hand.
    fs::write(home.path("less"), &sound).unwrap();
    sql(
        &home.path("less"),
        "PRAGMA foreign_keys = 0; DROP TRIGGER IF EXISTS x; DELETE FROM webhook_payloads; UPDATE event_counts SET events = events + 1",
    );
    assert!(
        String::from_utf8_lossy(&home.run(&["restore", &home.path("less").display().to_string()]).stderr)
            .contains("adds up to")
    );
    // A schema newer than this program.
    fs::write(home.path("newer"), &sound).unwrap();
    sql(&home.path("newer"), "PRAGMA user_version = 99");
    assert!(
        String::from_utf8_lossy(&home.run(&["restore", &home.path("newer").display().to_string()]).stderr)
            .contains("newer version")
    );
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), events);
    assert!(
        !file_names(home.path("").as_path())
            .iter()
            .any(|name| name.contains("unfinished") || name.contains("before-restore"))
    );
    // Without the database, the backup is the only copy.
    fs::remove_file(home.db()).unwrap();
    home.run_ok(&["restore", &copy.display().to_string()]);
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), events);
}

#[test]
fn backup_directory_keeps_the_newest_complete_backups() {
    let home = Home::new("");
    home.serve().stop();
    let directory = home.path("backups");
    fs::create_dir(&directory).unwrap();
    let lineage = home.sql("SELECT id FROM database_lineage");
    let named = |time: &str| format!("novex-ingest-{time}-{lineage}.db");
    // A backup from a clock that ran ahead does not replace new backups.
    fs::write(directory.join(named("29990101T000000Z")), "x").unwrap();
    let others = ["mine.db", "novex-ingest-notes.db", "novex-ingest-20250101T000000Z-0badcafe.db"];
    let olds = [named("20250101T000000Z"), named("20250102T000000Z")];
    for old in others.iter().copied().chain(olds.iter().map(String::as_str)) {
        fs::write(directory.join(old), "x").unwrap();
    }
    let path = directory.display().to_string();
    let printed: serde_json::Value =
        serde_json::from_str(&home.run_ok(&["backup", &path, "--keep", "2", "--json"])).unwrap();
    assert_eq!(printed["removed"], 1);
    let left = file_names(&directory);
    assert!(left.contains(&olds[1]) && left.len() == 6, "{left:?}");
    assert!(others.iter().all(|other| left.contains(&(*other).to_owned())), "{left:?}");
    let file = printed["file"].as_str().unwrap();
    let again = home.run(&["backup", file]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("never overwrites a file"), "{again:?}");
    assert_eq!(home.run(&["backup", &home.path("nowhere/x.db").display().to_string()]).status.code(), Some(1));
    assert_eq!(home.run(&["backup", file, "--keep", "1"]).status.code(), Some(2));
    // The disk is full: the command reports it and leaves no file.
    let Some(disk) = SmallDisk::mount(home.path("disk"), "64k") else { return };
    let full = home.run(&["backup", &disk.path.display().to_string()]);
    assert!(String::from_utf8_lossy(&full.stderr).contains("bytes free"), "{full:?}");
    assert_eq!(file_names(&disk.path), Vec::<String>::new());
}

/// Files beside a missing or damaged database never become part of the restored one, and none is overwritten.
#[test]
fn restore_ignores_files_of_the_old_database() {
    let home = Home::new("");
    let daemon = home.serve();
    for number in 0..4 {
        daemon.send_order(&format!("w{number}"), b"{}");
    }
    home.wait_until_processed();
    let copy = home.path("copy.db").display().to_string();
    home.run_ok(&["backup", &copy]);
    daemon.stop();
    // A WAL of another database, as a kill leaves it.
    let mut daemon = home.serve();
    for number in 4..60 {
        daemon.send_order(&format!("w{number}"), &vec![b' '; 20_000]);
    }
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    assert!(fs::metadata(home.path("events.db-wal")).unwrap().len() > 0);
    // A WAL belongs to its file; a copy without it is incomplete.
    let part = home.run(&["restore", "--check", &home.db().display().to_string()]);
    assert!(String::from_utf8_lossy(&part.stderr).contains("nothing was restored or changed"), "{part:?}");
    fs::remove_file(home.db()).unwrap();
    home.run_ok(&["restore", &copy]);
    assert_eq!(home.sql("PRAGMA integrity_check; SELECT count(*) FROM webhook_events"), "ok\n4");
    // A damaged database is the reason for a restore. Each replaced file keeps a name.
    for round in 0..3 {
        let mut bytes = fs::read(home.db()).unwrap();
        bytes[100..8000].fill(round);
        fs::write(home.db(), bytes).unwrap();
        home.run_ok(&["restore", &copy]);
        home.assert_consistent();
    }
    let kept = file_names(home.path("").as_path())
        .iter()
        .filter(|name| name.contains("before-restore") && !name.contains("-wal"))
        .count();
    assert!(kept >= 3, "{:?}", file_names(home.path("").as_path()));
    // A backup never follows a symbolic link and never overwrites the database.
    let mode = fs::metadata(home.db()).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o640);
    let own = home.run(&["restore", &home.db().display().to_string()]);
    assert!(String::from_utf8_lossy(&own.stderr).contains("it is the database itself"), "{own:?}");
    let companion = home.run(&["backup", &home.path("events.db-journal").display().to_string()]);
    assert!(String::from_utf8_lossy(&companion.stderr).contains("the database itself uses it"), "{companion:?}");
    assert!(!file_names(home.path("").as_path()).iter().any(|name| name.contains("unfinished")));
}

/// The ERP and the retailers have seen event ids and control numbers, so a restore gives out none twice.
#[test]
fn numbers_continue_after_a_restore() {
    let home = Home::new("");
    let daemon = home.serve();
    let first = daemon.send_order("w1", &order_body(1)).event_id();
    home.sql("INSERT INTO edi_control_numbers VALUES ('retailer', 'group', 5)");
    let copy = home.path("copy.db").display().to_string();
    home.run_ok(&["backup", &copy]);
    for number in 2..6 {
        daemon.send_order(&format!("w{number}"), &order_body(number));
    }
    home.sql("UPDATE edi_control_numbers SET last = 9; INSERT INTO edi_control_numbers VALUES ('retailer', 'interchange', 3)");
    home.wait_until_processed();
    daemon.stop();
    home.run_ok(&["restore", &copy]);
    let numbers = "SELECT group_concat(kind || last, ' ') FROM (SELECT * FROM edi_control_numbers ORDER BY kind)";
    assert_eq!(home.sql(numbers), "group9 interchange3");
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w9", &order_body(9)).event_id(), first + 5);
    home.wait_until_processed();
    daemon.stop();
    home.assert_consistent();
    // If the replaced database cannot be read, the restore leaves a gap in the numbers.
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("events.db{end}")));
    }
    home.run_ok(&["restore", &copy]);
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w10", &order_body(10)).event_id(), first + 1_000_001);
    assert_eq!(home.sql(numbers), "group1005");
}

/// Advice such as `backup DIR` must not leave a file where the nightly backup needs a directory.
#[test]
fn missing_directory_is_created_and_a_file_stays() {
    let home = Home::new("");
    home.serve().stop();
    let target = |name: &str| home.path(name).display().to_string();
    for (name, arguments) in
        [("backups", vec![]), ("copies.d/", vec![]), ("deep/nightly", vec![]), ("kept.d/", vec!["--keep", "2"])]
    {
        let printed = home.run_ok(&[vec!["backup", &target(name)], arguments].concat());
        assert!(printed.contains("created the directory"), "{printed}");
        let names = file_names(&home.path(name));
        assert!(names.len() == 1 && names[0].starts_with("novex-ingest-"), "{name}: {names:?}");
        let mode = fs::metadata(home.path(name)).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o750);
    }
    // A second run uses the directory.
    home.run_ok(&["backup", &target("backups"), "--keep", "7"]);
    // A file with the name stays as it is.
    let sound = fs::read_dir(home.path("kept.d")).unwrap().next().unwrap().unwrap().path();
    fs::copy(&sound, home.path("nightly")).unwrap();
    for arguments in [vec!["backup", "NIGHTLY", "--keep", "7"], vec!["backup", "NIGHTLY/"]] {
        let arguments: Vec<String> = arguments.iter().map(|word| word.replace("NIGHTLY", &target("nightly"))).collect();
        let refused = home.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && printed.contains("is a file, and backups need a directory"), "{printed}");
    }
    assert_eq!(fs::read(home.path("nightly")).unwrap(), fs::read(&sound).unwrap());
}
