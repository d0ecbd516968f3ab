//! `/settings/account`: the own password and the own sessions.

use super::passwords::{hash_new_password, verify_own_password};
use crate::console::ConsoleState;
use crate::console::components::{build_action, build_password_input};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_time};
use crate::console::pages::{redirect_to, show_result, show_store_error};
use crate::store::access::sessions::{SessionRecord, list_own_sessions};
use crate::store::access::users::UserChange;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

const PATH: &str = "/settings/account";

/// Shows the account of the user.
pub async fn show_account(State(state): State<Arc<ConsoleState>>, Extension(user): Extension<CurrentUser>) -> Response {
    let (digest, limits, now) = (user.digest, state.config.console.session_limits, state.store.clock.now());
    let sessions = match state.read(move |connection| list_own_sessions(connection, &digest, limits, now)).await {
        Ok(sessions) => sessions,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { "My account" }
        p { (user.session.user) ", " (user.session.role.as_str()) }
        @if user.session.oidc_subject.is_some() {
            p { "The provider of the sign-in manages the password, the second factor and the role of this account." }
        } @else {
            section {
                h2 { "Password" }
                form method="post" action="/settings/account/password" class="card form" {
                    (build_csrf_field(&user))
                    (build_password_input("current", "Present password", "current-password"))
                    (build_password_input("new", "New password, at least 12 characters", "new-password"))
                    (build_password_input("repeated", "The new password again", "new-password"))
                    button type="submit" { "Set the password" }
                }
            }
            p { a href="/settings/totp" { "One-time codes" } }
        }
        (build_sessions(&sessions, &user))
    };
    build_page("My account", "/settings", &user, &content).into_response()
}

fn build_sessions(sessions: &[SessionRecord], user: &CurrentUser) -> Markup {
    html! {
        section id="sessions" {
            h2 { "Sessions" }
            div class="scroll" tabindex="0" {
                table {
                    thead {
                        tr {
                            th scope="col" { "Signed in" } th scope="col" { "Last request" } th scope="col" { "Address" }
                        }
                    }
                    tbody {
                        @for session in sessions {
                            tr {
                                th scope="row" {
                                    (build_time(&session.created_at))
                                    @if session.digest == user.digest { " (this one)" }
                                }
                                td { (build_time(&session.last_seen_at)) }
                                td { (session.address.as_deref().unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
            @if sessions.len() > 1 {
                (build_action(user, "/settings/account/end-sessions", "End the other sessions", &[]))
            }
        }
    }
}

/// Ends all sessions of the user but this one.
pub async fn end_other_sessions(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
) -> Response {
    match state.store.end_other_sessions(user.digest, user.to_actor()).await {
        Ok(_) => redirect_to("/settings/account#sessions"),
        Err(error) => show_store_error(&error),
    }
}

/// The present and the new password.
#[derive(Deserialize)]
pub struct PasswordForm {
    current: String,
    new: String,
    repeated: String,
}

/// Sets the password of the user and ends the user's other sessions.
pub async fn set_own_password(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<PasswordForm>,
) -> Response {
    let show = |is_done: bool, text: &str| show_result("My account", PATH, &user, is_done, text);
    if form.new != form.repeated {
        return show(false, "The two new passwords differ. Nothing was changed.");
    }
    if let Err(refusal) = verify_own_password(&state, &user, form.current, PATH).await {
        return refusal;
    }
    let name = user.session.user.clone();
    let hash = match hash_new_password(&state, form.new, &name).await {
        Ok(hash) => hash,
        Err(error) => return show(false, &format!("Nothing was changed: {error}.")),
    };
    match state.store.set_user_password(name, hash, Some(user.digest), user.to_actor()).await {
        Ok(UserChange::Done) => show(true, "The password is set. Your other sessions ended."),
        Ok(_) => show(false, "The account does not exist any more. Nothing was changed."),
        Err(error) => show_store_error(&error),
    }
}
