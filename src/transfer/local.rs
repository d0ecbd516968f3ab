//! `file:///srv/sps/in`: a local directory that another program fills.
//!
//! A program that may write in the directory can replace any name in it at any moment. So the directory is opened once,
//! every step names files relative to this handle, and no step follows a symbolic link. A file is read only after the
//! check that the open file is the listed one. A file is set aside under a hidden name before it is archived or
//! deleted, so that no other program can replace it meanwhile.

use crate::clock::Timestamp;
use crate::transfer::{ARCHIVE_DIRECTORY, RemoteFile, TransferError, describe_invalid_name};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// Suffix of a file while it is moved or deleted.
const SET_ASIDE_SUFFIX: &str = ".novex-taken";
/// Age in seconds after which a file that is set aside belongs to a process that died.
const SET_ASIDE_SECONDS_MAX: i64 = 60;
/// Mode of the archive: the owner and the group may use it.
const ARCHIVE_MODE: u32 = 0o750;

/// Local directory that is polled, open for one poll.
#[derive(Debug, Clone)]
pub struct LocalDirectory(Arc<OpenDirectory>);

impl LocalDirectory {
    /// Opens the directory. Its own path may contain symbolic links: the operator configured it.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, TransferError> {
        run_blocking(move || {
            let handle =
                rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|error| {
                    TransferError::Source(format!("{} cannot be read: {}", path.display(), io::Error::from(error)))
                })?;
            Ok(Self(Arc::new(OpenDirectory { path, handle })))
        })
        .await
    }

    pub(crate) async fn list(&self, now: Timestamp) -> Result<Vec<RemoteFile>, TransferError> {
        let directory = self.0.clone();
        run_blocking(move || directory.list(now)).await
    }

    /// Reads a listed file. Another file that has its name now is not read: [`TransferError::NotFound`].
    ///
    /// # Errors
    /// [`TransferError::File`] if the name now belongs to a link, a pipe or anything else that is no regular file.
    pub(crate) async fn read(&self, file: &RemoteFile, bytes_max: u64) -> Result<Vec<u8>, TransferError> {
        let (directory, file) = (self.0.clone(), file.clone());
        run_blocking(move || directory.read(&file, bytes_max)).await
    }

    pub(crate) async fn stat(&self, name: &str) -> Result<RemoteFile, TransferError> {
        let (directory, name) = (self.0.clone(), name.to_owned());
        run_blocking(move || directory.stat(&name)).await
    }

    /// Deletes a file. Returns false if another file has its name now; that file stays.
    pub(crate) async fn delete(&self, file: &RemoteFile) -> Result<bool, TransferError> {
        let (directory, file) = (self.0.clone(), file.clone());
        run_blocking(move || directory.delete(&file)).await
    }

    /// Moves a file into the archive under the first free name of `targets`. Returns false as [`Self::delete`] does.
    pub(crate) async fn archive(&self, file: &RemoteFile, targets: Vec<String>) -> Result<bool, TransferError> {
        let (directory, file) = (self.0.clone(), file.clone());
        run_blocking(move || directory.archive(&file, targets)).await
    }
}

/// Runs a blocking operation in a thread of its own, because the directory may be on a slow network file system.
async fn run_blocking<T: Send + 'static>(
    operation: impl FnOnce() -> Result<T, TransferError> + Send + 'static,
) -> Result<T, TransferError> {
    tokio::task::spawn_blocking(operation).await.unwrap_or_else(|panic| Err(TransferError::Source(panic.to_string())))
}

/// An open directory. All names are relative to its handle, so that a replaced path changes nothing.
#[derive(Debug)]
struct OpenDirectory {
    path: PathBuf,
    handle: OwnedFd,
}

impl OpenDirectory {
    fn list(&self, now: Timestamp) -> Result<Vec<RemoteFile>, TransferError> {
        let unreadable =
            |error: Errno| TransferError::Source(format!("{} cannot be read: {error}", self.path.display()));
        let mut files = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.handle).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().to_str() else {
                let name = describe_invalid_name(entry.file_name().to_bytes());
                files.push(RemoteFile { name, size: None, modified: None, identity: None });
                continue;
            };
            let Some(metadata) = self.read_metadata(name)? else { continue };
            // Symbolic links are skipped, because they can point anywhere. Pipes and devices are no files.
            if !self.restore_abandoned_file(name, &metadata, now) && metadata.is_file() {
                files.push(to_remote_file(name, &metadata));
            }
        }
        Ok(files)
    }

    fn read(&self, file: &RemoteFile, bytes_max: u64) -> Result<Vec<u8>, TransferError> {
        // First by its name, because opening a device can have an effect.
        self.stat(&file.name)?;
        // NONBLOCK: a pipe without a writer would block this thread for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(&self.handle, &file.name, flags, Mode::empty()) {
            Ok(opened) => File::from(opened),
            Err(Errno::LOOP) => return Err(refuse_type("a symbolic link")),
            Err(error) => return Err(to_transfer_error(&error.into())),
        };
        let metadata = opened.metadata().map_err(|error| to_transfer_error(&error))?;
        check_regular(&metadata)?;
        if to_remote_file(&file.name, &metadata) != *file {
            return Err(TransferError::NotFound);
        }
        let mut bytes = Vec::new();
        opened.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| to_transfer_error(&error))?;
        if bytes.len() as u64 > bytes_max {
            return Err(TransferError::File(format!("it has more than {bytes_max} bytes (sps.max_file_bytes)")));
        }
        Ok(bytes)
    }

    fn stat(&self, name: &str) -> Result<RemoteFile, TransferError> {
        let metadata = self.read_metadata(name)?.ok_or(TransferError::NotFound)?;
        check_regular(&metadata)?;
        Ok(to_remote_file(name, &metadata))
    }

    fn delete(&self, file: &RemoteFile) -> Result<bool, TransferError> {
        let Some(aside) = self.set_file_aside(file)? else { return Ok(false) };
        rustix::fs::unlinkat(&self.handle, aside, AtFlags::empty())
            .map_err(|error| to_transfer_error(&error.into()))?;
        Ok(true)
    }

    fn archive(&self, file: &RemoteFile, targets: Vec<String>) -> Result<bool, TransferError> {
        let archive = self.open_archive()?;
        let Some(aside) = self.set_file_aside(file)? else { return Ok(false) };
        for target in targets {
            match rename_to_free_name(&self.handle, &aside, &archive, &target) {
                Err(Errno::EXIST) => {}
                Err(error) => {
                    self.restore_name(&file.name, &aside)?;
                    return Err(to_transfer_error(&error.into()));
                }
                Ok(()) => return Ok(true),
            }
        }
        self.restore_name(&file.name, &aside)?;
        Err(TransferError::File("the archive has too many files with this name".to_owned()))
    }

    /// Opens the archive, and creates it if it does not exist.
    fn open_archive(&self) -> Result<OwnedFd, TransferError> {
        let created = rustix::fs::mkdirat(&self.handle, ARCHIVE_DIRECTORY, Mode::from_raw_mode(ARCHIVE_MODE));
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match (created, rustix::fs::openat(&self.handle, ARCHIVE_DIRECTORY, flags, Mode::empty())) {
            (Ok(()), Ok(archive)) => {
                let archive = File::from(archive);
                // The umask took bits away. A directory hands its set-group-id bit on to a new one.
                let group_bit = archive.metadata().map_or(0, |data| data.mode() & 0o2000);
                archive
                    .set_permissions(fs::Permissions::from_mode(ARCHIVE_MODE | group_bit))
                    .map_err(|error| to_transfer_error(&error))?;
                Ok(archive.into())
            }
            (Err(Errno::EXIST), Ok(archive)) => Ok(archive),
            (Err(Errno::EXIST), Err(Errno::LOOP | Errno::NOTDIR)) => Err(TransferError::File(format!(
                "{} is not a directory, and files are never moved through a symbolic link. Remove it, or make it a \
                 directory",
                self.path.join(ARCHIVE_DIRECTORY).display()
            ))),
            (Err(Errno::EXIST) | Ok(()), Err(error)) | (Err(error), _) => Err(to_transfer_error(&error.into())),
        }
    }

    /// Renames a file, then checks that it is the file that was stored. No other program can replace it in between.
    ///
    /// Returns `None` if it is another file, which gets its name back.
    fn set_file_aside(&self, file: &RemoteFile) -> Result<Option<String>, TransferError> {
        let aside = format!(".{}{SET_ASIDE_SUFFIX}", file.name);
        rename_to_free_name(&self.handle, &file.name, &self.handle, &aside).map_err(|error| match error {
            Errno::EXIST => TransferError::File(format!(
                "{aside} is there: another file with this name is being moved. A poll gives it its name back after \
                 {SET_ASIDE_SECONDS_MAX} s"
            )),
            error => to_transfer_error(&error.into()),
        })?;
        match self.read_metadata(&aside) {
            Ok(Some(data)) if data.is_file() && to_remote_file(&file.name, &data) == *file => Ok(Some(aside)),
            _ => {
                self.restore_name(&file.name, &aside)?;
                Ok(None)
            }
        }
    }

    /// Gives a file its name back, or its name with a number if another file has the name.
    fn restore_name(&self, name: &str, aside: &str) -> Result<(), TransferError> {
        for number in 0..=1_000 {
            let target = if number == 0 { name.to_owned() } else { format!("{name}.{number}") };
            match rename_to_free_name(&self.handle, aside, &self.handle, &target) {
                Err(Errno::EXIST) => {}
                Err(error) => return Err(to_transfer_error(&error.into())),
                Ok(()) => return Ok(()),
            }
        }
        Err(TransferError::File(format!("{aside} stays, because too many files have its name")))
    }

    /// Restores the name of a file that a dead process set aside. Returns true if it did.
    fn restore_abandoned_file(&self, name: &str, metadata: &fs::Metadata, now: Timestamp) -> bool {
        let original = name.strip_prefix('.').and_then(|name| name.strip_suffix(SET_ASIDE_SUFFIX));
        let Some(original) = original else { return false };
        if now.as_second() - metadata.ctime() <= SET_ASIDE_SECONDS_MAX {
            return false;
        }
        match self.has_second_name(original, metadata) {
            // The process died between the two steps of a rename by hard links. Only the old name is left to remove.
            Ok(true) => rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()).is_ok(),
            Ok(false) => self.restore_name(original, name).is_ok(),
            // The file stays aside until the archive can be read. Else it could be archived twice.
            Err(_) => false,
        }
    }

    /// Returns true if a file that is set aside also has its own name, that name with a number, or one in the archive.
    fn has_second_name(&self, original: &str, aside: &fs::Metadata) -> Result<bool, Errno> {
        if aside.nlink() < 2 {
            return Ok(false);
        }
        let is_own_name =
            |name: &str| name.strip_prefix(original).is_some_and(|rest| rest.is_empty() || is_number(rest));
        if has_link(&self.handle, aside, is_own_name)? {
            return Ok(true);
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, ARCHIVE_DIRECTORY, flags, Mode::empty()) {
            Ok(archive) => has_link(&archive, aside, |_| true),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the metadata of a name itself, not of the target of a link. Returns `None` if it does not exist.
    fn read_metadata(&self, name: &str) -> Result<Option<fs::Metadata>, TransferError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(to_transfer_error(&error.into())),
            Ok(entry) => File::from(entry).metadata().map(Some).map_err(|error| to_transfer_error(&error)),
        }
    }
}

/// Renames a file and never replaces another one: [`Errno::EXIST`] if the name is not free.
fn rename_to_free_name(from: &OwnedFd, name: &str, to: &OwnedFd, target: &str) -> Result<(), Errno> {
    match rustix::fs::renameat_with(from, name, to, target, RenameFlags::NOREPLACE) {
        // NFS has no such rename, but hard links, which replace nothing either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(from, name, to, target, AtFlags::empty())?;
            rustix::fs::unlinkat(from, name, AtFlags::empty())
        }
        other => other,
    }
}

/// Returns true for the suffix that [`OpenDirectory::restore_name`] adds.
fn is_number(suffix: &str) -> bool {
    suffix
        .strip_prefix('.')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns true if one of the names in a directory belongs to the file with this metadata.
fn has_link(directory: &OwnedFd, file: &fs::Metadata, is_candidate: impl Fn(&str) -> bool) -> Result<bool, Errno> {
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_ok_and(&is_candidate) {
            continue;
        }
        match rustix::fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if (found.st_dev, found.st_ino) == (file.dev(), file.ino()) => return Ok(true),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn check_regular(metadata: &fs::Metadata) -> Result<(), TransferError> {
    let file_type = metadata.file_type();
    match () {
        () if file_type.is_file() => Ok(()),
        () if file_type.is_symlink() => Err(refuse_type("a symbolic link")),
        () if file_type.is_dir() => Err(refuse_type("a directory")),
        () if file_type.is_fifo() => Err(refuse_type("a named pipe")),
        () => Err(refuse_type("a device or a socket")),
    }
}

fn refuse_type(kind: &str) -> TransferError {
    TransferError::File(format!(
        "it was listed as a file and is {kind} now, which is not read. Put the file itself into the directory, and \
         find out which program replaced it"
    ))
}

fn to_remote_file(name: &str, metadata: &fs::Metadata) -> RemoteFile {
    let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
    RemoteFile { name: name.to_owned(), size: Some(metadata.len()), modified, identity: Some(metadata.ino()) }
}

fn to_transfer_error(error: &io::Error) -> TransferError {
    match error.kind() {
        io::ErrorKind::NotFound => TransferError::NotFound,
        _ => TransferError::File(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn now() -> Timestamp {
        crate::clock::Clock::system().now()
    }

    async fn open_with_file(directory: &Path) -> (LocalDirectory, RemoteFile) {
        fs::write(directory.join("a.edi"), "listed").unwrap();
        let source = LocalDirectory::open(directory.to_owned()).await.unwrap();
        let file = source.list(now()).await.unwrap().pop().unwrap();
        (source, file)
    }

    fn make_pipe(path: &Path) {
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    /// Each kind of thing that can take the name of a listed file is refused at once, and stays where it is.
    #[tokio::test]
    async fn replaced_file_is_neither_read_nor_moved() {
        type Replacement = fn(&Path, &Path);
        let replacements: [(&str, Replacement); 5] = [
            ("a symbolic link", |name, secret| std::os::unix::fs::symlink(secret, name).unwrap()),
            ("a named pipe", |name, _| make_pipe(name)),
            ("a directory", |name, _| fs::create_dir(name).unwrap()),
            ("a device or a socket", |name, _| drop(std::os::unix::net::UnixListener::bind(name).unwrap())),
            ("the file does not exist", |name, _| fs::write(name, "listed").unwrap()),
        ];
        for (reason, replace) in replacements {
            let (home, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (source, file) = open_with_file(home.path()).await;
            let (name, secret) = (home.path().join("a.edi"), secrets.path().join("secret"));
            fs::write(&secret, "secret").unwrap();
            // The old file keeps its inode, so that no new one gets the same number.
            fs::rename(&name, home.path().join("old")).unwrap();
            replace(&name, &secret);
            let before = fs::symlink_metadata(&name).unwrap();
            let refused = source.read(&file, 100).await.unwrap_err().to_string();
            assert!(refused.contains(reason), "{reason}: {refused}");
            assert_eq!(source.delete(&file).await, Ok(false), "{reason}");
            assert_eq!(source.archive(&file, vec!["a.edi".to_owned()]).await, Ok(false), "{reason}");
            let after = fs::symlink_metadata(&name).unwrap();
            assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()), "{reason}");
            assert_eq!(fs::read_dir(home.path().join("archive")).unwrap().count(), 0, "{reason}");
            assert_eq!(fs::read(&secret).unwrap(), b"secret");
        }
    }

    /// Another thread replaces the name all the time: a read gives the listed bytes or an error, and ends.
    #[tokio::test]
    async fn name_that_changes_all_the_time_gives_no_other_bytes() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (source, file) = open_with_file(home.path()).await;
        let in_home = |name: &str| home.path().join(name);
        fs::write(other.path().join("secret"), "secret").unwrap();
        fs::hard_link(in_home("a.edi"), in_home(".listed")).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    std::os::unix::fs::symlink(other.path().join("secret"), in_home(".link")).unwrap();
                    make_pipe(&in_home(".pipe"));
                    fs::hard_link(in_home(".listed"), in_home(".file")).unwrap();
                    for next in [".link", ".pipe", ".file"] {
                        fs::rename(in_home(next), in_home("a.edi")).unwrap();
                    }
                }
            });
            let mut refused = 0;
            // The refusals show that the other thread really was in between.
            while refused < 50 {
                match source.0.read(&file, 100) {
                    Ok(bytes) => assert_eq!(bytes, b"listed"),
                    Err(TransferError::File(_)) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            done.store(true, Ordering::SeqCst);
        });
    }

    #[tokio::test]
    async fn link_in_place_of_the_archive_is_not_followed() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (source, file) = open_with_file(home.path()).await;
        std::os::unix::fs::symlink(other.path(), home.path().join("archive")).unwrap();
        let refused = source.archive(&file, vec!["a.edi".to_owned()]).await.unwrap_err();
        assert!(refused.to_string().contains("never moved through a symbolic link"), "{refused}");
        assert!(home.path().join("a.edi").exists());
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    }

    /// The path of the directory leads elsewhere during a poll: the poll stays in the directory that it listed.
    #[tokio::test]
    async fn replaced_directory_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let (first, second) = (home.path().join("in"), home.path().join("moved"));
        fs::create_dir(&first).unwrap();
        let (source, file) = open_with_file(&first).await;
        fs::rename(&first, &second).unwrap();
        fs::create_dir(&first).unwrap();
        fs::write(first.join("a.edi"), "other").unwrap();
        assert_eq!(source.read(&file, 100).await.unwrap(), b"listed");
        assert_eq!(source.archive(&file, vec!["a.edi".to_owned()]).await, Ok(true));
        assert!(second.join("archive/a.edi").exists() && first.join("a.edi").exists());
        assert_eq!(fs::metadata(second.join("archive")).unwrap().mode() & 0o777, ARCHIVE_MODE);
    }

    /// A process that dies between two steps leaves a file aside. A later poll lists it again, and nothing replaces it.
    #[tokio::test]
    async fn abandoned_file_gets_its_name_back() {
        let home = tempfile::tempdir().unwrap();
        let (source, file) = open_with_file(home.path()).await;
        let aside = home.path().join(".a.edi.novex-taken");
        fs::rename(home.path().join("a.edi"), &aside).unwrap();
        fs::write(home.path().join("a.edi"), "new").unwrap();
        let new = source.stat("a.edi").await.unwrap();
        assert!(source.delete(&new).await.unwrap_err().to_string().contains("is being moved"));
        assert_eq!((fs::read(&aside).unwrap(), source.list(now()).await.unwrap().len()), (b"listed".to_vec(), 2));
        let later = crate::clock::add_duration(now(), std::time::Duration::from_mins(2));
        source.list(later).await.unwrap();
        assert_eq!(fs::read(home.path().join("a.edi.1")).unwrap(), b"listed");
        assert_eq!(source.read(&new, 100).await.unwrap(), b"new");
        assert_ne!(file.identity, new.identity);
    }

    /// A process that dies between the two steps of a rename by hard links leaves a file with two names. A later poll
    /// keeps the new name only: neither is the file archived twice, nor is a name lost.
    #[tokio::test]
    async fn abandoned_second_name_is_removed() {
        let later = crate::clock::add_duration(now(), std::time::Duration::from_mins(2));
        for second in ["a.edi", "a.edi.1", "archive/a.edi", "archive/a.edi.20260101"] {
            let home = tempfile::tempdir().unwrap();
            let (source, _) = open_with_file(home.path()).await;
            let (aside, second) = (home.path().join(".a.edi.novex-taken"), home.path().join(second));
            fs::create_dir(home.path().join("archive")).unwrap();
            fs::rename(home.path().join("a.edi"), &aside).unwrap();
            fs::hard_link(&aside, &second).unwrap();
            source.list(now()).await.unwrap();
            assert!(aside.exists(), "the process may still be alive");
            source.list(later).await.unwrap();
            assert_eq!((aside.exists(), fs::metadata(&second).unwrap().nlink()), (false, 1), "{}", second.display());
        }
        // A link that the sender keeps is no second name.
        let (home, sender) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (source, _) = open_with_file(home.path()).await;
        fs::rename(home.path().join("a.edi"), home.path().join(".a.edi.novex-taken")).unwrap();
        fs::hard_link(home.path().join(".a.edi.novex-taken"), sender.path().join("sent")).unwrap();
        source.list(later).await.unwrap();
        assert_eq!(fs::read(home.path().join("a.edi")).unwrap(), b"listed");
    }
}
