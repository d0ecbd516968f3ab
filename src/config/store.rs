//! `[store]`: the database file and its limits.

use crate::config::reader::ConfigTable;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Path of the database in the Debian package.
const DEFAULT_DATABASE_PATH: &str = "/var/lib/novex-ingest/events.db";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Settings of `[store]`: the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    pub path: PathBuf,
    pub busy_timeout: Duration,
    pub queue: u64,
    pub batch: u64,
    pub wal_bytes: u64,
    pub min_free_bytes: u64,
    pub readers: u64,
    /// False: another program copies the WAL into the database, as Litestream requires.
    pub checkpoints: bool,
}

impl StoreSettings {
    /// Returns the directory of the database, to which the daemon may write.
    #[must_use]
    pub fn state_directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// Reads `[store]`. `file` makes a path absolute.
pub(crate) fn read_store_section(mut table: ConfigTable<'_>, file: impl Fn(&str) -> PathBuf) -> StoreSettings {
    let path = table.read_text("path").map_or_else(|| DEFAULT_DATABASE_PATH.into(), |path| file(&path.value));
    let store = StoreSettings {
        path,
        busy_timeout: table.read_duration("busy_timeout", 4 * SECOND, SECOND / 10..=HOUR),
        queue: table.read_number("queue", 1024, 1..=1_000_000),
        batch: table.read_number("batch", 256, 1..=10_000),
        wal_bytes: table.read_number("wal_bytes", 32 << 20, 1 << 20..=1 << 34),
        min_free_bytes: table.read_number("min_free_bytes", 64 << 20, 0..=1 << 50),
        readers: table.read_number("readers", 4, 1..=64),
        checkpoints: table.read_bool("checkpoints", true),
    };
    table.finish();
    store
}
