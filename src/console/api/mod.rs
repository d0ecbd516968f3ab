//! `/api/v1`: JSON for programs, which prove themselves with a token.
//!
//! - [`routes`] has the table of all routes; [`document`] builds the OpenAPI document from the same functions.
//! - [`query`] reads parameters and bodies; [`paging`] marks where a page ends; [`etag`] answers conditional requests.
//! - [`problem`] is the form of every error.
//! - The other files are resources: [`events`], [`orders`], [`mappings`], [`destinations`] and so on.
//!
//! What a program changes goes through the function of the command that does the same, and is an entry of the audit
//! trail with the name of the token.

pub mod alerts;
pub mod audit;
pub mod destinations;
pub mod document;
pub mod etag;
pub mod event_actions;
pub mod events;
pub mod mappings;
pub mod orders;
pub mod paging;
pub mod polls;
pub mod problem;
pub mod query;
pub mod rejections;
pub mod routes;
pub mod stats;
