//! `serve`: everything together, until SIGTERM.

use super::reload::{self, Running};
use super::{Failure, Place, clock, work};
use crate::acme;
use crate::config::sections::Tls;
use crate::config::{Config, Secrets, dev};
use crate::handlers::Routes;
use crate::logging;
use crate::providers::sps::Asking;
use crate::providers::{Providers, easypost::EasyPost, keycloak::Keycloak, shopify::Shopify};
use crate::queue::{janitor, process};
use crate::server::challenge::Challenges;
use crate::server::{Doors, Shared, expiry, listener, tls};
use crate::sps::schedule;
use crate::store::{Store, backup, destination_states};
use anyhow::Context;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

pub const HELP: &str = "\
Addresses to enter at the providers (HTTPS, by default port 8443):
  Shopify   https://HOST:8443/api/webhooks/shopify/TOPIC     TOPIC such as orders/create
  EasyPost  https://HOST:8443/api/webhooks/easypost
  Keycloak  https://HOST:8443/api/keycloak/events            with Authorization: Bearer SECRET
  GET https://HOST:8443/healthz answers 200 while events can be stored.

When it is ready it prints one line on standard output: novex-ingest ready https://ADDRESS:PORT
SIGTERM ends it: handlers finish, claims are given back; deliveries are taken in until then, and requests in flight are answered.
SIGHUP (systemctl reload novex-ingest) reads the configuration again: shops, secrets, the certificate, [tls.acme] and retention hold at
once, everything else waits for a restart, and the log says what.";

/// Longest that a server may ask for with `Retry-After`, and as much again.
const PUT_OFF_MAX: Duration = Duration::from_hours(48);

pub fn run(place: &Place) -> Result<(), Failure> {
    let config = place.load(Secrets::Load)?;
    logging::start(&config.log);
    for warning in &config.warnings {
        warn!("{warning}");
    }
    raise_file_limit();
    let inherited = listener::inherited().context("a socket that the service manager passed cannot be used")?;
    Ok(work::on_runtime(serve(config, place.dev, inherited))?)
}

async fn serve(mut config: Config, is_dev: bool, inherited: Vec<std::net::TcpListener>) -> anyhow::Result<()> {
    // Signals first: one that comes while the database opens must not end the process half-way.
    let (stop, stopping) = watch::channel(false);
    // Told before `stop`: while handlers finish, deliveries are still taken in.
    let (halt, halting) = watch::channel(false);
    let (reload, reloads) = watch::channel(0_u64);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;

    if let Some(directory) = config.store.path.parent().filter(|_| is_dev) {
        std::fs::create_dir_all(directory)?;
    }
    // What can be refused first, so that a failed start leaves no database behind that belongs to the wrong user.
    let certificate = tls::Holder::load(&config.tls)?;
    let destinations = work::destinations(&config)?;
    let listeners = listen(&config, inherited)?;
    let address = listeners[0].local_addr()?;
    let store = open(&config).await?;
    warn_of_unconfigured(&config, &store)?;
    let (polls, polling) = polling(&config, &store, &halting);
    let (retention, kept) = watch::channel(config.retention.clone());
    let shared =
        Arc::new(Shared::new(config.server.clone(), doors(&config), store.clone(), config.worker.max_attempts, polls));

    let challenges = Challenges::default();
    let (authority, acme) = match &config.tls {
        Tls::Acme(settings) => {
            let (sender, current) = watch::channel(settings.clone());
            let run = acme::run(current, certificate.clone(), challenges.clone(), clock());
            (Some(sender), Some(tokio::spawn(run)))
        }
        Tls::Files { .. } | Tls::SelfSigned { .. } => (None, None),
    };
    let watcher = tokio::spawn(certificate.clone().watch(reloads));
    let expiry = tokio::spawn(expiry::watch(tls::files(&config.tls), acme.is_some(), clock()));
    let mut receiving =
        tokio::spawn(listener::run(listeners, certificate, challenges, shared.clone(), stopping.clone()));
    let tidy_until = halting.clone();
    let mut working = config.worker.in_serve.then(|| {
        let worker = work::worker(&config, store.clone(), process::current(), Routes::standard(), &destinations);
        let courier = work::courier(&config, store.clone(), process::current(), destinations);
        tokio::spawn(async move {
            tokio::join!(worker.run(halting.clone()), courier.run(halting));
        })
    });

    info!(%address, database = %config.store.path.display(), "ready");
    // Whoever started it may not read on; that is no reason to stop.
    let _ = super::output::line(&format!("novex-ingest ready https://{address}"));
    if is_dev {
        info!(
            "try it: novex-ingest send shopify orders/create, then: sqlite3 {} 'SELECT * FROM deliveries'",
            config.store.path.display()
        );
        info!("the development shop is {}, its secret in ./{}/secrets/shopify", dev::SHOP, dev::DIRECTORY);
    }
    // Without a service manager there is nobody to tell, and nothing wrong.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let watchdog = tokio::spawn(feed_watchdog(shared.clone()));
    let latest = (config.worker.backoff_max * 2).max(PUT_OFF_MAX);
    let tidying = tokio::spawn(janitor::run(store.clone(), kept, latest, tidy_until));

    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                let running = Running { shared: &shared, certificate: &reload, authority: authority.as_ref(), retention: &retention };
                if let Some(new) = reload::reload(&config, &running) {
                    // What waits for a restart is compared with what runs.
                    let tls = if authority.is_some() && matches!(new.tls, Tls::Acme(_)) { new.tls } else { config.tls };
                    config = Config { tls, retention: new.retention, shopify: new.shopify, easypost: new.easypost, keycloak: new.keycloak, ..config };
                }
            }
            // None of these ends before it is told to. If one does, a new process is the best that can be had: nothing
            // acknowledged is lost by it, and the service manager starts it at once.
            () = store.writer.ended() => {
                // Whoever waits is told 503 first.
                stop.send_replace(true);
                let _ = receiving.await;
                anyhow::bail!("nothing can be stored any more, the log says why; this process ends, so that a new one begins")
            }
            _ = &mut receiving => anyhow::bail!("the listener has ended: a fault in novex-ingest itself"),
            () = ended(&mut working) => anyhow::bail!("the worker has ended: a fault in novex-ingest itself"),
        }
    }
    info!("stopping: handlers finish, and deliveries are taken in until then; then requests in flight are answered");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    halt.send_replace(true);
    if let Some(working) = working {
        working.await.context("the worker panicked")?;
    }
    if let Some(polling) = polling {
        polling.await.context("the poller panicked")?;
    }
    stop.send_replace(true);
    receiving.await.context("the listener panicked")?;
    tidying.await.context("the janitor panicked")?;
    watcher.abort();
    if let Some(acme) = acme {
        acme.abort();
    }
    expiry.abort();
    watchdog.abort();
    store.writer.close().await;
    info!("stopped");
    Ok(())
}

/// The database, new or brought up to date.
async fn open(config: &Config) -> anyhow::Result<Store> {
    let is_new = std::fs::metadata(&config.store.path).map_or(0, |data| data.len()) == 0;
    let patience = tokio::spawn(ask_for_patience());
    let store = Store::open(&work::store_options(config), clock());
    patience.abort();
    let store = store?;
    if is_new {
        begun_anew(&store).await?;
    }
    Ok(store)
}

/// A database that is not there, while backups of one are, was most likely lost: people are told, and no event has a number that was given
/// out before.
async fn begun_anew(store: &Store) -> anyhow::Result<()> {
    if let Some(last) = backup::beside(store.path()).iter().filter_map(|copy| backup::last_event(copy)).max() {
        error!(
            "there was no database at {}, but backups of one are beside it: a new one is begun. If a disk is not mounted or the file was \
             lost, stop the service and mount it, or novex-ingest restore FILE",
            store.path().display()
        );
        store.begin_above(last + backup::GAP).await?;
    }
    Ok(())
}

/// A database that an upgrade brings up to date is copied first, which takes minutes; the service manager gives a start less.
async fn ask_for_patience() {
    const EVERY: Duration = Duration::from_secs(20);
    const MORE_MICROSECONDS: u32 = 90_000_000;
    loop {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::ExtendTimeoutUsec(MORE_MICROSECONDS)]);
        tokio::time::sleep(EVERY).await;
    }
}

/// The sockets that the service manager holds, else one of our own.
fn listen(config: &Config, inherited: Vec<std::net::TcpListener>) -> anyhow::Result<Vec<TcpListener>> {
    if inherited.is_empty() {
        let listener = listener::bind(config.server.listen).with_context(|| {
            format!(
                "{} cannot be listened on; is another novex-ingest running, or another program on this port? \
                 `ss -ltnp` shows it",
                config.server.listen
            )
        })?;
        return Ok(vec![listener]);
    }
    let addresses = inherited.iter().map(std::net::TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
    let wanted = config.server.listen;
    let is_there = |address: &SocketAddr| {
        address.port() == wanted.port() && (wanted.ip().is_unspecified() || address.ip() == wanted.ip())
    };
    if !addresses.iter().any(is_there) {
        warn!(
            "server.listen is {}, but systemd's socket unit listens on {addresses:?}, and that is what counts: \
             `systemctl edit novex-ingest.socket` changes it",
            config.server.listen
        );
    }
    Ok(inherited.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?)
}

/// Tells the service manager that this process is alive for as long as something can really be written. Where nothing can, a
/// new process is the best that can be had.
async fn feed_watchdog(shared: Arc<Shared>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(limit / 4).await;
        if shared.health.is_alive().await {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        } else {
            warn!(
                "nothing could be written just now; if that goes on, systemd ends this process after {limit:?} and begins a new one"
            );
        }
    }
}

/// Begins to poll the EDI sources, if there are any.
fn polling(
    config: &Config,
    store: &Store,
    stopping: &watch::Receiver<bool>,
) -> (Option<mpsc::Sender<schedule::Request>>, Option<JoinHandle<()>>) {
    let Some(sps) = config.sps.as_ref().filter(|sps| !sps.sources.is_empty()) else { return (None, None) };
    let (requests, asked) = mpsc::channel(schedule::REQUESTS_MAX);
    let poller = work::poller(config, store.clone());
    let run = schedule::run(poller, Arc::new(sps.sources.clone()), sps.interval, asked, stopping.clone());
    (Some(requests), Some(tokio::spawn(run)))
}

/// What waits for a destination that the configuration has no more waits for ever unless somebody is told.
fn warn_of_unconfigured(config: &Config, store: &Store) -> anyhow::Result<()> {
    let names: Vec<String> = config.destinations.iter().map(|settings| settings.name.clone()).collect();
    for name in store.reader.read(|connection| destination_states::unconfigured(connection, &names))? {
        warn!(
            destination = name,
            "events wait for this destination, which is not configured (any more): configure it again, or give them up with \
             `novex-ingest destinations drop {name}`"
        );
    }
    Ok(())
}

/// When the task has ended; never, if there is none.
async fn ended(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

/// Who may deliver and ask for a poll, and by which secrets.
pub(super) fn doors(config: &Config) -> Doors {
    // Without a secret nobody may ask from outside.
    let asking = config.sps.as_ref().filter(|sps| !sps.secrets.is_empty());
    Doors { providers: providers(config), asking: asking.map(|sps| Asking::new(sps.secrets.clone())) }
}

fn providers(config: &Config) -> Providers {
    Providers {
        shopify: (!config.shopify.is_empty())
            .then(|| Shopify::new(config.shopify.iter().map(|shop| (shop.domain.clone(), shop.secrets.clone())))),
        easypost: config.easypost.as_ref().map(|easypost| EasyPost::new(&easypost.secrets, easypost.tolerance)),
        keycloak: config
            .keycloak
            .as_ref()
            .map(|keycloak| Keycloak::new(keycloak.secrets.clone(), keycloak.accept.clone())),
    }
}

/// Every connection is a file; the usual soft limit of 1,024 is below `server.max_connections` and the database's own.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        // As the service's unit sets it, which also forbids the call.
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!("the limit on open files stays as it is: {error}");
    }
}
