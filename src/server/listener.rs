//! Accepting connections, counting them, and letting them end.

use super::connection::{self, Mode};
use super::{Shared, tls};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
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

type ByAddress = Arc<Mutex<HashMap<IpAddr, u64>>>;

/// How many connections there are, in all and by address.
#[derive(Clone)]
struct Counts {
    all: Arc<Semaphore>,
    refused: Arc<Semaphore>,
    by_address: ByAddress,
    max_by_address: u64,
}

/// A connection's place in the counts, given back when it goes.
struct Place {
    _permit: tokio::sync::OwnedSemaphorePermit,
    counted: Option<(ByAddress, IpAddr)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((counts, address)) = &self.counted {
            let mut counts = counts.lock().expect("nothing panics while it holds the counts");
            if let Some(count) = counts.get_mut(address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(address);
                }
            }
        }
    }
}

impl Counts {
    fn new(shared: &Shared) -> Self {
        let max = usize::try_from(shared.limits.max_connections).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(max)),
            refused: Arc::new(Semaphore::new(REFUSED_AT_ONCE)),
            by_address: Arc::default(),
            max_by_address: shared.limits.max_connections_per_address,
        }
    }

    fn admit(&self, from: IpAddr) -> Option<(Place, Mode)> {
        let address = network(from);
        {
            let mut counts = self.by_address.lock().expect("nothing panics while it holds the counts");
            let count = counts.entry(address).or_default();
            if *count < self.max_by_address
                && let Ok(permit) = self.all.clone().try_acquire_owned()
            {
                *count += 1;
                let counted = Some((self.by_address.clone(), address));
                return Some((Place { _permit: permit, counted }, Mode::Serve));
            }
            if *count == 0 {
                counts.remove(&address);
            }
        }
        let permit = self.refused.clone().try_acquire_owned().ok()?;
        Some((Place { _permit: permit, counted: None }, Mode::Refuse))
    }
}

/// What counts as one address: with IPv6 a single host has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let segments = address.segments();
            Ipv6Addr::new(segments[0], segments[1], segments[2], segments[3], 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ipv6_host_is_one_address() {
        let one: IpAddr = "2001:db8:1:2:3:4:5:6".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::1".parse().unwrap();
        let far: IpAddr = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(network(one), network(other));
        assert_ne!(network(one), network(far));
    }
}
