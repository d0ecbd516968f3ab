//! Transports of EDI sources: a local directory, an SFTP server, or SPS's API.
//!
//! Each transport lists, reads, archives and deletes files, and uploads outbound documents. The poller, the dispatcher
//! and `backup` call them through [`Transport`].

pub mod local;
pub mod sftp;
pub mod source;
pub mod sps_api;

use crate::clock::Timestamp;
use crate::text::escape_hidden_chars;
use crate::transfer::source::{SourceLocation, SourceSettings};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// File at an EDI source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    pub name: String,
    /// Size in bytes; `None` if the source does not state it.
    pub size: Option<u64>,
    pub modified: Option<Timestamp>,
    /// Inode number, which distinguishes two files with one name; `None` if the source has none.
    pub identity: Option<u64>,
}

/// Error of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferError {
    /// The source as a whole fails: no other file can be transferred now.
    Source(String),
    /// The source as a whole fails, and requests this wait before the next attempt.
    RetryLater(String, Duration),
    /// Only this file fails.
    File(String),
    /// The file does not exist, or no longer.
    NotFound,
}

/// Directory at the source into which stored files are moved.
pub const ARCHIVE_DIRECTORY: &str = "archive";
/// Most names that are tried in the archive for one file.
const ARCHIVE_NAMES_MAX: u32 = 1_000;

/// Connection to an EDI source.
pub enum Transport {
    Local(local::LocalDirectory),
    Sftp(Box<sftp::SftpConnection>),
    SpsApi(Box<sps_api::SpsApiClient>),
}

impl std::fmt::Display for TransferError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(message) | Self::RetryLater(message, _) | Self::File(message) => f.write_str(message),
            Self::NotFound => f.write_str("the file does not exist"),
        }
    }
}

impl Transport {
    /// Connects to a source. Returns the connection and the host key that an SFTP server presents.
    ///
    /// `known_host_key` is the host key of the first connection, for trust on first use.
    ///
    /// # Errors
    /// [`TransferError::Source`] if it cannot be reached or refuses the connection.
    pub async fn connect(
        source: &SourceSettings,
        known_host_key: Option<&str>,
    ) -> Result<(Self, Option<String>), TransferError> {
        match &source.location {
            SourceLocation::Local { path } => {
                let open = local::LocalDirectory::open(path.clone());
                let directory = tokio::time::timeout(source.timeout, open).await.map_err(|_late| {
                    TransferError::Source(format!("{} could not be opened in time", path.display()))
                })??;
                Ok((Self::Local(directory), None))
            }
            SourceLocation::SpsApi(settings) => {
                Ok((Self::SpsApi(Box::new(sps_api::SpsApiClient::open(settings, source.timeout)?)), None))
            }
            SourceLocation::Sftp(settings) => {
                let open = sftp::SftpConnection::connect(settings, known_host_key);
                let (session, key) = tokio::time::timeout(source.timeout, open)
                    .await
                    .map_err(|_late| TransferError::Source(format!("{} did not answer in time", settings.host)))??;
                Ok((Self::Sftp(Box::new(session)), key))
            }
        }
    }

    /// Lists the regular files, the oldest first, and the names that are not valid, in printable form.
    ///
    /// Names that begin with a dot, or end like unfinished uploads, are in neither list.
    pub async fn list(&self, now: Timestamp) -> Result<(Vec<RemoteFile>, Vec<String>), TransferError> {
        let mut files = match self {
            Self::Local(files) => files.list(now).await?,
            Self::Sftp(session) => session.list().await?,
            Self::SpsApi(session) => session.list().await?,
        };
        files.retain(|file| is_finished_upload(&file.name));
        // Files are stored in the order of their times, so that a cancellation does not precede its order.
        files.sort_by(|one, other| (one.modified, &one.name).cmp(&(other.modified, &other.name)));
        let (valid, invalid): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_valid_file_name(&file.name));
        Ok((valid, describe_invalid_names(&invalid)))
    }

    /// Reads a listed file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`TransferError::File`] if it is larger or cannot be read. [`TransferError::NotFound`] if a local directory has
    /// another file under its name.
    pub async fn read(&self, file: &RemoteFile, bytes_max: u64) -> Result<Vec<u8>, TransferError> {
        match self {
            Self::Local(files) => files.read(file, bytes_max).await,
            Self::Sftp(session) => session.read(&file.name, bytes_max).await,
            Self::SpsApi(session) => session.read(&file.name, bytes_max).await,
        }
    }

    /// Reads the size and time of a file.
    ///
    /// # Errors
    /// [`TransferError::NotFound`] if it does not exist.
    pub async fn stat(&self, name: &str) -> Result<RemoteFile, TransferError> {
        match self {
            Self::Local(files) => files.stat(name).await,
            Self::Sftp(session) => session.stat(name).await,
            // The API states neither size nor time. A truncated download is an error of its own.
            Self::SpsApi(_) => Ok(RemoteFile { name: name.to_owned(), size: None, modified: None, identity: None }),
        }
    }

    /// Deletes a listed file. Returns false if another file has its name now; that file stays.
    pub async fn delete(&self, file: &RemoteFile) -> Result<bool, TransferError> {
        match self {
            Self::Local(files) => files.delete(file).await,
            Self::Sftp(session) => {
                if !self.is_unchanged(file).await? {
                    return Ok(false);
                }
                session.delete(&file.name).await.map(|()| true)
            }
            Self::SpsApi(session) => session.delete(&file.name).await.map(|()| true),
        }
    }

    /// Moves a listed file into the archive and never replaces a file there. Returns false as [`Self::delete`] does.
    pub async fn archive(&self, file: &RemoteFile) -> Result<bool, TransferError> {
        let targets = (0..ARCHIVE_NAMES_MAX)
            .map(|number| if number == 0 { file.name.clone() } else { format!("{}.{number}", file.name) });
        match self {
            Self::Local(files) => files.archive(file, targets.collect()).await,
            Self::Sftp(session) => {
                if !self.is_unchanged(file).await? {
                    return Ok(false);
                }
                for target in targets {
                    if session.archive(&file.name, &target).await? {
                        return Ok(true);
                    }
                }
                Err(TransferError::File(format!("the archive has {ARCHIVE_NAMES_MAX} files named {}", file.name)))
            }
            Self::SpsApi(_) => Err(TransferError::File("the API has no archive".to_owned())),
        }
    }

    /// Uploads an outbound document completely or not at all. It replaces no other file.
    pub async fn upload(&self, name: &str, bytes: &[u8]) -> Result<(), TransferError> {
        match self {
            // `delivery::destinations::directory` writes to local directories.
            Self::Local(_) => Err(TransferError::File("nothing is uploaded to a local directory".to_owned())),
            Self::Sftp(session) => session.upload(name, bytes).await,
            Self::SpsApi(session) => session.upload(name, bytes).await,
        }
    }

    /// Uploads a local file completely or not at all. Only SFTP servers support it.
    pub async fn upload_file(&self, name: &str, path: &Path) -> Result<(), TransferError> {
        match self {
            Self::Sftp(session) => session.upload_file(name, path).await,
            Self::Local(_) | Self::SpsApi(_) => Err(TransferError::File("only SFTP servers accept files".to_owned())),
        }
    }

    async fn is_unchanged(&self, file: &RemoteFile) -> Result<bool, TransferError> {
        Ok(self.stat(&file.name).await? == *file)
    }

    /// Closes the connection.
    pub async fn close(self) {
        if let Self::Sftp(session) = self {
            session.close().await;
        }
    }
}

/// Returns a file name that is not UTF-8, with U+FFFD and the value of each byte that is none, such as `(E9)`. So names
/// with different bytes stay different.
fn describe_invalid_name(name: &[u8]) -> String {
    let mut described = String::new();
    for chunk in name.utf8_chunks() {
        described.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(described, "\u{fffd}({byte:02X})");
        }
    }
    described
}

/// Returns the printable form of each name. Names whose forms are equal get a number, so that none hides another.
fn describe_invalid_names(files: &[RemoteFile]) -> Vec<String> {
    let mut counts: HashMap<String, u32> = HashMap::new();
    let mut describe = |file: &RemoteFile| {
        let name = escape_hidden_chars(&file.name);
        let count = counts.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
        if *count == 1 { name } else { format!("{name} (another, {count})") }
    };
    files.iter().map(&mut describe).collect()
}

/// Returns true if a name can be stored.
fn is_valid_file_name(name: &str) -> bool {
    name.len() <= 200 && !name.contains(['/', '\0', '\u{fffd}']) && !name.chars().any(char::is_control)
}

/// Returns true unless the name is hidden or that of an unfinished upload.
fn is_finished_upload(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with('.')
        && !name.is_empty()
        && ![".tmp", ".part", ".filepart", ".partial", ".swp"].iter().any(|end| lower.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::{is_finished_upload, is_valid_file_name};

    #[test]
    fn unfinished_and_invalid_names_are_skipped() {
        assert!(is_finished_upload("PO123.edi") && is_finished_upload("850 (1).txt"));
        for name in ["", ".hidden", "a.tmp", "a.PART", "a.filepart", ".."] {
            assert!(!is_finished_upload(name), "{name}");
        }
        for name in ["a/b", "a\nb", "\u{fffd}", &"x".repeat(201)] {
            assert!(!is_valid_file_name(name), "{name}");
        }
    }
}
