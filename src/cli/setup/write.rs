//! Writing what is wanted: secrets and configuration with the right owner and mode; taken back when it would not start.

use super::{Plan, Wanted};
use crate::config::{Config, Secrets, dev};
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// systemd's own port of the package.
const SOCKET_PORT: u16 = 8443;
const SOCKET_EDIT: &str = "/etc/systemd/system/novex-ingest.socket.d/setup.conf";

/// Writes everything.
///
/// # Errors
/// When something cannot be written, or the configuration would not start: then it is as it was before.
pub(super) fn all(path: &Path, plan: &Plan) -> anyhow::Result<()> {
    let before = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    let text = configuration(before.as_deref().unwrap_or(""), plan)?;
    let secrets = path.parent().unwrap_or(Path::new(".")).join("secrets");
    let mut made = Vec::new();
    let result = (|| {
        fs::create_dir_all(&secrets).with_context(|| format!("{} cannot be made", secrets.display()))?;
        for (name, wanted) in names(plan) {
            let file = secrets.join(&name);
            write_secret(&file, wanted)?;
            made.push(file);
        }
        // Beside it and renamed: whoever reads it meanwhile reads the old one or the new one.
        let part = path.with_extension("toml.new");
        write_new(&part, text.as_bytes(), 0o640)?;
        like(&part, path);
        let (_, mistakes) = Config::survey(path, &text, Secrets::Load);
        if !mistakes.list.is_empty() {
            let _ = fs::remove_file(&part);
            bail!("{mistakes}");
        }
        fs::rename(&part, path).with_context(|| format!("{} cannot be written", path.display()))
    })();
    if let Err(error) = result {
        for file in made {
            let _ = fs::remove_file(file);
        }
        return Err(error.context("nothing was set up, and nothing was changed"));
    }
    if plan.port != SOCKET_PORT && path == Path::new(crate::config::INSTALLED) {
        let directory = Path::new(SOCKET_EDIT).parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).and_then(|()| {
            fs::write(
                SOCKET_EDIT,
                format!("# By novex-ingest setup.\n[Socket]\nListenStream=\nListenStream={}\n", plan.port),
            )
        })?;
    }
    Ok(())
}

/// Each secret's file and where it comes from.
fn names(plan: &Plan) -> Vec<(String, &Wanted)> {
    let shops = plan.shops.iter().map(|(domain, wanted)| (shop_file(domain), wanted));
    let easypost = plan.easypost.iter().map(|wanted| ("easypost".to_owned(), wanted));
    let keycloak = plan.keycloak.iter().map(|wanted| ("keycloak".to_owned(), wanted));
    shops.chain(easypost).chain(keycloak).collect()
}

fn shop_file(domain: &str) -> String {
    format!("shopify-{}", domain.strip_suffix(".myshopify.com").unwrap_or(domain))
}

/// The configuration with the plan in it. What it says already is never said twice or changed.
fn configuration(before: &str, plan: &Plan) -> anyhow::Result<String> {
    let says = |what: &str| before.lines().any(|line| line.trim_start().starts_with(what));
    let mut text = before.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let listen = format!("listen = \"0.0.0.0:{}\"", plan.port);
    if says("listen") {
        if plan.port != SOCKET_PORT && !says(&listen) {
            bail!("the configuration names its own server.listen: change the port there");
        }
    } else if says("[server]") {
        let commented = "#listen = \"0.0.0.0:8443\"\n";
        text = if text.contains(commented) {
            text.replacen(commented, &format!("{listen}\n"), 1)
        } else {
            text.replacen("[server]\n", &format!("[server]\n{listen}\n"), 1)
        };
    } else {
        let _ = writeln!(text, "\n[server]\n{listen}");
    }
    for (domain, _) in &plan.shops {
        if says(&format!("domain = \"{domain}\"")) {
            bail!("{domain} is configured already");
        }
        let _ = writeln!(
            text,
            "\n[[shopify.shops]]\ndomain = \"{domain}\"\nsecrets = [\"file:secrets/{}\"]",
            shop_file(domain)
        );
    }
    for (name, wanted) in [("easypost", &plan.easypost), ("keycloak", &plan.keycloak)] {
        if wanted.is_none() {
            continue;
        }
        if says(&format!("[{name}]")) {
            bail!("[{name}] is configured already");
        }
        let _ = writeln!(text, "\n[{name}]\nsecrets = [\"file:secrets/{name}\"]");
    }
    if let Some((certificate, private_key)) = &plan.certificate {
        if says("[tls]") {
            bail!("[tls] is configured already");
        }
        let absolute = |path: &PathBuf| std::path::absolute(path).map(|path| path.display().to_string());
        let (certificate, private_key) = (absolute(certificate)?, absolute(private_key)?);
        let _ = writeln!(text, "\n[tls]\ncertificate = {certificate:?}\nprivate_key = {private_key:?}");
    }
    Ok(text)
}

fn write_secret(file: &Path, wanted: &Wanted) -> anyhow::Result<()> {
    match wanted {
        Wanted::Given(secret) => write_new(file, secret.expose(), 0o640)?,
        Wanted::New => write_new(file, dev::random_hex()?.as_bytes(), 0o640)?,
    }
    like(file, file.parent().unwrap_or(Path::new(".")));
    Ok(())
}

/// Never over what is there: a secret that is written over is lost.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| {
        // Whatever the umask takes away.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    })
    .with_context(|| format!("{} cannot be written", path.display()))
}

/// Gives it the owner and the group of what it stands for: the service reads it by its group.
fn like(file: &Path, other: &Path) {
    let other = fs::metadata(other).or_else(|_| fs::metadata(other.parent().unwrap_or(Path::new("."))));
    if let Ok(other) = other {
        // Only root may; another user's files are his own.
        let _ = std::os::unix::fs::chown(file, Some(other.uid()), Some(other.gid()));
    }
}
