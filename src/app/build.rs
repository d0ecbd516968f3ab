//! Builds the parts of the daemon from the configuration. No part runs yet.

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::Config;
use crate::console::ConsoleState;
use crate::delivery::destinations::{Destination, Destinations};
use crate::delivery::dispatcher::{Dispatcher, DispatcherOptions};
use crate::edi_poll::poller::Poller;
use crate::handlers::Routes;
use crate::port_holder;
use crate::processor::EventProcessor;
use crate::providers::WebhookVerifiers;
use crate::providers::easypost::EasyPostVerifier;
use crate::providers::edi::PollAuth;
use crate::providers::keycloak::KeycloakVerifier;
use crate::providers::shopify::ShopifyVerifier;
use crate::queue::{Worker, WorkerOptions, process};
use crate::server::{Authenticators, ServerState, listener};
use crate::store::db::{backup, open};
use crate::store::leases::LeaseOwner;
use crate::store::{Store, StoreError, StoreOptions};
use crate::tls::certificates::CertificateResolver;
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::{error, warn};

/// Opens the database; creates or migrates it if necessary.
pub async fn open_or_create_store(config: &Config) -> anyhow::Result<Store> {
    let is_new = std::fs::metadata(&config.store.path).map_or(0, |data| data.len()) == 0;
    let timeout_extension = tokio::spawn(extend_start_timeout());
    let store = Store::open(&build_store_options(config), &Clock::system());
    timeout_extension.abort();
    let store = store?;
    warn_about_rescued_files(&store);
    if is_new {
        warn_if_database_lost(&store).await?;
    }
    Ok(store)
}

/// Reports files with events that a daemon rescued. They stay until an operator moves them elsewhere.
fn warn_about_rescued_files(store: &Store) {
    for file in backup::list_rescued_files(store.path()) {
        let file = file.display();
        warn!(
            "{file} has the events of a database that was deleted or replaced. If they are missing, stop the service \
             and run `novex-ingest restore {file}`; then move the file elsewhere"
        );
    }
}

/// Warns if the database is new but copies of a database exist: then the old one was most likely lost.
///
/// It also reserves the event ids that the lost database may have given out, so that no id is used twice.
async fn warn_if_database_lost(store: &Store) -> anyhow::Result<()> {
    let copies = [backup::list_rescued_files(store.path()), backup::list_backups(store.path())].concat();
    if let Some(last_id) = copies.iter().filter_map(|file| backup::read_last_event_id(file)).max() {
        error!(
            "the database {} did not exist, but backups of it do; the daemon created a new, empty database. If its \
             disk is not mounted or the file was lost, stop the service, and mount the disk or run novex-ingest \
             restore FILE",
            store.path().display()
        );
        store.reserve_event_ids(last_id + backup::EVENT_ID_GAP).await?;
    }
    Ok(())
}

/// Extends the start timeout of the service manager until it is aborted.
///
/// The backup before an upgrade of a large database takes minutes, which is longer than the start timeout.
async fn extend_start_timeout() {
    const EXTENSION_INTERVAL: Duration = Duration::from_secs(20);
    const EXTENSION_MICROSECONDS: u32 = 90_000_000;
    loop {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::ExtendTimeoutUsec(EXTENSION_MICROSECONDS)]);
        tokio::time::sleep(EXTENSION_INTERVAL).await;
    }
}

/// Returns the sockets inherited from the service manager, or binds `server.listen` if there are none.
pub fn bind_listeners(config: &Config, inherited: Vec<std::net::TcpListener>) -> anyhow::Result<Vec<TcpListener>> {
    if inherited.is_empty() {
        let listener = listener::bind_listener(config.server.listen).with_context(|| {
            let listen = config.server.listen;
            let holder = port_holder::find_port_holder(listen, &config.store.path).map_or_else(String::new, |holder| {
                format!("; {} uses the port: stop it, or set another port", holder.describe_program())
            });
            format!("the daemon cannot listen on {listen}, so it receives no events{holder}")
        })?;
        return Ok(vec![listener]);
    }
    let addresses = inherited.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let configured = config.server.listen;
    let is_configured = |address: &SocketAddr| {
        address.port() == configured.port() && (configured.ip().is_unspecified() || address.ip() == configured.ip())
    };
    if !addresses.iter().any(is_configured) {
        warn!(
            "server.listen is {configured}, but systemd's socket unit listens on {addresses:?}; senders must use the \
             address of the socket unit. Change it with `systemctl edit novex-ingest.socket`",
        );
    }
    Ok(inherited.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?)
}

/// Builds the console with its certificate; None if it is switched off. Damage to its certificate stops no events.
pub fn build_console(
    config: &Config,
    store: &Store,
    server: &Arc<ServerState>,
) -> anyhow::Result<Option<(Arc<ConsoleState>, CertificateResolver)>> {
    if !config.console.is_enabled {
        return Ok(None);
    }
    match CertificateResolver::load(&config.console.tls) {
        Ok(certificate) => {
            let state = ConsoleState::new(config.clone(), store.clone(), server.clone())?;
            Ok(Some((Arc::new(state), certificate)))
        }
        Err(error) => {
            error!("the console has no certificate, so nobody can open it; events are received as usual: {error:#}");
            Ok(None)
        }
    }
}

/// Builds the checks of webhook and poll requests, with the secrets of the configuration.
pub fn build_authenticators(config: &Config) -> Authenticators {
    // Without a secret, the listener refuses all poll requests.
    let sps = config.sps.as_ref().filter(|sps| !sps.secrets.is_empty());
    Authenticators {
        providers: build_webhook_verifiers(config),
        poll_auth: sps.map(|sps| PollAuth::new(sps.secrets.clone())),
    }
}

fn build_webhook_verifiers(config: &Config) -> WebhookVerifiers {
    WebhookVerifiers {
        shopify: (!config.shopify.is_empty()).then(|| {
            ShopifyVerifier::new(config.shopify.iter().map(|shop| (shop.domain.clone(), shop.secrets.clone())))
        }),
        easypost: config.easypost.as_ref().map(|easypost| EasyPostVerifier::new(&easypost.secrets, easypost.tolerance)),
        keycloak: config
            .keycloak
            .as_ref()
            .map(|keycloak| KeycloakVerifier::new(keycloak.secrets.clone(), keycloak.accept.clone())),
    }
}

/// Builds the configured destinations.
pub fn build_destinations(config: &Config) -> anyhow::Result<Destinations> {
    let destinations: Result<Vec<Destination>, _> = config
        .destinations
        .iter()
        .map(|settings| {
            Destination::new(settings.clone())
                .with_context(|| format!("destination `{}` cannot be used", settings.name))
        })
        .collect();
    Ok(Arc::new(destinations?))
}

/// Builds the dispatcher.
pub fn build_dispatcher(config: &Config, store: Store, owner: LeaseOwner, destinations: Destinations) -> Dispatcher {
    let backoff = Backoff::new(config.worker.backoff_base, config.worker.backoff_max);
    let options = DispatcherOptions {
        poll_interval: config.worker.poll,
        shutdown_grace: config.worker.grace,
        max_delivery_bytes: config.worker.max_delivery_bytes,
    };
    Dispatcher::new(store, destinations, owner, backoff, options)
}

/// Builds the poller of EDI sources.
pub fn build_poller(config: &Config, store: Store) -> Poller {
    let backoff = Backoff::new(config.worker.backoff_base, config.worker.backoff_max);
    Poller::new(store, process::identify_current_process(), backoff, config.worker.max_attempts)
}

/// Opens the database that `serve` created. A command never creates one: the file would belong to the wrong user.
pub fn open_existing_store(config: &Config) -> Result<Store, StoreError> {
    open::check_database_exists(&config.store.path)?;
    Store::open(&build_store_options(config), &Clock::system())
}

/// Returns the options of the store.
pub fn build_store_options(config: &Config) -> StoreOptions {
    let to_usize = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    StoreOptions {
        path: config.store.path.clone(),
        busy_timeout: config.store.busy_timeout,
        queue_max: to_usize(config.store.queue),
        batch_max: to_usize(config.store.batch),
        wal_bytes: config.store.wal_bytes,
        checkpoints_enabled: config.store.checkpoints,
        free_bytes_min: config.store.min_free_bytes,
        readers: u32::try_from(config.store.readers).unwrap_or(u32::MAX),
        login_error_threshold: config.keycloak.as_ref().map(|keycloak| keycloak.login_errors).unwrap_or_default(),
    }
}

/// Builds the worker.
pub fn build_worker(config: &Config, store: Store, owner: LeaseOwner, destinations: &Destinations) -> Worker {
    let options = WorkerOptions {
        batch_size: config.worker.batch,
        concurrency: usize::try_from(config.worker.concurrency).unwrap_or(usize::MAX),
        max_handler_bytes: config.worker.max_handler_bytes,
        lease_duration: config.worker.lease,
        poll_interval: config.worker.poll,
        shutdown_grace: config.worker.grace,
    };
    let backoff = Backoff::new(config.worker.backoff_base, config.worker.backoff_max);
    let processor = EventProcessor::new(store.clone(), Routes::standard(), destinations.clone())
        .with_redaction_delay(config.privacy.redaction_delay);
    Worker::new(store, Arc::new(processor), owner, backoff, options)
}
