//! SPS Commerce RSX 7.x: purchase orders and changes to them, in XML and in JSON.
//!
//! [`tree`] builds one tree from either syntax, [`kind`] finds the documents in it, and [`order`] reads them. Names are
//! compared without their namespace. The names of both generations, up to 7.6 and from 7.7, are accepted.

mod faults;
pub mod kind;
mod lines;
pub mod order;
mod parts;
pub mod tree;

pub use kind::{RsxDocumentKind, list_rsx_kinds};
pub(crate) use kind::{UNKNOWN_KIND, has_foreign_header};
pub use order::{RsxDocument, read_rsx_documents};
pub use tree::RsxNode;
