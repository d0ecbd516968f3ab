//! Polling SPS's API: a real HTTP server that plays it, with tokens that end, pages, and its bad days.

use crate::edi_files::{interchange, order_set};
use crate::util::Home;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    files: BTreeMap<String, String>,
    /// The token that is good now, and how many were given.
    tokens: u32,
    good: String,
    /// Statuses that the next calls are answered with, whatever they are.
    bad: Vec<(u16, &'static str)>,
    /// Where the second page is said to be; `None`: where it is.
    next: Option<String>,
    /// Bytes after which a download ends early.
    cut: Option<usize>,
    calls: Vec<String>,
    /// What was uploaded.
    sent: Vec<(String, String)>,
}

struct Api {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Api {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let (serving, base) = (state.clone(), url.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, base) = (serving.clone(), base.clone());
                std::thread::spawn(move || while answer(&stream, &state, &base).is_some() {});
            }
        });
        Self { url, state }
    }

    fn home(&self, more: &str) -> Home {
        let home = Home::new("");
        fs::write(home.path("client"), "client-secret\n").unwrap();
        home.configure(&format!(
            "[worker]\nin_serve = false\nbackoff_base = \"10ms\"\nbackoff_max = \"40ms\"\n[sps]\ninterval = \"0\"\n[[sps.sources]]\n\
             name = \"api\"\nurl = \"{}/transactions/v5/data/out\"\nclient_id = \"novex\"\nsecrets = [\"file:client\"]\n\
             token_url = \"{}/oauth/token\"\ntimeout = \"5s\"\n{more}\n",
            self.url, self.url
        ));
        home.serve().stop();
        home
    }

    fn put(&self, name: &str, number: &str) {
        self.state.lock().unwrap().files.insert(name.to_owned(), interchange("850", &[order_set(number, 1)]));
    }
}

/// One request of a connection; `None` at its end.
fn answer(stream: &TcpStream, state: &Mutex<State>, base: &str) -> Option<()> {
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
    let (method, rest) = head[0].split_once(' ').unwrap();
    let path = rest.split(' ').next().unwrap();
    state.calls.push(format!("{method} {path}"));
    let directory = "/transactions/v5/data/out/";
    let mut cut = None;
    let (status, more, text) = if let Some((status, more)) = state.bad.pop() {
        (status, more, String::new())
    } else if path == "/oauth/token" {
        assert!(String::from_utf8_lossy(&body).contains("\"client_secret\":\"client-secret\""));
        state.tokens += 1;
        state.good = format!("token-{}", state.tokens);
        (200, "", format!(r#"{{"access_token":"{}","expires_in":3600}}"#, state.good))
    } else if header("authorization") != Some(format!("Bearer {}", state.good)) {
        (401, "", String::new())
    } else if path.starts_with(&format!("{directory}?limit")) {
        let next = state.next.clone().unwrap_or_else(|| format!("{base}{directory}?cursor=2"));
        (200, "", page(state.files.keys().take(1), Some(&next)))
    } else if path == format!("{directory}?cursor=2") {
        (200, "", page(state.files.keys().skip(1), None))
    } else {
        let name = path.rsplit('/').next().unwrap().replace("%20", " ");
        match (method, state.files.get(&name).cloned()) {
            ("GET", Some(text)) => {
                cut = state.cut;
                (200, "", text)
            }
            ("POST", _) if path.starts_with("/transactions/v5/data/in/") => {
                assert_eq!(header("content-type").as_deref(), Some("application/octet-stream"));
                state.sent.push((name, String::from_utf8(body).unwrap()));
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
    let head = format!("HTTP/1.1 {status} X\r\n{more}content-length: {}\r\n\r\n", text.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&text.as_bytes()[..cut.unwrap_or(text.len()).min(text.len())]).ok()?;
    if cut.is_some() {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    Some(())
}

fn page<'n>(names: impl Iterator<Item = &'n String>, next: Option<&str>) -> String {
    let results: Vec<_> =
        names.map(|name| serde_json::json!({"path": format!("/out/{name}"), "type": "file"})).collect();
    let next = next.map(|url| serde_json::json!({"cursor": "2", "url": url}));
    serde_json::json!({"results": results, "paging": {"limit": 1000, "next": next}}).to_string()
}

fn failed(home: &Home) -> String {
    let run = home.run(&["sps", "poll"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[test]
fn files_are_taken_from_all_pages_and_deleted_there() {
    let api = Api::start();
    for file in 0..5 {
        api.put(&format!("PO {file}.edi"), &format!("PO{file}"));
    }
    let home = api.home("");
    assert!(home.ok(&["sps", "poll"]).contains("5 found, 5 taken"));
    assert!(api.state.lock().unwrap().files.is_empty());
    assert_eq!(api.state.lock().unwrap().tokens, 1, "one token for all of it");
    home.ok(&["work", "--once"]);
    assert_eq!(home.sql("SELECT count(*) FROM purchase_orders"), "5");
}

#[test]
fn its_bad_days_lose_nothing() {
    let api = Api::start();
    api.put("a.edi", "PO1");
    let home = api.home("");
    // Last first: a refused token is asked for anew, once.
    api.state.lock().unwrap().bad = vec![(401, "")];
    assert!(failed(&home).contains("check client_id"), "the token itself");
    api.state.lock().unwrap().bad = vec![(429, "retry-after: 7200\r\n")];
    assert!(failed(&home).contains("429"));
    let rest = "SELECT round((julianday(rest_until) - julianday('now')) * 24, 1) FROM sps_sources";
    assert_eq!(home.sql(rest), "2.0", "as it asked");
    api.state.lock().unwrap().next = Some("http://localhost:1/stolen".to_owned());
    assert!(failed(&home).contains("the token is not sent there"));
    {
        let mut state = api.state.lock().unwrap();
        state.next = None;
        state.cut = Some(100);
    }
    failed(&home);
    assert_eq!(home.sql("SELECT count(*) FROM webhook_events"), "0", "half a file is none");
    assert_eq!(api.state.lock().unwrap().files.len(), 1);
    api.state.lock().unwrap().cut = None;
    assert!(home.ok(&["sps", "poll"]).contains("1 taken"));
    assert_eq!(home.sql("SELECT rest_until FROM sps_sources"), "");
}

/// What goes out is posted beside the directory that is polled; what is refused for now comes again.
#[test]
fn documents_go_out_by_the_api() {
    let api = Api::start();
    api.put("a.edi", "PO1");
    let home = api.home("");
    home.edit("[sps]\n", "[sps]\noutgoing = \"api:/in\"\n");
    home.ok(&["sps", "poll"]);
    // Last first: the token, then a bad day.
    api.state.lock().unwrap().bad = vec![(503, ""), (401, "")];
    let start = std::time::Instant::now();
    home.ok(&["work", "--once"]);
    while home.sql("SELECT status FROM destination_deliveries") != "delivered" {
        assert!(start.elapsed().as_secs() < 60, "{}", home.sql("SELECT last_error FROM destination_deliveries"));
        home.ok(&["work", "--once"]);
    }
    let state = api.state.lock().unwrap();
    assert_eq!(state.sent.len(), 1, "{:?}", state.calls);
    assert!(
        state.sent[0].0.starts_with("997-ACMERETAIL-7-") && state.sent[0].1.contains("AK9*A*1*1*1~"),
        "{:?}",
        state.sent
    );
}
