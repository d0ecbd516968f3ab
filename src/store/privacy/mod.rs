//! Privacy: redacting personal data, holding destructive requests and answering data requests.

pub mod data_requests;
pub mod destructive_requests;
pub mod person_ids;
pub mod personal_columns;
pub mod redaction;
pub mod scrub;
