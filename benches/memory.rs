//! Measures the resident memory of the daemon while it gets large events.
//!
//! `cargo bench --bench memory -- [--events N]`
//!
//! Each row is a new daemon. The settled memory is read after ten seconds of small events.

#[allow(dead_code, reason = "the other benches use the rest")]
mod load;

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use load::Server;
use novex_ingest::internals::secret::Secret;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// `server.max_body_bytes` is 16 MiB.
const LARGE_BODY_BYTES: usize = 15_800_000;
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const SETTLE_EVENTS: u64 = 100;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

#[derive(Parser)]
struct Arguments {
    /// Number of large events
    #[arg(long, default_value_t = 16)]
    events: u64,
    /// Flag that `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

/// Name, text of the line number `n`, true if it is signed.
type Case = (&'static str, fn(u64) -> String, bool);

const CASES: [Case; 4] = [
    ("lines with long texts", |n| format!(r#"{{"id":{n},"quantity":1,"title":"{}"}}"#, "x".repeat(50_000)), true),
    (
        "150,000 lines",
        |n| format!(r#"{{"id":{n},"sku":"JAM-{n}","quantity":2,"price":"5.00","title":"Strawberry jam, 370 g"}}"#),
        true,
    ),
    ("600,000 lines", |n| format!(r#"{{"id":{n},"quantity":1}}"#), true),
    ("no valid signature", |n| format!(r#"{{"id":{n},"quantity":1}}"#), false),
];

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!("{:<24} {:>12} {:>12} {:>12}", "large events", "idle MiB", "peak MiB", "settled MiB");
    for (name, line, is_signed) in CASES {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let server = Server::start(directory.path(), true, "");
        let idle = read_memory_mib(&server, "VmRSS");
        let (peak, settled) = runtime.block_on(async {
            let mut senders = JoinSet::new();
            for id in 1..=arguments.events {
                senders.spawn(send_until_answered(server.address, id, build_order(id, line), is_signed));
            }
            senders.join_all().await;
            while count_waiting_events(directory.path()) > 0 {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            let peak = read_memory_mib(&server, "VmHWM");
            for id in 0..SETTLE_EVENTS {
                send_until_answered(server.address, 1000 + id, Bytes::from(format!("{{\"id\":{}}}", 1000 + id)), true)
                    .await;
                tokio::time::sleep(SETTLE_PAUSE).await;
            }
            (peak, read_memory_mib(&server, "VmRSS"))
        });
        println!("{name:<24} {idle:>12} {peak:>12} {settled:>12}");
        server.stop();
    }
}

/// Returns a field of `/proc/PID/status` in MiB.
fn read_memory_mib(server: &Server, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).expect("the field");
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

fn count_waiting_events(directory: &Path) -> u64 {
    let output =
        Command::new("sqlite3").arg(directory.join("events.db")).arg("SELECT count(*) FROM queue").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().expect("sqlite3 is installed")
}

fn build_order(id: u64, line: fn(u64) -> String) -> Bytes {
    let mut body = format!(r#"{{"id":{id},"updated_at":"2026-11-23T10:00:00-05:00","line_items":["#);
    for n in 1.. {
        let line = line(n);
        if body.len() + line.len() + 3 > LARGE_BODY_BYTES {
            break;
        }
        body += if n == 1 { "" } else { "," };
        body += &line;
    }
    Bytes::from(body + "]}")
}

/// Sends a webhook again until the daemon does not answer 503.
async fn send_until_answered(to: std::net::SocketAddr, id: u64, body: Bytes, is_signed: bool) {
    let secret = Secret::new(if is_signed { load::SECRET.to_vec() } else { b"wrong".to_vec() });
    loop {
        if let Ok(mut sender) = connect(to).await {
            let response = sender.send_request(load::sign_webhook(&secret, id, body.clone())).await;
            if response.is_ok_and(|response| response.status() != 503) {
                return;
            }
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn connect(to: std::net::SocketAddr) -> std::io::Result<SendRequest<Full<Bytes>>> {
    let tls = TlsConnector::from(Arc::new(load::client_config()));
    let stream = tls.connect("localhost".try_into().unwrap(), TcpStream::connect(to).await?).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}
