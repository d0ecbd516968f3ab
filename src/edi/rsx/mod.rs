//! SPS Commerce RSX 7.x: purchase orders and changes to them, in XML and in JSON.
//!
//! [`tree`] builds one tree from either syntax, [`order`] reads it. Names are compared without their namespace. The
//! names of both generations, up to 7.6 and from 7.7, are accepted.

pub mod order;
pub mod tree;

pub use order::{RsxDocumentKind, detect_rsx_kind, read_rsx_orders};
pub use tree::RsxNode;
