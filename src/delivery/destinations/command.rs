//! `type = "command"`: runs a program with the event on its standard input.
//!
//! Exit status 0 means that the program has the event. 75 (`EX_TEMPFAIL` of sysexits.h) requests a later attempt. Any
//! other status rejects the event. Its environment identifies the event, first of all by `NOVEX_EVENT_ID`: the program
//! must process each id only once.
//!
//! The program runs as the daemon's user. It cannot gain privileges (`no_new_privs`: no sudo, no set-uid program), can
//! open 1,024 files and leaves no core dump. From the daemon's environment it gets only PATH. Its process group is
//! killed as a whole after the timeout. All restrictions of the daemon's systemd unit apply to it. Its standard error
//! is stored with the delivery, up to a limit, and never logged, because it can contain personal data.

use crate::delivery::destinations::{OutboundEvent, SendResult};
use crate::delivery::payload::to_variable;
use crate::http_client::ANSWER_CHARS_MAX;
use crate::store::leases::delivery_outcomes::Cause;
use crate::text::{escape_hidden_chars, keep_last_chars};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use rustix::thread::set_no_new_privs;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr};

/// `EX_TEMPFAIL` of sysexits.h.
const EXIT_TEMPFAIL: i32 = 75;
/// Most bytes of standard error in memory; the program can write more.
const STDERR_BYTES_MAX: usize = 64 << 10;
/// Most bytes from the end of standard error that are read as text, and most characters of it that are stored.
const STDERR_TAIL_BYTES: usize = 4 * (ANSWER_CHARS_MAX + 1);

/// Most open files of the program; the daemon's own limit is far higher.
const OPEN_FILES_MAX: u64 = 1_024;

/// Wait for the end of standard error after the program ended.
const STDERR_TAIL_TIMEOUT: Duration = Duration::from_secs(1);

/// Process group of a running program. Dropping it kills the group, also if the daemon stops meanwhile.
struct ProcessGroup(Option<Pid>);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Program with its arguments.
#[derive(Debug, Clone)]
pub struct CommandDestination {
    program: PathBuf,
    arguments: Vec<String>,
    timeout: Duration,
}

impl CommandDestination {
    /// Creates a destination that runs a program.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<String>, timeout: Duration) -> Self {
        Self { program, arguments, timeout }
    }

    pub(crate) async fn send(&self, outbound: &OutboundEvent) -> SendResult {
        // The flag applies to this thread and the processes that it starts. The daemon needs no further privileges
        // either.
        if let Err(error) = set_no_new_privs(true) {
            let error = format!("{} is not started: no_new_privs cannot be set: {error}", self.program.display());
            return SendResult::Unavailable { error, retry_at: None, cause: Cause::NotReached };
        }
        let mut child = match self.spawn(outbound) {
            Ok(child) => child,
            Err(error) => {
                let error = format!("{} cannot be started: {error}", self.program.display());
                return SendResult::Unavailable { error, retry_at: None, cause: Cause::NotReached };
            }
        };
        let mut group = ProcessGroup(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
        // The limits are set before the program gets any input. Setting them fails only if it has already ended.
        for (resource, limit) in [(Resource::Core, 0), (Resource::Nofile, OPEN_FILES_MAX)] {
            let _ = prlimit(group.0, resource, Rlimit { current: Some(limit), maximum: Some(limit) });
        }
        let ended = tokio::time::timeout(self.timeout, run_to_end(&mut child, &outbound.body)).await;
        if ended.is_ok() {
            group.0 = None;
        }
        drop(group);
        let unavailable = |error, cause| SendResult::Unavailable { error, retry_at: None, cause };
        match ended {
            Err(_late) => {
                unavailable(format!("it ran longer than {:?} and was killed", self.timeout), Cause::FailedOnDelivery)
            }
            Ok((Err(error), _)) => {
                unavailable(format!("its exit status cannot be read: {error}"), Cause::FailedOnDelivery)
            }
            Ok((Ok(status), stderr)) => match status.code() {
                Some(0) => SendResult::Delivered,
                Some(EXIT_TEMPFAIL) => unavailable(append_stderr("exit status 75", &stderr), Cause::NotReceived),
                Some(code) => SendResult::Rejected { error: append_stderr(&format!("exit status {code}"), &stderr) },
                // A signal ended it, for example at a stop of the service or without memory. That is no answer about
                // the event.
                None => unavailable(append_stderr(&format!("it ended by {status}"), &stderr), Cause::FailedOnDelivery),
            },
        }
    }

    fn spawn(&self, outbound: &OutboundEvent) -> io::Result<Child> {
        let (document_type, partner) = outbound
            .edi
            .as_ref()
            .map_or(("", ""), |edi| (edi.document_type.as_str(), edi.partner.as_deref().unwrap_or_default()));
        tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("NOVEX_EVENT_ID", outbound.event.id.to_string())
            .env("NOVEX_SOURCE", outbound.source_name())
            .env("NOVEX_TOPIC", &*to_variable(&outbound.event.key.topic))
            .env("NOVEX_SHOP_DOMAIN", &*to_variable(&outbound.event.key.shop_domain))
            .env("NOVEX_ATTEMPT", outbound.attempt.to_string())
            .env("NOVEX_CONTENT_TYPE", outbound.format.media_type())
            .env("NOVEX_FILE_NAME", &*to_variable(&outbound.file_name()))
            .env("NOVEX_DOCUMENT_TYPE", &*to_variable(document_type))
            .env("NOVEX_PARTNER", &*to_variable(partner))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

/// Writes the body to a program and waits for its end. Returns its exit status and the end of its standard error.
async fn run_to_end(child: &mut Child, body: &[u8]) -> (io::Result<ExitStatus>, String) {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program may end without reading everything. Its exit status alone decides.
            let _ = stdin.write_all(body).await;
        }
    };
    // The end of the program counts, because a child that it leaves behind can keep standard error open.
    let tail = tokio::spawn(read_stderr_tail(stderr));
    let ((), status) = tokio::join!(write, child.wait());
    let tail = tokio::time::timeout(STDERR_TAIL_TIMEOUT, tail).await.ok().and_then(Result::ok).unwrap_or_default();
    (status, tail)
}

fn append_stderr(outcome: &str, stderr: &str) -> String {
    if stderr.is_empty() { outcome.to_owned() } else { format!("{outcome}: {stderr}") }
}

/// Reads everything, so that the program never blocks, and returns the end of it.
async fn read_stderr_tail(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let (mut tail, mut chunk) = (Vec::new(), vec![0; 8 << 10]);
    while let Ok(read) = stderr.read(&mut chunk).await {
        if read == 0 {
            break;
        }
        tail.extend_from_slice(&chunk[..read]);
        if tail.len() > STDERR_BYTES_MAX {
            tail.drain(..tail.len() - STDERR_TAIL_BYTES);
        }
    }
    let start = tail.len().saturating_sub(STDERR_TAIL_BYTES);
    keep_last_chars(&escape_hidden_chars(String::from_utf8_lossy(&tail[start..]).trim()), ANSWER_CHARS_MAX)
}
