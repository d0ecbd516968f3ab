//! Texts for people, which the command line and the console share: times, quantities, and commands to run.

pub mod error_patterns;
pub mod program;
pub mod quantities;
pub mod times;
