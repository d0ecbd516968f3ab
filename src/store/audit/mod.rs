//! The audit trail, and the alerts.

pub mod alerts;
pub mod system_log;
