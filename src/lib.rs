//! novex-ingest: webhooks and EDI files in, verified and stored once, worked into the ERP's tables.
//!
//! The way of one event, and where it lives:
//!
//! 1. [`server`]: TCP, TLS, HTTP and every limit on them; routes to
//! 2. [`providers`]: the raw body and headers become a verified envelope, by way of [`proof`], or a refusal;
//! 3. [`store`]: the envelope becomes a row, the commit is synced, the sender gets its 200;
//! 4. [`queue`]: a worker claims the row;
//! 5. [`handlers`]: what the event means becomes changes, committed with the event's `completed`;
//! 6. [`destinations`]: it is handed on to the ERP.
//!
//! [`acme`] keeps the certificate of [`server`], [`sps`] fetches files that become events.
//!
//! Imports go one way: `server → providers → store ← queue → handlers`. [`config`] and [`cli`] stand around them,
//! [`clock`], [`formats`], [`outbound`], [`proof`] and [`secret`] beneath.

pub mod acme;
pub mod cli;
pub mod clock;
pub mod config;
pub mod destinations;
pub mod formats;
pub mod handlers;
pub mod logging;
pub mod outbound;
pub mod proof;
pub mod providers;
pub mod queue;
pub mod secret;
pub mod server;
pub mod sps;
pub mod store;
