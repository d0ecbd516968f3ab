//! `type = "directory"`: one file for each event, whole or not there.
//!
//! The bytes go to a temporary name that begins with a dot, are synced, and renamed to their own; then the directory is synced.
//! The name begins with the event's id, so that names sort in the order of the events, and the same event is the same file.

use super::{Fate, Parcel};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A directory that another program empties.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    timeout: Duration,
    /// The event's id is the file's name.
    is_outgoing: bool,
}

impl Directory {
    #[must_use]
    pub fn new(path: PathBuf, timeout: Duration) -> Self {
        Self { path, timeout, is_outgoing: false }
    }

    /// One for EDI documents, which have names.
    #[must_use]
    pub fn of_outgoing(path: PathBuf, timeout: Duration) -> Self {
        Self { path, timeout, is_outgoing: true }
    }

    pub(super) async fn deliver(&self, parcel: &Parcel) -> Fate {
        let name = if self.is_outgoing { safe(&parcel.webhook_id) } else { name(parcel) };
        let (directory, body) = (self.path.clone(), parcel.body.clone());
        let write = tokio::task::spawn_blocking(move || write(&directory, &name, &body));
        let (error, reached) = match tokio::time::timeout(self.timeout, write).await {
            Ok(Ok(Ok(()))) => return Fate::Delivered,
            Ok(Ok(Err(error))) => (format!("{} cannot be written: {error}", self.path.display()), false),
            Ok(Err(panic)) => (panic.to_string(), true),
            // As a network file system does whose server is gone. The write may still end: it is the same file then.
            Err(_late) => (format!("{} did not take a file within {:?}", self.path.display(), self.timeout), false),
        };
        Fate::Unreachable { error, at: None, reached, connected: false }
    }
}

/// Letters and digits, a dash for anything else.
pub(super) fn safe(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "._".contains(letter) { letter } else { '-' })
        .take(80)
        .collect()
}

/// `000000000017-shopify-orders-create.json`.
fn name(parcel: &Parcel) -> String {
    format!("{:012}-{}-{}.json", parcel.event_id, safe(&parcel.source), safe(&parcel.topic))
}

fn write(directory: &Path, name: &str, body: &[u8]) -> io::Result<()> {
    let (temporary, target) = (directory.join(format!(".{name}.tmp")), directory.join(name));
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
        file.write_all(body)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        File::open(directory)?.sync_all()
    })();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_sorts_by_event_and_stays_in_its_directory() {
        let parcel = Parcel {
            event_id: 17,
            source: "shopify".into(),
            shop_domain: String::new(),
            topic: "../../etc/passwd\n".into(),
            webhook_id: String::new(),
            attempt: 1,
            body: Vec::new(),
        };
        assert_eq!(name(&parcel), "000000000017-shopify-..-..-etc-passwd-.json");
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), "a.json", b"one").unwrap();
        write(directory.path(), "a.json", b"two").unwrap();
        assert_eq!(fs::read(directory.path().join("a.json")).unwrap(), b"two");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
        assert!(write(&directory.path().join("missing"), "a.json", b"").is_err());
    }
}
