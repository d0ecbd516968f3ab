//! What an authority says beside certificates: renew sooner, not that order, not so often. A small server plays it: pebble of Debian 12
//! knows none of this.

use crate::util::{Home, PATIENCE};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const NAME: &str = "hooks.example.com";

struct Authority {
    url: String,
    /// The orders that came, newest last.
    orders: Arc<Mutex<Vec<Value>>>,
}

impl Authority {
    /// `window`: what it suggests for every certificate. `answers`: to its orders, one after the other: status, headers, problem.
    fn start(window: Option<(&str, &str)>, answers: &[(u16, &str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let orders: Arc<Mutex<Vec<Value>>> = Arc::default();
        let window = window.map(|(start, end)| json!({"suggestedWindow": {"start": start, "end": end}}).to_string());
        let answers: Vec<_> = answers
            .iter()
            .map(|(status, headers, body)| (*status, (*headers).to_owned(), (*body).to_owned()))
            .collect();
        let (taken, base) = (orders.clone(), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (taken, base, window, answers) = (taken.clone(), base.clone(), window.clone(), answers.clone());
                std::thread::spawn(
                    move || while serve(&stream, &base, &taken, window.as_deref(), &answers).is_some() {},
                );
            }
        });
        Self { url, orders }
    }

    /// A home whose certificate, of an authority, lives from now on for 90 days.
    fn home(&self) -> Home {
        let home = Home::new(&format!(
            "[tls.acme]\nnames = [\"{NAME}\"]\nterms_agreed = true\ndirectory = \"{}/directory\"\n",
            self.url
        ));
        let key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(rcgen::DnType::CommonName, "the test's authority");
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(authority, key);
        let own = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        parameters.use_authority_key_identifier_extension = true;
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2126, 1, 1);
        let certificate = parameters.signed_by(&own, &issuer).unwrap();
        fs::create_dir_all(home.path("tls/acme")).unwrap();
        fs::write(home.path("tls/acme/certificate.pem"), own.serialize_pem() + &certificate.pem()).unwrap();
        home
    }
}

/// One request of a connection; `None` at its end.
fn serve(
    stream: &TcpStream,
    base: &str,
    orders: &Mutex<Vec<Value>>,
    window: Option<&str>,
    answers: &[(u16, String, String)],
) -> Option<()> {
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
    let (status, headers, answer) = match path.as_str() {
        "/directory" => {
            let mut directory = json!({
                "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"), "newOrder": format!("{base}/order"),
            });
            if window.is_some() {
                directory["renewalInfo"] = format!("{base}/renewal").into();
            }
            (200, String::new(), directory.to_string())
        }
        "/nonce" => (200, String::new(), String::new()),
        "/account" => (201, format!("location: {base}/account/1\r\n"), json!({"status": "valid"}).to_string()),
        "/order" => {
            let jose: Value = serde_json::from_slice(&body).unwrap();
            let payload = BASE64_URL_SAFE_NO_PAD.decode(jose["payload"].as_str().unwrap()).unwrap();
            let mut orders = orders.lock().unwrap();
            orders.push(serde_json::from_slice(&payload).unwrap());
            answers[(orders.len() - 1).min(answers.len() - 1)].clone()
        }
        renewal if renewal.starts_with("/renewal/") => (200, "retry-after: 21600\r\n".to_owned(), window?.to_owned()),
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

fn wait_for_log(home: &Home, text: &str) {
    let start = Instant::now();
    while !home.log().contains(text) {
        assert!(start.elapsed() < PATIENCE, "no {text:?} in {}", home.log());
        std::thread::sleep(Duration::from_millis(20));
    }
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
    let replaced = r#"{"type":"urn:ietf:params:acme:error:alreadyReplaced","detail":"it was replaced before"}"#;
    let authority = Authority::start(
        Some(("2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z")),
        &[(409, "", replaced), (429, "retry-after: 7200\r\n", LIMITED)],
    );
    let home = authority.home();
    let daemon = home.serve();
    wait_for_log(&home, "the authority wants the certificate to be renewed now");
    wait_for_log(&home, "too many certificates (5) already issued. The one that is there serves on");
    daemon.stop();
    let orders = authority.orders.lock().unwrap();
    assert_eq!(orders[0]["identifiers"], json!([{"type": "dns", "value": NAME}]));
    assert_eq!(orders[0]["replaces"].as_str().unwrap().matches('.').count(), 1);
    // Refused for that: asked for without it.
    assert_eq!(orders[1].get("replaces"), None);
    assert_eq!(orders.len(), 2);
    assert_eq!(pause(&home), 120, "as the authority said");
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
    assert!(authority.orders.lock().unwrap().is_empty());
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
        "next_attempt": "2090-01-01T00:00:00Z", "ask_at": "2090-01-01T00:00:00Z"
    });
    fs::write(home.path("tls/acme/progress.json"), ahead.to_string()).unwrap();
    let daemon = home.serve();
    wait_for_log(&home, "did not answer as one: the server answered 503");
    daemon.stop();
    assert_eq!(pause(&home), 30);
}
