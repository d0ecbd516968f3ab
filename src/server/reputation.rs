//! Knows which addresses delivered valid webhooks in the last hours, and which networks the operator trusts.

use crate::server::place_limits::Standing;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long a valid webhook makes its address known.
const PROOF_LIFETIME: Duration = Duration::from_hours(12);
/// Most addresses that the daemon remembers; the one with the oldest proof is forgotten first.
const KNOWN_ADDRESSES_MAX: usize = 4096;

/// The known addresses.
pub struct Reputation {
    trusted_networks: Vec<Network>,
    proven_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Reputation {
    #[must_use]
    pub fn new(trusted_networks: Vec<Network>) -> Self {
        Self { trusted_networks, proven_at: Mutex::default() }
    }

    /// Returns the standing of a new connection from this address.
    #[must_use]
    pub fn find_standing(&self, from: IpAddr) -> Standing {
        if self.trusted_networks.iter().any(|network| network.contains(from)) {
            return Standing::Trusted;
        }
        let proven_at = self.proven_at.lock().expect("nothing panics while it holds the addresses");
        let is_known = proven_at.get(&to_network_prefix(from)).is_some_and(|at| at.elapsed() < PROOF_LIFETIME);
        if is_known { Standing::KnownAddress } else { Standing::Unproven }
    }

    /// Records that a valid webhook came from this address.
    pub fn record_proof(&self, from: IpAddr) {
        let from = to_network_prefix(from);
        let mut proven_at = self.proven_at.lock().expect("nothing panics while it holds the addresses");
        if proven_at.len() >= KNOWN_ADDRESSES_MAX
            && !proven_at.contains_key(&from)
            && let Some(oldest) = proven_at.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address)
        {
            proven_at.remove(&oldest);
        }
        proven_at.insert(from, Instant::now());
    }
}

/// Returns the address that limits count by: the /64 network for IPv6, because one host has a whole /64.
#[must_use]
pub fn to_network_prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let segments = address.segments();
            Ipv6Addr::new(segments[0], segments[1], segments[2], segments[3], 0, 0, 0, 0).into()
        }
    }
}

/// A network such as `192.0.2.0/24`. An address without a length is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Network {
    /// Returns whether the address is in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |width: u32| width - self.prefix_bits;
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// The text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Ok(width), str::parse).map_err(|_| NetworkError)?;
        if prefix_bits > width { Err(NetworkError) } else { Ok(Self { address, prefix_bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ipv6_network_counts_as_one_address() {
        let [one, same, other] = ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1", "2001:db8:1:3::1"]
            .map(|text| to_network_prefix(address(text)));
        assert_eq!(one, same);
        assert_ne!(one, other);
    }

    #[test]
    fn network_contains_its_addresses_only() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7/31", "192.0.2.6", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("0.0.0.0/0", "198.51.100.1", "2001:db8::1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(address(inside)) && !parsed.contains(address(outside)), "{network}");
        }
        for wrong in ["", "192.0.2.0/33", "192.0.2/24", "2001:db8::/129", "192.0.2.0/-1", "example.com"] {
            assert_eq!(wrong.parse::<Network>(), Err(NetworkError), "{wrong}");
        }
    }

    #[test]
    fn known_addresses_are_bounded_and_the_oldest_is_forgotten() {
        let reputation = Reputation::new(vec!["198.51.100.0/24".parse().unwrap()]);
        assert_eq!(reputation.find_standing(address("198.51.100.9")), Standing::Trusted);
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
        let max = u32::try_from(KNOWN_ADDRESSES_MAX).unwrap();
        for n in 0..=max {
            assert_eq!(reputation.find_standing(nth(n)), Standing::Unproven);
            reputation.record_proof(nth(n));
        }
        assert_eq!(reputation.find_standing(nth(0)), Standing::Unproven);
        assert_eq!(reputation.find_standing(nth(max)), Standing::KnownAddress);
        assert_eq!(reputation.proven_at.lock().unwrap().len(), KNOWN_ADDRESSES_MAX);
    }
}
