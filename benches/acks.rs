//! Durable acknowledgements per second, beside a server that verifies and stores nothing: the limit of TLS and HTTP here.
//!
//! `cargo bench --bench acks -- [--seconds S] [--size BYTES] [--connections N,N,…]`
//!
//! A closed loop over keep-alive connections: signed Shopify deliveries with unique ids and bodies. Client and server share
//! the machine's cores, so figures are comparable only within one run. The database lies under `target/`, on its disk.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, from counts far below 2^52"
)]

use base64::Engine;
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use novex_ingest::proof;
use novex_ingest::secret::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const SHOP: &str = "acme-foods.myshopify.com";
const SECRET: &[u8] = b"bench";

#[derive(Parser)]
struct Arguments {
    /// Length of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Bytes of a body
    #[arg(long, default_value_t = 6000)]
    size: usize,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the null server, with the pair in this directory
    #[arg(long, hide = true)]
    null: Option<String>,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(directory) = &arguments.null {
        return runtime.block_on(null_server(Path::new(directory)));
    }
    let binary = env!("CARGO_BIN_EXE_novex-ingest");
    let size = std::fs::metadata(binary).unwrap().len();
    println!("binary {} MiB, bodies of {} bytes, {} s each", size >> 20, arguments.size, arguments.seconds);
    println!(
        "{:<22} {:>5} {:>9} {:>8} {:>8} {:>8} {:>7} {:>10}",
        "server", "conns", "acks/s", "p50 ms", "p99 ms", "max ms", "refused", "RSS MiB"
    );
    for &connections in &arguments.connections {
        // In turn, so that each sees the same minute of the disk.
        for (name, worker) in
            [("null (stores nothing)", None), ("receive only", Some(false)), ("receive and work", Some(true))]
        {
            let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let mut server = Server::start(binary, directory.path(), worker);
            let idle = server.rss();
            let load = runtime.block_on(drive(server.address, connections, &arguments));
            println!(
                "{name:<22} {connections:>5} {:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>7} {:>4} → {:>3}",
                load.per_second,
                load.p50,
                load.p99,
                load.max,
                load.refused,
                idle,
                server.rss()
            );
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(binary: &str, directory: &Path, worker: Option<bool>) -> Self {
        std::fs::write(directory.join("secret"), SECRET).unwrap();
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"events.db\"\n[worker]\nin_serve = {}\n\
             [[shopify.shops]]\ndomain = \"{SHOP}\"\nsecrets = [\"file:secret\"]\n[log]\nlevel = \"error\"\n",
            worker.unwrap_or(false)
        );
        std::fs::write(directory.join("config.toml"), text).unwrap();
        let mut command = if worker.is_some() {
            let mut command = Command::new(binary);
            command.arg("--config").arg(directory.join("config.toml")).arg("serve");
            command
        } else {
            // The null server needs a pair: the daemon's own, made by starting it once.
            let Self { mut child, .. } = Self::start(binary, directory, Some(false));
            child.kill().unwrap();
            child.wait().unwrap();
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg("--null").arg(directory);
            command
        };
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("https://").expect("the ready line").1.parse().unwrap();
        Self { child, address }
    }

    /// Resident memory in MiB.
    fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10
    }
}

struct Load {
    per_second: f64,
    p50: f64,
    p99: f64,
    max: f64,
    refused: u64,
}

async fn drive(address: SocketAddr, connections: usize, arguments: &Arguments) -> Load {
    let tls = TlsConnector::from(Arc::new(client_config()));
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let end = start + Duration::from_secs(arguments.seconds);
    let lanes: Vec<_> =
        (0..connections).map(|_| tokio::spawn(lane(address, tls.clone(), next.clone(), arguments.size, end))).collect();
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
    end: Instant,
) -> (Vec<Duration>, u64) {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let stream = tls.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (mut times, mut refused) = (Vec::new(), 0);
    let secret = Secret::new(SECRET.to_vec());
    while Instant::now() < end {
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

/// TLS, HTTP and the HMAC, and nothing else.
async fn null_server(directory: &Path) {
    let chain = CertificateDer::pem_file_iter(directory.join("tls/self-signed.pem"))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("tls/self-signed.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("ready https://{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            tcp.set_nodelay(true).unwrap();
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            let service = service_fn(|request: Request<Incoming>| async {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                let tag =
                    base64::engine::general_purpose::STANDARD.decode(&head.headers["x-shopify-hmac-sha256"]).unwrap();
                let proved = proof::hmac_sha256([&Secret::new(SECRET.to_vec())], &[], &body, &tag).is_ok();
                let answer = Response::builder().status(if proved { 200 } else { 401 });
                Ok::<_, Infallible>(answer.body(Full::new(Bytes::from_static(b"{\"status\":\"received\"}"))).unwrap())
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn client_config() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(any::Certificate))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// The load goes to a server that this program has just started: whose certificate it is makes no difference.
mod any {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    pub struct Certificate;

    impl ServerCertVerifier for Certificate {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
