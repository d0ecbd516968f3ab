//! Events: receiving, reading, searching and counting them, their history, their deliveries, and rejected requests.

pub mod changed;
pub mod destinations;
pub mod failure_groups;
pub mod history;
pub mod overview;
pub mod polls;
pub mod receive;
pub mod records;
pub mod rejections;
pub mod scan;
pub mod search;
pub mod secret_uses;
pub mod stats;
pub mod test_events;
