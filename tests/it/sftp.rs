//! Polling a real OpenSSH server: keys and passwords, host keys, lost connections, forbidden deletions.

use crate::edi_files::{interchange, order_set};
use crate::util::Home;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An sshd of our own, as the user who runs the tests, with a key of ours.
struct Server {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    fn start(forced: &str) -> Self {
        Self::launch(forced, &[]).expect("a server")
    }

    /// One that takes root's password `right`, known in its own view of the file system only; `None` where that is not allowed.
    fn with_password() -> Option<Self> {
        let shadow = tempfile::NamedTempFile::new_in("/tmp").unwrap();
        let crypted = Command::new("perl").args(["-e", r#"print crypt("right", "\$6\$saltsalt\$")"#]).output().unwrap();
        fs::write(
            shadow.path(),
            format!("root:{}:20000::::::\nsshd:*:20000::::::\n", String::from_utf8_lossy(&crypted.stdout)),
        )
        .unwrap();
        let script = format!("mount --bind {} /etc/shadow && exec \"$@\"", shadow.path().display());
        let server = Self::launch("", &["unshare", "-m", "sh", "-c", &script, "sh"]);
        if server.is_none() {
            println!("skipped: a mount of its own is not allowed here (that needs root)");
        }
        server
    }

    fn launch(forced: &str, around: &[&str]) -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("sshd").tempdir_in("/tmp").unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        for key in ["host", "id", "other"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]).status();
            assert!(made.expect("ssh-keygen, of Debian's openssh-client").success());
        }
        fs::copy(at("id.pub"), at("authorized_keys")).unwrap();
        fs::create_dir(at("in")).unwrap();
        // As root sshd wants a place for its unprivileged child.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nUseDNS no\nStrictModes no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {}\nPasswordAuthentication {}\nMaxStartups 100\nSubsystem sftp internal-sftp\nForceCommand internal-sftp {forced}\n",
            at("host"),
            at("authorized_keys"),
            if around.is_empty() { "no" } else { "yes" }
        );
        fs::write(at("config"), config).unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let config = at("config");
        let command = [around, &["/usr/sbin/sshd", "-D", "-e", "-f", &config]].concat();
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd, of Debian's openssh-server");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if !around.is_empty() && child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{}", fs::read_to_string(at("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, port, directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn host_key(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap().split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path("in").join(name), text).unwrap();
    }

    /// A home whose one source is this server, behind `port`.
    fn home(&self, port: u16, key: &str, host_key: &str, more: &str) -> Home {
        let home = Home::new("");
        fs::copy(self.path(key), home.path("key")).unwrap();
        let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
        home.configure(&format!(
            "[worker]\nin_serve = false\nbackoff_base = \"10ms\"\nbackoff_max = \"40ms\"\n[sps]\ninterval = \"0s\"\n[[sps.sources]]\nname = \"acme\"\n\
             url = \"sftp://{}@127.0.0.1:{port}{}\"\nsecrets = [\"file:key\"]\nhost_key = \"{host_key}\"\nsettle = \"0s\"\n{more}\n",
            user.trim(),
            self.path("in").display()
        ));
        home.serve().stop();
        home
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn files(directory: &Path) -> usize {
    fs::read_dir(directory)
        .map_or(0, |entries| entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count())
}

fn error(home: &Home) -> String {
    let run = home.run(&["sps", "poll"]);
    assert_eq!(run.status.code(), Some(1));
    String::from_utf8_lossy(&run.stderr).into_owned()
}

/// A thousand files, two pollers at once that are killed now and then: each file once, none gone that is not stored.
#[test]
fn a_thousand_files_and_two_pollers() {
    let server = Server::start("");
    for file in 0..1000 {
        server.put(&format!("{file:04}.edi"), &interchange("850", &[order_set(&format!("PO{file}"), 1)]));
    }
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    let mut kills = 0;
    while files(&server.path("in")) > 0 {
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
    assert_eq!(files(&server.path("in/archive")), 1000);
    home.assert_sound();
}

#[test]
fn only_the_pinned_host_and_only_with_the_right_key() {
    let server = Server::start("");
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    let wrong = server.home(server.port, "id", &server.host_key("other"), "");
    let said = error(&wrong);
    assert!(said.contains("host key") || said.contains("common"), "{said}");
    let stranger = server.home(server.port, "other", &server.host_key("host"), "");
    assert!(error(&stranger).contains("refuses the login"), "{}", error(&stranger));
    fs::write(stranger.path("key"), "a-password").unwrap();
    assert!(error(&stranger).contains("refuses the login"));
    assert_eq!(files(&server.path("in")), 1, "nothing was taken");
    // The key that it showed first is the one from then on.
    let first = server.home(server.port, "id", "first-use", "after = \"leave\"");
    first.ok(&["sps", "poll"]);
    assert_eq!(first.sql("SELECT host_key FROM sps_sources"), server.host_key("host"));
    first.sql(&format!("UPDATE sps_sources SET host_key = '{}'", server.host_key("other")));
    assert!(error(&first).contains("could not be polled"));
}

/// A connection that ends in the middle of a file: nothing of it is stored, and the next poll takes it whole.
#[test]
fn a_connection_cut_in_the_middle_loses_nothing() {
    let server = Server::start("");
    let large = interchange("850", &[order_set("PO1", 1)]) + &" ".repeat(3 << 20);
    server.put("large.edi", &large);
    server.put("small.edi", &interchange("850", &[order_set("PO2", 1)]));
    // Lets so many bytes through to us, then cuts.
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
    assert!(error(&home).contains("could not be polled"));
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), "0");
    assert_eq!(files(&server.path("in")), 2);
    budget.store(u64::MAX, Ordering::SeqCst);
    home.ok(&["sps", "poll"]);
    assert_eq!(home.sql("SELECT length(body) FROM webhook_payloads ORDER BY 1 DESC LIMIT 1"), large.len().to_string());
    assert_eq!((files(&server.path("in")), files(&server.path("in/archive"))), (0, 2));
}

/// It may not be moved: it is stored once, the reason is kept, and it is known at the next poll.
#[test]
fn what_may_not_be_moved_is_stored_once() {
    let server = Server::start("-P remove,rename,posix-rename,mkdir");
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    for after in ["archive", "delete"] {
        let home = server.home(server.port, "id", &server.host_key("host"), &format!("after = \"{after}\""));
        for _ in 0..2 {
            assert!(home.ok(&["sps", "poll"]).contains("1 failed"));
        }
        assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), "1");
        assert_eq!(home.sql("SELECT status, last_error FROM sps_files"), "stored|permission denied");
    }
}

#[test]
fn a_password_opens_what_another_does_not() {
    let Some(server) = Server::with_password() else { return };
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    fs::write(home.path("key"), "wrong\n").unwrap();
    assert!(error(&home).contains("refuses the login of root"), "{}", error(&home));
    assert_eq!(files(&server.path("in")), 1);
    fs::write(home.path("key"), "right\n").unwrap();
    assert!(home.ok(&["sps", "poll"]).contains("1 taken"));
}

/// What is still written to is left alone, and taken whole when it is done.
#[test]
fn a_growing_file_is_taken_whole() {
    let server = Server::start("");
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    home.edit("settle = \"0s\"", "settle = \"3s\"");
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
        assert!(home.ok(&["sps", "poll"]).contains("0 taken"));
    }
    writer.join().unwrap();
    let start = Instant::now();
    while !home.ok(&["sps", "poll"]).contains("1 taken") {
        assert!(start.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(home.sql("SELECT count(*), max(length(body)) FROM webhook_payloads"), format!("1|{}", whole.len()));
}

/// A backup off this box: whole, and so many of them are kept there.
#[test]
fn backups_go_to_a_server() {
    let server = Server::start("");
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    fs::create_dir_all(server.path("copies")).unwrap();
    for old in ["novex-ingest-20250101T000000Z.db", "novex-ingest-20250102T000000Z.db", "theirs.db"] {
        fs::write(server.path("copies").join(old), "x").unwrap();
    }
    let section = fs::read_to_string(home.path("config.toml")).unwrap();
    let url = section.lines().find(|line| line.contains("sftp://")).unwrap().replace("/in", "/copies");
    let more = format!(
        "[backup]\n{url}\nsecrets = [\"file:key\"]\nhost_key = \"{}\"\nkeep = 2\n[sps]\n",
        server.host_key("host")
    );
    home.edit("[sps]\n", &more);
    let made = home.path("made").display().to_string();
    fs::create_dir(home.path("made")).unwrap();
    home.ok(&["backup", &made, "--upload"]);
    let mut there: Vec<_> =
        fs::read_dir(server.path("copies")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    there.sort();
    let own = fs::read_dir(home.path("made")).unwrap().next().unwrap().unwrap().file_name();
    assert_eq!(there, ["novex-ingest-20250102T000000Z.db".into(), own.clone(), "theirs.db".into()]);
    assert_eq!(fs::read(server.path("copies").join(&own)).unwrap(), fs::read(home.path("made").join(&own)).unwrap());
    home.edit("/copies", "/nowhere");
    let failed = home.run(&["backup", &home.path("x.db").display().to_string(), "--upload"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(
        failed.status.code() == Some(1) && said.contains("is made and proved, but") && said.contains("no directory"),
        "{said}"
    );
    assert!(home.path("x.db").exists());
}

/// What goes out is put at a server, whole, once, and again when it could not be.
#[test]
fn documents_go_out_to_a_directory_of_the_server() {
    let server = Server::start("");
    let home = server.home(server.port, "id", &server.host_key("host"), "");
    let outgoing = format!("[sps]\noutgoing = \"acme:{}\"\n", server.path("to").display());
    home.edit("[sps]\n", &outgoing);
    server.put("a.edi", &interchange("850", &[order_set("PO1", 1)]));
    home.ok(&["sps", "poll"]);
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT status FROM destination_deliveries"), "pending", "there is no such directory yet");
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
        home.ok(&["work", "--once"]);
    }
    let there: Vec<_> = fs::read_dir(server.path("to")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(there.len(), 1, "and nothing unfinished: {there:?}");
    let text = fs::read_to_string(&there[0]).unwrap();
    assert_eq!(text, home.sql("SELECT CAST(body AS TEXT) FROM webhook_payloads ORDER BY event_id DESC LIMIT 1") + "\n");
    // A key that is not pinned is not trusted with what goes out.
    home.edit(&server.host_key("host"), "first-use");
    let check = home.run(&["config", "check"]);
    assert!(String::from_utf8_lossy(&check.stderr).contains("whose key is not pinned"), "{check:?}");
}
