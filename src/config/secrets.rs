//! Loading secrets from where the configuration says they are.

use super::{Warning, is_pipe};
use crate::secret::Secret;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where systemd keeps a running service's credentials.
const OF_SERVICE: &str = "/run/credentials/novex-ingest.service";

/// A secret loaded, with what deserves a look about its place.
pub struct Loaded {
    pub secret: Secret,
    pub warning: Option<Warning>,
}

/// Loads `file:PATH`, `credential:NAME` or `env:NAME`. A relative path starts at the configuration's directory. One line
/// end after the secret is not part of it: editors add it, and it is the usual cause of "invalid signature".
///
/// # Errors
/// What is wrong and the mend; never any part of a secret.
pub fn load(reference: &str, config: &Path) -> Result<Loaded, (String, String)> {
    let Some((kind, place)) = reference.split_once(':').filter(|(_, place)| !place.is_empty()) else {
        // Not quoted: whoever writes the secret itself here should not find it in the log.
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
            let Loaded { secret, warning } = from_file(&path)?;
            Ok(Loaded { secret, warning: open_to_all(&path).or(warning) })
        }
        "credential" => {
            // systemd passes it to the service; root may look there too while the service runs.
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY").unwrap_or_else(|| OF_SERVICE.into());
            let file = PathBuf::from(directory).join(place);
            if !file.exists() {
                return Err((
                    format!(
                        "the credential {place:?} is not there: systemd shows it to the service, and to root while that runs"
                    ),
                    format!(
                        "Add LoadCredential={place}:PATH to the unit (systemctl edit novex-ingest) and start it, or use file:."
                    ),
                ));
            }
            from_file(&file)
        }
        "env" => {
            let value = std::env::var(place).map_err(|_| {
                (
                    format!("the environment variable {place} is not set"),
                    "Set it for the service, or use file:.".to_owned(),
                )
            })?;
            checked(value.into_bytes(), &format!("the environment variable {place}"))
        }
        _ => Err((
            "is not a reference to a secret".into(),
            "It must begin with \"file:\", \"credential:\" or \"env:\".".into(),
        )),
    }
}

fn from_file(path: &Path) -> Result<Loaded, (String, String)> {
    if is_pipe(path) {
        let problem = format!("the secret's file {} is a pipe, which nobody may ever write to", path.display());
        return Err((problem, "Put the secret into a file.".to_owned()));
    }
    let bytes = fs::read(path).map_err(|error| {
        (
            format!("the secret's file {} cannot be read: {error}", path.display()),
            "Create it, readable for the group novex-ingest (chown root:novex-ingest, chmod 640).".to_owned(),
        )
    })?;
    checked(bytes, &format!("the file {}", path.display()))
}

fn checked(mut bytes: Vec<u8>, place: &str) -> Result<Loaded, (String, String)> {
    if bytes.ends_with(b"\n") {
        bytes.pop();
        if bytes.ends_with(b"\r") {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err((format!("{place} is empty"), "Write the secret into it.".to_owned()));
    }
    let warning = bytes
        .iter()
        .any(u8::is_ascii_whitespace)
        .then(|| Warning::new(format!("{place} holds a secret with a space or line end inside"), "is that meant?"));
    Ok(Loaded { secret: Secret::new(bytes), warning })
}

fn open_to_all(path: &Path) -> Option<Warning> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let shown = path.display();
    (mode & 0o007 != 0).then(|| Warning {
        said: format!("the secret's file {shown} is open to every user of this box"),
        mend: format!("chmod 640 {shown}"),
        is_exposed: true,
    })
}
