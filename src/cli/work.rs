//! `work`: one more worker process on the same database, or what is due and no more.

use super::{Failure, Place, clock};
use crate::config::{Config, Secrets};
use crate::destinations::{Destination, Destinations};
use crate::handlers::Routes;
use crate::logging;
use crate::queue::{Backoff, Courier, Worker, WorkerOptions, process};
use crate::sps::poll::Poller;
use crate::store::claims::Holder;
use crate::store::{Store, StoreError, StoreOptions};
use anyhow::Context;
use clap::Args;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::info;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Work what is due now, then exit: for cron
    #[arg(long)]
    once: bool,
}

pub fn run(place: &Place, arguments: &Arguments) -> Result<(), Failure> {
    let config = place.load(Secrets::Destinations)?;
    logging::start(&config.log);
    Ok(on_runtime(work(config, arguments.once))?)
}

async fn work(config: Config, once: bool) -> anyhow::Result<()> {
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
    let store = open_existing(&config)?;
    let destinations = destinations(&config)?;
    let worker = worker(&config, store.clone(), process::current(), Routes::standard(), &destinations);
    let courier = courier(&config, store.clone(), process::current(), destinations);
    let result = if once {
        drain(worker, &courier, stopped).await
    } else {
        info!(database = %config.store.path.display(), "working");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tokio::join!(worker.run(stopped.clone()), courier.run(stopped));
        Ok(())
    };
    store.writer.close().await;
    Ok(result?)
}

async fn drain(worker: Worker, courier: &Courier, stopped: watch::Receiver<bool>) -> Result<(), StoreError> {
    let attempts = worker.drain(stopped.clone()).await?;
    let deliveries = if *stopped.borrow() { 0 } else { courier.drain(&stopped).await? };
    info!(attempts, deliveries, "worked what was due");
    Ok(())
}

/// Runs a short task of a command to its end.
pub fn block_on<T>(task: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("the runtime cannot be started")?.block_on(task))
}

/// The destinations as the configuration has them, ready.
pub fn destinations(config: &Config) -> anyhow::Result<Destinations> {
    let all: Result<Vec<Destination>, _> = config
        .destinations
        .iter()
        .map(|settings| {
            Destination::new(settings.clone())
                .with_context(|| format!("the destination {:?} cannot be used", settings.name))
        })
        .collect();
    Ok(Arc::new(all?))
}

/// A courier as the configuration has it.
pub fn courier(config: &Config, store: Store, holder: Holder, destinations: Destinations) -> Courier {
    let backoff = Backoff::new(config.worker.backoff_base, config.worker.backoff_max);
    Courier::new(store, destinations, holder, backoff, config.worker.poll, config.worker.grace)
}

/// A poller as the configuration has it.
pub fn poller(config: &Config, store: Store) -> Poller {
    Poller {
        store,
        holder: process::current(),
        backoff: Backoff::new(config.worker.backoff_base, config.worker.backoff_max),
        max_attempts: config.worker.max_attempts,
    }
}

/// Runs a task with threads beside it to its end.
pub fn on_runtime<T>(task: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("the runtime cannot be started")?;
    let result = runtime.block_on(task);
    // A handler that hangs must not keep the process: its event was given back.
    runtime.shutdown_background();
    result
}

/// The database that `serve` made: a command that makes one by the way would leave a file of the wrong user.
pub fn open_existing(config: &Config) -> Result<Store, StoreError> {
    if config.store.path.exists() {
        Store::open(&store_options(config), clock())
    } else {
        Err(StoreError::Missing { path: config.store.path.clone() })
    }
}

/// The store as the configuration has it.
pub fn store_options(config: &Config) -> StoreOptions {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    StoreOptions {
        path: config.store.path.clone(),
        busy_timeout: config.store.busy_timeout,
        queue_max: size(config.store.queue),
        batch_max: size(config.store.batch),
        wal_bytes: config.store.wal_bytes,
        checkpoints: config.store.checkpoints,
        free_bytes_min: config.store.min_free_bytes,
        readers: u32::try_from(config.store.readers).unwrap_or(u32::MAX),
        login_errors: config.keycloak.as_ref().map(|keycloak| keycloak.login_errors).unwrap_or_default(),
    }
}

/// A worker as the configuration has it.
pub fn worker(config: &Config, store: Store, holder: Holder, routes: Routes, destinations: &Destinations) -> Worker {
    let options = WorkerOptions {
        batch: config.worker.batch,
        concurrency: usize::try_from(config.worker.concurrency).unwrap_or(usize::MAX),
        lease: config.worker.lease,
        poll: config.worker.poll,
        grace: config.worker.grace,
    };
    let backoff = Backoff::new(config.worker.backoff_base, config.worker.backoff_max);
    Worker::new(store, routes, holder, backoff, options).with_destinations(destinations.clone())
}
