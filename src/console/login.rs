//! Signs people in and out.

use crate::access::password::{PASSWORD_BYTES_MAX, verify_password};
use crate::access::token::{SecretToken, digest_token};
use crate::console::ConsoleState;
use crate::console::guard::{CookieSite, CurrentUser, SESSION_COOKIE, build_cookie, read_session_cookie};
use crate::console::layout::{build_bare_page, build_forward_page};
use crate::console::listener::ClientAddress;
use crate::console::pages;
use crate::console::paths::is_at_console;
use crate::console::second_step::begin_second_step;
use crate::store::access::Actor;
use crate::store::access::sessions::{NewSession, OidcIdentity};
use crate::store::access::users::{find_user, list_users};
use crate::text::{format_count, keep_first_chars};
use axum::extract::{Query, State};
use axum::http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Most characters of a name in the audit trail.
const NAME_CHARS_MAX: usize = 64;
/// Says the same for a wrong name and a wrong password.
const WRONG_TEXT: &str = "The name or the password is wrong.";

/// Where to go after the sign-in.
#[derive(Debug, Deserialize)]
pub struct LoginQuery {
    #[serde(default)]
    next: String,
}

/// What a person enters.
#[derive(Deserialize)]
pub struct LoginForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

/// Shows the form of the sign-in.
pub async fn show_login_page(State(state): State<Arc<ConsoleState>>, Query(query): Query<LoginQuery>) -> Response {
    let has_users = match state.read(list_users).await {
        Ok(users) => !users.is_empty(),
        Err(error) => return pages::show_store_error(&error),
    };
    build_login_page(&state, None, &query.next, "", has_users).into_response()
}

/// Checks name and password, and begins a session.
pub async fn sign_in(
    State(state): State<Arc<ConsoleState>>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    Form(form): Form<LoginForm>,
) -> Response {
    let actor = Actor { name: keep_first_chars(&form.name, NAME_CHARS_MAX), address: Some(address.to_string()) };
    let now = state.store.clock.now();
    let wait = state.login_limits.find_wait(&form.name, address, now);
    if !wait.is_zero() {
        return build_wait_response(wait, |text| build_login_page(&state, Some(text), &form.next, &form.name, true));
    }
    let name = form.name.clone();
    let user = match state.read(move |connection| find_user(connection, &name)).await {
        Ok(user) => user,
        Err(error) => return pages::show_store_error(&error),
    };
    let hash = user.as_ref().and_then(|user| user.password_hash.clone());
    if !verify_on_thread(&state, hash, form.password).await {
        state.login_limits.record_failure(&form.name, address, now);
        if let Err(error) = state.store.record_refused_login(actor, "invalid_credentials").await {
            return pages::show_store_error(&error);
        }
        let page = build_login_page(&state, Some(WRONG_TEXT), &form.next, &form.name, true);
        return (StatusCode::UNAUTHORIZED, page).into_response();
    }
    let Some(user) = user else { return pages::show_login_refusal(StatusCode::UNAUTHORIZED, WRONG_TEXT) };
    if user.totp_secret.is_some() {
        // The failures of this name are forgotten after the second step only.
        return begin_second_step(&state, user, form.next, ClientAddress(address));
    }
    state.login_limits.record_success(&user.name);
    begin_session(&state, Actor { name: user.name, address: actor.address }, None, &headers, &form.next).await
}

/// Returns the answer to a person who must wait before the next attempt.
pub fn build_wait_response(wait: Duration, build: impl FnOnce(&str) -> Markup) -> Response {
    let seconds = wait.as_secs() + 1;
    let minutes = format_count(seconds.div_ceil(60), "minute", "minutes");
    let page = build(&format!("Too many attempts. Wait {minutes} before the next one."));
    (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds.to_string())], page).into_response()
}

/// Verifies a password on a thread for blocking work, one at a time.
pub async fn verify_on_thread(state: &Arc<ConsoleState>, hash: Option<String>, password: String) -> bool {
    let Ok(_permit) = state.verifications.acquire().await else { return false };
    let verify = move || password.len() <= PASSWORD_BYTES_MAX && verify_password(hash.as_deref(), &password);
    tokio::task::spawn_blocking(verify).await.unwrap_or(false)
}

/// Begins a session with a new token, so that a token planted before the sign-in is worth nothing.
///
/// The browser goes on to `next`. After a sign-in at the OIDC provider, a page of the console leads there: a browser
/// sends a Strict cookie with a request that a page of the console caused, not with a redirect from another site.
pub async fn begin_session(
    state: &Arc<ConsoleState>,
    actor: Actor,
    oidc: Option<OidcIdentity>,
    headers: &HeaderMap,
    next: &str,
) -> Response {
    let (token, csrf) = match (SecretToken::generate(""), SecretToken::generate("")) {
        (Ok(token), Ok(csrf)) => (token, csrf),
        (Err(error), _) | (_, Err(error)) => {
            return pages::show_refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("Nobody can sign in now: {error}."));
        }
    };
    let limits = state.config.console.session_limits;
    let (is_from_provider, target) = (oidc.is_some(), choose_target(next));
    let session = NewSession { digest: token.digest(), csrf_token: csrf.expose().to_owned(), limits, oidc };
    let replaced = read_session_cookie(headers).map(digest_token);
    if let Err(error) = state.store.begin_session(actor, session, replaced).await {
        return pages::show_store_error(&error);
    }
    let cookie = build_cookie(SESSION_COOKIE, token.expose(), CookieSite::Strict, limits.total);
    if is_from_provider {
        return ([(SET_COOKIE, cookie)], build_forward_page(&target)).into_response();
    }
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, target)]).into_response()
}

/// Returns the page to go to: a path of the console, never another site.
fn choose_target(next: &str) -> String {
    if is_at_console(next) && !next.starts_with("/login") { next.to_owned() } else { "/".to_owned() }
}

/// Ends the session.
pub async fn sign_out(State(state): State<Arc<ConsoleState>>, Extension(user): Extension<CurrentUser>) -> Response {
    if let Err(error) = state.store.end_session(user.digest, user.to_actor()).await {
        return pages::show_store_error(&error);
    }
    let cookie = build_cookie(SESSION_COOKIE, "", CookieSite::Strict, Duration::ZERO);
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/login".to_owned())]).into_response()
}

fn build_login_page(state: &ConsoleState, error: Option<&str>, next: &str, name: &str, has_users: bool) -> Markup {
    let form = html! {
        form method="post" action="/login" class="card login" {
            h1 { "Sign in" }
            @if let Some(error) = error {
                p class="notice failed" role="alert" { (error) }
            }
            @if !has_users && state.oidc.is_none() {
                p class="notice warning" {
                    "Nobody can sign in yet. Add the first user on this machine: "
                    code { "sudo novex-ingest users add NAME --role admin" }
                }
            }
            input type="hidden" name="next" value=(next);
            label for="name" { "Name" }
            input id="name" name="name" value=(name) autocomplete="username" required autofocus;
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="current-password" required;
            button type="submit" { "Sign in" }
        }
        @if let Some(oidc) = &state.oidc {
            // A form of its own: the name and the password must not get into an address.
            form method="get" action="/login/oidc" class="card login" {
                input type="hidden" name="next" value=(next);
                button type="submit" { "Sign in with " (oidc.settings.name) }
            }
        }
    };
    build_bare_page("Sign in", &form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_in_leads_to_pages_of_the_console_only() {
        for next in ["//evil.example", "https://evil.example/", "/\\evil.example", "evil", "", "/login", "/a b", "/\n"]
        {
            assert_eq!(choose_target(next), "/", "{next}");
        }
        assert_eq!(choose_target("/events?status=failed&before=17"), "/events?status=failed&before=17");
    }
}
