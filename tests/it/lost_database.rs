//! A database that is deleted, moved, replaced or emptied under a running daemon, and backups of a lost database.

use crate::support::{Connection, Daemon, Home, order_body, shopify_request, sql, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

fn find_files(home: &Home, part: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.display().to_string().contains(part)).collect()
}

fn stored_webhooks(file: &std::path::Path) -> BTreeSet<String> {
    sql(file, "SELECT webhook_id FROM webhook_events").lines().map(str::to_owned).collect()
}

/// Sends orders until the daemon ends. `change` runs in the middle. Returns the webhook ids with a 200.
fn send_until_end(daemon: &mut Daemon<'_>, start: &str, change: impl FnOnce()) -> BTreeSet<String> {
    let acknowledged: Mutex<BTreeSet<String>> = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..3 {
            let (address, acknowledged) = (daemon.address, &acknowledged);
            scope.spawn(move || {
                let Ok(mut connection) = Connection::open(address) else { return };
                for number in 1.. {
                    let id = format!("{start}-{client}-{number}");
                    let request = shopify_request(&id, &order_body(number));
                    if connection.send(&request.to_bytes()).is_err() {
                        return;
                    }
                    match connection.read_response() {
                        Ok(response) if response.status == 200 => acknowledged.lock().unwrap().insert(id),
                        Ok(_) => continue,
                        Err(_) => return,
                    };
                }
            });
        }
        wait_until(|| acknowledged.lock().unwrap().len() >= 200, || daemon.home.log());
        change();
        assert_eq!(daemon.child.wait().unwrap().code(), Some(1), "{}", daemon.home.log());
    });
    acknowledged.into_inner().unwrap()
}

#[test]
fn deleted_or_replaced_database_is_rescued_under_load() {
    let other = Home::new("");
    other.serve().stop();
    for case in ["delete all", "delete database", "delete wal", "move", "replace"] {
        let home = Home::new("");
        let mut daemon = home.serve();
        let acknowledged = send_until_end(&mut daemon, "first", || match case {
            "delete all" => {
                for suffix in ["", "-wal", "-shm"] {
                    fs::remove_file(home.path(&format!("events.db{suffix}"))).unwrap();
                }
            }
            "delete database" => fs::remove_file(home.db()).unwrap(),
            "delete wal" => fs::remove_file(home.path("events.db-wal")).unwrap(),
            "move" => fs::rename(home.db(), home.path("moved.db")).unwrap(),
            _ => {
                fs::copy(other.db(), home.path("new.db")).unwrap();
                fs::rename(home.path("new.db"), home.db()).unwrap();
            }
        });
        let mut stored = BTreeSet::new();
        let rescued = find_files(&home, "events.db.rescued-");
        if case != "delete wal" {
            assert_eq!(rescued.len(), 1, "{case}: {}", home.log());
            assert!(home.log().contains(&format!("novex-ingest restore {}", rescued[0].display())), "{case}");
        }
        for file in &rescued {
            assert_eq!(sql(file, "PRAGMA integrity_check"), "ok", "{case}");
            stored.extend(stored_webhooks(file));
        }
        // The next start uses the present file and leaves all others as they are.
        let restarted = home.serve();
        let id = restarted.send_order("second", &order_body(1)).event_id();
        restarted.stop();
        home.assert_consistent();
        if case.starts_with("delete") {
            assert!(id > i64::try_from(acknowledged.len()).unwrap(), "{case}: no id is given out twice");
        }
        if case == "replace" {
            assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), "1", "no WAL of another file was read");
        }
        stored.extend(stored_webhooks(&home.db()));
        let missing: Vec<&String> = acknowledged.difference(&stored).collect();
        assert!(missing.is_empty(), "{case}: {} of {} are missing", missing.len(), acknowledged.len());
        if let Some(file) = rescued.first() {
            let doctor = home.run(&["doctor", "--json"]);
            let printed = String::from_utf8_lossy(&doctor.stdout).into_owned();
            assert!(printed.contains(&format!("{} has the events up to then", file.display())), "{printed}");
            home.run_ok(&["restore", &file.display().to_string()]);
            assert!(stored_webhooks(&home.db()).is_superset(&acknowledged), "{case}");
        }
    }
}

/// An idle daemon finds the loss too: nobody could find it after its end.
#[test]
fn idle_daemon_rescues_a_deleted_database() {
    let home = Home::new("");
    let mut daemon = home.serve();
    daemon.send_order("w1", &order_body(1)).event_id();
    home.wait_until_processed();
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(home.path(&format!("events.db{suffix}"))).unwrap();
    }
    assert_eq!(daemon.child.wait().unwrap().code(), Some(1));
    let rescued = find_files(&home, "events.db.rescued-");
    assert_eq!(stored_webhooks(&rescued[0]), BTreeSet::from(["w1".to_owned()]));
}

/// The file is empty at once, so only the WAL still has events. A start keeps it under another name.
#[test]
fn emptied_database_acknowledges_nothing_and_its_wal_stays() {
    let home = Home::new("");
    let mut daemon = home.serve();
    let wal = home.path("events.db-wal");
    let acknowledged = send_until_end(&mut daemon, "w", || {
        fs::OpenOptions::new().write(true).open(home.db()).unwrap().set_len(0).unwrap();
    });
    assert!(acknowledged.len() >= 200 && home.log().contains("deleted or replaced"), "{}", home.log());
    assert!(!wal.exists() || fs::metadata(&wal).unwrap().len() > 0);
    home.serve().stop();
    home.assert_consistent();
    let kept = find_files(&home, "events.db.lost-");
    assert_eq!(kept.len(), 1, "{}", home.log());
    assert!(fs::metadata(&kept[0]).unwrap().len() > 0);
}

/// A kill leaves a WAL. If somebody then deletes the database alone, the WAL may be the only copy of events.
#[test]
fn wal_without_its_database_is_set_aside() {
    let home = Home::new("");
    let mut daemon = home.serve();
    daemon.send_order("w1", &order_body(1)).event_id();
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    fs::rename(home.db(), home.path("kept.db")).unwrap();
    let bytes = fs::read(home.path("events.db-wal")).unwrap();
    // A command that reads does not touch it.
    assert!(!home.run(&["events", "list"]).status.success());
    fs::write(home.db(), b"").unwrap();
    assert!(!home.run(&["events", "list"]).status.success());
    assert!(fs::read(home.path("events.db-wal")).unwrap() == bytes);
    home.serve().stop();
    let kept = find_files(&home, "events.db.lost-");
    assert!(fs::read(&kept[0]).unwrap() == bytes);
    // Together with its database it is complete.
    fs::rename(&kept[0], home.path("kept.db-wal")).unwrap();
    assert_eq!(stored_webhooks(&home.path("kept.db")), BTreeSet::from(["w1".to_owned()]));
}

#[test]
fn backups_of_a_lost_database_stay_until_an_operator_decides() {
    let home = Home::new("");
    let daemon = home.serve();
    daemon.send_order("w1", &order_body(1)).event_id();
    daemon.stop();
    let directory = home.path("backups").display().to_string();
    let backup = |keep: &str| {
        let printed = home.run_ok(&["backup", &directory, "--keep", keep, "--json"]);
        serde_json::from_str::<serde_json::Value>(&printed).unwrap()
    };
    let doctor = || String::from_utf8_lossy(&home.run(&["doctor", "--json"]).stdout).into_owned();
    let first = PathBuf::from(backup("2")["file"].as_str().unwrap());
    assert!(!doctor().contains("earlier database"), "{}", doctor());
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(&format!("events.db{suffix}")));
    }
    let printed = doctor();
    assert!(printed.contains("does not exist, but backups of it do"), "{printed}");
    assert!(printed.contains(&format!("restore {}", first.display())) && !printed.contains("`serve` creates it"));
    // The new database has no event yet.
    home.serve().stop();
    for removed in [0, 1, 1] {
        assert_eq!(backup("1")["removed"], removed);
        let printed = doctor();
        assert!(first.exists() && printed.contains("of another, earlier database"), "{printed}");
    }
    home.run_ok(&["restore", &first.display().to_string()]);
    assert_eq!(home.sql("SELECT webhook_id FROM webhook_events"), "w1");
    // The backups of the database in between are the other ones now.
    fs::create_dir(home.path("kept")).unwrap();
    for file in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
        if file != first {
            fs::rename(&file, home.path("kept").join(file.file_name().unwrap())).unwrap();
        }
    }
    assert!(!doctor().contains("earlier database"), "{}", doctor());
}

/// `.dump` keeps neither the application id nor the schema version nor `auto_vacuum`.
#[test]
fn reloaded_dump_is_recognised_and_the_printed_command_marks_it() {
    let home = Home::new("");
    let daemon = home.serve();
    assert_eq!(daemon.send_order("w", &order_body(1)).status, 200);
    daemon.stop();
    let run_shell = |command: &str| {
        let output = Command::new("sh").args(["-ec", command]).current_dir(home.path("")).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run_shell("sqlite3 events.db .dump > dump.sql; rm events.db; sqlite3 events.db < dump.sql");
    let refused = home.run(&["events", "list"]);
    let printed = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && printed.contains("has the tables of novex-ingest"), "{printed}");
    let command = printed.split('`').find(|part| part.starts_with("sqlite3 ")).unwrap();
    run_shell(command);
    assert_eq!(run_shell("sqlite3 events.db 'PRAGMA auto_vacuum; PRAGMA page_size'"), "2\n8192\n");
    let daemon = home.serve();
    assert!(daemon.send_order("w", &order_body(1)).is_duplicate());
    assert_eq!(daemon.send_order("w2", &order_body(2)).status, 200);
    drop(daemon);
    home.assert_consistent();
}
