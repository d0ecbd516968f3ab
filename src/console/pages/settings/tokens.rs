//! `/settings/tokens`: creates, lists and revokes the tokens of programs, as `tokens` does.

use crate::access::TokenScope;
use crate::access::token::{API_TOKEN_PREFIX, SecretToken};
use crate::console::ConsoleState;
use crate::console::components::{build_action, build_input};
use crate::console::guard::CurrentUser;
use crate::console::layout::{build_csrf_field, build_page, build_time};
use crate::console::pages::{redirect_to, show_result, show_store_error};
use crate::store::access::tokens::{ApiToken, list_tokens};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, http::StatusCode};
use clap::ValueEnum;
use maud::{Markup, html};
use std::sync::Arc;

const PATH: &str = "/settings/tokens";
const TITLE: &str = "API tokens";
/// Most characters of the name of a token.
const NAME_CHARS_MAX: usize = 64;

/// Shows all tokens.
pub async fn show_tokens(State(state): State<Arc<ConsoleState>>, Extension(user): Extension<CurrentUser>) -> Response {
    let tokens = match state.read(list_tokens).await {
        Ok(tokens) => tokens,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { (TITLE) }
        @if tokens.is_empty() { p { "No tokens." } } @else { (build_table(&tokens, &user)) }
        section {
            h2 { "Create a token" }
            form method="post" action=(PATH) class="card form" {
                (build_csrf_field(&user))
                (build_input("name", "Name of the program", "", "erp"))
                fieldset {
                    legend { "Scopes" }
                    @for scope in TokenScope::value_variants() {
                        label { input type="checkbox" name="scope" value=(scope.as_str()); " " (scope.as_str()) }
                    }
                }
                button type="submit" { "Create" }
            }
        }
    };
    build_page(TITLE, super::PATH, &user, &content).into_response()
}

fn build_table(tokens: &[ApiToken], user: &CurrentUser) -> Markup {
    html! {
        div class="scroll" tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" class="number" { "Id" } th scope="col" { "Name" } th scope="col" { "Scopes" }
                        th scope="col" { "Created" } th scope="col" { "By" } th scope="col" { "Last used" }
                        th scope="col" { "Revoked" }
                    }
                }
                tbody {
                    @for token in tokens {
                        tr {
                            th scope="row" class="number" { (token.id) }
                            td { (token.name) }
                            td { @for scope in &token.scopes { (scope.as_str()) " " } }
                            td { (build_time(&token.created_at)) }
                            td { (token.created_by) }
                            td { @if let Some(at) = &token.last_used_at { (build_time(at)) } }
                            td {
                                @match &token.revoked_at {
                                    Some(at) => { (build_time(at)) }
                                    None => { (build_action(user, &format!("{PATH}/{}/revoke", token.id), "Revoke", &[])) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Creates a token and shows it once, as `tokens create` does.
pub async fn create_token(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    body: Bytes,
) -> Response {
    let (mut name, mut scopes) = (String::new(), Vec::new());
    for (key, value) in form_urlencoded::parse(&body) {
        match &*key {
            "name" => value.trim().clone_into(&mut name),
            "scope" => scopes.extend(TokenScope::from_name(&value)),
            _ => {}
        }
    }
    scopes.sort_unstable();
    scopes.dedup();
    let refuse = |text: &str| show_result(TITLE, PATH, &user, false, text);
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || scopes.is_empty() {
        return refuse("Enter a name of at most 64 characters and choose a scope. Nothing was changed.");
    }
    let token = match SecretToken::generate(API_TOKEN_PREFIX) {
        Ok(token) => token,
        Err(error) => return refuse(&format!("Nothing was changed: {error}.")),
    };
    let id = match state.store.add_token(name, scopes, token.digest(), user.to_actor()).await {
        Ok(id) => id,
        Err(error) => return show_store_error(&error),
    };
    let content = html! {
        h1 { (TITLE) }
        p class="notice" role="status" { "This is token " (id) ". Nobody can read it again: store it now." }
        p { code class="text" { (token.expose()) } }
        p { a href=(PATH) { "Back" } }
    };
    (StatusCode::OK, build_page(TITLE, super::PATH, &user, &content)).into_response()
}

/// Revokes a token, as `tokens revoke` does.
pub async fn revoke_token(
    State(state): State<Arc<ConsoleState>>,
    Extension(user): Extension<CurrentUser>,
    Path(id): Path<i64>,
) -> Response {
    match state.store.revoke_token(id, user.to_actor()).await {
        Ok(true) => redirect_to(PATH),
        Ok(false) => show_result(TITLE, PATH, &user, false, &format!("No valid token has the id {id}.")),
        Err(error) => show_store_error(&error),
    }
}
