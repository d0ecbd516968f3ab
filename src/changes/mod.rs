//! Changes that a handler asks for. The store writes them when the event completes; handlers know nothing of SQL.

pub mod audit;
pub mod catalogue;
pub mod privacy;
pub mod rows;

use crate::changes::audit::AuditEntry;
use crate::changes::privacy::NewDataRequest;
use crate::changes::rows::{FactChange, RowChange};
use crate::edi::answers::EdiAnswer;
use crate::edi::fault::EdiFault;
use crate::edi::message::EdiMessage;
use crate::edi::outbound_document::OutboundDocument;
use crate::edi::purchase_order::PurchaseOrder;

/// One write that a handler asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The columns that the event states of an entity.
    Row(RowChange),
    /// A row that is added once, such as a scan.
    Fact(FactChange),
    /// The rows of the audit trail that the event adds: one, or one for each event in a list.
    AuditEntries(Vec<AuditEntry>),
    /// A purchase order or a change to one, and its position in the file: 1, 2, 3 …
    PurchaseOrder(i64, Box<PurchaseOrder>),
    /// A document to send to a trading partner.
    SendDocument(OutboundDocument),
    /// Faults of an EDI file.
    EdiFaults(Vec<LocatedFault>),
    /// Answers of a partner to documents that were sent, in the order of the file.
    EdiAnswers(Vec<EdiAnswer>),
    /// A document for a person, and its position in the file.
    EdiMessage(i64, Box<EdiMessage>),
    /// A request for the data of a customer.
    DataRequest(NewDataRequest),
}

/// Fault of an EDI file, and the document that it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedFault {
    /// Position of the document in the file; 0 is the file itself.
    pub document_position: i64,
    /// Partner and number of the order in the document; empty if they are not known.
    pub key: (String, String),
    pub fault: EdiFault,
}
