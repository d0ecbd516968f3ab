//! Errors of a poll and of one file.

use crate::store::StoreError;
use crate::transfer::TransferError;
use std::time::Duration;

/// Why a poll ended early.
pub(crate) enum PollError {
    /// The source failed. `retry_after`: how long it asked to be left alone, or zero.
    Source {
        error: String,
        retry_after: Duration,
    },
    Store(StoreError),
}

impl From<StoreError> for PollError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TransferError> for PollError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Source(error) | TransferError::File(error) => {
                Self::Source { error, retry_after: Duration::ZERO }
            }
            TransferError::RetryLater(error, retry_after) => Self::Source { error, retry_after },
            TransferError::NotFound => Self::directory_not_found(),
        }
    }
}

impl From<FileError> for PollError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Source { error, retry_after } => Self::Source { error, retry_after },
            FileError::File(error) => Self::Source { error, retry_after: Duration::ZERO },
            FileError::Store(error) => Self::Store(error),
            FileError::Changing => Self::directory_not_found(),
        }
    }
}

impl PollError {
    pub fn directory_not_found() -> Self {
        Self::Source { error: "the directory does not exist".to_owned(), retry_after: Duration::ZERO }
    }
}

/// Why a file was not received.
pub(crate) enum FileError {
    /// The sender still writes to the file, or another process removed it.
    Changing,
    File(String),
    /// The source failed. `retry_after`: how long it asked to be left alone, or zero.
    Source {
        error: String,
        retry_after: Duration,
    },
    Store(StoreError),
}

impl From<StoreError> for FileError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TransferError> for FileError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Source(error) => Self::Source { error, retry_after: Duration::ZERO },
            TransferError::RetryLater(error, retry_after) => Self::Source { error, retry_after },
            TransferError::File(error) => Self::File(error),
            TransferError::NotFound => Self::Changing,
        }
    }
}
