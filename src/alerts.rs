//! Runs the rounds of the alerts: asks the checks of `doctor` which conditions hold, and stores what changed.
//!
//! The daemon runs them. The messages are deliveries to the channels, which the dispatcher sends; no handler is part of
//! that, so that a message also goes out when all handlers are stuck.

use crate::config::Config;
use crate::delivery::alert_message::AlertMessage;
use crate::delivery::destinations::Destinations;
use crate::delivery::dispatcher::deliveries_for;
use crate::doctor;
use crate::event::Source;
use crate::store::Store;
use crate::store::leases::alert_rounds::{ALERT_TOPIC, AlertRound, AlertRoundResult};
use std::sync::Arc;
use tracing::{info, warn};

/// Runs a round at each `alerts.check_interval` until it is aborted.
pub async fn run_alert_rounds(config: Config, store: Store, destinations: Destinations) {
    let config = Arc::new(config);
    loop {
        tokio::time::sleep(config.alerts.check_interval).await;
        match run_round(&config, &store, &destinations).await {
            Ok(result) => log_round(&result),
            Err(error) => warn!("the alerts could not be checked; the next round checks them again: {error:#}"),
        }
    }
}

async fn run_round(
    config: &Arc<Config>,
    store: &Store,
    destinations: &Destinations,
) -> anyhow::Result<AlertRoundResult> {
    let checked = config.clone();
    // The checks read files and the database.
    let mut conditions = tokio::task::spawn_blocking(move || doctor::find_alert_conditions(&checked)).await??;
    conditions.retain(|condition| !config.alerts.ignored.contains(&condition.kind));
    let console_url = config.alerts.console_url.clone();
    let round = AlertRound {
        conditions,
        times: config.alerts.notice_times,
        channels: deliveries_for(destinations, Source::Local, ALERT_TOPIC, ""),
        ignored: config.alerts.ignored.clone(),
        compose: Box::new(move |notices| AlertMessage::compose(notices, console_url.as_deref()).to_bytes()),
    };
    Ok(store.run_alert_round(round).await?)
}

fn log_round(result: &AlertRoundResult) {
    for condition in &result.opened {
        warn!(alert = condition.kind.as_str(), "alert: {}; fix: {}", condition.message, condition.fix);
    }
    for (kind, subject) in &result.recovered {
        info!(alert = kind, "the alert {kind} {subject:?} is over");
    }
}
