//! What an authority says beside certificates: renew sooner, not that order, not so often. A small server plays it: pebble of Debian 12
//! knows none of this.

use crate::util::{Home, PATIENCE};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const NAME: &str = "hooks.example.com";

/// What the authority does; changed while it runs.
#[derive(Default)]
struct Ways {
    /// What it suggests for every certificate.
    window: Option<(String, String)>,
    /// The `Retry-After` of that.
    renewal_wait: String,
    /// To its orders, one after the other: status, headers, problem. After them it gives certificates.
    answers: Vec<(u16, String, String)>,
    /// The next look at an order is put off.
    busy: bool,
    /// So many downloads fail.
    failing: u32,
    /// The orders that came, newest last.
    orders: Vec<Value>,
    /// Certificates that were issued; the newest as PEM.
    issued: u32,
    newest: String,
}

struct Authority {
    url: String,
    ways: Arc<Mutex<Ways>>,
}

impl Authority {
    fn start(window: Option<(&str, &str)>, answers: &[(u16, &str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ways = Ways {
            window: window.map(|(start, end)| (start.to_owned(), end.to_owned())),
            renewal_wait: "21600".to_owned(),
            answers: answers
                .iter()
                .map(|(status, head, body)| (*status, (*head).to_owned(), (*body).to_owned()))
                .collect(),
            ..Ways::default()
        };
        let ways = Arc::new(Mutex::new(ways));
        let (serving, base) = (ways.clone(), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (ways, base) = (serving.clone(), base.clone());
                std::thread::spawn(move || while serve(&stream, &base, &ways).is_some() {});
            }
        });
        Self { url, ways }
    }

    /// A home without a certificate.
    fn bare(&self) -> Home {
        Home::new(&format!(
            "[tls.acme]\nnames = [\"{NAME}\"]\nterms_agreed = true\ndirectory = \"{}/directory\"\n",
            self.url
        ))
    }

    /// A home whose certificate, of an authority, lives for a hundred years.
    fn home(&self) -> Home {
        let home = self.bare();
        let own = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2126, 1, 1);
        let certificate = parameters.signed_by(&own, &issuer()).unwrap();
        fs::create_dir_all(home.path("tls/acme")).unwrap();
        fs::write(
            home.path("tls/acme/certificate.pem"),
            format!("# got by novex-ingest from {}/directory\n{}{}", self.url, own.serialize_pem(), certificate.pem()),
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

/// A certificate for what a request (DER) asks for.
fn sign(request: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    fs::write(at("csr"), request).unwrap();
    fs::write(at("ext"), format!("subjectAltName=DNS:{NAME}")).unwrap();
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let (key, ca, csr, ext, out) = (at("key"), at("ca"), at("csr"), at("ext"), at("out"));
    let own = ["-nodes", "-keyout", &key, "-out", &ca, "-subj", "/CN=the test's authority", "-days", "3"];
    openssl(&[&["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"][..], &own].concat());
    let with = ["-CA", &ca, "-CAkey", &key, "-CAcreateserial", "-extfile", &ext, "-out", &out, "-days", "90"];
    openssl(&[&["x509", "-req", "-inform", "DER", "-in", &csr][..], &with].concat());
    fs::read_to_string(out).unwrap() + &fs::read_to_string(ca).unwrap()
}

/// One request of a connection; `None` at its end.
fn serve(stream: &TcpStream, base: &str, ways: &Mutex<Ways>) -> Option<()> {
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
    let mut ways = ways.lock().unwrap();
    let order = |status: &str| {
        json!({
            "status": status, "identifiers": [{"type": "dns", "value": NAME}], "authorizations": [],
            "finalize": format!("{base}/finalize"), "certificate": format!("{base}/certificate"),
        })
        .to_string()
    };
    let (status, headers, answer) = match path.as_str() {
        "/directory" => {
            let mut directory = json!({
                "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"), "newOrder": format!("{base}/order"),
            });
            if ways.window.is_some() {
                directory["renewalInfo"] = format!("{base}/renewal").into();
            }
            (200, String::new(), directory.to_string())
        }
        "/nonce" => (200, String::new(), String::new()),
        "/account" => (201, format!("location: {base}/account/1\r\n"), json!({"status": "valid"}).to_string()),
        "/order" => {
            ways.orders.push(payload());
            let given = ways.answers.get(ways.orders.len() - 1).cloned();
            given.unwrap_or_else(|| (201, format!("location: {base}/order/1\r\n"), order("ready")))
        }
        "/order/1" if ways.busy => {
            ways.busy = false;
            (503, String::new(), "<html>busy".to_owned())
        }
        "/order/1" => (200, String::new(), order(if ways.newest.is_empty() { "ready" } else { "valid" })),
        "/finalize" => {
            ways.newest = sign(&BASE64_URL_SAFE_NO_PAD.decode(payload()["csr"].as_str().unwrap()).unwrap());
            ways.issued += 1;
            (200, String::new(), order("valid"))
        }
        "/certificate" if ways.failing > 0 => {
            ways.failing -= 1;
            (500, String::new(), "<html>gone".to_owned())
        }
        "/certificate" => (200, String::new(), ways.newest.clone()),
        renewal if renewal.starts_with("/renewal/") => {
            let (start, end) = ways.window.as_ref()?;
            let window = json!({"suggestedWindow": {"start": start, "end": end}}).to_string();
            (200, format!("retry-after: {}\r\n", ways.renewal_wait), window)
        }
        _ => (404, String::new(), String::new()),
    };
    let kind = if status < 400 { "json" } else { "problem+json" };
    let kind = if answer.starts_with('<') { "text/html".to_owned() } else { format!("application/{kind}") };
    let length = answer.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nreplay-nonce: {status}{length}\r\ncontent-type: {kind}\r\n{headers}content-length: {length}\r\n\r\n"
    );
    (&*stream).write_all((head + &answer).as_bytes()).ok()
}

/// Minutes between the failure and the next attempt.
fn pause(home: &Home) -> i64 {
    let progress: Value = serde_json::from_slice(&fs::read(home.path("tls/acme/progress.json")).unwrap()).unwrap();
    let time = |key: &str| progress[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_second();
    (time("next_attempt") - time("failed_at") + 30).div_euclid(60)
}

const LIMITED: &str =
    r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates (5) already issued"}"#;

#[test]
fn a_certificate_that_the_authority_wants_renewed_is_replaced_before_its_time() {
    // As Let's Encrypt answers for a certificate of an account that was lost.
    let replaced =
        r#"{"type":"urn:ietf:params:acme:error:unauthorized","detail":"requester account did not request it"}"#;
    let authority = Authority::start(
        Some(("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        &[(403, "", replaced), (429, "retry-after: 7200\r\n", LIMITED)],
    );
    let home = authority.home();
    let daemon = home.serve();
    home.wait_for_log("the authority wants the certificate to be renewed now", 1);
    home.wait_for_log("too many certificates (5) already issued (urn:ietf:params:acme:error:rateLimited). The one that is there serves on", 1);
    daemon.stop();
    let orders = authority.ways.lock().unwrap().orders.clone();
    assert_eq!(orders[0]["identifiers"], json!([{"type": "dns", "value": NAME}]));
    assert_eq!(orders[0]["replaces"].as_str().unwrap().matches('.').count(), 1);
    // Refused for that: asked for without it.
    assert_eq!(orders[1].get("replaces"), None);
    assert_eq!(orders.len(), 2);
    assert_eq!(pause(&home), 120, "as the authority said");
}

/// What was issued counts at the authority: it is fetched, also by the next process, and not asked for again.
#[test]
fn a_certificate_that_could_not_be_fetched_is_fetched_later() {
    let authority = Authority::start(None, &[]);
    authority.ways.lock().unwrap().failing = 2;
    let home = authority.bare();
    let daemon = home.serve();
    home.wait_for_log("/certificate answered 500", 1);
    // A busy authority has not said no.
    authority.ways.lock().unwrap().busy = true;
    daemon.signal("HUP");
    home.wait_for_log("/order/1 answered 503", 1);
    daemon.signal("HUP");
    home.wait_for_log("/certificate answered 500", 2);
    daemon.signal("KILL");
    drop(daemon);
    assert!(home.path("tls/acme/pending.pem").exists());
    let daemon = home.serve();
    home.wait_for_log("serves from now on, until", 1);
    daemon.stop();
    let ways = authority.ways.lock().unwrap();
    assert_eq!((ways.issued, ways.orders.len()), (1, 1));
    assert!(!home.path("tls/acme/pending.pem").exists());
}

/// An order that the authority knows no more keeps nobody from a new one.
#[test]
fn an_order_that_is_gone_is_begun_anew() {
    let authority = Authority::start(None, &[]);
    authority.ways.lock().unwrap().failing = 1;
    let home = authority.bare();
    let daemon = home.serve();
    home.wait_for_log("/certificate answered 500", 1);
    daemon.stop();
    let pending = home.path("tls/acme/pending.pem");
    let text = fs::read_to_string(&pending).unwrap();
    fs::write(&pending, text.replace("/order/1", "/order/gone")).unwrap();
    authority.ways.lock().unwrap().newest.clear();
    let daemon = home.serve();
    home.wait_for_log("serves from now on, until", 1);
    daemon.stop();
    assert_eq!(authority.ways.lock().unwrap().orders.len(), 2);
}

/// Whoever asks is told no as long as the authority says so.
#[test]
fn the_authoritys_pause_holds_against_everybody() {
    let authority = Authority::start(
        Some(("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        &[(429, "retry-after: 7200\r\n", LIMITED)],
    );
    let home = authority.home();
    let daemon = home.serve();
    home.wait_for_log("no certificate for", 1);
    assert!(!home.log().contains("or at once by"), "{}", home.log());
    daemon.signal("HUP");
    home.wait_for_log("is due and will be asked for at", 1);
    daemon.stop();
    let daemon = home.serve();
    daemon.stop();
    assert_eq!(authority.ways.lock().unwrap().orders.len(), 1);
}

/// An authority that cannot be taken at its word in a number takes nothing down.
#[test]
fn a_wait_without_end_is_cut() {
    let authority = Authority::start(
        Some(("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        &[(429, "retry-after: 18446744073709551615\r\n", LIMITED)],
    );
    authority.ways.lock().unwrap().renewal_wait = "18446744073709551615".to_owned();
    let home = authority.home();
    let daemon = home.serve();
    home.wait_for_log("no certificate for", 1);
    daemon.stop();
    assert!(!home.log().contains("panicked"), "{}", home.log());
    assert_eq!(pause(&home), 7 * 24 * 60);
}

#[test]
fn a_window_that_lies_ahead_is_waited_for_and_remembered() {
    let authority = Authority::start(Some(("2050-01-02T00:00:00Z", "2050-01-03T00:00:00Z")), &[(500, "", "")]);
    let home = authority.home();
    let daemon = home.serve();
    let start = Instant::now();
    while !home.path("tls/acme/progress.json").exists() {
        assert!(start.elapsed() < PATIENCE, "{}", home.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.stop();
    let progress: Value = serde_json::from_slice(&fs::read(home.path("tls/acme/progress.json")).unwrap()).unwrap();
    let at = progress["suggestion"]["at"].as_i64().unwrap();
    assert!((2_524_694_400..=2_524_780_800).contains(&at), "{progress}");
    assert!(authority.ways.lock().unwrap().orders.is_empty());
}

#[test]
fn an_answer_that_is_no_answer_is_said_as_such_and_its_wait_is_kept() {
    let busy = "<html>come back later</html>";
    let authority = Authority::start(None, &[(503, "retry-after: 1800\r\n", busy)]);
    let home = authority.home();
    // The certificate is for another name.
    fs::write(home.config(), fs::read_to_string(home.config()).unwrap().replace(NAME, "other.example.com")).unwrap();
    // Written by a clock that was far ahead: no reason to wait for it.
    let ahead = json!({
        "names": ["other.example.com"], "directory": format!("{}/directory", authority.url), "failures": 0,
        "next_attempt": "2090-01-01T00:00:00Z", "held_until": "2090-01-01T00:00:00Z", "ask_at": "2090-01-01T00:00:00Z"
    });
    fs::write(home.path("tls/acme/progress.json"), ahead.to_string()).unwrap();
    let daemon = home.serve();
    home.wait_for_log("order answered 503 Service Unavailable and no reason", 1);
    daemon.stop();
    assert_eq!(pause(&home), 30);
}
