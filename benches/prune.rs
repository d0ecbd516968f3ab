//! Measures how long webhooks wait while old events are deleted, by the daemon and by `novex-ingest prune`.
//!
//! `cargo bench --bench prune -- [--megabytes M] [--connections N]`
//!
//! The database is filled with old events of 1 MB. Connections then send webhooks without a pause, while all old events
//! are deleted and the file shrinks. `max ms` is the longest time from a webhook's first byte to its response.

mod load;

use clap::Parser;
use load::{LoadResult, Server, command};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Arguments {
    /// Size of the old events in MB
    #[arg(long, default_value_t = 300)]
    megabytes: u64,
    /// Number of connections
    #[arg(long, default_value_t = 3)]
    connections: usize,
    /// Flag that `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// Duration of a measurement with the daemon's retention, whose first run is half a minute after the start.
const RETENTION_DURATION: Duration = Duration::from_mins(1);
/// Duration of the measurement without any deletion.
const IDLE_DURATION: Duration = Duration::from_secs(10);

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{} MB of old events, {} connections, bodies of 6000 bytes", arguments.megabytes, arguments.connections);
    println!(
        "{:<28} {:>7} {:>9} {:>8} {:>8} {:>8} {:>9}",
        "meanwhile", "s", "acks/s", "p50 ms", "p99 ms", "max ms", "file MiB"
    );
    let next = Arc::new(AtomicU64::new(0));
    for (name, by_daemon) in [("retention in the daemon", true), ("`prune --squeeze`", false)] {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let directory = directory.path();
        let server = Server::start(directory, false, "");
        // One connection fills the database; all its events become old before the measurement.
        let last = next.load(Ordering::Relaxed) + arguments.megabytes;
        send_until(&runtime, &server, (1, 1_000_000), &next, || next.load(Ordering::Relaxed) >= last);
        server.stop();
        age_events(directory);
        let rules = if by_daemon {
            "[retention]\n[[retention.rules]]\nbodies = \"1d\"\n"
        } else {
            "[retention]\nevery = \"1h\"\n"
        };
        let server = Server::start(directory, false, rules);
        let load_shape = (arguments.connections, 6000);
        let start = Instant::now();
        if by_daemon {
            print_result(
                name,
                directory,
                start,
                &send_until(&runtime, &server, load_shape, &next, || start.elapsed() > RETENTION_DURATION),
            );
        } else {
            print_result(
                "no deletion",
                directory,
                start,
                &send_until(&runtime, &server, load_shape, &next, || start.elapsed() > IDLE_DURATION),
            );
            let start = Instant::now();
            let mut prune = command(directory, &["prune", "--squeeze"]).spawn().unwrap();
            let load = send_until(&runtime, &server, load_shape, &next, || prune.try_wait().unwrap().is_some());
            print_result(name, directory, start, &load);
        }
        server.stop();
    }
}

/// Sends webhooks until `is_over` returns true.
fn send_until(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    (connections, size): (usize, usize),
    next: &Arc<AtomicU64>,
    mut is_over: impl FnMut() -> bool,
) -> LoadResult {
    let stop = Arc::new(AtomicBool::new(false));
    let load = runtime.spawn(load::send_load(server.address, connections, size, next.clone(), stop.clone()));
    while !is_over() {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(load).unwrap()
}

/// Sets the times of all events to 2020 and completes them.
fn age_events(directory: &Path) {
    let sql = "UPDATE webhook_events SET status = 'completed', next_attempt_at = NULL, received_at = '2020-01-01T00:00:00.000Z', \
               completed_at = '2020-01-01T00:00:00.000Z'";
    let status =
        Command::new("sqlite3").arg(directory.join("events.db")).arg(sql).status().expect("sqlite3 is installed");
    assert!(status.success());
}

fn print_result(name: &str, directory: &Path, start: Instant, load: &LoadResult) {
    assert_eq!(load.refused, 0);
    println!(
        "{name:<28} {:>7.1} {:>9.0} {:>8.2} {:>8.2} {:>8.1} {:>9}",
        start.elapsed().as_secs_f64(),
        load.per_second,
        load.p50,
        load.p99,
        load.max,
        std::fs::metadata(directory.join("events.db")).unwrap().len() >> 20
    );
}
