//! An entry of the audit trail as a handler states it.

/// A row that an event adds to the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub at: String,
    /// Column `type`.
    pub kind: String,
    pub realm: Option<String>,
    pub user_id: Option<String>,
    pub username: Option<String>,
    pub client_id: Option<String>,
    pub ip_address: Option<String>,
    pub session_id: Option<String>,
    pub operation: Option<String>,
    pub resource: Option<String>,
    pub resource_path: Option<String>,
    /// `ok` or `error`.
    pub result: &'static str,
    pub error: Option<String>,
    pub details: Option<String>,
}
