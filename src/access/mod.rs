//! Who may do what in the console and the API: roles of people, scopes of programs, passwords, one-time codes and
//! tokens. Pure.

pub mod id_token;
pub mod password;
pub mod token;
pub mod totp;

use clap::ValueEnum;
use serde::Serialize;

/// Rights of a person in the console. Each role has the rights of the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything, with personal data masked.
    Viewer,
    /// Also retries, dismisses, maps, pauses destinations, and reveals personal data.
    Operator,
    /// Also manages users, tokens and privacy requests.
    Admin,
}

impl Role {
    /// Returns the name as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Returns the role of a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Viewer, Self::Operator, Self::Admin].into_iter().find(|role| role.as_str() == name)
    }
}

/// Right of an API token. A token can have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// Reads `/api/v1`.
    Read,
    /// Retries and dismisses events, and changes mappings and destinations.
    Write,
    /// Reads `/metrics` from another computer.
    Metrics,
}

impl TokenScope {
    /// Returns the name as it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Metrics => "metrics",
        }
    }

    /// Returns the scope of a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Metrics].into_iter().find(|scope| scope.as_str() == name)
    }
}
