//! `send`: acts as a provider towards the daemon of this machine: signs a body, sends it, prints the answer. The event
//! is a test event, unless a person asks for a real one.

use crate::cli::setup::plan::prompt_yes_no;
use crate::cli::{CliError, GlobalArgs, output};
use crate::config::{Config, SecretLoading, dev};
use crate::daemon_client::{self, TestRequest};
use crate::event::Source;
use crate::store::db::reader::Reader;
use crate::store::events::records;
use crate::text::format_count;
use anyhow::Context;
use clap::Args;
use hyper::StatusCode;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Debug, Args)]
pub struct SendArgs {
    /// Source: shopify, easypost or keycloak
    source: Source,
    /// Topic: orders/create, tracker.updated, access.LOGIN
    topic: Option<String>,
    /// File with the body [default: a made-up body]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Webhook id [default: a new one]; the same id again is a duplicate. With --file for Shopify only: the others have
    /// it in the body
    #[arg(long)]
    id: Option<String>,
    /// Shopify only: shop that sends [default: the first one configured]
    #[arg(long, value_name = "DOMAIN")]
    shop: Option<String>,
    /// Send a real event, which changes the ERP tables and reaches the destinations. Without this it is a test event:
    /// verified, stored and processed, and it changes nothing
    #[arg(long)]
    real: bool,
    /// Wait until the event is processed, and print its status; exits 1 if it failed
    #[arg(long)]
    wait: bool,
    /// Address of the daemon [default: as configured, on this machine]
    #[arg(long, value_name = "IP:PORT")]
    to: Option<SocketAddr>,
}

pub fn run_send(global: &GlobalArgs, args: SendArgs) -> Result<(), CliError> {
    check_options(&args).map_err(CliError::Usage)?;
    let config = load_source_config(global, args.source)?;
    let body = args.file.map(|file| std::fs::read(&file).with_context(|| format!("{} cannot be read", file.display())));
    let request = TestRequest {
        source: args.source,
        topic: args.topic,
        body: body.transpose()?,
        id: args.id,
        shop: args.shop.map(|shop| shop.to_ascii_lowercase()),
        is_real: args.real,
    };
    if args.real && args.source != Source::Sps && !is_dev_config(&config) {
        confirm_real_event(&config, args.source, request.topic())?;
    }
    let to = args.to.unwrap_or_else(|| daemon_client::to_local_address(config.server.listen));
    let answer = daemon_client::send_test_request(&config, to, request);
    let (status, answer) = crate::runtime::block_on(answer)??;
    output::print_line(&answer)?;
    if status != StatusCode::OK {
        return Err(CliError::Failed(anyhow::anyhow!(
            "the daemon answered {status}; `novex-ingest events rejected` and its log give the reason"
        )));
    }
    if !args.real && args.source != Source::Sps {
        daemon_client::check_test_answer(&answer)?;
    }
    if args.wait {
        wait_until_processed(&config, &answer)?;
    }
    Ok(())
}

/// Waits until a worker completes or fails the event of an answer, and prints its status.
fn wait_until_processed(config: &Config, answer: &str) -> anyhow::Result<()> {
    const WAIT_MAX: Duration = Duration::from_mins(1);
    const POLL_INTERVAL: Duration = Duration::from_millis(20);
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    let id = answer["event_id"].as_i64().context("--wait has no event to wait for: the answer names none")?;
    let reader = Reader::open(&config.store.path, 1)?;
    let start = Instant::now();
    loop {
        let event = reader.read(|connection| records::find_event(connection, id))?;
        let event = event.with_context(|| format!("event {id} is not in {}", config.store.path.display()))?;
        match event.status.as_str() {
            "completed" => return Ok(output::print_line(&format!("event {id} is completed"))?),
            "failed" => {
                let error = event.last_error.unwrap_or_default();
                anyhow::bail!("event {id} failed: {error}; `novex-ingest events show {id}`");
            }
            status if start.elapsed() > WAIT_MAX => {
                anyhow::bail!(
                    "event {id} is still {status} after {} s: `novex-ingest events show {id}`; is a worker running?",
                    WAIT_MAX.as_secs()
                );
            }
            _ => std::thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Refuses an option that the source would ignore.
fn check_options(args: &SendArgs) -> Result<(), String> {
    if args.source == Source::Local {
        return Err("novex-ingest itself makes the events of the source local: `novex-ingest alerts test`".to_owned());
    }
    if args.source == Source::Sps && (args.topic.is_some() || args.file.is_some() || args.id.is_some()) {
        return Err(
            "EDI documents cannot be sent this way: `send sps` only starts a poll. Put the file into the directory \
                    of a source, then run `novex-ingest sps poll`"
                .to_owned(),
        );
    }
    if args.source != Source::Shopify {
        if args.shop.is_some() {
            return Err(format!("--shop is for Shopify: {} has no shops", args.source));
        }
        if args.id.is_some() && args.file.is_some() {
            return Err(format!("--id has no effect: {} has its id in the body of --file", args.source));
        }
    }
    Ok(())
}

/// Returns true for the configuration that `serve --dev` made. Its ERP tables are for trying things out.
fn is_dev_config(config: &Config) -> bool {
    config.path == Path::new(dev::DEV_DIRECTORY).join("config.toml")
}

/// Warns before a real event goes to a production daemon, and asks if a person is there.
fn confirm_real_event(config: &Config, source: Source, topic: &str) -> anyhow::Result<()> {
    let matching = config.destinations.iter().filter(|destination| destination.matches(source, topic));
    let names: Vec<&str> = matching.map(|destination| destination.name.as_str()).collect();
    let destinations = match names.len() {
        0 => "no destination".to_owned(),
        count => format!("{} ({})", format_count(count, "destination", "destinations"), names.join(", ")),
    };
    eprintln!(
        "This event is real for the daemon of {}: it changes the ERP tables and goes to {destinations}. Without --real it \
         is a test event and changes nothing.",
        config.path.display()
    );
    if io::stdin().is_terminal() && !prompt_yes_no("Send it?")? {
        anyhow::bail!("nothing was sent");
    }
    Ok(())
}

/// Loads the configuration and ignores unreadable secrets of other sources. A systemd credential, for example, is
/// readable only while its service runs.
fn load_source_config(global: &GlobalArgs, source: Source) -> anyhow::Result<Config> {
    let path = global.config_path()?;
    let (config, mut errors) = Config::parse_recoverable(&path, &Config::read_text(&path)?, SecretLoading::All);
    errors.errors.retain(|error| {
        !(error.key.ends_with("secrets") || error.key.ends_with(".password")) || error.key.starts_with(source.as_str())
    });
    if errors.errors.is_empty() { Ok(config) } else { Err(errors.into()) }
}
