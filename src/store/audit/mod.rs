//! The audit trail and the alerts that it raises.

pub mod alerts;
pub mod system_log;
