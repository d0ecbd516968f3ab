//! `sftp://user@host:22/out`: a directory at an SFTP server.
//!
//! The server must show the pinned key, and only modern algorithms are spoken. A private key is tried where the secret is one,
//! else the secret is a password. Whatever is lost on the way ends the session: the next poll begins a new one.

use super::{ARCHIVE, RemoteFile, Trouble};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::sps::{HostKey, Sftp};
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, decode_secret_key,
};
use russh::{ChannelMsg, Disconnect, Preferred, cipher, client, compression, kex, mac};
use russh_sftp::client::SftpSession;
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::protocol::StatusCode;
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

/// Each answer must come within this many seconds.
const ANSWER_SECONDS: u64 = 60;
/// Reads on their way at once: bounds the memory of a download.
const READS: usize = 4;
const KEEPALIVE: Duration = Duration::from_secs(15);
const SILENCE_MAX: Duration = Duration::from_mins(2);

const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_GEX_SHA256,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// A session at a server.
pub struct Session {
    ssh: client::Handle<Host>,
    sftp: SftpSession,
    path: String,
}

/// Checks the server's key.
struct Host {
    pins: Vec<PublicKey>,
    shown: Arc<Mutex<Option<PublicKey>>>,
}

/// What the check says when it refuses; russh wants one error type of a handler.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error(
        "its host key is {0}, which is not the one in the configuration: either the server has a new key, or somebody stands \
         between; ask the operator of the server before you change host_key"
    )]
    HostKey(String),
}

impl client::Handler for Host {
    type Error = Fault;

    async fn check_server_key(&mut self, seen: &PublicKeyOrCertificate) -> Result<bool, Fault> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = seen else { return Ok(false) };
        if let Ok(mut shown) = self.shown.lock() {
            *shown = Some(key.clone());
        }
        // The comment beside a key is no part of it.
        if self.pins.is_empty() || self.pins.iter().any(|pin| pin.key_data() == key.key_data()) {
            return Ok(true);
        }
        Err(Fault::HostKey(key.fingerprint(HashAlg::Sha256).to_string()))
    }
}

fn preferred(pins: &[PublicKey]) -> Preferred {
    let rsa = [Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }];
    // A server with several keys must show the one that is pinned.
    let mut key = Vec::new();
    for pin in pins {
        if pin.algorithm().is_rsa() {
            key.extend(rsa.clone());
        } else {
            key.push(pin.algorithm());
        }
    }
    if key.is_empty() {
        key.push(Algorithm::Ed25519);
        key.extend(
            [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521].map(|curve| Algorithm::Ecdsa { curve }),
        );
        key.extend(rsa);
    }
    Preferred {
        kex: Cow::Borrowed(KEX),
        key: Cow::Owned(key),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(&[
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_GCM,
            cipher::AES_128_GCM,
            cipher::AES_256_CTR,
            cipher::AES_128_CTR,
        ]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256]),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// Whether a text is a host key as OpenSSH writes it.
#[must_use]
pub fn is_host_key(text: &str) -> bool {
    PublicKey::from_openssh(text.trim()).is_ok()
}

impl Session {
    pub(super) async fn open(settings: &Sftp, known: Option<&str>) -> Result<(Self, Option<String>), Trouble> {
        let trouble = |what: String| Trouble::Source(format!("sftp://{}:{}: {what}", settings.host, settings.port));
        let pin = match &settings.host_key {
            HostKey::Pinned(key) => Some(key.as_str()),
            HostKey::FirstUse => known,
        };
        let pins: Vec<PublicKey> = pin.iter().filter_map(|key| PublicKey::from_openssh(key.trim()).ok()).collect();
        if pin.is_some() && pins.is_empty() {
            return Err(trouble("host_key is no key as OpenSSH writes it".to_owned()));
        }
        let config = client::Config {
            preferred: preferred(&pins),
            keepalive_interval: Some(KEEPALIVE),
            inactivity_timeout: Some(SILENCE_MAX),
            ..client::Config::default()
        };
        let stream = TcpStream::connect((settings.host.as_str(), settings.port))
            .await
            .map_err(|error| trouble(format!("it cannot be reached: {error}")))?;
        let _ = stream.set_nodelay(true);
        let shown = Arc::new(Mutex::new(None));
        let host = Host { pins, shown: shown.clone() };
        let mut ssh =
            client::connect_stream(Arc::new(config), stream, host).await.map_err(|error| trouble(error.to_string()))?;
        log_in(&mut ssh, settings).await.map_err(trouble)?;
        let sftp = subsystem(&ssh).await.map_err(trouble)?;
        let key = shown.lock().ok().and_then(|shown| shown.as_ref().and_then(|key| key.to_openssh().ok()));
        Ok((Self { ssh, sftp, path: settings.path.clone() }, key))
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    /// What an answer means: a status is about the file, anything else is the end of the session.
    fn trouble(error: &SftpError) -> Trouble {
        match error {
            SftpError::Status(status) => match status.status_code {
                StatusCode::NoSuchFile => Trouble::Gone,
                StatusCode::NoConnection | StatusCode::ConnectionLost => Trouble::Source(status.error_message.clone()),
                StatusCode::PermissionDenied => Trouble::File("permission denied".to_owned()),
                code => Trouble::File(format!("{code:?}: {}", status.error_message)),
            },
            other => Trouble::Source(format!("the connection was lost: {other}")),
        }
    }

    pub(super) async fn list(&self) -> Result<Vec<RemoteFile>, Trouble> {
        let entries = self.sftp.read_dir(self.path.clone()).await.map_err(|error| match Self::trouble(&error) {
            Trouble::Gone => Trouble::Source(format!("there is no directory {}", self.path)),
            Trouble::File(said) => Trouble::Source(format!("{} cannot be listed: {said}", self.path)),
            source @ (Trouble::Source(_) | Trouble::Later(..)) => source,
        })?;
        Ok(entries
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| file(entry.file_name(), &entry.metadata()))
            .collect())
    }

    pub(super) async fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        let mut file = self.sftp.open(self.at(name)).await.map_err(|error| Self::trouble(&error))?;
        let mut bytes = Vec::new();
        let read = (&mut file).take(limit + 1).read_to_end(&mut bytes).await;
        let closed = file.close().await;
        match read {
            Err(error) => Err(Trouble::Source(format!("the connection was lost in the middle of {name}: {error}"))),
            Ok(_) if bytes.len() as u64 > limit => {
                Err(Trouble::File(format!("it has more than {limit} bytes (sps.max_file_bytes)")))
            }
            Ok(_) => closed.map(|()| bytes).map_err(|error| Trouble::Source(error.to_string())),
        }
    }

    pub(super) async fn look(&self, name: &str) -> Result<RemoteFile, Trouble> {
        let metadata = self.sftp.metadata(self.at(name)).await.map_err(|error| Self::trouble(&error))?;
        Ok(file(name.to_owned(), &metadata))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), Trouble> {
        self.sftp.remove_file(self.at(name)).await.map_err(|error| Self::trouble(&error))
    }

    /// A document: one of this name with the same bytes is taken for it.
    pub(super) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let (target, length) = (self.at(name), bytes.len() as u64);
        // An earlier attempt whose answer was lost; nothing else is written over.
        match self.read(name, length).await {
            Ok(there) if there == bytes => return Ok(()),
            Ok(_) | Err(Trouble::File(_)) => {
                return Err(Trouble::File(format!("another file {target} is there already: take it away first")));
            }
            Err(Trouble::Gone) => {}
            Err(trouble) => return Err(trouble),
        }
        self.write(name, bytes, length).await
    }

    /// A file of this box, which may be large; there is none of the name.
    pub(super) async fn put_file(&self, name: &str, path: &Path) -> Result<(), Trouble> {
        let own = |error: std::io::Error| Trouble::File(format!("{}: {error}", path.display()));
        let file = tokio::fs::File::open(path).await.map_err(own)?;
        let length = file.metadata().await.map_err(own)?.len();
        self.write(name, file, length).await
    }

    /// Under another name first, and with the length that it must have: nobody takes half a file.
    async fn write(&self, name: &str, mut from: impl AsyncRead + Unpin, length: u64) -> Result<(), Trouble> {
        let trouble = |error| self.of_writing(name, &error);
        let (unfinished, target) = (self.at(&format!(".{name}.tmp")), self.at(name));
        let mut file = self.sftp.create(unfinished.clone()).await.map_err(trouble)?;
        let written = tokio::io::copy(&mut from, &mut file).await;
        let closed = file.close().await;
        // A full disk there is one of the reasons.
        written.and(closed).map_err(|error| Trouble::File(format!("{unfinished} cannot be written: {error}")))?;
        let size = self.sftp.metadata(unfinished.clone()).await.map_err(trouble)?.size;
        if size.is_some_and(|size| size != length) {
            return Err(Trouble::File(format!(
                "{unfinished} has {size:?} bytes instead of {length}: is its disk full?"
            )));
        }
        self.sftp.rename(unfinished, target).await.map_err(trouble)
    }

    fn of_writing(&self, name: &str, error: &SftpError) -> Trouble {
        match Self::trouble(error) {
            Trouble::Gone => Trouble::Source(format!("there is no directory {}", self.path)),
            Trouble::File(said) => Trouble::File(format!("{} cannot be written: {said}", self.at(name))),
            other @ (Trouble::Source(_) | Trouble::Later(..)) => other,
        }
    }

    /// False when there is one of this name already.
    pub(super) async fn archive(&self, name: &str, target: &str) -> Result<bool, Trouble> {
        let (archive, target) = (self.at(ARCHIVE), self.at(&format!("{ARCHIVE}/{target}")));
        if self.sftp.metadata(target.clone()).await.is_ok() {
            return Ok(false);
        }
        let Err(error) = self.sftp.rename(self.at(name), target.clone()).await else { return Ok(true) };
        if matches!(Self::trouble(&error), Trouble::Source(_)) {
            return Err(Self::trouble(&error));
        }
        // Most likely there is no archive yet.
        if self.sftp.metadata(archive.clone()).await.is_err() {
            self.sftp.create_dir(archive).await.map_err(|error| Self::trouble(&error))?;
            return self.sftp.rename(self.at(name), target).await.map(|()| true).map_err(|error| Self::trouble(&error));
        }
        Err(Self::trouble(&error))
    }

    pub(super) async fn close(self) {
        let _ = self.sftp.close().await;
        let _ = self.ssh.disconnect(Disconnect::ByApplication, "", "en").await;
        let _ = tokio::time::timeout(Duration::from_secs(5), self.ssh).await;
    }
}

fn file(name: String, metadata: &russh_sftp::client::fs::Metadata) -> RemoteFile {
    let modified = metadata.mtime.and_then(|seconds| Timestamp::from_second(seconds.into()).ok());
    RemoteFile { name, size: metadata.size, modified, identity: None }
}

async fn log_in(ssh: &mut client::Handle<Host>, settings: &Sftp) -> Result<(), String> {
    let mut said = "there is no secret to log in with".to_owned();
    for secret in &settings.secrets {
        let answer = try_secret(ssh, &settings.user, secret).await?;
        match answer {
            client::AuthResult::Success => return Ok(()),
            client::AuthResult::Failure { partial_success: true, .. } => {
                return Err(format!(
                    "it asks {} for a second proof beside this one, which is not supported",
                    settings.user
                ));
            }
            client::AuthResult::Failure { .. } if ssh.is_closed() => {
                return Err("the connection was lost during the login".to_owned());
            }
            client::AuthResult::Failure { remaining_methods, .. } => {
                said = format!(
                    "it refuses the login of {}: the key or password is not the one it knows (it takes {remaining_methods:?})",
                    settings.user
                );
            }
        }
    }
    Err(said)
}

async fn try_secret(ssh: &mut client::Handle<Host>, user: &str, secret: &Secret) -> Result<client::AuthResult, String> {
    let lost = |error: russh::Error| format!("the login failed: {error}");
    let text = String::from_utf8_lossy(secret.expose()).into_owned();
    if !text.contains("-----BEGIN") {
        return ssh.authenticate_password(user, text.trim_end_matches(['\r', '\n'])).await.map_err(lost);
    }
    let text = text.lines().map(str::trim).collect::<Vec<_>>().join("\n") + "\n";
    let key = decode_secret_key(&text, None).map_err(|error| {
        format!("the private key cannot be read: {error}; it must be an OpenSSH or PEM key without a passphrase")
    })?;
    let hash = if key.algorithm().is_rsa() {
        match ssh.best_supported_rsa_hash().await.map_err(lost)? {
            Some(Some(hash)) => Some(hash),
            None => Some(HashAlg::Sha512),
            Some(None) => {
                return Err("it takes RSA keys with SHA-1 only, which is broken: use another kind of key".to_owned());
            }
        }
    } else {
        None
    };
    ssh.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await.map_err(lost)
}

async fn subsystem(ssh: &client::Handle<Host>) -> Result<SftpSession, String> {
    let lost = |error: russh::Error| format!("the connection was lost: {error}");
    let mut channel = ssh.channel_open_session().await.map_err(lost)?;
    channel.request_subsystem(true, "sftp").await.map_err(lost)?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => return Err("it offers no SFTP".to_owned()),
            None => return Err("the connection was lost".to_owned()),
            Some(_) => {}
        }
    }
    let config = russh_sftp::client::Config {
        max_concurrent_reads: READS,
        request_timeout_secs: ANSWER_SECONDS,
        ..russh_sftp::client::Config::default()
    };
    SftpSession::new_with_config(channel.into_stream(), config)
        .await
        .map_err(|error| format!("SFTP does not begin: {error}"))
}
