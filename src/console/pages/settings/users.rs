//! `/settings/users`: adds, lists and removes users, and sets their passwords and roles, as `users` does.

use super::passwords::hash_new_password;
use crate::access::Role;
use crate::console::ConsoleState;
use crate::console::components::{build_action, build_input, build_password_input};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_time};
use crate::console::pages::{redirect_to, show_result, show_store_error};
use crate::presentation::program::complete_commands;
use crate::store::StoreError;
use crate::store::access::users::{ConsoleUser, UserChange, list_users, parse_user_name};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use maud::{Markup, html};
use serde::Deserialize;
use std::sync::Arc;

const PATH: &str = "/settings/users";
const TITLE: &str = "Users";

/// Shows all users.
pub async fn show_users(State(state): State<Arc<ConsoleState>>, Extension(user): Extension<CurrentUser>) -> Response {
    let users = match state.read(list_users).await {
        Ok(users) => users,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { (TITLE) }
        p { "A viewer reads. An operator also retries and reveals personal data. An admin also manages users." }
        @if let Some(oidc) = &state.oidc { p { "People who sign in with " (oidc.settings.name) " are not in this list." } }
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { "Name" } th scope="col" { "Role" } th scope="col" { "Created" }
                        th scope="col" { "Last sign-in" } th scope="col" { "Codes" } th scope="col" { "Actions" }
                    }
                }
                tbody { @for account in &users { (build_row(account, &user)) } }
            }
        }
        section {
            h2 { "Add a user" }
            form method="post" action=(PATH) class="card form" {
                (build_csrf_field(&user))
                (build_input("name", "Name", "", ""))
                (build_role_select("operator"))
                (build_password_input("password", "Password, at least 12 characters", "new-password"))
                button type="submit" { "Add" }
            }
        }
    };
    build_page(TITLE, super::PATH, &user, &content).into_response()
}

fn build_role_select(chosen: &str) -> Markup {
    html! {
        label { "Role "
            select name="role" {
                @for role in [Role::Viewer, Role::Operator, Role::Admin] {
                    option value=(role.as_str()) selected[role.as_str() == chosen] { (role.as_str()) }
                }
            }
        }
    }
}

fn build_row(account: &ConsoleUser, user: &CurrentUser) -> Markup {
    let path = |operation: &str| {
        let name = percent_encoding::utf8_percent_encode(&account.name, percent_encoding::NON_ALPHANUMERIC);
        format!("{PATH}/{name}/{operation}")
    };
    html! {
        tr {
            th scope="row" { (account.name) }
            td { (account.role.as_str()) }
            td { (build_time(&account.created_at)) }
            td { @if let Some(at) = &account.last_login_at { (build_time(at)) } }
            td { @if account.totp_confirmed_at.is_some() { "yes" } @else { "no" } }
            td {
                details {
                    summary { "Change " (account.name) }
                    form method="post" action=(path("role")) class="action" {
                        (build_csrf_field(user)) (build_role_select(account.role.as_str()))
                        button type="submit" { "Set the role" }
                    }
                    form method="post" action=(path("password")) class="action" {
                        (build_csrf_field(user)) (build_password_input("password", "New password", "new-password"))
                        button type="submit" { "Set the password" }
                    }
                    @if account.totp_confirmed_at.is_some() {
                        (build_action(user, &path("totp"), "Remove the codes", &[]))
                    }
                    (build_action(user, &path("remove"), "Remove the user", &[]))
                }
            }
        }
    }
}

fn show_change(change: Result<UserChange, StoreError>, name: &str, user: &CurrentUser) -> Response {
    match change.map(|change| change.describe_refusal(name)) {
        Ok(None) => redirect_to(PATH),
        Ok(Some(text)) => show_result(TITLE, PATH, user, false, &complete_commands(&text)),
        Err(error) => show_store_error(&error),
    }
}

/// The new user.
#[derive(Deserialize)]
pub struct NewUserForm {
    name: String,
    role: String,
    password: String,
}

/// Adds a user, as `users add` does.
pub async fn add_user(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Form(form): Form<NewUserForm>,
) -> Response {
    let refuse = |text: &str| show_result(TITLE, PATH, &user, false, &format!("Nothing was changed: {text}."));
    let name = match parse_user_name(form.name.trim()) {
        Ok(name) => name,
        Err(error) => return refuse(&error),
    };
    let Some(role) = Role::from_name(&form.role) else { return refuse("there is no such role") };
    match hash_new_password(&state, form.password, &name).await {
        Ok(hash) => {
            let change = state.store.add_user(name.clone(), role, Some(hash), user.to_actor()).await;
            show_change(change, &name, &user)
        }
        Err(error) => refuse(&error),
    }
}

/// The new role.
#[derive(Deserialize)]
pub struct RoleForm {
    role: String,
}

/// Sets the role of a user, as `users role` does.
pub async fn set_role(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(name): Path<String>,
    Form(form): Form<RoleForm>,
) -> Response {
    let Some(role) = Role::from_name(&form.role) else {
        return show_result(TITLE, PATH, &user, false, "Nothing was changed: there is no such role.");
    };
    show_change(state.store.set_user_role(name.clone(), role, user.to_actor()).await, &name, &user)
}

/// The new password.
#[derive(Deserialize)]
pub struct NewPasswordForm {
    password: String,
}

/// Sets the password of a user and ends the user's sessions, as `users password` does.
pub async fn set_password(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(name): Path<String>,
    Form(form): Form<NewPasswordForm>,
) -> Response {
    match hash_new_password(&state, form.password, &name).await {
        Ok(hash) => {
            let change = state.store.set_user_password(name.clone(), hash, None, user.to_actor()).await;
            show_change(change, &name, &user)
        }
        Err(error) => show_result(TITLE, PATH, &user, false, &format!("Nothing was changed: {error}.")),
    }
}

/// Removes the one-time codes of a user and ends the user's sessions, as `users totp --reset` does.
pub async fn reset_totp(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(name): Path<String>,
) -> Response {
    show_change(state.store.remove_totp_key(name.clone(), None, user.to_actor()).await, &name, &user)
}

/// Removes a user, as `users remove` does.
pub async fn remove_user(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(name): Path<String>,
) -> Response {
    show_change(state.store.remove_user(name.clone(), user.to_actor()).await, &name, &user)
}
