//! X12: [`tokens`] cuts the text into segments, [`envelope`] puts them into interchanges, groups and sets and checks their
//! counts, [`order`] reads an 850 or 860. [`mod@write`] writes, [`acknowledge`] a 997.
//!
//! Real files are sloppy, so what can be read is read and what is wrong is said. The separators are as ISA announces them; the
//! grammar is chosen by GS08 and ST01, whatever GS01 and ISA12 say.

pub mod acknowledge;
pub mod envelope;
pub mod order;
mod segments;
pub mod tokens;
pub mod write;

pub use envelope::{Group, Interchange, Set};
pub use tokens::Segment;
