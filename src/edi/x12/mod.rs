//! X12: reading of 850, 860, 875 and 876, writing of any transaction set.
//!
//! [`tokenizer`] splits the text into segments. [`envelope`] groups them into interchanges, functional groups and
//! transaction sets, and checks their counts. [`order`] reads an order or change of any kind, with the segments of
//! [`grocery`] in an 875 or 876. [`answers`] reads the answers to sent documents, [`messages`] what a person reads.
//! [`acknowledgement`] builds a 997, [`mod@write`] writes an interchange.
//!
//! Files in practice deviate from the standard. The readers read as much as they can and report each fault. ISA defines
//! the separators; GS08 and ST01 select the grammar, even if GS01 and ISA12 contradict them.

pub mod acknowledgement;
pub mod answers;
mod cursor;
pub mod envelope;
pub(crate) mod envelope_extras;
pub(crate) mod grocery;
pub mod messages;
pub mod order;
mod order_checks;
mod order_layout;
mod order_lines;
mod order_parts;
mod segments;
pub mod text;
pub mod tokenizer;
pub mod write;

pub use envelope::{Interchange, TransactionSet};
pub use order_layout::is_order_set;
