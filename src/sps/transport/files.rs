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

    pub(super) async fn list(&self, now: Timestamp) -> Result<Vec<RemoteFile>, Trouble> {
        self.off(move |path| {
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
                if let Ok(metadata) = entry.metadata() {
                    recover(path, &name, &metadata, now);
                }
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

    /// False when another file has taken the name: that one is left.
    pub(super) async fn delete(&self, file: &RemoteFile) -> Result<bool, Trouble> {
        let file = file.clone();
        self.off(move |path| {
            let Some(aside) = aside(path, &file)? else { return Ok(false) };
            fs::remove_file(aside).map_err(|error| trouble(&error))?;
            Ok(true)
        })
        .await
    }

    /// Moves a file into the archive under the first of these names that is free; false as for [`Files::delete`].
    pub(super) async fn archive(&self, file: &RemoteFile, targets: Vec<String>) -> Result<bool, Trouble> {
        let file = file.clone();
        self.off(move |path| {
            let archive = path.join(ARCHIVE);
            match fs::create_dir(&archive) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(trouble(&error)),
                _ => {}
            }
            let Some(aside) = aside(path, &file)? else { return Ok(false) };
            for target in targets {
                // A link and a removal: a rename would take the place of what is there.
                match fs::hard_link(&aside, archive.join(target)) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(error) => {
                        put_back(path, &file.name, &aside).map_err(|error| trouble(&error))?;
                        return Err(trouble(&error));
                    }
                    Ok(()) => {
                        fs::remove_file(&aside).map_err(|error| trouble(&error))?;
                        return Ok(true);
                    }
                }
            }
            put_back(path, &file.name, &aside).map_err(|error| trouble(&error))?;
            Err(Trouble::File("too many files of this name are in the archive".to_owned()))
        })
        .await
    }
}

/// How a name ends while its file is being moved or deleted.
const ASIDE: &str = ".novex-taken";
/// What was put aside so long ago was left by a process that died.
const ASIDE_SECONDS: i64 = 60;

/// Takes a file out of the way of others, and only then looks whether it is the one that was stored: nobody can put another one
/// in its place in between. `None` when it is another one; that one is put back.
fn aside(path: &Path, file: &RemoteFile) -> Result<Option<PathBuf>, Trouble> {
    let name = format!(".{}{ASIDE}", file.name);
    let aside = path.join(&name);
    fs::rename(path.join(&file.name), &aside).map_err(|error| trouble(&error))?;
    let now = look(path, &name)?;
    if (now.size, now.modified, now.identity) == (file.size, file.modified, file.identity) {
        return Ok(Some(aside));
    }
    put_back(path, &file.name, &aside).map_err(|error| trouble(&error))?;
    Ok(None)
}

/// Gives a file its name back, or one behind it where that is taken.
fn put_back(path: &Path, name: &str, aside: &Path) -> io::Result<()> {
    for number in 0.. {
        let target = if number == 0 { name.to_owned() } else { format!("{name}.{number}") };
        match fs::hard_link(aside, path.join(target)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1_000 => {}
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    fs::remove_file(aside)
}

/// Puts back what a dead process had put aside.
fn recover(path: &Path, name: &str, metadata: &fs::Metadata, now: Timestamp) {
    let Some(named) = name.strip_prefix('.').and_then(|name| name.strip_suffix(ASIDE)) else { return };
    if now.as_second() - metadata.ctime() > ASIDE_SECONDS {
        let _ = put_back(path, named, &path.join(name));
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
