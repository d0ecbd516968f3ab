//! Measures the pages of the console on a large database, and whether open consoles delay acknowledgements.
//!
//! `cargo bench --bench console [-- --events 1000000 --seconds 10]`
//!
//! SQL inserts events, orders, lines, shipments and the audit trail. Each page is opened several times over TLS, with a
//! session of an admin. Then 16 connections send webhooks, in turn without and with ten consoles: each opens a page
//! every two seconds and holds a stream of live rows. Client and server share the cores.

mod load;

use clap::Parser;
use load::{Server, command};
use novex_ingest::internals::clock::Clock;
use novex_ingest::internals::console::{RouteAccess, list_routes};
use novex_ingest::internals::store::db::writer::WriteClass;
use novex_ingest::internals::store::{Store, StoreOptions};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SHOP: &str = "acme-foods.myshopify.com";
const PASSWORD: &str = "four unrelated words";
/// Consoles that are open during the second measurement.
const CONSOLES: usize = 10;
const CONNECTIONS: usize = 16;
const BODY_BYTES: usize = 6000;
/// Times that each page is opened.
const REPEATS: usize = 15;

#[derive(Parser)]
struct Arguments {
    /// Number of events
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    /// Duration of each measurement of acknowledgements in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Number of measurements without and with consoles
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Flag that `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    runtime.block_on(fill_database(&directory.path().join("events.db"), arguments.events));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start(directory.path(), true, &format!("[console]\nlisten = \"127.0.0.1:{port}\"\n"));
    add_user(directory.path());
    let idle = read_rss_kib(&server);
    let console = runtime.block_on(Console::sign_in(port));
    println!("{} events", arguments.events);
    runtime.block_on(measure_pages(&console));
    println!("memory of the daemon: {} KiB before the first page, {} KiB after all", idle, read_rss_kib(&server));
    measure_acknowledgements(&runtime, &server, &console, &arguments);
    server.stop();
}

/// A signed-in browser without a window.
#[derive(Clone)]
struct Console {
    client: reqwest::Client,
    base: String,
    cookie: String,
}

impl Console {
    async fn sign_in(port: u16) -> Self {
        let client = reqwest::Client::builder().tls_backend_preconfigured(load::client_config());
        let client = client.redirect(Policy::none()).build().unwrap();
        let base = format!("https://127.0.0.1:{port}");
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("name", "bench")
            .append_pair("password", PASSWORD)
            .finish();
        let request = client.post(format!("{base}/login")).header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let response = request.send().await.unwrap();
        let cookie = response.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { client, base, cookie }
    }

    /// Opens a page and returns its status and bytes.
    async fn open(&self, path: &str) -> (u16, usize) {
        let request = self.client.get(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.bytes().await.unwrap().len())
    }
}

/// Prints the time of each page without parameters, and of some filters.
async fn measure_pages(console: &Console) {
    let is_page = |path: &str| !path.contains('{') && !path.starts_with("/assets/") && path != "/events/stream";
    let routes = list_routes();
    let pages = routes
        .iter()
        .filter(|route| route.method == "GET" && matches!(route.access, RouteAccess::User(_)) && is_page(route.path));
    let mut paths: Vec<String> = pages.map(|route| route.path.to_owned()).collect();
    let filters = ["status=failed", "source=shopify&topic=orders/*", "before=500000", "q=%23250000", "q=EVERYWHERE"];
    paths.extend(filters.map(|filter| format!("/events?{filter}")));
    paths.push("/events/500000".to_owned());
    println!("{:<40} {:>6} {:>9} {:>8} {:>8}", "page", "status", "bytes", "p50 ms", "max ms");
    for path in paths {
        let mut times = Vec::new();
        let (mut status, mut bytes) = (0, 0);
        for _ in 0..REPEATS {
            let start = Instant::now();
            (status, bytes) = console.open(&path).await;
            times.push(start.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        println!("{path:<40} {status:>6} {bytes:>9} {:>8.1} {:>8.1}", times[REPEATS / 2], times[REPEATS - 1]);
    }
}

/// Prints acknowledgements per second and their latency, in turn without and with open consoles.
fn measure_acknowledgements(
    runtime: &tokio::runtime::Runtime,
    server: &Server,
    console: &Console,
    arguments: &Arguments,
) {
    println!("{:<16} {:>8} {:>8} {:>8} {:>8}", "open consoles", "acks/s", "p50 ms", "p99 ms", "max ms");
    let next = Arc::new(AtomicU64::new(0));
    for _ in 0..arguments.rounds {
        for consoles in [0, CONSOLES] {
            let stop = Arc::new(AtomicBool::new(false));
            for _ in 0..consoles {
                runtime.spawn(use_console(console.clone(), stop.clone()));
            }
            let (stop_later, duration) = (stop.clone(), Duration::from_secs(arguments.seconds));
            runtime.spawn(async move {
                tokio::time::sleep(duration).await;
                stop_later.store(true, Ordering::Relaxed);
            });
            let load = load::send_load(server.address, CONNECTIONS, BODY_BYTES, next.clone(), stop);
            let load = runtime.block_on(load);
            let (rate, p50, p99, max) = (load.per_second, load.p50, load.p99, load.max);
            println!("{consoles:<16} {rate:>8.0} {p50:>8.2} {p99:>8.2} {max:>8.2}");
            assert_eq!(load.refused, 0);
        }
    }
}

/// Opens the overview or the events every two seconds, and holds a stream of live rows.
async fn use_console(console: Console, stop: Arc<AtomicBool>) {
    let stream = console.clone();
    let live = tokio::spawn(async move { stream.open("/events/stream").await });
    while !stop.load(Ordering::Relaxed) {
        console.open("/").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        console.open("/events?source=shopify").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    live.abort();
}

fn add_user(directory: &Path) {
    let mut command = command(directory, &["users", "add", "bench", "--role", "admin", "--password-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().success());
}

/// Returns the resident memory in KiB.
fn read_rss_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

async fn fill_database(path: &Path, events: u32) {
    let store = Store::open(&StoreOptions::new(path.to_owned()), &Clock::system()).unwrap();
    let sql = build_fill_sql(events);
    let job = move |connection: &rusqlite::Connection| Ok(connection.execute_batch(&sql)?);
    store.writer.submit(WriteClass::Maintain, job).await.unwrap();
    store.writer.close().await;
}

/// Returns the SQL that inserts all rows: one event in fifty failed, one order for each two events.
fn build_fill_sql(events: u32) -> String {
    let orders = events / 2;
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {events})
         INSERT INTO webhook_events (source, shop_domain, topic, webhook_id, status, received_at, completed_at, last_error)
         SELECT 'shopify', '{SHOP}', 'orders/create', hex(randomblob(16)), iif(i % 50, 'completed', 'failed'),
                strftime('%Y-%m-%dT%H:%M:%S.000Z', 'now', '-' || ({events} - i) || ' seconds'),
                iif(i % 50, '2026-01-01T00:00:00.000Z', NULL), iif(i % 50, NULL, 'the body has no id ' || i) FROM n;
         INSERT INTO event_subjects SELECT 'order', CAST(id % {orders} + 1 AS TEXT), '{SHOP}', id FROM webhook_events;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {orders})
         INSERT INTO sales_orders (shop_domain, order_id, name, email, customer_id, row_version, event_id)
         SELECT '{SHOP}', i, '#' || i, 'buyer' || i || '@example.com', i, '', i FROM n;
         INSERT INTO sales_order_lines (shop_domain, order_id, line_id, position, sku, quantity)
         SELECT '{SHOP}', o.order_id, 1, 1, 'EVERYWHERE', 1 FROM sales_orders o;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {orders})
         INSERT INTO system_log (at, type, realm, username, ip_address, result, prev_hash, hash)
         SELECT '2026-01-01T00:00:00.000Z', 'LOGIN', 'food', 'user' || i % 100, '192.0.2.1', 'ok', 'x', 'x' FROM n;"
    )
}
