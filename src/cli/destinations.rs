//! `destinations`: how each is doing, a test of one, holding one and letting it go.

use super::output::{line, shortened, table};
use super::{Failure, Place, clock, work};
use crate::config::{Config, Secrets};
use crate::destinations::{Destination, Fate, Parcel, Settings};
use crate::queue::process;
use crate::store::destination_states::{self, State};
use anyhow::{Context, bail};
use clap::Args;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Every destination: whether it takes what it is given, what waits for it, what failed
    List(List),
    /// Hand a made-up event to one destination now, and print what it said
    Test(Name),
    /// Hold a destination: its events wait until it is let go
    Pause(Name),
    /// Let a destination go that was held, or that is down and is not to be waited for
    Resume(Name),
    /// Give up what waits for a destination, as for one that is gone for good; `events retry` brings events back
    Drop(Name),
}

#[derive(Debug, Args)]
pub struct List {
    /// A JSON line each
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Name {
    /// As in the configuration
    name: String,
}

pub fn run(place: &Place, command: &Command) -> Result<(), Failure> {
    Ok(match command {
        Command::List(arguments) => list(place, arguments),
        Command::Test(arguments) => test(&place.load(Secrets::Destinations)?, &arguments.name),
        Command::Pause(arguments) => pause(&place.load(Secrets::LeaveAside)?, &arguments.name, true),
        Command::Drop(arguments) => give_up(&place.load(Secrets::LeaveAside)?, &arguments.name),
        Command::Resume(arguments) => pause(&place.load(Secrets::LeaveAside)?, &arguments.name, false),
    }?)
}

fn list(place: &Place, arguments: &List) -> anyhow::Result<()> {
    let config = place.load(Secrets::LeaveAside)?;
    let names: Vec<String> = config.destinations.iter().map(|settings| settings.name.clone()).collect();
    let now = clock().now();
    let states = place.reader()?.read(|connection| destination_states::list(connection, &names, now))?;
    if arguments.json {
        return states.iter().try_for_each(|state| Ok(line(&serde_json::to_string(state)?)?));
    }
    if states.is_empty() {
        line("No destinations are configured: see [[destinations]] in the shipped config.toml.")?;
        return Ok(());
    }
    table(
        &["NAME", "STATE", "WAITING", "OLDEST", "FAILED", "LAST SUCCESS", "LAST ERROR"],
        states.iter().map(|state| {
            vec![
                state.name.clone().into(),
                shown(&config, state).into(),
                state.waiting.to_string().into(),
                state.oldest_waiting_at.clone().unwrap_or_default().into(),
                state.failed.to_string().into(),
                state.last_success_at.clone().unwrap_or_default().into(),
                shortened(state.last_error.as_deref().unwrap_or_default(), 60).into(),
            ]
        }),
    )?;
    Ok(())
}

fn shown(config: &Config, state: &State) -> String {
    if !config.destinations.iter().any(|settings| settings.name == state.name) {
        "not configured".to_owned()
    } else if let Some(at) = &state.paused_at {
        format!("paused since {at}")
    } else if let Some(since) = &state.down_since {
        format!("down since {since}")
    } else {
        "ok".to_owned()
    }
}

fn find<'c>(config: &'c Config, name: &str) -> anyhow::Result<&'c Settings> {
    config.destinations.iter().find(|settings| settings.name == name).with_context(|| {
        let names: Vec<&str> = config.destinations.iter().map(|settings| settings.name.as_str()).collect();
        format!("there is no destination {name:?} in {}; there are: {}", config.path.display(), names.join(", "))
    })
}

fn test(config: &Config, name: &str) -> anyhow::Result<()> {
    let destination = Destination::new(find(config, name)?.clone())?;
    let parcel = Parcel {
        // No event has this number, so that nobody takes it for one.
        event_id: 0,
        source: "novex-ingest".to_owned(),
        shop_domain: String::new(),
        topic: "test".to_owned(),
        webhook_id: "test".to_owned(),
        attempt: 1,
        body: br#"{"test":true}"#.to_vec(),
    };
    let fate = work::block_on(destination.deliver(&parcel, clock().now()))?;
    match fate {
        Fate::Delivered => line(&format!("{name} took it"))?,
        Fate::Refused { error } => bail!("{name} refused it: {error}. Events refused like this fail at once"),
        Fate::Unreachable { error, .. } | Fate::Later { error, .. } => {
            bail!("{name} did not take it: {error}. Events wait for it and are tried again")
        }
    }
    Ok(())
}

fn pause(config: &Config, name: &str, pause: bool) -> anyhow::Result<()> {
    find(config, name)?;
    work::block_on(async {
        let store = work::open_existing(config)?;
        let result = store.pause_destination(name, pause).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(result?)
    })??;
    line(&if pause { format!("{name} is held: its events wait") } else { format!("{name} goes on") })?;
    Ok(())
}

/// Also of one that the configuration has no more.
fn give_up(config: &Config, name: &str) -> anyhow::Result<()> {
    let dropped = work::block_on(async {
        let store = work::open_existing(config)?;
        let result = store.drop_deliveries(name, &process::current().worker).await;
        store.writer.close().await;
        Ok::<_, anyhow::Error>(result?)
    })??;
    if dropped == 0 {
        find(config, name)?;
    }
    line(&format!("{dropped} deliveries to {name} are given up: they count as failed, see destination_failures"))?;
    Ok(())
}
