//! A daemon in a directory of its own, a client that says exactly what it is told, and the system's sqlite3.
//!
//! Signatures are made here with the `hmac` crate and not with the product's code, so that both would have to be wrong.

use crate::any_certificate::AnyCertificate;
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use sha2::Sha256;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const BIN: &str = env!("CARGO_BIN_EXE_novex-ingest");
pub const SHOP: &str = "acme-foods.myshopify.com";
pub const SECRET: &str = "shopify-secret-of-acme";
pub const OLD_SECRET: &str = "shopify-secret-before-rotation";
pub const OTHER_SHOP: &str = "other-foods.myshopify.com";
pub const OTHER_SECRET: &str = "shopify-secret-of-other";
/// Not ASCII, so that a wrong normalisation shows.
pub const EASYPOST_SECRET: &str = "s\u{e9}cret";
pub const KEYCLOAK_SECRET: &str = "keycloak-bearer-token";
/// A bound for waiting on something that will happen: long, because reaching it is a failure and never a success.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A directory with configuration and secrets, where daemons, workers and commands run.
pub struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    /// `extra` is appended to the configuration; a table that stands there already is merged by the caller's care.
    pub fn new(extra: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let home = Self { directory };
        for (name, secret) in [
            ("acme", SECRET),
            ("acme-old", OLD_SECRET),
            ("other", OTHER_SECRET),
            ("easypost", EASYPOST_SECRET),
            ("keycloak", KEYCLOAK_SECRET),
        ] {
            // With the line end that an editor leaves.
            fs::write(home.path(name), format!("{secret}\n")).unwrap();
        }
        home.configure(extra);
        home
    }

    /// Writes the configuration anew.
    pub fn configure(&self, extra: &str) {
        let server = if extra.contains("[server]") { "" } else { "[server]\nlisten = \"127.0.0.1:0\"\n" };
        let store = if extra.contains("[store]") { "" } else { "[store]\npath = \"DB\"\n" };
        let text = format!(
            "{server}{store}\
             [[shopify.shops]]\ndomain = \"{SHOP}\"\nsecrets = [\"file:acme\", \"file:acme-old\"]\n\
             [[shopify.shops]]\ndomain = \"{OTHER_SHOP}\"\nsecrets = [\"file:other\"]\n\
             [easypost]\nsecrets = [\"file:easypost\"]\n\
             [keycloak]\nsecrets = [\"file:keycloak\"]\n{extra}\n"
        );
        fs::write(self.config(), text.replace("\"DB\"", &format!("{:?}", self.db().display().to_string()))).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    pub fn db(&self) -> PathBuf {
        self.path("events.db")
    }

    /// A command of the binary with this home's configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .env_remove("NOVEX_CONFIG")
            .env_remove("JOURNAL_STREAM");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs a command that must succeed; its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// What the system's sqlite3 prints for a query.
    pub fn sql(&self, query: &str) -> String {
        sql(&self.db(), query)
    }

    /// A number that a query gives.
    pub fn count(&self, query: &str) -> i64 {
        let text = self.sql(query);
        text.parse().unwrap_or_else(|_| panic!("{query} gave {text:?}"))
    }

    /// Starts the daemon and waits for its ready line.
    pub fn serve(&self) -> Daemon<'_> {
        self.serve_by(self.command(&["serve"]))
    }

    /// Starts the daemon by a command of the caller's, such as one under strace.
    pub fn serve_by(&self, mut command: Command) -> Daemon<'_> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the daemon starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("novex-ingest ready https://").unwrap_or_else(|| {
            panic!("the daemon said {line:?}; its log: {}", self.log());
        });
        Daemon { address: address.parse().unwrap(), child, home: self }
    }

    /// A worker process, as `novex-ingest work`.
    pub fn work(&self) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        self.command(&["work"]).stdout(Stdio::null()).stderr(log).spawn().expect("the worker starts")
    }

    /// Waits until the log has a text so many times.
    pub fn wait_for_log(&self, text: &str, times: usize) {
        let start = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(start.elapsed() < PATIENCE, "no {text:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What daemons and workers have logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until a query gives `expected`.
    pub fn wait_for(&self, query: &str, expected: &str) {
        let start = Instant::now();
        loop {
            let got = self.sql(query);
            if got == expected {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{query} gives {got:?}, not {expected:?}; log: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until nothing is received or in work.
    pub fn wait_until_worked(&self) {
        self.wait_for("SELECT count(*) FROM queue", "0");
    }

    /// `PRAGMA integrity_check` and the kept counts against the counted ones.
    pub fn assert_sound(&self) {
        assert_eq!(self.sql("PRAGMA integrity_check"), "ok");
        assert_eq!(self.sql("PRAGMA foreign_key_check"), "");
        assert_eq!(
            self.sql("SELECT source, status, events FROM event_counts WHERE events <> 0 ORDER BY 1, 2"),
            self.sql("SELECT source, status, count(*) FROM webhook_events GROUP BY 1, 2 ORDER BY 1, 2"),
            "the kept counts are the true ones"
        );
    }
}

/// What the system's sqlite3 prints for a query on any file.
pub fn sql(db: &Path, query: &str) -> String {
    let output = Command::new("sqlite3")
        .args(["-cmd", ".timeout 20000", "-batch"])
        .arg(db)
        .arg(query)
        .output()
        .expect("sqlite3 is installed");
    assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A running daemon; killed when it goes.
pub struct Daemon<'h> {
    pub address: SocketAddr,
    pub child: Child,
    pub home: &'h Home,
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon<'_> {
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// SIGTERM; it must end by itself with status 0.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.home.log());
    }

    /// A new connection, HTTP/1.1 over TLS.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address).expect("the daemon accepts")
    }

    /// One request on a connection of its own.
    pub fn request(&self, request: &Request) -> Answer {
        self.connect().request(request)
    }

    /// A correctly signed Shopify delivery of `body` under `webhook_id`.
    pub fn deliver(&self, webhook_id: &str, body: &[u8]) -> Answer {
        self.request(&shopify(webhook_id, body))
    }
}

pub fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(done.success(), "kill -{name} {pid}");
}

/// A request, written out as it stands.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Sent in chunks of this size instead of with a content-length.
    pub chunk: Option<usize>,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        Self { method: method.into(), path: path.into(), headers: Vec::new(), body: Vec::new(), chunk: None }
    }

    pub fn post(path: &str, body: &[u8]) -> Self {
        Self { body: body.to_vec(), ..Self::new("POST", path) }
    }

    /// Sets a header, in place of one of the same name.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub fn chunked(mut self, size: usize) -> Self {
        self.chunk = Some(size);
        self
    }

    /// The request without its body.
    pub fn head(&self) -> Vec<u8> {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path), "host: localhost".to_owned()];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.push(match self.chunk {
            Some(_) => "transfer-encoding: chunked".to_owned(),
            None => format!("content-length: {}", self.body.len()),
        });
        (lines.join("\r\n") + "\r\n\r\n").into_bytes()
    }

    /// The request's bytes.
    pub fn written(&self) -> Vec<u8> {
        let mut bytes = self.head();
        match self.chunk {
            None => bytes.extend_from_slice(&self.body),
            Some(size) => {
                for chunk in self.body.chunks(size) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// Hex HMAC-SHA256.
pub fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A correctly signed `orders/create` of [`SHOP`].
pub fn shopify(webhook_id: &str, body: &[u8]) -> Request {
    Request::post("/api/webhooks/shopify/orders/create", body)
        .with("content-type", "application/json")
        .with("X-Shopify-Topic", "orders/create")
        .with("X-Shopify-Shop-Domain", SHOP)
        .with("X-Shopify-Webhook-Id", webhook_id)
        .with("X-Shopify-Hmac-Sha256", &base64(&hmac(SECRET.as_bytes(), body)))
}

/// A correctly signed EasyPost event. The key is the secret in NFKD, written out here.
pub fn easypost(body: &[u8]) -> Request {
    let tag = hex::encode(hmac("se\u{301}cret".as_bytes(), body));
    Request::post("/api/webhooks/easypost", body).with("X-Hmac-Signature", &format!("hmac-sha256-hex={tag}"))
}

/// A Keycloak event with its bearer.
pub fn keycloak(body: &[u8]) -> Request {
    Request::post("/api/keycloak/events", body).with("Authorization", &format!("Bearer {KEYCLOAK_SECRET}"))
}

/// An order that the handler takes, with this number.
pub fn order(id: u64) -> Vec<u8> {
    format!(
        r##"{{"id":{id},"name":"#{id}","currency":"USD","total_price":"10.00","created_at":"2026-11-23T10:00:00-05:00","updated_at":"2026-11-23T10:00:00-05:00","line_items":[{{"id":{id}1,"sku":"JAM-6","quantity":2,"price":"5.00"}}]}}"##
    )
    .into_bytes()
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?} is no JSON"))
    }

    /// The event's id of a 200.
    pub fn event_id(&self) -> i64 {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["event_id"].as_i64().unwrap()
    }

    pub fn duplicate(&self) -> bool {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["duplicate"].as_bool().unwrap()
    }
}

/// A TLS connection on which a test says what it likes.
pub struct Connection {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let tls = ClientConnection::new(Arc::new(client_config(&[b"http/1.1"])), "localhost".try_into().unwrap())
            .map_err(std::io::Error::other)?;
        Ok(Self { stream: StreamOwned::new(tls, tcp), buffer: Vec::new() })
    }

    /// The certificate that the daemon showed.
    pub fn certificate(&mut self) -> Vec<u8> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock).unwrap();
        }
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// One request and its answer. The daemon may answer before it has read all: then the rest need not be written.
    pub fn request(&mut self, request: &Request) -> Answer {
        let _ = self.send(&request.written());
        self.answer().expect("an answer")
    }

    /// Reads one answer; `Err` when the connection ends before one.
    pub fn answer(&mut self) -> std::io::Result<Answer> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> =
            lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.into(), value.into())).collect();
        self.buffer.drain(..head_end + 4);
        if status == 100 {
            return self.answer();
        }
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
        while self.buffer.len() < length {
            self.fill()?;
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Ok(Answer { status, headers, body: String::from_utf8(body).unwrap() })
    }

    /// True when the daemon ends the connection without another byte.
    pub fn ends(&mut self) -> bool {
        self.fill().is_err()
    }

    fn fill(&mut self) -> std::io::Result<()> {
        let mut chunk = [0; 16 << 10];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

/// A client that takes any certificate: which one the daemon shows is a test of its own.
pub fn client_config(alpn: &[&[u8]]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}
