//! The second step of a sign-in: the one-time code of a user who has set up codes.

use crate::access::token::{SecretToken, digest_token};
use crate::access::totp::TotpKey;
use crate::console::guard::{CookieSite, build_cookie, read_cookie};
use crate::console::layout::build_bare_page;
use crate::console::listener::ClientAddress;
use crate::console::login::{begin_session, build_wait_response};
use crate::console::{ConsoleState, pages};
use crate::store::access::Actor;
use crate::store::access::users::{ConsoleUser, find_user};
use axum::extract::State;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// Cookie that binds the second step to the browser of the first.
const STEP_COOKIE: &str = "__Host-novex-step";
/// Longest time between the two steps.
pub const STEP_LIFETIME: Duration = Duration::from_mins(5);
/// Most codes that a person may enter after one right password.
const CODES_MAX: u32 = 5;

/// A user whose password was right.
#[derive(Debug, Clone)]
pub struct PasswordProof {
    /// Name and password hash at that time: a new password ends the step.
    user: ConsoleUser,
    next: String,
    codes: u32,
}

/// The code that a person enters.
#[derive(Deserialize)]
pub struct CodeForm {
    code: String,
}

/// Begins the second step of a user whose password was right.
pub fn begin_second_step(state: &ConsoleState, user: ConsoleUser, next: String, from: ClientAddress) -> Response {
    let token = match SecretToken::generate("") {
        Ok(token) => token,
        Err(error) => {
            return pages::show_refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("Nobody can sign in now: {error}."));
        }
    };
    let proof = PasswordProof { user, next, codes: 0 };
    state.second_steps.begin(token.digest(), proof, from.0, state.store.clock.now());
    let cookie = build_cookie(STEP_COOKIE, token.expose(), CookieSite::Strict, STEP_LIFETIME);
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, "/login/code".to_owned())]).into_response()
}

/// Shows the form of the second step.
pub async fn show_code_page(State(state): State<Arc<ConsoleState>>, headers: HeaderMap) -> Response {
    let token = read_cookie(&headers, STEP_COOKIE).map(digest_token);
    let proof = token.and_then(|token| state.second_steps.find(&token, state.store.clock.now()));
    match proof {
        Some(_) => build_code_page(None).into_response(),
        None => pages::redirect_to("/login"),
    }
}

/// Checks the code and begins a session.
pub async fn check_code(
    State(state): State<Arc<ConsoleState>>,
    Extension(from): Extension<ClientAddress>,
    headers: HeaderMap,
    Form(form): Form<CodeForm>,
) -> Response {
    let now = state.store.clock.now();
    let Some(token) = read_cookie(&headers, STEP_COOKIE).map(digest_token) else {
        return refuse_ended_step();
    };
    let Some(mut step) = state.second_steps.take(&token, now) else { return refuse_ended_step() };
    let name = step.value.user.name.clone();
    let wait = state.login_limits.find_wait(&name, from.0, now);
    if !wait.is_zero() {
        state.second_steps.put(token, step, now);
        return build_wait_response(wait, |text| build_code_page(Some(text)));
    }
    let actor = Actor { name: name.clone(), address: Some(from.0.to_string()) };
    let user = match state.read(move |connection| find_user(connection, &name)).await {
        Ok(user) => user,
        Err(error) => return pages::show_store_error(&error),
    };
    let is_same = |user: &ConsoleUser| user.password_hash == step.value.user.password_hash;
    let Some((user, key)) = user.filter(is_same).and_then(|user| Some((user.clone(), user.totp_secret?))) else {
        return refuse_ended_step();
    };
    let is_right = match TotpKey::from_stored(key.clone()).find_step(&form.code, now) {
        None => Ok(false),
        Some(time_step) => state.store.use_totp_step(user.name.clone(), key, time_step).await,
    };
    match is_right {
        Ok(true) => {
            state.login_limits.record_success(&user.name);
            begin_session(&state, actor, None, &headers, &step.value.next).await
        }
        Ok(false) => {
            state.login_limits.record_failure(&user.name, from.0, now);
            if let Err(error) = state.store.record_refused_login(actor, "invalid_code").await {
                return pages::show_store_error(&error);
            }
            step.value.codes += 1;
            if step.value.codes >= CODES_MAX {
                return refuse_ended_step();
            }
            state.second_steps.put(token, step, now);
            let text = "The code is wrong, or it was used before. Wait for the next one.";
            (StatusCode::UNAUTHORIZED, build_code_page(Some(text))).into_response()
        }
        Err(error) => pages::show_store_error(&error),
    }
}

fn refuse_ended_step() -> Response {
    pages::show_login_refusal(
        StatusCode::BAD_REQUEST,
        "The sign-in took too long or had too many wrong codes. Begin again.",
    )
}

fn build_code_page(error: Option<&str>) -> Markup {
    let form = html! {
        form method="post" action="/login/code" class="card login" {
            h1 { "Sign in" }
            @if let Some(error) = error {
                p class="notice failed" role="alert" { (error) }
            }
            label for="code" { "Code of your app, 6 digits" }
            input id="code" name="code" autocomplete="one-time-code" inputmode="numeric" required autofocus;
            button type="submit" { "Sign in" }
            p { a href="/login" { "Begin again" } }
        }
    };
    build_bare_page("Sign in", &form)
}
