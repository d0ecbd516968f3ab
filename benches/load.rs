//! Helpers of the benches: a daemon in a new directory, and signed webhooks over keep-alive connections.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "printed figures of counts far below 2^52"
)]

#[path = "../tests/it/support/any_certificate.rs"]
mod any_certificate;

use any_certificate::AnyCertificate;
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use novex_ingest::internals::proof;
use novex_ingest::internals::secret::Secret;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub const BINARY: &str = env!("CARGO_BIN_EXE_novex-ingest");
const SHOP: &str = "acme-foods.myshopify.com";
pub const SECRET: &[u8] = b"bench";

/// A running server.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts the daemon; `extra` is appended to its configuration.
    pub fn start(directory: &Path, in_serve: bool, extra: &str) -> Self {
        std::fs::write(directory.join("secret"), SECRET).unwrap();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"events.db\"\n[worker]\nin_serve = {in_serve}\n\
             [[shopify.shops]]\ndomain = \"{SHOP}\"\nsecrets = [\"file:secret\"]\n[log]\nlevel = \"error\"\n{extra}"
        );
        std::fs::write(directory.join("config.toml"), text).unwrap();
        Self::start_with(command(directory, &["serve"]))
    }

    /// Starts a server that prints a ready line as the daemon does.
    pub fn start_with(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("https://").expect("the ready line").1.parse().unwrap();
        Self { child, address }
    }

    pub fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Returns a command of the binary with the configuration in a directory.
pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(directory.join("config.toml")).args(arguments);
    command
}

/// Throughput and latencies, in milliseconds, of one measurement.
pub struct LoadResult {
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub refused: u64,
}

/// Sends webhooks with bodies of `size` bytes over several connections until `stop` is true. `next` is the next number.
pub async fn send_load(
    address: SocketAddr,
    connections: usize,
    size: usize,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> LoadResult {
    let tls = TlsConnector::from(Arc::new(client_config()));
    let start = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(send_on_connection(address, tls.clone(), next.clone(), size, stop.clone())))
        .collect();
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (mut times, task_refused) = task.await.unwrap();
        latencies.append(&mut times);
        refused += task_refused;
    }
    let per_second = latencies.len() as f64 / start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let percentile = |share: f64| {
        let index = ((latencies.len() as f64 - 1.0) * share) as usize;
        latencies.get(index).map_or(0.0, |time: &Duration| time.as_secs_f64() * 1000.0)
    };
    LoadResult { per_second, p50: percentile(0.5), p99: percentile(0.99), max: percentile(1.0), refused }
}

/// Returns the latencies and the number of refused webhooks.
async fn send_on_connection(
    address: SocketAddr,
    tls: TlsConnector,
    next: Arc<AtomicU64>,
    size: usize,
    stop: Arc<AtomicBool>,
) -> (Vec<Duration>, u64) {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let stream = tls.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut times, mut refused) = (Vec::new(), 0);
    let secret = Secret::new(SECRET.to_vec());
    while !stop.load(Ordering::Relaxed) {
        let id = next.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        if send_webhook(&mut sender, &secret, id, size).await { times.push(start.elapsed()) } else { refused += 1 }
    }
    (times, refused)
}

/// Returns whether the server answered 200. The connection must last.
async fn send_webhook(sender: &mut SendRequest<Full<Bytes>>, secret: &Secret, id: u64, size: usize) -> bool {
    let response = sender.send_request(build_webhook(secret, id, size)).await.unwrap();
    let is_stored = response.status() == 200;
    response.into_body().collect().await.unwrap();
    is_stored
}

/// Returns whether the server answered 200; false also if the connection ends.
#[allow(dead_code, reason = "not every bench that includes this file uses it")]
pub async fn try_send_webhook(sender: &mut SendRequest<Full<Bytes>>, secret: &Secret, id: u64, size: usize) -> bool {
    let response = sender.send_request(build_webhook(secret, id, size)).await;
    response.is_ok_and(|response| response.status() == 200)
}

/// Returns a signed `orders/create`.
fn build_webhook(secret: &Secret, id: u64, size: usize) -> Request<Full<Bytes>> {
    let prefix = format!(
        r##"{{"id":{},"name":"#{id}","currency":"USD","total_price":"10.00","updated_at":"2026-11-23T10:00:00-05:00","line_items":[],"note":""##,
        id + 1
    );
    sign_webhook(secret, id, Bytes::from(format!("{prefix}{}\"}}", "x".repeat(size.saturating_sub(prefix.len() + 2)))))
}

/// Returns a signed `orders/create` with this body.
pub fn sign_webhook(secret: &Secret, id: u64, body: Bytes) -> Request<Full<Bytes>> {
    let signature = base64::engine::general_purpose::STANDARD.encode(proof::compute_hmac_sha256(secret, &[], &body));
    Request::post("/api/webhooks/shopify/orders/create")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-shopify-topic", "orders/create")
        .header("x-shopify-shop-domain", SHOP)
        // Random order in the index, as with Shopify's random ids.
        .header("x-shopify-webhook-id", format!("{:016x}-{id}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .header("x-shopify-hmac-sha256", signature)
        .body(Full::new(body))
        .unwrap()
}

/// Accepts any certificate: this program started the server.
pub fn client_config() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
