//! `--dev`: a configuration and secrets made on the spot, in `./var`, so that a checkout runs with nothing edited.

use crate::secret::Secret;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a checkout keeps its state.
pub const DIRECTORY: &str = "var";
/// The shop that the development configuration knows.
pub const SHOP: &str = "acme-foods.myshopify.com";

const CONFIG: &str = r#"# Made by `novex-ingest serve --dev`. Edit it as you like: it is made only when it is not there.
[server]
listen = "127.0.0.1:8443"

[store]
path = "events.db"

[[shopify.shops]]
domain = "acme-foods.myshopify.com"
secrets = ["file:secrets/shopify"]

[easypost]
secrets = ["file:secrets/easypost"]

[keycloak]
secrets = ["file:secrets/keycloak"]
"#;

/// The development configuration's path; the file and its secrets are made when they are missing.
///
/// # Errors
/// When `./var` cannot be written.
pub fn prepare() -> io::Result<PathBuf> {
    let directory = Path::new(DIRECTORY);
    fs::create_dir_all(directory.join("secrets"))?;
    for name in ["shopify", "easypost", "keycloak"] {
        let secret = Secret::new(random_hex()?.into_bytes());
        write_new(&directory.join("secrets").join(name), secret.expose())?;
    }
    let config = directory.join("config.toml");
    write_new(&config, CONFIG.as_bytes())?;
    Ok(config)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// 256 bits from the system's random source.
///
/// # Errors
/// When the system gives none.
pub fn random_hex() -> io::Result<String> {
    use rustls::crypto::SecureRandom;
    let mut bytes = [0; 32];
    let provider = rustls::crypto::ring::default_provider();
    let random: &dyn SecureRandom = provider.secure_random;
    random.fill(&mut bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(hex::encode(bytes))
}
