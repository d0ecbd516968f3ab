//! `events resend`: sends events to one destination again, without processing them again.

use crate::cli::GlobalArgs;
use crate::cli::filters::parse_number;
use crate::cli::output::print_line;
use crate::cli::store::{name_operator, with_store};
use crate::config::SecretLoading;
use crate::store::access::Actor;
use crate::text::format_count;
use anyhow::bail;
use clap::Args;

#[derive(Debug, Args)]
pub struct EventsResendArgs {
    /// Ids of events that have a delivery to the destination
    #[arg(value_name = "ID", required = true, value_parser = parse_number::<i64>)]
    ids: Vec<i64>,
    /// Name of the destination in the configuration
    #[arg(long, value_name = "NAME")]
    destination: String,
}

pub fn resend_events(global: &GlobalArgs, args: &EventsResendArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let name = &args.destination;
    if !config.destinations.iter().any(|settings| settings.name == *name) {
        bail!("{} has no destination {name:?}; `novex-ingest destinations list` lists them", config.path.display());
    }
    let skipped = with_store(&config, async |store| {
        let mut skipped = 0;
        for id in &args.ids {
            let actor = Actor::from_operator(name_operator(None));
            if store.resend_delivery(*id, name.clone(), config.worker.max_attempts, actor).await? {
                print_line(&format!("event {id} is due at {name}"))?;
            } else {
                skipped += 1;
            }
        }
        Ok(skipped)
    })?;
    if skipped > 0 {
        bail!(
            "{skipped} of {} not sent again: they have no delivery to {name}, are being sent now, or have no body any \
             more ([retention])",
            format_count(args.ids.len(), "event was", "events were")
        );
    }
    Ok(())
}
