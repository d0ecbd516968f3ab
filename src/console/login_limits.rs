//! Slows down those who guess passwords: by name, and by address.
//!
//! The limits are the same for names that exist and names that do not, so they show nobody which exist.

use crate::clock::{Timestamp, add_duration, duration_between};
use crate::server::reputation::to_network_prefix;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

/// Failures of one name, or from one network, before the first wait.
const FAILURES_FREE: u32 = 5;
/// The first wait; each further failure doubles it.
const WAIT_FIRST: Duration = Duration::from_secs(30);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_mins(15);
/// A failure is forgotten after this time without another.
const FORGET_AFTER: Duration = Duration::from_hours(1);
/// Most names, and most networks, that are remembered. Over it, the oldest are forgotten.
const ENTRIES_MAX: usize = 10_000;

/// Failed sign-ins in memory. A restart forgets them.
#[derive(Default)]
pub struct LoginLimits(Mutex<Failures>);

#[derive(Default)]
struct Failures {
    by_name: HashMap<String, FailureCount>,
    by_network: HashMap<IpAddr, FailureCount>,
}

#[derive(Clone, Copy)]
struct FailureCount {
    failures: u32,
    last_at: Timestamp,
    blocked_until: Timestamp,
}

impl LoginLimits {
    /// Returns how long a client must wait before it may try a name; zero if it may try now.
    pub fn find_wait(&self, name: &str, from: IpAddr, now: Timestamp) -> Duration {
        let failures = self.0.lock().expect("nothing panics while it holds the lock");
        let of_name = failures.by_name.get(&name.to_lowercase());
        let of_network = failures.by_network.get(&to_network_prefix(from));
        let wait = |count: &FailureCount| {
            if count.blocked_until > now { duration_between(now, count.blocked_until) } else { Duration::ZERO }
        };
        [of_name, of_network].into_iter().flatten().map(wait).max().unwrap_or_default()
    }

    /// Counts a failed attempt.
    pub fn record_failure(&self, name: &str, from: IpAddr, now: Timestamp) {
        let mut failures = self.0.lock().expect("nothing panics while it holds the lock");
        count_failure(&mut failures.by_name, name.to_lowercase(), now);
        count_failure(&mut failures.by_network, to_network_prefix(from), now);
    }

    /// Forgets the failures of a name after a right password. Those of the network stay: others may share it.
    pub fn record_success(&self, name: &str) {
        let mut failures = self.0.lock().expect("nothing panics while it holds the lock");
        failures.by_name.remove(&name.to_lowercase());
    }
}

fn count_failure<K: Eq + Hash + Clone>(counts: &mut HashMap<K, FailureCount>, key: K, now: Timestamp) {
    let is_recent = |count: &FailureCount| count.last_at > now || duration_between(count.last_at, now) < FORGET_AFTER;
    if counts.len() >= ENTRIES_MAX && !counts.contains_key(&key) {
        counts.retain(|_, count| is_recent(count));
        if counts.len() >= ENTRIES_MAX {
            let oldest = counts.iter().min_by_key(|(_, count)| count.last_at).map(|(key, _)| key.clone());
            oldest.and_then(|key| counts.remove(&key));
        }
    }
    let known = counts.get(&key).filter(|count| is_recent(count)).map_or(0, |count| count.failures);
    let failures = known.saturating_add(1);
    let wait = match failures.checked_sub(FAILURES_FREE) {
        None => Duration::ZERO,
        Some(over) => WAIT_FIRST.saturating_mul(1 << over.min(10)).min(WAIT_MAX),
    };
    counts.insert(key, FailureCount { failures, last_at: now, blocked_until: add_duration(now, wait) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_timestamp;
    use std::net::Ipv4Addr;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn waits_grow_after_five_failures_and_end() {
        let (limits, start) = (LoginLimits::default(), parse_timestamp("2026-11-23T20:30:00Z").unwrap());
        for _ in 0..4 {
            limits.record_failure("anna", address(1), start);
        }
        assert_eq!(limits.find_wait("anna", address(1), start), Duration::ZERO);
        limits.record_failure("Anna", address(1), start);
        assert_eq!(limits.find_wait("ANNA", address(9), start), WAIT_FIRST, "the name waits, from any network");
        assert_eq!(limits.find_wait("otto", address(1), start), WAIT_FIRST, "the network waits, whatever the name");
        assert_eq!(limits.find_wait("otto", address(9), start), Duration::ZERO);
        limits.record_failure("anna", address(1), start);
        assert_eq!(limits.find_wait("anna", address(1), start), 2 * WAIT_FIRST);
        assert_eq!(limits.find_wait("anna", address(1), add_duration(start, 2 * WAIT_FIRST)), Duration::ZERO);
        for _ in 0..100 {
            limits.record_failure("anna", address(1), start);
        }
        assert_eq!(limits.find_wait("anna", address(1), start), WAIT_MAX);
        limits.record_success("anna");
        assert_eq!(limits.find_wait("anna", address(9), start), Duration::ZERO);
    }

    #[test]
    fn memory_of_failures_is_bounded() {
        let (limits, start) = (LoginLimits::default(), parse_timestamp("2026-11-23T20:30:00Z").unwrap());
        for number in 0..ENTRIES_MAX + 10 {
            limits.record_failure(&format!("user{number}"), address(1), start);
        }
        assert_eq!(limits.0.lock().unwrap().by_name.len(), ENTRIES_MAX);
    }
}
