//! What the service manager gives and gets: sockets that stay open over a restart, and a watchdog that is fed by real writes.

use crate::crash::Lock;
use crate::util::{Connection, Home, PATIENCE, Request, shopify};
use rustix::io::FdFlags;
use std::fmt::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The daemon's command with sockets passed as systemd passes them.
fn activated(home: &Home, sockets: &[TcpListener]) -> Command {
    let (mut moves, mut place) = (String::new(), 3);
    for socket in sockets {
        // Far above the places that they go to, so that none is overwritten before it is moved.
        let high = rustix::io::fcntl_dupfd_cloexec(socket, 100).unwrap();
        rustix::io::fcntl_setfd(&high, FdFlags::empty()).unwrap();
        let _ = write!(moves, "exec {place}<&{}; ", high.as_raw_fd());
        std::mem::forget(high);
        place += 1;
    }
    let serve = home.command(&["serve"]);
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!("{moves} LISTEN_FDS={} LISTEN_PID=$$ exec \"$0\" \"$@\"", sockets.len()));
    command.arg(serve.get_program()).args(serve.get_args()).env_remove("JOURNAL_STREAM");
    command
}

/// While one process goes and the next comes, connections wait for it; none is refused and no delivery fails.
#[test]
fn a_restart_refuses_nobody() {
    let home = Home::new("");
    let held: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = held.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let mut daemon = home.serve_by(activated(&home, &held));
    assert_eq!(daemon.address, addresses[0]);
    assert!(home.log().contains("that is what counts"), "the configuration names another port: {}", home.log());
    let (done, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let hammer = |client: usize| {
            let mut number = 0;
            while !done.load(Ordering::SeqCst) {
                number += 1;
                let mut connection = Connection::open(addresses[client % 2]).expect("nobody is refused");
                let asked = Instant::now();
                let _ = connection.send(&shopify(&format!("{client}-{number}"), b"{\"id\":1}").written());
                let answer = connection
                    .answer()
                    .unwrap_or_else(|error| panic!("{error} after {:?}: {}", asked.elapsed(), home.log()));
                assert_eq!(answer.status, 200, "{answer:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        };
        for client in 0..4 {
            scope.spawn(move || hammer(client));
        }
        let enough = |more: u32| {
            let (before, start) = (answered.load(Ordering::SeqCst), Instant::now());
            while answered.load(Ordering::SeqCst) < before + more {
                assert!(start.elapsed() < PATIENCE, "{}", home.log());
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        enough(20);
        for _ in 0..3 {
            daemon.signal("TERM");
            assert!(daemon.child.wait().unwrap().success());
            daemon = home.serve_by(activated(&home, &held));
            enough(20);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), i64::from(answered.load(Ordering::SeqCst)));
}

/// The watchdog hears of the daemon while a row can be written, and not while somebody else keeps it from that.
#[test]
fn the_watchdog_is_fed_by_real_writes() {
    let home = Home::new("");
    let socket = UnixDatagram::bind(home.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut command = home.command(&["serve"]);
    command.env("NOTIFY_SOCKET", home.path("notify")).env("WATCHDOG_USEC", "400000");
    let daemon = home.serve_by(command);
    let heard = |wanted: &str| {
        let start = Instant::now();
        let mut bytes = [0; 1000];
        while start.elapsed() < PATIENCE {
            if let Ok(length) = socket.recv(&mut bytes)
                && String::from_utf8_lossy(&bytes[..length]).contains(wanted)
            {
                return true;
            }
        }
        false
    };
    assert!(heard("READY=1") && heard("WATCHDOG=1") && heard("WATCHDOG=1"));
    // Somebody holds the write lock: what is heard now was sent before.
    let lock = Lock::take(&home);
    while socket.recv(&mut [0; 1000]).is_ok() {}
    let start = Instant::now();
    while !home.log().contains("nothing could be written just now") {
        assert!(start.elapsed() < PATIENCE, "{}", home.log());
        assert!(socket.recv(&mut [0; 1000]).is_err(), "fed although nothing could be written");
    }
    lock.release();
    assert!(heard("WATCHDOG=1"), "and again when it can");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200);
    daemon.stop();
}
