//! The database file: opening, migrating, writing, reading, checkpoints, pruning, backups and diagnostics.

pub mod backup;
pub mod checkpoint;
mod content_check;
pub mod damage;
pub mod diagnostics;
pub mod error;
mod lost_file;
pub mod migrate;
pub mod open;
pub mod prune;
pub mod reader;
pub mod types;
mod write_job;
pub mod writer;
