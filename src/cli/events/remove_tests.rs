//! `events remove-tests`: deletes the test events of `setup` and `send`.

use crate::cli::GlobalArgs;
use crate::cli::output::print_line;
use crate::cli::store::with_store;
use crate::config::SecretLoading;
use crate::text::format_count;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct EventsRemoveTestsArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub fn remove_tests(global: &GlobalArgs, args: &EventsRemoveTestsArgs) -> anyhow::Result<()> {
    let config = global.load_config(SecretLoading::Skip)?;
    let removal = with_store(&config, async |store| Ok(store.remove_test_events().await?))?;
    if args.json {
        return Ok(print_line(&json!({"removed": removal.removed, "in_process": removal.in_process}).to_string())?);
    }
    print_line(&format!("removed {}", format_count(removal.removed, "test event", "test events")))?;
    if removal.in_process > 0 {
        let remaining = format_count(removal.in_process, "test event is", "test events are");
        print_line(&format!("{remaining} in process and stay: run this again in a moment"))?;
    }
    Ok(())
}
