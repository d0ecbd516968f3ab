//! How a source is reached: a directory of this box, an SFTP server, or SPS's API. All do the same few things; what goes out to
//! a partner is put there too.

pub mod api;
pub mod files;
pub mod sftp;

use super::{Place, Source};
use crate::clock::Timestamp;
use std::path::Path;
use std::time::Duration;

/// A file at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    pub name: String,
    /// `None` where the source does not say.
    pub size: Option<u64>,
    pub modified: Option<Timestamp>,
    /// Tells one file of a name from another one, where the source can.
    pub identity: Option<u64>,
}

/// Why something did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The source as a whole: nothing more can be had from it now.
    Source(String),
    /// The same, and not before this time has passed.
    Later(String, Duration),
    /// This file only.
    File(String),
    /// The file is not there (any more).
    Gone,
}

/// Where files go when they are stored.
pub const ARCHIVE: &str = "archive";
/// Names that are tried when one of this name is in the archive already.
const ARCHIVED_MAX: u32 = 1_000;

/// A source that was reached.
pub enum Link {
    Files(files::Files),
    Sftp(Box<sftp::Session>),
    Api(api::Session),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(said) | Self::Later(said, _) | Self::File(said) => f.write_str(said),
            Self::Gone => f.write_str("it is not there"),
        }
    }
}

impl Link {
    /// Reaches a source. `known`: the host key it showed first, where that is asked for; gives the one it shows now.
    ///
    /// # Errors
    /// [`Trouble::Source`] when it cannot be reached or refuses.
    pub async fn open(source: &Source, known: Option<&str>) -> Result<(Self, Option<String>), Trouble> {
        match &source.place {
            Place::Files { path } => Ok((Self::Files(files::Files::new(path.clone())), None)),
            Place::Api(settings) => Ok((Self::Api(api::Session::open(settings, source.timeout)?), None)),
            Place::Sftp(settings) => {
                let open = sftp::Session::open(settings, known);
                let (session, key) = tokio::time::timeout(source.timeout, open)
                    .await
                    .map_err(|_late| Trouble::Source(format!("{} did not answer in time", settings.host)))??;
                Ok((Self::Sftp(Box::new(session)), key))
            }
        }
    }

    /// The regular files, the oldest first, and the names that cannot be taken; names that begin with a dot or end as unfinished
    /// uploads do are in neither.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn list(&self, now: Timestamp) -> Result<(Vec<RemoteFile>, Vec<String>), Trouble> {
        let mut files = match self {
            Self::Files(files) => files.list(now).await?,
            Self::Sftp(session) => session.list().await?,
            Self::Api(session) => session.list().await?,
        };
        files.retain(|file| is_finished(&file.name));
        // What was written first is taken first: a cancellation is not to come before its order.
        files.sort_by(|one, other| (one.modified, &one.name).cmp(&(other.modified, &other.name)));
        let (sound, odd): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| is_name(&file.name));
        Ok((sound, odd.into_iter().map(|file| file.name).collect()))
    }

    /// The bytes of a file, up to `limit`.
    ///
    /// # Errors
    /// [`Trouble::File`] when it is larger, or cannot be read.
    pub async fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Files(files) => files.read(name, limit).await,
            Self::Sftp(session) => session.read(name, limit).await,
            Self::Api(session) => session.read(name, limit).await,
        }
    }

    /// What the source says of a file now.
    ///
    /// # Errors
    /// [`Trouble::Gone`] when it is not there.
    pub async fn look(&self, name: &str) -> Result<RemoteFile, Trouble> {
        match self {
            Self::Files(files) => files.look(name).await,
            Self::Sftp(session) => session.look(name).await,
            // It says nothing of size and time; a download that ends early is an error of its own.
            Self::Api(_) => Ok(RemoteFile { name: name.to_owned(), size: None, modified: None, identity: None }),
        }
    }

    /// Deletes the file that was listed; false when another one has taken its name: that one stays.
    ///
    /// # Errors
    /// When it may not be.
    pub async fn delete(&self, file: &RemoteFile) -> Result<bool, Trouble> {
        match self {
            Self::Files(files) => files.delete(file).await,
            Self::Sftp(session) => {
                if !self.is_there(file).await? {
                    return Ok(false);
                }
                session.delete(&file.name).await.map(|()| true)
            }
            Self::Api(session) => session.delete(&file.name).await.map(|()| true),
        }
    }

    /// Moves the file that was listed into the archive, never over another one; false as for [`Link::delete`].
    ///
    /// # Errors
    /// When it may not be moved.
    pub async fn archive(&self, file: &RemoteFile) -> Result<bool, Trouble> {
        let targets = (0..ARCHIVED_MAX)
            .map(|number| if number == 0 { file.name.clone() } else { format!("{}.{number}", file.name) });
        match self {
            Self::Files(files) => files.archive(file, targets.collect()).await,
            Self::Sftp(session) => {
                if !self.is_there(file).await? {
                    return Ok(false);
                }
                for target in targets {
                    if session.archive(&file.name, &target).await? {
                        return Ok(true);
                    }
                }
                Err(Trouble::File(format!("{ARCHIVED_MAX} files named {} are in the archive", file.name)))
            }
            Self::Api(_) => Err(Trouble::File("the API has no archive".to_owned())),
        }
    }

    /// Puts a file there, whole or not at all, and over no other one.
    ///
    /// # Errors
    /// When it is not there as it should be.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        match self {
            // What goes out to a directory of this box is written by `destinations::directory`.
            Self::Files(_) => Err(Trouble::File("a directory of this box is no place to upload to".to_owned())),
            Self::Sftp(session) => session.put(name, bytes).await,
            Self::Api(session) => session.put(name, bytes).await,
        }
    }

    /// Puts a file of this box there, whole or not at all.
    ///
    /// # Errors
    /// When it is not there as it should be.
    pub async fn put_file(&self, name: &str, path: &Path) -> Result<(), Trouble> {
        match self {
            Self::Sftp(session) => session.put_file(name, path).await,
            Self::Files(_) | Self::Api(_) => Err(Trouble::File("files are put at SFTP servers only".to_owned())),
        }
    }

    async fn is_there(&self, file: &RemoteFile) -> Result<bool, Trouble> {
        Ok(self.look(&file.name).await? == *file)
    }

    /// Says goodbye, where that is usual.
    pub async fn close(self) {
        if let Self::Sftp(session) = self {
            session.close().await;
        }
    }
}

/// Whether a name can be one here.
fn is_name(name: &str) -> bool {
    name.len() <= 200 && !name.contains(['/', '\0', '\u{fffd}']) && !name.chars().any(char::is_control)
}

/// Whether a name is one of a finished file.
fn is_finished(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with('.')
        && !name.is_empty()
        && ![".tmp", ".part", ".filepart", ".partial", ".swp"].iter().any(|end| lower.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::{is_finished, is_name};

    #[test]
    fn unfinished_and_strange_names_are_left_out() {
        assert!(is_finished("PO123.edi") && is_finished("850 (1).txt"));
        for name in ["", ".hidden", "a.tmp", "a.PART", "a.filepart", ".."] {
            assert!(!is_finished(name), "{name}");
        }
        for name in ["a/b", "a\nb", "\u{fffd}", &"x".repeat(201)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
