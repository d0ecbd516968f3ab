//! The certificate files, the resolver that gives rustls the current certificate, and the TLS acceptor.
//!
//! A new certificate serves the handshakes that begin after the daemon read it; open connections keep theirs. If the
//! daemon cannot use a new certificate, it logs an error and keeps the old one: renewal tools replace the two files one
//! after the other, so for a moment they do not match.

use crate::tls::challenge::ChallengeResolver;
use crate::tls::self_signed::{create_self_signed_certificate, list_local_names};
use crate::tls::{TlsSettings, challenge};
use anyhow::{Context, bail};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use std::{fs, io};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

/// Interval of checks for changed files. Polling works for symbolic links and network file systems too; inotify does
/// not.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The certificate in use, for rustls. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct CertificateResolver(Arc<ResolverState>);

struct ResolverState {
    files: CertificateFiles,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Paths of the certificate chain and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

impl std::fmt::Debug for CertificateResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.files.fmt(f)
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current_key())
    }
}

impl CertificateResolver {
    /// Loads the configured certificate. Creates a self-signed one where the daemon manages the files and there is
    /// none.
    pub fn load(tls: &TlsSettings) -> anyhow::Result<Self> {
        let files = locate_certificate_files(tls);
        let key = match tls {
            TlsSettings::Files { .. } => load_certified_key(&files),
            TlsSettings::SelfSigned { .. } => load_or_create(&files, list_local_names()),
            // The daemon owns this file: damage to it must not prevent the start.
            TlsSettings::Acme(acme) if files.certificate.exists() => load_certified_key(&files)
                .or_else(|error| replace_damaged_certificate(&files, acme.names.clone(), &error)),
            TlsSettings::Acme(acme) => load_or_create(&files, acme.names.clone()),
        };
        let current = RwLock::new(Arc::new(key?));
        Ok(Self(Arc::new(ResolverState { files, current })))
    }

    /// Reads the files again; keeps the old certificate if the new one cannot be used.
    pub fn reload(&self) {
        match load_certified_key(&self.0.files) {
            Ok(key) => {
                let key = Arc::new(key);
                let old = std::mem::replace(
                    &mut *self.0.current.write().expect("nothing panics while it holds the lock"),
                    key.clone(),
                );
                if old.cert != key.cert {
                    info!("the certificate {} changed; new connections use it", self.0.files.certificate.display());
                }
            }
            Err(error) => error!("the new certificate cannot be used, the daemon keeps the old one: {error:#}"),
        }
    }

    /// Reloads when a file or `hangup` changes. Runs until its task is aborted.
    pub async fn watch_files(self, mut hangup: watch::Receiver<u64>) {
        let mut known_state = self.0.files.file_state();
        loop {
            tokio::select! {
                () = tokio::time::sleep(FILE_CHECK_INTERVAL) => {
                    let state = self.0.files.file_state();
                    if state != known_state {
                        known_state = state;
                        self.reload();
                    }
                }
                changed = hangup.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.reload();
                }
            }
        }
    }

    fn current_key(&self) -> Arc<CertifiedKey> {
        self.0.current.read().expect("nothing panics while it holds the lock").clone()
    }
}

fn load_or_create(files: &CertificateFiles, names: Vec<String>) -> anyhow::Result<CertifiedKey> {
    if !files.certificate.exists() {
        create_self_signed_certificate(names, &files.certificate, &files.private_key)?;
    }
    load_certified_key(files)
}

fn replace_damaged_certificate(
    files: &CertificateFiles,
    names: Vec<String>,
    damage: &anyhow::Error,
) -> anyhow::Result<CertifiedKey> {
    let renamed = files.certificate.with_extension("broken");
    error!(
        "{damage:#}. The daemon renamed it to {}, uses a self-signed certificate and requests a new one; no provider \
         delivers until it has the new one",
        renamed.display()
    );
    fs::rename(&files.certificate, &renamed)
        .with_context(|| format!("{} cannot be renamed", files.certificate.display()))?;
    load_or_create(files, names)
}

impl CertificateFiles {
    /// Returns the paths for a certificate and key in one file.
    #[must_use]
    pub fn from_single_file(file: PathBuf) -> Self {
        Self { private_key: file.clone(), certificate: file }
    }

    /// Returns inode, size and time of both files: they change when a program writes or replaces one.
    fn file_state(&self) -> [Option<(u64, u64, i64, i64)>; 2] {
        [&self.certificate, &self.private_key].map(|path| {
            let data = fs::metadata(path).ok()?;
            Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
        })
    }
}

/// Returns the paths of the configured certificate.
#[must_use]
pub fn locate_certificate_files(tls: &TlsSettings) -> CertificateFiles {
    match tls {
        TlsSettings::Files { certificate, private_key } => {
            CertificateFiles { certificate: certificate.clone(), private_key: private_key.clone() }
        }
        TlsSettings::Acme(acme) => CertificateFiles::from_single_file(acme.certificate_path()),
        TlsSettings::SelfSigned { directory } => CertificateFiles {
            certificate: directory.join("self-signed.pem"),
            private_key: directory.join("self-signed.key"),
        },
    }
}

/// Returns the certificates in a PEM file, the server's own first; at least one.
pub fn read_certificate_chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("the certificate {} cannot be read", path.display()))?;
    if chain.is_empty() {
        bail!("{} contains no certificate: it must be PEM with the whole chain", path.display());
    }
    Ok(chain)
}

/// Loads a certificate chain with its private key.
///
/// # Errors
/// If a file cannot be read, or if the key does not belong to the certificate.
pub fn load_certified_key(files: &CertificateFiles) -> anyhow::Result<CertifiedKey> {
    let chain = read_certificate_chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .with_context(|| format!("the private key {} cannot be read", files.private_key.display()))?;
    CertifiedKey::from_der(chain, key, &build_crypto_provider()).with_context(|| {
        format!(
            "the private key {} does not belong to the certificate {}",
            files.private_key.display(),
            files.certificate.display()
        )
    })
}

/// Returns the cryptography provider for TLS: ring.
#[must_use]
pub fn build_crypto_provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Answers TLS handshakes, of senders and of ACME challenges.
#[derive(Clone)]
pub(crate) struct TlsAcceptor {
    server_config: Arc<ServerConfig>,
    challenge_config: Arc<ServerConfig>,
}

impl TlsAcceptor {
    /// Returns an acceptor for TLS 1.2 and 1.3 that prefers HTTP/2 to HTTP/1.1.
    pub fn new(resolver: &CertificateResolver, challenges: &ChallengeResolver) -> Self {
        let mut server_config = ServerConfig::builder_with_provider(Arc::new(build_crypto_provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .expect("ring supports both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver.clone()));
        server_config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self {
            server_config: Arc::new(server_config),
            challenge_config: Arc::new(challenge::build_challenge_config(challenges)),
        }
    }

    /// Completes a handshake.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<AcceptedClient> {
        if is_plain_http(&tcp).await? {
            return Ok(AcceptedClient::PlainHttp(tcp));
        }
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
        if !challenge::is_acme_challenge(&hello.client_hello()) {
            let stream = hello.into_stream(self.server_config.clone()).await?;
            return Ok(AcceptedClient::Tls(Box::new(stream)));
        }
        hello.into_stream(self.challenge_config.clone()).await?.shutdown().await?;
        Ok(AcceptedClient::AcmeChallenge)
    }
}

/// Result of a handshake.
pub enum AcceptedClient {
    Tls(Box<TlsStream<TcpStream>>),
    /// The client speaks HTTP without TLS. Its bytes are unread.
    PlainHttp(TcpStream),
    /// The client was an ACME authority, whose challenge ends with its handshake.
    AcmeChallenge,
}

/// Returns true if the first byte is a capital, with which each method of HTTP begins. A TLS record begins with its
/// type, 22 for a handshake (RFC 8446, section 5.1).
async fn is_plain_http(tcp: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    Ok(tcp.peek(&mut first).await? == 1 && first[0].is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make_self_signed_settings() -> (tempfile::TempDir, TlsSettings) {
        let directory = tempfile::tempdir().unwrap();
        let tls = TlsSettings::SelfSigned { directory: directory.path().join("tls") };
        (directory, tls)
    }

    #[test]
    fn self_signed_certificate_is_created_once() {
        let (_directory, tls) = make_self_signed_settings();
        let first = CertificateResolver::load(&tls).unwrap().current_key();
        let second = CertificateResolver::load(&tls).unwrap().current_key();
        assert_eq!(first.cert, second.cert);
        let mode = fs::metadata(locate_certificate_files(&tls).private_key).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn mismatched_new_pair_keeps_the_old_one() {
        let (_directory, tls) = make_self_signed_settings();
        let resolver = CertificateResolver::load(&tls).unwrap();
        let before = resolver.current_key();
        let (_other_directory, other) = make_self_signed_settings();
        let other_key = CertificateResolver::load(&other).unwrap().current_key();
        let (files, other_files) = (locate_certificate_files(&tls), locate_certificate_files(&other));
        // First only the certificate is replaced, then its key.
        fs::copy(other_files.certificate, files.certificate).unwrap();
        resolver.reload();
        assert_eq!(resolver.current_key().cert, before.cert);
        fs::copy(other_files.private_key, files.private_key).unwrap();
        resolver.reload();
        assert_eq!(resolver.current_key().cert, other_key.cert);
    }
}
