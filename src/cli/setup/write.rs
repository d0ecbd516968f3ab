//! Writing what is wanted: secrets and configuration with the right owner and mode; taken back when it would not start.

use super::{Certificate, Plan, Wanted};
use crate::config::sections::Tls;
use crate::config::{Config, Secrets, dev};
use crate::store::with_end;
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// systemd's own port of the package.
const SOCKET_PORT: u16 = 8443;
/// Before `override.conf`, by which `systemctl edit` changes it again.
const SOCKET_EDIT: &str = "/etc/systemd/system/novex-ingest.socket.d/10-setup.conf";
/// Whose group the service reads by.
const STATE: &str = "/var/lib/novex-ingest";

/// What every file was before; `None`: it was not there.
#[derive(Debug, Default)]
pub(super) struct Before(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Before {
    fn note(&mut self, path: &Path) {
        self.0.push((path.to_owned(), fs::read(path).ok()));
    }

    /// Puts everything back.
    pub(super) fn restore(self) {
        for (path, bytes) in self.0.into_iter().rev() {
            let _ = match bytes {
                // The mode stays, and nobody ever reads half of it.
                Some(bytes) => replace(&path, &bytes).map(|()| for_service(&path)),
                None => fs::remove_file(&path).map_err(Into::into),
            };
        }
    }
}

/// Writes everything, and gives what was there before.
///
/// # Errors
/// When something cannot be written, or the configuration has mistakes: then all is as it was before.
pub(super) fn all(path: &Path, plan: &Plan) -> anyhow::Result<Before> {
    let mut before = Before::default();
    match write(path, plan, &mut before) {
        Ok(()) => Ok(before),
        Err(error) => {
            before.restore();
            Err(error.context("nothing was set up, and nothing was changed"))
        }
    }
}

fn write(path: &Path, plan: &Plan, before: &mut Before) -> anyhow::Result<()> {
    // A link stays one.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let text = configuration(path, &old, plan)?;
    let secrets = path.parent().unwrap_or(Path::new(".")).join("secrets");
    let is_installed = path == Path::new(crate::config::INSTALLED);
    fs::create_dir_all(&secrets).with_context(|| format!("{} cannot be made", secrets.display()))?;
    if is_installed {
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o750))?;
        for_service(&secrets);
    }
    for (name, wanted) in names(&Said::of(&old), plan)? {
        let file = secrets.join(&name);
        before.note(&file);
        write_secret(&file, wanted)?;
        if is_installed {
            for_service(&file);
        }
    }
    before.note(path);
    replace(path, text.as_bytes())?;
    if is_installed {
        for_service(path);
    }
    let (_, mistakes) = Config::survey(path, &text, Secrets::Load);
    if !mistakes.list.is_empty() {
        bail!("{mistakes}");
    }
    if let Some(port) = plan.port
        && is_installed
    {
        let edit = Path::new(SOCKET_EDIT);
        before.note(edit);
        let said = || format!("{SOCKET_EDIT} cannot be written");
        if port == SOCKET_PORT {
            let _ = fs::remove_file(edit);
        } else {
            fs::create_dir_all(edit.parent().unwrap_or(Path::new("/"))).with_context(said)?;
            fs::write(edit, format!("# By novex-ingest setup.\n[Socket]\nListenStream=\nListenStream={port}\n"))
                .with_context(said)?;
        }
    }
    Ok(())
}

/// Each secret's file and where it comes from; not those that the configuration takes from somewhere else.
fn names<'p>(before: &Said, plan: &'p Plan) -> anyhow::Result<Vec<(String, &'p Wanted)>> {
    let shops = plan.shops.iter().map(|(domain, wanted)| (shop_file(domain), before.shop(domain), wanted));
    let others = [("easypost", &plan.easypost), ("keycloak", &plan.keycloak)]
        .into_iter()
        .filter_map(|(name, wanted)| Some((name.to_owned(), before.provider(name), wanted.as_ref()?)));
    let mut names = Vec::new();
    for (file, reference, wanted) in shops.chain(others) {
        let own = format!("file:secrets/{file}");
        match (reference, wanted) {
            (Some(other), Wanted::Given(_)) if other != own => {
                bail!(
                    "the configuration takes this secret from {other:?} and not from {own:?}: put it there, or change that line first"
                )
            }
            // What is there goes on being right.
            (Some(other), Wanted::New) if other != own => {}
            _ => names.push((file, wanted)),
        }
    }
    Ok(names)
}

/// What the configuration says already, however it is written.
pub(super) struct Said(toml::Table);

impl Said {
    pub fn of(text: &str) -> Self {
        Self(text.parse().unwrap_or_default())
    }

    /// Where a shop's first secret is; empty if the shop is there without one.
    pub fn shop(&self, domain: &str) -> Option<String> {
        let shops = self.0.get("shopify")?.get("shops")?.as_array()?;
        let is_it = |shop: &&toml::Value| {
            shop.get("domain").and_then(toml::Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case(domain))
        };
        shops.iter().find(is_it).map(first_secret)
    }

    pub fn provider(&self, name: &str) -> Option<String> {
        self.0.get(name).map(first_secret)
    }
}

fn first_secret(table: &toml::Value) -> String {
    let secrets = table.get("secrets");
    let first = secrets.and_then(|secrets| secrets.as_array().map_or(Some(secrets), |list| list.first()));
    first.and_then(toml::Value::as_str).unwrap_or_default().to_owned()
}

fn shop_file(domain: &str) -> String {
    format!("shopify-{}", domain.strip_suffix(".myshopify.com").unwrap_or(domain))
}

/// The configuration with the plan in it. What it says already is never said twice.
fn configuration(path: &Path, before: &str, plan: &Plan) -> anyhow::Result<String> {
    let said = Said::of(before);
    let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
    if let Some(port) = plan.port {
        listen(&mut lines, port);
    }
    let mut text = lines.join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    for (domain, _) in &plan.shops {
        if said.shop(domain).is_none() {
            let file = shop_file(domain);
            let _ = writeln!(text, "\n[[shopify.shops]]\ndomain = \"{domain}\"\nsecrets = [\"file:secrets/{file}\"]");
        }
    }
    for (name, wanted) in [("easypost", &plan.easypost), ("keycloak", &plan.keycloak)] {
        if wanted.is_some() && said.provider(name).is_none() {
            let _ = writeln!(text, "\n[{name}]\nsecrets = [\"file:secrets/{name}\"]");
        }
    }
    text.push_str(&certificate(path, before, plan)?);
    Ok(text)
}

/// What is to be written for the certificate.
fn certificate(path: &Path, before: &str, plan: &Plan) -> anyhow::Result<String> {
    let there = Config::survey(path, before, Secrets::LeaveAside).0.tls;
    match (&plan.certificate, there) {
        (Certificate::AsItIs, _) => Ok(String::new()),
        (Certificate::Files(certificate, private_key), Tls::SelfSigned { .. }) => {
            let absolute = |path: &PathBuf| std::path::absolute(path).map(|path| path.display().to_string());
            let (certificate, private_key) = (absolute(certificate)?, absolute(private_key)?);
            Ok(format!("\n[tls]\ncertificate = {certificate:?}\nprivate_key = {private_key:?}\n"))
        }
        (Certificate::Files(..), _) => bail!("[tls] is configured already: name the certificate there"),
        (Certificate::Acme { .. }, Tls::Files { .. }) => {
            bail!("[tls] is configured already: take its files out for ACME")
        }
        // Said before, in this run's words or a person's.
        (Certificate::Acme { email, directory }, Tls::Acme(there)) => {
            let domain = plan.domain.to_ascii_lowercase();
            if !there.names.contains(&domain) {
                bail!("[tls.acme] is there for {}: add {domain:?} to its names", there.names.join(", "));
            }
            if directory.as_ref().is_some_and(|url| *url != there.directory)
                || (email.is_some() && *email != there.email)
            {
                bail!("[tls.acme] is there with another directory or e-mail address: change it there");
            }
            Ok(String::new())
        }
        (Certificate::Acme { email, directory }, Tls::SelfSigned { .. }) => {
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

/// Puts the port in the place of the one that is there, or of the commented one, or below `[server]`, or behind everything.
fn listen(lines: &mut Vec<String>, port: u16) {
    let own = format!("listen = \"0.0.0.0:{port}\"");
    let begins = |line: &String, what: &str| line.trim_start().starts_with(what);
    if let Some(line) = lines.iter_mut().find(|line| begins(line, "listen")) {
        *line = own;
    } else if let Some(line) = lines.iter_mut().find(|line| begins(line, "#listen = ")) {
        *line = own;
    } else if let Some(place) = lines.iter().position(|line| begins(line, "[server]")) {
        lines.insert(place + 1, own);
    } else {
        lines.extend([String::new(), "[server]".to_owned(), own]);
    }
}

fn write_secret(file: &Path, wanted: &Wanted) -> anyhow::Result<()> {
    let there = fs::read(file).ok().filter(|bytes| !bytes.is_empty());
    match (wanted, there) {
        // Made before: what was entered at the provider goes on being right.
        (Wanted::New, Some(_)) => Ok(()),
        (Wanted::New, None) => replace(file, dev::random_hex()?.as_bytes()),
        (Wanted::Given(secret), there) => {
            if there.is_some_and(|there| there != secret.expose()) {
                // A secret that is written over is lost.
                fs::copy(file, with_end(file, ".before"))
                    .with_context(|| format!("{} cannot be kept", file.display()))?;
            }
            replace(file, secret.expose())
        }
    }
}

/// Beside it and renamed: whoever reads it meanwhile reads the old one or the new one. The mode of what was there stays.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mode = fs::metadata(path).map_or(0o640, |data| data.permissions().mode() & 0o777);
    let part = with_end(path, ".new");
    // Of a run that was killed.
    let _ = fs::remove_file(&part);
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part).and_then(|mut file| {
        // Whatever the umask takes away.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// The service reads it by its group; only root changes it.
fn for_service(file: &Path) {
    if let Ok(state) = fs::metadata(STATE) {
        // Only root may, and only root installs.
        let _ = std::os::unix::fs::chown(file, None, Some(state.gid()));
    }
}
