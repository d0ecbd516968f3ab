//! When to renew a certificate.

use crate::clock::{Timestamp, add_duration};
use crate::tls::expiry::CertificateInfo;
use std::time::Duration;

/// Interval of renewal-info requests if the authority states none, and the bounds for a stated one (RFC 9773, 4.3.2).
pub const RENEWAL_INFO_INTERVAL: Duration = Duration::from_hours(6);
pub const RENEWAL_INFO_INTERVAL_MIN: Duration = Duration::from_mins(1);
pub const RENEWAL_INFO_INTERVAL_MAX: Duration = Duration::from_hours(24);
/// Longest wait after a failure; no authority's limit lasts longer.
pub const RETRY_PAUSE_MAX: Duration = Duration::from_hours(7 * 24);
/// Longest pause after a success.
pub const RENEWAL_PAUSE_MAX: Duration = Duration::from_hours(24);
/// Shorter lifetimes are renewed at half of the lifetime.
const SHORT_LIFETIME: Duration = Duration::from_hours(10 * 24);

/// Returns the pause after a success: with a clock far ahead, each new certificate would look expired.
#[must_use]
pub fn compute_renewal_pause(new: &CertificateInfo) -> Duration {
    (certificate_lifetime(new) / 3).min(RENEWAL_PAUSE_MAX)
}

fn certificate_lifetime(info: &CertificateInfo) -> Duration {
    Duration::try_from(info.not_after.duration_since(info.not_before)).unwrap_or(Duration::ZERO)
}

/// Returns when to renew: after two thirds of the lifetime, after half of a short one, or earlier if the authority
/// suggests it.
///
/// Source: Let's Encrypt's integration guide, "When to Renew".
#[must_use]
pub fn compute_renewal_time(info: &CertificateInfo, suggested: Option<Timestamp>) -> Timestamp {
    let lifetime = certificate_lifetime(info);
    let share = if lifetime < SHORT_LIFETIME { lifetime / 2 } else { lifetime / 3 * 2 };
    let own = add_duration(info.not_before, share);
    suggested.map_or(own, |suggested| suggested.min(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make_certificate_info(days: u64) -> CertificateInfo {
        let not_before: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        let not_after = add_duration(not_before, Duration::from_hours(24 * days));
        CertificateInfo { not_before, not_after, is_self_signed: false, chain_len: 2, names: vec![] }
    }

    #[test]
    fn renewal_is_at_two_thirds_of_lifetime_half_if_short_or_earlier_if_suggested() {
        let day = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(compute_renewal_time(&make_certificate_info(90), None), day("2026-12-31T00:00:00Z"));
        assert_eq!(compute_renewal_time(&make_certificate_info(6), None), day("2026-11-04T00:00:00Z"));
        assert_eq!(
            compute_renewal_time(&make_certificate_info(90), Some(day("2026-11-20T00:00:00Z"))),
            day("2026-11-20T00:00:00Z")
        );
        assert_eq!(
            compute_renewal_time(&make_certificate_info(90), Some(day("2027-01-20T00:00:00Z"))),
            day("2026-12-31T00:00:00Z")
        );
    }
}
