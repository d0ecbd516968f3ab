//! Records which claimed rows a process works on, so that its death counts against these rows and no others.
//!
//! A worker claims many rows at once and works on few of them. It marks a row just before the work begins, and clears
//! the mark when the outcome is written. The marks are in a small file beside the database, one for each lease owner
//! and table: `events.db-begun-` and a digest. A mark is one write of 16 bytes into the page cache, without a sync,
//! because the file must survive the death of a process and not a power cut.
//!
//! The file begins with the boot id. After a restart of the machine the marks are as old as the last write-back, so a
//! file of an earlier boot proves nothing: whether an attempt had begun is then not known.
//!
//! A living process holds a lock (flock) on its file. So any process can remove the files that nobody needs.

use crate::files::{parent_directory, with_suffix};
use crate::store::leases::deliveries::DELIVERIES;
use crate::store::leases::events::EVENTS;
use crate::store::leases::files::FILES;
use crate::store::leases::{LeaseOwner, Leased, LeasedTable};
use crate::store::{Store, StoreError};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tracing::warn;

/// Follows the name of the database; a digest of table and owner comes after it.
const FILE_SUFFIX: &str = "-begun-";
/// Digits of the digest in the name.
const DIGEST_DIGITS: usize = 24;
/// Mode of the file, whatever the umask is.
const FILE_MODE: u32 = 0o640;
/// First bytes of the file, before the boot id.
const MAGIC: &str = "novex-begun 1 ";
const HEADER_BYTES: usize = 64;
/// Row id and fencing token, little-endian. A row id of zero is a free slot.
const SLOT_BYTES: usize = 16;
/// Slots that are written with the file, so that a mark needs no new disk space.
const INITIAL_SLOTS: u64 = 252;

/// Whether the work on a claimed row had begun when its claim was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptStart {
    Begun,
    NotBegun,
    /// The owner left no record of this boot.
    Unknown,
}

/// The record of the rows that this process works on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BegunRecord(Arc<Mutex<RecordState>>);

#[derive(Debug)]
struct RecordState {
    path: PathBuf,
    file: Option<File>,
    /// The file could not be made or written: this process leaves no record.
    is_unusable: bool,
    free_slots: Vec<u64>,
    slot_count: u64,
}

/// A mark in the record, cleared on drop: work that ends or is cut off in a living process did not kill it.
#[derive(Debug)]
pub struct BegunMark {
    record: BegunRecord,
    slot: Option<u64>,
}

impl Drop for BegunMark {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.record.lock().clear(slot);
        }
    }
}

impl BegunRecord {
    /// Returns the record of an owner's rows of a table. The file does not exist until [`BegunRecord::open`].
    #[must_use]
    pub fn new(database: &Path, table: &LeasedTable, owner: &LeaseOwner) -> Self {
        Self(Arc::new(Mutex::new(RecordState {
            path: locate_record(database, table, owner),
            file: None,
            is_unusable: false,
            free_slots: Vec::new(),
            slot_count: 0,
        })))
    }

    /// Creates the file unless it exists. A process calls this before it claims: a claim without a file looks as if it
    /// might have begun.
    pub fn open(&self) {
        self.lock().open();
    }

    /// Marks a claimed row: from now on a death of this process counts against it.
    #[must_use]
    pub fn begin<C: Leased>(&self, claim: &C) -> BegunMark {
        let slot = self.lock().mark(claim.row_id(), claim.lease().fencing_token);
        BegunMark { record: self.clone(), slot }
    }

    /// Removes the file. Only an owner without claims calls this.
    pub fn close(&self) {
        let mut state = self.lock();
        if state.file.take().is_some() {
            let _ = fs::remove_file(&state.path);
        }
    }

    fn lock(&self) -> MutexGuard<'_, RecordState> {
        self.0.lock().expect("nothing panics while it holds the record")
    }
}

impl RecordState {
    fn open(&mut self) {
        if self.file.is_some() || self.is_unusable {
            return;
        }
        match create_record(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.free_slots = (0..INITIAL_SLOTS).rev().collect();
                self.slot_count = INITIAL_SLOTS;
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn mark(&mut self, row_id: i64, fencing_token: i64) -> Option<u64> {
        let file = self.file.as_ref()?;
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.slot_count += 1;
            self.slot_count - 1
        });
        let mut bytes = [0; SLOT_BYTES];
        bytes[..8].copy_from_slice(&row_id.to_le_bytes());
        bytes[8..].copy_from_slice(&fencing_token.to_le_bytes());
        match file.write_all_at(&bytes, slot_offset(slot)) {
            Ok(()) => Some(slot),
            Err(error) => {
                // A record without this mark would say that the work had not begun.
                let _ = fs::remove_file(&self.path);
                self.give_up(&error);
                None
            }
        }
    }

    fn clear(&mut self, slot: u64) {
        let Some(file) = &self.file else { return };
        // A mark that stays is harmless: its fencing token is of a claim that ended. Its slot is not used again.
        if file.write_all_at(&[0; SLOT_BYTES], slot_offset(slot)).is_ok() {
            self.free_slots.push(slot);
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        self.file = None;
        self.is_unusable = true;
        warn!(
            "{} cannot be written, so that a death of this process counts against all its claims: {error}. Check that \
             the directory of the database is writable and has free space",
            self.path.display()
        );
    }
}

fn slot_offset(slot: u64) -> u64 {
    HEADER_BYTES as u64 + slot * SLOT_BYTES as u64
}

/// Creates and locks a record file, empty.
fn create_record(path: &Path) -> io::Result<File> {
    let header = build_header()?;
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
        file.lock()?;
        // Another process may have removed the file between the two calls: then the lock is on a file without a name.
        let is_same = fs::metadata(path).is_ok_and(|named| file.metadata().is_ok_and(|own| own.ino() == named.ino()));
        if !is_same {
            continue;
        }
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.set_len(0)?;
        let mut content = header;
        content.resize(HEADER_BYTES + usize::try_from(INITIAL_SLOTS).unwrap_or(0) * SLOT_BYTES, 0);
        file.write_all_at(&content, 0)?;
        return Ok(file);
    }
}

fn build_header() -> io::Result<Vec<u8>> {
    let mut header = format!("{MAGIC}{}", read_boot_id()?).into_bytes();
    header.resize(HEADER_BYTES, 0);
    Ok(header)
}

/// Returns the id of the running boot of the machine.
pub fn read_boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn locate_record(database: &Path, table: &LeasedTable, owner: &LeaseOwner) -> PathBuf {
    let mut digest = Sha256::new();
    for part in [table.name, &owner.worker, &owner.process] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let digits = hex::encode(digest.finalize());
    with_suffix(database, &format!("{FILE_SUFFIX}{}", &digits[..DIGEST_DIGITS]))
}

/// What the record of a lost owner says about its rows.
#[derive(Debug)]
pub(crate) enum BegunRows {
    Unknown,
    /// Row id and fencing token of each row whose work had begun.
    Known(HashSet<(i64, i64)>),
}

impl BegunRows {
    /// Reads the record of an owner.
    pub(crate) fn read(database: &Path, table: &LeasedTable, owner: &LeaseOwner) -> Self {
        let content = fs::read(locate_record(database, table, owner));
        let (Ok(content), Ok(header)) = (content, build_header()) else { return Self::Unknown };
        Self::parse(&content, &header)
    }

    fn parse(content: &[u8], header: &[u8]) -> Self {
        let Some(slots) = content.strip_prefix(header) else { return Self::Unknown };
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, i64::from_le_bytes);
        let marks = slots.chunks_exact(SLOT_BYTES).map(|slot| (number(&slot[..8]), number(&slot[8..])));
        Self::Known(marks.filter(|(row_id, _)| *row_id != 0).collect())
    }

    pub(crate) fn find_start(&self, row_id: i64, fencing_token: i64) -> AttemptStart {
        match self {
            Self::Unknown => AttemptStart::Unknown,
            Self::Known(marks) if marks.contains(&(row_id, fencing_token)) => AttemptStart::Begun,
            Self::Known(_) => AttemptStart::NotBegun,
        }
    }
}

/// Removes the record of a dead owner whose rows were recovered.
pub(crate) fn remove_record(database: &Path, table: &LeasedTable, owner: &LeaseOwner) {
    let _ = fs::remove_file(locate_record(database, table, owner));
}

impl Store {
    /// Removes the records of processes that ended and hold no leases.
    ///
    /// # Errors
    /// When the database or its directory cannot be read.
    pub fn remove_abandoned_records(&self) -> Result<(), StoreError> {
        let mut records = find_records(self.path());
        if records.is_empty() {
            return Ok(());
        }
        for table in [&EVENTS, &DELIVERIES, &FILES] {
            for owner in self.lease_owners(table)? {
                let needed = locate_record(self.path(), table, &owner);
                records.retain(|record| *record != needed);
            }
        }
        for record in records {
            // The lock of a living process is not free, and its file stays.
            if let Ok(file) = OpenOptions::new().read(true).open(&record)
                && file.try_lock().is_ok()
            {
                let _ = fs::remove_file(&record);
            }
        }
        Ok(())
    }
}

fn find_records(database: &Path) -> Vec<PathBuf> {
    let Some(name) = with_suffix(database, FILE_SUFFIX).file_name().map(|name| name.as_encoded_bytes().to_vec()) else {
        return Vec::new();
    };
    let entries = match fs::read_dir(parent_directory(database)) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                warn!("the directory of the database cannot be read; records of dead processes stay: {error}");
            }
            return Vec::new();
        }
    };
    let is_record = |path: &PathBuf| path.file_name().is_some_and(|file| file.as_encoded_bytes().starts_with(&name));
    entries.flatten().map(|entry| entry.path()).filter(is_record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::leases::Lease;

    #[derive(Clone)]
    struct Claim(i64, Lease);

    impl Leased for Claim {
        fn row_id(&self) -> i64 {
            self.0
        }

        fn lease(&self) -> &Lease {
            &self.1
        }
    }

    fn owner(name: &str) -> LeaseOwner {
        LeaseOwner { worker: format!("{name}:1"), process: format!("boot/ns/{name}") }
    }

    fn claim(row_id: i64, fencing_token: i64) -> Claim {
        Claim(row_id, Lease { owner: owner("a"), fencing_token })
    }

    #[test]
    fn record_has_the_marks_of_unfinished_work() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("events.db");
        let read = |table| BegunRows::read(&database, table, &owner("a"));
        let record = BegunRecord::new(&database, &EVENTS, &owner("a"));
        assert_eq!(read(&EVENTS).find_start(1, 1), AttemptStart::Unknown, "no file yet");
        record.open();
        assert_eq!(read(&EVENTS).find_start(1, 1), AttemptStart::NotBegun);
        let first = record.begin(&claim(1, 7));
        // More than the slots that the file begins with.
        let many: Vec<BegunMark> = (2..2000).map(|row_id| record.begin(&claim(row_id, 1))).collect();
        assert_eq!(read(&EVENTS).find_start(1, 7), AttemptStart::Begun);
        assert_eq!(read(&EVENTS).find_start(1999, 1), AttemptStart::Begun);
        assert_eq!(read(&EVENTS).find_start(1, 8), AttemptStart::NotBegun, "another claim of the row");
        assert_eq!(read(&DELIVERIES).find_start(1, 7), AttemptStart::Unknown, "each table has its own file");
        drop(many);
        assert_eq!(read(&EVENTS).find_start(1999, 1), AttemptStart::NotBegun);
        assert_eq!(read(&EVENTS).find_start(1, 7), AttemptStart::Begun);
        drop(first);
        assert_eq!(read(&EVENTS).find_start(1, 7), AttemptStart::NotBegun);
        let file = locate_record(&database, &EVENTS, &owner("a"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, FILE_MODE);
        record.close();
        assert!(!file.exists());
    }

    #[test]
    fn record_of_an_earlier_boot_proves_nothing() {
        let header = build_header().unwrap();
        let mut content = header.clone();
        content.resize(HEADER_BYTES + SLOT_BYTES, 1);
        let token = i64::from_le_bytes([1; 8]);
        assert_eq!(BegunRows::parse(&content, &header).find_start(token, token), AttemptStart::Begun);
        content[MAGIC.len()] ^= 1;
        assert_eq!(BegunRows::parse(&content, &header).find_start(token, token), AttemptStart::Unknown);
        assert_eq!(BegunRows::parse(b"", &header).find_start(1, 1), AttemptStart::Unknown);
    }

    /// A mark that cannot be written must not look like work that had not begun.
    #[test]
    fn unwritable_record_proves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("events.db");
        let record = BegunRecord::new(&database, &EVENTS, &owner("a"));
        record.open();
        let path = locate_record(&database, &EVENTS, &owner("a"));
        record.lock().file = Some(File::open(&path).unwrap());
        let _mark = record.begin(&claim(1, 1));
        assert_eq!(BegunRows::read(&database, &EVENTS, &owner("a")).find_start(1, 1), AttemptStart::Unknown);
        record.open();
        assert!(!path.exists(), "the rest of this process leaves no record");
    }

    #[test]
    fn records_of_ended_processes_without_leases_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("events.db");
        let store = Store::open(&crate::store::StoreOptions::new(&database), &crate::clock::Clock::system()).unwrap();
        let living = BegunRecord::new(&database, &EVENTS, &owner("living"));
        living.open();
        let ended = BegunRecord::new(&database, &FILES, &owner("ended"));
        ended.open();
        drop(ended);
        assert_eq!(find_records(&database).len(), 2);
        store.remove_abandoned_records().unwrap();
        assert_eq!(find_records(&database), [locate_record(&database, &EVENTS, &owner("living"))]);
    }
}
