//! Polls EDI sources and stores each remote file as an event.

mod errors;
mod file_content;
pub mod poller;
pub mod schedule;
