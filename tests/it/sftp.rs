//! Polling a real OpenSSH server: keys and passwords, host keys, lost connections, forbidden deletions.

use crate::support::Home;
use crate::support::edi_files::{interchange, order_set};
use crate::support::sftp_server::SftpServer;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn count_files(directory: &Path) -> usize {
    fs::read_dir(directory)
        .map_or(0, |entries| entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count())
}

fn poll_error(home: &Home) -> String {
    let run = home.run(&["sps", "poll"]);
    assert_eq!(run.status.code(), Some(1));
    String::from_utf8_lossy(&run.stderr).into_owned()
}

/// A thousand files and two pollers that are killed now and then: each file is stored once, and none is removed before.
#[test]
fn two_killed_pollers_fetch_a_thousand_files_once() {
    let server = SftpServer::start("");
    for file in 0..1000 {
        server.put(&format!("{file:04}.edi"), &interchange("850", &[order_set(&format!("PO{file}"), 1)]));
    }
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    let mut kills = 0;
    while count_files(&server.path("in")) > 0 {
        let mut pollers: Vec<Child> = (0..2)
            .map(|_| home.command(&["sps", "poll"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
            .collect();
        if kills < 4 {
            std::thread::sleep(Duration::from_millis(600));
            pollers[0].kill().unwrap();
            kills += 1;
        }
        for mut poller in pollers {
            poller.wait().unwrap();
        }
    }
    assert_eq!(home.sql("SELECT count(*), count(DISTINCT substr(webhook_id, 1, 8)) FROM webhook_events"), "1000|1000");
    assert_eq!(count_files(&server.path("in/archive")), 1000);
    home.assert_consistent();
}

#[test]
fn unpinned_host_and_wrong_key_are_refused() {
    let server = SftpServer::start("");
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    let wrong = server.home(server.port, "id", &server.host_key("other"), "");
    let printed = poll_error(&wrong);
    assert!(printed.contains("host key") || printed.contains("common"), "{printed}");
    let stranger = server.home(server.port, "other", &server.host_key("host"), "");
    assert!(poll_error(&stranger).contains("refuses the login"), "{}", poll_error(&stranger));
    fs::write(stranger.path("key"), "a-password").unwrap();
    assert!(poll_error(&stranger).contains("refuses the login"));
    assert_eq!(count_files(&server.path("in")), 1, "no file was fetched");
    // The first host key is pinned.
    let first = server.home(server.port, "id", "first-use", "after = \"leave\"");
    first.run_ok(&["sps", "poll"]);
    assert_eq!(first.sql("SELECT host_key FROM sps_sources"), server.host_key("host"));
    first.sql(&format!("UPDATE sps_sources SET host_key = '{}'", server.host_key("other")));
    assert!(poll_error(&first).contains("cannot be polled"));
}

/// A connection ends in the middle of a file: no part is stored, and the next poll fetches the whole file.
#[test]
fn cut_connection_loses_no_file() {
    let server = SftpServer::start("");
    let large = interchange("850", &[order_set("PO1", 1)]) + &" ".repeat(3 << 20);
    server.put("large.edi", &large);
    server.put("small.edi", &interchange("850", &[order_set("PO2", 1)]));
    // Forwards `budget` bytes from the server, then closes the connection.
    let budget = Arc::new(AtomicU64::new(400_000));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (left, target) = (budget.clone(), server.port);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(client), Ok(behind)) = (stream, TcpStream::connect(("127.0.0.1", target))) else { return };
            let (mut up_from, mut up_to) = (client.try_clone().unwrap(), behind.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
            let (mut from, mut to, left) = (behind, client, left.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 16 << 10];
                while let Ok(read @ 1..) = from.read(&mut buffer) {
                    let before =
                        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(read as u64));
                    if before.is_err() || to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(std::net::Shutdown::Both);
                let _ = from.shutdown(std::net::Shutdown::Both);
            });
        }
    });
    let home = server.home(port, "id", &server.host_key("host"), "timeout = \"20s\"");
    assert!(poll_error(&home).contains("cannot be polled"));
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), "0");
    assert_eq!(count_files(&server.path("in")), 2);
    budget.store(u64::MAX, Ordering::SeqCst);
    home.run_ok(&["sps", "poll"]);
    assert_eq!(home.sql("SELECT length(body) FROM webhook_payloads ORDER BY 1 DESC LIMIT 1"), large.len().to_string());
    assert_eq!((count_files(&server.path("in")), count_files(&server.path("in/archive"))), (0, 2));
}

/// The server forbids the move: the file is stored once, the reason is recorded, and the next poll knows the file.
#[test]
fn unmovable_file_is_stored_once() {
    let server = SftpServer::start("-P remove,rename,posix-rename,mkdir");
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    for after in ["archive", "delete"] {
        let home = server.home(server.port, "id", &server.host_key("host"), &format!("after = \"{after}\""));
        for _ in 0..2 {
            assert!(home.run_ok(&["sps", "poll"]).contains("1 failed"));
        }
        assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), "1");
        assert_eq!(home.sql("SELECT status, last_error FROM sps_files"), "stored|permission denied");
    }
}

#[test]
fn password_login_is_checked() {
    let Some(server) = SftpServer::with_password() else { return };
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    fs::write(home.path("key"), "wrong\n").unwrap();
    assert!(poll_error(&home).contains("refuses the login of root"), "{}", poll_error(&home));
    assert_eq!(count_files(&server.path("in")), 1);
    fs::write(home.path("key"), "right\n").unwrap();
    assert!(home.run_ok(&["sps", "poll"]).contains("1 file: 1 order"));
}

/// A growing file is skipped, and fetched whole when it is complete.
#[test]
fn growing_file_is_fetched_whole() {
    let server = SftpServer::start("");
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    home.edit_config("settle = \"0s\"", "settle = \"3s\"");
    let whole = interchange("850", &[order_set("PO1", 40)]);
    let (path, text) = (server.path("in").join("a.edi"), whole.clone());
    let writer = std::thread::spawn(move || {
        let mut file = fs::File::create(path).unwrap();
        for part in text.as_bytes().chunks(200) {
            file.write_all(part).unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    while !writer.is_finished() {
        assert!(home.run_ok(&["sps", "poll", "--json"]).contains("\"stored\":0,"));
    }
    writer.join().unwrap();
    let start = Instant::now();
    while !home.run_ok(&["sps", "poll"]).contains("1 file: 1 order") {
        assert!(start.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(home.sql("SELECT count(*), max(length(body)) FROM webhook_payloads"), format!("1|{}", whole.len()));
}

/// A backup to another machine is whole, and the given number of them is kept there.
#[test]
fn backups_are_uploaded_to_a_server() {
    let server = SftpServer::start("");
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    fs::create_dir_all(server.path("copies")).unwrap();
    let lineage = home.sql("SELECT id FROM database_lineage");
    let olds = ["20250101T000000Z", "20250102T000000Z"].map(|time| format!("novex-ingest-{time}-{lineage}.db"));
    // A backup of a lost database stays.
    let lost = "novex-ingest-20250101T000000Z-0badcafe.db";
    for old in [&olds[0], &olds[1], lost, "theirs.db"] {
        fs::write(server.path("copies").join(old), "x").unwrap();
    }
    let section = fs::read_to_string(home.path("config.toml")).unwrap();
    let url = section.lines().find(|line| line.contains("sftp://")).unwrap().replace("/in", "/copies");
    let more = format!(
        "[backup]\n{url}\nsecrets = [\"file:key\"]\nhost_key = \"{}\"\nkeep = 2\n[sps]\n",
        server.host_key("host")
    );
    home.edit_config("[sps]\n", &more);
    let made = home.path("made").display().to_string();
    fs::create_dir(home.path("made")).unwrap();
    home.run_ok(&["backup", &made, "--upload"]);
    let mut there: Vec<_> =
        fs::read_dir(server.path("copies")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    let own = fs::read_dir(home.path("made")).unwrap().next().unwrap().unwrap().file_name();
    assert_eq!(there, [lost.into(), olds[1].clone().into(), own.clone(), "theirs.db".into()]);
    assert_eq!(fs::read(server.path("copies").join(&own)).unwrap(), fs::read(home.path("made").join(&own)).unwrap());
    home.edit_config("/copies", "/nowhere");
    let failed = home.run(&["backup", &home.path("x.db").display().to_string(), "--upload"]);
    let printed = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(
        failed.status.code() == Some(1)
            && printed.contains("is made and verified, but")
            && printed.contains("no directory"),
        "{printed}"
    );
    assert!(home.path("x.db").exists());
}

/// An outbound document is uploaded whole and once, and again after a failure.
#[test]
fn documents_are_uploaded_to_the_server() {
    let server = SftpServer::start("");
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    let outgoing = format!("[sps]\noutgoing = \"acme:{}\"\n", server.path("to").display());
    home.edit_config("[sps]\n", &outgoing);
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    home.run_ok(&["sps", "poll"]);
    home.run_ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT status FROM destination_deliveries"), "pending", "the directory does not exist yet");
    let error = home.sql("SELECT last_error FROM destination_deliveries");
    assert!(error.contains("acme: there is no directory"), "{error}");
    fs::create_dir(server.path("to")).unwrap();
    let start = Instant::now();
    while home.sql("SELECT status FROM destination_deliveries") != "delivered" {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "{}",
            home.sql("SELECT last_error FROM destination_deliveries")
        );
        home.run_ok(&["work", "--once"]);
    }
    let there: Vec<_> = fs::read_dir(server.path("to")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(there.len(), 1, "no unfinished file: {there:?}");
    let text = fs::read_to_string(&there[0]).unwrap();
    assert_eq!(text, home.sql("SELECT CAST(body AS TEXT) FROM webhook_payloads ORDER BY event_id DESC LIMIT 1") + "\n");
    // A server with an unpinned key gets no documents.
    home.edit_config(&server.host_key("host"), "first-use");
    let check = home.run(&["config", "check"]);
    assert!(String::from_utf8_lossy(&check.stderr).contains("whose key is not pinned"), "{check:?}");
}
