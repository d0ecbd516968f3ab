//! Users, sessions and tokens of the console and the API.
//!
//! Each change is an entry of the audit trail, in the same transaction.

pub mod sessions;
pub mod tokens;
pub mod totp;
pub mod users;

use crate::clock;
use crate::store::audit::system_log::{OperatorAction, append_operator_action};
use crate::store::db::writer::WriteClass;
use crate::store::{Store, StoreError};
use rusqlite::Connection;

/// Who changes something, for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `user@host` of a command, or the name of a console user.
    pub name: String,
    /// Address of the browser or program; None for a command.
    pub address: Option<String>,
}

impl Actor {
    /// Returns the person who runs a command.
    #[must_use]
    pub fn from_operator(name: String) -> Self {
        Self { name, address: None }
    }

    /// Appends what this person did to the audit trail. `error` is the reason why it was refused.
    pub(crate) fn log_action(
        &self,
        connection: &Connection,
        at: &str,
        (resource, operation, path): (&'static str, &str, &str),
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        let (by, address) = (self.name.as_str(), self.address.as_deref());
        append_operator_action(connection, at, OperatorAction { by, resource, operation, path, address, error })
    }
}

impl Store {
    /// Records what a person did that changed no row, such as a test of a destination. `error` is the reason why it
    /// was refused or failed.
    pub async fn record_action(
        &self,
        actor: Actor,
        (resource, operation): (&'static str, &'static str),
        path: String,
        error: Option<String>,
    ) -> Result<(), StoreError> {
        let at = clock::format_timestamp(self.clock.now());
        let job = move |connection: &Connection| {
            actor.log_action(connection, &at, (resource, operation, &path), error.as_deref())
        };
        self.writer.submit(WriteClass::Insert, job).await
    }
}
