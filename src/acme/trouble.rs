//! What went wrong, in words for people, and how long to wait after it.

use super::http::{Http, Said};
use super::schedule::PAUSE_MAX;
use crate::clock::{Timestamp, after};
use instant_acme::{Error, Problem};
use std::time::Duration;

/// After the first failure, the second and so on; after the last of them as after the last. Let's Encrypt advises the first three; it pauses
/// a name after 1,152 failures in a row, which these reach after nine months.
const BACK_OFF: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(10), Duration::from_mins(100), Duration::from_hours(6)];
/// The same where nothing was heard from the authority, which counts nowhere.
const UNREACHED: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(5), Duration::from_mins(15), Duration::from_hours(1)];
/// After an answer that only a person can change.
const DAILY: Duration = Duration::from_hours(24);
/// After a limit of the authority's that does not say how long it holds.
const LIMITED: Duration = Duration::from_hours(1);
/// While a certificate ends, a pause of our own takes no more than this share of what is left, and no less than the shortest.
const SHARE: u32 = 8;
const SHORTEST: Duration = Duration::from_mins(15);

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub text: String,
    wait: Wait,
    /// The last part of the problem's type (RFC 8555, 6.7), if the authority named one.
    kind: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Longer from failure to failure.
    BackOff,
    Unreached,
    /// As the authority says.
    Until(Timestamp),
    Limited,
    Daily,
}

/// When it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub at: Timestamp,
    /// The authority wants it so: nobody may try sooner.
    pub is_held: bool,
}

impl Trouble {
    /// Something of our own or on the way, that may pass.
    pub fn own(text: impl Into<String>) -> Self {
        Self { text: text.into(), wait: Wait::BackOff, kind: None }
    }

    /// Something that stays until somebody does something about it.
    pub fn for_people(text: impl Into<String>) -> Self {
        Self { text: text.into(), wait: Wait::Daily, kind: None }
    }

    pub fn of(error: Error, http: &Http) -> Self {
        Self::after(error, http.said())
    }

    fn after(error: Error, said: Said) -> Self {
        let asked = said.retry_at.filter(|_| said.status >= 400).map(Wait::Until);
        match error {
            Error::Api(problem) => {
                let kind = problem.r#type.as_deref().and_then(|kind| kind.rsplit(':').next()).map(str::to_owned);
                let own = match kind.as_deref() {
                    Some("rateLimited") => Wait::Limited,
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
                    ) => Wait::Daily,
                    _ => Wait::BackOff,
                };
                Self { text: words(&problem), wait: asked.unwrap_or(own), kind }
            }
            Error::Other(error) => {
                let own = if said.status == 0 { Wait::Unreached } else { Wait::BackOff };
                Self {
                    text: format!("the authority gave no answer of use: {error}"),
                    wait: asked.unwrap_or(own),
                    kind: None,
                }
            }
            other => {
                let text = format!("the authority's answer is not understood: {other}");
                Self { text, wait: asked.unwrap_or(Wait::BackOff), kind: None }
            }
        }
    }

    /// When to try again after the so many-th failure in a row. `ends`: when the certificate ends that serves.
    pub fn next(&self, failures: u32, now: Timestamp, ends: Option<Timestamp>) -> Next {
        let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(BACK_OFF.len() - 1);
        let left =
            ends.map_or(DAILY, |ends| Duration::try_from(ends.duration_since(now)).unwrap_or(Duration::ZERO) / SHARE);
        let own = |wait: Duration| Next { at: after(now, wait.min(left.max(SHORTEST))), is_held: false };
        match self.wait {
            Wait::BackOff => own(BACK_OFF[step]),
            Wait::Unreached => own(UNREACHED[step]),
            Wait::Daily => own(DAILY),
            Wait::Limited => Next { at: after(now, LIMITED), is_held: true },
            // Not at once, and not in a year because of a wrong clock.
            Wait::Until(at) => Next { at: at.clamp(after(now, BACK_OFF[0]), after(now, PAUSE_MAX)), is_held: true },
        }
    }

    /// The authority does not know our account: another one, or the same one that has forgotten; or it has ended it.
    pub fn is_lost_account(&self) -> bool {
        match self.kind.as_deref() {
            Some("accountDoesNotExist") => true,
            Some("unauthorized") => {
                self.text.contains("ccount") && (self.text.contains("deactivated") || self.text.contains("revoked"))
            }
            _ => false,
        }
    }

    /// The request came too late for its nonce, or the authority lost it (RFC 8555, 6.5).
    pub fn is_stale_nonce(&self) -> bool {
        self.kind.as_deref() == Some("badNonce")
    }

    pub fn is_limit(&self) -> bool {
        self.kind.as_deref() == Some("rateLimited")
    }
}

/// The authority's own words, with what it says of single names.
fn words(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_else(|| "the authority refuses without a reason".to_owned());
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
    fn pauses_grow_but_never_past_what_is_left_of_a_certificate() {
        let now: Timestamp = "2026-11-25T10:00:00Z".parse().unwrap();
        let minutes = |next: Next| next.at.duration_since(now).as_secs() / 60;
        let own = Trouble::own("x");
        assert_eq!([1, 2, 3, 4, 99].map(|failures| minutes(own.next(failures, now, None))), [1, 10, 100, 360, 360]);
        let ends = after(now, Duration::from_hours(24));
        assert_eq!(minutes(own.next(4, now, Some(ends))), 180);
        assert_eq!(minutes(own.next(4, now, Some(now))), 15);
        assert_eq!(minutes(Trouble::for_people("x").next(1, now, None)), 24 * 60);
        let held = Trouble { wait: Wait::Until(after(now, Duration::from_hours(2))), ..own.clone() };
        assert_eq!((minutes(held.next(1, now, Some(now))), held.next(1, now, None).is_held), (120, true));
        let silly = Trouble { wait: Wait::Until(Timestamp::MAX), ..own };
        assert_eq!(minutes(silly.next(1, now, None)), 7 * 24 * 60);
    }
}
