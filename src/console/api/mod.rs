//! `/api/v1`: JSON for programs, which prove themselves with a token.

pub mod events;
pub mod problem;
pub mod stats;
