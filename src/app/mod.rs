//! The running daemon and the worker process.
//!
//! [`build`] makes the parts from the configuration. [`serve`] and [`work`] spawn them and drain them at the end.
//! [`reload`] changes the running parts on SIGHUP.

pub mod build;
pub mod reload;
pub mod scrub;
pub mod serve;
pub mod work;
