//! TLS-ALPN-01 (RFC 8737): proves to an ACME authority, on the daemon's own port, that a name leads to this machine.
//!
//! Such a handshake offers one protocol, `acme-tls/1`, and the connection ends after it. It has its own TLS
//! configuration, so that no other client gets its certificates or its protocol.

use crate::tls::certificates::build_crypto_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// ALPN protocol of a challenge.
pub const ACME_TLS_PROTOCOL: &[u8] = b"acme-tls/1";

/// Certificates of the open challenges, by name in lower case. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct ChallengeResolver(Arc<RwLock<HashMap<String, Arc<CertifiedKey>>>>);

impl ChallengeResolver {
    /// Opens the challenge of a name. `digest` is the SHA-256 of the key authorization, 32 bytes.
    ///
    /// # Errors
    /// If a certificate cannot have the name.
    pub fn insert(&self, name: &str, digest: &[u8]) -> anyhow::Result<()> {
        anyhow::ensure!(digest.len() == 32, "the digest for the challenge of {name} is not a SHA-256");
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()])?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
        let key = rcgen::KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        let key =
            build_crypto_provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        // Not `CertifiedKey::from_der`: it rejects the ACME extension, which RFC 8737 requires to be critical.
        let certified = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
        self.0.write().expect("nothing panics while it holds the lock").insert(name.to_ascii_lowercase(), certified);
        Ok(())
    }

    /// Closes all challenges.
    pub fn clear(&self) {
        self.0.write().expect("nothing panics while it holds the lock").clear();
    }
}

impl ResolvesServerCert for ChallengeResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.read().expect("nothing panics while it holds the lock").get(&name).cloned()
    }
}

/// Returns whether a client offers the challenge protocol and no other.
pub(crate) fn is_acme_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|protocols| protocols.eq([ACME_TLS_PROTOCOL]))
}

pub(crate) fn build_challenge_config(challenges: &ChallengeResolver) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(build_crypto_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("ring supports both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(challenges.clone()));
    config.alpn_protocols = vec![ACME_TLS_PROTOCOL.to_vec()];
    // A challenge has no session to resume.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
