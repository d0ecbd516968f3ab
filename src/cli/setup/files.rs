//! Files of a setup: writes secrets and configuration with their owner and mode, and restores the previous files if the
//! service does not start.

use crate::cli::setup::{SetupCertificate, SetupPlan, SetupSecret};
use crate::config::{Config, SecretLoading, dev};
use crate::files::{create_directory, with_suffix, write_atomic};
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
    let text = add_plan_to_config(path, &old_text, plan)?;
    let secrets = path.parent().unwrap_or(Path::new(".")).join("secrets");
    let is_installed = path == Path::new(crate::config::INSTALLED_CONFIG_PATH);
    create_directory(&secrets, 0o750).with_context(|| format!("{} cannot be created", secrets.display()))?;
    if is_installed {
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o750))?;
        set_service_group(&secrets);
    }
    for (name, secret) in list_secret_files(&ExistingConfig::from_text(&old_text), plan)? {
        let file = secrets.join(&name);
        rollback.save_file(&file);
        write_secret(&file, secret)?;
        if is_installed {
            set_service_group(&file);
        }
    }
    rollback.save_file(path);
    replace_file(path, text.as_bytes())?;
    if is_installed {
        set_service_group(path);
    }
    let (_, errors) = Config::parse_recoverable(path, &text, SecretLoading::All);
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

/// Returns the file of each secret and its origin, without secrets that the configuration reads from elsewhere.
fn list_secret_files<'p>(
    existing: &ExistingConfig,
    plan: &'p SetupPlan,
) -> anyhow::Result<Vec<(String, &'p SetupSecret)>> {
    let shops =
        plan.shops.iter().map(|(domain, secret)| (to_secret_file_name(domain), existing.shop_secret(domain), secret));
    let others = [("easypost", &plan.easypost), ("keycloak", &plan.keycloak)]
        .into_iter()
        .filter_map(|(name, secret)| Some((name.to_owned(), existing.provider_secret(name), secret.as_ref()?)));
    let mut names = Vec::new();
    for (file, reference, secret) in shops.chain(others) {
        let own = format!("file:secrets/{file}");
        match (reference, secret) {
            (Some(other), SetupSecret::Provided(_)) if other != own => {
                bail!(
                    "the configuration reads this secret from {other:?} and not from {own:?}: put the secret there, or \
                     change that line first"
                )
            }
            // The existing secret stays valid.
            (Some(other), SetupSecret::Generated) if other != own => {}
            _ => names.push((file, secret)),
        }
    }
    Ok(names)
}

/// The configuration before the setup, in whatever TOML syntax a person wrote it.
pub(crate) struct ExistingConfig(toml::Table);

impl ExistingConfig {
    pub fn from_text(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }

    /// Returns the reference of a shop's first secret: empty if the shop has no secret, None if the shop is missing.
    pub fn shop_secret(&self, domain: &str) -> Option<String> {
        let shops = self.0.get("shopify")?.get("shops")?.as_array()?;
        let is_shop = |shop: &&toml::Value| {
            shop.get("domain").and_then(toml::Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case(domain))
        };
        shops.iter().find(is_shop).map(find_first_secret)
    }

    /// Returns the reference of a provider's first secret, None if it has no section.
    pub fn provider_secret(&self, name: &str) -> Option<String> {
        self.0.get(name).map(find_first_secret)
    }
}

fn find_first_secret(table: &toml::Value) -> String {
    let secrets = table.get("secrets");
    let first = secrets.and_then(|secrets| secrets.as_array().map_or(Some(secrets), |list| list.first()));
    first.and_then(toml::Value::as_str).unwrap_or_default().to_owned()
}

fn to_secret_file_name(domain: &str) -> String {
    format!("shopify-{}", domain.strip_suffix(".myshopify.com").unwrap_or(domain))
}

/// Returns the configuration with the plan added. Existing sections are not repeated.
fn add_plan_to_config(path: &Path, old_text: &str, plan: &SetupPlan) -> anyhow::Result<String> {
    let existing = ExistingConfig::from_text(old_text);
    let mut lines: Vec<String> = old_text.lines().map(str::to_owned).collect();
    if let Some(port) = plan.port {
        set_listen_port(&mut lines, port);
    }
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    for (domain, _) in &plan.shops {
        if existing.shop_secret(domain).is_none() {
            let file = to_secret_file_name(domain);
            let _ = writeln!(text, "\n[[shopify.shops]]\ndomain = \"{domain}\"\nsecrets = [\"file:secrets/{file}\"]");
        }
    }
    for (name, secret) in [("easypost", &plan.easypost), ("keycloak", &plan.keycloak)] {
        if secret.is_some() && existing.provider_secret(name).is_none() {
            let _ = writeln!(text, "\n[{name}]\nsecrets = [\"file:secrets/{name}\"]");
        }
    }
    text.push_str(&format_tls_section(path, old_text, plan)?);
    Ok(text)
}

/// Returns the section to append for the certificate; empty if the configuration has it already.
fn format_tls_section(path: &Path, old_text: &str, plan: &SetupPlan) -> anyhow::Result<String> {
    let existing = Config::parse_recoverable(path, old_text, SecretLoading::Skip).0.tls;
    match (&plan.certificate, existing) {
        (SetupCertificate::Unchanged, _) => Ok(String::new()),
        (SetupCertificate::Files(certificate, private_key), TlsSettings::SelfSigned { .. }) => {
            let to_absolute = |path: &PathBuf| std::path::absolute(path).map(|path| path.display().to_string());
            let (certificate, private_key) = (to_absolute(certificate)?, to_absolute(private_key)?);
            Ok(format!("\n[tls]\ncertificate = {certificate:?}\nprivate_key = {private_key:?}\n"))
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
            let mut text = format!("\n[tls.acme]\nnames = [{:?}]\nterms_agreed = true\n", plan.domain);
            for (key, value) in [("email", email), ("directory", directory)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "{key} = {value:?}");
                }
            }
            Ok(text)
        }
    }
}

/// Sets `listen`: replaces its line, or the commented line, or adds it below `[server]`, or adds the section at the
/// end.
fn set_listen_port(lines: &mut Vec<String>, port: u16) {
    let listen = format!("listen = \"0.0.0.0:{port}\"");
    let starts_with = |line: &String, prefix: &str| line.trim_start().starts_with(prefix);
    if let Some(line) = lines.iter_mut().find(|line| starts_with(line, "listen")) {
        *line = listen;
    } else if let Some(line) = lines.iter_mut().find(|line| starts_with(line, "#listen = ")) {
        *line = listen;
    } else if let Some(index) = lines.iter().position(|line| starts_with(line, "[server]")) {
        lines.insert(index + 1, listen);
    } else {
        lines.extend([String::new(), "[server]".to_owned(), listen]);
    }
}

fn write_secret(file: &Path, secret: &SetupSecret) -> anyhow::Result<()> {
    let existing = fs::read(file).ok().filter(|bytes| !bytes.is_empty());
    match (secret, existing) {
        // From an earlier setup: the secret that the provider has stays valid.
        (SetupSecret::Generated, Some(_)) => Ok(()),
        (SetupSecret::Generated, None) => replace_file(file, dev::generate_random_hex()?.as_bytes()),
        (SetupSecret::Provided(secret), existing) => {
            if existing.is_some_and(|existing| existing != secret.expose()) {
                // The previous secret may exist nowhere else.
                fs::copy(file, with_suffix(file, ".before"))
                    .with_context(|| format!("a copy of {} cannot be written", file.display()))?;
            }
            replace_file(file, secret.expose())
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
