//! Loads secrets from the files, credentials and variables that the configuration names.

use crate::config::{ConfigWarning, is_pipe};
use crate::secret::Secret;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Directory of the credentials of the running service (systemd.exec(5)).
const SERVICE_CREDENTIALS_DIRECTORY: &str = "/run/credentials/novex-ingest.service";

/// Start of the first line of a key or certificate in PEM (RFC 7468).
const PEM_START: &str = "-----BEGIN ";

/// Shortest secret that setup accepts, in bytes.
const SECRET_BYTES_MIN: usize = 8;
/// Shortest secret without a warning, in bytes. Shopify's has 32 or more, a generated one 64.
const SECRET_BYTES_RECOMMENDED: usize = 16;

/// Keys whose secrets verify requests, so that none is a private key.
const TOKEN_KEYS: [&str; 4] = ["shopify.shops.secrets", "easypost.secrets", "keycloak.secrets", "sps.secrets"];

/// A loaded secret, with warnings about its place and its shape.
pub struct LoadedSecret {
    pub secret: Secret,
    pub warnings: Vec<ConfigWarning>,
}

/// Loads `file:PATH`, `credential:NAME` or `env:NAME`. A relative path starts at the configuration's directory.
///
/// One line end after the secret is not part of it: editors add it, and it is the usual cause of an invalid signature.
///
/// # Errors
/// Message and hint, without any part of a secret.
pub fn load_secret(reference: &str, config: &Path) -> Result<LoadedSecret, (String, String)> {
    let loaded = load_referenced_bytes(reference, config)?;
    Ok(LoadedSecret { secret: loaded.secret.with_reference(Some(reference.into())), ..loaded })
}

fn load_referenced_bytes(reference: &str, config: &Path) -> Result<LoadedSecret, (String, String)> {
    let Some((kind, place)) = reference.split_once(':').filter(|(_, place)| !place.is_empty()) else {
        // Not quoted: an operator who writes the secret itself here must not find it in the log.
        return Err((
            "is not a reference to a secret".into(),
            "Put the secret into a file and write \"file:/etc/novex-ingest/secrets/NAME\", or \"credential:NAME\", or \
             \"env:NAME\"."
                .into(),
        ));
    };
    match kind {
        "file" => {
            let path = config.parent().unwrap_or(Path::new("")).join(place);
            let mut loaded = load_secret_file(&path)?;
            loaded.warnings.extend(warn_if_world_accessible(&path));
            Ok(loaded)
        }
        "credential" => {
            // systemd passes credentials to the service; root can read them while the service runs.
            let directory =
                std::env::var_os("CREDENTIALS_DIRECTORY").unwrap_or_else(|| SERVICE_CREDENTIALS_DIRECTORY.into());
            let file = PathBuf::from(directory).join(place);
            if !file.exists() {
                return Err((
                    format!(
                        "the credential {place:?} does not exist: only the service can read it, and root while the \
                         service runs"
                    ),
                    format!(
                        "Add LoadCredential={place}:PATH to the unit (systemctl edit novex-ingest) and start the service, or \
                         use \"file:PATH\"."
                    ),
                ));
            }
            load_secret_file(&file)
        }
        "env" => {
            let value = std::env::var(place).map_err(|_| {
                (
                    format!("the environment variable {place} is not set"),
                    "Set it for the service, or use \"file:PATH\".".to_owned(),
                )
            })?;
            parse_secret(value.into_bytes(), &format!("the environment variable {place}"))
        }
        _ => Err((
            "is not a reference to a secret".into(),
            "It must begin with \"file:\", \"credential:\" or \"env:\".".into(),
        )),
    }
}

fn load_secret_file(path: &Path) -> Result<LoadedSecret, (String, String)> {
    if is_pipe(path) {
        let message = format!("the secret's file {} is a pipe: a read could block for ever", path.display());
        return Err((message, "Put the secret into a regular file.".to_owned()));
    }
    let bytes = fs::read(path).map_err(|error| {
        let shown = path.display();
        let hint = if error.kind() == std::io::ErrorKind::NotFound {
            "Create it and let the group novex-ingest read it (chown root:novex-ingest, chmod 640).".to_owned()
        } else {
            format!(
                "Run this command as root or as the user novex-ingest; the service needs: chown root:novex-ingest {shown}, \
                 chmod 640 {shown}."
            )
        };
        (format!("the secret's file {shown} cannot be read: {error}"), hint)
    })?;
    parse_secret(bytes, &format!("the file {}", path.display()))
}

/// Parses a secret that a provider and this machine will use from now on; `place` names its origin.
///
/// # Errors
/// Message with the fix, without any part of a secret: the secret is empty, too short to be safe, or not one line.
pub fn parse_new_secret(bytes: Vec<u8>, place: &str) -> Result<Secret, String> {
    let secret = parse_secret(bytes, place).map_err(|(message, hint)| format!("{message}. {hint}"))?.secret;
    if secret.expose().iter().any(u8::is_ascii_control) {
        return Err(format!(
            "the secret in {place} contains a tab, a line end or another control character. Copy only the secret"
        ));
    }
    if secret.expose().len() < SECRET_BYTES_MIN {
        return Err(format!(
            "{}. Use a secret of at least {SECRET_BYTES_MIN} characters",
            describe_short_secret(place, &secret)
        ));
    }
    Ok(secret)
}

/// Returns the fact about a secret that is too short, and the consequence.
fn describe_short_secret(place: &str, secret: &Secret) -> String {
    let length = String::from_utf8_lossy(secret.expose()).chars().count();
    let unit = if length == 1 { "character" } else { "characters" };
    format!("{place} has only {length} {unit}: anyone who sees one webhook can guess it and forge events")
}

fn parse_secret(mut bytes: Vec<u8>, place: &str) -> Result<LoadedSecret, (String, String)> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.trim_ascii().is_empty() {
        let state = if bytes.is_empty() { "is empty" } else { "has only spaces" };
        return Err((format!("{place} {state}"), "Write the secret into it.".to_owned()));
    }
    let warnings = check_secret_shape(&bytes, place).into_iter().collect();
    Ok(LoadedSecret { secret: Secret::new(bytes), warnings })
}

/// Returns a warning about a secret that does not fit the key of the configuration that names it: a private key, or a
/// secret so short that it can be guessed.
#[must_use]
pub fn check_secret_use(key: &str, secret: &Secret) -> Option<ConfigWarning> {
    if !TOKEN_KEYS.contains(&key) {
        return None;
    }
    if is_private_key(secret.expose()) {
        return Some(ConfigWarning::new(
            format!("{key} names a private key: no request has a proof that was made with it"),
            "name the file with the secret that the provider shows",
        ));
    }
    (secret.expose().len() < SECRET_BYTES_RECOMMENDED).then(|| {
        let reference = secret.reference().map_or("", |reference| &**reference);
        ConfigWarning::new(
            format!("{key}: {}", describe_short_secret(reference, secret)),
            format!("use a secret of at least {SECRET_BYTES_RECOMMENDED} characters: `openssl rand -hex 32`"),
        )
    })
}

/// Returns true for the text of a private key: PEM, which OpenSSH and OpenSSL write.
fn is_private_key(secret: &[u8]) -> bool {
    let text = String::from_utf8_lossy(secret);
    text.trim_start().starts_with(PEM_START) && text.contains("PRIVATE KEY-----")
}

/// Returns a warning about a secret that was probably not copied as it is. Spaces and line ends belong to a private
/// key; in any other secret they count as part of it.
fn check_secret_shape(secret: &[u8], place: &str) -> Option<ConfigWarning> {
    const REMOVE: &str = "remove it, unless the provider shows the secret so";
    let text = String::from_utf8_lossy(secret);
    let warn = |message: String, hint: &str| Some(ConfigWarning::new(message, hint));
    if is_private_key(secret) {
        let is_cut = !text.contains("-----END ");
        return is_cut.then(|| {
            ConfigWarning::new(format!("the private key in {place} has no last line"), "copy the whole file")
        });
    }
    if text.starts_with("PuTTY-User-Key-File") {
        let hint = "convert it: puttygen KEY.ppk -O private-openssh -o FILE";
        return warn(format!("{place} holds a key of PuTTY, which novex-ingest cannot read"), hint);
    }
    let is_public_key =
        ["ssh-", "ecdsa-sha2-", "sk-"].iter().any(|start| text.starts_with(start)) && text.contains(" AAAA");
    if is_public_key || text.trim_start().starts_with(PEM_START) {
        return warn(format!("{place} holds a public key or a certificate, no secret"), "name the private key");
    }
    let (is_space, last) = (|byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace), secret.last());
    if is_space(secret.first()) || is_space(last) {
        let end = if is_space(last) { "ends" } else { "begins" };
        return warn(
            format!("the secret in {place} {end} with a space or a line end, which counts as part of it"),
            REMOVE,
        );
    }
    if secret.contains(&b'\n') {
        return warn(format!("{place} has several lines, which count as one secret"), "keep one secret per file");
    }
    let has_space = secret.iter().any(u8::is_ascii_whitespace);
    has_space.then(|| {
        ConfigWarning::new(format!("the secret in {place} contains a space, which counts as part of it"), REMOVE)
    })
}

fn warn_if_world_accessible(path: &Path) -> Option<ConfigWarning> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    (mode & 0o007 != 0).then(|| ConfigWarning {
        message: format!("every user of this machine can open the secret's file {shown}"),
        hint: format!("chmod 640 {shown}"),
        is_secret_exposed: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_short_secrets_are_refused_for_a_new_one_and_reported_for_others() {
        let parse = |text: &str| parse_new_secret(text.as_bytes().to_vec(), "the file x");
        for (text, expected) in [
            ("", "the file x is empty"),
            ("\n", "the file x is empty"),
            (" \t \r\n", "the file x has only spaces"),
            ("abc\n", "the file x has only 3 characters"),
            ("7654321", "only 7 characters"),
            ("one-secret\nanother", "control character"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(expected) && !message.contains("abc"), "{text:?}: {message}");
        }
        assert_eq!(parse("12345678\r\n").unwrap().expose(), b"12345678");
        let warn = |key: &str, text: &str| check_secret_use(key, &Secret::new(text.as_bytes().to_vec()));
        let warning = warn("easypost.secrets", "abc").unwrap().to_string();
        assert!(warning.contains("only 3 characters"), "{warning}");
        assert_eq!(warn("easypost.secrets", "1234567890123456"), None);
        assert_eq!(warn("sps.sources.secrets", "abc"), None, "a partner chose the password");
    }

    #[test]
    fn shape_of_a_secret_decides_the_warning() {
        let warning = |text: &str| check_secret_shape(text.as_bytes(), "file x").map(|warning| warning.to_string());
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz aC1r\nZXk=\n-----END OPENSSH PRIVATE KEY-----\n";
        for fine in ["shpss_0123", key, "-----BEGIN EC PRIVATE KEY-----\r\nx\r\n-----END EC PRIVATE KEY-----"] {
            assert_eq!(warning(fine), None, "{fine}");
        }
        for (text, expected) in [
            (&key[..60], "has no last line"),
            ("PuTTY-User-Key-File-3: ssh-ed25519\nx", "puttygen"),
            ("ssh-ed25519 AAAAC3Nz ada@example.com", "public key"),
            ("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----", "certificate"),
            (" secret", "begins with a space"),
            ("secret ", "ends with a space"),
            ("secret\n", "ends with a space or a line end"),
            ("one\ntwo", "several lines"),
            ("two words", "contains a space"),
        ] {
            let printed = warning(text).unwrap_or_default();
            assert!(printed.contains(expected) && !printed.contains("two words"), "{text}: {printed}");
        }
    }
}
