//! novex-ingest receives webhooks and EDI files, stores each event once, and fills the ERP's tables from them.
//!
//! One event passes these steps:
//!
//! 1. [`server`] accepts the connection and the request, within limits on everything. [`tls`] has the certificate.
//! 2. [`providers`] turn headers and body into a verified webhook, with a [`proof`], or into a rejection.
//! 3. [`store`] writes the event and syncs the commit. The sender gets its 200.
//! 4. [`queue`] claims the event. [`processor`] runs its handler.
//! 5. [`handlers`] turn the event into [`changes`], which the store commits together with the status `completed`.
//! 6. [`delivery`] sends the completed event to the destinations.
//!
//! [`edi_poll`] fetches EDI files through [`transfer`]; each file becomes an event. [`edi`] reads and writes X12 and
//! RSX.
//!
//! Modules form layers, and import only lower ones. From the top: [`cli`] and [`app`] start the parts, [`config`] reads
//! their settings, then the parts above. All parts share [`event`], [`clock`], [`secret`], [`files`], [`http_client`],
//! [`text`], [`byte_budget`] and [`token_bucket`]. `tests/it/architecture.rs` has the exact order and checks it.

mod access;
mod app;
mod backoff;
mod backup_files;
mod backup_target;
mod byte_budget;
mod changes;
pub mod cli;
mod clock;
mod config;
mod console;
mod daemon_client;
mod delivery;
mod doctor;
mod edi;
mod edi_poll;
mod event;
mod files;
mod handlers;
mod http_client;
#[doc(hidden)]
pub mod internals;
mod keycloak_event;
mod lenient_json;
mod logging;
mod port_holder;
pub mod presentation;
mod processor;
mod proof;
mod providers;
mod queue;
mod runtime;
mod secret;
mod server;
mod spreadsheet;
mod store;
mod text;
mod tls;
mod token_bucket;
mod transfer;

#[cfg(test)]
#[expect(dead_code, reason = "the behaviour tests use the rest of it")]
#[path = "../tests/it/support/seed.rs"]
mod seed;
