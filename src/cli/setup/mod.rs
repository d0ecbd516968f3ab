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
use crate::server::{expiry, tls};
use crate::store::envelope::Source;
use anyhow::{Context, bail};
use clap::Args;
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
    let since = clock().now();
    let before = write::all(&path, &plan)?;
    if !arguments.no_start
        && let Err(error) = start(&path)
    {
        before.restore();
        // Whatever was there before goes on.
        let _ = start(&path);
        return Err(error.context("it did not start so, and everything is as it was before").into());
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
            "{} is written; the service is not started, because this is no installed package under systemd. Start `novex-ingest serve`, or use --no-start",
            path.display()
        );
    }
    // As the service's user, who must be able to read all of it.
    let check = Command::new("runuser").args(["-u", "novex-ingest", "--", "novex-ingest", "config", "check"]).output();
    let check = check.context("runuser cannot be run")?;
    if !check.status.success() {
        bail!("{}", String::from_utf8_lossy(&check.stderr).trim());
    }
    // One after the other: a socket is not opened again while its service has it.
    let steps = [
        &["daemon-reload"][..],
        &["stop", "novex-ingest.socket", "novex-ingest.service"],
        &["enable", "--quiet", "novex-ingest.socket", "novex-ingest.service"],
        &["start", "novex-ingest.socket", "novex-ingest.service"],
    ];
    for arguments in steps {
        let done = Command::new("systemctl").args(arguments).status().context("systemctl cannot be run")?;
        if !done.success() {
            bail!("systemctl {} failed; `systemctl status novex-ingest` says why", arguments.join(" "));
        }
    }
    Ok(())
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
        let is_there = expiry::read(&tls::files(&config.tls)).is_ok_and(|validity| !validity.is_self_signed)
            && acme::is_from(settings);
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
