//! SPS Commerce RSX, 7.x: purchase orders and changes to them, in XML and in JSON.
//!
//! [`tree`] makes one tree of either form, [`order`] reads it. Names are compared without their namespace; the names of both
//! dialects, up to 7.6 and from 7.7, are taken.

pub mod order;
pub mod tree;

pub use order::{Kind, kind, read};
pub use tree::Node;
