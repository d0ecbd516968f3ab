//! A directory with configuration and secrets, in which a test runs daemons, workers and commands.

use super::{
    BIN, Daemon, EASYPOST_SECRET, KEYCLOAK_SECRET, OLD_SECRET, OTHER_SECRET, OTHER_SHOP, SECRET, SHOP, WAIT_MAX, sql,
    wait_until,
};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A directory with configuration, secrets, database and log; removed on drop.
pub struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    /// Creates a home; `extra` is appended to its configuration as in [`Home::configure`].
    pub fn new(extra: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = Self { directory };
        for (name, secret) in [
            ("acme", SECRET),
            ("acme-old", OLD_SECRET),
            ("other", OTHER_SECRET),
            ("easypost", EASYPOST_SECRET),
            ("keycloak", KEYCLOAK_SECRET),
        ] {
            // An editor leaves a line end.
            fs::write(home.path(name), format!("{secret}\n")).unwrap();
        }
        home.configure(extra);
        home
    }

    /// Replaces the configuration. `extra` follows the provider tables; its `[server]`, `[store]` and `[retention]`
    /// replace the defaults. The path `"DB"` in it becomes the path of the database.
    pub fn configure(&self, extra: &str) {
        let server = if extra.contains("[server]") { "" } else { "[server]\nlisten = \"127.0.0.1:0\"\n" };
        let console = if extra.contains("[console]") { "" } else { "[console]\nlisten = \"127.0.0.1:0\"\n" };
        let store = if extra.contains("[store]") { "" } else { "[store]\npath = \"DB\"\n" };
        // The disk of the machine that runs the tests may be almost full; only tests of that state depend on it.
        let retention =
            if extra.contains("[retention]") { "" } else { "[retention]\nwarn_percent = 100\nsqueeze_percent = 100\n" };
        let text = format!(
            "{server}{console}{store}{retention}\
             [[shopify.shops]]\ndomain = \"{SHOP}\"\nsecrets = [\"file:acme\", \"file:acme-old\"]\n\
             [[shopify.shops]]\ndomain = \"{OTHER_SHOP}\"\nsecrets = [\"file:other\"]\n\
             [easypost]\nsecrets = [\"file:easypost\"]\n\
             [keycloak]\nsecrets = [\"file:keycloak\"]\n{extra}\n"
        );
        fs::write(self.config(), text.replace("\"DB\"", &format!("{:?}", self.db().display().to_string()))).unwrap();
    }

    /// Replaces `from` by `to` in the configuration.
    pub fn edit_config(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.config()).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        fs::write(self.config(), text.replace(from, to)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    pub fn db(&self) -> PathBuf {
        self.path("events.db")
    }

    /// Returns a command of the binary with this home's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .env("TZ", "UTC")
            .env_remove("NOVEX_CONFIG")
            .env_remove("JOURNAL_STREAM");
        command
    }

    /// Runs a command and waits for its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs a command that must succeed; returns its standard output.
    pub fn run_ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Returns the output of Debian's sqlite3 for a query on the database.
    pub fn sql(&self, query: &str) -> String {
        sql(&self.db(), query)
    }

    /// Returns the number that a query gives.
    pub fn count(&self, query: &str) -> i64 {
        let text = self.sql(query);
        text.parse().unwrap_or_else(|_| panic!("{query} gives {text:?}"))
    }

    /// Returns the status of an event, with its error or note.
    pub fn outcome(&self, event: i64) -> String {
        self.sql(&format!(
            "SELECT status || ': ' || coalesce(last_error, note, '') FROM webhook_events WHERE id = {event}"
        ))
    }

    /// Checks that an event failed at its first attempt, changed nothing, and states `reason`.
    pub fn assert_refused(&self, event: i64, reason: &str) {
        let found = self.outcome(event);
        assert!(found.starts_with("failed: nothing was changed") && found.contains(reason), "event {event}: {found}");
        assert_eq!(self.sql(&format!("SELECT attempts FROM webhook_events WHERE id = {event}")), "1", "no retry");
    }

    /// Starts the daemon and waits for its ready line.
    pub fn serve(&self) -> Daemon<'_> {
        self.serve_with(self.command(&["serve"]))
    }

    /// Starts the daemon by another command, for example under strace, and waits for its ready line.
    pub fn serve_with(&self, mut command: Command) -> Daemon<'_> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the daemon starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("novex-ingest ready https://").unwrap_or_else(|| {
            panic!("the daemon printed {line:?}; its log: {}", self.log());
        });
        Daemon { address: address.parse().unwrap(), child, home: self }
    }

    /// Starts a worker process, `novex-ingest work`.
    pub fn spawn_worker(&self) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        self.command(&["work"]).stdout(Stdio::null()).stderr(log).spawn().expect("the worker starts")
    }

    /// Waits until the log contains a text at least `times` times.
    pub fn wait_for_log(&self, text: &str, times: usize) {
        wait_until(|| self.log().matches(text).count() >= times, || format!("no {text:?} in {}", self.log()));
    }

    /// Returns the log of the daemons and workers.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until a query gives `expected`.
    pub fn wait_for(&self, query: &str, expected: &str) {
        let start = Instant::now();
        loop {
            let result = self.sql(query);
            if result == expected {
                return;
            }
            assert!(start.elapsed() < WAIT_MAX, "{query} gives {result:?}, not {expected:?}; log: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until no event is received or processing.
    pub fn wait_until_processed(&self) {
        self.wait_for("SELECT count(*) FROM queue", "0");
    }

    /// Checks the database's integrity, its foreign keys, and its stored counts against the rows.
    pub fn assert_consistent(&self) {
        assert_eq!(self.sql("PRAGMA integrity_check"), "ok");
        assert_eq!(self.sql("PRAGMA foreign_key_check"), "");
        assert_eq!(
            self.sql("SELECT source, status, events FROM event_counts WHERE events <> 0 ORDER BY 1, 2"),
            self.sql("SELECT source, status, count(*) FROM webhook_events WHERE test = 0 GROUP BY 1, 2 ORDER BY 1, 2"),
            "event_counts agrees with webhook_events"
        );
    }
}
