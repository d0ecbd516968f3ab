//! Files of a setup: writes secrets and configuration with their owner and mode, and restores the previous files if the
//! service does not start.

use crate::cli::setup::config_text::{ConfigText, SecretSection};
use crate::cli::setup::{SetupCertificate, SetupPlan, SetupSecret};
use crate::config::{Config, SecretLoading, dev, secrets};
use crate::files::{create_directory, write_atomic};
use crate::tls::TlsSettings;
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Port of the package's socket unit.
const SOCKET_PORT_DEFAULT: u16 = 8443;
/// Drop-in that sorts before `override.conf`, so that `systemctl edit` still has the last word.
const SOCKET_DROP_IN: &str = "/etc/systemd/system/novex-ingest.socket.d/10-setup.conf";
/// Directory of the secrets, beside the configuration.
const SECRETS_DIRECTORY: &str = "secrets";
/// End of the name that Shopify gives a shop.
pub(crate) const SHOP_DOMAIN_SUFFIX: &str = ".myshopify.com";
/// Directory whose group is the service's.
const STATE_DIRECTORY: &str = "/var/lib/novex-ingest";
/// Mode of a new secret and of a new configuration: only root writes, and the service's group reads.
const FILE_MODE: u32 = 0o640;
/// Mode of the socket unit's drop-in.
const UNIT_FILE_MODE: u32 = 0o644;

/// Previous content of every written file; None for a file that did not exist.
#[derive(Debug, Default)]
pub(crate) struct SetupRollback(Vec<(PathBuf, Option<Vec<u8>>)>);

impl SetupRollback {
    fn save_file(&mut self, path: &Path) {
        self.0.push((path.to_owned(), fs::read(path).ok()));
    }

    /// Restores all files, the last one written first.
    pub(crate) fn restore(self) {
        for (path, bytes) in self.0.into_iter().rev() {
            let _ = match bytes {
                Some(bytes) => replace_file(&path, &bytes).map(|()| set_service_group(&path)),
                None => fs::remove_file(&path).map_err(Into::into),
            };
        }
    }
}

/// Writes all files of the plan and returns the previous ones.
///
/// # Errors
/// A file cannot be written, or the configuration has errors. All files are then as before.
pub(crate) fn apply_plan(path: &Path, plan: &SetupPlan) -> anyhow::Result<SetupRollback> {
    let mut rollback = SetupRollback::default();
    match write_plan(path, plan, &mut rollback) {
        Ok(()) => Ok(rollback),
        Err(error) => {
            rollback.restore();
            Err(error.context("nothing was set up or changed"))
        }
    }
}

fn write_plan(path: &Path, plan: &SetupPlan, rollback: &mut SetupRollback) -> anyhow::Result<()> {
    // A symbolic link stays one: its target is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old_text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let mut text = ConfigText::new(&old_text);
    if let Some(port) = plan.port {
        text.set_server_key("listen", &format!("\"0.0.0.0:{port}\""))?;
    }
    text.set_server_key("domain", &format!("{:?}", plan.domain))?;
    let secrets = path.parent().unwrap_or(Path::new(".")).join(SECRETS_DIRECTORY);
    let is_installed = path == Path::new(crate::config::INSTALLED_CONFIG_PATH);
    create_directory(&secrets, 0o750).with_context(|| format!("{} cannot be created", secrets.display()))?;
    if is_installed {
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o750))?;
        set_service_group(&secrets);
    }
    for (section, secret) in plan.list_secrets() {
        let Some(file) = add_secret(path, &mut text, &section, secret)? else { continue };
        rollback.save_file(&file);
        match secret {
            SetupSecret::Generated => replace_file(&file, dev::generate_random_hex()?.as_bytes())?,
            SetupSecret::Provided(secret) => replace_file(&file, secret.expose())?,
        }
        if is_installed {
            set_service_group(&file);
        }
    }
    text.append(&format_tls_section(path, &old_text, plan)?);
    if let Some(mail) = &plan.mail {
        let reference = mail.password.as_ref().map(|password| write_password(path, password, rollback)).transpose()?;
        text.append(&mail.format_section(reference.as_deref()));
    }
    rollback.save_file(path);
    replace_file(path, text.as_str().as_bytes())?;
    if is_installed {
        set_service_group(path);
    }
    let (_, errors) = Config::parse_recoverable(path, text.as_str(), SecretLoading::All);
    if !errors.errors.is_empty() {
        bail!("{errors}");
    }
    if let Some(port) = plan.port
        && is_installed
    {
        write_socket_drop_in(port, rollback)?;
    }
    Ok(())
}

/// Adds a secret to the configuration. Returns the file to write; None if the source has this secret already.
///
/// A new secret comes before the old ones, which stay valid: during a rotation the provider still signs with them. No
/// file with a secret is overwritten.
fn add_secret(
    config: &Path,
    text: &mut ConfigText,
    section: &SecretSection<'_>,
    secret: &SetupSecret,
) -> anyhow::Result<Option<PathBuf>> {
    let directory = config.parent().unwrap_or(Path::new("."));
    let references = text.secret_references(section);
    for reference in references.iter().flatten() {
        let lost_file = reference
            .strip_prefix("file:")
            .map(|place| directory.join(place))
            .filter(|file| !fs::metadata(file).is_ok_and(|data| data.len() > 0));
        if lost_file.is_some() {
            return Ok(lost_file);
        }
        let is_known = match secret {
            // The secret that the provider has stays the only one.
            SetupSecret::Generated => true,
            SetupSecret::Provided(secret) => {
                secrets::load_secret(reference, config).is_ok_and(|loaded| loaded.secret == *secret)
            }
        };
        if is_known {
            return Ok(None);
        }
    }
    let base = match section {
        SecretSection::Shop(domain) => format!("shopify-{}", domain.strip_suffix(SHOP_DOMAIN_SUFFIX).unwrap_or(domain)),
        SecretSection::Provider(name) => (*name).to_owned(),
    };
    let (name, file) = find_secret_file(config, &base, secret)?;
    let reference = format!("file:{SECRETS_DIRECTORY}/{name}");
    match (section, references) {
        (_, Some(_)) => text.add_secret(section, &reference)?,
        (SecretSection::Shop(domain), None) => {
            text.append(&format!("[[shopify.shops]]\ndomain = {domain:?}\nsecrets = [{reference:?}]\n"));
        }
        (SecretSection::Provider(name), None) => {
            // The listener that setup recommends signs the body; others send the secret itself.
            let accept = if *name == "keycloak" { "accept = [\"bearer\", \"signature\"]\n" } else { "" };
            text.append(&format!("[{name}]\nsecrets = [{reference:?}]\n{accept}"));
        }
    }
    // From an earlier setup: the provider may have this secret.
    Ok((!file.exists()).then_some(file))
}

/// Writes the password of the mail server to a free file and returns the reference to it.
fn write_password(config: &Path, password: &SetupSecret, rollback: &mut SetupRollback) -> anyhow::Result<String> {
    let (name, file) = find_secret_file(config, "smtp", password)?;
    if let (SetupSecret::Provided(password), false) = (password, file.exists()) {
        rollback.save_file(&file);
        replace_file(&file, password.expose())?;
        if config == Path::new(crate::config::INSTALLED_CONFIG_PATH) {
            set_service_group(&file);
        }
    }
    Ok(format!("file:{SECRETS_DIRECTORY}/{name}"))
}

/// Returns the name and path of the first file `base`, `base-2` … that does not exist, or has this secret.
fn find_secret_file(config: &Path, base: &str, secret: &SetupSecret) -> anyhow::Result<(String, PathBuf)> {
    let directory = config.parent().unwrap_or(Path::new(".")).join(SECRETS_DIRECTORY);
    let names = std::iter::once(base.to_owned()).chain((2..).map(|number| format!("{base}-{number}")));
    let mut files = names.map(|name| (name.clone(), directory.join(name)));
    files.find(|(_, file)| is_free_for(file, secret)).context("there is no free name for the file of a secret")
}

/// Returns true if a file does not exist, or holds the secret that it would get. A generated secret may be any.
fn is_free_for(file: &Path, secret: &SetupSecret) -> bool {
    match (fs::read(file), secret) {
        (Err(error), _) => error.kind() == std::io::ErrorKind::NotFound,
        (Ok(bytes), SetupSecret::Generated) => !bytes.is_empty(),
        (Ok(bytes), SetupSecret::Provided(secret)) => bytes == secret.expose(),
    }
}

/// Sets the port of the socket unit by a drop-in. The package's own port needs none.
fn write_socket_drop_in(port: u16, rollback: &mut SetupRollback) -> anyhow::Result<()> {
    let drop_in = Path::new(SOCKET_DROP_IN);
    rollback.save_file(drop_in);
    if port == SOCKET_PORT_DEFAULT {
        let _ = fs::remove_file(drop_in);
        return Ok(());
    }
    let describe_error = || format!("{SOCKET_DROP_IN} cannot be written");
    create_directory(drop_in.parent().unwrap_or(Path::new("/")), 0o755).with_context(describe_error)?;
    let text = format!("# By novex-ingest setup.\n[Socket]\nListenStream=\nListenStream={port}\n");
    write_atomic(drop_in, text.as_bytes(), UNIT_FILE_MODE).with_context(describe_error)
}

/// Returns the section to append for the certificate; empty if the configuration has it already.
fn format_tls_section(path: &Path, old_text: &str, plan: &SetupPlan) -> anyhow::Result<String> {
    let existing = Config::parse_recoverable(path, old_text, SecretLoading::Skip).0.tls;
    match (&plan.certificate, existing) {
        (SetupCertificate::Unchanged, _) => Ok(String::new()),
        (SetupCertificate::Files(certificate, private_key), TlsSettings::SelfSigned { .. }) => {
            let to_absolute = |path: &PathBuf| std::path::absolute(path).map(|path| path.display().to_string());
            let (certificate, private_key) = (to_absolute(certificate)?, to_absolute(private_key)?);
            Ok(format!("[tls]\ncertificate = {certificate:?}\nprivate_key = {private_key:?}\n"))
        }
        (SetupCertificate::Files(..), _) => bail!("[tls] is configured already: name the certificate there"),
        (SetupCertificate::Acme { .. }, TlsSettings::Files { .. }) => {
            bail!("[tls] is configured already: remove its files to use ACME")
        }
        // From an earlier setup, or written by a person.
        (SetupCertificate::Acme { email, directory }, TlsSettings::Acme(existing)) => {
            let domain = plan.domain.to_ascii_lowercase();
            if !existing.names.contains(&domain) {
                bail!("[tls.acme] is configured for {}: add {domain:?} to its names", existing.names.join(", "));
            }
            if directory.as_ref().is_some_and(|url| *url != existing.directory_url)
                || (email.is_some() && *email != existing.email)
            {
                bail!("[tls.acme] has another directory or e-mail address: change it there");
            }
            Ok(String::new())
        }
        (SetupCertificate::Acme { email, directory }, TlsSettings::SelfSigned { .. }) => {
            let mut text = format!("[tls.acme]\nnames = [{:?}]\nterms_agreed = true\n", plan.domain);
            for (key, value) in [("email", email), ("directory", directory)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "{key} = {value:?}");
                }
            }
            Ok(text)
        }
    }
}

/// Writes a file atomically. An existing file keeps its mode.
fn replace_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mode = fs::metadata(path).map_or(FILE_MODE, |data| data.permissions().mode() & 0o777);
    write_atomic(path, bytes, mode).with_context(|| format!("{} cannot be written", path.display()))
}

/// Gives a file to the service's group, which may read it. Only root may change it.
fn set_service_group(file: &Path) {
    if let Ok(state) = fs::metadata(STATE_DIRECTORY) {
        // Only root may change the group, and only root installs.
        let _ = std::os::unix::fs::chown(file, None, Some(state.gid()));
    }
}
