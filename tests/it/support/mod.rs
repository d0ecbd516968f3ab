//! Helpers of the tests: daemons, clients, counterparts and test data.

pub mod answers;
pub mod any_certificate;
pub mod begun;
pub mod client;
pub mod console;
pub mod daemon;
pub mod destinations;
pub mod edi_files;
pub mod fake_authority;
pub mod fake_erp;
pub mod fake_oidc;
pub mod fake_sps_api;
pub mod grocery_documents;
pub mod home;
pub mod libraries;
pub mod odd_events;
pub mod order_documents;
pub mod order_parts;
pub mod outbound_documents;
pub mod pebble;
pub mod provider_events;
pub mod requests;
pub mod seed;
pub mod sftp_server;
pub mod small_disk;
pub mod sqlite;
pub mod store_fixture;
pub mod strangers;
pub mod terminal;
pub mod wait;

use std::path::Path;

pub use client::{Connection, Request, Response};
pub use daemon::{Daemon, send_signal};
pub use home::Home;
pub use requests::{
    base64, easypost_request, hmac_sha256, keycloak_request, order_body, send_webhook, shopify_request,
};
pub use sqlite::sql;
pub use store_fixture::StoreFixture;
pub use wait::{SetOnDrop, WAIT_MAX, wait_until};

/// Returns the directory of the project.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub const BIN: &str = env!("CARGO_BIN_EXE_novex-ingest");
/// Configuration in which a redaction runs at once.
pub const NO_REDACTION_DELAY: &str = "[privacy]\nredaction_delay = \"0s\"\n";
pub const SHOP: &str = "acme-foods.myshopify.com";
pub const SECRET: &str = "shopify-secret-of-acme";
pub const OLD_SECRET: &str = "shopify-secret-before-rotation";
pub const OTHER_SHOP: &str = "other-foods.myshopify.com";
pub const OTHER_SECRET: &str = "shopify-secret-of-other";
/// Not ASCII, so that a wrong normalisation fails a test.
pub const EASYPOST_SECRET: &str = "s\u{e9}cret-of-easypost";
pub const KEYCLOAK_SECRET: &str = "keycloak-bearer-token";
