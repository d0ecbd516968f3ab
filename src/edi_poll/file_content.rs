//! The content of a new file, for the counts of a poll.

use crate::edi::file;

/// What a new file holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileContent {
    /// Number of orders and changes.
    pub orders: u64,
    /// True if the file, or a part of it, cannot be read.
    pub is_unreadable: bool,
}

impl FileContent {
    /// Reads the file, which takes long for a large one.
    pub fn read(bytes: &[u8]) -> Self {
        let file = file::read_edi_file(bytes);
        Self { orders: file.count_orders() as u64, is_unreadable: file.has_unread_part() }
    }
}
