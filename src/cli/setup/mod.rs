//! `setup`: from an installed package to addresses that can be entered at the providers.
//!
//! [`ask`] gathers what is wanted, from flags or from a person; [`write`] writes it, and takes all of it back when it would not
//! start; [`tell`] prints what to enter where.

mod ask;
mod tell;
mod write;

use super::clock;
use super::output::say;
use super::{Failure, Place, send, work};
use crate::acme::{self, progress::Progress};
use crate::clock::Timestamp;
use crate::config::sections::Tls;
use crate::config::{Config, Secrets};
use crate::store::envelope::Source;
use anyhow::{Context, bail};
use clap::Args;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const HELP: &str = "\
Without flags it asks. With --domain it does not:
  novex-ingest setup --domain hooks.example.com --shop acme-foods.myshopify.com=./shopify-secret --easypost --keycloak
Shopify's secret is Shopify's: the app's client secret, or the one below the webhooks in the shop's settings. The others are made
here. Secrets are kept in the directory secrets beside the configuration, and printed never.";

#[derive(Debug, Args)]
pub struct Arguments {
    /// The name by which this box is reached from outside
    #[arg(long)]
    domain: Option<String>,
    /// The port [default: as configured, 8443 at first]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// A shop and the file with its secret; may be given several times
    #[arg(long, value_name = "DOMAIN=FILE")]
    shop: Vec<String>,
    /// Take EasyPost's webhooks; the secret is made here, unless --easypost-secret names one
    #[arg(long)]
    easypost: bool,
    #[arg(long, value_name = "FILE", requires = "easypost")]
    easypost_secret: Option<PathBuf>,
    /// Take Keycloak's events; the secret is made here, unless --keycloak-secret names one
    #[arg(long)]
    keycloak: bool,
    #[arg(long, value_name = "FILE", requires = "keycloak")]
    keycloak_secret: Option<PathBuf>,
    /// The certificate, with its whole chain; without one a self-signed pair serves until there is one
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
    #[command(flatten)]
    authority: Authority,
    /// Only write; start nothing and send nothing
    #[arg(long)]
    no_start: bool,
}

/// A certificate by ACME.
#[derive(Debug, Args)]
struct Authority {
    /// Have Let's Encrypt give the certificate, and renew it by itself: this agrees to its terms, <https://letsencrypt.org/repository/>.
    /// Port 443 of the domain must lead to this box
    #[arg(long, conflicts_with = "certificate")]
    acme: bool,
    /// Where the authority may write to
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    acme_email: Option<String>,
    /// Another authority: the address of its ACME directory
    #[arg(long, value_name = "URL", requires = "acme")]
    acme_directory: Option<String>,
}

/// What is wanted.
#[derive(Debug, Clone, Default)]
struct Plan {
    domain: String,
    /// `None`: as it is.
    port: Option<u16>,
    shops: Vec<(String, Wanted)>,
    easypost: Option<Wanted>,
    keycloak: Option<Wanted>,
    certificate: Certificate,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, Default)]
enum Certificate {
    /// As it is; self-signed at first.
    #[default]
    AsItIs,
    Files(PathBuf, PathBuf),
    Acme {
        email: Option<String>,
        directory: Option<String>,
    },
}

/// Where a secret comes from.
#[derive(Clone)]
enum Wanted {
    /// It is made here.
    New,
    Given(crate::secret::Secret),
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::New) { "New" } else { "Given" })
    }
}

pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let path = place.config_path()?;
    let plan = match ask::flags(arguments).map_err(|error| Failure::Usage(format!("{error:#}")))? {
        Some(plan) => plan,
        None => ask::person(&path).map_err(|error| Failure::Usage(format!("{error:#}")))?,
    };
    if path == Path::new(crate::config::INSTALLED) && !rustix::process::geteuid().is_root() {
        return Err(Failure::Usage("this writes the system's configuration: sudo novex-ingest setup".to_owned()));
    }
    let since = clock().now();
    go_on_to_the_end();
    let before = write::all(&path, &plan)?;
    if !arguments.no_start
        && let Err(error) = start(&path)
    {
        before.restore();
        // Whatever was there before goes on.
        let end = match start(&path) {
            Ok(()) => "it did not start so, and everything is as it was before",
            Err(_) if path != Path::new(crate::config::INSTALLED) => "the configuration is as it was before",
            Err(_) => {
                "it did not start so; the configuration is as it was before, but THE SERVICE IS DOWN: \
                 systemctl status novex-ingest.socket novex-ingest"
            }
        };
        return Err(error.context(end).into());
    }
    let config = place.load(Secrets::Load)?;
    if !arguments.no_start {
        try_out(&config).context(
            "it is written, and the service runs with it, but does not take an event; `novex-ingest doctor` says more",
        )?;
        wait_for_certificate(&config, since)?;
    }
    tell::all(&config, &plan)?;
    Ok(())
}

/// The service as the package has it, with the new configuration.
fn start(path: &Path) -> anyhow::Result<()> {
    if !Path::new("/run/systemd/system").exists() || path != Path::new(crate::config::INSTALLED) {
        bail!(
            "the service of {} is not started, because this is no installed package under systemd. With --no-start it is only written; then start `novex-ingest serve`",
            path.display()
        );
    }
    // As the service's user, who must be able to read all of it.
    let check = Command::new("runuser")
        .args(["-u", "novex-ingest", "--", "novex-ingest", "config", "check"])
        .process_group(0)
        .output();
    let check = check.context("runuser cannot be run")?;
    if !check.status.success() {
        bail!("{}", String::from_utf8_lossy(&check.stderr).trim());
    }
    // What can be refused before anything is stopped; and the port stays open unless it is another one.
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--quiet", "novex-ingest.socket", "novex-ingest.service"])?;
    let listens = Command::new("systemctl").args(["is-active", "--quiet", "novex-ingest.socket"]).status();
    if listens.is_ok_and(|status| status.success()) && !is_moved() {
        return systemctl(&["restart", "novex-ingest.service"]);
    }
    // One after the other: a socket is not opened again while its service has it.
    systemctl(&["stop", "novex-ingest.socket", "novex-ingest.service"])?;
    systemctl(&["start", "novex-ingest.socket", "novex-ingest.service"])
}

/// Whether the socket unit's port is another than the one that it has open.
fn is_moved() -> bool {
    let shown = Command::new("systemctl").args(["show", "--property=Listen", "novex-ingest.socket"]).output();
    let listen = shown.map(|shown| String::from_utf8_lossy(&shown.stdout).into_owned()).unwrap_or_default();
    let Some(port) = listen
        .split("Listen=")
        .nth(1)
        .and_then(|rest| rest.split([' ', '\n']).next()?.rsplit(':').next()?.parse().ok())
    else {
        return true;
    };
    std::net::TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).is_err()
}

fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let said = || format!("systemctl {} failed", arguments.join(" "));
    // Of a group of its own: Ctrl-C at the terminal does not end it half-way.
    let done = Command::new("systemctl").args(arguments).process_group(0).output().with_context(said)?;
    if done.status.success() {
        return Ok(());
    }
    let journal = Command::new("journalctl")
        .args(["--unit=novex-ingest.service", "--lines=8", "--no-pager", "--output=cat"])
        .output()
        .map_or_else(|_| String::new(), |journal| String::from_utf8_lossy(&journal.stdout).into_owned());
    let errors = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    bail!("{}: {errors}\n{}", said(), journal.trim())
}

/// Writing and starting are not left half done: signals that would end this are let pass. What asks was ended before.
fn go_on_to_the_end() {
    let (ready, is_ready) = std::sync::mpsc::channel::<()>();
    let waiting = move || {
        let _ = work::block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            // Registered, they end nothing any more.
            let _signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
            drop(ready);
            std::future::pending::<()>().await;
        });
    };
    if std::thread::Builder::new().name("signals".to_owned()).spawn(waiting).is_ok() {
        let _ = is_ready.recv();
    }
}

/// How long a service may take to answer after its start.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long an authority may take. It goes on by itself after that.
const AUTHORITY_PATIENCE: Duration = Duration::from_mins(1);

/// Waits until the authority has given a certificate or a reason.
fn wait_for_certificate(config: &Config, since: Timestamp) -> anyhow::Result<()> {
    let Tls::Acme(settings) = &config.tls else { return Ok(()) };
    let begin = Instant::now();
    while begin.elapsed() < AUTHORITY_PATIENCE {
        let is_there = acme::current(settings).is_some();
        let failed = Progress::load(settings, clock().now()).last_failure;
        if is_there || failed.is_some_and(|(at, _)| at >= since) {
            return Ok(());
        }
        if begin.elapsed() < Duration::from_millis(100) {
            say(&format!("waiting for a certificate from {}", settings.directory))?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// A signed event of each kind, as the providers send them.
fn try_out(config: &Config) -> anyhow::Result<()> {
    let mut kinds: Vec<(Source, Option<String>)> =
        config.shopify.iter().map(|shop| (Source::Shopify, Some(shop.domain.clone()))).collect();
    kinds.extend(config.easypost.as_ref().map(|_| (Source::EasyPost, None)));
    kinds.extend(config.keycloak.as_ref().map(|_| (Source::Keycloak, None)));
    let begin = Instant::now();
    for (kind, shop) in kinds {
        loop {
            let answer =
                work::block_on(async { send::sample(config, kind, shop.clone()).await }).and_then(|answer| answer);
            match answer {
                Ok(status) if status.is_success() => break,
                Ok(status) => bail!(
                    "a signed {} event was answered {status}; `novex-ingest events rejected` says why",
                    kind.as_str()
                ),
                Err(error) if begin.elapsed() > PATIENCE => return Err(error),
                Err(_not_yet) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
        say(&format!(
            "a signed {} event was sent, verified and stored{}",
            kind.as_str(),
            shop.map_or(String::new(), |shop| format!(" for {shop}"))
        ))?;
    }
    Ok(())
}
