//! Tokens of programs for the API and the metrics.

use crate::access::TokenScope;
use crate::access::token::TokenDigest;
use crate::clock::{self, Timestamp};
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use std::time::Duration;

/// A token of a program, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    pub id: i64,
    pub name: String,
    pub scopes: Vec<TokenScope>,
    pub created_at: String,
    pub created_by: String,
    pub last_used_at: Option<String>,
    pub revoked_at: Option<String>,
}

/// `last_used_at` is written at most once in this time.
const LAST_USED_INTERVAL: Duration = Duration::from_hours(1);
const COLUMNS: &str = "id, name, scopes, created_at, created_by, last_used_at, revoked_at";

fn read_token_row(row: &Row<'_>) -> rusqlite::Result<ApiToken> {
    let scopes: String = row.get(2)?;
    Ok(ApiToken {
        id: row.get(0)?,
        name: row.get(1)?,
        scopes: scopes.split(' ').filter_map(TokenScope::from_name).collect(),
        created_at: row.get(3)?,
        created_by: row.get(4)?,
        last_used_at: row.get(5)?,
        revoked_at: row.get(6)?,
    })
}

/// Returns all tokens, the newest first.
pub fn list_tokens(connection: &Connection) -> Result<Vec<ApiToken>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM api_tokens ORDER BY id DESC"))?;
    let rows = statement.query_map([], read_token_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the valid token of a digest.
pub fn find_token(connection: &Connection, digest: &TokenDigest) -> Result<Option<ApiToken>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM api_tokens WHERE token_hash = ? AND revoked_at IS NULL");
    Ok(connection.prepare_cached(&sql)?.query_row([digest], read_token_row).optional()?)
}

impl Store {
    /// Adds a token and returns its id.
    pub async fn add_token(
        &self,
        name: String,
        scopes: Vec<TokenScope>,
        digest: TokenDigest,
        actor: Actor,
    ) -> Result<i64, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            connection.execute(
                "INSERT INTO api_tokens (name, scopes, token_hash, created_at, created_by) VALUES (?, ?, ?, ?, ?)",
                params![name, scopes.join(" "), digest, at, actor.name],
            )?;
            let id = connection.last_insert_rowid();
            log_token_change(connection, &at, &actor, "CREATE", id)?;
            Ok(id)
        };
        self.writer.submit(WriteClass::Insert, job).await
    }

    /// Revokes a token; returns false if no valid token has this id.
    pub async fn revoke_token(&self, id: i64, actor: Actor) -> Result<bool, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let sql = "UPDATE api_tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";
            let is_revoked = connection.execute(sql, params![at, id])? > 0;
            if is_revoked {
                log_token_change(connection, &at, &actor, "REVOKE", id)?;
            }
            Ok(is_revoked)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Records the use of a token, at most once an hour. Does not wait for the commit.
    pub fn record_token_use(&self, token: &ApiToken) {
        let now = self.clock.now();
        let last = token.last_used_at.as_deref().and_then(|at| clock::parse_timestamp(at).ok());
        let is_recent = |at: Timestamp| at <= now && clock::duration_between(at, now) < LAST_USED_INTERVAL;
        if last.is_some_and(is_recent) {
            return;
        }
        let (at, id) = (clock::format_timestamp(now), token.id);
        let job = move |connection: &Connection| {
            connection.execute("UPDATE api_tokens SET last_used_at = ? WHERE id = ?", params![at, id])?;
            Ok(())
        };
        self.writer.submit_detached(WriteClass::Maintain, job);
    }
}

fn log_token_change(
    connection: &Connection,
    at: &str,
    actor: &Actor,
    operation: &str,
    id: i64,
) -> Result<(), StoreError> {
    actor.log_action(connection, at, ("API-TOKEN", operation, &format!("tokens/{id}")), None)
}
