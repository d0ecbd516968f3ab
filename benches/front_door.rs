//! Measures an honest sender while clients that prove nothing hold what they can.
//!
//! `cargo bench --bench front_door -- [--seconds S] [--attack NAME]`
//!
//! The honest sender sends each webhook on a new connection and from an address of its own, so that it is unproven each
//! time. Its latencies include the TCP and TLS handshakes. An attacker whose connection ends opens it again after a
//! second. Client and server share the cores.

#[allow(dead_code, reason = "the other benches use the rest")]
mod load;

use bytes::Bytes;
use clap::Parser;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use load::Server;
use novex_ingest::internals::secret::Secret;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Time from the start of an attack to the first honest webhook.
const ATTACK_LEAD: Duration = Duration::from_secs(3);
/// Pause before an attacker opens a connection again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);
/// Time from the end of an attack to the last reading of the memory.
const SETTLE_TIME: Duration = Duration::from_secs(3);
const HONEST_PAUSE: Duration = Duration::from_millis(10);
const HONEST_BODY_BYTES: usize = 6000;

#[derive(Parser)]
struct Arguments {
    /// Duration of each measurement in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Measure only the attacks whose names contain this text
    #[arg(long, default_value = "")]
    attack: String,
    /// Flag that `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy)]
enum Hold {
    /// A request with one byte of its body.
    OneByte,
    /// 100 HTTP/2 streams without a body.
    Streams,
    /// All bytes of a 16 MB body but the last.
    LargeBody,
    /// A TLS connection without a request.
    IdleTls,
    /// One byte of a `ClientHello`.
    HalfHandshake,
    /// PING frames without a pause.
    Pings,
}

/// Name, kind, number of connections, number of addresses.
const ATTACKS: [(&str, Hold, usize, usize); 8] = [
    ("none", Hold::OneByte, 0, 1),
    ("512 bodies of one byte", Hold::OneByte, 512, 2),
    ("6 h2 of 100 streams", Hold::Streams, 6, 2),
    ("17 bodies of 16 MB", Hold::LargeBody, 17, 1),
    ("1088 idle TLS", Hold::IdleTls, 1088, 5),
    ("1500 half handshakes", Hold::HalfHandshake, 1500, 6),
    ("3000 addresses, half TLS", Hold::HalfHandshake, 3000, 3000),
    ("6 h2 PING floods", Hold::Pings, 6, 2),
];

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    println!(
        "{:<24} {:>8} {:>8} {:>8} {:>8} {:>8} {:>28}",
        "attack", "stored", "refused", "p50 ms", "p99 ms", "max ms", "RSS MiB before/during/after"
    );
    for (name, hold, connections, addresses) in ATTACKS {
        if !name.contains(&arguments.attack) {
            continue;
        }
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let server = Server::start(directory.path(), true, "");
        let before = read_rss_mib(&server);
        let (mut times, refused, during) = runtime.block_on(async {
            let mut attackers = JoinSet::new();
            for n in 0..connections {
                let number = n % addresses;
                let (network, host) = (u8::try_from(number / 250).unwrap(), 2 + u8::try_from(number % 250).unwrap());
                attackers.spawn(attack(hold, Ipv4Addr::new(127, 0, network, host), server.address));
            }
            tokio::time::sleep(ATTACK_LEAD).await;
            let (times, refused) = send_honestly(server.address, Duration::from_secs(arguments.seconds)).await;
            let during = read_rss_mib(&server);
            attackers.shutdown().await;
            tokio::time::sleep(SETTLE_TIME).await;
            (times, refused, during)
        });
        times.sort_unstable();
        let millis = |percent: usize| {
            times.get((times.len().saturating_sub(1)) * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        println!(
            "{name:<24} {:>8} {refused:>8} {:>8.1} {:>8.1} {:>8.1} {:>28}",
            times.len(),
            millis(50),
            millis(99),
            millis(100),
            format!("{before} / {during} / {}", read_rss_mib(&server))
        );
        server.stop();
    }
}

/// Returns the resident memory in MiB.
fn read_rss_mib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) >> 10
}

async fn connect_tcp(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let tcp = socket.connect(to).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

async fn connect_tls(from: Ipv4Addr, to: SocketAddr, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = load::client_config();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), connect_tcp(from, to).await?).await
}

/// Sends webhooks one after the other; returns the latencies and the number of webhooks without a 200.
async fn send_honestly(to: SocketAddr, duration: Duration) -> (Vec<Duration>, u64) {
    let (secret, start) = (Secret::new(load::SECRET.to_vec()), Instant::now());
    let (mut times, mut refused) = (Vec::new(), 0);
    for id in 0_u32.. {
        if start.elapsed() > duration {
            break;
        }
        let from = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + id);
        let sent_at = Instant::now();
        let is_stored = match connect_honest(from, to).await {
            Ok(mut sender) => load::try_send_webhook(&mut sender, &secret, id.into(), HONEST_BODY_BYTES).await,
            Err(_) => false,
        };
        if is_stored {
            times.push(sent_at.elapsed());
        } else {
            refused += 1;
        }
        tokio::time::sleep(HONEST_PAUSE).await;
    }
    (times, refused)
}

async fn connect_honest(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<SendRequest<Full<Bytes>>> {
    let stream = TokioIo::new(connect_tls(from, to, b"http/1.1").await?);
    let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Holds what it can, until the task is aborted.
async fn attack(hold: Hold, from: Ipv4Addr, to: SocketAddr) {
    loop {
        // The daemon ends the connection, or refuses it.
        let _ = hold_once(hold, from, to).await;
        tokio::time::sleep(REOPEN_PAUSE).await;
    }
}

async fn hold_once(hold: Hold, from: Ipv4Addr, to: SocketAddr) -> std::io::Result<()> {
    match hold {
        Hold::HalfHandshake => {
            let mut tcp = connect_tcp(from, to).await?;
            tcp.write_all(&[0x16]).await?;
            tcp.read_u8().await?;
        }
        Hold::IdleTls => drop(connect_tls(from, to, b"http/1.1").await?.read_u8().await?),
        Hold::OneByte | Hold::LargeBody => {
            let sent = if matches!(hold, Hold::OneByte) { 1 } else { (16 << 20) - 1 };
            let mut stream = connect_tls(from, to, b"http/1.1").await?;
            let head = format!(
                "POST /api/webhooks/shopify/orders/create HTTP/1.1\r\nhost: x\r\n{}\r\ncontent-length: {}\r\n\r\n",
                attack_headers().map(|(name, value)| format!("{name}: {value}")).join("\r\n"),
                sent + 1
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&vec![b'x'; sent]).await?;
            stream.read_u8().await?;
        }
        Hold::Streams | Hold::Pings => {
            let mut stream = connect_tls(from, to, b"h2").await?;
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
            stream.write_all(&build_frame(4, 0, 0, &[])).await?;
            if matches!(hold, Hold::Pings) {
                let pings = build_frame(6, 0, 0, &[0; 8]).repeat(1000);
                loop {
                    stream.write_all(&pings).await?;
                }
            }
            for n in 0..100 {
                stream.write_all(&build_frame(1, 4, 2 * n + 1, &build_header_block())).await?;
            }
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
    }
    Ok(())
}

/// Returns the headers of a webhook with a wrong signature.
fn attack_headers() -> [(&'static str, &'static str); 4] {
    [
        ("x-shopify-topic", "orders/create"),
        ("x-shopify-shop-domain", "acme-foods.myshopify.com"),
        ("x-shopify-webhook-id", "w"),
        ("x-shopify-hmac-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    ]
}

/// Returns literal fields without indexing (RFC 7541, section 6.2.2); each text is shorter than 127 bytes.
fn build_header_block() -> Vec<u8> {
    let pseudo = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/api/webhooks/shopify/orders/create"),
    ];
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    pseudo
        .into_iter()
        .chain(attack_headers())
        .flat_map(|(name, value)| [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat())
        .collect()
}

/// Returns an HTTP/2 frame (RFC 9113, section 4.1).
fn build_frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream_id.to_be_bytes(), payload].concat()
}
