//! Measures durable acknowledgements per second, and the same load on a null server that stores nothing.
//!
//! The null server shows the limit of TLS and HTTP on the machine.
//!
//! `cargo bench --bench acks -- [--seconds S] [--size BYTES] [--connections N,N,…]`
//!
//! Each keep-alive connection sends signed Shopify webhooks with unique ids and bodies, one after the other. Client and
//! server share the cores, so figures are comparable only within one run. The database is under `target/`, on its disk.

mod load;

use base64::Engine;
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use load::{BINARY, SECRET, Server};
use novex_ingest::internals::proof;
use novex_ingest::internals::secret::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Parser)]
struct Arguments {
    /// Duration of each measurement in seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Size of a body in bytes
    #[arg(long, default_value_t = 6000)]
    size: usize,
    /// Numbers of connections to measure
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// Flag that `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
    /// Run as the null server with the certificate in this directory
    #[arg(long, hide = true)]
    null_server: Option<String>,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(directory) = &arguments.null_server {
        return runtime.block_on(run_null_server(Path::new(directory)));
    }
    let size = std::fs::metadata(BINARY).unwrap().len();
    println!("binary {} MiB, bodies of {} bytes, {} s each", size >> 20, arguments.size, arguments.seconds);
    println!(
        "{:<22} {:>5} {:>9} {:>8} {:>8} {:>8} {:>7} {:>10}",
        "server", "conns", "acks/s", "p50 ms", "p99 ms", "max ms", "refused", "RSS MiB"
    );
    for &connections in &arguments.connections {
        // Alternating servers, so that all see the same state of the disk.
        for (name, worker) in
            [("null (stores nothing)", None), ("receive only", Some(false)), ("receive and process", Some(true))]
        {
            let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let server = start_server(directory.path(), worker);
            let idle_rss = read_rss_mib(&server);
            let stop = Arc::new(AtomicBool::new(false));
            let (stop_later, duration) = (stop.clone(), Duration::from_secs(arguments.seconds));
            runtime.spawn(async move {
                tokio::time::sleep(duration).await;
                stop_later.store(true, Ordering::Relaxed);
            });
            let next = Arc::new(AtomicU64::new(0));
            let load = runtime.block_on(load::send_load(server.address, connections, arguments.size, next, stop));
            println!(
                "{name:<22} {connections:>5} {:>9.0} {:>8.2} {:>8.2} {:>8.2} {:>7} {:>4} → {:>3}",
                load.per_second,
                load.p50,
                load.p99,
                load.max,
                load.refused,
                idle_rss,
                read_rss_mib(&server)
            );
            server.stop();
        }
    }
}

/// Starts the daemon with or without its worker; `None` starts the null server.
fn start_server(directory: &Path, worker: Option<bool>) -> Server {
    let server = Server::start(directory, worker.unwrap_or(false), "");
    if worker.is_some() {
        return server;
    }
    // The null server uses the certificate that the daemon made at its start.
    server.stop();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--null-server").arg(directory);
    Server::start_with(command)
}

/// Returns the resident memory in MiB.
fn read_rss_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10
}

/// Serves TLS and HTTP and verifies the HMAC; stores nothing.
async fn run_null_server(directory: &Path) {
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
                let verified = proof::verify_hmac_sha256([&Secret::new(SECRET.to_vec())], &[], &body, &tag).is_ok();
                let response = Response::builder().status(if verified { 200 } else { 401 });
                Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(b"{\"status\":\"received\"}"))).unwrap())
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
