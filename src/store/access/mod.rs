//! Users, sessions and tokens of the console and the API.
//!
//! Each change is an entry of the audit trail, in the same transaction.

pub mod sessions;
pub mod tokens;
pub mod users;

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
}
