//! Fetching EDI files: sources are polled, each file is claimed, downloaded, checked, stored as an event, and only then moved or
//! deleted where it came from.
//!
//! [`poll`] is the one way of a file, whoever asks for it: [`schedule`] in the daemon, `POST /api/sps/poll`, or
//! `novex-ingest sps poll`. They may all run at once: who takes a file is decided by a claim in the database
//! (`store::sps_files`), as for events. [`transport`] is how a source is reached.

pub mod poll;
pub mod schedule;
pub mod transport;

use crate::secret::Secret;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A directory that is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub place: Place,
    pub after: After,
    /// Largest file that is taken.
    pub max_file_bytes: u64,
    /// A file that was changed less than this ago may still be written to.
    pub settle: Duration,
    /// How long reaching the source, and each file, may take.
    pub timeout: Duration,
}

/// Where it is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// `file:///srv/sps/in`
    Files { path: PathBuf },
    /// `sftp://user@host:22/out`
    Sftp(Sftp),
    /// `https://api.spscommerce.com/transactions/v5/data/out`
    Api(Api),
}

/// A directory of SPS's transactions API.
#[derive(Debug, Clone)]
pub struct Api {
    pub url: String,
    pub client_id: String,
    /// The client's secret.
    pub secrets: Vec<Secret>,
    pub token_url: String,
    pub audience: String,
    /// The token, kept from one poll to the next.
    pub token: Arc<Mutex<transport::api::Token>>,
}

impl PartialEq for Api {
    /// As it is configured: the token comes and goes.
    fn eq(&self, other: &Self) -> bool {
        let configured = |api: &Self| {
            (api.url.clone(), api.client_id.clone(), api.secrets.clone(), api.token_url.clone(), api.audience.clone())
        };
        configured(self) == configured(other)
    }
}

impl Eq for Api {}

/// A directory at an SFTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sftp {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub path: String,
    /// A private key's text, or a password.
    pub secrets: Vec<Secret>,
    pub host_key: HostKey,
}

/// Which key the server must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKey {
    /// This one, as OpenSSH writes it: `ssh-ed25519 AAAA…`.
    Pinned(String),
    /// The one it shows first, from then on.
    FirstUse,
}

/// What becomes of a file at the source when it is stored here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Moved into `archive` beside it.
    Archive,
    Delete,
    Leave,
}

impl Source {
    /// The directory, as events name it.
    #[must_use]
    pub fn directory(&self) -> String {
        match &self.place {
            Place::Files { path } => path.display().to_string(),
            Place::Sftp(sftp) => sftp.path.clone(),
            Place::Api(api) => api.url.clone(),
        }
    }
}
