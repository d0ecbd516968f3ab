//! The audit trail and the alerts that it raises.

pub mod alerts;
pub mod audit_lists;
pub mod system_log;
