//! `[backup]`: an SFTP server to which `backup --upload` sends.

use super::reader::Table;
use super::sps::place;
use crate::secret::Secret;
use crate::sps::{After, HostKey, Place, Source};
use std::path::PathBuf;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Where copies go, and how many are kept there.
#[derive(Debug, Clone)]
pub struct Backup {
    pub to: Source,
    pub keep: u64,
}

pub(super) fn read(
    mut table: Table<'_>,
    secrets: impl FnOnce(&mut Table<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<Backup> {
    if !table.present() {
        table.end();
        return None;
    }
    let url = table.text("url");
    let has_secrets = table.has("secrets");
    let keys = if has_secrets { secrets(&mut table) } else { Vec::new() };
    let host_key = table.text("host_key");
    let keep = table.number("keep", 14, 1..=10_000);
    let timeout = table.duration("timeout", 60 * SECOND, SECOND..=3600 * SECOND);
    let place = if let Some(url) = &url {
        let place = place(&mut table, url, (keys, has_secrets), host_key, &file);
        match &place {
            Some(Place::Sftp(sftp)) if sftp.host_key == HostKey::FirstUse => {
                let mend = "Write the server's key as host_key: `ssh-keyscan HOST` shows it, its operator tells whether it is right.";
                table.mistake_at(url, "sends everything that is stored to a server whose key is not pinned", mend);
            }
            Some(Place::Sftp(_)) | None => {}
            Some(_) => table.mistake_at(
                url,
                "is no SFTP server",
                "Write sftp://USER@HOST:22/backups; for a directory, name it to `backup`.",
            ),
        }
        place
    } else {
        table.mistake("has no url", "Add url = \"sftp://USER@HOST:22/backups\".");
        None
    };
    table.end();
    let to = Source {
        name: "backup".to_owned(),
        place: place?,
        after: After::Leave,
        max_file_bytes: u64::MAX,
        settle: Duration::ZERO,
        timeout,
    };
    Some(Backup { to, keep })
}
