//! Steps that a person has begun and not ended: a second step of a sign-in, a sign-in at the OIDC provider, a new key.
//!
//! They are in memory, bound to a random token, and end after minutes. A restart ends them.

use crate::access::token::TokenDigest;
use crate::clock::{Timestamp, add_duration};
use crate::server::reputation::to_network_prefix;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

/// Most steps of one kind. Over it, the oldest ends.
const ENTRIES_MAX: usize = 1_000;
/// Most steps of one network, so that nobody ends the steps of others.
const ENTRIES_PER_NETWORK_MAX: usize = 50;

/// Steps of one kind.
pub struct PendingSteps<T> {
    lifetime: Duration,
    entries: Mutex<HashMap<TokenDigest, PendingStep<T>>>,
}

/// A step with its end.
#[derive(Debug, Clone)]
pub struct PendingStep<T> {
    pub value: T,
    ends_at: Timestamp,
    network: IpAddr,
}

impl<T: Clone> PendingSteps<T> {
    /// Returns an empty list whose steps end after `lifetime`.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, entries: Mutex::default() }
    }

    /// Begins a step, or begins it again.
    pub fn begin(&self, token: TokenDigest, value: T, from: IpAddr, now: Timestamp) {
        self.put(
            token,
            PendingStep { value, ends_at: add_duration(now, self.lifetime), network: to_network_prefix(from) },
            now,
        );
    }

    /// Puts a step back that [`PendingSteps::take`] returned. Its end stays.
    pub fn put(&self, token: TokenDigest, step: PendingStep<T>, now: Timestamp) {
        let mut entries = self.entries.lock().expect("nothing panics while it holds the lock");
        entries.retain(|_, entry| entry.ends_at > now);
        let of_network = entries.values().filter(|entry| entry.network == step.network).count();
        let surplus = if of_network >= ENTRIES_PER_NETWORK_MAX {
            find_oldest(&entries, |entry| entry.network == step.network)
        } else if entries.len() >= ENTRIES_MAX {
            find_oldest(&entries, |_| true)
        } else {
            None
        };
        if let Some(oldest) = surplus {
            entries.remove(&oldest);
        }
        entries.insert(token, step);
    }

    /// Returns a step and ends it, so that two requests never continue the same one.
    pub fn take(&self, token: &TokenDigest, now: Timestamp) -> Option<PendingStep<T>> {
        let mut entries = self.entries.lock().expect("nothing panics while it holds the lock");
        entries.remove(token).filter(|entry| entry.ends_at > now)
    }

    /// Returns the value of a step, which goes on.
    pub fn find(&self, token: &TokenDigest, now: Timestamp) -> Option<T> {
        let entries = self.entries.lock().expect("nothing panics while it holds the lock");
        entries.get(token).filter(|entry| entry.ends_at > now).map(|entry| entry.value.clone())
    }
}

fn find_oldest<T>(
    entries: &HashMap<TokenDigest, PendingStep<T>>,
    is_candidate: impl Fn(&PendingStep<T>) -> bool,
) -> Option<TokenDigest> {
    let candidates = entries.iter().filter(|(_, entry)| is_candidate(entry));
    candidates.min_by_key(|(_, entry)| entry.ends_at).map(|(token, _)| *token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::token::digest_token;
    use std::net::Ipv4Addr;

    #[test]
    fn step_ends_with_its_use_and_with_its_time() {
        let (steps, now) = (PendingSteps::new(Duration::from_mins(1)), Timestamp::UNIX_EPOCH);
        let (token, from) = (digest_token("a"), Ipv4Addr::LOCALHOST.into());
        steps.begin(token, 7, from, now);
        assert_eq!(steps.find(&token, now), Some(7));
        let step = steps.take(&token, now).unwrap();
        assert!(steps.take(&token, now).is_none(), "it is used once");
        let late = add_duration(now, Duration::from_mins(1));
        steps.put(token, step, add_duration(now, Duration::from_secs(30)));
        assert_eq!(steps.find(&token, late), None, "its end stays");
        assert!(steps.take(&token, late).is_none());
    }

    #[test]
    fn number_of_steps_is_bounded_for_each_network() {
        let (steps, now) = (PendingSteps::new(Duration::from_mins(1)), Timestamp::UNIX_EPOCH);
        let (own, flood) = (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(198, 51, 100, 1).into());
        steps.begin(digest_token("own"), 0, own, now);
        for number in 0..ENTRIES_PER_NETWORK_MAX + 10 {
            let at = add_duration(now, Duration::from_millis(number as u64));
            steps.begin(digest_token(&number.to_string()), number, flood, at);
        }
        assert_eq!(steps.entries.lock().unwrap().len(), ENTRIES_PER_NETWORK_MAX + 1);
        assert_eq!(steps.find(&digest_token("own"), now), Some(0));
        assert_eq!(steps.find(&digest_token("0"), now), None, "the oldest of the network ended");
    }
}
