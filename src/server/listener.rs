//! Accepting connections, counting them, and letting them end.

use super::by_address::ByAddress;
use super::connection::{self, Mode};
use super::{Shared, tls};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
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

/// Accepts until `stop` turns true, then waits for the connections to end, at most `server.shutdown_timeout`.
pub async fn run(
    listener: TcpListener,
    certificate: tls::Holder,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) {
    let acceptor = tls::acceptor(&certificate);
    let counts = Counts::new(&shared);
    // Every connection holds a sender; when the last is dropped, all have ended.
    let (alive, mut ended) = mpsc::channel::<()>(1);
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
        let Some((place, mode)) = counts.admit(from) else { continue };
        // Answers are one small write each: waiting to fill a packet would only delay them.
        let _ = tcp.set_nodelay(true);
        let (acceptor, shared, stop, alive) = (acceptor.clone(), shared.clone(), stop.clone(), alive.clone());
        tokio::spawn(async move {
            // Boxed: the future of a connection is large, and the task is moved around.
            Box::pin(connection::serve(tcp, from, acceptor, mode, shared, stop)).await;
            drop((place, alive));
        });
    }
    // The port is closed before the draining: new senders are refused at once and come again.
    drop((listener, alive));
    match timeout(shared.limits.shutdown_timeout, ended.recv()).await {
        Ok(_) => info!("all connections have ended"),
        Err(_late) => warn!("connections were cut off after server.shutdown_timeout; their senders will come again"),
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
