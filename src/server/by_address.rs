//! How many of something each address has: connections, requests in flight. One hostile host must not take everybody's places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

type Counts = Arc<Mutex<HashMap<IpAddr, u64>>>;

/// The counts. Cheap to clone; clones share them. They hold only addresses that have something now.
#[derive(Debug, Clone)]
pub struct ByAddress {
    counts: Counts,
    max: u64,
}

/// One place of an address, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    counts: Counts,
    address: IpAddr,
}

impl ByAddress {
    /// `max` places for each address.
    #[must_use]
    pub fn new(max: u64) -> Self {
        Self { counts: Arc::default(), max }
    }

    /// A place for `from`; `None` when it has all it may have.
    #[must_use]
    pub fn enter(&self, from: IpAddr) -> Option<Place> {
        let address = network(from);
        let mut counts = self.counts.lock().expect("nothing panics while it holds the counts");
        let count = counts.get(&address).copied().unwrap_or(0);
        if count >= self.max {
            return None;
        }
        counts.insert(address, count + 1);
        Some(Place { counts: self.counts.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().expect("nothing panics while it holds the counts");
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: with IPv6 a single host has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let segments = address.segments();
            Ipv6Addr::new(segments[0], segments[1], segments[2], segments[3], 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_none_is_left_behind() {
        let counts = ByAddress::new(2);
        let [one, other]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
        let held = (counts.enter(one).unwrap(), counts.enter(one).unwrap());
        assert!(counts.enter(one).is_none());
        assert!(counts.enter(other).is_some());
        drop(held);
        assert!(counts.enter(one).is_some());
        assert!(counts.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn one_ipv6_host_is_one_address() {
        let one: IpAddr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::1".parse().unwrap();
        let far: IpAddr = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(network(one), network(other));
        assert_ne!(network(one), network(far));
    }
}
