//! The service manager: sockets that stay open over a restart, and a watchdog that real writes feed.

use crate::support::root;
use crate::support::sqlite::DatabaseLock;
use crate::support::{BIN, Connection, Home, Request, SetOnDrop, WAIT_MAX, shopify_request, wait_until};
use rustix::io::FdFlags;
use std::fmt::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Returns the daemon's command with sockets passed as systemd passes them.
fn socket_activated_command(home: &Home, sockets: &[TcpListener]) -> Command {
    let (mut moves, mut place) = (String::new(), 3);
    for socket in sockets {
        // Far above the target descriptors, so that none is overwritten before it is moved.
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

/// Between two processes, connections wait in the socket: none is refused and no webhook fails.
#[test]
fn restart_refuses_no_connection() {
    let home = Home::new("");
    let sockets: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    let mut daemon = home.serve_with(socket_activated_command(&home, &sockets));
    assert_eq!(daemon.address, addresses[0]);
    assert!(
        home.log().contains("senders must use the address of the socket unit"),
        "the configuration names another port: {}",
        home.log()
    );
    let (done, answered) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let hammer = |client: usize| {
            let mut number = 0;
            while !done.load(Ordering::SeqCst) {
                number += 1;
                let mut connection = Connection::open(addresses[client % 2]).expect("no connection is refused");
                let start = Instant::now();
                let _ = connection.send(&shopify_request(&format!("{client}-{number}"), b"{\"id\":1}").to_bytes());
                let response = connection
                    .read_response()
                    .unwrap_or_else(|error| panic!("{error} after {:?}: {}", start.elapsed(), home.log()));
                assert_eq!(response.status, 200, "{response:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        };
        let stop = SetOnDrop(&done);
        for client in 0..4 {
            scope.spawn(move || hammer(client));
        }
        let enough = |more: u32| {
            let before = answered.load(Ordering::SeqCst);
            wait_until(|| answered.load(Ordering::SeqCst) >= before + more, || home.log());
        };
        enough(20);
        for _ in 0..3 {
            daemon.send_signal("TERM");
            assert!(daemon.child.wait().unwrap().success());
            daemon = home.serve_with(socket_activated_command(&home, &sockets));
            enough(20);
        }
        drop(stop);
    });
    assert_eq!(home.count("SELECT count(*) FROM webhook_events"), i64::from(answered.load(Ordering::SeqCst)));
}

/// The daemon notifies the watchdog while it can write a row, and not while a lock prevents it.
#[test]
fn watchdog_is_fed_by_real_writes() {
    let home = Home::new("");
    let socket = UnixDatagram::bind(home.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut command = home.command(&["serve"]);
    command.env("NOTIFY_SOCKET", home.path("notify")).env("WATCHDOG_USEC", "400000");
    let daemon = home.serve_with(command);
    let heard = |wanted: &str| {
        let start = Instant::now();
        let mut bytes = [0; 1000];
        while start.elapsed() < WAIT_MAX {
            if let Ok(length) = socket.recv(&mut bytes)
                && String::from_utf8_lossy(&bytes[..length]).contains(wanted)
            {
                return true;
            }
        }
        false
    };
    assert!(heard("READY=1") && heard("WATCHDOG=1") && heard("WATCHDOG=1"));
    // A shell has the write lock: notifications that arrive now were sent before.
    let lock = DatabaseLock::acquire(&home);
    while socket.recv(&mut [0; 1000]).is_ok() {}
    let start = Instant::now();
    while !home.log().contains("the store could not write") {
        assert!(start.elapsed() < WAIT_MAX, "{}", home.log());
        assert!(socket.recv(&mut [0; 1000]).is_err(), "fed while no row could be written");
    }
    lock.release();
    assert!(heard("WATCHDOG=1"), "fed again after the lock");
    assert_eq!(daemon.request(&Request::new("GET", "/healthz")).status, 200);
    daemon.stop();
}

/// Prefix of a line that root starts beside the daemon, as the service's user.
const RELOAD_USER: &str = "+/usr/bin/nsenter --target $MAINPID --mount --wd=/ /usr/bin/setpriv --reuid=novex-ingest \
                           --regid=novex-ingest --init-groups ";

/// `systemctl reload` runs the lines of `ExecReload` until one fails.
fn run_reload_lines(home: &Home, main_pid: u32) -> Output {
    let unit = std::fs::read_to_string(root().join("systemd/novex-ingest.service")).unwrap();
    let lines: Vec<String> = unit
        .replace("\\\n  ", "")
        .lines()
        .filter_map(|line| line.strip_prefix("ExecReload="))
        .map(|line| {
            let program = format!("{BIN} --config {}", home.config().display());
            // The test has no user of the package.
            let line = line.strip_prefix(RELOAD_USER).unwrap_or(line);
            line.replace("/usr/bin/novex-ingest", &program).replace("$MAINPID", &main_pid.to_string())
        })
        .collect();
    assert!(lines.len() == 2, "{lines:?}");
    Command::new("sh").arg("-c").arg(lines.join(" && ")).output().unwrap()
}

/// A reload with a mistake in the file fails, prints the mistake, and does not disturb the daemon.
#[test]
fn reload_with_a_mistake_fails() {
    let home = Home::new("");
    let daemon = home.serve();
    home.edit_config("[store]", "[store]\nbatsh = 3");
    let failed = run_reload_lines(&home, daemon.child.id());
    let printed = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(failed.status.code() == Some(1) && printed.contains("store.batsh: is not a known key"), "{printed}");
    home.edit_config("\nbatsh = 3", "");
    let reloaded = run_reload_lines(&home, daemon.child.id());
    assert!(reloaded.status.success(), "{reloaded:?}");
    home.wait_for_log("the daemon reloaded the configuration", 1);
    assert!(!home.log().contains("the configuration has errors"), "the failed reload sent no signal: {}", home.log());
    daemon.stop();
}
