//! The certificate: loaded, made, and read again while connections go on.
//!
//! A new pair serves the handshakes that begin after it was read; connections that stand keep what they have. A pair that
//! cannot be used is complained about and the old one stays: renewal tools replace the two files one after the other, so
//! for a moment they do not fit together.

use super::challenge::{self, Challenges};
use crate::config::sections::Tls;
use anyhow::{Context, bail};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{error, info};

/// How often the files are looked at. Looking, not inotify: it works for symbolic links and network file systems too.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The pair in use. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Holder(Arc<Inner>);

struct Inner {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
}

/// Where the pair is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.files.fmt(f)
    }
}

impl ResolvesServerCert for Holder {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl Holder {
    /// Loads the configured pair; a self-signed one is made if there is none yet.
    ///
    /// # Errors
    /// When the files cannot be read or made, or do not fit together.
    pub fn load(tls: &Tls) -> anyhow::Result<Self> {
        let files = files(tls);
        let names = match tls {
            Tls::Files { .. } => None,
            Tls::SelfSigned { .. } => Some(own_names()),
            Tls::Acme(acme) => Some(acme.names.clone()),
        };
        let read = match names {
            Some(names) if !files.certificate.exists() => make_self_signed(names, &files).and_then(|()| pair(&files)),
            // The file is our own: one that is damaged must not keep the daemon from starting.
            Some(names) if matches!(tls, Tls::Acme(_)) => pair(&files).or_else(|error| {
                let broken = files.certificate.with_extension("broken");
                error!(
                    "{error:#}. It is put aside as {}, a self-signed pair serves, and the authority is asked for another",
                    broken.display()
                );
                fs::rename(&files.certificate, &broken)
                    .with_context(|| format!("{} cannot be put aside", files.certificate.display()))?;
                make_self_signed(names, &files)?;
                pair(&files)
            }),
            _ => pair(&files),
        };
        let current = RwLock::new(Arc::new(read?));
        Ok(Self(Arc::new(Inner { files, current })))
    }

    /// Reads the files again; the old pair stays when the new one cannot be used.
    pub fn reload(&self) {
        match pair(&self.0.files) {
            Ok(pair) => {
                let pair = Arc::new(pair);
                let old = std::mem::replace(
                    &mut *self.0.current.write().expect("nothing panics while it holds the pair"),
                    pair.clone(),
                );
                if old.cert != pair.cert {
                    info!(
                        "the certificate {} was read again and serves from now on",
                        self.0.files.certificate.display()
                    );
                }
            }
            Err(error) => error!("the new certificate is not used, the old one stays: {error:#}"),
        }
    }

    /// Reloads whenever a file changes or `hangup` does, until the task is aborted.
    pub async fn watch(self, mut hangup: watch::Receiver<u64>) {
        let mut seen = self.0.files.state();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {
                    let now = self.0.files.state();
                    if now != seen {
                        seen = now;
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

    fn current(&self) -> Arc<CertifiedKey> {
        self.0.current.read().expect("nothing panics while it holds the pair").clone()
    }
}

impl Files {
    /// Certificate and key in one file.
    #[must_use]
    pub fn one(file: PathBuf) -> Self {
        Self { private_key: file.clone(), certificate: file }
    }

    /// What changes when a file is written or replaced: inode, size and time of both.
    fn state(&self) -> [Option<(u64, u64, i64, i64)>; 2] {
        [&self.certificate, &self.private_key].map(|path| {
            let data = fs::metadata(path).ok()?;
            Some((data.ino(), data.len(), data.mtime(), data.mtime_nsec()))
        })
    }
}

/// The files of the configured pair.
#[must_use]
pub fn files(tls: &Tls) -> Files {
    match tls {
        Tls::Files { certificate, private_key } => {
            Files { certificate: certificate.clone(), private_key: private_key.clone() }
        }
        Tls::Acme(acme) => Files::one(acme.certificate()),
        Tls::SelfSigned { directory } => {
            Files { certificate: directory.join("self-signed.pem"), private_key: directory.join("self-signed.key") }
        }
    }
}

/// The certificates of a file, the server's own first.
///
/// # Errors
/// When it cannot be read or holds none.
pub fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("the certificate {} cannot be read", path.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate: it must be PEM, with the whole chain", path.display());
    }
    Ok(chain)
}

/// The pair in these files.
///
/// # Errors
/// When they cannot be read, or do not fit together.
pub fn pair(files: &Files) -> anyhow::Result<CertifiedKey> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .with_context(|| format!("the private key {} cannot be read", files.private_key.display()))?;
    let pair = CertifiedKey::from_der(chain, key, &provider()).with_context(|| {
        format!(
            "{} and {} are not a pair: the key must be the certificate's own",
            files.certificate.display(),
            files.private_key.display()
        )
    })?;
    Ok(pair)
}

fn own_names() -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) && !names.contains(&host) {
        names.push(host);
    }
    names
}

/// Makes the pair that serves until there is a real one, for ten years.
fn make_self_signed(names: Vec<String>, files: &Files) -> anyhow::Result<()> {
    let directory = fs::File::open(directory_for(&files.certificate)?)?;
    // Processes that start at once take turns, and the second finds the work done.
    rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)?;
    if files.certificate.exists() {
        return Ok(());
    }
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "novex-ingest, self-signed");
    let year = crate::clock::Clock::system().now().to_zoned_datetime(jiff::tz::TimeZone::UTC).year();
    parameters.not_before = rcgen::date_time_ymd(i32::from(year) - 1, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(i32::from(year) + 10, 1, 1);
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    if files.certificate == files.private_key {
        write_whole(&files.certificate, (key.serialize_pem() + &certificate.pem()).as_bytes(), 0o600)?;
    } else {
        // The key first: whoever finds the certificate finds its key too.
        write_whole(&files.private_key, key.serialize_pem().as_bytes(), 0o600)?;
        write_whole(&files.certificate, certificate.pem().as_bytes(), 0o644)?;
    }
    info!("made the self-signed certificate {}", files.certificate.display());
    Ok(())
}

/// The directory that a file is in, made if it is not there.
fn directory_for(file: &Path) -> anyhow::Result<&Path> {
    let directory = file.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o750).create(directory).with_context(|| {
        format!(
            "{} cannot be made; check that the directory above it exists and belongs to the user that runs novex-ingest",
            directory.display()
        )
    })?;
    Ok(directory)
}

/// Writes a file so that whoever reads it, at any moment, finds the old one or the new one.
///
/// # Errors
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let directory = directory_for(path)?;
    // Of this process alone; one that was killed may have had its number.
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let _ = fs::remove_file(&part);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path))
        .and_then(|()| fs::File::open(directory)?.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// The cryptography that TLS uses here.
#[must_use]
pub fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// How handshakes are answered.
#[derive(Clone)]
pub(super) struct Acceptor {
    daily: Arc<ServerConfig>,
    challenge: Arc<ServerConfig>,
}

impl Acceptor {
    /// TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
    pub fn new(holder: &Holder, challenges: &Challenges) -> Self {
        let mut daily = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .expect("ring knows both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(holder.clone()));
        daily.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { daily: Arc::new(daily), challenge: Arc::new(challenge::config(challenges)) }
    }

    /// The handshake; `None` when it was an authority's, and all is said.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
        if !challenge::is_asked_for(&hello.client_hello()) {
            return hello.into_stream(self.daily.clone()).await.map(Some);
        }
        hello.into_stream(self.challenge.clone()).await?.shutdown().await?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn self_signed() -> (tempfile::TempDir, Tls) {
        let directory = tempfile::tempdir().unwrap();
        let tls = Tls::SelfSigned { directory: directory.path().join("tls") };
        (directory, tls)
    }

    #[test]
    fn a_self_signed_pair_is_made_once() {
        let (_directory, tls) = self_signed();
        let first = Holder::load(&tls).unwrap().current();
        let second = Holder::load(&tls).unwrap().current();
        assert_eq!(first.cert, second.cert);
        let mode = fs::metadata(files(&tls).private_key).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_new_pair_keeps_the_old_one() {
        let (_directory, tls) = self_signed();
        let holder = Holder::load(&tls).unwrap();
        let before = holder.current();
        let (_other_directory, other) = self_signed();
        let other_pair = Holder::load(&other).unwrap().current();
        // The certificate is replaced, its key not yet.
        fs::copy(files(&other).certificate, files(&tls).certificate).unwrap();
        holder.reload();
        assert_eq!(holder.current().cert, before.cert);
        fs::copy(files(&other).private_key, files(&tls).private_key).unwrap();
        holder.reload();
        assert_eq!(holder.current().cert, other_pair.cert);
    }
}
