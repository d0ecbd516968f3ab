//! Serves the console on a thread of its own.

use crate::console::{ConsoleState, bulk_retry, router};
use crate::server::listener::bind_listener;
use crate::tls::certificates::{CertificateResolver, build_crypto_provider};
use anyhow::Context;
use axum::Extension;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::{ServerConfig, version};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, info, warn};

/// Most connections at once: a browser opens six at most.
const CONNECTIONS_MAX: usize = 128;
/// Longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time until the headers of a request are read.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of headers.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// HTTP/2: most requests in flight on one connection.
const STREAMS_MAX: u32 = 64;
/// Threads for queries and passwords.
const BLOCKING_THREADS_MAX: usize = 4;
/// Interval of attempts to get the port, if another program has it.
const BIND_RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time for requests in flight at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// The address of a request's client.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// Starts the thread of the console. The thread ends soon after `stop` turns true.
///
/// A console that cannot be served stops no events: the thread logs the reason.
///
/// # Errors
/// If the system starts no thread.
pub fn spawn_console(
    state: Arc<ConsoleState>,
    certificate: CertificateResolver,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("the runtime of the console cannot be started")?;
    let thread = std::thread::Builder::new().name("console".to_owned());
    let (first_attempt, is_attempted) = mpsc::channel();
    let serve = move || {
        runtime.block_on(serve_console(state, certificate, first_attempt, stop));
        runtime.shutdown_background();
    };
    let thread = thread.spawn(serve).context("the thread of the console cannot be started")?;
    // The sender ends with the first attempt to bind, so that a daemon that is ready has its console too.
    let _ = is_attempted.recv_timeout(HANDSHAKE_TIMEOUT);
    Ok(thread)
}

async fn serve_console(
    state: Arc<ConsoleState>,
    certificate: CertificateResolver,
    first_attempt: mpsc::Sender<()>,
    mut stop: watch::Receiver<bool>,
) {
    let Some(listener) = bind_console(state.config.console.listen, first_attempt, &mut stop).await else { return };
    let tls = build_tls_acceptor(&certificate);
    tokio::spawn(bulk_retry::interrupt_ended_retries(state.clone()));
    let router = router::build_router(state.clone());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let (tcp, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!("the console cannot accept connections, and tries again: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            debug!(%from, "the console has no place for a connection");
            continue;
        };
        let (tls, router, stop) = (tls.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            serve_connection(tcp, from.ip().to_canonical(), tls, router, stop).await;
            drop(place);
        });
    }
    drop(listener);
    state.stop.send_replace(true);
    let _ = timeout(DRAIN_TIMEOUT, state.bulk_retry_place.acquire()).await;
    let places_max = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = timeout(DRAIN_TIMEOUT, places.acquire_many(places_max)).await;
}

/// Binds the port of the console, as soon as no other program has it. Returns None at shutdown.
async fn bind_console(
    address: SocketAddr,
    first_attempt: mpsc::Sender<()>,
    stop: &mut watch::Receiver<bool>,
) -> Option<TcpListener> {
    let (mut is_reported, mut first_attempt) = (false, Some(first_attempt));
    loop {
        match bind_listener(address) {
            Ok(listener) => {
                let address = listener.local_addr().unwrap_or(address);
                info!(%address, "the console is ready: https://{address}/");
                return Some(listener);
            }
            Err(error) if !is_reported => {
                is_reported = true;
                error!(
                    "the console cannot listen on {address}, so nobody can open it; events are received as usual. The \
                     daemon tries again every {} s. Set [console] listen to a free port: {error}",
                    BIND_RETRY_INTERVAL.as_secs()
                );
            }
            Err(_) => {}
        }
        first_attempt.take();
        tokio::select! {
            () = tokio::time::sleep(BIND_RETRY_INTERVAL) => {}
            _ = stop.wait_for(|stop| *stop) => return None,
        }
    }
}

fn build_tls_acceptor(certificate: &CertificateResolver) -> TlsAcceptor {
    let mut settings = ServerConfig::builder_with_provider(Arc::new(build_crypto_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .expect("ring supports both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificate.clone()));
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(settings))
}

async fn serve_connection(
    tcp: TcpStream,
    from: IpAddr,
    tls: TlsAcceptor,
    router: axum::Router,
    mut stop: watch::Receiver<bool>,
) {
    let _ = tcp.set_nodelay(true);
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.accept(tcp)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%from, "the TLS handshake with the console failed: {error}"),
        Err(_late) => return debug!(%from, "the TLS handshake with the console took too long"),
    };
    let service = TowerToHyperService::new(router.layer(Extension(ClientAddress(from))));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(HEADER_TIMEOUT)
        .keep_alive_timeout(HEADER_TIMEOUT);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let is_stopping = async move { drop(stop.wait_for(|stop| *stop).await) };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = is_stopping => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%from, "a connection of the console ended: {error}");
    }
}
