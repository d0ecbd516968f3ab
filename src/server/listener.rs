//! Accepts connections, counts them, and drains them at shutdown.

use crate::server::connection::Peer;
use crate::server::places::Applicant;
use crate::server::reputation::to_network_prefix;
use crate::server::{ServerState, connection};
use crate::tls::certificates::{CertificateResolver, TlsAcceptor};
use crate::tls::challenge::ChallengeResolver;
use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

/// Most connections that the kernel queues until the daemon accepts them.
const LISTEN_BACKLOG: i32 = 1024;
/// Most connections over the limit that get a 503. The daemon closes further ones without a response.
const REJECTED_CONNECTIONS_MAX: usize = 64;
/// Pause after a failed accept; the usual reason is that file descriptors ran out.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);

/// Opens the public port.
///
/// # Errors
/// If the address is not this machine's, the port is in use, or the port needs privileges.
pub fn bind_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the TIME_WAIT of the last connections.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Returns the sockets that the service manager passed to this process (`sd_listen_fds(3)`); none without a service
/// manager.
///
/// The service manager keeps them open while another process replaces this one, so that it refuses no connection.
///
/// Call this once, before the process starts threads: it removes environment variables.
///
/// # Errors
/// If one of the sockets is not a TCP listener.
pub fn take_inherited_listeners() -> io::Result<Vec<std::net::TcpListener>> {
    let mut sockets = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..sockets.len() {
        if let Some(listener) = sockets.take_tcp_listener(index)? {
            listener.set_nonblocking(true)?;
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

/// Accepts connections until `stop` turns true, then waits for them to end, at most `server.shutdown_timeout`.
pub async fn run_server(
    listeners: Vec<TcpListener>,
    certificate: CertificateResolver,
    challenges: ChallengeResolver,
    shared: Arc<ServerState>,
    stop: watch::Receiver<bool>,
) {
    let tls = TlsAcceptor::new(&certificate, &challenges);
    let rejected = Arc::new(Semaphore::new(REJECTED_CONNECTIONS_MAX));
    // Every connection has a sender. The channel closes when the last connection drops its own.
    let (drain_guard, mut drained) = mpsc::channel::<()>(1);
    let mut accept_loops = JoinSet::new();
    for listener in listeners {
        let acceptor = ConnectionAcceptor {
            tls: tls.clone(),
            rejected: rejected.clone(),
            shared: shared.clone(),
            drain_guard: drain_guard.clone(),
        };
        accept_loops.spawn(acceptor.run(listener, stop.clone()));
    }
    drop(drain_guard);
    // The port closes before the drain: the kernel refuses new senders at once and they retry, or they wait for the
    // next process.
    accept_loops.join_all().await;
    match timeout(shared.limits.shutdown_timeout, drained.recv()).await {
        Ok(_) => info!("all connections ended"),
        Err(_late) => warn!("the daemon closed connections after server.shutdown_timeout; their senders will retry"),
    }
}

/// The accept loop of one listener.
struct ConnectionAcceptor {
    tls: TlsAcceptor,
    rejected: Arc<Semaphore>,
    shared: Arc<ServerState>,
    drain_guard: mpsc::Sender<()>,
}

impl ConnectionAcceptor {
    async fn run(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (tcp, from) = match accepted {
                Ok((tcp, from)) => (tcp, from.ip().to_canonical()),
                Err(error) => {
                    error!("the daemon cannot accept connections; senders wait: {error}");
                    tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
                    continue;
                }
            };
            let Some((peer, permit)) = self.admit(from) else { continue };
            // A response is one small write: waiting to fill a packet would only delay it.
            let _ = tcp.set_nodelay(true);
            let (tls, shared, stop, drain_guard) =
                (self.tls.clone(), self.shared.clone(), stop.clone(), self.drain_guard.clone());
            tokio::spawn(async move {
                // Boxed: the future of a connection is large, and the runtime moves the task.
                let serving = Box::pin(connection::serve_connection(tcp, peer.clone(), tls, shared, stop));
                match &peer.place {
                    None => serving.await,
                    Some(place) => tokio::select! {
                        () = serving => {}
                        () = place.evicted() => debug!(%from, "closed an unproven connection to admit another"),
                    },
                }
                drop((permit, drain_guard));
            });
        }
    }

    /// Returns a client with a place, or with the permit to answer it with 503; None if even those are used up.
    fn admit(&self, from: IpAddr) -> Option<(Arc<Peer>, Option<OwnedSemaphorePermit>)> {
        let standing = self.shared.reputation.find_standing(from);
        // A connection is its own: only requests share one.
        let applicant = Applicant { address: to_network_prefix(from), connection: u64::MAX, standing };
        match self.shared.connections.admit(applicant) {
            Ok(place) => Some((Arc::new(Peer { from, place: Some(place) }), None)),
            Err(_shortage) => {
                let permit = self.rejected.clone().try_acquire_owned().ok()?;
                Some((Arc::new(Peer { from, place: None }), Some(permit)))
            }
        }
    }
}
