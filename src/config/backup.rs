//! `[backup]`: the SFTP server for `backup --upload`.

use crate::config::reader::ConfigTable;
use crate::config::sps::{SourceSecrets, read_source_location};
use crate::secret::Secret;
use crate::transfer::source::{AfterDownload, HostKeyPolicy, SourceLocation, SourceSettings};
use std::path::PathBuf;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Target of uploaded backups, and how many to keep there.
#[derive(Debug, Clone)]
pub struct BackupSettings {
    pub target: SourceSettings,
    pub keep_count: u64,
}

pub(crate) fn read_backup_section(
    mut table: ConfigTable<'_>,
    secrets: impl FnOnce(&mut ConfigTable<'_>) -> Vec<Secret>,
    file: impl Fn(&str) -> PathBuf,
) -> Option<BackupSettings> {
    if !table.is_present() {
        table.finish();
        return None;
    }
    let url = table.read_text("url");
    let has_secrets = table.has_key("secrets");
    let keys = if has_secrets { secrets(&mut table) } else { Vec::new() };
    let host_key = table.read_text("host_key");
    let keep_count = table.read_number("keep", 14, 1..=10_000);
    let timeout = table.read_duration("timeout", 60 * SECOND, SECOND..=3600 * SECOND);
    let location = if let Some(url) = &url {
        let location = read_source_location(
            &mut table,
            url,
            SourceSecrets { secrets: keys, is_configured: has_secrets },
            host_key,
            &file,
        );
        match &location {
            Some(SourceLocation::Sftp(sftp)) if sftp.host_key == HostKeyPolicy::TrustOnFirstUse => {
                let hint = "Set host_key to the server's key: `ssh-keyscan HOST` prints it, the server's \
                            operator can confirm it.";
                table.report_error_at(url, "would send all stored data to a server whose key is not pinned", hint);
            }
            Some(SourceLocation::Sftp(_)) | None => {}
            Some(_) => table.report_error_at(
                url,
                "is not an SFTP server",
                "Write sftp://USER@HOST:22/backups; for a directory, run `novex-ingest backup DIR`.",
            ),
        }
        location
    } else {
        table.report_error("has no url", "Add url = \"sftp://USER@HOST:22/backups\".");
        None
    };
    table.finish();
    let target = SourceSettings {
        name: "backup".to_owned(),
        location: location?,
        after_download: AfterDownload::Leave,
        max_file_bytes: u64::MAX,
        settle_time: Duration::ZERO,
        timeout,
    };
    Some(BackupSettings { target, keep_count })
}
