//! TLS-ALPN-01 (RFC 8737): showing an ACME authority, on the daemon's own port, that a name leads here.
//!
//! Such a handshake names one protocol, `acme-tls/1`, and ends when it is done. It has a configuration of its own, so that neither
//! its certificates nor its protocol are ever met by anybody else.

use super::tls::provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// The protocol of the challenge.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// The certificates of the challenges under way, by name in lower case. Cheap to clone; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<RwLock<HashMap<String, Arc<CertifiedKey>>>>);

impl Challenges {
    /// Answers the challenge of a name from now on. `digest`: of the key authorization, 32 bytes.
    ///
    /// # Errors
    /// When it is no name that a certificate can have.
    pub fn put(&self, name: &str, digest: &[u8]) -> anyhow::Result<()> {
        anyhow::ensure!(digest.len() == 32, "the challenge of {name} is no SHA-256");
        let mut parameters = rcgen::CertificateParams::new(vec![name.to_owned()])?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(digest)];
        let key = rcgen::KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        let key = provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(key.serialize_der().into()))?;
        // Not by `from_der`, which refuses the extension that makes it what it is, because it must be critical.
        let pair = Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key));
        self.0.write().expect("nothing panics while it holds them").insert(name.to_ascii_lowercase(), pair);
        Ok(())
    }

    /// Answers none any more.
    pub fn clear(&self) {
        self.0.write().expect("nothing panics while it holds them").clear();
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.read().expect("nothing panics while it holds them").get(&name).cloned()
    }
}

/// Whether a client wants a challenge answered and nothing else.
pub(super) fn is_asked_for(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|protocols| protocols.eq([PROTOCOL]))
}

pub(super) fn config(challenges: &Challenges) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("ring knows both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(challenges.clone()));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // There is nothing to come back to.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
