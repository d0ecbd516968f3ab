//! EDI: purchase orders from retailers, and the documents that answer them. Pure: bytes in, values out; no input or
//! output.
//!
//! [`mod@file`] reads an EDI file of any format, [`revisions`] folds the documents of one order, and [`outbound`]
//! checks and writes invoices and ship notices. [`answers`] are those of partners to sent documents. [`parties`] finds
//! the partner of a file. The handlers, the store, the deliveries and the CLI call it.

pub mod answers;
pub mod codes;
pub mod decimal;
pub mod document_purpose;
pub mod encoding;
pub mod fault;
pub mod file;
pub mod message;
mod order_conflicts;
mod order_dates;
mod order_findings;
mod order_percentages;
mod order_totals;
mod order_values;
pub mod outbound;
pub mod outbound_document;
mod part_conflicts;
pub mod part_descriptions;
pub mod parties;
mod price_choice;
mod prices;
pub mod purchase_order;
pub mod revisions;
pub mod rsx;
pub mod x12;
