//! The sections of the configuration: every key, its default and what it may be.

use super::backup::{self, Backup};
use super::reader::{At, Document, Table};
use super::sps::{self, Sps};
use super::{Config, Lines, Mistakes, Secrets, Warning, destinations, retention, secrets, tls};

pub use super::tls::Tls;
use crate::destinations::Settings;
use crate::providers::keycloak::Accept;
use crate::secret::Secret;
use crate::store::alerts::LoginErrors;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the package keeps the database.
const DATABASE: &str = "/var/lib/novex-ingest/events.db";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The public listener and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub listen: SocketAddr,
    /// Largest body of a delivery; refused while it streams in.
    pub max_body_bytes: u64,
    /// Bodies of all requests in flight together: bounds the memory.
    pub max_buffered_bytes: u64,
    pub max_connections: u64,
    pub max_connections_per_address: u64,
    /// Requests that are being answered at once.
    pub max_requests: u64,
    pub max_requests_per_address: u64,
    pub max_header_bytes: u64,
    pub max_headers: u64,
    /// HTTP/2: requests at once on one connection.
    pub max_streams: u64,
    /// HTTP/2: streams a client may reset before they are answered, until the connection is closed.
    pub max_stream_resets: u64,
    pub handshake_timeout: Duration,
    /// From a request's first byte to the end of its headers.
    pub header_timeout: Duration,
    /// From the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// A connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// From a body's last byte to the answer: Shopify waits 5 s in all.
    pub answer_timeout: Duration,
    /// How long requests in flight may take when the daemon stops.
    pub shutdown_timeout: Duration,
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub path: PathBuf,
    pub busy_timeout: Duration,
    pub queue: u64,
    pub batch: u64,
    pub wal_bytes: u64,
    pub min_free_bytes: u64,
    pub readers: u64,
    /// False: another program copies the WAL into the database, as Litestream must.
    pub checkpoints: bool,
}

/// The queue's workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// False: `serve` only receives, and `work` does the work.
    pub in_serve: bool,
    pub max_attempts: u32,
    pub backoff_base: Duration,
    pub backoff_max: Duration,
    /// How long a claim stands unrenewed, and how long a handler may run.
    pub lease: Duration,
    pub batch: u32,
    pub concurrency: u64,
    pub poll: Duration,
    pub grace: Duration,
}

/// A Shopify shop that may send.
#[derive(Debug, Clone)]
pub struct Shop {
    pub domain: String,
    pub secrets: Vec<Secret>,
}

/// EasyPost's webhook.
#[derive(Debug, Clone)]
pub struct EasyPost {
    pub secrets: Vec<Secret>,
    pub tolerance: Duration,
}

/// Keycloak's listener.
#[derive(Debug, Clone)]
pub struct Keycloak {
    pub secrets: Vec<Secret>,
    pub accept: Accept,
    pub login_errors: LoginErrors,
}

/// The log on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub json: bool,
    /// error, warn, info, debug or trace.
    pub level: String,
}

/// Reads all sections.
pub(super) fn read(mut document: Document<'_>, path: &Path, secrets: Secrets) -> (Config, Mistakes) {
    let mut reading = Reading { path, secrets, warnings: Vec::new() };
    let root = document.root();
    let (server_table, store_table, tls_table) = (root.table("server"), root.table("store"), root.table("tls"));
    let lines = Lines {
        listen: server_table.line("listen"),
        store: store_table.line("path"),
        certificate: tls_table.line("certificate"),
    };
    let server = server(server_table);
    let store = store(store_table, path);
    let config = Config {
        path: path.to_owned(),
        lines,
        tls: reading.tls(tls_table, &store),
        worker: worker(root.table("worker")),
        shopify: reading.shopify(root.table("shopify")),
        easypost: reading.easypost(root.table("easypost")),
        keycloak: reading.keycloak(root.table("keycloak")),
        sps: None,
        destinations: Vec::new(),
        backup: reading.backup(root.table("backup")),
        retention: retention::read(root.table("retention")),
        log: log(root.table("log")),
        server,
        store,
        warnings: Vec::new(),
    };
    let mut destinations = reading.destinations(root.tables("destinations"), config.worker.max_attempts);
    let sps = reading.sps(root.table("sps"));
    destinations.extend(
        sps.iter()
            .filter_map(|sps| sps.outgoing.as_ref())
            .map(|to| destinations::outgoing(to, config.worker.max_attempts)),
    );
    if config.shopify.is_empty() && config.easypost.is_none() && config.keycloak.is_none() && sps.is_none() {
        reading.warnings.push(Warning::new(
            "no provider is configured, so that every delivery is answered 503",
            "`novex-ingest setup` asks for what is missing",
        ));
    }
    root.end_here();
    (Config { sps, destinations, warnings: reading.warnings, ..config }, document.finish())
}

fn server(mut table: Table<'_>) -> Server {
    let any = 1..=1_000_000;
    let server = Server {
        listen: table.parsed("listen", SocketAddr::from(([0, 0, 0, 0], 8443)), "0.0.0.0:8443"),
        max_body_bytes: table.number("max_body_bytes", 16 << 20, 1..=1 << 30),
        max_buffered_bytes: table.number("max_buffered_bytes", 256 << 20, 1 << 20..=1 << 40),
        max_connections: table.number("max_connections", 1024, any.clone()),
        max_connections_per_address: table.number("max_connections_per_address", 256, any.clone()),
        max_requests: table.number("max_requests", 512, any.clone()),
        max_requests_per_address: table.number("max_requests_per_address", 256, any.clone()),
        max_header_bytes: table.number("max_header_bytes", 16 << 10, 8 << 10..=1 << 20),
        max_headers: table.number("max_headers", 100, 10..=1000),
        max_streams: table.number("max_streams", 100, 1..=10_000),
        max_stream_resets: table.number("max_stream_resets", 20, 1..=10_000),
        handshake_timeout: table.duration("handshake_timeout", 10 * SECOND, SECOND / 10..=HOUR),
        header_timeout: table.duration("header_timeout", 10 * SECOND, SECOND / 10..=HOUR),
        body_timeout: table.duration("body_timeout", 15 * SECOND, SECOND / 10..=HOUR),
        idle_timeout: table.duration("idle_timeout", 75 * SECOND, SECOND / 10..=DAY),
        answer_timeout: table.duration("answer_timeout", SECOND * 9 / 2, SECOND / 10..=HOUR),
        shutdown_timeout: table.duration("shutdown_timeout", 5 * SECOND, Duration::ZERO..=HOUR),
    };
    if server.max_buffered_bytes < server.max_body_bytes {
        table.mistake(
            "max_buffered_bytes is less than max_body_bytes: a body of the allowed size would never find room",
            "Make it several times as large.",
        );
    }
    table.end();
    server
}

fn store(mut table: Table<'_>, config: &Path) -> Store {
    let path = table.text("path").map_or_else(|| DATABASE.into(), |path| beside(config, &path.value));
    let store = Store {
        path,
        busy_timeout: table.duration("busy_timeout", 4 * SECOND, SECOND / 10..=HOUR),
        queue: table.number("queue", 1024, 1..=1_000_000),
        batch: table.number("batch", 256, 1..=10_000),
        wal_bytes: table.number("wal_bytes", 32 << 20, 1 << 20..=1 << 34),
        min_free_bytes: table.number("min_free_bytes", 64 << 20, 0..=1 << 50),
        readers: table.number("readers", 4, 1..=64),
        checkpoints: table.flag("checkpoints", true),
    };
    table.end();
    store
}

fn worker(mut table: Table<'_>) -> Worker {
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let worker = Worker {
        in_serve: table.flag("in_serve", true),
        max_attempts: small(table.number("max_attempts", 8, 1..=100)),
        backoff_base: table.duration("backoff_base", 15 * SECOND, SECOND / 1000..=DAY),
        backoff_max: table.duration("backoff_max", 6 * HOUR, SECOND / 1000..=30 * DAY),
        lease: table.duration("lease", 300 * SECOND, SECOND..=DAY),
        batch: small(table.number("batch", 32, 1..=10_000)),
        concurrency: table.number("concurrency", 4, 1..=256),
        poll: table.duration("poll", SECOND, SECOND / 100..=HOUR),
        grace: table.duration("grace", 20 * SECOND, Duration::ZERO..=HOUR),
    };
    if worker.backoff_base > worker.backoff_max {
        table.mistake("backoff_base is longer than backoff_max", "Make backoff_max at least as long.");
    }
    table.end();
    worker
}

fn log(mut table: Table<'_>) -> Log {
    let mut one_of = |key: &str, default: &str, all: &[&str]| -> String {
        let Some(text) = table.text(key) else { return default.to_owned() };
        if all.contains(&text.value.as_str()) {
            return text.value;
        }
        table.mistake_at(&text, format!("{:?} is not known", text.value), format!("Use one of {}.", all.join(", ")));
        default.to_owned()
    };
    let log = Log {
        json: one_of("format", "text", &["text", "json"]) == "json",
        level: one_of("level", "info", &["error", "warn", "info", "debug", "trace"]),
    };
    table.end();
    log
}

/// What the sections with files need beside their table.
struct Reading<'p> {
    path: &'p Path,
    secrets: Secrets,
    warnings: Vec<Warning>,
}

impl Reading<'_> {
    fn tls(&mut self, table: Table<'_>, store: &Store) -> Tls {
        let (path, state) = (self.path, store.path.parent().unwrap_or(Path::new("")));
        tls::read(table, state, |table| self.secrets(table), |name| beside(path, name))
    }

    fn shopify(&mut self, mut table: Table<'_>) -> Vec<Shop> {
        let mut shops: Vec<Shop> = Vec::new();
        for mut entry in table.tables("shops") {
            let domain = entry.text("domain");
            let secrets = self.secrets(&mut entry);
            match domain {
                None => entry.mistake("has no domain", "Add domain = \"NAME.myshopify.com\"."),
                Some(domain) => {
                    let name = domain.value.to_ascii_lowercase();
                    if let Some(mend) = wrong_domain(&name) {
                        entry.mistake_at(&domain, format!("{name:?} is not a shop's domain"), mend);
                    }
                    if shops.iter().any(|shop| shop.domain == name) {
                        let mend = "Put all its secrets into one [[shopify.shops]].";
                        entry.mistake_at(&domain, format!("{name} is there twice"), mend);
                    }
                    shops.push(Shop { domain: name, secrets });
                }
            }
            entry.end();
        }
        table.end();
        shops
    }

    fn easypost(&mut self, mut table: Table<'_>) -> Option<EasyPost> {
        let present = table.present();
        let secrets = if present { self.secrets(&mut table) } else { Vec::new() };
        let tolerance = table.duration("tolerance", 300 * SECOND, SECOND..=DAY);
        table.end();
        present.then_some(EasyPost { secrets, tolerance })
    }

    fn keycloak(&mut self, mut table: Table<'_>) -> Option<Keycloak> {
        let present = table.present();
        let secrets = if present { self.secrets(&mut table) } else { Vec::new() };
        let mut accept = Accept::default();
        let kinds = table.texts("accept");
        if !kinds.is_empty() {
            accept = Accept { bearer: false, ..accept };
        }
        for kind in &kinds {
            match kind.value.as_str() {
                "bearer" => accept.bearer = true,
                "signature" => accept.signature = true,
                "basic" => accept.basic = true,
                other => {
                    let mend = "Use some of \"bearer\", \"signature\", \"basic\".";
                    table.mistake_at(kind, format!("{other:?} is not known"), mend);
                }
            }
        }
        accept.basic_user = table.text("basic_user").map(|user| user.value);
        let usual = LoginErrors::default();
        let login_errors = LoginErrors {
            count: u32::try_from(table.number("login_errors", usual.count.into(), 1..=1_000_000)).unwrap_or(u32::MAX),
            within: table.duration("login_errors_within", usual.within, SECOND..=30 * DAY),
        };
        table.end();
        present.then_some(Keycloak { secrets, accept, login_errors })
    }

    fn destinations(&mut self, tables: Vec<Table<'_>>, max_attempts: u32) -> Vec<Settings> {
        let mut all: Vec<Settings> = Vec::new();
        for mut table in tables {
            let path = self.path;
            let file = |name: &str| beside(path, name);
            let settings = destinations::read(&mut table, &all, max_attempts, file, |table| {
                let references = table.texts("secrets");
                if references.is_empty() {
                    self.warnings.push(Warning::new(
                        "a destination has no secrets, so that what goes there is not signed",
                        "add secrets = [\"file:/etc/novex-ingest/secrets/NAME\"] to it",
                    ));
                }
                self.load(table, &references, self.secrets != Secrets::LeaveAside)
            });
            all.extend(settings);
            table.end();
        }
        all
    }

    fn backup(&mut self, table: Table<'_>) -> Option<Backup> {
        let path = self.path;
        backup::read(table, |table| self.secrets_for(table, true), |name| beside(path, name))
    }

    fn sps(&mut self, table: Table<'_>) -> Option<Sps> {
        let path = self.path;
        sps::read(table, |table, uploads| self.secrets_for(table, uploads), |name| beside(path, name))
    }

    fn secrets(&mut self, table: &mut Table<'_>) -> Vec<Secret> {
        self.secrets_for(table, false)
    }

    /// `delivers`: what is handed on needs them too.
    fn secrets_for(&mut self, table: &mut Table<'_>, delivers: bool) -> Vec<Secret> {
        let references: Vec<At<String>> = table.texts("secrets");
        if references.is_empty() {
            table.mistake("has no secrets", "Add secrets = [\"file:/etc/novex-ingest/secrets/NAME\"].");
        }
        let wanted = match self.secrets {
            Secrets::Load => true,
            Secrets::Destinations => delivers,
            Secrets::LeaveAside => false,
        };
        self.load(table, &references, wanted)
    }

    fn load(&mut self, table: &Table<'_>, references: &[At<String>], wanted: bool) -> Vec<Secret> {
        let mut loaded = Vec::new();
        for reference in references.iter().filter(|_| wanted) {
            match secrets::load(&reference.value, self.path) {
                Ok(secret) => {
                    self.warnings.extend(secret.warning);
                    loaded.push(secret.secret);
                }
                Err((problem, mend)) => table.mistake_at(reference, problem, mend),
            }
        }
        loaded
    }
}

/// A relative path starts at the configuration's directory, whatever directory a command is run in.
fn beside(config: &Path, path: &str) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(path)
}

fn wrong_domain(name: &str) -> Option<&'static str> {
    if name.contains("://") || name.contains('/') {
        return Some("Write the domain alone, without https:// and path.");
    }
    let fits = name.contains('.') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    (!fits).then_some("Write it as Shopify sends it in X-Shopify-Shop-Domain: NAME.myshopify.com.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> String {
        Config::parse(Path::new("c.toml"), text, Secrets::Load).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let config = Config::parse(Path::new("c.toml"), "", Secrets::Load).unwrap();
        assert_eq!(config.server.listen.to_string(), "0.0.0.0:8443");
        assert_eq!(config.server.max_body_bytes, 16_777_216);
        assert_eq!(config.worker.max_attempts, 8);
        assert_eq!(config.store.path, Path::new("/var/lib/novex-ingest/events.db"));
        assert_eq!(config.tls, Tls::SelfSigned { directory: "/var/lib/novex-ingest/tls".into() });
    }

    #[test]
    fn every_mistake_at_once_with_its_line() {
        let all = mistakes(
            "[server]\nlisten = \"nowhere\"\nmax_boddy_bytes = 1\n\n[worker]\nmax_attempts = 0\nlease = \"fast\"\n\
             [tls]\ncertificate = \"a\"\n[[shopify.shops]]\ndomain = \"https://x.myshopify.com\"\n\
             secrets = [\"hunter2\", \"file:/nonexistent/secret\"]\n[keycloak]\n",
        );
        for expected in [
            "c.toml:2: server.listen: \"nowhere\" is not understood",
            "c.toml:3: server.max_boddy_bytes: is not a known key. Did you mean server.max_body_bytes?",
            "c.toml:6: worker.max_attempts: is out of range",
            "c.toml:7: worker.lease: \"fast\" is not a duration",
            "c.toml:8: tls: has only one of certificate and private_key",
            "c.toml:11: shopify.shops.domain: \"https://x.myshopify.com\" is not a shop's domain",
            "c.toml:12: shopify.shops.secrets: is not a reference to a secret",
            "c.toml:12: shopify.shops.secrets: the secret's file /nonexistent/secret cannot be read",
            "c.toml:13: keycloak: has no secrets",
        ] {
            assert!(all.contains(expected), "{expected}\nis not in\n{all}");
        }
        assert!(!all.contains("hunter2"), "a secret in the wrong place is not printed");
    }

    #[test]
    fn what_is_not_toml_has_a_line_too() {
        let all = mistakes("[server]\nlisten = \n[worker]\nmax_attempts = 0\n");
        assert!(all.contains("c.toml:2"), "{all}");
        assert!(all.contains("c.toml:4: worker.max_attempts"), "{all}");
    }

    #[test]
    fn the_shipped_file_names_every_key_and_its_default() {
        let shipped = include_str!("../../packaging/config.toml");
        let uncommented: String = shipped
            .lines()
            .map(|line| line.strip_prefix("#").filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
            .fold(String::new(), |text, line| text + line + "\n");
        let mut document = Document::parse(Path::new("c.toml"), &uncommented);
        let root = document.root();
        let mut reading = Reading { path: Path::new("c.toml"), secrets: Secrets::Load, warnings: Vec::new() };
        server(root.table("server"));
        let store = store(root.table("store"), Path::new("c.toml"));
        reading.tls(root.table("tls"), &store);
        worker(root.table("worker"));
        reading.shopify(root.table("shopify"));
        reading.easypost(root.table("easypost"));
        reading.keycloak(root.table("keycloak"));
        reading.destinations(root.tables("destinations"), 8);
        reading.sps(root.table("sps"));
        reading.backup(root.table("backup"));
        retention::read(root.table("retention"));
        log(root.table("log"));
        root.end_here();
        let known = document.known_keys();
        assert!(known.len() > 40, "{known:?}");
        for key in known {
            let name = key.rsplit('.').next().unwrap();
            let there = shipped.lines().any(|line| {
                let line = line.trim_start_matches('#').trim_start();
                line.starts_with(&format!("{name} ="))
                    || line.contains(&format!("{name}]"))
                    || line.contains(&format!("[{name}."))
            });
            assert!(there, "packaging/config.toml does not name {key}");
        }
        let mistakes = document.finish().to_string();
        // All of it at once is more than can hold.
        let expected = ["secret", "both files and [tls.acme]"];
        let odd: Vec<&str> = mistakes.lines().filter(|line| !expected.iter().any(|part| line.contains(part))).collect();
        assert!(odd.is_empty(), "packaging/config.toml: {odd:?}");
    }
}
