//! When a certificate is renewed.

use crate::clock::{Timestamp, after};
use crate::server::expiry::Validity;
use std::time::Duration;

/// How long until the authority is asked again what it suggests, where it does not say; and the bounds for what it says (RFC 9773, 4.3.2).
pub const ASK_AGAIN: Duration = Duration::from_hours(6);
pub const ASK_SOONEST: Duration = Duration::from_mins(1);
pub const ASK_LATEST: Duration = Duration::from_hours(24);
/// Longest wait after a failure; no authority's limit lasts longer.
pub const PAUSE_MAX: Duration = Duration::from_hours(7 * 24);
/// Longest rest after a success.
pub const REST_MAX: Duration = Duration::from_hours(24);
/// Certificates that live shorter are renewed at half their life.
const SHORT: Duration = Duration::from_hours(10 * 24);

/// How long none is asked for after one was got: with a clock that is far ahead each would seem to have ended already.
#[must_use]
pub fn pause(new: &Validity) -> Duration {
    (life(new) / 3).min(REST_MAX)
}

fn life(validity: &Validity) -> Duration {
    Duration::try_from(validity.not_after.duration_since(validity.not_before)).unwrap_or(Duration::ZERO)
}

/// The moment for it: after two thirds of its life, after half of a short one, or when the authority suggests it, if that is sooner.
/// Let's Encrypt's integration guide, "When to Renew".
#[must_use]
pub fn renewal(validity: &Validity, suggested: Option<Timestamp>) -> Timestamp {
    let life = life(validity);
    let share = if life < SHORT { life / 2 } else { life / 3 * 2 };
    let own = after(validity.not_before, share);
    suggested.map_or(own, |suggested| suggested.min(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(days: u64) -> Validity {
        let not_before: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let not_after = after(not_before, Duration::from_hours(24 * days));
        Validity { not_before, not_after, is_self_signed: false, chain: 2, names: vec![] }
    }

    #[test]
    fn two_thirds_of_a_life_half_of_a_short_one_or_sooner_if_the_authority_says_so() {
        let day = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(renewal(&of(90), None), day("2026-12-31T00:00:00Z"));
        assert_eq!(renewal(&of(6), None), day("2026-11-04T00:00:00Z"));
        assert_eq!(renewal(&of(90), Some(day("2026-11-20T00:00:00Z"))), day("2026-11-20T00:00:00Z"));
        assert_eq!(renewal(&of(90), Some(day("2027-01-20T00:00:00Z"))), day("2026-12-31T00:00:00Z"));
    }
}
