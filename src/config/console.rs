//! `[console]`: the listener for people and for programs of the ERP.

use crate::config::oidc::{OidcSettings, read_oidc_section};
use crate::config::reader::ConfigTable;
use crate::config::tls::read_certificate_files;
use crate::secret::Secret;
use crate::store::access::sessions::SessionLimits;
use crate::tls::TlsSettings;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8444);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// Settings of `[console]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// False: the daemon has no console, no API and no metrics.
    pub is_enabled: bool,
    pub listen: SocketAddr,
    /// The certificate of the console, which is not the one of the public listener.
    pub tls: TlsSettings,
    pub session_limits: SessionLimits,
    /// The provider that signs people in, beside the users of the database.
    pub oidc: Option<OidcSettings>,
}

/// Reads `[console]`. `state` is the directory that the daemon may write to; `secrets` reads the key `secrets`; `file`
/// makes a path absolute.
pub(crate) fn read_console_section(
    mut table: ConfigTable<'_>,
    state: &Path,
    secrets: impl FnOnce(&mut ConfigTable<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> ConsoleSettings {
    let is_enabled = table.read_bool("enabled", true);
    let listen = table.read_parsed("listen", DEFAULT_LISTEN, "127.0.0.1:8444");
    let directory = state.join("tls").join("console");
    let tls = read_certificate_files(&mut table, &file).unwrap_or(TlsSettings::SelfSigned { directory });
    let session_limits = SessionLimits {
        idle: table.read_duration("session_idle", 12 * Duration::from_hours(1), MINUTE..=30 * DAY),
        total: table.read_duration("session_max", 7 * DAY, MINUTE..=90 * DAY),
    };
    let oidc = read_oidc_section(table.read_table("oidc"), secrets, &file);
    table.finish();
    ConsoleSettings { is_enabled, listen, tls, session_limits, oidc }
}
