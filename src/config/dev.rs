//! `--dev`: creates a configuration and secrets in `./var`, so that a checkout runs without a setup.

use crate::files::{create_directory, write_atomic};
use crate::secret::Secret;
use std::io;
use std::path::{Path, PathBuf};

/// State directory of a checkout.
pub const DEV_DIRECTORY: &str = "var";
/// Shop of the development configuration.
pub const DEV_SHOP_DOMAIN: &str = "acme-foods.myshopify.com";

const DEV_CONFIG: &str = r#"# Created by `novex-ingest serve --dev`, which never overwrites it.
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

/// Creates the development configuration and its secrets where they are missing. Returns the path of the configuration.
pub fn prepare_dev_config() -> io::Result<PathBuf> {
    let directory = Path::new(DEV_DIRECTORY);
    create_directory(&directory.join("secrets"), 0o750)?;
    for name in ["shopify", "easypost", "keycloak"] {
        let secret = Secret::new(generate_random_hex()?.into_bytes());
        write_if_missing(&directory.join("secrets").join(name), secret.expose())?;
    }
    let config = directory.join("config.toml");
    write_if_missing(&config, DEV_CONFIG.as_bytes())?;
    Ok(config)
}

fn write_if_missing(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.try_exists()? { Ok(()) } else { write_atomic(path, bytes, 0o600) }
}

/// Returns 256 bits from the system's random source, as 64 hexadecimal digits.
pub fn generate_random_hex() -> io::Result<String> {
    use rustls::crypto::SecureRandom;
    let mut bytes = [0; 32];
    let provider = rustls::crypto::ring::default_provider();
    let random: &dyn SecureRandom = provider.secure_random;
    random.fill(&mut bytes).map_err(|_| io::Error::other("the system returned no random bytes"))?;
    Ok(hex::encode(bytes))
}
