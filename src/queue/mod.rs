//! The event queue: workers claim due events, run their handlers and record the outcomes.
//!
//! The queue is the table `webhook_events`. [`crate::store::leases::events`] draws its transitions and writes them. The
//! modules here drive them: [`worker`] claims events and attempts them, [`lease`] renews leases and recovers lost ones,
//! [`process`] distinguishes a living lease owner from a dead one, [`turns`] lets a suspect attempt run alone, and
//! [`retention`] deletes old events.
//! [`crate::backoff`] decides when a failed attempt is due again.
//!
//! Any number of workers may run on one file, in `serve`, in `work` or from cron. Correctness comes from the
//! transaction of the claim and from the fence around every outcome, never from a lock inside one process.

pub mod lease;
pub mod process;
pub mod retention;
pub mod turns;
pub mod worker;

pub use worker::{Worker, WorkerOptions};
