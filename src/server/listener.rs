//! Accepting connections, counting them, and letting them end.

use super::by_address::ByAddress;
use super::challenge::Challenges;
use super::connection::{self, Mode};
use super::{Shared, tls};
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
use tracing::{error, info, warn};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// Connections over the limit that are still told 503; more than these are closed without a word.
const REFUSED_AT_ONCE: usize = 64;
/// The wait after accepting failed: the usual reason is that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the public port.
///
/// # Errors
/// When the address is not ours or the port is taken or needs rights.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The sockets that the service manager holds for us: they stay open while this process is replaced by the next, so that no
/// connection is refused. None without one.
///
/// To be called once, before there are threads: it takes what says so out of the environment.
///
/// # Errors
/// When one of them is no TCP listener.
pub fn inherited() -> io::Result<Vec<std::net::TcpListener>> {
    let mut sockets = ListenFd::from_env();
    let mut found = Vec::new();
    for place in 0..sockets.len() {
        if let Some(listener) = sockets.take_tcp_listener(place)? {
            listener.set_nonblocking(true)?;
            found.push(listener);
        }
    }
    Ok(found)
}

/// Accepts until `stop` turns true, then waits for the connections to end, at most `server.shutdown_timeout`.
pub async fn run(
    listeners: Vec<TcpListener>,
    certificate: tls::Holder,
    challenges: Challenges,
    shared: Arc<Shared>,
    stop: watch::Receiver<bool>,
) {
    let acceptor = tls::Acceptor::new(&certificate, &challenges);
    let counts = Counts::new(&shared);
    // Every connection holds a sender; when the last is dropped, all have ended.
    let (alive, mut ended) = mpsc::channel::<()>(1);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let door =
            Door { acceptor: acceptor.clone(), counts: counts.clone(), shared: shared.clone(), alive: alive.clone() };
        accepting.spawn(door.accept(listener, stop.clone()));
    }
    drop(alive);
    // The port is closed before the draining: new senders are refused at once and come again, or wait for the next process.
    accepting.join_all().await;
    match timeout(shared.limits.shutdown_timeout, ended.recv()).await {
        Ok(_) => info!("all connections have ended"),
        Err(_late) => warn!("connections were cut off after server.shutdown_timeout; their senders will come again"),
    }
}

/// Where connections come in.
struct Door {
    acceptor: tls::Acceptor,
    counts: Counts,
    shared: Arc<Shared>,
    alive: mpsc::Sender<()>,
}

impl Door {
    async fn accept(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            let (tcp, from) = match accepted {
                Ok((tcp, from)) => (tcp, from.ip().to_canonical()),
                Err(error) => {
                    error!("no connection can be accepted, senders wait: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some((place, mode)) = self.counts.admit(from) else { continue };
            // Answers are one small write each: waiting to fill a packet would only delay them.
            let _ = tcp.set_nodelay(true);
            let (acceptor, shared, stop, alive) =
                (self.acceptor.clone(), self.shared.clone(), stop.clone(), self.alive.clone());
            tokio::spawn(async move {
                // Boxed: the future of a connection is large, and the task is moved around.
                Box::pin(connection::serve(tcp, from, acceptor, mode, shared, stop)).await;
                drop((place, alive));
            });
        }
    }
}

/// How many connections there are, in all and by address.
#[derive(Clone)]
struct Counts {
    all: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    by_address: ByAddress,
}

/// A connection's places in the counts, given back when it goes.
type Place = (OwnedSemaphorePermit, Option<super::by_address::Place>);

impl Counts {
    fn new(shared: &Shared) -> Self {
        let max = usize::try_from(shared.limits.max_connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(max)),
            refused: Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
            by_address: ByAddress::new(shared.limits.max_connections_per_address),
        }
    }

    fn admit(&self, from: IpAddr) -> Option<(Place, Mode)> {
        if let Some(place) = self.by_address.enter(from)
            && let Ok(permit) = self.all.clone().try_acquire_owned()
        {
            return Some(((permit, Some(place)), Mode::Serve));
        }
        let permit = self.refused.clone().try_acquire_owned().ok()?;
        Some(((permit, None), Mode::Refuse))
    }
}
