//! Sessions of the console. The database has digests of their tokens, never the tokens.

use crate::access::Role;
use crate::access::token::TokenDigest;
use crate::clock::{self, Timestamp};
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;

/// Limits of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Longest time without a request.
    pub idle: Duration,
    /// Longest time since the sign-in.
    pub total: Duration,
}

/// A valid session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSession {
    pub user: String,
    pub role: Role,
    pub csrf_token: String,
    pub last_seen_at: String,
}

/// A new session: digest of its token, and the token of its forms.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub digest: TokenDigest,
    pub csrf_token: String,
    pub limits: SessionLimits,
}

/// `last_seen_at` is written at most once in this time.
const LAST_SEEN_INTERVAL: Duration = Duration::from_mins(1);

/// Returns the session of a token, if it is valid at `now`.
pub fn find_session(
    connection: &Connection,
    digest: &TokenDigest,
    limits: SessionLimits,
    now: Timestamp,
) -> Result<Option<ConsoleSession>, StoreError> {
    let idle_since = clock::format_timestamp(now.checked_sub(limits.idle).unwrap_or(Timestamp::MIN));
    let sql = "SELECT u.name, u.role, s.csrf_token, s.last_seen_at FROM console_sessions s \
               JOIN console_users u ON u.id = s.user_id \
               WHERE s.token_hash = ? AND s.expires_at > ? AND s.last_seen_at > ?";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![digest, clock::format_timestamp(now), idle_since], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    Ok(found.and_then(|(user, role, csrf_token, last_seen_at)| {
        Some(ConsoleSession { user, role: Role::from_name(&role)?, csrf_token, last_seen_at })
    }))
}

impl Store {
    /// Begins a session of a user, and ends the session that the browser had before. Also deletes the sessions that
    /// are over.
    pub async fn begin_session(
        &self,
        actor: Actor,
        session: NewSession,
        replaced: Option<TokenDigest>,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let job = move |connection: &Connection| {
            let at = clock::format_timestamp(now);
            let expires_at = clock::format_timestamp(clock::add_duration(now, session.limits.total));
            let idle_since = now.checked_sub(session.limits.idle).unwrap_or(Timestamp::MIN);
            connection.execute(
                "DELETE FROM console_sessions WHERE expires_at <= ?1 OR last_seen_at <= ?2 OR token_hash IS ?3",
                params![at, clock::format_timestamp(idle_since), replaced],
            )?;
            connection.execute(
                "INSERT INTO console_sessions (token_hash, user_id, csrf_token, created_at, last_seen_at, expires_at) \
                 SELECT ?1, id, ?2, ?3, ?3, ?4 FROM console_users WHERE name = ?5",
                params![session.digest, session.csrf_token, at, expires_at, actor.name],
            )?;
            connection.execute("UPDATE console_users SET last_login_at = ? WHERE name = ?", params![at, actor.name])?;
            log_access(connection, &at, &actor, "LOGIN", None)
        };
        self.writer.submit(WriteClass::Insert, job).await
    }

    /// Ends the session of a token.
    pub async fn end_session(&self, digest: TokenDigest, actor: Actor) -> Result<(), StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            if connection.execute("DELETE FROM console_sessions WHERE token_hash = ?", [digest])? > 0 {
                log_access(connection, &at, &actor, "LOGOUT", None)?;
            }
            Ok(())
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Records that a sign-in was refused. `user` is what the person entered.
    pub async fn record_refused_login(&self, actor: Actor, reason: &'static str) -> Result<(), StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| log_access(connection, &at, &actor, "LOGIN", Some(reason));
        self.writer.submit(WriteClass::Insert, job).await
    }

    /// Records that a person asked to see the personal data of a page of the console.
    pub async fn record_personal_view(&self, actor: Actor, page: String) -> Result<(), StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job =
            move |connection: &Connection| actor.log_action(connection, &at, ("PERSONAL-DATA", "VIEW", &page), None);
        self.writer.submit(WriteClass::Insert, job).await
    }

    /// Moves the end of the idle time of a session, at most once a minute. Does not wait for the commit.
    pub fn touch_session(&self, digest: TokenDigest, session: &ConsoleSession) {
        let now = self.clock.now();
        let is_recent = clock::parse_timestamp(&session.last_seen_at)
            .is_ok_and(|seen| seen <= now && clock::duration_between(seen, now) < LAST_SEEN_INTERVAL);
        if is_recent {
            return;
        }
        let at = clock::format_timestamp(now);
        let job = move |connection: &Connection| {
            connection
                .execute("UPDATE console_sessions SET last_seen_at = ? WHERE token_hash = ?", params![at, digest])?;
            Ok(())
        };
        // A lost update shortens the idle time by a minute at most.
        self.writer.submit_detached(WriteClass::Maintain, job);
    }
}

fn log_access(
    connection: &Connection,
    at: &str,
    actor: &Actor,
    operation: &str,
    error: Option<&str>,
) -> Result<(), StoreError> {
    actor.log_action(connection, at, ("CONSOLE", operation, &format!("users/{}", actor.name)), error)
}
