//! A real HTTP server in place of an ERP. It records every request; the test chooses each reply.

use super::WAIT_MAX;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A request as the ERP received it; header names are lower case.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl ReceivedRequest {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }
}

/// Reply to a request whose body was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Status(u16),
    /// Status and header lines, each with its line end.
    StatusWithHeaders(u16, String),
    /// Status, header lines and body.
    StatusWithBody(u16, String, Vec<u8>),
    /// Status and the begin of a body that never ends; the connection stays open until the [`FakeErp`] is dropped.
    StatusWithEndlessBody(u16, Vec<u8>),
    /// Closes the connection without a response.
    Drop,
    /// Sends nothing until the [`FakeErp`] is dropped.
    Hang,
}

type Script = Arc<dyn Fn(usize, &ReceivedRequest) -> Reply + Send + Sync>;

pub struct FakeErp {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    requests: Mutex<Vec<ReceivedRequest>>,
    request_received: Condvar,
    script: Script,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
    stopped: AtomicBool,
}

impl FakeErp {
    /// Starts the server on a free port; `script` gets each request with its index.
    pub fn start(script: impl Fn(usize, &ReceivedRequest) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    pub fn start_at(
        listener: TcpListener,
        script: impl Fn(usize, &ReceivedRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let url = format!("http://{}/hooks", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            request_received: Condvar::new(),
            script: Arc::new(script),
            in_flight: AtomicUsize::new(0),
            in_flight_max: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = accepting.clone();
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { url, shared }
    }

    /// Waits until `count` requests were received in all; returns all of them.
    pub fn wait_for(&self, count: usize) -> Vec<ReceivedRequest> {
        let requests = self.shared.requests.lock().unwrap();
        let (requests, timeout) = self
            .shared
            .request_received
            .wait_timeout_while(requests, WAIT_MAX, |requests| requests.len() < count)
            .unwrap();
        assert!(!timeout.timed_out(), "the ERP received {} of {count} requests", requests.len());
        requests.clone()
    }

    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Returns the largest number of requests that were open at once.
    pub fn in_flight_max(&self) -> usize {
        self.shared.in_flight_max.load(Ordering::SeqCst)
    }
}

impl Drop for FakeErp {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
    }
}

fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let length =
            headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, value)| value.parse().unwrap());
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let in_flight = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        shared.in_flight_max.fetch_max(in_flight, Ordering::SeqCst);
        let request = ReceivedRequest { headers, body };
        let index = {
            let mut requests = shared.requests.lock().unwrap();
            requests.push(request.clone());
            shared.request_received.notify_all();
            requests.len() - 1
        };
        let reply = (shared.script)(index, &request);
        shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        let mut writer = stream;
        let (status, extra, body) = match reply {
            Reply::Status(status) => (status, String::new(), Vec::new()),
            Reply::StatusWithHeaders(status, extra) => (status, extra, Vec::new()),
            Reply::StatusWithBody(status, extra, body) => (status, extra, body),
            Reply::StatusWithEndlessBody(status, body) => {
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: 1000000\r\n\r\n");
                let _ = writer.write_all(&[head.as_bytes(), &body].concat());
                return wait_until_stopped(shared);
            }
            Reply::Drop => return,
            Reply::Hang => return wait_until_stopped(shared),
        };
        let head = format!("HTTP/1.1 {status} X\r\n{extra}content-length: {}\r\n\r\n", body.len());
        if writer.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

fn wait_until_stopped(shared: &Shared) {
    let start = Instant::now();
    while !shared.stopped.load(Ordering::SeqCst) && start.elapsed() < WAIT_MAX {
        std::thread::sleep(Duration::from_millis(5));
    }
}
