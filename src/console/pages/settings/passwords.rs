//! Checks and sets passwords for the pages of accounts and users.

use crate::access::password::{check_password, hash_password};
use crate::console::ConsoleState;
use crate::console::guard::CurrentUser;
use crate::console::login::verify_on_thread;
use crate::console::pages::{show_result, show_store_error};
use crate::store::access::users::find_user;
use axum::response::Response;
use std::sync::Arc;

/// Checks that the person at the browser knows the password of the account. Wrong ones count as those at the sign-in.
///
/// # Errors
/// The page that says why nothing was done.
pub(super) async fn verify_own_password(
    state: &Arc<ConsoleState>,
    user: &CurrentUser,
    password: String,
    path: &str,
) -> Result<(), Response> {
    let (name, address, now) = (user.session.user.clone(), user.address.0, state.store.clock.now());
    let refuse = |text: &str| show_result("My account", path, user, false, text);
    if !state.login_limits.find_wait(&name, address, now).is_zero() {
        return Err(refuse("Too many wrong passwords: wait some minutes. Nothing was changed."));
    }
    // A person of the OIDC provider has a name that no user has, so no password fits.
    let found = state.read(move |connection| find_user(connection, &name)).await;
    let hash = found.map_err(|error| show_store_error(&error))?.and_then(|user| user.password_hash);
    if verify_on_thread(state, hash, password).await {
        return Ok(());
    }
    state.login_limits.record_failure(&user.session.user, address, now);
    let (path, error) = (format!("users/{}", user.session.user), Some("invalid_credentials".to_owned()));
    state
        .store
        .record_action(user.to_actor(), ("CONSOLE-USER", "PASSWORD-CHECK"), path, error)
        .await
        .map_err(|error| show_store_error(&error))?;
    Err(refuse("The present password is wrong. Nothing was changed."))
}

/// Returns the hash of a new password.
///
/// # Errors
/// The message about a password that is too weak.
pub(super) async fn hash_new_password(state: &ConsoleState, password: String, user: &str) -> Result<String, String> {
    check_password(&password, user)?;
    let failed = |error: anyhow::Error| format!("{error:#}");
    let Ok(_permit) = state.verifications.acquire().await else { return Err("the daemon ends".to_owned()) };
    let task = tokio::task::spawn_blocking(move || hash_password(&password));
    task.await.map_err(|error| failed(error.into()))?.map_err(failed)
}
