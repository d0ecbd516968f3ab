//! `sftp://user@host:22/out`: a directory at an SFTP server.
//!
//! The server must present the pinned host key, and only modern algorithms are offered. A secret is used as a private
//! key if it is one, else as a password. A lost connection ends the session; the next poll opens a new one.

use crate::clock::Timestamp;
use crate::http_client;
use crate::secret::Secret;
use crate::transfer::source::{HostKeyPolicy, SftpSettings};
use crate::transfer::{ARCHIVE_DIRECTORY, RemoteFile, TransferError};
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

/// Timeout of each response, in seconds.
const RESPONSE_TIMEOUT_SECONDS: u64 = 60;
/// Most concurrent reads; bounds the memory of a download.
const CONCURRENT_READS_MAX: usize = 4;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const INACTIVITY_TIMEOUT: Duration = Duration::from_mins(2);

const KEX_ALGORITHMS: &[kex::Name] = &[
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

/// Session at an SFTP server.
pub struct SftpConnection {
    ssh: client::Handle<HostKeyVerifier>,
    sftp: SftpSession,
    path: String,
}

/// Checks the host key of the server.
struct HostKeyVerifier {
    pinned_keys: Vec<PublicKey>,
    presented_key: Arc<Mutex<Option<PublicKey>>>,
}

/// Error of the SSH handler; russh requires one type for all errors of a handler.
#[derive(Debug, thiserror::Error)]
enum SshError {
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    #[error(
        "its host key is {0}, which is not the configured one: the server has a new key, or another machine \
         intercepts the connection; ask the operator of the server before you change host_key"
    )]
    HostKeyMismatch(String),
}

impl client::Handler for HostKeyVerifier {
    type Error = SshError;

    async fn check_server_key(&mut self, seen: &PublicKeyOrCertificate) -> Result<bool, SshError> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = seen else { return Ok(false) };
        if let Ok(mut presented) = self.presented_key.lock() {
            *presented = Some(key.clone());
        }
        // The comment of a key is not compared.
        if self.pinned_keys.is_empty() || self.pinned_keys.iter().any(|pin| pin.key_data() == key.key_data()) {
            return Ok(true);
        }
        Err(SshError::HostKeyMismatch(key.fingerprint(HashAlg::Sha256).to_string()))
    }
}

fn select_algorithms(pins: &[PublicKey]) -> Preferred {
    let rsa = [Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }];
    // A server with several host keys must present the pinned one.
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
        kex: Cow::Borrowed(KEX_ALGORITHMS),
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

fn describe_connect_error(settings: &SftpSettings, error: &std::io::Error) -> String {
    let address = format!("{}:{}", settings.host, settings.port);
    http_client::describe_connection_error(&address, error).unwrap_or_else(|| format!("it cannot be reached: {error}"))
}

/// Returns true if a text is a host key in OpenSSH's format.
#[must_use]
pub fn is_host_key(text: &str) -> bool {
    PublicKey::from_openssh(text.trim()).is_ok()
}

impl SftpConnection {
    pub(crate) async fn connect(
        settings: &SftpSettings,
        known_host_key: Option<&str>,
    ) -> Result<(Self, Option<String>), TransferError> {
        let to_error =
            |message: String| TransferError::Source(format!("sftp://{}:{}: {message}", settings.host, settings.port));
        let pin = match &settings.host_key {
            HostKeyPolicy::Pinned(key) => Some(key.as_str()),
            HostKeyPolicy::TrustOnFirstUse => known_host_key,
        };
        let pins: Vec<PublicKey> = pin.iter().filter_map(|key| PublicKey::from_openssh(key.trim()).ok()).collect();
        if pin.is_some() && pins.is_empty() {
            return Err(to_error("host_key is not a key in OpenSSH's format".to_owned()));
        }
        let config = client::Config {
            preferred: select_algorithms(&pins),
            keepalive_interval: Some(KEEPALIVE_INTERVAL),
            inactivity_timeout: Some(INACTIVITY_TIMEOUT),
            ..client::Config::default()
        };
        let stream = TcpStream::connect((settings.host.as_str(), settings.port))
            .await
            .map_err(|error| to_error(describe_connect_error(settings, &error)))?;
        let _ = stream.set_nodelay(true);
        let presented_key = Arc::new(Mutex::new(None));
        let verifier = HostKeyVerifier { pinned_keys: pins, presented_key: presented_key.clone() };
        let mut ssh = client::connect_stream(Arc::new(config), stream, verifier)
            .await
            .map_err(|error| to_error(error.to_string()))?;
        authenticate_user(&mut ssh, settings).await.map_err(to_error)?;
        let sftp = open_sftp_subsystem(&ssh).await.map_err(to_error)?;
        let key = presented_key.lock().ok().and_then(|key| key.as_ref().and_then(|key| key.to_openssh().ok()));
        Ok((Self { ssh, sftp, path: settings.path.clone() }, key))
    }

    fn remote_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    /// Classifies an error: a status concerns the file, any other error ends the session.
    fn classify_error(error: &SftpError) -> TransferError {
        match error {
            SftpError::Status(status) => match status.status_code {
                StatusCode::NoSuchFile => TransferError::NotFound,
                StatusCode::NoConnection | StatusCode::ConnectionLost => {
                    TransferError::Source(status.error_message.clone())
                }
                StatusCode::PermissionDenied => TransferError::File("permission denied".to_owned()),
                code => TransferError::File(format!("{code:?}: {}", status.error_message)),
            },
            other => TransferError::Source(format!("the connection was lost: {other}")),
        }
    }

    pub(crate) async fn list(&self) -> Result<Vec<RemoteFile>, TransferError> {
        let entries =
            self.sftp.read_dir(self.path.clone()).await.map_err(|error| match Self::classify_error(&error) {
                TransferError::NotFound => TransferError::Source(format!("there is no directory {}", self.path)),
                TransferError::File(error) => TransferError::Source(format!("{} cannot be listed: {error}", self.path)),
                source @ (TransferError::Source(_) | TransferError::RetryLater(..)) => source,
            })?;
        Ok(entries
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| to_remote_file(entry.file_name(), &entry.metadata()))
            .collect())
    }

    pub(crate) async fn read(&self, name: &str, bytes_max: u64) -> Result<Vec<u8>, TransferError> {
        let mut file = self.sftp.open(self.remote_path(name)).await.map_err(|error| Self::classify_error(&error))?;
        let mut bytes = Vec::new();
        let read = (&mut file).take(bytes_max + 1).read_to_end(&mut bytes).await;
        let closed = file.close().await;
        match read {
            Err(error) => Err(TransferError::Source(format!("the connection was lost while reading {name}: {error}"))),
            Ok(_) if bytes.len() as u64 > bytes_max => {
                Err(TransferError::File(format!("it has more than {bytes_max} bytes (sps.max_file_bytes)")))
            }
            Ok(_) => closed.map(|()| bytes).map_err(|error| TransferError::Source(error.to_string())),
        }
    }

    pub(crate) async fn stat(&self, name: &str) -> Result<RemoteFile, TransferError> {
        let metadata =
            self.sftp.metadata(self.remote_path(name)).await.map_err(|error| Self::classify_error(&error))?;
        Ok(to_remote_file(name.to_owned(), &metadata))
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), TransferError> {
        self.sftp.remove_file(self.remote_path(name)).await.map_err(|error| Self::classify_error(&error))
    }

    /// Uploads a document. An existing file with the same name and bytes counts as an earlier upload of it.
    pub(crate) async fn upload(&self, name: &str, bytes: &[u8]) -> Result<(), TransferError> {
        let (target, length) = (self.remote_path(name), bytes.len() as u64);
        // An earlier attempt may have succeeded although its response was lost. No other file is replaced.
        match self.read(name, length).await {
            Ok(existing) if existing == bytes => return Ok(()),
            Ok(_) | Err(TransferError::File(_)) => {
                return Err(TransferError::File(format!("another file {target} exists: remove it first")));
            }
            Err(TransferError::NotFound) => {}
            Err(error) => return Err(error),
        }
        self.write_atomic(name, bytes, length).await
    }

    /// Uploads a local file, which may be large, under a name that does not exist yet.
    pub(crate) async fn upload_file(&self, name: &str, path: &Path) -> Result<(), TransferError> {
        let to_error = |error: std::io::Error| TransferError::File(format!("{}: {error}", path.display()));
        let file = tokio::fs::File::open(path).await.map_err(to_error)?;
        let length = file.metadata().await.map_err(to_error)?.len();
        self.write_atomic(name, file, length).await
    }

    /// Writes to a temporary name, checks the length, and renames the file, so that no reader sees a partial file.
    async fn write_atomic(
        &self,
        name: &str,
        mut from: impl AsyncRead + Unpin,
        length: u64,
    ) -> Result<(), TransferError> {
        let to_error = |error| self.classify_write_error(name, &error);
        let (temporary, target) = (self.remote_path(&format!(".{name}.tmp")), self.remote_path(name));
        let mut file = self.sftp.create(temporary.clone()).await.map_err(to_error)?;
        let written = tokio::io::copy(&mut from, &mut file).await;
        let closed = file.close().await;
        // One possible reason is a full disk at the server.
        written.and(closed).map_err(|error| TransferError::File(format!("{temporary} cannot be written: {error}")))?;
        let size = self.sftp.metadata(temporary.clone()).await.map_err(to_error)?.size;
        if let Some(size) = size
            && size != length
        {
            return Err(TransferError::File(format!(
                "{temporary} has {size} bytes instead of {length}: the disk of the server may be full"
            )));
        }
        self.sftp.rename(temporary, target).await.map_err(to_error)
    }

    fn classify_write_error(&self, name: &str, error: &SftpError) -> TransferError {
        match Self::classify_error(error) {
            TransferError::NotFound => TransferError::Source(format!("there is no directory {}", self.path)),
            TransferError::File(error) => {
                TransferError::File(format!("{} cannot be written: {error}", self.remote_path(name)))
            }
            other @ (TransferError::Source(_) | TransferError::RetryLater(..)) => other,
        }
    }

    /// Moves a file into the archive. Returns false if the archive has a file of this name.
    pub(crate) async fn archive(&self, name: &str, target: &str) -> Result<bool, TransferError> {
        let (archive, target) =
            (self.remote_path(ARCHIVE_DIRECTORY), self.remote_path(&format!("{ARCHIVE_DIRECTORY}/{target}")));
        if self.sftp.metadata(target.clone()).await.is_ok() {
            return Ok(false);
        }
        let Err(error) = self.sftp.rename(self.remote_path(name), target.clone()).await else { return Ok(true) };
        if matches!(Self::classify_error(&error), TransferError::Source(_)) {
            return Err(Self::classify_error(&error));
        }
        // Most likely the archive does not exist yet.
        if self.sftp.metadata(archive.clone()).await.is_err() {
            self.sftp.create_dir(archive).await.map_err(|error| Self::classify_error(&error))?;
            return self
                .sftp
                .rename(self.remote_path(name), target)
                .await
                .map(|()| true)
                .map_err(|error| Self::classify_error(&error));
        }
        Err(Self::classify_error(&error))
    }

    pub(crate) async fn close(self) {
        let _ = self.sftp.close().await;
        let _ = self.ssh.disconnect(Disconnect::ByApplication, "", "en").await;
        let _ = tokio::time::timeout(Duration::from_secs(5), self.ssh).await;
    }
}

fn to_remote_file(name: String, metadata: &russh_sftp::client::fs::Metadata) -> RemoteFile {
    let modified = metadata.mtime.and_then(|seconds| Timestamp::from_second(seconds.into()).ok());
    RemoteFile { name, size: metadata.size, modified, identity: None }
}

async fn authenticate_user(ssh: &mut client::Handle<HostKeyVerifier>, settings: &SftpSettings) -> Result<(), String> {
    let mut last_error = "no secret is configured for the login".to_owned();
    for secret in &settings.secrets {
        match try_login_secret(ssh, &settings.user, secret).await? {
            client::AuthResult::Success => return Ok(()),
            client::AuthResult::Failure { partial_success: true, .. } => {
                return Err(format!("it requires a second proof of {}, which is not supported", settings.user));
            }
            client::AuthResult::Failure { .. } if ssh.is_closed() => {
                return Err("the connection was lost during the login".to_owned());
            }
            client::AuthResult::Failure { remaining_methods, .. } => {
                let methods: Vec<&str> = remaining_methods.iter().copied().map(describe_login_method).collect();
                last_error = format!(
                    "it refuses the login of {}: it does not know the key or password (it accepts: {})",
                    settings.user,
                    methods.join(", ")
                );
            }
        }
    }
    Err(last_error)
}

/// Returns the name of a login method for a message: `key`, `password` …
fn describe_login_method(method: russh::MethodKind) -> &'static str {
    match method {
        russh::MethodKind::PublicKey => "key",
        method => (&method).into(),
    }
}

async fn try_login_secret(
    ssh: &mut client::Handle<HostKeyVerifier>,
    user: &str,
    secret: &Secret,
) -> Result<client::AuthResult, String> {
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
                return Err("it accepts RSA keys only with SHA-1, which is insecure: use an Ed25519 key".to_owned());
            }
        }
    } else {
        None
    };
    ssh.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await.map_err(lost)
}

async fn open_sftp_subsystem(ssh: &client::Handle<HostKeyVerifier>) -> Result<SftpSession, String> {
    let lost = |error: russh::Error| format!("the connection was lost: {error}");
    let mut channel = ssh.channel_open_session().await.map_err(lost)?;
    channel.request_subsystem(true, "sftp").await.map_err(lost)?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => return Err("it does not offer SFTP".to_owned()),
            None => return Err("the connection was lost".to_owned()),
            Some(_) => {}
        }
    }
    let config = russh_sftp::client::Config {
        max_concurrent_reads: CONCURRENT_READS_MAX,
        request_timeout_secs: RESPONSE_TIMEOUT_SECONDS,
        ..russh_sftp::client::Config::default()
    };
    SftpSession::new_with_config(channel.into_stream(), config)
        .await
        .map_err(|error| format!("the SFTP session cannot be opened: {error}"))
}
