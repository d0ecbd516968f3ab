//! How long deliveries wait while what is old is taken off: by the daemon itself, and by `novex-ingest prune` beside it.
//!
//! `cargo bench --bench prune -- [--megabytes M] [--connections N]`
//!
//! The file is filled with old events of 1 MB, then connections deliver without a pause while all of them are pruned and the file
//! shrinks. `max ms` is the longest any delivery took from its first byte to its answer.

mod load;

use clap::Parser;
use load::{Load, Server, command};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Arguments {
    /// How much is old
    #[arg(long, default_value_t = 300)]
    megabytes: u64,
    #[arg(long, default_value_t = 3)]
    connections: usize,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// The daemon's first pass comes half a minute after its start.
const OWN_PASS: Duration = Duration::from_mins(1);
/// For as long as nothing is pruned.
const QUIET: Duration = Duration::from_secs(10);

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{} MB of old events, {} connections, bodies of 6000 bytes", arguments.megabytes, arguments.connections);
    println!(
        "{:<28} {:>7} {:>9} {:>8} {:>8} {:>8} {:>9}",
        "meanwhile", "s", "acks/s", "p50 ms", "p99 ms", "max ms", "file MiB"
    );
    let next = Arc::new(AtomicU64::new(0));
    for (name, own) in [("pruned by the daemon", true), ("`prune --squeeze` beside it", false)] {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let directory = directory.path();
        let server = Server::start(directory, false, "");
        // One connection fills it, so that the events are old before anything else comes.
        let last = next.load(Ordering::Relaxed) + arguments.megabytes;
        drive(&runtime, &server, (1, 1_000_000), &next, || next.load(Ordering::Relaxed) >= last);
        server.stop();
        age(directory);
        let rules =
            if own { "[retention]\n[[retention.rules]]\nbodies = \"1d\"\n" } else { "[retention]\nevery = \"1h\"\n" };
        let server = Server::start(directory, false, rules);
        let with = (arguments.connections, 6000);
        let start = Instant::now();
        if own {
            show(name, directory, start, &drive(&runtime, &server, with, &next, || start.elapsed() > OWN_PASS));
        } else {
            show("nothing", directory, start, &drive(&runtime, &server, with, &next, || start.elapsed() > QUIET));
            let start = Instant::now();
            let mut beside = command(directory, &["prune", "--squeeze"]).spawn().unwrap();
            let load = drive(&runtime, &server, with, &next, || beside.try_wait().unwrap().is_some());
            show(name, directory, start, &load);
        }
        server.stop();
    }
}

/// Delivers until `is_over`.
fn drive(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    (connections, size): (usize, usize),
    next: &Arc<AtomicU64>,
    mut is_over: impl FnMut() -> bool,
) -> Load {
    let stop = Arc::new(AtomicBool::new(false));
    let load = runtime.spawn(load::drive(server.address, connections, size, next.clone(), stop.clone()));
    while !is_over() {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(load).unwrap()
}

/// Everything that is there came and was completed long ago.
fn age(directory: &Path) {
    let sql = "UPDATE webhook_events SET status = 'completed', next_attempt_at = NULL, received_at = '2020-01-01T00:00:00.000Z', \
               completed_at = '2020-01-01T00:00:00.000Z'";
    let done =
        Command::new("sqlite3").arg(directory.join("events.db")).arg(sql).status().expect("the system's sqlite3");
    assert!(done.success());
}

fn show(name: &str, directory: &Path, start: Instant, load: &Load) {
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
