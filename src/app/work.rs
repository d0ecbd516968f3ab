//! The command `work`: one more worker process on the same database.

use crate::app::build::{build_destinations, build_dispatcher, build_worker, open_existing_store};
use crate::app::scrub::{scrub_once, scrub_repeatedly};
use crate::config::Config;
use crate::delivery::dispatcher::Dispatcher;
use crate::queue::{Worker, process};
use crate::store::StoreError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

/// Processes events and sends deliveries until SIGTERM or SIGINT; with `once`, until none is due.
pub async fn run_worker_process(config: Config, once: bool) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    let store = open_existing_store(&config)?;
    let destinations = build_destinations(&config)?;
    let worker = build_worker(&config, store.clone(), process::identify_current_process(), &destinations);
    let dispatcher = build_dispatcher(&config, store.clone(), process::identify_current_process(), destinations);
    let result = if once {
        let result = drain_due_work(worker, &dispatcher, stopped).await;
        scrub_once(&store).await;
        result
    } else {
        let scrub_task = tokio::spawn(scrub_repeatedly(store.clone()));
        info!(database = %config.store.path.display(), "the worker process is ready");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tokio::join!(worker.run(stopped.clone()), dispatcher.run(stopped));
        scrub_task.abort();
        Ok(())
    };
    store.writer.close().await;
    Ok(result?)
}

/// Processes all due events, then sends all due deliveries.
async fn drain_due_work(
    worker: Worker,
    dispatcher: &Dispatcher,
    stopped: watch::Receiver<bool>,
) -> Result<(), StoreError> {
    let attempts = worker.drain(stopped.clone()).await?;
    let deliveries = if *stopped.borrow() { 0 } else { dispatcher.drain(&stopped).await? };
    info!(attempts, deliveries, "the worker process finished all due events and deliveries");
    Ok(())
}
