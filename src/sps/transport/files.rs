//! `file:///srv/sps/in`: a directory of this box that another program fills.

use super::{ARCHIVE, RemoteFile, Trouble};
use crate::clock::Timestamp;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory.
#[derive(Debug, Clone)]
pub struct Files {
    path: PathBuf,
}

impl Files {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Files may be on a network: a thread of their own keeps them from holding up anything else.
    async fn off<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || work(&path))
            .await
            .unwrap_or_else(|panic| Err(Trouble::Source(panic.to_string())))
    }

    pub(super) async fn list(&self) -> Result<Vec<RemoteFile>, Trouble> {
        self.off(|path| {
            let unreadable = |error: io::Error| Trouble::Source(format!("{} cannot be read: {error}", path.display()));
            let mut found = Vec::new();
            for entry in fs::read_dir(path).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                // A link is followed by nobody: it may lead anywhere.
                let Ok(kind) = entry.file_type() else { continue };
                if !kind.is_file() {
                    continue;
                }
                let Ok(name) = entry.file_name().into_string() else {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    found.push(RemoteFile { name, size: None, modified: None, identity: None });
                    continue;
                };
                match look(path, &name) {
                    Ok(file) => found.push(file),
                    Err(Trouble::Gone) => {}
                    Err(trouble) => return Err(trouble),
                }
            }
            Ok(found)
        })
        .await
    }

    pub(super) async fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        let name = name.to_owned();
        self.off(move |path| {
            let mut bytes = Vec::new();
            let file = fs::File::open(path.join(&name)).map_err(|error| trouble(&error))?;
            file.take(limit + 1).read_to_end(&mut bytes).map_err(|error| trouble(&error))?;
            if bytes.len() as u64 > limit {
                return Err(Trouble::File(format!("it has more than {limit} bytes (sps.max_file_bytes)")));
            }
            Ok(bytes)
        })
        .await
    }

    pub(super) async fn look(&self, name: &str) -> Result<RemoteFile, Trouble> {
        let name = name.to_owned();
        self.off(move |path| look(path, &name)).await
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Trouble> {
        let name = name.to_owned();
        self.off(move |path| fs::remove_file(path.join(&name)).map_err(|error| trouble(&error))).await
    }

    /// False when there is one of this name already.
    pub(super) async fn archive(&self, name: &str, target: &str) -> Result<bool, Trouble> {
        let (name, target) = (name.to_owned(), target.to_owned());
        self.off(move |path| {
            let archive = path.join(ARCHIVE);
            match fs::create_dir(&archive) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(trouble(&error)),
                _ => {}
            }
            // A link and a removal: a rename would take the place of what is there.
            match fs::hard_link(path.join(&name), archive.join(&target)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
                Err(error) => return Err(trouble(&error)),
                Ok(()) => {}
            }
            fs::remove_file(path.join(&name)).map_err(|error| trouble(&error))?;
            Ok(true)
        })
        .await
    }
}

fn look(path: &Path, name: &str) -> Result<RemoteFile, Trouble> {
    let metadata = fs::symlink_metadata(path.join(name)).map_err(|error| trouble(&error))?;
    let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    Ok(RemoteFile { name: name.to_owned(), size: Some(metadata.len()), modified, identity: Some(metadata.ino()) })
}

fn trouble(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::Gone,
        _ => Trouble::File(error.to_string()),
    }
}
