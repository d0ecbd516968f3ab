//! The one-time codes of users: their keys, and the last used code.

use crate::access::token::TokenDigest;
use crate::clock;
use crate::secret::Secret;
use crate::store::access::Actor;
use crate::store::access::users::{UserChange, end_sessions_of, log_user_change};
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

impl Store {
    /// Stores the key of a user's one-time codes and ends the user's sessions, all but `kept`. `step` is the time step
    /// of the code that proved the key.
    pub async fn set_totp_key(
        &self,
        name: String,
        key: Secret,
        step: u64,
        kept: TokenDigest,
        actor: Actor,
    ) -> Result<UserChange, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let sql =
                "UPDATE console_users SET totp_secret = ?, totp_confirmed_at = ?, totp_last_step = ? WHERE name = ?";
            if connection.execute(sql, params![key.expose(), at, step, name])? == 0 {
                return Ok(UserChange::NoSuchUser);
            }
            end_sessions_of(connection, &name, Some(kept))?;
            log_user_change(connection, &at, &actor, "TOTP-ADD", &name)?;
            Ok(UserChange::Done)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Removes the key of a user's one-time codes and ends the user's sessions, all but `kept`.
    pub async fn remove_totp_key(
        &self,
        name: String,
        kept: Option<TokenDigest>,
        actor: Actor,
    ) -> Result<UserChange, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let has_key: Option<bool> = connection
                .query_row("SELECT totp_secret IS NOT NULL FROM console_users WHERE name = ?", [&name], |row| {
                    row.get(0)
                })
                .optional()?;
            match has_key {
                None => return Ok(UserChange::NoSuchUser),
                Some(false) => return Ok(UserChange::NoCodes),
                Some(true) => {}
            }
            let sql = "UPDATE console_users SET totp_secret = NULL, totp_confirmed_at = NULL, totp_last_step = NULL \
                       WHERE name = ?";
            connection.execute(sql, [&name])?;
            end_sessions_of(connection, &name, kept)?;
            log_user_change(connection, &at, &actor, "TOTP-REMOVE", &name)?;
            Ok(UserChange::Done)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Marks the code of a time step as used. Returns false if this code or a later one was used before, or if the user
    /// has another key now.
    pub async fn use_totp_step(&self, name: String, key: Secret, step: u64) -> Result<bool, StoreError> {
        let job = move |connection: &Connection| {
            let sql = "UPDATE console_users SET totp_last_step = ?1 WHERE name = ?2 AND totp_secret = ?3 \
                       AND coalesce(totp_last_step, -1) < ?1";
            Ok(connection.execute(sql, params![step, name, key.expose()])? > 0)
        };
        self.writer.submit(WriteClass::Insert, job).await
    }
}
