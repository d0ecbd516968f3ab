//! The target of `backup`: a new file, or a directory that is created if it does not exist.

use anyhow::Context;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Mode of a created directory, as systemd creates the service's own.
const DIRECTORY_MODE: u32 = 0o750;

/// Place of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BackupTarget {
    File(PathBuf),
    Directory(PathBuf),
}

impl BackupTarget {
    /// Returns what a path names. A path without a file is a directory if it ends in `/`, if its name has no extension,
    /// or if `is_rotated`, because only a directory can hold several backups.
    ///
    /// # Errors
    /// If a file has the name of the directory: the file may be the only backup, so nothing replaces it. If
    /// `is_rotated` and the name of a new path is one of a file.
    pub fn resolve(path: &Path, is_rotated: bool) -> Result<Self, String> {
        let has_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let must_be_directory = is_rotated || has_slash;
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        // With a slash at its end, the system finds no file.
        let bare_path: PathBuf = path.components().collect();
        let is_new = fs::symlink_metadata(&bare_path).is_err();
        if !is_new && must_be_directory {
            return Err(describe_file_in_place(&bare_path));
        }
        if is_new && is_rotated && path.extension().is_some() && !has_slash {
            let name = path.display();
            return Err(format!(
                "{name} names a file, and --keep needs a directory: no backup was made. Write {name}/ for a directory"
            ));
        }
        if must_be_directory || (is_new && path.extension().is_none()) {
            return Ok(Self::Directory(path.to_owned()));
        }
        Ok(Self::File(path.to_owned()))
    }

    /// Creates the directory and its missing parents. Returns true if it created the directory.
    ///
    /// If root runs the command, a new directory belongs to the owner of the database: the service must be able to
    /// write its next backup there.
    pub fn create(&self, database: &Path) -> anyhow::Result<bool> {
        let Self::Directory(directory) = self else { return Ok(false) };
        if directory.is_dir() {
            return Ok(false);
        }
        let owner = fs::metadata(database).map(|data| (data.uid(), data.gid())).ok();
        let missing: Vec<&Path> =
            directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
        for path in missing.into_iter().rev() {
            create_owned_directory(path, owner)
                .with_context(|| format!("the directory {} cannot be created: no backup was made", path.display()))?;
        }
        Ok(true)
    }
}

/// Returns the error of a file that has the name of a backup directory.
pub(crate) fn describe_file_in_place(path: &Path) -> String {
    let name = path.display();
    format!(
        "{name} is a file, and backups need a directory there: no backup was made. The file may be a backup: \
         `mv {name} {name}.db`, then run this again"
    )
}

fn create_owned_directory(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        created => created?,
    }
    // The owner of the parent directory may have replaced it: only the directory that this process created changes.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let user = rustix::process::geteuid();
    if directory.metadata()?.uid() != user.as_raw() {
        return Ok(());
    }
    // Whatever the umask is.
    directory.set_permissions(Permissions::from_mode(DIRECTORY_MODE))?;
    if let (true, Some((uid, gid))) = (user.is_root(), owner) {
        fchown(&directory, Some(uid), Some(gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_decides_between_file_and_directory() {
        let home = tempfile::tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::write(path("taken"), "x").unwrap();
        fs::create_dir(path("made.db")).unwrap();
        let resolve = |name: &str, is_rotated| BackupTarget::resolve(&path(name), is_rotated);
        for (name, is_rotated) in
            [("new", false), ("new.d/", false), (".new", false), ("new.d/", true), ("new", true), ("made.db", true)]
        {
            assert_eq!(resolve(name, is_rotated).unwrap(), BackupTarget::Directory(path(name)), "{name}");
        }
        // `backup` refuses to overwrite the file that exists.
        for name in ["copy.db", "taken"] {
            assert_eq!(resolve(name, false).unwrap(), BackupTarget::File(path(name)), "{name}");
        }
        assert!(resolve("new.db", true).unwrap_err().contains("names a file, and --keep needs a directory"));
        for (name, is_rotated) in [("taken/", false), ("taken", true)] {
            let error = resolve(name, is_rotated).unwrap_err();
            assert!(error.contains("is a file, and backups need a directory"), "{error}");
        }
        assert_eq!(fs::read(path("taken")).unwrap(), b"x");
    }

    #[test]
    fn directory_gets_its_mode_and_owner() {
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join("events.db");
        fs::write(&database, "").unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&database, Some(4711), Some(4712)).unwrap();
        }
        let target = BackupTarget::resolve(&home.path().join("a/b"), false).unwrap();
        assert!(target.create(&database).unwrap());
        assert!(!target.create(&database).unwrap(), "it exists now");
        let expected = fs::metadata(&database).unwrap();
        for name in ["a", "a/b"] {
            let data = fs::metadata(home.path().join(name)).unwrap();
            assert_eq!(data.permissions().mode() & 0o777, DIRECTORY_MODE);
            assert_eq!(data.uid(), expected.uid());
        }
    }
}
