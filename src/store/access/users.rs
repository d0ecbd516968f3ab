//! Users of the console.

use crate::access::Role;
use crate::access::token::TokenDigest;
use crate::clock;
use crate::secret::Secret;
use crate::store::access::Actor;
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

/// A user of the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsoleUser {
    pub id: i64,
    pub name: String,
    pub role: Role,
    /// PHC string; None: the user has no password.
    #[serde(skip)]
    pub password_hash: Option<String>,
    pub created_at: String,
    pub changed_at: String,
    pub last_login_at: Option<String>,
    /// When the user proved the key of the one-time codes; None: the user enters no codes.
    pub totp_confirmed_at: Option<String>,
    /// Key of the one-time codes.
    #[serde(skip)]
    pub totp_secret: Option<Secret>,
}

/// What a change of a user did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserChange {
    Done,
    /// Another user has this name.
    NameTaken,
    NoSuchUser,
    /// Nobody could manage users any more.
    LastAdmin,
    /// The user enters no one-time codes.
    NoCodes,
}

impl UserChange {
    /// Returns why nothing was changed; None if it was done.
    #[must_use]
    pub fn describe_refusal(self, name: &str) -> Option<String> {
        match self {
            Self::Done => None,
            Self::NameTaken => Some(format!(
                "user {name} exists; nothing was changed. Set the password: `novex-ingest users password {name}`"
            )),
            Self::NoSuchUser => Some(format!("no user has the name {name}: `novex-ingest users list`")),
            Self::LastAdmin => Some(format!(
                "{name} is the last admin, and without one nobody could manage users in the console; nothing was \
                 changed. Add another: `novex-ingest users add NAME --role admin`"
            )),
            Self::NoCodes => Some(format!("{name} has no one-time codes; nothing was changed")),
        }
    }
}

/// Most characters of a user's name.
const NAME_CHARS_MAX: usize = 64;

/// Parses the name of a user: letters, digits and `.@_-`, so that it is one word in logs and commands.
///
/// # Errors
/// The message with the fix.
pub fn parse_user_name(text: &str) -> Result<String, String> {
    let is_allowed = |letter: char| letter.is_alphanumeric() || ".@_-".contains(letter);
    if text.is_empty() || text.chars().count() > NAME_CHARS_MAX || !text.chars().all(is_allowed) {
        return Err(format!("use 1 to {NAME_CHARS_MAX} letters, digits, dots, @, hyphens and underscores"));
    }
    Ok(text.to_owned())
}

const COLUMNS: &str = "id, name, role, password_hash, created_at, changed_at, last_login_at, totp_confirmed_at, \
                       totp_secret";

fn read_user_row(row: &Row<'_>) -> rusqlite::Result<ConsoleUser> {
    let role: String = row.get(2)?;
    Ok(ConsoleUser {
        id: row.get(0)?,
        name: row.get(1)?,
        // A CHECK of the table knows the same names.
        role: Role::from_name(&role).unwrap_or(Role::Viewer),
        password_hash: row.get(3)?,
        created_at: row.get(4)?,
        changed_at: row.get(5)?,
        last_login_at: row.get(6)?,
        totp_confirmed_at: row.get(7)?,
        totp_secret: row.get::<_, Option<Vec<u8>>>(8)?.map(Secret::new),
    })
}

/// Returns all users by name.
pub fn list_users(connection: &Connection) -> Result<Vec<ConsoleUser>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM console_users ORDER BY name"))?;
    let rows = statement.query_map([], read_user_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Returns the user of a name, without regard to capitals.
pub fn find_user(connection: &Connection, name: &str) -> Result<Option<ConsoleUser>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM console_users WHERE name = ?");
    Ok(connection.prepare_cached(&sql)?.query_row([name], read_user_row).optional()?)
}

fn is_last_admin(connection: &Connection, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT role = 'admin' AND (SELECT count(*) FROM console_users WHERE role = 'admin') = 1 \
               FROM console_users WHERE name = ?";
    Ok(connection.query_row(sql, [name], |row| row.get(0)).optional()?.unwrap_or(false))
}

pub(super) fn log_user_change(
    connection: &Connection,
    at: &str,
    actor: &Actor,
    operation: &str,
    name: &str,
) -> Result<(), StoreError> {
    actor.log_action(connection, at, ("CONSOLE-USER", operation, &format!("users/{name}")), None)
}

impl Store {
    /// Adds a user.
    pub async fn add_user(
        &self,
        name: String,
        role: Role,
        password_hash: Option<String>,
        actor: Actor,
    ) -> Result<UserChange, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let added = connection.execute(
                "INSERT INTO console_users (name, role, password_hash, created_at, changed_at) \
                 VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT DO NOTHING",
                params![name, role.as_str(), password_hash, at],
            )?;
            if added == 0 {
                return Ok(UserChange::NameTaken);
            }
            log_user_change(connection, &at, &actor, "ADD", &name)?;
            Ok(UserChange::Done)
        };
        self.writer.submit(WriteClass::Insert, job).await
    }

    /// Removes a user and ends the user's sessions.
    pub async fn remove_user(&self, name: String, actor: Actor) -> Result<UserChange, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            if is_last_admin(connection, &name)? {
                return Ok(UserChange::LastAdmin);
            }
            if connection.execute("DELETE FROM console_users WHERE name = ?", [&name])? == 0 {
                return Ok(UserChange::NoSuchUser);
            }
            log_user_change(connection, &at, &actor, "REMOVE", &name)?;
            Ok(UserChange::Done)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Sets the password of a user and ends the user's sessions, all but `kept`.
    pub async fn set_user_password(
        &self,
        name: String,
        password_hash: String,
        kept: Option<TokenDigest>,
        actor: Actor,
    ) -> Result<UserChange, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            let sql = "UPDATE console_users SET password_hash = ?, changed_at = ? WHERE name = ?";
            if connection.execute(sql, params![password_hash, at, name])? == 0 {
                return Ok(UserChange::NoSuchUser);
            }
            end_sessions_of(connection, &name, kept)?;
            log_user_change(connection, &at, &actor, "PASSWORD", &name)?;
            Ok(UserChange::Done)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }

    /// Sets the role of a user. The user's sessions have it from the next request on.
    pub async fn set_user_role(&self, name: String, role: Role, actor: Actor) -> Result<UserChange, StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            if role != Role::Admin && is_last_admin(connection, &name)? {
                return Ok(UserChange::LastAdmin);
            }
            let sql = "UPDATE console_users SET role = ?, changed_at = ? WHERE name = ?";
            if connection.execute(sql, params![role.as_str(), at, name])? == 0 {
                return Ok(UserChange::NoSuchUser);
            }
            log_user_change(connection, &at, &actor, &format!("ROLE-{}", role.as_str().to_uppercase()), &name)?;
            Ok(UserChange::Done)
        };
        self.writer.submit(WriteClass::Maintain, job).await
    }
}

/// Ends the sessions of a user, all but `kept`.
pub(super) fn end_sessions_of(
    connection: &Connection,
    name: &str,
    kept: Option<TokenDigest>,
) -> Result<(), StoreError> {
    connection.execute(
        "DELETE FROM console_sessions WHERE user_id = (SELECT id FROM console_users WHERE name = ?) \
         AND token_hash IS NOT ?",
        params![name, kept],
    )?;
    Ok(())
}
