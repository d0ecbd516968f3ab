//! The database file: opening, migrating, writing, reading, checkpoints, pruning, backups and diagnostics.

pub mod backup;
pub mod checkpoint;
pub mod damage;
pub mod diagnostics;
pub mod error;
pub mod migrate;
pub mod open;
pub mod prune;
pub mod reader;
pub mod types;
mod write_job;
pub mod writer;
