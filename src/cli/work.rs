//! `work`: runs one more worker process on the same database, or processes all due events and exits.

use crate::app::work;
use crate::cli::{CliError, GlobalArgs};
use crate::config::SecretLoading;
use crate::logging;
use crate::runtime;
use clap::Args;

#[derive(Debug, Args)]
pub struct WorkArgs {
    /// Process all due events and deliveries, then exit, for cron
    #[arg(long)]
    once: bool,
}

pub fn run_work(global: &GlobalArgs, args: &WorkArgs) -> Result<(), CliError> {
    let config = global.load_config(SecretLoading::DestinationsOnly)?;
    logging::init_logging(&config.log);
    Ok(runtime::block_on_multi_thread(work::run_worker_process(config, args.once))?)
}
