//! What went wrong, in words for people, and how long to wait after it.

use super::http::{Http, Said};
use super::schedule::PAUSE_MAX;
use crate::clock::{Timestamp, after};
use instant_acme::{Error, Problem};
use std::time::Duration;

/// After the first failure, the second and so on; after the last of them as after the last. Let's Encrypt advises these.
const BACK_OFF: [Duration; 4] =
    [Duration::from_mins(1), Duration::from_mins(10), Duration::from_mins(100), Duration::from_hours(24)];
/// After an answer that only a person can change.
const DAILY: Duration = Duration::from_hours(24);
/// After a limit of the authority's that does not say how long it holds.
const LIMITED: Duration = Duration::from_hours(1);

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
    /// As the authority says.
    Until(Timestamp),
    For(Duration),
}

impl Trouble {
    /// Something of our own or on the way, that may pass.
    pub fn own(text: impl Into<String>) -> Self {
        Self { text: text.into(), wait: Wait::BackOff, kind: None }
    }

    /// Something that stays until somebody does something about it.
    pub fn for_people(text: impl Into<String>) -> Self {
        Self { text: text.into(), wait: Wait::For(DAILY), kind: None }
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
                    Some("rateLimited") => Wait::For(LIMITED),
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
                    ) => Wait::For(DAILY),
                    _ => Wait::BackOff,
                };
                Self { text: words(&problem), wait: asked.unwrap_or(own), kind }
            }
            Error::Other(error) => {
                let text = format!("the authority was not reached or did not answer as one: {error}");
                Self { text, wait: asked.unwrap_or(Wait::BackOff), kind: None }
            }
            other => {
                let text = format!("the authority's answer is not understood: {other}");
                Self { text, wait: asked.unwrap_or(Wait::BackOff), kind: None }
            }
        }
    }

    /// When to try again after the so many-th failure in a row.
    pub fn next(&self, failures: u32, now: Timestamp) -> Timestamp {
        let step = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(BACK_OFF.len() - 1);
        match self.wait {
            Wait::BackOff => after(now, BACK_OFF[step]),
            Wait::For(wait) => after(now, wait),
            // Not at once, and not in a year because of a wrong clock.
            Wait::Until(at) => at.clamp(after(now, BACK_OFF[0]), after(now, PAUSE_MAX)),
        }
    }

    /// The authority does not know our account: another one, or the same one that has forgotten.
    pub fn is_lost_account(&self) -> bool {
        self.kind.as_deref() == Some("accountDoesNotExist")
    }

    /// The request came too late for its nonce, or the authority lost it (RFC 8555, 6.5).
    pub fn is_stale_nonce(&self) -> bool {
        self.kind.as_deref() == Some("badNonce")
    }

    /// An order that replaces a certificate may be refused for that alone.
    pub fn may_be_for_replacing(&self) -> bool {
        matches!(self.kind.as_deref(), Some("alreadyReplaced" | "malformed"))
    }
}

/// The authority's own words, with what it says of single names.
fn words(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_else(|| "the authority refuses without a reason".to_owned());
    for one in &problem.subproblems {
        let name = one.identifier.as_ref().map_or_else(String::new, |name| format!("{}: ", name.authorized(false)));
        text = format!("{text}; {name}{}", one.detail.as_deref().unwrap_or("refused"));
    }
    text
}
