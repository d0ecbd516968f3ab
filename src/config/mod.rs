//! The configuration in steps: text → [`reader`] (typed values, all errors with their lines) → [`Config`] (checked,
//! secrets loaded). `config check` and `serve` run the same steps: a file without errors starts the daemon.

pub mod backup;
pub mod console;
pub mod destinations;
pub mod dev;
pub mod error;
pub mod log;
pub mod networks;
pub mod oidc;
pub mod privacy;
pub mod reader;
pub mod retention;
pub mod secrets;
pub mod sections;
pub mod sps;
pub mod store;
pub mod tls;

pub use error::{ConfigError, ConfigErrors, ConfigWarning};

use crate::clock::{self, Timestamp};
use reader::{ConfigDocument, EffectiveSetting};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Checks the name by which providers reach this machine.
///
/// # Errors
/// The message with the fix.
pub fn check_domain(name: &str) -> Result<(), String> {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_domain = name.contains('.') && name.split('.').all(is_label) && name.parse::<std::net::IpAddr>().is_err();
    if is_domain {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a domain: write it as hooks.example.com, without https:// and path, and letters of other \
         languages as xn--…"
    ))
}

/// Path of the configuration in the Debian package.
pub const INSTALLED_CONFIG_PATH: &str = "/etc/novex-ingest/config.toml";

/// Returns whether a path is a named pipe: reading one blocks until another process writes to it.
fn is_pipe(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo())
}

/// All checked settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that was read.
    pub path: PathBuf,
    /// Name by which providers reach this machine, for the addresses that commands print.
    pub domain: Option<String>,
    pub server: crate::server::settings::ServerSettings,
    pub tls: crate::tls::TlsSettings,
    pub store: store::StoreSettings,
    pub worker: sections::WorkerSettings,
    pub shopify: Vec<sections::ShopSettings>,
    pub easypost: Option<sections::EasyPostSettings>,
    pub keycloak: Option<sections::KeycloakSettings>,
    pub sps: Option<sps::SpsSettings>,
    pub destinations: Vec<crate::delivery::destinations::DestinationSettings>,
    pub console: console::ConsoleSettings,
    pub backup: Option<backup::BackupSettings>,
    pub privacy: privacy::PrivacySettings,
    pub retention: crate::queue::retention::RetentionSettings,
    pub log: crate::logging::LogSettings,
    /// Warnings that `serve` logs at start and `config check` prints.
    pub warnings: Vec<ConfigWarning>,
    /// The value of every key, for people. It has no secret.
    pub settings: Vec<EffectiveSetting>,
    /// Lines of keys whose errors only an attempt shows; 0 if the default applies.
    pub lines: ConfigLines,
}

/// Lines of some keys, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConfigLines {
    pub listen: usize,
    pub store: usize,
    pub certificate: usize,
}

/// Selection of the secrets that a command loads.
///
/// A command that only reads loads none, and works where it cannot read them: systemd gives credentials to the service
/// only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretLoading {
    All,
    /// Secrets of destinations: a worker verifies no requests.
    DestinationsOnly,
    Skip,
}

impl Config {
    /// Reads and checks a file. Returns all errors, each with its line and hint.
    pub fn load(path: &Path, secrets: SecretLoading) -> Result<Self, ConfigErrors> {
        Self::parse(path, &Self::read_text(path)?, secrets)
    }

    /// Reads the text of a file.
    pub fn read_text(path: &Path) -> Result<String, ConfigErrors> {
        if is_pipe(path) {
            return Err(ConfigErrors::single(path, "is a pipe", "Name a regular file."));
        }
        std::fs::read_to_string(path).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "Name the file with --config FILE, or run in a checkout with --dev.",
                std::io::ErrorKind::PermissionDenied => "Run this command as root or as the user novex-ingest.",
                _ => "The file must be readable UTF-8 text.",
            };
            ConfigErrors::single(path, format!("cannot be read: {error}"), hint)
        })
    }

    /// Checks the text of a file. Returns all errors, each with its line and hint.
    ///
    /// Messages name `path`, and relative paths of secrets start at its directory.
    pub fn parse(path: &Path, text: &str, secrets: SecretLoading) -> Result<Self, ConfigErrors> {
        let (config, errors) = Self::parse_recoverable(path, text, secrets);
        if errors.errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// Returns the time before which a partner must have answered a delivered document; None if it may never answer.
    #[must_use]
    pub fn find_overdue_limit(&self, now: Timestamp) -> Option<String> {
        let timeout = self.sps.as_ref().and_then(|sps| sps.acknowledgement_timeout)?;
        let timeout = jiff::SignedDuration::try_from(timeout).ok()?;
        now.checked_sub(timeout).ok().map(clock::format_timestamp)
    }

    /// Returns the configuration with the default for each value that has an error, and the errors.
    #[must_use]
    pub fn parse_recoverable(path: &Path, text: &str, secrets: SecretLoading) -> (Self, ConfigErrors) {
        sections::read_sections(ConfigDocument::parse(path, text), path, secrets)
    }
}
