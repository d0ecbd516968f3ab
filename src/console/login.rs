//! Signs people in and out.

use crate::access::password::{PASSWORD_BYTES_MAX, verify_password};
use crate::access::token::{SecretToken, digest_token};
use crate::console::ConsoleState;
use crate::console::guard::{CurrentUser, SESSION_COOKIE, read_session_cookie};
use crate::console::layout::build_bare_page;
use crate::console::listener::ClientAddress;
use crate::console::pages;
use crate::store::access::Actor;
use crate::store::access::sessions::NewSession;
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
    build_login_page(None, &query.next, "", has_users).into_response()
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
        let seconds = wait.as_secs() + 1;
        let text = format!(
            "Too many attempts. Wait {} before the next one.",
            format_count(seconds.div_ceil(60), "minute", "minutes")
        );
        let page = build_login_page(Some(&text), &form.next, &form.name, true);
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds.to_string())], page).into_response();
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
        let page = build_login_page(Some(WRONG_TEXT), &form.next, &form.name, true);
        return (StatusCode::UNAUTHORIZED, page).into_response();
    }
    let name = user.map_or(actor.name, |user| user.name);
    state.login_limits.record_success(&name);
    begin_session(&state, Actor { name, address: actor.address }, &headers, &form.next).await
}

/// Verifies a password on a thread for blocking work, one at a time.
async fn verify_on_thread(state: &Arc<ConsoleState>, hash: Option<String>, password: String) -> bool {
    let Ok(_permit) = state.verifications.acquire().await else { return false };
    let verify = move || password.len() <= PASSWORD_BYTES_MAX && verify_password(hash.as_deref(), &password);
    tokio::task::spawn_blocking(verify).await.unwrap_or(false)
}

/// Begins a session with a new token, so that a token planted before the sign-in is worth nothing.
async fn begin_session(state: &Arc<ConsoleState>, actor: Actor, headers: &HeaderMap, next: &str) -> Response {
    let (token, csrf) = match (SecretToken::generate(""), SecretToken::generate("")) {
        (Ok(token), Ok(csrf)) => (token, csrf),
        (Err(error), _) | (_, Err(error)) => {
            return pages::show_refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("Nobody can sign in now: {error}."));
        }
    };
    let limits = state.config.console.session_limits;
    let session = NewSession { digest: token.digest(), csrf_token: csrf.expose().to_owned(), limits };
    let replaced = read_session_cookie(headers).map(digest_token);
    if let Err(error) = state.store.begin_session(actor, session, replaced).await {
        return pages::show_store_error(&error);
    }
    let cookie = format!(
        "{SESSION_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
        token.expose(),
        limits.total.as_secs()
    );
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, choose_target(next))]).into_response()
}

/// Returns the page to go to: a path of the console, never another site.
fn choose_target(next: &str) -> String {
    let is_path = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\");
    let is_plain = next.chars().all(|letter| letter.is_ascii_graphic());
    if is_path && is_plain && !next.starts_with("/login") { next.to_owned() } else { "/".to_owned() }
}

/// Ends the session.
pub async fn sign_out(State(state): State<Arc<ConsoleState>>, Extension(user): Extension<CurrentUser>) -> Response {
    if let Err(error) = state.store.end_session(user.digest, user.to_actor()).await {
        return pages::show_store_error(&error);
    }
    let cookie = format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/login".to_owned())]).into_response()
}

fn build_login_page(error: Option<&str>, next: &str, name: &str, has_users: bool) -> Markup {
    let form = html! {
        form method="post" action="/login" class="card login" {
            h1 { "Sign in" }
            @if let Some(error) = error {
                p class="notice failed" role="alert" { (error) }
            }
            @if !has_users {
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
