//! `type = "command"`: a program with the event on its standard input.
//!
//! Exit status 0: it has the event. 75 (`EX_TEMPFAIL` of sysexits.h): not now, try again. Anything else, and a signal: it refuses
//! this event. Who the event is stands in its environment, `NOVEX_EVENT_ID` first: the program must take the same id once.
//!
//! It runs as the daemon's user, cannot gain rights (`no_new_privs`: no sudo, no set-uid program), may open 1,024 files and leaves
//! no core; it has nothing of the daemon's environment but PATH, and a process group of its own, which is killed as a whole when
//! the time is over. What the unit forbids the daemon, it forbids the program. What it prints is kept up to a limit, with the delivery and never in the log: it may hold a
//! customer's data.

use super::{Fate, Parcel};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use rustix::thread::set_no_new_privs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStderr;

/// `EX_TEMPFAIL`.
const TRY_AGAIN: i32 = 75;
/// Most of its output that is read; the rest is let run.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Most of its last words that are kept.
const LAST_WORDS_BYTES: usize = 500;

/// Files it may have open at once: the daemon's own limit is far higher.
const FILES_MAX: u64 = 1_024;

/// How long its last words are waited for when it has ended.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);

/// A program that runs, with whatever it has started: killed when this is dropped, also when the daemon stops meanwhile.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A program and its arguments.
#[derive(Debug, Clone)]
pub struct Command {
    program: PathBuf,
    arguments: Vec<String>,
    timeout: Duration,
}

impl Command {
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<String>, timeout: Duration) -> Self {
        Self { program, arguments, timeout }
    }

    pub(super) async fn deliver(&self, parcel: &Parcel) -> Fate {
        // Of this thread and what it starts. The daemon has no use for more rights either.
        if let Err(error) = set_no_new_privs(true) {
            let error = format!("{} is not started: its rights cannot be bounded: {error}", self.program.display());
            return Fate::Unreachable { error, at: None, reached: false, connected: false };
        }
        let child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("NOVEX_EVENT_ID", parcel.event_id.to_string())
            .env("NOVEX_SOURCE", &parcel.source)
            .env("NOVEX_TOPIC", &parcel.topic)
            .env("NOVEX_SHOP_DOMAIN", &parcel.shop_domain)
            .env("NOVEX_ATTEMPT", parcel.attempt.to_string())
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                let error = format!("{} cannot be started: {error}", self.program.display());
                return Fate::Unreachable { error, at: None, reached: false, connected: false };
            }
        };
        let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        // Before it is given anything. One that has ended already has no limits to set.
        for (resource, most) in [(Resource::Core, 0), (Resource::Nofile, FILES_MAX)] {
            let _ = prlimit(group.0, resource, Rlimit { current: Some(most), maximum: Some(most) });
        }
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let run = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A program may end without having read everything; its exit status says what that means.
                    let _ = stdin.write_all(&parcel.body).await;
                }
            };
            // It is over when the program is: a child that it left behind may hold its standard error for ever.
            let listen = tokio::spawn(last_words(stderr));
            let ((), status) = tokio::join!(write, child.wait());
            let said =
                tokio::time::timeout(LAST_WORDS_TIME, listen).await.ok().and_then(Result::ok).unwrap_or_default();
            (status, said)
        };
        let ended = tokio::time::timeout(self.timeout, run).await;
        if ended.is_ok() {
            group.0 = None;
        }
        drop(group);
        match ended {
            Err(_late) => Fate::Unreachable {
                error: format!("it ran longer than {:?} and was killed", self.timeout),
                at: None,
                reached: true,
                connected: true,
            },
            Ok((Err(error), _)) => Fate::Unreachable {
                error: format!("it cannot be waited for: {error}"),
                at: None,
                reached: true,
                connected: true,
            },
            Ok((Ok(status), said)) => match status.code() {
                Some(0) => Fate::Delivered,
                Some(TRY_AGAIN) => Fate::Unreachable {
                    error: with("exit status 75", &said),
                    at: None,
                    reached: false,
                    connected: true,
                },
                Some(code) => Fate::Refused { error: with(&format!("exit status {code}"), &said) },
                // Killed: by whoever stops the service or runs out of memory, which says nothing of the event.
                None => Fate::Unreachable {
                    error: with(&format!("it ended by {status}"), &said),
                    at: None,
                    reached: true,
                    connected: true,
                },
            },
        }
    }
}

fn with(what: &str, said: &str) -> String {
    if said.is_empty() { what.to_owned() } else { format!("{what}: {said}") }
}

/// Reads all, so that the program never waits, and gives the end of it.
async fn last_words(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let (mut kept, mut chunk) = (Vec::new(), vec![0; 8 << 10]);
    while let Ok(read) = stderr.read(&mut chunk).await {
        if read == 0 {
            break;
        }
        kept.extend_from_slice(&chunk[..read]);
        if kept.len() > OUTPUT_BYTES_MAX {
            kept.drain(..kept.len() - LAST_WORDS_BYTES);
        }
    }
    let start = kept.len().saturating_sub(LAST_WORDS_BYTES);
    // People read it on a terminal: nothing in it may steer that.
    String::from_utf8_lossy(&kept[start..]).trim().replace(|letter: char| letter.is_control() && letter != '\n', " ")
}
