//! An ACME authority whose every response a test chooses. Debian 12's pebble has no renewal information and no rate
//! limits.

use super::Home;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};

pub const NAME: &str = "hooks.example.com";

/// Behaviour of the authority, which a test can change while it runs, and its records.
#[derive(Default)]
pub struct AuthorityState {
    /// Suggested renewal window of every certificate: start and end.
    pub window: Option<(String, String)>,
    /// `Retry-After` of the renewal window.
    pub window_retry_after: String,
    /// Responses to new orders, one after the other: status, headers, body. Later orders succeed.
    pub order_responses: Vec<(u16, String, String)>,
    /// Responds 503 to the next request for an order.
    pub busy: bool,
    /// Number of certificate downloads that fail.
    pub download_failures: u32,
    /// Received orders, newest last.
    pub orders: Vec<Value>,
    /// Number of issued certificates.
    pub issued: u32,
    /// Newest issued certificate, in PEM.
    pub newest: String,
}

pub struct FakeAuthority {
    pub url: String,
    pub state: Arc<Mutex<AuthorityState>>,
}

impl FakeAuthority {
    pub fn start(window: Option<(&str, &str)>, order_responses: &[(u16, &str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = AuthorityState {
            window: window.map(|(start, end)| (start.to_owned(), end.to_owned())),
            window_retry_after: "21600".to_owned(),
            order_responses: order_responses
                .iter()
                .map(|(status, head, body)| (*status, (*head).to_owned(), (*body).to_owned()))
                .collect(),
            ..AuthorityState::default()
        };
        let state = Arc::new(Mutex::new(state));
        let (accepting, base) = (state.clone(), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, base) = (accepting.clone(), base.clone());
                std::thread::spawn(move || while serve_request(&stream, &base, &state).is_some() {});
            }
        });
        Self { url, state }
    }

    /// Creates a home without a certificate.
    pub fn home_without_certificate(&self) -> Home {
        Home::new(&format!(
            "[tls.acme]\nnames = [\"{NAME}\"]\nterms_agreed = true\ndirectory = \"{}/directory\"\n",
            self.url
        ))
    }

    /// Creates a home with a certificate of this authority that is valid for a hundred years.
    pub fn home(&self) -> Home {
        let home = self.home_without_certificate();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2126, 1, 1);
        let certificate = parameters.signed_by(&key, &issuer()).unwrap();
        fs::create_dir_all(home.path("tls/acme")).unwrap();
        fs::write(
            home.path("tls/acme/certificate.pem"),
            format!(
                "# obtained by novex-ingest from {}/directory\n{}{}",
                self.url,
                key.serialize_pem(),
                certificate.pem()
            ),
        )
        .unwrap();
        home
    }
}

fn issuer() -> rcgen::Issuer<'static, rcgen::KeyPair> {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "the test's authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    rcgen::Issuer::new(authority, rcgen::KeyPair::generate().unwrap())
}

/// Returns the certificate chain for a certificate request (DER), in PEM.
fn sign_request(request: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    fs::write(at("csr"), request).unwrap();
    fs::write(at("ext"), format!("subjectAltName=DNS:{NAME}")).unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (key, ca, csr, ext, out) = (at("key"), at("ca"), at("csr"), at("ext"), at("out"));
    let own = ["-nodes", "-keyout", &key, "-out", &ca, "-subj", "/CN=the test's authority", "-days", "3"];
    openssl(&[&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"][..], &own].concat());
    let with = ["-CA", &ca, "-CAkey", &key, "-CAcreateserial", "-extfile", &ext, "-out", &out, "-days", "90"];
    openssl(&[&["x509", "-req", "-inform", "DER", "-in", &csr][..], &with].concat());
    fs::read_to_string(out).unwrap() + &*fs::read_to_string(ca).unwrap()
}

/// Serves one request of a connection; returns `None` at its end.
fn serve_request(stream: &TcpStream, base: &str, state: &Mutex<AuthorityState>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let (mut first, mut length) = (String::new(), 0);
    while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
        if first.is_empty() {
            first.push_str(line.trim());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        line.clear();
    }
    let path = first.split(' ').nth(1)?.to_owned();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let payload = || {
        let jose: Value = serde_json::from_slice(&body).unwrap();
        let payload = BASE64_URL_SAFE_NO_PAD.decode(jose["payload"].as_str().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&payload).unwrap_or_default()
    };
    let mut state = state.lock().unwrap();
    let order = |status: &str| {
        json!({
            "status": status, "identifiers": [{"type": "dns", "value": NAME}], "authorizations": [],
            "finalize": format!("{base}/finalize"), "certificate": format!("{base}/certificate"),
        })
        .to_string()
    };
    let (status, headers, content) = match path.as_str() {
        "/directory" => {
            let mut directory = json!({
                "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"), "newOrder": format!("{base}/order"),
            });
            if state.window.is_some() {
                directory["renewalInfo"] = format!("{base}/renewal").into();
            }
            (200, String::new(), directory.to_string())
        }
        "/nonce" => (200, String::new(), String::new()),
        "/account" => (201, format!("location: {base}/account/1\r\n"), json!({"status": "valid"}).to_string()),
        "/order" => {
            state.orders.push(payload());
            let response = state.order_responses.get(state.orders.len() - 1).cloned();
            response.unwrap_or_else(|| (201, format!("location: {base}/order/1\r\n"), order("ready")))
        }
        "/order/1" if state.busy => {
            state.busy = false;
            (503, String::new(), "<html>busy".to_owned())
        }
        "/order/1" => (200, String::new(), order(if state.newest.is_empty() { "ready" } else { "valid" })),
        "/finalize" => {
            state.newest = sign_request(&BASE64_URL_SAFE_NO_PAD.decode(payload()["csr"].as_str().unwrap()).unwrap());
            state.issued += 1;
            (200, String::new(), order("valid"))
        }
        "/certificate" if state.download_failures > 0 => {
            state.download_failures -= 1;
            (500, String::new(), "<html>gone".to_owned())
        }
        "/certificate" => (200, String::new(), state.newest.clone()),
        renewal if renewal.starts_with("/renewal/") => {
            let (start, end) = state.window.as_ref()?;
            let window = json!({"suggestedWindow": {"start": start, "end": end}}).to_string();
            (200, format!("retry-after: {}\r\n", state.window_retry_after), window)
        }
        _ => (404, String::new(), String::new()),
    };
    let kind = if status < 400 { "json" } else { "problem+json" };
    let kind = if content.starts_with('<') { "text/html".to_owned() } else { format!("application/{kind}") };
    let length = content.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nreplay-nonce: {status}{length}\r\ncontent-type: {kind}\r\n{headers}content-length: {length}\r\n\r\n"
    );
    (&*stream).write_all((head + &*content).as_bytes()).ok()
}
