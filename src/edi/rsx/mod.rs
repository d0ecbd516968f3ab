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

pub use kind::{RsxDocumentKind, detect_rsx_kind};
pub use order::read_rsx_orders;
pub use tree::RsxNode;
