//! Writing files so that neither a crash nor a power cut leaves half of one.
//!
//! [`write_atomic`] writes a temporary file in the same directory, syncs it, renames it and syncs the directory. A
//! reader finds the old content or the new content, at any moment. A crash can leave the temporary file: its name
//! begins with a dot and ends with `.tmp`, and no later write uses the name again.

use rustix::fs::{AtFlags, Mode, OFlags};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Mode of directories that [`create_parent_directory`] creates: the owner and the group may read them.
const DIRECTORY_MODE: u32 = 0o750;
/// A directory's bit that gives its group to new files in it.
const SET_GROUP_BIT: u32 = 0o2000;

/// Writes a file with the permission bits `mode` as a whole and syncs it: a reader finds the old content or the new
/// content. The process's umask changes nothing.
///
/// Replaces an existing file, whatever its mode, and a symbolic link itself, never its target. All steps happen in the
/// directory that `path` named at the start. If it fails, the old file stays and the temporary file is removed.
///
/// # Errors
/// The system's error, which does not name the file. `NotFound` if the directory does not exist.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    // Random, so that two writers of one file never share a temporary file. The dot hides the file from a program that
    // empties the directory.
    temporary.push(format!(".{:016x}.tmp", fastrand::u64(..)));
    let directory = rustix::fs::open(parent_directory(path), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // EXCL follows no link that somebody put there. At most these bits from the first moment: the file may hold a
    // secret.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(&directory, &temporary, flags, Mode::from_raw_mode(mode))?);
    let written = (|| {
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rustix::fs::renameat(&directory, &temporary, &directory, name)?;
        rustix::fs::fsync(&directory)?;
        Ok(())
    })();
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&directory, &temporary, AtFlags::empty());
    }
    written
}

/// Renames a synced file within its directory, replaces the target, and syncs the directory.
pub fn rename_and_sync(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_directory(parent_directory(to))
}

/// Syncs a directory, so that new, renamed and removed names in it survive a power cut.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Returns the directory of a file: `.` for a name without one.
#[must_use]
pub fn parent_directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates a directory and its missing parents with the permission bits `mode`, whatever the process's umask is.
///
/// A directory that exists keeps its mode.
pub fn create_directory(path: &Path, mode: u32) -> io::Result<()> {
    let create = || DirBuilder::new().mode(mode).create(path);
    let created = match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent_directory(path) != path => {
            create_directory(parent_directory(path), mode)?;
            create()
        }
        other => other,
    };
    match created {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            let group_bit = fs::metadata(path)?.mode() & SET_GROUP_BIT;
            fs::set_permissions(path, Permissions::from_mode(mode | group_bit))
        }
    }
}

/// Creates the directory of a file, with mode 0750, unless it exists, and returns it.
///
/// # Errors
/// The message names the directory and the fix.
pub fn create_parent_directory(path: &Path) -> io::Result<&Path> {
    let directory = parent_directory(path);
    create_directory(directory, DIRECTORY_MODE).map_err(|error| {
        let message = format!(
            "the directory {} cannot be created ({error}): check that its parent directory exists and belongs to the \
             user that runs novex-ingest",
            directory.display()
        );
        io::Error::new(error.kind(), message)
    })?;
    Ok(directory)
}

/// Returns the path with a suffix after its file name, as SQLite names the files beside a database: `-wal`, `-shm`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn atomic_write_replaces_the_file_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        write_atomic(&path, b"one", 0o600).unwrap();
        write_atomic(&path, b"two", 0o622).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(mode_of(&path), 0o622, "the umask takes no bits from an exact mode");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn atomic_write_replaces_a_link_and_not_its_target() {
        let directory = tempfile::tempdir().unwrap();
        let (path, target) = (directory.path().join("a.json"), directory.path().join("target"));
        fs::write(&target, b"kept").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        write_atomic(&path, b"new", 0o640).unwrap();
        assert_eq!((fs::read(&path).unwrap(), fs::read(&target).unwrap()), (b"new".to_vec(), b"kept".to_vec()));
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        // A pipe in place of the directory blocks nobody.
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert_eq!(write_atomic(&pipe.join("a"), b"", 0o640).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn failed_atomic_write_keeps_the_target_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let occupied = directory.path().join("occupied");
        fs::create_dir(&occupied).unwrap();
        // A file cannot replace a directory: the rename fails.
        write_atomic(&occupied, b"x", 0o600).unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let missing = write_atomic(&directory.path().join("missing/a"), b"x", 0o600);
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(write_atomic(Path::new("/"), b"", 0o600).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn parent_directory_is_created_with_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/deep/a.json");
        assert_eq!(create_parent_directory(&path).unwrap(), path.parent().unwrap());
        assert_eq!(mode_of(path.parent().unwrap()), 0o750);
        assert_eq!(mode_of(&directory.path().join("new")), 0o750);
        assert_eq!(parent_directory(Path::new("a.json")), Path::new("."));
        let error = create_parent_directory(Path::new("/proc/none/a.json")).unwrap_err();
        assert!(error.to_string().starts_with("the directory /proc/none cannot be created ("), "{error}");
    }

    #[test]
    fn suffix_follows_the_whole_name() {
        assert_eq!(with_suffix(Path::new("/d/events.db"), "-wal"), Path::new("/d/events.db-wal"));
    }
}
