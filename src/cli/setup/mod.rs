//! `setup`: configures an installed package, starts the service, and prints the addresses to enter at the providers.
//!
//! [`plan`] gathers the plan from flags or from a person, [`people`] who uses the console and gets alerts. [`files`]
//! writes it, and restores everything if the service does not start; [`config_text`] changes the text of the
//! configuration. [`summary`] prints the addresses, [`topics`] the subscriptions for Shopify.

pub mod config_text;
pub mod files;
mod people;
pub mod plan;
pub mod summary;
pub mod topics;

use crate::cli::filters::parse_port;
use crate::cli::output::print_untrusted_line;
use crate::cli::setup::config_text::SecretSection;
use crate::cli::setup::topics::TopicFormat;
use crate::cli::{CliError, GlobalArgs, output};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, INSTALLED_CONFIG_PATH, SecretLoading};
use crate::daemon_client;
use crate::daemon_client::TestRequest;
use crate::event::Source;
use crate::presentation::times::TimeFormat;
use crate::runtime;
use crate::tls::acme::progress::AcmeProgress;
use crate::tls::{TlsSettings, acme};
use anyhow::{Context, bail};
use clap::Args;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const SETUP_HELP: &str = "\
Without flags, setup prints the addresses of what is configured, and asks. With --domain, it asks nothing:
  novex-ingest setup --domain hooks.example.com --shop acme-foods.myshopify.com=./shopify-secret --easypost --keycloak
Shopify issues its secret: the app's client secret, or the one below the webhooks in the shop's settings. Setup generates
the other secrets. It stores all secrets in the directory secrets beside the configuration and never prints them. Another secret for a
known source comes beside the old one, which stays valid until you remove it.";

#[derive(Debug, Args)]
pub struct SetupArgs {
    /// Public name of this machine [default: as configured]
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Port [default: as configured; 8443 in a new configuration]
    #[arg(long, value_parser = parse_port)]
    port: Option<u16>,
    /// Shop and the file with its secret; can be repeated. A known shop gets the secret beside its old one
    #[arg(long, value_name = "DOMAIN=FILE")]
    shop: Vec<String>,
    /// Receive EasyPost's webhooks; generates a secret unless --easypost-secret names one
    #[arg(long)]
    easypost: bool,
    /// File with EasyPost's secret
    #[arg(long, value_name = "FILE", requires = "easypost")]
    easypost_secret: Option<PathBuf>,
    /// Receive Keycloak's events; generates a secret unless --keycloak-secret names one
    #[arg(long)]
    keycloak: bool,
    /// File with Keycloak's secret
    #[arg(long, value_name = "FILE", requires = "keycloak")]
    keycloak_secret: Option<PathBuf>,
    /// File with the certificate and its whole chain [default: a self-signed pair]
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,
    /// File with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
    #[command(flatten)]
    acme_args: SetupAcmeArgs,
    /// Write the files, and neither start the service nor send test events
    #[arg(long)]
    no_start: bool,
    /// Print Shopify's topics with their addresses, and change nothing
    #[arg(long, value_name = "FORMAT", conflicts_with_all = [
        "shop", "easypost", "keycloak", "certificate", "acme", "no_start",
    ])]
    topics: Option<TopicFormat>,
}

/// Options of a certificate by ACME.
#[derive(Debug, Args)]
struct SetupAcmeArgs {
    /// Request the certificate from Let's Encrypt and renew it automatically. You agree to its terms,
    /// <https://letsencrypt.org/repository/>. Port 443 of the domain must lead to this machine
    #[arg(long, conflicts_with = "certificate")]
    acme: bool,
    /// E-mail address for notices of the authority
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    acme_email: Option<String>,
    /// ACME directory of another authority
    #[arg(long, value_name = "URL", requires = "acme")]
    acme_directory: Option<String>,
}

/// Content that a setup writes.
#[derive(Debug, Clone, Default)]
pub struct SetupPlan {
    domain: String,
    /// None keeps the configured port.
    port: Option<u16>,
    shops: Vec<(String, SetupSecret)>,
    easypost: Option<SetupSecret>,
    keycloak: Option<SetupSecret>,
    certificate: SetupCertificate,
    console_user: Option<people::SetupUser>,
    mail: Option<people::SetupMail>,
}

impl SetupPlan {
    fn receives_nothing(&self) -> bool {
        self.shops.is_empty() && self.easypost.is_none() && self.keycloak.is_none()
    }

    fn has_shop(&self, domain: &str) -> bool {
        self.shops.iter().any(|(name, _)| name == domain)
    }

    /// Returns the secrets with the sections that they belong to.
    fn list_secrets(&self) -> impl Iterator<Item = (SecretSection<'_>, &SetupSecret)> {
        let providers = [("easypost", &self.easypost), ("keycloak", &self.keycloak)];
        let shops = self.shops.iter().map(|(domain, secret)| (SecretSection::Shop(domain), secret));
        let providers =
            providers.into_iter().filter_map(|(name, secret)| Some((SecretSection::Provider(name), secret.as_ref()?)));
        shops.chain(providers)
    }
}

/// Returns true if the configuration has a source that sends webhooks.
fn has_webhook_source(config: &Config) -> bool {
    !config.shopify.is_empty() || config.easypost.is_some() || config.keycloak.is_some()
}

/// Origin of the certificate.
#[derive(Debug, Clone, Default)]
enum SetupCertificate {
    /// As configured; self-signed in a new configuration.
    #[default]
    Unchanged,
    Files(PathBuf, PathBuf),
    Acme {
        email: Option<String>,
        directory: Option<String>,
    },
}

/// Origin of a secret.
#[derive(Clone)]
enum SetupSecret {
    /// Setup generates it, unless its file exists.
    Generated,
    Provided(crate::secret::Secret),
}

impl std::fmt::Debug for SetupSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Generated) { "Generated" } else { "Provided" })
    }
}

pub fn run_setup(global: &GlobalArgs, args: &SetupArgs) -> Result<(), CliError> {
    let path = global.config_path()?;
    let existing = read_existing_config(&path)?;
    if let Some(format) = args.topics {
        return print_topics(format, args, &existing);
    }
    let to_usage_error = |error: anyhow::Error| CliError::Usage(format!("{error:#}"));
    let plan = match plan::read_plan_from_flags(args, &existing).map_err(to_usage_error)? {
        Some(plan) => plan,
        None => match plan_without_flags(&existing, args, &global.time_format()).map_err(to_usage_error)? {
            Some(plan) => plan,
            None => return Ok(()),
        },
    };
    let is_installed = path == Path::new(INSTALLED_CONFIG_PATH);
    if is_installed && !rustix::process::geteuid().is_root() {
        let error = "only root may write the system's configuration: sudo novex-ingest setup";
        return Err(CliError::Usage(error.to_owned()));
    }
    let since = Clock::system().now();
    ignore_termination_signals();
    let rollback = files::apply_plan(&path, &plan)?;
    if !args.no_start
        && let Err(error) = start_service(&path)
    {
        rollback.restore();
        // Start the service with its previous configuration.
        let result = match start_service(&path) {
            Ok(()) => "the service did not start with the new configuration; the previous one is restored and runs",
            Err(_) if !is_installed => "the configuration was restored",
            Err(_) => {
                "the service did not start with the new configuration; the previous one is restored, but THE SERVICE IS \
                 DOWN: systemctl status novex-ingest.socket novex-ingest"
            }
        };
        return Err(error.context(result).into());
    }
    let config = global.load_config(SecretLoading::All)?;
    if !args.no_start {
        send_test_events(&config).context(
            "the configuration is written and the service runs, but it did not accept a test event; `novex-ingest \
             doctor` gives the reason",
        )?;
        wait_for_certificate(&config, since)?;
    }
    people::complete_people(&config, &plan)?;
    summary::print_summary(&config, &plan.domain, &global.time_format())?;
    Ok(())
}

/// Returns what the configuration states, without its errors; a missing file states nothing.
fn read_existing_config(path: &Path) -> anyhow::Result<Config> {
    let text = if path.try_exists().unwrap_or(true) { Config::read_text(path)? } else { String::new() };
    Ok(Config::parse_recoverable(path, &text, SecretLoading::All).0)
}

/// Prints the addresses of what is configured, and asks a person for a plan. Returns None if nothing is to change.
fn plan_without_flags(existing: &Config, args: &SetupArgs, times: &TimeFormat) -> anyhow::Result<Option<SetupPlan>> {
    let configured_domain = existing.domain.as_deref().filter(|_| has_webhook_source(existing));
    if let Some(domain) = configured_domain {
        summary::print_summary(existing, domain, times)?;
    }
    match (configured_domain, io::stdin().is_terminal()) {
        (None, false) => bail!("{}", plan::DOMAIN_MISSING),
        (Some(_), false) => Ok(None),
        (Some(_), true) if !plan::prompt_yes_no("\nAdd or change something?")? => Ok(None),
        (_, true) => plan::prompt_for_plan(existing, !args.no_start).map(Some),
    }
}

fn print_topics(format: TopicFormat, args: &SetupArgs, existing: &Config) -> Result<(), CliError> {
    let domain = args.domain.as_deref().or(existing.domain.as_deref());
    let Some(domain) = domain else { return Err(CliError::Usage(plan::DOMAIN_MISSING.to_owned())) };
    config::check_domain(domain).map_err(CliError::Usage)?;
    let base = summary::format_base_address(domain, args.port.unwrap_or(existing.server.listen.port()));
    output::open_stdout().write_all(topics::render_topics(format, &base).as_bytes())?;
    Ok(())
}

/// Starts the package's service with the new configuration.
fn start_service(path: &Path) -> anyhow::Result<()> {
    if !Path::new("/run/systemd/system").exists() || path != Path::new(INSTALLED_CONFIG_PATH) {
        bail!(
            "the service of {} is not started, because this is not an installed package under systemd. Use --no-start to \
             write the files only; then start `novex-ingest serve`",
            path.display()
        );
    }
    // As the service's user, who must be able to read all files.
    let check = Command::new("runuser")
        .args(["-u", "novex-ingest", "--", "novex-ingest", "config", "check"])
        .process_group(0)
        .output();
    let check = check.context("runuser cannot be started")?;
    if !check.status.success() {
        bail!("{}", String::from_utf8_lossy(&check.stderr).trim());
    }
    // These can fail before anything is stopped. The socket stays open unless its port changes.
    run_systemctl(&["daemon-reload"])?;
    run_systemctl(&["enable", "--quiet", "novex-ingest.socket", "novex-ingest.service"])?;
    let socket_state = Command::new("systemctl").args(["is-active", "--quiet", "novex-ingest.socket"]).status();
    if socket_state.is_ok_and(|status| status.success()) && !has_socket_port_changed() {
        return run_systemctl(&["restart", "novex-ingest.service"]);
    }
    // Stop both first: systemd does not open a socket again while its service runs.
    run_systemctl(&["stop", "novex-ingest.socket", "novex-ingest.service"])?;
    run_systemctl(&["start", "novex-ingest.socket", "novex-ingest.service"])
}

/// Returns true if the socket unit's port differs from the one that it has open.
fn has_socket_port_changed() -> bool {
    let output = Command::new("systemctl").args(["show", "--property=Listen", "novex-ingest.socket"]).output();
    let listen = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let Some(port) = listen
        .split("Listen=")
        .nth(1)
        .and_then(|value| value.split([' ', '\n']).next()?.rsplit(':').next()?.parse().ok())
    else {
        return true;
    };
    std::net::TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1)).is_err()
}

fn run_systemctl(args: &[&str]) -> anyhow::Result<()> {
    let describe_failure = || format!("systemctl {} failed", args.join(" "));
    // In its own process group, so that Ctrl-C at the terminal does not end it half-way.
    let output = Command::new("systemctl").args(args).process_group(0).output().with_context(describe_failure)?;
    if output.status.success() {
        return Ok(());
    }
    let journal = Command::new("journalctl")
        .args(["--unit=novex-ingest.service", "--lines=8", "--no-pager", "--output=cat"])
        .output()
        .map_or_else(|_| String::new(), |journal| String::from_utf8_lossy(&journal.stdout).into_owned());
    let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    bail!("{}: {errors}\n{}", describe_failure(), journal.trim())
}

/// Ignores signals from here on, so that writing and starting never stop half-way.
fn ignore_termination_signals() {
    let (ready_sender, ready_receiver) = std::sync::mpsc::channel::<()>();
    let hold_signals = move || {
        let _ = runtime::block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            // A registered signal no longer ends the process.
            let _signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
            drop(ready_sender);
            std::future::pending::<()>().await;
        });
    };
    if std::thread::Builder::new().name("signals".to_owned()).spawn(hold_signals).is_ok() {
        // Ends when the sender is dropped.
        let _ = ready_receiver.recv();
    }
}

/// Longest wait for the service's answer after its start.
const SERVICE_START_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest wait for the authority. The service goes on by itself after that.
const ACME_TIMEOUT: Duration = Duration::from_mins(1);

/// Waits until the authority has issued a certificate or given a reason why not.
fn wait_for_certificate(config: &Config, since: Timestamp) -> anyhow::Result<()> {
    let TlsSettings::Acme(settings) = &config.tls else { return Ok(()) };
    let start = Instant::now();
    while start.elapsed() < ACME_TIMEOUT {
        let is_issued = acme::read_current_certificate(settings).is_some();
        let last_failure = AcmeProgress::load(settings, Clock::system().now()).last_failure;
        if is_issued || last_failure.is_some_and(|(at, _)| at >= since) {
            return Ok(());
        }
        if start.elapsed() < Duration::from_millis(100) {
            print_untrusted_line(&format!("Waiting for a certificate from {}", settings.directory_url))?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Sends a signed test event of each source and prints each result. A test event changes nothing.
fn send_test_events(config: &Config) -> anyhow::Result<()> {
    let mut sources: Vec<(Source, Option<&str>)> =
        config.shopify.iter().map(|shop| (Source::Shopify, Some(shop.domain.as_str()))).collect();
    sources.extend(config.easypost.as_ref().map(|_| (Source::EasyPost, None)));
    sources.extend(config.keycloak.as_ref().map(|_| (Source::Keycloak, None)));
    let start = Instant::now();
    for (source, shop) in sources {
        let answer = loop {
            let request = TestRequest { shop: shop.map(str::to_owned), ..TestRequest::new(source) };
            let to = daemon_client::to_local_address(config.server.listen);
            let answer = daemon_client::send_test_request(config, to, request);
            match runtime::block_on(answer).and_then(|answer| answer) {
                Ok((status, answer)) if status.is_success() => {
                    daemon_client::check_test_answer(&answer)?;
                    break answer;
                }
                Ok((status, _)) => bail!(
                    "the daemon answered {status} to a signed {} event; `novex-ingest events rejected` gives the reason",
                    source.as_str()
                ),
                Err(error) if start.elapsed() > SERVICE_START_TIMEOUT => return Err(error),
                Err(_not_ready) => std::thread::sleep(Duration::from_millis(200)),
            }
        };
        print_untrusted_line(&describe_test_event(source, shop, &answer))?;
    }
    Ok(())
}

/// Returns a line such as `Sent a test event (order #1001) of SHOP: verified, and stored as event 12`.
fn describe_test_event(source: Source, shop: Option<&str>, answer: &str) -> String {
    let event = match source {
        Source::Shopify => format!("(order #1001) of {}", shop.unwrap_or_default()),
        Source::EasyPost => "(tracker) of EasyPost".to_owned(),
        Source::Keycloak => "(login) of Keycloak".to_owned(),
        Source::Sps => "(poll) of SPS".to_owned(),
        Source::Local => String::new(),
    };
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    format!(
        "Sent a test event {event}: verified, and stored as event {}. It changes no ERP table and reaches no destination.",
        answer["event_id"]
    )
}
