//! `destinations`: lists the state of each destination, shows and tests one, pauses and resumes one, and drops its
//! deliveries.

use crate::cli::filters::parse_number;
use crate::cli::output::{print_line, print_untrusted_line};
use crate::cli::rows::RowFormatArgs;
use crate::cli::store::{name_operator, with_store};
use crate::cli::table::{free_text, print_table, time_cell};
use crate::cli::{CliError, GlobalArgs};
use crate::clock::Clock;
use crate::config::{Config, SecretLoading};
use crate::delivery::destinations::{Destination, DestinationSettings};
use crate::presentation::program::quote_word;
use crate::presentation::times::TimeFormat;
use crate::runtime;
use crate::store::access::Actor;
use crate::store::events::destinations;
use crate::store::events::destinations::DestinationState;
use crate::text::format_count;
use anyhow::{Context, bail};
use clap::Args;

#[derive(Debug, clap::Subcommand)]
pub enum DestinationsCommand {
    /// List every destination with its state, its queued and its failed deliveries
    List(DestinationsListArgs),
    /// Show one destination with the answers to its newest failed deliveries
    Show(DestinationShowArgs),
    /// Deliver a made-up event to one destination now, and print the result
    Test(DestinationNameArgs),
    /// Pause a destination: its deliveries stay queued until it is resumed
    Pause(DestinationNameArgs),
    /// Resume a paused destination, or try one that is down at once
    Resume(DestinationNameArgs),
    /// Give up all queued deliveries of a destination that is gone for good; they do not count as failed, and `events
    /// retry` queues those of an event again
    Drop(DestinationNameArgs),
    /// Forget a destination that was removed from the configuration: its state, its queued and its failed deliveries
    Forget(DestinationForgetArgs),
}

#[derive(Debug, Args)]
pub struct DestinationsListArgs {
    #[command(flatten)]
    format: RowFormatArgs,
}

/// Columns of destinations in CSV.
const DESTINATION_COLUMNS: [&str; 12] = [
    "name",
    "paused_at",
    "down_since",
    "next_probe_at",
    "waiting",
    "oldest_waiting_at",
    "oldest_waiting_seconds",
    "failed",
    "last_success_at",
    "last_error_at",
    "last_error",
    "recovered_at",
];

#[derive(Debug, Args)]
pub struct DestinationShowArgs {
    /// Name of the destination
    name: String,
    /// Most failed deliveries to show, the newest ones
    #[arg(long, default_value_t = 20, value_parser = parse_number::<u32>)]
    limit: u32,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct DestinationNameArgs {
    /// Name of the destination in the configuration
    name: String,
}

#[derive(Debug, Args)]
pub struct DestinationForgetArgs {
    /// Name of a destination that is no longer in the configuration
    name: String,
}

pub fn run_destinations(global: &GlobalArgs, command: &DestinationsCommand) -> Result<(), CliError> {
    let load_config = || global.load_config(SecretLoading::Skip);
    Ok(match command {
        DestinationsCommand::List(args) => print_destinations(global, args),
        DestinationsCommand::Show(args) => print_destination(global, args),
        DestinationsCommand::Test(args) => {
            test_destination(&global.load_config(SecretLoading::DestinationsOnly)?, &args.name)
        }
        DestinationsCommand::Pause(args) => set_destination_paused(&load_config()?, &args.name, true),
        DestinationsCommand::Resume(args) => set_destination_paused(&load_config()?, &args.name, false),
        DestinationsCommand::Drop(args) => drop_deliveries(&load_config()?, &args.name),
        DestinationsCommand::Forget(args) => forget_destination(&load_config()?, &args.name),
    }?)
}

fn print_destinations(global: &GlobalArgs, args: &DestinationsListArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let names: Vec<String> = config.destinations.iter().map(|settings| settings.name.clone()).collect();
    let now = Clock::system().now();
    let states = global.open_reader()?.read(|connection| destinations::list_destinations(connection, &names, now))?;
    if args.format.print_rows(&DESTINATION_COLUMNS, &states)? {
        return Ok(());
    }
    if states.is_empty() {
        print_line("No destinations are configured: see [[destinations]] in the shipped config.toml.")?;
        return Ok(());
    }
    let times = global.time_format();
    print_table(
        &["NAME", "STATE", "QUEUED", "OLDEST", "FAILED", "LAST SUCCESS", "LAST ERROR"],
        states.iter().map(|state| {
            vec![
                state.name.clone().into(),
                describe_destination_state(&config, state, &times).into(),
                state.waiting.to_string().into(),
                time_cell(&times, state.oldest_waiting_at.as_deref()),
                state.failed.to_string().into(),
                time_cell(&times, state.last_success_at.as_deref()),
                free_text(describe_last_error(state, &times)),
            ]
        }),
    )?;
    Ok(())
}

/// Returns time and text of the last error, or the time of the recovery from it.
fn describe_last_error(state: &DestinationState, times: &TimeFormat) -> String {
    let format_at = |at: &str| times.format_time_with_age(at);
    match (&state.last_error_at, &state.last_error, &state.recovered_at) {
        (Some(at), Some(error), _) => format!("{}: {error}", format_at(at)),
        (Some(at), None, _) => format!("{}: a redaction erased the text", format_at(at)),
        (None, _, Some(at)) => format!("recovered at {}", format_at(at)),
        (None, _, None) => String::new(),
    }
}

fn print_destination(global: &GlobalArgs, args: &DestinationShowArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let now = Clock::system().now();
    let (state, failures) = global.open_reader()?.read(|connection| {
        Ok((
            destinations::read_destination_state(connection, &args.name, now)?,
            destinations::list_delivery_failures(connection, &args.name, args.limit)?,
        ))
    })?;
    let is_unknown = state.waiting == 0 && state.failed == 0 && state.last_success_at.is_none();
    let settings = match find_destination(&config, &args.name) {
        Err(error) if is_unknown => return Err(error),
        settings => settings.ok(),
    };
    if args.json {
        let mut document = serde_json::to_value(&state)?;
        document["topics"] = settings.map(|settings| settings.topics.clone()).into();
        document["failures"] = serde_json::to_value(&failures)?;
        print_line(&document.to_string())?;
        return Ok(());
    }
    let times = global.time_format();
    let format_at = |at: &Option<String>| at.as_deref().map(|at| times.format_time_with_age(at));
    let fields = [
        ("destination", Some(state.name.clone())),
        ("state", Some(describe_destination_state(&config, &state, &times))),
        ("topics", settings.map(|settings| settings.topics.join(", "))),
        ("queued", Some(state.waiting.to_string())),
        ("oldest queued at", format_at(&state.oldest_waiting_at)),
        ("next probe at", format_at(&state.next_probe_at)),
        ("failed", Some(state.failed.to_string())),
        ("last success at", format_at(&state.last_success_at)),
        ("last error", Some(describe_last_error(&state, &times)).filter(|text| !text.is_empty())),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            print_untrusted_line(&format!("{name:<18} {value}"))?;
        }
    }
    for failure in &failures {
        let attempts = format_count(failure.attempts, "attempt", "attempts");
        print_line("")?;
        print_untrusted_line(&format!(
            "event {}  {} {}  failed at {} after {attempts}",
            failure.event_id,
            failure.source,
            failure.topic,
            times.format_time_with_age(&failure.failed_at)
        ))?;
        print_untrusted_line(&format!("    {}", failure.error.as_deref().unwrap_or("a redaction erased the text")))?;
    }
    if state.failed > failures.len() as u64 {
        let failed = format_count(state.failed, "failed delivery is", "failed deliveries are");
        print_line(&format!("\n{} of {failed} shown: raise --limit", failures.len()))?;
    }
    Ok(())
}

fn describe_destination_state(config: &Config, state: &DestinationState, times: &TimeFormat) -> String {
    if !config.destinations.iter().any(|settings| settings.name == state.name) {
        "not configured".to_owned()
    } else if let Some(at) = &state.paused_at {
        format!("paused since {}", times.format_time_with_age(at))
    } else if let Some(since) = &state.down_since {
        format!("down since {}", times.format_time_with_age(since))
    } else {
        "ok".to_owned()
    }
}

fn find_destination<'c>(config: &'c Config, name: &str) -> anyhow::Result<&'c DestinationSettings> {
    config.destinations.iter().find(|settings| settings.name == name).with_context(|| {
        let names: Vec<&str> = config.destinations.iter().map(|settings| settings.name.as_str()).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("there is no destination {name:?} in {}; configured: {names}", config.path.display())
    })
}

fn test_destination(config: &Config, name: &str) -> anyhow::Result<()> {
    let settings = find_destination(config, name)?.clone();
    runtime::block_on(Destination::send_test_event(settings, Clock::system().now()))??;
    print_line(&format!("{name} accepted the test event."))?;
    Ok(())
}

fn set_destination_paused(config: &Config, name: &str, pause: bool) -> anyhow::Result<()> {
    find_destination(config, name)?;
    let actor = Actor::from_operator(name_operator(None));
    with_store(config, async |store| Ok(store.set_destination_paused(name, pause, actor).await?))?;
    print_line(&if pause {
        format!("{name} is paused; its deliveries stay queued.")
    } else {
        format!("{name} is resumed.")
    })?;
    Ok(())
}

/// Drops the queued deliveries of a destination, also of one that is no longer configured.
fn drop_deliveries(config: &Config, name: &str) -> anyhow::Result<()> {
    let dropped = with_store(config, async |store| Ok(store.drop_deliveries(name, &name_operator(None)).await?))?;
    if dropped == 0 && find_destination(config, name).is_err() {
        bail!(
            "no delivery to {name} is queued, and {} has no destination of this name; `novex-ingest destinations forget \
             {}` deletes what is left of a removed one",
            config.path.display(),
            quote_word(name)
        );
    }
    let deliveries = format_count(dropped, "delivery", "deliveries");
    print_line(&format!(
        "Dropped {deliveries} to {name}. They count as settled, not as failed; a retry of an event queues \
         its delivery again."
    ))?;
    Ok(())
}

/// Deletes what is left of a destination that the configuration does not name any more.
fn forget_destination(config: &Config, name: &str) -> anyhow::Result<()> {
    if config.destinations.iter().any(|settings| settings.name == name) {
        bail!("{name} is in {}: remove it there first, then run this again", config.path.display());
    }
    let forgotten = with_store(config, async |store| {
        store.drop_deliveries(name, &name_operator(None)).await?;
        Ok(store.forget_destination(name).await?)
    })?;
    let Some(deliveries) = forgotten else { bail!("nothing is stored about a destination {name:?}") };
    let deliveries = format_count(deliveries, "failed delivery", "failed deliveries");
    print_line(&format!("Forgot {name} with {deliveries}. The events stay."))?;
    Ok(())
}
