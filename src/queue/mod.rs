//! Working the queue: claim, handle, write the outcome, and take over what died.
//!
//! The queue is the table `webhook_events`; its transitions are drawn and written in [`crate::store::claims`]. Here is what
//! drives them: [`worker`] claims and attempts, [`keeper`] renews leases and rescues, [`backoff`] says when a failed
//! attempt is due again, [`process`] tells a living claim holder from a dead one.
//!
//! Any number of workers, in `serve`, `work` or cron, may run on one file: correctness comes from the claim's transaction
//! and from the fence around every outcome, never from a lock inside one process.

pub mod backoff;
pub mod courier;
pub mod janitor;
pub mod keeper;
pub mod process;
pub mod worker;

pub use backoff::Backoff;
pub use courier::Courier;
pub use worker::{Worker, WorkerOptions};
