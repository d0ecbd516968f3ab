//! TLS: the certificate of the public listener, from files, by ACME or self-signed.

pub mod acme;
pub mod certificates;
pub mod challenge;
pub mod expiry;
mod self_signed;

use acme::AcmeSettings;
use std::path::PathBuf;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSettings {
    Files {
        certificate: PathBuf,
        private_key: PathBuf,
    },
    /// The daemon gets and renews it.
    Acme(AcmeSettings),
    /// The daemon creates it in this directory.
    SelfSigned {
        directory: PathBuf,
    },
}
