//! Redactions and data requests as a handler states them, and the vocabulary of the catalogue for personal data.

use crate::changes::rows::TableSpec;
use crate::clock::Timestamp;

/// The person or shop whose data a redaction erases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redaction {
    /// One customer of a shop: by number, by email address and phone, and by the listed orders.
    Customer { customer_id: Option<i64>, email: Option<String>, phone: Option<String>, orders: Vec<i64> },
    /// All data of a shop.
    Shop,
}

/// Why a destructive request is not worked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestHold {
    /// It waits until this time. An operator can stop it or work it before.
    Waiting { until: Timestamp },
    /// It waits for the decision of an operator.
    Refused { error: String },
}

/// The content of a `customers/data_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDataRequest {
    pub request_id: Option<i64>,
    pub customer_id: Option<i64>,
    pub orders: Vec<i64>,
    pub requested_at: String,
    pub due_at: String,
}

/// The number or code by which rows are personal data of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalColumn {
    /// Number of the customer.
    Customer,
    /// Number of an order of the customer.
    Order,
    /// Tracking code of a package of the customer. It belongs to no shop.
    TrackingCode,
}

/// The effect of a customer redaction on personal rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedactionAction {
    /// Delete the rows.
    DeleteRows,
    /// Set the columns that identify the person to NULL; amounts stay.
    ClearColumns(&'static [&'static str]),
}

/// Rows of one table that are personal data.
#[derive(Debug, PartialEq, Eq)]
pub struct PersonalRows {
    pub column: PersonalColumn,
    /// The table that has the column, if the rows find it by the key of that table only.
    pub parent: Option<&'static TableSpec>,
    pub action: RedactionAction,
}
