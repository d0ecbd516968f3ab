//! The database and what waits in it.

use super::Findings;
use crate::cli::clock;
use crate::cli::output::{bytes, span};
use crate::clock as time;
use crate::config::Config;
use crate::store::backup;
use crate::store::checkup::{self, Checkup};
use crate::store::migrate;
use crate::store::reader::Reader;
use crate::store::with_end;
use std::fs;
use std::path::{Path, PathBuf};

/// A queue that is worked has nothing older than this.
const OVERDUE_SECONDS: u64 = 900;
/// Traces go within hours, unless somebody holds the file.
const UNSCRUBBED_SECONDS: u64 = 86_400;
/// Backups are made each night.
const BACKUP_SECONDS: u64 = 2 * 86_400;
/// Others' clocks may differ by so much.
const AHEAD_SECONDS: u64 = 300;

pub(super) fn look(config: &Config, findings: &mut Findings) {
    let checkup = Reader::open(&config.store.path, 1)
        .and_then(|reader| reader.read(|connection| checkup::read(connection, clock().now())));
    let mut first = None;
    match checkup {
        Ok(checkup) => {
            first = checkup.first;
            events(&checkup, findings);
            handed_on(&checkup, findings);
            owed(&checkup, findings);
        }
        Err(error) => {
            let mend =
                "The message says what; if the file is damaged, put a backup in its place: novex-ingest restore FILE.";
            findings.wrong("database", error.to_string(), mend);
        }
    }
    wal(config, findings);
    backup(config, first, findings);
}

/// Seconds from then until now, by this box's clock; `None` for what lies ahead.
fn since(text: &str) -> Option<u64> {
    let (then, now) = (time::parse(text).ok()?, clock().now());
    (then <= now).then(|| time::between(then, now).as_secs())
}

fn events(checkup: &Checkup, findings: &mut Findings) {
    if checkup.version < migrate::VERSION {
        let mend = "Start the daemon: it makes a copy beside it and brings it up to date.";
        findings.note(
            "database",
            format!("its schema is {}, this version writes {}", checkup.version, migrate::VERSION),
            mend,
        );
    } else {
        findings.well("database", format!("schema {}", checkup.version));
    }
    if let Some(newest) = &checkup.newest
        && since(newest).is_none()
        && time::parse(newest).is_ok_and(|newest| time::between(clock().now(), newest).as_secs() > AHEAD_SECONDS)
    {
        let mend = "Check this box's clock (date; timedatectl): what is due waits until it has caught up.";
        findings.wrong(
            "clock",
            format!("the newest event came at {newest}, which is still to come: the clock was set back"),
            mend,
        );
    }
    if checkup.stuck > 0 {
        let mend = "A running daemon or `work` takes them over within a second: start it. Otherwise see journalctl -u novex-ingest.";
        findings.wrong("queue", format!("{} events are held by nobody who lives", checkup.stuck), mend);
    }
    match checkup.overdue.as_deref().and_then(since) {
        Some(seconds) if seconds > OVERDUE_SECONDS => {
            let mend = "Is somebody working? worker.in_serve, or novex-ingest-work.timer; journalctl -u novex-ingest";
            findings.wrong("queue", format!("an event is due since {}", span(seconds)), mend);
        }
        _ => findings.well("queue", "nothing waits for long"),
    }
    if checkup.failed > 0 {
        let last = checkup.failed_last.as_deref().unwrap_or_default();
        let said = format!("{} events failed for good; the last one, {last}", checkup.failed);
        findings.note(
            "events",
            said,
            "novex-ingest events list --status failed; when the cause is mended, novex-ingest events retry",
        );
    }
}

fn handed_on(checkup: &Checkup, findings: &mut Findings) {
    for (destination, count) in &checkup.undelivered {
        let mend = format!("novex-ingest destinations test {destination}; then novex-ingest events retry");
        findings.note("destinations", format!("{count} deliveries to {destination} failed for good"), mend);
    }
    for destination in &checkup.paused {
        findings.note(
            "destinations",
            format!("{destination} is held by a person"),
            format!("novex-ingest destinations resume {destination}"),
        );
    }
    for (source, error) in &checkup.unpolled {
        findings.wrong(
            "edi",
            format!("{source} could not be polled: {error}"),
            format!("novex-ingest sps poll --source {source}"),
        );
    }
}

/// What the law gives a time for.
fn owed(checkup: &Checkup, findings: &mut Findings) {
    if let Some((id, due)) = &checkup.data_request {
        let said = format!("a customer asked for their data, to be answered by {due}");
        let mend =
            format!("novex-ingest privacy export {id}; when the shop's owner has it: novex-ingest privacy done {id}");
        if time::parse(due).is_ok_and(|due| due < clock().now()) {
            findings.wrong("privacy", format!("{said}: that is over"), mend);
        } else {
            findings.note("privacy", said, mend);
        }
    }
    if let Some(at) = checkup.unscrubbed.as_deref().filter(|at| since(at).is_some_and(|past| past > UNSCRUBBED_SECONDS))
    {
        findings.note(
            "privacy",
            format!("what was erased at {at} may still stand in the file's free pages"),
            "novex-ingest privacy scrub, when nobody has a sqlite3 shell open",
        );
    }
}

fn wal(config: &Config, findings: &mut Findings) {
    let Ok(size) = fs::metadata(with_end(&config.store.path, "-wal")).map(|data| data.len()) else { return };
    if size < config.store.wal_bytes * 8 {
        return findings.well("wal", bytes(size));
    }
    let holders = holders(&config.store.path);
    let who = if holders.is_empty() { "nobody that can be seen from here".to_owned() } else { holders.join(", ") };
    let mend =
        "Close the reader that holds it, such as a sqlite3 shell with an open transaction; it shrinks by itself then.";
    findings.wrong("wal", format!("{} and cannot shrink; the database is open in {who}", bytes(size)), mend);
}

/// Other processes that have the file open; root sees all of them.
fn holders(database: &Path) -> Vec<String> {
    let Ok(database) = fs::canonicalize(database) else { return Vec::new() };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target: PathBuf| target == database)
        })
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} ({pid})", name.trim())
        })
        .collect()
}

fn directory(config: &Config) -> PathBuf {
    config.store.path.parent().unwrap_or(Path::new(".")).join("backups")
}

fn backup(config: &Config, first: Option<i64>, findings: &mut Findings) {
    let directory = directory(config);
    let written = |path: &PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    let newest = backup::beside(&config.store.path).into_iter().filter_map(|path| Some((written(&path)?, path))).max();
    let mend = "systemctl enable --now novex-ingest-backup.timer, and send the copies to another disk: `novex-ingest backup DIR`";
    let Some((at, path)) = newest else {
        return findings.note("backup", format!("there is none in {}", directory.display()), mend);
    };
    // Proved when it was made; whether it still is what it was takes as long as reading it: `restore --check`.
    if let Err(error) = backup::look(&path) {
        return findings.wrong(
            "backup",
            format!("the newest is of no use: {error}"),
            "novex-ingest backup DIR makes another.",
        );
    }
    if let (Some(last), Some(first)) = (backup::last_event(&path), first)
        && first > last + backup::GAP / 2
    {
        findings.note(
            "database",
            "it was begun anew, because there was none; what came before is in the backups alone",
            format!("If it was lost: stop the service, then novex-ingest restore {}", path.display()),
        );
    }
    let age = at.elapsed().map_or(0, |age| age.as_secs());
    let said = format!("the newest in {} is {} old", directory.display(), span(age));
    if age > BACKUP_SECONDS {
        findings.note("backup", said, mend);
    } else {
        findings.well("backup", said);
    }
}
