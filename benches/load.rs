//! What benches share: the daemon in a directory of its own, and signed deliveries over connections that stay open.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, from counts far below 2^52"
)]

#[path = "../tests/it/any_certificate.rs"]
mod any_certificate;

use any_certificate::AnyCertificate;
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use novex_ingest::proof;
use novex_ingest::secret::Secret;
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

pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// The daemon; `more` is appended to its configuration.
    pub fn start(directory: &Path, in_serve: bool, more: &str) -> Self {
        std::fs::write(directory.join("secret"), SECRET).unwrap();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"events.db\"\n[worker]\nin_serve = {in_serve}\n\
             [[shopify.shops]]\ndomain = \"{SHOP}\"\nsecrets = [\"file:secret\"]\n[log]\nlevel = \"error\"\n{more}"
        );
        std::fs::write(directory.join("config.toml"), text).unwrap();
        Self::by(command(directory, &["serve"]))
    }

    /// Any server that says where it listens as the daemon does.
    pub fn by(mut command: Command) -> Self {
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

/// The product's command with the configuration of a directory.
pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("--config").arg(directory.join("config.toml")).args(arguments);
    command
}

/// Latencies in milliseconds.
pub struct Load {
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub refused: u64,
}

/// So many connections, each with one delivery after the other, until `stop` turns true. `next` numbers the deliveries.
pub async fn drive(
    address: SocketAddr,
    connections: usize,
    size: usize,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Load {
    let tls = TlsConnector::from(Arc::new(client_config()));
    let start = Instant::now();
    let lanes: Vec<_> =
        (0..connections).map(|_| tokio::spawn(lane(address, tls.clone(), next.clone(), size, stop.clone()))).collect();
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for lane in lanes {
        let (mut times, bad) = lane.await.unwrap();
        latencies.append(&mut times);
        refused += bad;
    }
    let per_second = latencies.len() as f64 / start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = ((latencies.len() as f64 - 1.0) * share) as usize;
        latencies.get(place).map_or(0.0, |time: &Duration| time.as_secs_f64() * 1000.0)
    };
    Load { per_second, p50: at(0.5), p99: at(0.99), max: at(1.0), refused }
}

async fn lane(
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
        let begun = Instant::now();
        if deliver(&mut sender, &secret, id, size).await { times.push(begun.elapsed()) } else { refused += 1 }
    }
    (times, refused)
}

async fn deliver(sender: &mut SendRequest<Full<Bytes>>, secret: &Secret, id: u64, size: usize) -> bool {
    let fixed = format!(
        r##"{{"id":{},"name":"#{id}","currency":"USD","total_price":"10.00","updated_at":"2026-11-23T10:00:00-05:00","line_items":[],"note":""##,
        id + 1
    );
    let body = Bytes::from(format!("{fixed}{}\"}}", "x".repeat(size.saturating_sub(fixed.len() + 2))));
    let signature = base64::engine::general_purpose::STANDARD.encode(proof::mac(secret, &[], &body));
    let request = Request::post("/api/webhooks/shopify/orders/create")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-shopify-topic", "orders/create")
        .header("x-shopify-shop-domain", SHOP)
        // Spread over the index as Shopify's random ids are.
        .header("x-shopify-webhook-id", format!("{:016x}-{id}", id.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .header("x-shopify-hmac-sha256", signature)
        .body(Full::new(body))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let stored = response.status() == 200;
    response.into_body().collect().await.unwrap();
    stored
}

/// The load goes to a server that this program has just started: whose certificate it is makes no difference.
fn client_config() -> rustls::ClientConfig {
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
