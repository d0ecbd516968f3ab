//! The audit trail, and the alerts.

pub mod alerts;
pub mod audit_lists;
pub mod system_log;
