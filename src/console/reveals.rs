//! Masks personal data until a person asks to see it, and records who asked.

use crate::access::Role;
use crate::access::token::TokenDigest;
use crate::clock::Timestamp;
use crate::console::ConsoleState;
use crate::console::components::build_action;
use crate::console::guard::CurrentUser;
use crate::console::pages::{redirect_to, show_refusal, show_store_error};
use crate::console::paths::is_at_console;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a page shows in place of personal data.
const MASK: &str = "•••••";
/// How long a page stays revealed for the session that asked.
const REVEAL_DURATION: Duration = Duration::from_mins(15);
/// Most pages that are revealed at once. Over it, the one that ends first is masked again.
const REVEALS_MAX: usize = 1_000;

/// Pages whose personal data a session asked to see. A restart masks all of them again.
#[derive(Default)]
pub struct Reveals(Mutex<HashMap<(TokenDigest, String), Timestamp>>);

impl Reveals {
    /// Returns whether a session may see the personal data of a page. `path` has no query.
    pub fn is_revealed(&self, session: &TokenDigest, path: &str, now: Timestamp) -> bool {
        let reveals = self.0.lock().expect("nothing panics while it holds the lock");
        reveals.get(&(*session, path.to_owned())).is_some_and(|until| *until > now)
    }

    fn reveal(&self, session: TokenDigest, path: String, now: Timestamp) {
        let mut reveals = self.0.lock().expect("nothing panics while it holds the lock");
        reveals.retain(|_, until| *until > now);
        if reveals.len() >= REVEALS_MAX
            && let Some(first) = reveals.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone())
        {
            reveals.remove(&first);
        }
        reveals.insert((session, path), now.checked_add(REVEAL_DURATION).unwrap_or(Timestamp::MAX));
    }
}

/// Shows or masks the personal data of one page for one session.
#[derive(Debug, Clone)]
pub struct PersonalView {
    path: String,
    is_revealed: bool,
    may_reveal: bool,
}

impl PersonalView {
    /// Returns the view of a page for the user of a request. `path` is the page's path without a query.
    #[must_use]
    pub fn of(state: &ConsoleState, user: &CurrentUser, path: &str) -> Self {
        let is_revealed = state.reveals.is_revealed(&user.digest, path, state.store.clock.now());
        Self { path: path.to_owned(), is_revealed, may_reveal: user.has_role(Role::Operator) }
    }

    /// Returns whether the person asked to see the data.
    #[must_use]
    pub const fn is_revealed(&self) -> bool {
        self.is_revealed
    }

    /// Returns a value that identifies a person, or the mask. An empty value stays empty.
    #[must_use]
    pub fn show(&self, value: &str) -> Markup {
        if value.is_empty() || self.is_revealed {
            return html! { (value) };
        }
        html! { span class="masked" title="Personal data is masked" { (MASK) } }
    }

    /// Returns the button that reveals the data of the page; nothing if it is revealed already.
    #[must_use]
    pub fn build_button(&self, user: &CurrentUser) -> Markup {
        html! {
            @if !self.is_revealed && self.may_reveal {
                (build_action(user, "/reveal", "Show personal data", &[("path", &self.path)]))
            }
        }
    }
}

/// The page whose data a person asks for.
#[derive(Deserialize)]
pub struct RevealForm {
    path: String,
}

/// Reveals the personal data of a page for this session, and appends the request to the audit trail.
pub async fn reveal_page(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<RevealForm>,
) -> Response {
    if !is_at_console(&form.path) || form.path.contains(['?', '#', '\\']) {
        return show_refusal(StatusCode::BAD_REQUEST, "The path is not of a page of the console. Nothing was done.");
    }
    // The audit trail comes first: nobody sees the data if it cannot record who asked.
    if let Err(error) = state.store.record_personal_view(user.to_actor(), form.path.clone()).await {
        return show_store_error(&error);
    }
    state.reveals.reveal(user.digest, form.path.clone(), state.store.clock.now());
    redirect_to(&form.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::token::digest_token;

    #[test]
    fn reveal_is_of_one_session_and_one_page_and_ends() {
        let (reveals, now) = (Reveals::default(), Timestamp::UNIX_EPOCH);
        let (one, other) = (digest_token("one"), digest_token("other"));
        reveals.reveal(one, "/events/1".to_owned(), now);
        assert!(reveals.is_revealed(&one, "/events/1", now));
        assert!(!reveals.is_revealed(&one, "/events/2", now));
        assert!(!reveals.is_revealed(&other, "/events/1", now));
        assert!(!reveals.is_revealed(&one, "/events/1", now.checked_add(REVEAL_DURATION).unwrap()));
    }

    #[test]
    fn number_of_revealed_pages_is_bounded() {
        let (reveals, now) = (Reveals::default(), Timestamp::UNIX_EPOCH);
        let session = digest_token("one");
        for page in 0..=REVEALS_MAX {
            let at = now.checked_add(Duration::from_millis(page as u64)).unwrap();
            reveals.reveal(session, format!("/events/{page}"), at);
        }
        assert!(!reveals.is_revealed(&session, "/events/0", now), "the oldest is masked again");
        assert!(reveals.is_revealed(&session, &format!("/events/{REVEALS_MAX}"), now));
    }
}
