//! An HTTP server with SPS's transactions API: tokens that expire, pages, and errors that a test chooses.

use super::Home;
use super::edi_files::{interchange, order_set};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Files and behaviour of the API, which a test can change while it runs, and its records.
#[derive(Default)]
pub struct SpsApiState {
    pub files: BTreeMap<String, String>,
    /// Number of issued tokens.
    pub tokens: u32,
    /// The valid token.
    pub valid_token: String,
    /// Statuses and headers of the next responses, last first; later requests succeed.
    pub errors: Vec<(u16, &'static str)>,
    /// URL of the second page in the response; `None` for the right one.
    pub next_page: Option<String>,
    /// Number of bytes after which a download is cut off.
    pub cut_after: Option<usize>,
    /// Received requests: method and path.
    pub requests: Vec<String>,
    /// Uploaded files: name and content.
    pub uploads: Vec<(String, String)>,
}

pub struct FakeSpsApi {
    pub url: String,
    pub state: Arc<Mutex<SpsApiState>>,
}

impl FakeSpsApi {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<SpsApiState>> = Arc::default();
        let (accepting, base) = (state.clone(), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, base) = (accepting.clone(), base.clone());
                std::thread::spawn(move || while serve_request(&stream, &state, &base).is_some() {});
            }
        });
        Self { url, state }
    }

    /// Creates a home whose only source is this API. `extra` is appended to the source.
    pub fn home(&self, extra: &str) -> Home {
        let home = Home::new("");
        fs::write(home.path("client"), "client-secret\n").unwrap();
        home.configure(&format!(
            "[worker]\nin_serve = false\nbackoff_base = \"10ms\"\nbackoff_max = \"40ms\"\n[sps]\ninterval = \"0\"\n[[sps.sources]]\n\
             name = \"api\"\nurl = \"{}/transactions/v5/data/out\"\nclient_id = \"novex\"\nsecrets = [\"file:client\"]\n\
             token_url = \"{}/oauth/token\"\ntimeout = \"5s\"\n{extra}\n",
            self.url, self.url
        ));
        home.serve().stop();
        home
    }

    /// Adds a file with one order of this number.
    pub fn put(&self, name: &str, number: &str) {
        self.state.lock().unwrap().files.insert(name.to_owned(), interchange("850", &[order_set(number, 1)]));
    }
}

/// Serves one request of a connection; returns `None` at its end.
fn serve_request(stream: &TcpStream, state: &Mutex<SpsApiState>, base: &str) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        head.iter().find_map(|line| {
            line.split_once(": ")
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
        })
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let mut state = state.lock().unwrap();
    let (method, target) = head[0].split_once(' ').unwrap();
    let path = target.split(' ').next().unwrap();
    state.requests.push(format!("{method} {path}"));
    let directory = "/transactions/v5/data/out/";
    let mut cut = None;
    let (status, extra, text) = if let Some((status, extra)) = state.errors.pop() {
        (status, extra, String::new())
    } else if path == "/oauth/token" {
        assert!(String::from_utf8_lossy(&body).contains("\"client_secret\":\"client-secret\""));
        state.tokens += 1;
        state.valid_token = format!("token-{}", state.tokens);
        (200, "", format!(r#"{{"access_token":"{}","expires_in":3600}}"#, state.valid_token))
    } else if header("authorization") != Some(format!("Bearer {}", state.valid_token)) {
        (401, "", String::new())
    } else if path.starts_with(&format!("{directory}?limit")) {
        let next = state.next_page.clone().unwrap_or_else(|| format!("{base}{directory}?cursor=2"));
        (200, "", build_page(state.files.keys().take(1), Some(&next)))
    } else if path == format!("{directory}?cursor=2") {
        (200, "", build_page(state.files.keys().skip(1), None))
    } else {
        let name = path.rsplit('/').next().unwrap().replace("%20", " ");
        match (method, state.files.get(&name).cloned()) {
            ("GET", Some(text)) => {
                cut = state.cut_after;
                (200, "", text)
            }
            ("POST", _) if path.starts_with("/transactions/v5/data/in/") => {
                assert_eq!(header("content-type").as_deref(), Some("application/octet-stream"));
                state.uploads.push((name, String::from_utf8(body).unwrap()));
                (201, "", format!("{{\"path\":\"{path}\"}}"))
            }
            ("DELETE", Some(_)) => {
                state.files.remove(&name);
                (204, "", String::new())
            }
            _ => (404, "", String::new()),
        }
    };
    drop(state);
    let mut stream = stream;
    let head = format!("HTTP/1.1 {status} X\r\n{extra}content-length: {}\r\n\r\n", text.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&text.as_bytes()[..cut.unwrap_or(text.len()).min(text.len())]).ok()?;
    if cut.is_some() {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    Some(())
}

/// Returns a page of the file list.
fn build_page<'n>(names: impl Iterator<Item = &'n String>, next: Option<&str>) -> String {
    let results: Vec<_> =
        names.map(|name| serde_json::json!({"path": format!("/out/{name}"), "type": "file"})).collect();
    let next = next.map(|url| serde_json::json!({"cursor": "2", "url": url}));
    serde_json::json!({"results": results, "paging": {"limit": 1000, "next": next}}).to_string()
}
