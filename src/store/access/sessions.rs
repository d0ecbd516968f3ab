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
    /// Name of the user; of a person whom the OIDC provider named, it begins with [`OIDC_NAME_PREFIX`].
    pub user: String,
    pub role: Role,
    pub csrf_token: String,
    pub last_seen_at: String,
    /// None: a user of `console_users`.
    pub oidc_subject: Option<String>,
}

/// Start of the names of people whom the OIDC provider named. No name of a user has a colon.
pub const OIDC_NAME_PREFIX: &str = "oidc:";

/// A person whom the OIDC provider named, with the role that its claim gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcIdentity {
    pub subject: String,
    pub name: String,
    pub role: Role,
}

impl OidcIdentity {
    /// Returns the name in the console and in the audit trail.
    #[must_use]
    pub fn user(&self) -> String {
        format!("{OIDC_NAME_PREFIX}{}", self.name)
    }
}

/// A session as its owner sees it in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    pub digest: TokenDigest,
    pub created_at: String,
    pub last_seen_at: String,
    pub address: Option<String>,
}

/// A new session: digest of its token, and the token of its forms.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub digest: TokenDigest,
    pub csrf_token: String,
    pub limits: SessionLimits,
    /// None: the session is of the user with the actor's name.
    pub oidc: Option<OidcIdentity>,
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
    let sql = "SELECT u.name, coalesce(u.role, s.oidc_role), s.csrf_token, s.last_seen_at, s.oidc_subject, s.oidc_name \
               FROM console_sessions s LEFT JOIN console_users u ON u.id = s.user_id \
               WHERE s.token_hash = ? AND s.expires_at > ? AND s.last_seen_at > ?";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![digest, clock::format_timestamp(now), idle_since], |row| {
            let local: Option<String> = row.get(0)?;
            let person: Option<String> = row.get(5)?;
            let user = local.or_else(|| Some(format!("{OIDC_NAME_PREFIX}{}", person?)));
            let role = row.get::<_, Option<String>>(1)?.and_then(|role| Role::from_name(&role));
            Ok((user, role, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    Ok(found.and_then(|(user, role, csrf_token, last_seen_at, oidc_subject)| {
        Some(ConsoleSession { user: user?, role: role?, csrf_token, last_seen_at, oidc_subject })
    }))
}

/// The sessions of the owner of `?1`, without this one if `?2` is 0.
const OWN_SESSIONS: &str = "FROM console_sessions AS s JOIN console_sessions AS own ON own.token_hash = ?1 \
                            WHERE (s.user_id = own.user_id OR s.oidc_subject = own.oidc_subject) \
                            AND (?2 OR s.token_hash <> own.token_hash)";

/// Returns the sessions of the owner of a session that are not over, the newest first.
pub fn list_own_sessions(
    connection: &Connection,
    digest: &TokenDigest,
    limits: SessionLimits,
    now: Timestamp,
) -> Result<Vec<SessionRecord>, StoreError> {
    let idle_since = clock::format_timestamp(now.checked_sub(limits.idle).unwrap_or(Timestamp::MIN));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT s.token_hash, s.created_at, s.last_seen_at, s.address {OWN_SESSIONS} AND s.expires_at > ?3 \
         AND s.last_seen_at > ?4 ORDER BY s.created_at DESC LIMIT 100"
    ))?;
    let rows = statement.query_map(params![digest, true, clock::format_timestamp(now), idle_since], |row| {
        Ok(SessionRecord {
            digest: row.get(0)?,
            created_at: row.get(1)?,
            last_seen_at: row.get(2)?,
            address: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
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
            let columns = "token_hash, csrf_token, created_at, last_seen_at, expires_at, address";
            match &session.oidc {
                None => connection.execute(
                    &format!(
                        "INSERT INTO console_sessions ({columns}, user_id) \
                         SELECT ?1, ?2, ?3, ?3, ?4, ?5, id FROM console_users WHERE name = ?6"
                    ),
                    params![session.digest, session.csrf_token, at, expires_at, actor.address, actor.name],
                )?,
                Some(person) => connection.execute(
                    &format!(
                        "INSERT INTO console_sessions ({columns}, oidc_subject, oidc_name, oidc_role) \
                         VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8)"
                    ),
                    params![
                        session.digest,
                        session.csrf_token,
                        at,
                        expires_at,
                        actor.address,
                        person.subject,
                        person.name,
                        person.role.as_str()
                    ],
                )?,
            };
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

    /// Ends all sessions of the owner of a session but this one. Returns their number.
    pub async fn end_other_sessions(&self, digest: TokenDigest, actor: Actor) -> Result<usize, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let sql = format!("DELETE FROM console_sessions WHERE token_hash IN (SELECT s.token_hash {OWN_SESSIONS})");
            let ended = connection.execute(&sql, params![digest, false])?;
            if ended > 0 {
                log_access(connection, &at, &actor, "LOGOUT-OTHERS", None)?;
            }
            Ok(ended)
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
