//! Describes ACME failures and computes the wait after each.

use crate::clock::{Timestamp, add_duration};
use crate::tls::acme::http::{AcmeHttpClient, LastResponse};
use crate::tls::acme::schedule::RETRY_PAUSE_MAX;
use instant_acme::{Error, Problem};
use std::time::Duration;

/// Waits after the first failure in a row, the second and so on; the last one repeats.
///
/// Let's Encrypt advises the first three. It pauses a name after 1,152 failures in a row, which these waits reach after
/// nine months.
const FAILURE_BACKOFF: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(10), Duration::from_mins(100), Duration::from_hours(6)];
/// The same if the authority could not be reached: such a failure does not count against its limits.
const UNREACHABLE_BACKOFF: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(5), Duration::from_mins(15), Duration::from_hours(1)];
/// Wait after a failure that only an operator can fix.
const OPERATOR_RETRY_PAUSE: Duration = Duration::from_hours(24);
/// Wait after a rate limit without a `Retry-After`.
const RATE_LIMIT_PAUSE: Duration = Duration::from_hours(1);
/// A wait is at most one eighth of the certificate's remaining lifetime, unless the authority set it.
const REMAINING_LIFETIME_SHARE: u32 = 8;
/// Shortest wait that the remaining lifetime can cause.
const PAUSE_MIN: Duration = Duration::from_mins(15);

/// A failure to get a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AcmeError {
    pub message: String,
    retry_policy: RetryPolicy,
    /// Last part of the problem's type (RFC 8555, 6.7), if the authority stated one.
    problem_type: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RetryPolicy {
    /// A wait that grows from failure to failure.
    Backoff,
    Unreachable,
    /// The time that the authority stated.
    Until(Timestamp),
    RateLimited,
    Daily,
}

/// Time of the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextAttempt {
    pub at: Timestamp,
    /// The authority set the time: nobody may try earlier.
    pub is_set_by_authority: bool,
}

impl AcmeError {
    /// Returns a local or network failure that may pass.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_policy: RetryPolicy::Backoff, problem_type: None }
    }

    /// Returns a failure that stays until an operator acts.
    pub fn needs_operator(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry_policy: RetryPolicy::Daily, problem_type: None }
    }

    pub fn from_client_error(error: Error, http: &AcmeHttpClient) -> Self {
        Self::from_last_response(error, http.last_response())
    }

    fn from_last_response(error: Error, response: LastResponse) -> Self {
        let stated = response.retry_at.filter(|_| response.status >= 400).map(RetryPolicy::Until);
        match error {
            Error::Api(problem) => {
                let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).map(str::to_owned);
                let own = match kind.as_deref() {
                    Some("rateLimited") => RetryPolicy::RateLimited,
                    Some(
                        "rejectedIdentifier"
                        | "unsupportedIdentifier"
                        | "malformed"
                        | "invalidProfile"
                        | "invalidContact"
                        | "unsupportedContact"
                        | "externalAccountRequired"
                        | "userActionRequired"
                        | "badCSR"
                        | "caa",
                    ) => RetryPolicy::Daily,
                    _ => RetryPolicy::Backoff,
                };
                Self { message: describe_problem(&problem), retry_policy: stated.unwrap_or(own), problem_type: kind }
            }
            Error::Other(error) => {
                let own = if response.status == 0 { RetryPolicy::Unreachable } else { RetryPolicy::Backoff };
                Self {
                    message: format!("the authority gave no usable response: {error}"),
                    retry_policy: stated.unwrap_or(own),
                    problem_type: None,
                }
            }
            other => {
                let text = format!("the authority's response is not valid ACME: {other}");
                Self { message: text, retry_policy: stated.unwrap_or(RetryPolicy::Backoff), problem_type: None }
            }
        }
    }

    /// Returns when to try again after `failures` failures in a row. `expires_at`: the end of the certificate in use.
    pub fn next_attempt(&self, failures: u32, now: Timestamp, expires_at: Option<Timestamp>) -> NextAttempt {
        let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(FAILURE_BACKOFF.len() - 1);
        let wait_max = expires_at.map_or(OPERATOR_RETRY_PAUSE, |expires_at| {
            Duration::try_from(expires_at.duration_since(now)).unwrap_or(Duration::ZERO) / REMAINING_LIFETIME_SHARE
        });
        let own = |wait: Duration| NextAttempt {
            at: add_duration(now, wait.min(wait_max.max(PAUSE_MIN))),
            is_set_by_authority: false,
        };
        match self.retry_policy {
            RetryPolicy::Backoff => own(FAILURE_BACKOFF[step]),
            RetryPolicy::Unreachable => own(UNREACHABLE_BACKOFF[step]),
            RetryPolicy::Daily => own(OPERATOR_RETRY_PAUSE),
            RetryPolicy::RateLimited => {
                NextAttempt { at: add_duration(now, RATE_LIMIT_PAUSE), is_set_by_authority: true }
            }
            // Not at once, and not in a year because a clock is wrong.
            RetryPolicy::Until(at) => NextAttempt {
                at: at.clamp(add_duration(now, FAILURE_BACKOFF[0]), add_duration(now, RETRY_PAUSE_MAX)),
                is_set_by_authority: true,
            },
        }
    }

    /// Returns whether the authority no longer knows our account, or has deactivated it.
    pub fn is_account_lost(&self) -> bool {
        match self.problem_type.as_deref() {
            Some("accountDoesNotExist") => true,
            Some("unauthorized") => {
                self.message.contains("ccount")
                    && (self.message.contains("deactivated") || self.message.contains("revoked"))
            }
            _ => false,
        }
    }

    /// Returns whether the nonce of the request expired or the authority lost it (RFC 8555, 6.5).
    pub fn is_stale_nonce(&self) -> bool {
        self.problem_type.as_deref() == Some("badNonce")
    }

    pub fn is_rate_limited(&self) -> bool {
        self.problem_type.as_deref() == Some("rateLimited")
    }
}

/// Returns the authority's text, with its problems of single names.
fn describe_problem(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_else(|| "the authority refused and stated no reason".to_owned());
    for one in &problem.subproblems {
        let name = one.identifier.as_ref().map_or_else(String::new, |name| format!("{}: ", name.authorized(false)));
        text = format!("{text}; {name}{}", one.detail.as_deref().unwrap_or("refused"));
    }
    match problem.r#type.as_deref() {
        Some(kind) => format!("{text} ({kind})"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_the_remaining_lifetime() {
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let minutes = |next: NextAttempt| next.at.duration_since(now).as_secs() / 60;
        let own = AcmeError::transient("x");
        assert_eq!(
            [1, 2, 3, 4, 99].map(|failures| minutes(own.next_attempt(failures, now, None))),
            [1, 10, 100, 360, 360]
        );
        let expires_at = add_duration(now, Duration::from_hours(24));
        assert_eq!(minutes(own.next_attempt(4, now, Some(expires_at))), 180);
        assert_eq!(minutes(own.next_attempt(4, now, Some(now))), 15);
        assert_eq!(minutes(AcmeError::needs_operator("x").next_attempt(1, now, None)), 24 * 60);
        let stated =
            AcmeError { retry_policy: RetryPolicy::Until(add_duration(now, Duration::from_hours(2))), ..own.clone() };
        assert_eq!(
            (minutes(stated.next_attempt(1, now, Some(now))), stated.next_attempt(1, now, None).is_set_by_authority),
            (120, true)
        );
        let distant = AcmeError { retry_policy: RetryPolicy::Until(Timestamp::MAX), ..own };
        assert_eq!(minutes(distant.next_attempt(1, now, None)), 7 * 24 * 60);
    }
}
