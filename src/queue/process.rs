//! Identifies the process that owns a lease, and checks whether it still runs.
//!
//! People read `hostname:pid`, but the system reuses a pid. A lease therefore also names the boot, the pid namespace
//! and the start time of the process. Together they identify one process for good.

use crate::store::leases::LeaseOwner;
use crate::store::leases::begun::read_boot_id;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs;

/// Returns this process as a lease owner.
#[must_use]
pub fn identify_current_process() -> LeaseOwner {
    let name = rustix::system::uname();
    let host = name.nodename().to_string_lossy().into_owned();
    let pid = std::process::id();
    let process = match read_process_state(pid) {
        ProcessState::Alive(token) => token,
        ProcessState::Gone | ProcessState::Hidden => "unknown".to_owned(),
    };
    LeaseOwner { worker: format!("{host}:{pid}"), process }
}

/// Returns true if the owner's process has certainly ended. This process cannot see an owner on another host or in
/// another pid namespace: the lease of such an owner must expire.
#[must_use]
pub fn is_owner_dead(owner: &LeaseOwner, me: &LeaseOwner) -> bool {
    if owner == me {
        return false;
    }
    let (Some((owner_host, pid)), Some((my_host, _))) = (owner.worker.rsplit_once(':'), me.worker.rsplit_once(':'))
    else {
        return false;
    };
    if owner_host != my_host {
        return false;
    }
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let (Some(token), Some(my_token)) = (ProcessToken::parse(&owner.process), ProcessToken::parse(&me.process)) else {
        // A person wrote this claim by hand: only its pid identifies the process.
        return !is_pid_in_use(pid);
    };
    if token.boot_id != my_token.boot_id {
        return true;
    }
    if token.pid_namespace != my_token.pid_namespace {
        return false;
    }
    match read_process_state(pid) {
        ProcessState::Gone => true,
        ProcessState::Alive(current) => current != owner.process,
        // /proc does not show another user's process under ProtectProc=invisible: if the pid is in use, the lease must
        // expire.
        ProcessState::Hidden => !is_pid_in_use(pid),
    }
}

/// The state of a process, as /proc shows it.
enum ProcessState {
    /// The process has ended; only its entry is left, a zombie.
    Gone,
    /// The process runs; its token is `boot/namespace/start`.
    Alive(String),
    /// /proc shows no such process: there is none, or this user may not see it.
    Hidden,
}

fn read_process_state(pid: u32) -> ProcessState {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return ProcessState::Hidden };
    // The name of the command is in parentheses and may contain any character, so fields are counted from the last
    // parenthesis.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return ProcessState::Gone;
    }
    // starttime is field 22 of proc(5); the state, which was read above, is field 3.
    let start_time = fields.nth(18);
    let boot = read_boot_id().ok();
    let namespace = fs::read_link("/proc/self/ns/pid").ok();
    let (Some(start_time), Some(boot), Some(namespace)) = (start_time, boot, namespace) else {
        return ProcessState::Hidden;
    };
    let namespace = namespace.to_string_lossy();
    let namespace = namespace.trim_start_matches("pid:[").trim_end_matches(']');
    ProcessState::Alive(format!("{boot}/{namespace}/{start_time}"))
}

/// Returns true if any process has this pid, also one that this user may not see.
fn is_pid_in_use(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // EPERM: the process exists and belongs to another user.
    test_kill_process(pid) != Err(Errno::SRCH)
}

/// The parts of `boot/namespace/start` that are compared one by one.
struct ProcessToken<'a> {
    boot_id: &'a str,
    pid_namespace: &'a str,
}

impl<'a> ProcessToken<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let token = Self { boot_id: parts.next()?, pid_namespace: parts.next()? };
        parts.next().map(|_start| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_process() -> LeaseOwner {
        identify_current_process()
    }

    fn read_token(pid: u32) -> String {
        let ProcessState::Alive(token) = read_process_state(pid) else { panic!("process {pid} does not run") };
        token
    }

    #[test]
    fn current_process_is_alive() {
        assert!(!is_owner_dead(&own_process(), &own_process()));
        assert_eq!(own_process().worker.rsplit_once(':').unwrap().1, std::process::id().to_string());
    }

    #[test]
    fn reused_pid_is_a_different_process() {
        let (prefix, _) = own_process().process.rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(is_owner_dead(&LeaseOwner { process: format!("{prefix}/1"), ..own_process() }, &own_process()));
    }

    #[test]
    fn earlier_boot_is_dead_and_other_namespace_is_unknown() {
        let token = own_process().process;
        let parts: Vec<&str> = token.split('/').collect();
        let process = format!("earlier/{}/{}", parts[1], parts[2]);
        assert!(is_owner_dead(&LeaseOwner { process, ..own_process() }, &own_process()));
        let process = format!("{}/1/{}", parts[0], parts[2]);
        assert!(!is_owner_dead(&LeaseOwner { process, ..own_process() }, &own_process()));
    }

    #[test]
    fn owner_on_another_host_is_not_dead() {
        assert!(!is_owner_dead(&LeaseOwner { worker: "elsewhere:1".into(), process: "a/b/c".into() }, &own_process()));
    }

    #[test]
    fn killed_child_is_dead_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let host = own_process().worker.rsplit_once(':').unwrap().0.to_owned();
        let owner = LeaseOwner { worker: format!("{host}:{}", child.id()), process: read_token(child.id()) };
        assert!(!is_owner_dead(&owner, &own_process()));
        child.kill().unwrap();
        while !is_owner_dead(&owner, &own_process()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_owner_dead(&owner, &own_process()));
    }
}
