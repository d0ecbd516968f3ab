//! The configuration, in steps: text → [`reader`] (typed values, every mistake noted with its line) → [`Config`] (checked,
//! secrets loaded). `config check` and `serve` take the same steps, so what passes the one starts the other.

pub mod backup;
mod destinations;
pub mod dev;
pub mod mistake;
pub mod reader;
mod retention;
pub mod secrets;
pub mod sections;
pub mod sps;
mod tls;

pub use mistake::{Mistake, Mistakes, Warning};

use reader::Document;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Where the package puts it.
pub const INSTALLED: &str = "/etc/novex-ingest/config.toml";

/// Reading one waits until somebody writes to it, which a daemon must not.
fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo())
}

/// Everything that `serve` needs, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    pub server: sections::Server,
    pub tls: sections::Tls,
    pub store: sections::Store,
    pub worker: sections::Worker,
    pub shopify: Vec<sections::Shop>,
    pub easypost: Option<sections::EasyPost>,
    pub keycloak: Option<sections::Keycloak>,
    pub sps: Option<sps::Sps>,
    pub destinations: Vec<crate::destinations::Settings>,
    pub backup: Option<backup::Backup>,
    pub retention: crate::queue::janitor::Retention,
    pub log: sections::Log,
    /// What works but deserves a look: told at start and by `config check`.
    pub warnings: Vec<Warning>,
    /// Where in the file the things stand that only trying shows to be wrong; 0 where the default holds.
    pub lines: Lines,
}

/// Lines of some keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lines {
    pub listen: usize,
    pub store: usize,
    pub certificate: usize,
}

/// Whether a command needs the secrets. One that only looks does not, and must work where they cannot be read: systemd
/// shows its credentials to the service alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    Load,
    /// Only those by which things are handed on: a worker verifies nothing.
    Destinations,
    LeaveAside,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// All mistakes in it, each with its line and its mend.
    pub fn load(path: &Path, secrets: Secrets) -> Result<Self, Mistakes> {
        Self::parse(path, &Self::text(path)?, secrets)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn text(path: &Path) -> Result<String, Mistakes> {
        if is_pipe(path) {
            return Err(Mistakes::single(path, "is a pipe and no file", "Name a file."));
        }
        std::fs::read_to_string(path).map_err(|error| {
            let mend = match error.kind() {
                std::io::ErrorKind::NotFound => "Name the file with --config FILE, or run from a checkout with --dev.",
                std::io::ErrorKind::PermissionDenied => "Run this as root or as the user novex-ingest.",
                _ => "The file must be readable UTF-8 text.",
            };
            Mistakes::single(path, format!("cannot be read: {error}"), mend)
        })
    }

    /// Checks the text of a file; `path` is for messages and for secrets with a relative path.
    ///
    /// # Errors
    /// All mistakes in it, each with its line and its mend.
    pub fn parse(path: &Path, text: &str, secrets: Secrets) -> Result<Self, Mistakes> {
        let (config, mistakes) = Self::survey(path, text, secrets);
        if mistakes.list.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// The configuration as far as it can be read, the default in place of each mistake, and the mistakes.
    #[must_use]
    pub fn survey(path: &Path, text: &str, secrets: Secrets) -> (Self, Mistakes) {
        sections::read(Document::parse(path, text), path, secrets)
    }
}
