//! Who holds a claim, and whether that process still lives.
//!
//! `hostname:pid` is what people read, but a pid comes back. So the claim also names the boot, the pid namespace and the
//! start time of the process: together they name one process for good.

use crate::store::claims::Holder;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::fs;

/// This process.
#[must_use]
pub fn current() -> Holder {
    let name = rustix::system::uname();
    let host = name.nodename().to_string_lossy().into_owned();
    let pid = std::process::id();
    let process = if let State::Living(token) = state(pid) { token } else { "unknown".to_owned() };
    Holder { worker: format!("{host}:{pid}"), process }
}

/// True when the holder's process is certainly gone. A holder on another host, or in another pid namespace, cannot be
/// seen from here: its lease decides.
#[must_use]
pub fn is_dead(holder: &Holder, me: &Holder) -> bool {
    if holder == me {
        return false;
    }
    let (Some((their_host, pid)), Some((my_host, _))) = (holder.worker.rsplit_once(':'), me.worker.rsplit_once(':'))
    else {
        return false;
    };
    if their_host != my_host {
        return false;
    }
    let Ok(pid) = pid.parse::<u32>() else { return false };
    let (Some(theirs), Some(mine)) = (Token::parse(&holder.process), Token::parse(&me.process)) else {
        // A claim that somebody wrote by hand: the pid is all there is to go by.
        return !exists(pid);
    };
    if theirs.boot != mine.boot {
        return true;
    }
    if theirs.namespace != mine.namespace {
        return false;
    }
    match state(pid) {
        State::Gone => true,
        State::Living(token) => token != holder.process,
        // Another user's process that /proc does not show, as under ProtectProc=invisible: its lease decides.
        State::Hidden => !exists(pid),
    }
}

/// What /proc shows of a process.
enum State {
    /// Only its remains.
    Gone,
    /// `boot/namespace/start`.
    Living(String),
    /// Nothing: there is none, or it is not ours to see.
    Hidden,
}

fn state(pid: u32) -> State {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return State::Hidden };
    // The command's name stands in parentheses and may hold anything, so fields are counted from the last one.
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return State::Gone;
    }
    // starttime is field 22 of proc(5), and the state was field 3.
    let began = fields.nth(18);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let namespace = fs::read_link("/proc/self/ns/pid").ok();
    let (Some(began), Some(boot), Some(namespace)) = (began, boot, namespace) else { return State::Hidden };
    let namespace = namespace.to_string_lossy();
    let namespace = namespace.trim_start_matches("pid:[").trim_end_matches(']');
    State::Living(format!("{}/{namespace}/{began}", boot.trim()))
}

/// Whether a process has this pid, ours to see or not.
fn exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    // EPERM says that it is there and is somebody else's.
    test_kill_process(pid) != Err(Errno::SRCH)
}

struct Token<'a> {
    boot: &'a str,
    namespace: &'a str,
}

impl<'a> Token<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let token = Self { boot: parts.next()?, namespace: parts.next()? };
        parts.next().map(|_start| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> Holder {
        current()
    }

    fn token(pid: u32) -> String {
        let State::Living(token) = state(pid) else { panic!("{pid} lives") };
        token
    }

    #[test]
    fn i_am_alive() {
        assert!(!is_dead(&me(), &me()));
        assert_eq!(me().worker.rsplit_once(':').unwrap().1, std::process::id().to_string());
    }

    #[test]
    fn the_same_pid_with_another_start_is_another_process() {
        let (rest, _) = me().process.rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(is_dead(&Holder { process: format!("{rest}/1"), ..me() }, &me()));
    }

    #[test]
    fn an_earlier_boot_is_dead_and_another_namespace_unknown() {
        let token = me().process;
        let parts: Vec<&str> = token.split('/').collect();
        let process = format!("earlier/{}/{}", parts[1], parts[2]);
        assert!(is_dead(&Holder { process, ..me() }, &me()));
        let process = format!("{}/1/{}", parts[0], parts[2]);
        assert!(!is_dead(&Holder { process, ..me() }, &me()));
    }

    #[test]
    fn another_host_is_left_to_its_lease() {
        assert!(!is_dead(&Holder { worker: "elsewhere:1".into(), process: "a/b/c".into() }, &me()));
    }

    #[test]
    fn a_killed_child_is_dead_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let host = me().worker.rsplit_once(':').unwrap().0.to_owned();
        let holder = Holder { worker: format!("{host}:{}", child.id()), process: token(child.id()) };
        assert!(!is_dead(&holder, &me()));
        child.kill().unwrap();
        while !is_dead(&holder, &me()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_dead(&holder, &me()));
    }
}
