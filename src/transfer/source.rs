//! Settings of an EDI source: its location, its credentials, and the handling of its files after the download.
//!
//! The configuration builds them. `edi_poll` polls a source with them, and an outbound destination can upload to one.

use crate::secret::Secret;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Settings of one EDI source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    pub name: String,
    pub location: SourceLocation,
    pub after_download: AfterDownload,
    /// Largest file that is downloaded, in bytes.
    pub max_file_bytes: u64,
    /// Age below which a file may still be written, so that it is not read yet.
    pub settle_time: Duration,
    /// Timeout for the connection, and for each file.
    pub timeout: Duration,
}

/// Location of a source, with the settings of its transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceLocation {
    /// `file:///srv/sps/in`
    Local { path: PathBuf },
    /// `sftp://user@host:22/out`
    Sftp(SftpSettings),
    /// `https://api.spscommerce.com/transactions/v5/data/out`
    SpsApi(SpsApiSettings),
}

/// Settings of a directory of SPS's transactions API.
#[derive(Debug, Clone)]
pub struct SpsApiSettings {
    pub url: String,
    pub client_id: String,
    /// Client secret.
    pub secrets: Vec<Secret>,
    pub token_url: String,
    pub audience: String,
    /// Access token, cached from one poll to the next.
    pub token: Arc<Mutex<crate::transfer::sps_api::CachedToken>>,
}

impl PartialEq for SpsApiSettings {
    /// Compares the configured values, without the cached token.
    fn eq(&self, other: &Self) -> bool {
        let configured = |api: &Self| {
            (api.url.clone(), api.client_id.clone(), api.secrets.clone(), api.token_url.clone(), api.audience.clone())
        };
        configured(self) == configured(other)
    }
}

impl Eq for SpsApiSettings {}

/// Settings of a directory at an SFTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SftpSettings {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub path: String,
    /// Private key as text, or password.
    pub secrets: Vec<Secret>,
    pub host_key: HostKeyPolicy,
}

/// Host key that the server must present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// This key, in OpenSSH's format: `ssh-ed25519 AAAA…`.
    Pinned(String),
    /// The key of the first connection.
    TrustOnFirstUse,
}

/// Handling of a file at the source after it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDownload {
    /// Move it into the directory `archive` beside it.
    Archive,
    /// Delete it.
    Delete,
    /// Leave it unchanged.
    Leave,
}

impl SourceSettings {
    /// Returns the directory, which is the shop domain of its events.
    #[must_use]
    pub fn directory(&self) -> String {
        match &self.location {
            SourceLocation::Local { path } => path.display().to_string(),
            SourceLocation::Sftp(sftp) => sftp.path.clone(),
            SourceLocation::SpsApi(api) => api.url.clone(),
        }
    }
}
