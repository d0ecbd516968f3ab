//! `/settings/totp`: sets up and removes the one-time codes of the user.

use super::passwords::verify_own_password;
use crate::access::totp::TotpKey;
use crate::console::ConsoleState;
use crate::console::components::{build_notice, build_password_input};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_time};
use crate::console::pages::{redirect_to, show_refusal, show_result, show_store_error};
use crate::store::access::users::{UserChange, find_user};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

const PATH: &str = "/settings/totp";
const TITLE: &str = "One-time codes";
/// Longest time from a new key to its first code.
pub const NEW_KEY_LIFETIME: Duration = Duration::from_mins(15);

/// The password of the user.
#[derive(Deserialize)]
pub struct OwnPasswordForm {
    password: String,
}

/// The first code of a new key.
#[derive(Deserialize)]
pub struct FirstCodeForm {
    code: String,
}

/// Shows whether the user enters codes, and a new key until its first code.
pub async fn show_totp_page(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
) -> Response {
    let name = user.session.user.clone();
    let account = match state.read(move |connection| find_user(connection, &name)).await {
        Ok(account) => account,
        Err(error) => return show_store_error(&error),
    };
    let new_key = state.new_totp_keys.find(&user.digest, state.store.clock.now());
    let since = account.as_ref().and_then(|account| account.totp_confirmed_at.as_deref());
    let content = html! {
        h1 { (TITLE) }
        @if user.session.oidc_subject.is_some() {
            p { "The provider of the sign-in manages the second factor of this account." }
        } @else if let Some(since) = since {
            (build_notice(true, "Each sign-in needs your password and a code of your app."))
            p { "Since " (build_time(since)) ". An admin can remove the codes if you lose the device." }
            (build_password_form(&user, "/settings/totp/remove", "Remove the codes"))
        } @else if let Some(key) = &new_key {
            (build_key_form(&user, key))
        } @else {
            p { "With codes, a sign-in needs your password and the 6 digits that an app on your phone shows." }
            (build_password_form(&user, PATH, "Set up codes"))
        }
        p { a href="/settings/account" { "My account" } }
    };
    build_page(TITLE, "/settings", &user, &content).into_response()
}

fn build_password_form(user: &CurrentUser, path: &str, label: &str) -> Markup {
    html! {
        form method="post" action=(path) class="card form" {
            (build_csrf_field(user))
            (build_password_input("password", "Your password", "current-password"))
            button type="submit" { (label) }
        }
    }
}

fn build_key_form(user: &CurrentUser, key: &TotpKey) -> Markup {
    let base32 = key.to_base32();
    let groups: Vec<String> =
        base32.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    let uri = key.to_uri(&user.session.user);
    html! {
        ol {
            li { "Enter this key in your app, or open the link on your phone. It is shown until the first code." }
            li { "Enter the code that the app shows." }
        }
        p { "Key: " code { (groups.join(" ")) } }
        p class="text" { a href=(uri) { (uri) } }
        form method="post" action="/settings/totp/confirm" class="card form" {
            (build_csrf_field(user))
            label { "Code, 6 digits " input name="code" autocomplete="one-time-code" inputmode="numeric" required; }
            button type="submit" { "Confirm" }
        }
    }
}

/// Makes a new key for the user, which counts after its first code.
pub async fn begin_totp(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<OwnPasswordForm>,
) -> Response {
    if let Err(refusal) = verify_own_password(&state, &user, form.password, PATH).await {
        return refusal;
    }
    match TotpKey::generate() {
        Ok(key) => {
            state.new_totp_keys.begin(user.digest, key, user.address.0, state.store.clock.now());
            redirect_to(PATH)
        }
        Err(error) => show_refusal(StatusCode::SERVICE_UNAVAILABLE, &format!("Nothing was changed: {error}.")),
    }
}

/// Stores the new key if the code is right, and ends the user's other sessions.
pub async fn confirm_totp(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<FirstCodeForm>,
) -> Response {
    let show = |is_done: bool, text: &str| show_result(TITLE, PATH, &user, is_done, text);
    let now = state.store.clock.now();
    let Some(key) = state.new_totp_keys.find(&user.digest, now) else {
        return show(false, "There is no new key any more. Begin again; nothing was changed.");
    };
    let Some(step) = key.find_step(&form.code, now) else {
        return show(
            false,
            "The code is wrong. Check the clocks of the phone and of this machine; nothing was changed.",
        );
    };
    let (name, secret) = (user.session.user.clone(), key.secret().clone());
    match state.store.set_totp_key(name, secret, step, user.digest, user.to_actor()).await {
        Ok(UserChange::Done) => {
            state.new_totp_keys.take(&user.digest, now);
            show(true, "From now on, each sign-in needs a code. Your other sessions ended.")
        }
        Ok(_) => show(false, "The account does not exist any more. Nothing was changed."),
        Err(error) => show_store_error(&error),
    }
}

/// Removes the codes of the user.
pub async fn remove_totp(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<OwnPasswordForm>,
) -> Response {
    if let Err(refusal) = verify_own_password(&state, &user, form.password, PATH).await {
        return refusal;
    }
    let name = user.session.user.clone();
    match state.store.remove_totp_key(name.clone(), Some(user.digest), user.to_actor()).await {
        Ok(change) => match change.describe_refusal(&name) {
            None => show_result(TITLE, PATH, &user, true, "The codes are removed: the password alone is enough now."),
            Some(text) => show_result(TITLE, PATH, &user, false, &text),
        },
        Err(error) => show_store_error(&error),
    }
}
