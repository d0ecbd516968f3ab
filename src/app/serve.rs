//! The command `serve`: builds the daemon, spawns its parts, and drains them on SIGTERM.

use crate::alerts::run_alert_rounds;
use crate::app::build::{
    bind_listeners, build_authenticators, build_console, build_destinations, build_dispatcher, build_poller,
    build_worker, open_or_create_store,
};
use crate::app::reload;
use crate::app::reload::ReloadTargets;
use crate::app::scrub::scrub_repeatedly;
use crate::clock::Clock;
use crate::config::Config;
use crate::console::ConsoleState;
use crate::console::listener::spawn_console;
use crate::delivery::destinations::{Destination, Destinations};
use crate::edi_poll::schedule;
use crate::files::create_directory;
use crate::queue::{process, retention};
use crate::server::{ServerState, listener};
use crate::store::Store;
use crate::store::events::destinations;
use crate::tls::acme::AcmeSettings;
use crate::tls::certificates::CertificateResolver;
use crate::tls::challenge::ChallengeResolver;
use crate::tls::{TlsSettings, acme, certificates, expiry};
use anyhow::Context;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{error, info, warn};

/// Twice the longest wait that the daemon accepts from a `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(48);

/// Serves until SIGTERM or SIGINT, then drains. Calls `announce` with the public address when the daemon is ready.
///
/// # Errors
/// If a part cannot be built, or if a part ends without a signal.
pub async fn serve_until_stopped(
    config: Config,
    is_dev: bool,
    inherited: Vec<std::net::TcpListener>,
    announce: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    // Before the database: a signal during its migration must not end the process half-way.
    let mut signals = Signals::install()?;
    let daemon = Daemon::build(config, is_dev, inherited).await?;
    let address = daemon.listeners[0].local_addr()?;
    let mut running = daemon.spawn();
    info!(%address, database = %running.config.store.path.display(), "the daemon is ready");
    announce(address);
    // Without a service manager this fails, which is no error.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    running.supervise(&mut signals).await?;
    running.drain().await
}

/// The signals that the daemon handles.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// All parts of the daemon, built and not yet running.
struct Daemon {
    config: Config,
    store: Store,
    certificate: CertificateResolver,
    destinations: Destinations,
    listeners: Vec<TcpListener>,
    server: Arc<ServerState>,
    poll_requests: Option<mpsc::Receiver<schedule::PollRequest>>,
    /// The console with its certificate, unless it is switched off.
    console: Option<(Arc<ConsoleState>, CertificateResolver)>,
}

impl Daemon {
    async fn build(config: Config, is_dev: bool, inherited: Vec<std::net::TcpListener>) -> anyhow::Result<Self> {
        if let Some(directory) = config.store.path.parent().filter(|_| is_dev) {
            create_directory(directory, 0o750)?;
        }
        // Before the database: a failed start must not create a database that belongs to the wrong user.
        let certificate = CertificateResolver::load(&config.tls)?;
        let destinations = build_destinations(&config)?;
        let listeners = bind_listeners(&config, inherited)?;
        let store = open_or_create_store(&config).await?;
        warn_unconfigured_destinations(&config, &store)?;
        let (poll_sender, poll_requests) = config
            .sps
            .as_ref()
            .filter(|sps| !sps.sources.is_empty())
            .map(|_| mpsc::channel(schedule::POLL_REQUESTS_MAX))
            .unzip();
        let authenticators = build_authenticators(&config);
        let max_attempts = config.worker.max_attempts;
        let server = ServerState::new(config.server.clone(), authenticators, store.clone(), max_attempts, poll_sender);
        let console = build_console(&config, &store)?;
        Ok(Self {
            config,
            store,
            certificate,
            destinations,
            listeners,
            server: Arc::new(server),
            poll_requests,
            console,
        })
    }

    fn spawn(self) -> RunningDaemon {
        let Self { config, store, certificate, destinations, listeners, server, poll_requests, console } = self;
        let (stop_server, server_stopped) = watch::channel(false);
        let (stop_work, work_stopped) = watch::channel(false);
        let (certificate_reloads, reload_requests) = watch::channel(0_u64);
        let (retention_settings, current_retention) = watch::channel(config.retention.clone());
        let challenges = ChallengeResolver::default();
        let mut background = JoinSet::new();
        let acme_settings = if let TlsSettings::Acme(settings) = &config.tls {
            let (sender, current) = watch::channel(settings.clone());
            background.spawn(acme::run_renewer(current, certificate.clone(), challenges.clone(), Clock::system()));
            Some(sender)
        } else {
            None
        };
        if let Some((_, certificate)) = &console {
            background.spawn(certificate.clone().watch_files(reload_requests.clone()));
        }
        background.spawn(certificate.clone().watch_files(reload_requests));
        let files = certificates::locate_certificate_files(&config.tls);
        background.spawn(expiry::watch_expiry(files, acme_settings.is_some(), Clock::system()));
        background.spawn(feed_watchdog(server.clone()));
        background.spawn(watch_database_files(store.clone()));
        let server_task =
            tokio::spawn(listener::run_server(listeners, certificate, challenges, server.clone(), server_stopped));
        let console_thread = console.and_then(|(state, certificate)| {
            spawn_console(state, certificate, work_stopped.clone())
                .inspect_err(|error| error!("nobody can open the console; events are received as usual: {error:#}"))
                .ok()
        });
        background.spawn(run_alert_rounds(config.clone(), store.clone(), destinations.clone()));
        if config.worker.in_serve {
            background.spawn(scrub_repeatedly(store.clone()));
        }
        let worker_task = spawn_worker(&config, &store, destinations, &work_stopped);
        let poller_task = config.sps.as_ref().zip(poll_requests).map(|(sps, requests)| {
            let (poller, sources) = (build_poller(&config, store.clone()), Arc::new(sps.sources.clone()));
            tokio::spawn(schedule::run_poll_schedule(poller, sources, sps.interval, requests, work_stopped.clone()))
        });
        let longest_wait = (config.worker.backoff_max * 2).max(RETRY_AFTER_MAX);
        let retention_task =
            tokio::spawn(retention::run_retention(store.clone(), current_retention, longest_wait, work_stopped));
        RunningDaemon {
            config,
            store,
            server,
            stop_server,
            stop_work,
            certificate_reloads,
            acme_settings,
            retention_settings,
            server_task,
            worker_task,
            poller_task,
            retention_task,
            console_thread,
            background,
        }
    }
}

/// The running parts, and the channels that stop and change them.
struct RunningDaemon {
    config: Config,
    store: Store,
    server: Arc<ServerState>,
    /// Stops the listener.
    stop_server: watch::Sender<bool>,
    /// Stops all other parts first, so that the listener still receives webhooks while handlers finish.
    stop_work: watch::Sender<bool>,
    certificate_reloads: watch::Sender<u64>,
    acme_settings: Option<watch::Sender<AcmeSettings>>,
    retention_settings: watch::Sender<retention::RetentionSettings>,
    server_task: JoinHandle<()>,
    /// The worker and the dispatcher; None if `worker.in_serve` is false and alerts have no channel.
    worker_task: Option<JoinHandle<()>>,
    poller_task: Option<JoinHandle<()>>,
    retention_task: JoinHandle<()>,
    console_thread: Option<std::thread::JoinHandle<()>>,
    /// Tasks without claims or requests. The daemon aborts them at the end.
    background: JoinSet<()>,
}

impl RunningDaemon {
    /// Returns on a signal to stop, and reloads on SIGHUP.
    ///
    /// # Errors
    /// If a part ends without a signal. A new process is then the best recovery: no acknowledged event is lost, and the
    /// service manager starts it at once.
    async fn supervise(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => self.reload_config(),
                () = self.store.writer.ended() => {
                    // Waiting senders get a 503 first.
                    self.stop_server.send_replace(true);
                    let _ = (&mut self.server_task).await;
                    wait_with_watchdog(self.store.writer.close()).await;
                    anyhow::bail!(
                        "the store cannot write any more, and the lines before this one state the cause; the daemon \
                         exits, so that the service manager starts a new process"
                    )
                }
                _ = &mut self.server_task => {
                    anyhow::bail!("the listener ended, which is a bug in novex-ingest; report it")
                }
                () = wait_for_task(&mut self.worker_task) => {
                    anyhow::bail!("the worker ended, which is a bug in novex-ingest; report it")
                }
            }
        }
    }

    fn reload_config(&mut self) {
        let targets = ReloadTargets {
            server: &self.server,
            certificate_reloads: &self.certificate_reloads,
            acme_settings: self.acme_settings.as_ref(),
            retention: &self.retention_settings,
        };
        let Some(new) = reload::reload_config(&self.config, &targets) else { return };
        // The next reload compares sections that need a restart with the running ones, so those stay as they are.
        if self.acme_settings.is_some() && matches!(new.tls, TlsSettings::Acme(_)) {
            self.config.tls = new.tls;
        }
        self.config.retention = new.retention;
        self.config.shopify = new.shopify;
        self.config.easypost = new.easypost;
        self.config.keycloak = new.keycloak;
    }

    /// Stops the parts in order: handlers finish while the listener receives webhooks, then requests in flight, then
    /// the store.
    async fn drain(mut self) -> anyhow::Result<()> {
        info!(
            "the daemon is stopping; it still receives events until the handlers finish, and then answers requests in \
             flight"
        );
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.stop_work.send_replace(true);
        if let Some(task) = self.worker_task {
            task.await.context("the worker panicked")?;
        }
        if let Some(task) = self.poller_task {
            task.await.context("the poller panicked")?;
        }
        if let Some(thread) = self.console_thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.stop_server.send_replace(true);
        self.server_task.await.context("the listener panicked")?;
        self.retention_task.await.context("the retention task panicked")?;
        self.background.shutdown().await;
        self.store.writer.close().await;
        info!("the daemon stopped");
        Ok(())
    }
}

/// Notifies the watchdog of the service manager while the store can really write.
///
/// If the store cannot write, a new process is the best recovery, and the watchdog starts one.
async fn feed_watchdog(server: Arc<ServerState>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        tokio::time::sleep(limit / 4).await;
        if server.health.is_alive().await {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        } else {
            warn!(
                "the store could not write; if this lasts for {limit:?}, systemd restarts the daemon. Earlier lines \
                 state the cause"
            );
        }
    }
}

/// Waits for the writer, which may copy all events of a lost file. The watchdog must not end that.
async fn wait_with_watchdog(writer_closed: impl Future<Output = ()>) {
    const NOTIFY_INTERVAL: Duration = Duration::from_secs(1);
    tokio::pin!(writer_closed);
    while tokio::time::timeout(NOTIFY_INTERVAL, &mut writer_closed).await.is_err() {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

/// Makes the writer look at its files while no commit does: a deleted database must be found before the process ends.
async fn watch_database_files(store: Store) {
    const CHECK_INTERVAL: Duration = Duration::from_secs(1);
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        store.writer.check_files();
    }
}

/// Warns about destinations that are not configured but have pending deliveries: these would wait for ever.
fn warn_unconfigured_destinations(config: &Config, store: &Store) -> anyhow::Result<()> {
    let names: Vec<String> = config.destinations.iter().map(|settings| settings.name.clone()).collect();
    for name in store.reader.read(|connection| destinations::find_unconfigured_destinations(connection, &names))? {
        warn!(
            destination = name,
            "destination `{name}` has pending deliveries but is not configured, so they stay queued. Configure it \
             again, or drop them: `novex-ingest destinations drop {name}`"
        );
    }
    Ok(())
}

/// Spawns the worker and the dispatcher. Without a worker in this process, the dispatcher serves only the channels of
/// alerts, so that a message also goes out while no worker process runs. Returns None if there is nothing to run.
fn spawn_worker(
    config: &Config,
    store: &Store,
    destinations: Destinations,
    stopped: &watch::Receiver<bool>,
) -> Option<JoinHandle<()>> {
    let owner = process::identify_current_process;
    let stopped = stopped.clone();
    if config.worker.in_serve {
        let worker = build_worker(config, store.clone(), owner(), &destinations);
        let dispatcher = build_dispatcher(config, store.clone(), owner(), destinations);
        return Some(tokio::spawn(async move {
            tokio::join!(worker.run(stopped.clone()), dispatcher.run(stopped));
        }));
    }
    let is_channel = |destination: &&Destination| destination.settings.is_alert_channel();
    let channels: Vec<Destination> = destinations.iter().filter(is_channel).cloned().collect();
    if channels.is_empty() {
        return None;
    }
    let dispatcher = build_dispatcher(config, store.clone(), owner(), Arc::new(channels));
    Some(tokio::spawn(dispatcher.run(stopped)))
}

/// Waits until the task ends, or for ever if there is no task.
async fn wait_for_task(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}
