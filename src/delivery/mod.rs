//! Delivery: completed events go to the destinations that the configuration names.

pub mod alert_message;
pub mod destinations;
pub mod dispatcher;
pub mod payload;
pub mod rows_payload;
